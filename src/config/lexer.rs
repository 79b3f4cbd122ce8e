//! A line of configuration to words: blanks, quotes, escapes, comments and environment variables (manual 2.2, 2.3).
//! Knows neither keywords nor `.if`. Works on bytes, as HAProxy does; a word is kept as a `String` in which a byte
//! that is not UTF-8 stands as a private character ([`text_of`], [`bytes_of`]), so that nothing is lost on the way.

use std::borrow::Cow;

use super::env::Environment;
use crate::base::origin::Origin;

/// HAProxy takes no more words than this on a line.
pub const WORDS_MAX: usize = 64;
/// The part of a line that is shown below an error about it.
const SHOWN_WIDTH: usize = 80;
/// Bytes 0x80–0xFF that are not UTF-8 become U+F780–U+F7FF (a private area).
const RAW_BYTE: u32 = 0xF700;

/// One word, after quotes, escapes and variables were resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    /// Where it begins in the raw line, in bytes from 1.
    pub column: u32,
}

impl Word {
    /// The bytes of the word as they were written.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        bytes_of(&self.text)
    }
}

/// A line with at least one word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub origin: Origin,
    /// The line as it stands in the file, without its end.
    pub raw: String,
    pub words: Vec<Word>,
}

impl Line {
    /// The word at `index`, empty where there is none: HAProxy's own convention, which makes "missing" and "empty"
    /// one case (an empty word never gets here).
    pub fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", |w| w.text.as_str())
    }

    /// All words as text.
    pub fn texts(&self) -> Vec<&str> {
        self.words.iter().map(|w| w.text.as_str()).collect()
    }

    /// The column of the word at `index`, or of the end of the line.
    pub fn column(&self, index: usize) -> u32 {
        self.words.get(index).map_or(self.raw.len() as u32 + 1, |w| w.column)
    }
}

/// Where a line stands, for the pseudo-variables `.FILE`, `.LINE` and `.SECTION`.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub file: &'a str,
    pub line: u32,
    pub section: &'a str,
}

/// What is wrong with a line; `column` counts bytes from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LexError {
    pub fault: Fault,
    pub column: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    UnmatchedQuote,
    BadHex,
    UnmatchedBrace,
    BadVariableName,
    BadExpansion,
    /// The 64th word.
    TooManyWords(String),
}

impl LexError {
    /// HAProxy's text, with the line and a caret below it where HAProxy shows them.
    pub fn text(&self, raw: &[u8]) -> String {
        let what = match &self.fault {
            Fault::UnmatchedQuote => "unmatched quote",
            Fault::BadHex => "truncated or invalid hexadecimal sequence",
            Fault::UnmatchedBrace => "unmatched brace in environment variable name",
            Fault::BadVariableName => "forbidden first char in environment variable name",
            Fault::BadExpansion => "truncated or invalid word expansion sequence",
            Fault::TooManyWords(last) => {
                return format!(
                    "too many words, truncating after word {WORDS_MAX}, position {}: <{last}>.",
                    self.column
                );
            }
        };
        format!("{what} at position {}:\n{}", self.column, pointed(raw, self.column))
    }
}

/// Words of a line, and what the reader must know beyond them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lexed {
    pub words: Vec<Word>,
    /// The first empty word that is not the first of the line; an error unless the line is a `.if` or its like.
    pub empty: Option<Empty>,
}

/// An empty word: almost always a variable that is not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Empty {
    /// Its place among the words, the keyword being 0.
    pub index: usize,
    pub column: u32,
    /// The unset variable that made it empty.
    pub variable: Option<String>,
}

impl Empty {
    pub fn text(&self, raw: &[u8]) -> String {
        format!(
            "argument number {} at position {} is empty and marks the end of the argument list:\n{}\nAborting to \
             prevent all subsequent arguments from being silently ignored. If this is caused by an environment \
             variable expansion, please have a look at section 2.3 of the configuration manual to find \
             solutions to address this.",
            self.index,
            self.column,
            pointed(raw, self.column)
        )
    }
}

/// Cuts `raw` (one line, without its LF) into words.
pub fn lex(raw: &[u8], place: Place<'_>, env: &Environment) -> Result<Lexed, LexError> {
    Cutter { raw, at: 0, place, env, out: Lexed::default(), word: Building::default(), open: false }.run()
}

/// The word in the making.
#[derive(Default)]
struct Building {
    bytes: Vec<u8>,
    start: usize,
    /// Offset of the first closing quote, where HAProxy points when the word stays empty.
    closed: Option<usize>,
    /// The first unset variable and its offset.
    unset: Option<(String, usize)>,
    /// Quotes or text were seen, so that it is a word even when empty.
    exists: bool,
}

struct Cutter<'a> {
    raw: &'a [u8],
    at: usize,
    place: Place<'a>,
    env: &'a Environment,
    out: Lexed,
    word: Building,
    /// A word is being built.
    open: bool,
}

