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

/// A field of `show stat`.
pub fn stat(socket: &str, proxy: &str, server: &str, field: &str) -> String {
    let text = ask(socket, "show stat");
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().expect("a header").trim_start_matches("# ").split(',').collect();
    let column = names.iter().position(|n| *n == field).expect("a known field");
    let start = format!("{proxy},{server},");
    let line = lines.find(|l| l.starts_with(&start)).unwrap_or_else(|| panic!("no {start} in\n{text}"));
    line.split(',').nth(column).expect("a value").to_owned()
}
