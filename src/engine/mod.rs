//! The kernel: operations in, completions out, tasks in between. One [`reactor::Reactor`] per thread runs `!Send` tasks;
//! [`conn`] and [`listener`] are what tasks hold; [`probe`] says which driver. The only floor with `unsafe`.

pub mod chain;
pub mod conn;
pub mod descriptors;
pub mod driver;
pub mod emitted;
pub mod frame;
pub mod handover;
mod lending;
pub mod listener;
pub mod operation;
pub mod probe;
pub mod process;
pub mod profile;
pub mod reactor;
pub mod splice;
pub mod steering;
pub mod task;

#[cfg(test)]
mod sim_tests;
#[cfg(test)]
mod tests;

pub use chain::{Chain, Lease, Piece};
pub use conn::Conn;
pub use reactor::{Reactor, Rt};
