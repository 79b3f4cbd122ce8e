//! The main thread: start, publish, reload, supervise, stop.

pub mod args;
