//! Words that were sent once are named by a number from then on (STD_T_DICT in the document): servers' names repeat. Both
//! sides keep as many as HAProxy does; a new word takes the place of the one sent first.

use super::Fault;
use super::varint::{Reader, encode};

/// Words that each direction of a connection remembers. They are numbered from 1.
pub const WORDS: usize = 128;
/// Bytes of a word at most.
const WORD_MAX: u64 = 1024;

/// What we have sent.
#[derive(Debug, Default)]
pub struct Sent {
    words: Vec<Box<[u8]>>,
    next: usize,
}

/// What we have received.
#[derive(Debug, Default)]
pub struct Received {
    words: Vec<Option<Box<[u8]>>>,
}

impl Sent {
    /// Appends a word, or nothing.
    pub fn write(&mut self, word: Option<&[u8]>, out: &mut Vec<u8>) {
        let Some(word) = word else {
            out.push(0);
            return;
        };
        let mut data = Vec::with_capacity(word.len() + 4);
        if let Some(known) = self.words.iter().position(|w| **w == *word) {
            encode(known as u64 + 1, &mut data);
        } else {
            let at = self.next;
            self.next = (self.next + 1) % WORDS;
            match self.words.get_mut(at) {
                Some(old) => *old = word.into(),
                None => self.words.push(word.into()),
            }
            encode(at as u64 + 1, &mut data);
            encode(word.len() as u64, &mut data);
            data.extend_from_slice(word);
        }
        encode(data.len() as u64, out);
        out.extend_from_slice(&data);
    }

    /// The words with their numbers.
    pub fn words(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.words.iter().enumerate().map(|(i, w)| (i + 1, &**w))
    }
}

impl Received {
    /// Reads a word; `None`: there is none, or it is not remembered.
    ///
    /// # Errors
    /// It ends too early, or has a number that is none.
    pub fn read(&mut self, reader: &mut Reader<'_>) -> Result<Option<&[u8]>, Fault> {
        let length = reader.integer()?;
        let mut data = Reader(reader.bytes(length)?);
        if data.is_empty() {
            return Ok(None);
        }
        let number = data.integer()?;
        let at = usize::try_from(number).ok().and_then(|n| n.checked_sub(1)).filter(|n| *n < WORDS);
        let at = at.ok_or(Fault::Protocol)?;
        if !data.is_empty() {
            let length = data.integer()?;
            if length > WORD_MAX {
                return Err(Fault::TooLong);
            }
            let word = data.bytes(length)?;
            if self.words.len() <= at {
                self.words.resize(at + 1, None);
            }
            self.words[at] = Some(word.into());
        }
        Ok(self.words.get(at).and_then(|w| w.as_deref()))
    }

    /// The words with their numbers.
    pub fn words(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.words.iter().enumerate().filter_map(|(i, w)| Some((i + 1, w.as_deref()?)))
    }
}
