//! A line's words as handlers see them, and what they answer when a word is wrong. Also the ways in which HAProxy reads
//! numbers, which are more lenient than ours would be.

use crate::{
    base::origin::Origin,
    config::{
        lexer::Line,
        unit::{Time, TimeError, Unit, time_as},
    },
};

/// Words of a line from the keyword on: `get(0)` is the keyword, a missing word is empty.
#[derive(Debug, Clone, Copy)]
pub struct Args<'a> {
    pub line: &'a Line,
    /// Index of the keyword in the line (1 after `no`).
    first: usize,
}

impl<'a> Args<'a> {
    pub fn new(line: &'a Line, first: usize) -> Self {
        Args { line, first }
    }

    /// The same words seen from a later one.
    pub fn skip(&self, words: usize) -> Args<'a> {
        Args { line: self.line, first: self.first + words }
    }

    pub fn get(&self, index: usize) -> &'a str {
        self.line.words.get(self.first + index).map_or("", |w| w.text.as_str())
    }

    /// Index in the line, for messages.
    pub fn word(&self, index: usize) -> usize {
        self.first + index
    }

    /// Number of words, the keyword included.
    pub fn len(&self) -> usize {
        self.line.words.len().saturating_sub(self.first)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All words from `index` on.
    pub fn from(&self, index: usize) -> impl Iterator<Item = &'a str> {
        self.line.words.iter().skip(self.first + index).map(|w| w.text.as_str())
    }

    pub fn strings(&self, index: usize) -> Vec<String> {
        self.from(index).map(str::to_owned).collect()
    }

    pub fn origin(&self) -> Origin {
        self.line.origin.clone()
    }

    /// Refuses words after the first `max` arguments.
    pub fn at_most(&self, max: usize) -> Result<(), Fault> {
        self.at_most_of(max, self.get(0))
    }

    /// [`Args::at_most`] for a keyword of several words.
    pub fn at_most_of(&self, max: usize, keyword: &str) -> Result<(), Fault> {
        match self.get(max + 1) {
            "" => Ok(()),
            extra => Err(self.fault(max + 1, format!("'{keyword}' cannot handle unexpected argument '{extra}'."))),
        }
    }

    /// `parsing [file:line] : text`.
    pub fn fault(&self, index: usize, text: impl Into<String>) -> Fault {
        Fault { text: text.into(), word: self.word(index), form: Form::Spaced }
    }

    /// `parsing [file:line]: text`.
    pub fn tight(&self, index: usize, text: impl Into<String>) -> Fault {
        Fault { text: text.into(), word: self.word(index), form: Form::Tight }
    }

    /// A text that names the place itself.
    pub fn own(&self, index: usize, text: impl Into<String>) -> Fault {
        Fault { text: text.into(), word: self.word(index), form: Form::Own }
    }
}

/// An alert that ends the reading of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub text: String,
    /// Index of the offending word in the line.
    pub word: usize,
    pub form: Form,
}

/// How HAProxy writes the place before a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `config : parsing [f:1] : text`
    Spaced,
    /// `config : parsing [f:1]: text`
    Tight,
    /// `config : text`
    Own,
    /// The text alone.
    Bare,
}

/// C's `atol`: what stands before the first character that is no digit, 0 when that is nothing.
pub fn atol(text: &str) -> i64 {
    let text = text.trim_start();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut value: i64 = 0;
    for digit in digits.bytes().take_while(u8::is_ascii_digit) {
        value = value.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
    }
    if negative { -value } else { value }
}

/// [`atol`] cut to a count: negative numbers are 0.
pub fn count(text: &str) -> u32 {
    u32::try_from(atol(text).max(0)).unwrap_or(u32::MAX)
}

/// The unit of a time without a suffix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bare {
    Ms,
    S,
}

/// Why a word is no time; `Char('\0')`: there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeFault {
    Overflow,
    Char(char),
}

/// Reads a time in milliseconds (manual 2.5), at most 2147483647. What follows the unit is an error here; HAProxy warns
/// that it will be one.
pub fn time_ms(text: &str, bare: Bare) -> Result<u64, TimeFault> {
    let bare = match bare {
        Bare::Ms => Unit::Milliseconds,
        Bare::S => Unit::Seconds,
    };
    match time_as(text, bare, Unit::Milliseconds) {
        Ok(time) => time.trailing.map_or(Ok(time.value), |c| Err(TimeFault::Char(c))),
        Err(TimeError::Overflow) => Err(TimeFault::Overflow),
        Err(TimeError::Unexpected(c)) => Err(TimeFault::Char(c)),
        Err(TimeError::Missing) => Err(TimeFault::Char('\0')),
    }
}

/// Reads a time in whole seconds.
pub fn time_s(text: &str, bare: Bare) -> Result<u32, TimeFault> {
    let bare = match bare {
        Bare::Ms => Unit::Milliseconds,
        Bare::S => Unit::Seconds,
    };
    match time_as(text, bare, Unit::Seconds) {
        Ok(Time { trailing: Some(c), .. }) => Err(TimeFault::Char(c)),
        Ok(time) => Ok(u32::try_from(time.value).unwrap_or(u32::MAX)),
        Err(TimeError::Overflow) => Err(TimeFault::Overflow),
        Err(TimeError::Unexpected(c)) => Err(TimeFault::Char(c)),
        Err(TimeError::Missing) => Err(TimeFault::Char('\0')),
    }
}

/// Reads a size with `k`, `m` or `g` (manual 2.5). The error is the rest that was not understood.
pub fn size(text: &str) -> Result<u64, &str> {
    let end = text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let (digits, suffix) = text.split_at(end);
    let Ok(value) = digits.parse::<u64>() else { return Err(text) };
    let shift = match suffix {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        // After a unit only what follows it is strange.
        _ => return Err(suffix.strip_prefix(['k', 'K', 'm', 'M', 'g', 'G']).unwrap_or(suffix)),
    };
    value.checked_shl(shift).filter(|v| v >> shift == value).ok_or(text)
}
