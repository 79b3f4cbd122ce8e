//! HPACK: how HTTP/2 writes field lines (RFC 7541).
//!
//! [`Decoder`] and [`Encoder`] each own one dynamic table; both know bytes and pairs of name and value, nothing of
//! frames or of what fields mean. No input panics, and every integer, string and table has a bound.

mod decode;
mod dynamic_table;
mod encode;
pub mod huffman;
pub mod integer;
pub mod static_table;
#[cfg(test)]
mod tests;

pub use decode::Decoder;
pub use encode::{Encoder, OWN_TABLE_SIZE};

/// What a table entry takes beyond its name and value (RFC 7541 §4.1), and what a field line counts in sizes of
/// heads (RFC 9113 §6.5.2).
pub const ENTRY_OVERHEAD: usize = 32;

/// The size of a dynamic table until SETTINGS say otherwise (RFC 9113 §6.5.2).
pub const DEFAULT_TABLE_SIZE: usize = 4096;

/// Why a block cannot be decoded. The table is out of step from there on: the connection is over (COMPRESSION_ERROR).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HpackError {
    /// The block ends within a field line.
    Truncated,
    /// An integer above [`integer::MAX`].
    IntegerTooLarge,
    /// Index 0, or one beyond both tables.
    Index,
    /// Padding of a Huffman string that is not the beginning of EOS, or longer than 7 bits, or EOS itself.
    Huffman,
    /// A table size update that is above our announced limit, not at the start of a block, or missing after the limit
    /// was lowered (RFC 9113 §4.3.1).
    TableSizeUpdate,
}
