//! "Entry update": number and time where the message's kind has them, the key, then the values of each column.

use super::Fault;
use super::definition::{Column, Definition, Form, Key};
use super::dictionary::{Received, Sent};
use super::message::Kind;
use super::varint::{Reader, encode};

/// What stands before the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update<'a> {
    /// `None`: one more than the one before.
    pub number: Option<u32>,
    /// Milliseconds left, where the message tells.
    pub left_ms: Option<u32>,
    pub key: &'a [u8],
}

/// One element of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Number(u64),
    /// Milliseconds since the present period began, its events and those of the period before.
    Rate {
        elapsed_ms: u64,
        current: u32,
        past: u32,
    },
    Word(Option<&'a [u8]>),
}

/// Reads an update and hands out its values: column, element, value. What follows the columns that are known is passed
/// over.
///
/// # Errors
/// It does not hold what the definition says.
pub fn read<'a>(
    definition: &Definition,
    kind: Kind,
    data: &'a [u8],
    words: &mut Received,
    mut each: impl FnMut(&Column, u32, Value<'_>),
) -> Result<Update<'a>, Fault> {
    let mut reader = Reader(data);
    let number = if kind.incremental { None } else { Some(reader.fixed()?) };
    let left_ms = if kind.timed { Some(reader.fixed()?) } else { None };
    let length = match definition.key {
        Key::Integer | Key::Ipv4 => 4,
        Key::Ipv6 => 16,
        Key::String(most) => {
            let length = reader.integer()?;
            if length > most as u64 {
                return Err(Fault::Protocol);
            }
            length
        }
        Key::Binary(length) => length as u64,
    };
    let key = reader.bytes(length)?;
    for column in &definition.columns {
        for index in 0..column.elements {
            match column.form() {
                Form::Number => each(column, index, Value::Number(reader.integer()?)),
                Form::Rate => {
                    let (elapsed_ms, current, past) = (reader.integer()?, reader.short()?, reader.short()?);
                    each(column, index, Value::Rate { elapsed_ms, current, past });
                }
                Form::Word => each(column, index, Value::Word(words.read(&mut reader)?)),
            }
        }
    }
    Ok(Update { number, left_ms, key })
}

/// Appends what stands before the values. The key has the type of the table's definition.
pub fn write_head(key_type: Key, update: &Update<'_>, out: &mut Vec<u8>) {
    if let Some(number) = update.number {
        out.extend(number.to_be_bytes());
    }
    if let Some(ms) = update.left_ms {
        out.extend(ms.to_be_bytes());
    }
    match key_type {
        Key::String(_) => encode(update.key.len() as u64, out),
        Key::Binary(length) => debug_assert_eq!(update.key.len(), length as usize),
        Key::Integer | Key::Ipv4 | Key::Ipv6 => {}
    }
    out.extend_from_slice(update.key);
}

/// Appends one value.
pub fn write_value(value: Value<'_>, words: &mut Sent, out: &mut Vec<u8>) {
    match value {
        Value::Number(n) => encode(n, out),
        Value::Rate { elapsed_ms, current, past } => {
            encode(elapsed_ms, out);
            encode(current as u64, out);
            encode(past as u64, out);
        }
        Value::Word(word) => words.write(word, out),
    }
}