impl Cutter<'_> {
    fn run(mut self) -> Result<Lexed, LexError> {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | 0x0b | 0x0c => {
                    self.finish_word()?;
                    self.at += 1;
                }
                b'#' => break,
                b'"' => self.weak_quotes()?,
                b'\'' => self.strong_quotes()?,
                b'\\' => {
                    let byte = self.escape(false)?;
                    self.push(byte);
                }
                _ => {
                    self.push(byte);
                    self.at += 1;
                }
            }
        }
        self.finish_word()?;
        Ok(self.out)
    }

    fn peek(&self) -> Option<u8> {
        self.raw.get(self.at).copied()
    }

    fn fail<T>(&self, fault: Fault, offset: usize) -> Result<T, LexError> {
        Err(LexError { fault, column: offset as u32 + 1 })
    }

    fn open(&mut self) {
        if !self.open {
            self.open = true;
            self.word = Building { start: self.at, ..Building::default() };
        }
    }

    fn push(&mut self, byte: u8) {
        self.open();
        self.word.exists = true;
        self.word.bytes.push(byte);
    }

    fn strong_quotes(&mut self) -> Result<(), LexError> {
        self.open();
        let opening = self.at;
        let Some(length) = self.raw[opening + 1..].iter().position(|&b| b == b'\'') else {
            return self.fail(Fault::UnmatchedQuote, opening);
        };
        self.word.bytes.extend_from_slice(&self.raw[opening + 1..opening + 1 + length]);
        self.close_quotes(opening + 1 + length);
        Ok(())
    }

    fn weak_quotes(&mut self) -> Result<(), LexError> {
        self.open();
        let opening = self.at;
        // A list that expands to nothing leaves no word behind, unless something else stands in it.
        let mut only_lists = false;
        self.at += 1;
        loop {
            match self.peek() {
                None => return self.fail(Fault::UnmatchedQuote, opening),
                Some(b'"') => break,
                Some(b'\\') => {
                    let byte = self.escape(true)?;
                    self.push(byte);
                }
                Some(b'$') => only_lists |= self.variable()?,
                Some(byte) => {
                    self.push(byte);
                    self.at += 1;
                }
            }
        }
        let existed = self.word.exists;
        self.close_quotes(self.at);
        if only_lists && !existed {
            self.word.exists = false;
        }
        Ok(())
    }

    fn close_quotes(&mut self, closing: usize) {
        self.open = true;
        self.word.exists = true;
        self.word.closed.get_or_insert(closing);
        self.at = closing + 1;
    }

    /// The byte that the escape at `self.at` stands for. An unknown escape is no escape: the backslash stays.
    fn escape(&mut self, quoted: bool) -> Result<u8, LexError> {
        let next = self.raw.get(self.at + 1).copied();
        let (byte, length) = match next {
            Some(b @ (b' ' | b'\\' | b'"' | b'\'' | b'#')) => (b, 2),
            Some(b'$') if quoted => (b'$', 2),
            Some(b'n') => (b'\n', 2),
            Some(b'r') => (b'\r', 2),
            Some(b't') => (b'\t', 2),
            Some(b'x') => {
                let digits = self.raw.get(self.at + 2..self.at + 4).unwrap_or_default();
                let Some(value) = hex(digits) else { return self.fail(Fault::BadHex, self.at) };
                (value, 4)
            }
            _ => (b'\\', 1),
        };
        // The word begins at the backslash, so it is opened before the position moves on.
        self.open();
        self.at += length;
        Ok(byte)
    }

    /// Expands the variable at `self.at`; true for the list form.
    fn variable(&mut self) -> Result<bool, LexError> {
        self.at += 1;
        let brace = (self.peek() == Some(b'{')).then_some(self.at);
        if brace.is_some() {
            self.at += 1;
        }
        let start = self.at;
        let name = self.variable_name(start)?;
        let (mut list, mut default) = (false, None);
        if let Some(brace) = brace {
            if self.peek() == Some(b'[') {
                if !self.raw[self.at..].starts_with(b"[*]") {
                    return self.fail(Fault::BadExpansion, self.at);
                }
                list = true;
                self.at += 3;
            }
            if self.peek() == Some(b'-') {
                let rest = &self.raw[self.at + 1..];
                let Some(length) = rest.iter().position(|&b| b == b'}') else {
                    return self.fail(Fault::UnmatchedBrace, brace);
                };
                default = Some(rest[..length].to_vec());
                self.at += 1 + length;
            }
            if self.peek() != Some(b'}') {
                return self.fail(Fault::UnmatchedBrace, brace);
            }
            self.at += 1;
        }
        let Some(value) = self.value(&name).or(default) else {
            self.word.unset.get_or_insert((name, start));
            return Ok(list);
        };
        if list {
            self.spread(&value)?;
        } else {
            self.word.bytes.extend_from_slice(&value);
        }
        Ok(list)
    }

    fn variable_name(&mut self, start: usize) -> Result<String, LexError> {
        let rest = &self.raw[start..];
        for pseudo in [".FILE", ".LINE", ".SECTION"] {
            let after = rest.get(pseudo.len());
            if rest.starts_with(pseudo.as_bytes()) && !after.is_some_and(|&b| is_name_byte(b)) {
                self.at += pseudo.len();
                return Ok(pseudo.to_owned());
            }
        }
        match rest.first() {
            Some(&b) if b == b'_' || b.is_ascii_alphabetic() => {}
            _ => return self.fail(Fault::BadVariableName, start),
        }
        let length = rest.iter().position(|&b| !is_name_byte(b)).unwrap_or(rest.len());
        self.at += length;
        Ok(String::from_utf8_lossy(&rest[..length]).into_owned())
    }

    fn value(&self, name: &str) -> Option<Vec<u8>> {
        match name {
            ".FILE" => Some(bytes_of(self.place.file).into_owned()),
            ".LINE" => Some(self.place.line.to_string().into_bytes()),
            ".SECTION" => Some(bytes_of(self.place.section).into_owned()),
            _ => self.env.get(name).map(|v| bytes_of(v).into_owned()),
        }
    }

    /// `"${LIST[*]}"`: the blanks in the value separate words, as if they stood outside quotes.
    fn spread(&mut self, value: &[u8]) -> Result<(), LexError> {
        for &byte in value {
            if byte.is_ascii_whitespace() || byte == 0x0b {
                if self.word.exists {
                    self.finish_word()?;
                    self.open();
                }
            } else {
                self.push(byte);
            }
        }
        Ok(())
    }

    fn finish_word(&mut self) -> Result<(), LexError> {
        if !std::mem::take(&mut self.open) || !self.word.exists {
            return Ok(());
        }
        let mut word = std::mem::take(&mut self.word);
        // HAProxy's words are C strings: `\x00` ends one.
        if let Some(nul) = word.bytes.iter().position(|&b| b == 0) {
            word.bytes.truncate(nul);
        }
        let index = self.out.words.len();
        if index == WORDS_MAX {
            let last = &self.out.words[WORDS_MAX - 1];
            let fault = Fault::TooManyWords(last.text.clone());
            // HAProxy counts this one position from 0.
            return Err(LexError { fault, column: last.column - 1 });
        }
        if word.bytes.is_empty() && index > 0 && self.out.empty.is_none() {
            let (variable, offset) = match word.unset {
                Some((name, offset)) => (Some(name), offset),
                None => (None, word.closed.unwrap_or(word.start)),
            };
            self.out.empty = Some(Empty { index, column: offset as u32 + 1, variable });
        }
        self.out.words.push(Word { text: text_of(&word.bytes), column: word.start as u32 + 1 });
        Ok(())
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

fn hex(digits: &[u8]) -> Option<u8> {
    let [high, low] = digits else { return None };
    let digit = |b: &u8| (*b as char).to_digit(16);
    Some((digit(high)? * 16 + digit(low)?) as u8)
}

/// The line as HAProxy shows it under an error, with a caret below byte `column` (from 1): two blanks of indent, what
/// is not printable as `?`, and only the neighbourhood of the column when that is far to the right.
pub fn pointed(raw: &[u8], column: u32) -> String {
    let lead = raw.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(raw.len());
    let at = (column.max(1) as usize - 1).saturating_sub(lead);
    let shown: String = raw[lead..]
        .iter()
        .map(|&b| match b {
            b' '..=b'~' => b as char,
            b'\t' | b'\r' => ' ',
            _ => '?',
        })
        .collect();
    let shown = shown.trim_end();
    if at < SHOWN_WIDTH {
        let end = shown.len().min(SHOWN_WIDTH);
        return format!("  {}\n  {:>2$}", &shown[..end], "^", at + 1);
    }
    let half = SHOWN_WIDTH / 2;
    let from = (at - half + 3).min(shown.len());
    let end = shown.len().min(at + half - 3);
    format!("  ...{}...\n  {:>2$}", &shown[from..end], "^", half + 1)
}

/// Text that keeps every byte: UTF-8 as it is, other bytes as private characters.
pub fn text_of(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let raw = |text: &mut String, bytes: &[u8]| {
        text.extend(bytes.iter().filter_map(|&b| char::from_u32(RAW_BYTE + u32::from(b))));
    };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match is_raw_byte(c) {
                // One of the private characters was really written: byte by byte, so that it comes back.
                true => raw(&mut text, c.encode_utf8(&mut [0; 4]).as_bytes()),
                false => text.push(c),
            }
        }
        raw(&mut text, chunk.invalid());
    }
    text
}

fn is_raw_byte(c: char) -> bool {
    (RAW_BYTE + 0x80..RAW_BYTE + 0x100).contains(&(c as u32))
}

/// The bytes that [`text_of`] was given.
pub fn bytes_of(text: &str) -> Cow<'_, [u8]> {
    if !text.contains(is_raw_byte) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        if is_raw_byte(c) {
            bytes.push((c as u32 - RAW_BYTE) as u8);
        } else {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    Cow::Owned(bytes)
}

#[cfg(test)]
mod tests;
