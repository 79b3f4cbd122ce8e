//! The stats socket: one command a connection, as scripts with socat do it.

use super::BOUND;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

/// The whole answer to a command.
pub fn ask(socket: &str, command: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap_or_else(|error| panic!("{socket}: {error}"));
    stream.set_read_timeout(Some(BOUND)).expect("a read timeout");
    stream.write_all(format!("{command}\n").as_bytes()).expect("writing a command");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}
