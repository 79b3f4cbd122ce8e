//! The main thread: start, publish, reload, supervise, stop.
