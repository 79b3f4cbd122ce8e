//! Blocks to field lines (RFC 7541 §3, §6).

use std::ops::Range;

use super::super::empty;
use super::dynamic_table::DynamicTable;
use super::static_table::TABLE;
use super::{DEFAULT_TABLE_SIZE, HpackError, huffman, integer};

/// The decoding end of one direction of a connection.
#[derive(Debug)]
pub struct Decoder {
    table: DynamicTable,
    /// Largest table that the peer may choose.
    limit: usize,
    /// The limit fell below the table's size: the next block has to begin with an update.
    update_due: bool,
    /// Holds the Huffman-coded strings of one field line, decoded.
    scratch: Vec<u8>,
}

/// Where a string is.
enum Text<'a> {
    Block(&'a [u8]),
    Scratch(Range<usize>),
}

impl Text<'_> {
    fn of<'a>(&'a self, scratch: &'a [u8]) -> &'a [u8] {
        match self {
            Text::Block(bytes) => bytes,
            Text::Scratch(range) => &scratch[range.clone()],
        }
    }
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder {
            table: DynamicTable::new(DEFAULT_TABLE_SIZE),
            limit: DEFAULT_TABLE_SIZE,
            update_due: false,
            scratch: Vec::new(),
        }
    }
}

impl Decoder {
    /// The largest table that the peer may use: what our SETTINGS_HEADER_TABLE_SIZE said, once it is acknowledged.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        self.update_due |= limit < self.table.max();
    }

    /// Decodes a whole block and hands each field line to `sink`. Bounded by the block: a field line takes at least
    /// one byte of it; `sink` stops a block that unfolds into too much by answering false.
    pub fn decode(
        &mut self,
        mut block: &[u8],
        mut sink: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<bool, HpackError> {
        let mut at_start = true;
        while let Some(&first) = block.first() {
            if first & 0xe0 == 0x20 {
                let (size, used) = integer::decode(block, 5)?;
                if !at_start || size > self.limit {
                    return Err(HpackError::TableSizeUpdate);
                }
                self.table.resize(size);
                self.update_due = false;
                block = &block[used..];
                continue;
            }
            if self.update_due {
                return Err(HpackError::TableSizeUpdate);
            }
            at_start = false;
            let (used, wanted) = if first & 0x80 != 0 {
                let (index, used) = integer::decode(block, 7)?;
                let (name, value) = entry(&self.table, index)?;
                (used, sink(name, value))
            } else if first & 0x40 != 0 {
                self.literal(block, 6, true, &mut sink)?
            } else {
                self.literal(block, 4, false, &mut sink)?
            };
            if !wanted {
                return Ok(false);
            }
            block = &block[used..];
        }
        Ok(true)
    }

    /// A literal whose name index has a prefix of `bits`. Gives its length and what the sink said.
    fn literal(
        &mut self,
        block: &[u8],
        bits: u32,
        indexed: bool,
        sink: &mut impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(usize, bool), HpackError> {
        empty(&mut self.scratch);
        let (index, mut used) = integer::decode(block, bits)?;
        let name = match index {
            0 => {
                let (name, len) = string(&block[used..], &mut self.scratch)?;
                used += len;
                Some(name)
            }
            _ => None,
        };
        let (value, len) = string(&block[used..], &mut self.scratch)?;
        used += len;
        let value = value.of(&self.scratch);
        let wanted = match &name {
            Some(name) => sink(name.of(&self.scratch), value),
            None => sink(entry(&self.table, index)?.0, value),
        };
        match (name, index.checked_sub(TABLE.len() + 1)) {
            _ if !indexed => {}
            (Some(name), _) => self.table.insert(name.of(&self.scratch), value, 0),
            (None, Some(dynamic)) => self.table.insert_named(dynamic, value),
            (None, None) => self.table.insert(TABLE[index - 1].0, value, 0),
        }
        Ok((used, wanted))
    }
}

fn entry(table: &DynamicTable, index: usize) -> Result<(&[u8], &[u8]), HpackError> {
    match index.checked_sub(1).ok_or(HpackError::Index)? {
        at if at < TABLE.len() => Ok((TABLE[at].0, TABLE[at].1)),
        at => table.get(at - TABLE.len()).ok_or(HpackError::Index),
    }
}

/// A string literal (RFC 7541 §5.2) and its length in the block.
fn string<'a>(block: &'a [u8], scratch: &mut Vec<u8>) -> Result<(Text<'a>, usize), HpackError> {
    let (len, used) = integer::decode(block, 7)?;
    let coded = block[used..].get(..len).ok_or(HpackError::Truncated)?;
    if block[0] & 0x80 == 0 {
        return Ok((Text::Block(coded), used + len));
    }
    let start = scratch.len();
    huffman::decode(coded, scratch)?;
    Ok((Text::Scratch(start..scratch.len()), used + len))
}
