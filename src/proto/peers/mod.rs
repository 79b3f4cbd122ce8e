//! The peers protocol 2.1 (HAProxy's `doc/peers.txt`): how processes tell each other what their stick tables hold. A
//! handshake in lines, then messages: control, error, and about tables, whose entries are read and written with the
//! table's definition at hand. Names of tables and servers are bytes here; what they mean is known elsewhere.

pub mod definition;
pub mod dictionary;
pub mod entry;
pub mod handshake;
pub mod message;
#[cfg(test)]
mod tests;
pub mod varint;

/// What a peer did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A message that is none, or one that ends too early.
    Protocol,
    /// A message longer than [`message::MESSAGE_MAX`].
    TooLong,
}
