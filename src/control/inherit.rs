//! Listening sockets from a process to its successor (`expose-fd listeners`, `-x`; management guide 3 "-x"): the new one
//! asks on a stats socket, the old one answers with all its sockets, each by the name of its place. The framing is our own:
//! a line that says how many follow, then for each batch a line of names, separated by tabs, with the descriptors.

use crate::base::address::Address;
use crate::engine::driver::{Fd, sockets};
use crate::engine::handover;
use crate::model::bind::Bind;
use std::collections::HashMap;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// What the successor says.
pub const REQUEST: &[u8] = b"_getsocks\n";
const MAGIC: &str = "ringway-sockets";
/// How long the old process may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Descriptors and bytes of a batch at most.
const BATCH: usize = 32;
const LINE_MAX: usize = 1 << 16;

/// Sockets of the old process that nobody has taken yet, by the name of their place.
#[derive(Debug, Default)]
pub struct Inherited(HashMap<String, Vec<Fd>>);

impl Inherited {
    /// All sockets for a place.
    pub fn take(&mut self, name: &str) -> Vec<Fd> {
        self.0.remove(name).unwrap_or_default()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Closes what the new configuration has no use for.
    pub fn close(self) {
        self.0.into_values().flatten().for_each(sockets::close);
    }
}

/// How a listening socket is known to both: where it is bound, and what makes it another socket at the same place.
pub fn name(address: &Address, bind: &Bind) -> String {
    let interface = bind.interface.as_deref().unwrap_or_default();
    let flags = (bind.v6only, bind.v4v6, bind.transparent);
    let protocol = if bind.mptcp.contains(address) { " mptcp" } else { "" };
    format!("{address} {interface} {flags:?}{protocol}").replace(['\t', '\n'], " ")
}

/// The messages of an answer: bytes and the descriptors that go with them.
pub fn answer(listeners: &[(String, Fd)]) -> Vec<(Vec<u8>, Vec<Fd>)> {
    let mut messages = vec![(format!("{MAGIC} {}\n", listeners.len()).into_bytes(), Vec::new())];
    for batch in listeners.chunks(BATCH) {
        let names: Vec<&str> = batch.iter().map(|(name, _)| name.as_str()).collect();
        let line = format!("{}\n", names.join("\t"));
        messages.push((line.into_bytes(), batch.iter().map(|(_, fd)| *fd).collect()));
    }
    messages
}

/// Asks the process behind `path` for its sockets; the connection may ask for more. The error is the lines that HAProxy writes.
pub fn fetch(path: &str) -> Result<(Inherited, UnixStream), [String; 2]> {
    let got = "Failed to get the sockets from the old process!".to_owned();
    let failed = |what: &str| [format!("Failed to {what} the old process socket '{path}'"), got.clone()];
    let stream = UnixStream::connect(path).map_err(|_| failed("connect to"))?;
    write(&stream).map_err(|_| failed("write to"))?;
    let inherited = receive(&stream).map_err(|_| failed("read from"))?;
    Ok((inherited, stream))
}

/// Asks on a connection to the runtime API of the old process.
///
/// # Errors
/// Those of reading and writing; what is no answer is `InvalidData`.
pub fn ask(stream: &UnixStream) -> io::Result<Inherited> {
    write(stream)?;
    receive(stream)
}

fn write(mut stream: &UnixStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(REQUEST)
}

fn receive(stream: &UnixStream) -> io::Result<Inherited> {
    let bad = || io::Error::from(io::ErrorKind::InvalidData);
    let mut fds = std::collections::VecDeque::new();
    let mut inherited = Inherited::default();
    let head = line(stream, &mut fds)?;
    let count = head.strip_prefix(MAGIC).and_then(|n| n.trim().parse::<usize>().ok()).ok_or_else(bad)?;
    let mut left = count;
    while left > 0 {
        let names = line(stream, &mut fds)?;
        for name in names.split('\t') {
            let fd = fds.pop_front().ok_or_else(bad)?;
            inherited.0.entry(name.to_owned()).or_default().push(fd);
            left = left.checked_sub(1).ok_or_else(bad)?;
        }
    }
    Ok(inherited)
}

/// The next line, and the descriptors that came before its end. Byte by byte: descriptors come with the first byte of
/// their message, and what follows belongs to the next.
pub(super) fn line(stream: &UnixStream, fds: &mut std::collections::VecDeque<Fd>) -> io::Result<String> {
    let mut text = Vec::new();
    loop {
        let mut byte = [0];
        let (n, new) = handover::receive(stream.as_raw_fd(), &mut byte)?;
        fds.extend(new);
        match byte[0] {
            _ if n == 0 || text.len() > LINE_MAX => return Err(io::ErrorKind::UnexpectedEof.into()),
            b'\n' => return String::from_utf8(text).map_err(|_| io::ErrorKind::InvalidData.into()),
            b => text.push(b),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn sockets_come_with_their_names() {
        let sockets: Vec<TcpListener> = (0..40).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let name = |i: usize| format!("place {}", i / 2);
        let listed: Vec<(String, Fd)> = sockets.iter().enumerate().map(|(i, s)| (name(i), s.as_raw_fd())).collect();
        let (old, new) = UnixStream::pair().unwrap();
        for (bytes, fds) in answer(&listed) {
            assert_eq!(handover::send(old.as_raw_fd(), &bytes, &fds).unwrap(), bytes.len());
        }
        let mut inherited = receive(&new).unwrap();
        let taken = inherited.take("place 7");
        assert_eq!((taken.len(), inherited.take("place 7").len()), (2, 0));
        let here = sockets[14].local_addr().unwrap();
        assert!(matches!(crate::engine::driver::sockets::local(taken[0]), Ok(Address::Ip(a)) if a == here));
        taken.into_iter().for_each(crate::engine::driver::sockets::close);
        inherited.close();
    }
}
