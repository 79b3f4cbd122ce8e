//! Where log lines go and how they are framed (manual 4.2 "log", 8).

use super::ring::RingIndex;
use crate::base::address::Address;
use crate::proto::syslog::Format;

/// One `log` line.
#[derive(Debug, Clone, PartialEq)]
pub struct LogTarget {
    pub sink: LogSink,
    pub format: Format,
    /// Facility 0–23.
    pub facility: u8,
    /// Least urgent level that is sent, 0 (emerg) to 7 (debug).
    pub max_level: u8,
    /// Levels more urgent than this are sent as this one.
    pub min_level: u8,
    /// Bytes of a line at most (`len`, default 1024).
    pub length_max: usize,
    pub sample: Option<LogSample>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum LogSink {
    /// UDP or a UNIX datagram socket.
    Datagram(Address),
    Stdout,
    Stderr,
    /// An inherited descriptor (`fd@N`).
    Fd(i32),
    /// A buffer in memory (`ring@NAME`), which formats lines as it says itself.
    Ring(RingIndex),
}

/// `sample <ranges>:<size>`: of `size` lines, those whose number (from 1) lies in a range.
#[derive(Debug, Clone, PartialEq)]
pub struct LogSample {
    pub ranges: Vec<(u32, u32)>,
    pub size: u32,
}
