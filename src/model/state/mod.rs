//! What is true now, shared by all workers without a lock on the data path: the [`board::Board`] of counters and, on
//! it, the [`live::Live`] state of servers and frontends. Knows no socket and no clock: the time is an argument.

pub mod board;
pub mod carry;
pub mod cell;
pub mod counters;
pub mod event;
pub mod file;
pub mod health;
pub mod live;
pub mod nameserver;
pub mod server;
#[cfg(test)]
mod tests;
pub mod waiting;
