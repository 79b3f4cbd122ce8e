//! The catalogue of converters (manual 7.3.1), a file a family. A row names the word, its arguments, what it takes
//! and gives, and its function.

mod address;
mod encode;
mod forwarded;
mod hash;
mod json;
mod map;
mod number;
mod table;
mod text;
mod time;
mod variable;

use super::fetch::Check;
use super::{Args, Sample, Type};
use crate::language::context::Context;
use std::collections::HashMap;
use std::sync::OnceLock;

/// Turns a sample of the row's input type into another; `None`: no sample.
pub type Run = for<'c> fn(&'c Args, Sample<'c>, &'c Context<'_>) -> Option<Sample<'c>>;

/// A row.
pub struct Convert {
    pub name: &'static str,
    pub args: &'static str,
    pub input: Type,
    pub output: Type,
    pub run: Run,
    pub check: Option<Check>,
}

impl std::fmt::Debug for Convert {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Makes a row.
pub(crate) const fn row(name: &'static str, args: &'static str, input: Type, output: Type, run: Run) -> Convert {
    Convert { name, args, input, output, run, check: None }
}

impl Convert {
    /// The row with a check of its arguments.
    pub(crate) const fn checked(mut self, check: Check) -> Convert {
        self.check = Some(check);
        self
    }
}

const FAMILIES: &[&[Convert]] = &[
    text::ROWS,
    encode::ROWS,
    hash::ROWS,
    number::ROWS,
    address::ROWS,
    time::ROWS,
    json::ROWS,
    forwarded::ROWS,
    table::ROWS,
    table::OTHER_ROWS,
    variable::ROWS,
];

/// The row of a word.
pub fn find(name: &str) -> Option<&'static Convert> {
    static INDEX: OnceLock<HashMap<&'static str, &'static Convert>> = OnceLock::new();
    INDEX.get_or_init(|| all().map(|f| (f.name, f)).collect()).get(name).copied()
}

/// The rows of each family.
pub fn families() -> impl Iterator<Item = &'static [Convert]> {
    FAMILIES.iter().chain(map::FAMILIES).copied()
}

/// Every row.
pub fn all() -> impl Iterator<Item = &'static Convert> {
    families().flatten()
}

/// The sample's bytes; `None` for other types, which a cast before the converter has excluded.
pub(crate) fn bytes_of<'c>(sample: Sample<'c>) -> Option<super::Bytes<'c>> {
    match sample {
        Sample::Str(b) | Sample::Bin(b) | Sample::Meth(b) => Some(b),
        _ => None,
    }
}
