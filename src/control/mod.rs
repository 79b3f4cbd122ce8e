//! The main thread: reads the command line, loads the configuration, opens sockets, starts the workers and then serves
//! signals and the runtime API on a reactor of its own, until the last session has ended.

pub mod api;
pub mod args;
mod carry;
mod events;
mod inherit;
pub mod jail;
pub mod master;
pub mod services;
pub mod sockets;
pub mod startup;
mod state_file;
pub mod supervise;
