//! The main thread: reads the command line, loads the configuration, opens sockets, starts the workers and then serves
//! signals and the runtime API on a reactor of its own, until the last session has ended. With `-W` all of this is a
//! worker's, and a [`master`] beside it starts, watches and reloads it.

mod about;
pub mod api;
pub mod args;
mod bequest;
mod carry;
mod dump;
mod events;
mod inherit;
pub mod jail;
mod keywords;
pub mod master;
mod process_vars;
pub mod services;
pub mod sockets;
pub mod startup;
mod state_file;
mod stop;
pub mod supervise;
mod transfer;
