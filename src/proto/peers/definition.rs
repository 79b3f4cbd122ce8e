//! "Stick-table definition": a table's number and name with the sender, the type of its keys, and what its entries store,
//! in the order in which updates list it.

use super::Fault;
use super::varint::{Reader, encode};

/// Data types there are, by number; what a peer stores beyond is passed over.
pub const DATA_TYPES: u8 = 27;
/// Elements of an array at most.
pub const ELEMENTS_MAX: u32 = 100;
/// Bytes of a table's name at most.
const NAME_MAX: u64 = 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The sender's number of the table.
    pub id: u64,
    pub name: Vec<u8>,
    pub key: Key,
    /// Milliseconds that entries live; 0: for ever.
    pub expire_ms: u64,
    /// In the order of their numbers.
    pub columns: Vec<Column>,
}

/// Type of the keys, with their bytes where these are not fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Integer,
    Ipv4,
    Ipv6,
    /// Bytes at most, without the terminating NUL that the wire counts.
    String(u32),
    Binary(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Number of the data type.
    pub data: u8,
    /// Of an array; 1 elsewhere.
    pub elements: u32,
    /// Of a rate; 0 elsewhere.
    pub period_ms: u64,
}

/// How a data type is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Number,
    Rate,
    /// An entry of the dictionary: a server's name.
    Word,
}

impl Column {
    pub fn form(&self) -> Form {
        match self.data {
            3 | 5 | 8 | 10 | 12 | 14 | 16 | 18 | 21 | 24 | 26 => Form::Rate,
            19 => Form::Word,
            _ => Form::Number,
        }
    }

    pub fn is_array(&self) -> bool {
        matches!(self.data, 22..=24)
    }
}

impl Key {
    /// Number of the type, and the length that goes with it.
    fn numbers(self) -> (u64, u64) {
        match self {
            Key::Integer => (2, 4),
            Key::Ipv4 => (4, 4),
            Key::Ipv6 => (5, 16),
            Key::String(length) => (6, length as u64 + 1),
            Key::Binary(length) => (7, length as u64),
        }
    }

    fn read(kind: u64, length: u64) -> Option<Key> {
        let length = u32::try_from(length).ok().filter(|n| *n > 0)?;
        Some(match (kind, length) {
            (2, 4) => Key::Integer,
            (4, 4) => Key::Ipv4,
            (5, 16) => Key::Ipv6,
            (6, _) => Key::String(length - 1),
            (7, _) => Key::Binary(length),
            _ => return None,
        })
    }
}

impl Definition {
    pub fn write(&self, out: &mut Vec<u8>) {
        let (kind, length) = self.key.numbers();
        let bits = self.columns.iter().fold(0u64, |bits, c| bits | 1 << c.data);
        encode(self.id, out);
        encode(self.name.len() as u64, out);
        out.extend_from_slice(&self.name);
        for number in [kind, length, bits, self.expire_ms] {
            encode(number, out);
        }
        for column in &self.columns {
            let rate = column.form() == Form::Rate;
            if column.is_array() || rate {
                encode(column.data as u64, out);
            }
            if column.is_array() {
                encode(column.elements as u64, out);
            }
            if rate {
                encode(column.period_ms, out);
            }
        }
    }

    /// # Errors
    /// It ends too early, or its keys are of no type that there is.
    pub fn read(data: &[u8]) -> Result<Definition, Fault> {
        let mut reader = Reader(data);
        let id = reader.integer()?;
        let length = reader.integer()?;
        if length > NAME_MAX {
            return Err(Fault::TooLong);
        }
        let name = reader.bytes(length)?.to_vec();
        let key = Key::read(reader.integer()?, reader.integer()?).ok_or(Fault::Protocol)?;
        let bits = reader.integer()?;
        let known = (0..DATA_TYPES).filter(|data| bits >> data & 1 == 1);
        let mut columns: Vec<Column> = known.map(|data| Column { data, elements: 1, period_ms: 0 }).collect();
        // Old versions end here.
        let expire_ms = if reader.is_empty() { 0 } else { reader.integer()? };
        for column in &mut columns {
            let rate = column.form() == Form::Rate;
            if !(column.is_array() || rate) || reader.is_empty() {
                continue;
            }
            if reader.integer()? != column.data as u64 {
                return Err(Fault::Protocol);
            }
            if column.is_array() {
                let elements = reader.integer()?;
                column.elements =
                    u32::try_from(elements).ok().filter(|n| (1..=ELEMENTS_MAX).contains(n)).ok_or(Fault::Protocol)?;
            }
            if rate {
                column.period_ms = reader.integer()?;
            }
        }
        Ok(Definition { id, name, key, expire_ms, columns })
    }
}
