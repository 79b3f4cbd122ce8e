//! The handshake: who connects says hello in three lines, who accepted answers with a status.

use std::io::Write;

/// Bytes of a hello at most; names of peers are short.
pub const HELLO_MAX: usize = 1024;

/// The first lines of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Name of the peer that is meant.
    pub to: String,
    /// Name of the peer that speaks.
    pub from: String,
    pub pid: u32,
}

/// The answer to a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Succeeded = 200,
    TryAgain = 300,
    ProtocolError = 501,
    BadVersion = 502,
    /// The peer that is meant is not this one.
    LocalMismatch = 503,
    /// The peer that speaks is not known here.
    RemoteMismatch = 504,
}

impl Hello {
    pub fn write(&self, out: &mut Vec<u8>) {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "HAProxyS 2.1\n{}\n{} {} 0\n", self.to, self.from, self.pid);
    }

    /// Reads a hello and says how long it was; `None`: more bytes are needed.
    ///
    /// # Errors
    /// The status to answer with.
    pub fn read(bytes: &[u8]) -> Result<Option<(Hello, usize)>, Status> {
        let start = &bytes[..bytes.len().min(HELLO_MAX)];
        let mut lines = start.split_inclusive(|b| *b == b'\n').filter(|l| l.ends_with(b"\n"));
        let Some(first) = lines.next() else { return incomplete(bytes) };
        version(first)?;
        let (Some(second), Some(third)) = (lines.next(), lines.next()) else { return incomplete(bytes) };
        let used = first.len() + second.len() + third.len();
        let (to, third) = (text(second)?, text(third)?);
        let mut words = third.split(' ');
        let (Some(from), Some(pid)) = (words.next(), words.next()) else { return Err(Status::ProtocolError) };
        let pid = pid.parse().map_err(|_| Status::ProtocolError)?;
        if to.is_empty() || from.is_empty() {
            return Err(Status::ProtocolError);
        }
        Ok(Some((Hello { to: to.to_owned(), from: from.to_owned(), pid }, used)))
    }
}

fn incomplete<T>(bytes: &[u8]) -> Result<Option<T>, Status> {
    if bytes.len() >= HELLO_MAX { Err(Status::ProtocolError) } else { Ok(None) }
}

/// Any version 2: what later ones add is skipped.
fn version(line: &[u8]) -> Result<(), Status> {
    let version = text(line)?.strip_prefix("HAProxyS ").ok_or(Status::ProtocolError)?;
    let (major, minor) = version.split_once('.').ok_or(Status::BadVersion)?;
    if major != "2" || minor.is_empty() || !minor.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Status::BadVersion);
    }
    Ok(())
}

fn text(line: &[u8]) -> Result<&str, Status> {
    let line = std::str::from_utf8(line).map_err(|_| Status::ProtocolError)?;
    let line = line.trim_end_matches('\n');
    Ok(line.strip_suffix('\r').unwrap_or(line))
}

impl Status {
    pub fn write(self, out: &mut Vec<u8>) {
        let _ = writeln!(out, "{}", self as u16);
    }

    /// Reads a status line and says how long it was; `None`: more bytes are needed.
    ///
    /// # Errors
    /// [`Status::ProtocolError`]: it is none.
    pub fn read(bytes: &[u8]) -> Result<Option<(Status, usize)>, Status> {
        const LINE_MAX: usize = 16;
        let Some(end) = bytes.iter().take(LINE_MAX).position(|b| *b == b'\n') else {
            return if bytes.len() >= LINE_MAX { Err(Status::ProtocolError) } else { Ok(None) };
        };
        let status = match text(&bytes[..=end])? {
            "200" => Status::Succeeded,
            "300" => Status::TryAgain,
            "501" => Status::ProtocolError,
            "502" => Status::BadVersion,
            "503" => Status::LocalMismatch,
            "504" => Status::RemoteMismatch,
            _ => return Err(Status::ProtocolError),
        };
        Ok(Some((status, end + 1)))
    }
}
