//! What the black-box tests share: programs that are started and stopped, scripted origins, raw clients, log sinks.
//!
//! Nothing here but the frames of [`h2`] and [`h2_origin`] and the messages of [`peers`] knows ringway's code: the program under test is a binary that reads a haproxy.cfg. By default it is
//! the one cargo built; `RINGWAY_BIN` names another, `HAPROXY_BIN` the peer of the differential suite.
#![allow(dead_code, unreachable_pub)]

pub mod cli;
pub mod client;
pub mod directory;
pub mod dns;
pub mod h2;
pub mod h2_origin;
pub mod http;
pub mod load;
pub mod mask;
pub mod origin;
pub mod peers;
pub mod port;
pub mod program;
pub mod succession;
pub mod syslog;
pub mod tls;
pub mod tls_origin;

use std::time::Duration;

/// How long anything that must happen may take. Generous: it is only reached when a test fails.
pub const BOUND: Duration = Duration::from_secs(8);

/// Bytes as text: printable ASCII as it is, the rest escaped, one line per LF.
pub fn show(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 16);
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b'\r' => text.push_str("\\r"),
            b'\n' => {
                text.push_str("\\n");
                if index + 1 < bytes.len() {
                    text.push('\n');
                }
            }
            b'\\' => text.push_str("\\\\"),
            0x20..=0x7e => text.push(*byte as char),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text
}

/// Bytes that depend on their position, so that a lost, doubled or moved byte shows.
pub fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Raises the limit of open files as far as it goes.
pub fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Polls until something is so; panics when it does not happen in time.
pub fn wait_until(what: &str, mut ready: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + BOUND;
    while !ready() {
        assert!(std::time::Instant::now() < end, "it never happened: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
