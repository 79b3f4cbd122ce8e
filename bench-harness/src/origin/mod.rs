//! The origin: one thread, one epoll, answers from memory. It listens for HTTP/1.1 (plain and four kinds of TLS), TCP
//! echo, TCP bulk, and drains a log socket. Ports are the kernel's choice; the first line on stdout tells them.
//! `/s/N` N bytes, `/j/N` N bytes of JSON, `/c/N` chunked, `/d/MS` later, `/e` the request's head, `/count` counters.

pub mod body;
mod http;
mod server;

use std::io::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::scenario::{Key, Resumption, Tls};

/// Where it listens.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub struct Ports {
    pub http: u16,
    pub tls_ec_ticket: u16,
    pub tls_ec_id: u16,
    pub tls_rsa_ticket: u16,
    pub tls_rsa_id: u16,
    pub echo: u16,
    pub bulk: u16,
}

impl Ports {
    pub fn tls(&self, tls: Tls) -> u16 {
        match (tls.key, tls.resumption) {
            (Key::Ec, Resumption::SessionId) => self.tls_ec_id,
            (Key::Ec, _) => self.tls_ec_ticket,
            (Key::Rsa, Resumption::SessionId) => self.tls_rsa_id,
            (Key::Rsa, _) => self.tls_rsa_ticket,
        }
    }
}

/// Tells the ports on stdout and serves until it is killed. `folder` holds the certificates and gets the log socket
/// `log.sock`.
pub fn serve(folder: &Path) -> Result<(), String> {
    let (mut origin, ports) = server::Origin::bind(folder)?;
    println!("{}", serde_json::to_string(&ports).map_err(|error| error.to_string())?);
    std::io::stdout().flush().map_err(|error| error.to_string())?;
    origin.run()
}

/// An origin in a thread of the test that asks; it ends with the test process.
#[cfg(test)]
pub fn serve_in_thread() -> Ports {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let folder = crate::child::Folder::new().unwrap();
        crate::certs::write_all(folder.path()).unwrap();
        let (mut origin, ports) = server::Origin::bind(folder.path()).unwrap();
        drop(folder);
        sender.send(ports).unwrap();
        origin.run().unwrap();
    });
    receiver.recv().unwrap()
}
