//! Field lines to blocks (RFC 7541 §6), cheaply: the static table, a small dynamic table for what repeats, Huffman
//! where it is shorter.
//!
//! A field line goes into the table when it is met a second time, so that what is new in every message (identifiers)
//! does not push out what is not. Secrets never go in: see [`super::static_table::Indexing`].

use std::hash::{BuildHasher, Hasher};

use super::dynamic_table::DynamicTable;
use super::static_table::{self, Indexing, TABLE};
use super::{DEFAULT_TABLE_SIZE, ENTRY_OVERHEAD, huffman, integer};

/// The largest table we use, whatever the peer offers: the size that it has without a word, which some clients expect.
pub const OWN_TABLE_SIZE: usize = DEFAULT_TABLE_SIZE;

/// How many field lines met lately are remembered.
const SEEN: usize = 64;

/// The encoding end of one direction of a connection.
#[derive(Debug)]
pub struct Encoder {
    table: DynamicTable,
    /// The size that the peer knows of.
    told: usize,
    /// The smallest size since the last block, which RFC 7541 §4.2 wants told as well.
    smallest: usize,
    /// Hashes of field lines that were written as literals, each in the place that the hash names.
    seen: [u32; SEEN],
}

impl Default for Encoder {
    fn default() -> Encoder {
        Encoder {
            table: DynamicTable::new(OWN_TABLE_SIZE),
            told: DEFAULT_TABLE_SIZE,
            smallest: OWN_TABLE_SIZE,
            seen: [0; SEEN],
        }
    }
}

impl Encoder {
    /// The peer's SETTINGS_HEADER_TABLE_SIZE.
    pub fn set_limit(&mut self, limit: usize) {
        let size = limit.min(OWN_TABLE_SIZE);
        self.smallest = self.smallest.min(size);
        self.table.resize(size);
    }

    /// Begins a block: tells sizes of the table that the peer does not know.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        let size = self.table.max();
        if self.smallest < size && self.smallest < self.told {
            integer::encode(self.smallest, 5, 0x20, out);
            self.told = self.smallest;
        }
        if self.told != size {
            integer::encode(size, 5, 0x20, out);
            self.told = size;
        }
        self.smallest = size;
    }

    /// Appends one field line.
    pub fn field(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let found = static_table::find(name, value);
        if let Some(found) = found
            && found.with_value
        {
            return integer::encode(found.index, 7, 0x80, out);
        }
        let indexing = found.map_or(Indexing::Repeating, |f| f.indexing);
        // Large entries would leave room for little else.
        if indexing == Indexing::Repeating && name.len() + value.len() + ENTRY_OVERHEAD <= self.table.max() / 4 {
            let hash = hash(name, value);
            if let Some(index) = self.table.find(hash, name, value) {
                return integer::encode(TABLE.len() + 1 + index, 7, 0x80, out);
            }
            let seen = &mut self.seen[hash as usize % SEEN];
            if *seen == hash {
                literal(found.map(|f| f.index), name, value, 6, 0x40, out);
                return self.table.insert(name, value, hash);
            }
            *seen = hash;
        }
        let first = if indexing == Indexing::Never { 0x10 } else { 0x00 };
        literal(found.map(|f| f.index), name, value, 4, first, out);
    }
}

fn literal(name_index: Option<usize>, name: &[u8], value: &[u8], bits: u32, first: u8, out: &mut Vec<u8>) {
    match name_index {
        Some(index) => integer::encode(index, bits, first, out),
        None => {
            out.push(first);
            string(name, out);
        }
    }
    string(value, out);
}

fn string(text: &[u8], out: &mut Vec<u8>) {
    let coded = huffman::encoded_len(text);
    if coded < text.len() {
        integer::encode(coded, 7, 0x80, out);
        huffman::encode(text, out);
    } else {
        integer::encode(text.len(), 7, 0x00, out);
        out.extend_from_slice(text);
    }
}

/// Only saves comparisons: whoever finds clashes gains nothing by them.
fn hash(name: &[u8], value: &[u8]) -> u32 {
    let mut hasher = foldhash::fast::FixedState::with_seed(0).build_hasher();
    hasher.write(name);
    hasher.write(value);
    hasher.finish() as u32
}
