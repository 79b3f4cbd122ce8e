//! Between a master and a worker: a pair of sockets that keep messages whole. The worker says when it serves; the master
//! sends connections to the worker's runtime API, each with the rights and modes of who asked. When the master's end
//! closes, the master is gone.

use crate::admin::runtime_api::session::{CliSession, State};
use crate::engine::driver::Fd;
use crate::engine::{handover, process};
use crate::model::bind::Level;
use socket2::{Domain, Socket, Type};
use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// What a worker says when it serves.
const READY: &[u8] = b"ready";
/// What it says when it accepts no more.
const STOPPED: &[u8] = b"stopped";
/// Bytes of a message at most.
const MESSAGE_MAX: usize = 128;

const LEVELS: [(Level, &str); 3] = [(Level::User, "user"), (Level::Operator, "operator"), (Level::Admin, "admin")];

/// Both ends.
///
/// # Errors
/// Those of socketpair(2).
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (a, b) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None)?;
    Ok((a.into(), b.into()))
}

/// The master's side: opens a connection to the worker's runtime API, with the modes of a session.
///
/// # Errors
/// The worker is gone or does not read.
pub fn connect(channel: &OwnedFd, level: Level, modes: Option<&State>) -> io::Result<UnixStream> {
    let (near, far) = UnixStream::pair()?;
    let mut text = format!("cli {}", LEVELS.iter().find(|l| l.0 == level).map_or("user", |l| l.1));
    if let Some(state) = modes {
        let flags = [
            (state.expert, " expert"),
            (state.experimental, " experimental"),
            (state.interactive, " interactive"),
            (state.prompt, " prompt"),
            (state.timed, " timed"),
        ];
        flags.iter().filter(|f| f.0).for_each(|f| text.push_str(f.1));
    }
    handover::send(channel.as_raw_fd(), text.as_bytes(), &[far.as_raw_fd()])?;
    Ok(near)
}

/// The master's side: whether the worker has said that it serves. To be asked when something has come.
pub fn is_ready(channel: &OwnedFd) -> bool {
    let mut message = [0; MESSAGE_MAX];
    matches!(handover::receive(channel.as_raw_fd(), &mut message), Ok((n, _)) if &message[..n] == READY)
}

/// What a worker has of its master.
pub struct Leash {
    pub channel: OwnedFd,
    /// Standard error as the master has it; until the worker serves, the master listens to what it says.
    pub stderr: Cell<Option<OwnedFd>>,
    /// The runtime API of the worker that serves until now.
    pub predecessor: Option<UnixStream>,
    /// The master's first start: what the command line says of old processes holds.
    pub first: bool,
    pub daemon: bool,
}

/// What a master asks of its worker.
pub enum Order {
    /// A connection to the runtime API.
    Serve(Box<CliSession>, OwnedFd),
    /// The master is gone.
    Leave,
}

impl Leash {
    pub fn fd(&self) -> Fd {
        self.channel.as_raw_fd()
    }

    /// Tells that this process serves; from here on it speaks for itself.
    pub fn ready(&self) {
        // Whoever reads what a daemon said at its start waits until nobody holds that end any more.
        let stderr = self.stderr.take();
        if self.daemon {
            process::silence();
        } else if let Some(stderr) = stderr {
            let _ = rustix::stdio::dup2_stderr(&stderr);
        }
        let _ = handover::send(self.fd(), READY, &[]);
    }

    /// Tells that this process accepts no more.
    pub fn stopped(&self) {
        let _ = handover::send(self.fd(), STOPPED, &[]);
    }

    /// The next order; `None` if it is none. To be asked when something has come.
    pub fn order(&self, tables: impl FnOnce(Level) -> CliSession) -> Option<Order> {
        let mut message = [0; MESSAGE_MAX];
        let (n, fds) = match handover::receive(self.fd(), &mut message) {
            Ok((0, _)) => return Some(Order::Leave),
            Ok(received) => received,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock || e.kind() == io::ErrorKind::Interrupted => return None,
            Err(_) => return Some(Order::Leave),
        };
        let conn = fds.into_iter().next().and_then(process::inherited)?;
        let text = std::str::from_utf8(&message[..n]).ok()?;
        let mut words = text.strip_prefix("cli ")?.split(' ');
        let name = words.next()?;
        let level = LEVELS.iter().find(|l| l.1 == name)?.0;
        let mut session = tables(level);
        let flags: Vec<&str> = words.collect();
        session.set_modes(|state| {
            state.expert = flags.contains(&"expert");
            state.experimental = flags.contains(&"experimental");
            state.interactive = flags.contains(&"interactive");
            state.prompt = flags.contains(&"prompt");
            state.timed = flags.contains(&"timed");
        });
        Some(Order::Serve(Box::new(session), conn))
    }
}
