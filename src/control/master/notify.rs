//! Telling the service manager (sd_notify(3)): one datagram to the socket that `NOTIFY_SOCKET` names.

use crate::base::clock;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Ready,
    Reloading,
    ReloadFailed,
    Stopping,
}

/// Tells it; where nobody listens, nothing happens.
pub fn tell(state: State) {
    let Ok(place) = std::env::var("NOTIFY_SOCKET") else { return };
    let address = match place.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&place),
    };
    let text = match state {
        State::Ready => format!("READY=1\nMAINPID={}\nSTATUS=Ready.\n", std::process::id()),
        State::Reloading => {
            format!("RELOADING=1\nSTATUS=Reloading Configuration.\nMONOTONIC_USEC={}\n", clock::monotonic_us())
        }
        State::ReloadFailed => "READY=1\nSTATUS=Reload failed!\n".to_owned(),
        State::Stopping => "STOPPING=1".to_owned(),
    };
    if let (Ok(address), Ok(socket)) = (address, UnixDatagram::unbound()) {
        let _ = socket.send_to_addr(text.as_bytes(), &address);
    }
}
