//! Patterns (manual 7.1): what a sample is compared with, by which method. Sets are values that may be replaced
//! while workers read them: a [`Source`] holds the lines of a file or a configuration line, each [`PatternSet`] an
//! index over them for one method. The runtime API edits sources; lookups never wait.

mod entries;
mod index;
pub mod map;
mod source;

pub use entries::{Entries, Entry};
pub use index::{Network, parse_range};
pub use source::{Registry, Source};

use super::sample::{Sample, Type};
use super::scratch::Pool;
use arc_swap::ArcSwap;
use index::Index;
use std::sync::Arc;

/// Matching methods (manual 7.1.1, `-m`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    Found,
    Bool,
    Int,
    Ip,
    Bin,
    Len,
    Str,
    Beg,
    Sub,
    Dir,
    Dom,
    End,
    Reg,
    /// Only in `map_regm`.
    Regm,
}

impl Method {
    /// The method by its word.
    pub fn parse(word: &str) -> Option<Method> {
        Some(match word {
            "found" => Method::Found,
            "bool" => Method::Bool,
            "int" => Method::Int,
            "ip" => Method::Ip,
            "bin" => Method::Bin,
            "len" => Method::Len,
            "str" => Method::Str,
            "beg" => Method::Beg,
            "sub" => Method::Sub,
            "dir" => Method::Dir,
            "dom" => Method::Dom,
            "end" => Method::End,
            "reg" => Method::Reg,
            "regm" => Method::Regm,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Method::Found => "found",
            Method::Bool => "bool",
            Method::Int => "int",
            Method::Ip => "ip",
            Method::Bin => "bin",
            Method::Len => "len",
            Method::Str => "str",
            Method::Beg => "beg",
            Method::Sub => "sub",
            Method::Dir => "dir",
            Method::Dom => "dom",
            Method::End => "end",
            Method::Reg => "reg",
            Method::Regm => "regm",
        }
    }

    /// What a sample is cast to before it is compared.
    pub fn input(self) -> Type {
        match self {
            Method::Found => Type::Any,
            Method::Bool => Type::Bool,
            Method::Int => Type::Sint,
            Method::Ip => Type::Addr,
            Method::Bin => Type::Bin,
            _ => Type::Str,
        }
    }
}

/// An index over a source's entries, for one method and case.
#[derive(Debug)]
pub struct PatternSet {
    pub method: Method,
    pub ignore_case: bool,
    pub source: Arc<Source>,
    current: ArcSwap<Compiled>,
}

/// One state of a set.
#[derive(Debug)]
struct Compiled {
    entries: Arc<Entries>,
    index: Index,
}

impl PatternSet {
    /// Compiles the source as it is. The error is HAProxy's text for the first pattern that is no good.
    pub(crate) fn new(source: Arc<Source>, method: Method, ignore_case: bool) -> Result<PatternSet, String> {
        let entries = source.entries();
        let index = Index::build(&entries, method, ignore_case)?;
        Ok(PatternSet { method, ignore_case, source, current: ArcSwap::from_pointee(Compiled { entries, index }) })
    }

    /// Compiles other entries without putting them in force.
    pub(crate) fn check(&self, entries: &Arc<Entries>) -> Result<Index, String> {
        Index::build(entries, self.method, self.ignore_case)
    }

    pub(crate) fn replace(&self, entries: Arc<Entries>, index: Index) {
        self.current.store(Arc::new(Compiled { entries, index }));
    }

    /// Whether a sample, cast to the method's type, matches.
    pub fn matches(&self, sample: &Sample<'_>, pool: &Pool) -> bool {
        let current = self.current.load();
        current.index.find(&current.entries, sample, pool).is_some()
    }

    /// Gives the entry that matches first, by HAProxy's order, to `then`.
    pub fn find<T>(&self, sample: &Sample<'_>, pool: &Pool, then: impl FnOnce(Entry<'_>) -> T) -> Option<T> {
        let current = self.current.load();
        let at = current.index.find(&current.entries, sample, pool)?;
        // `found` and `bool` match without looking at patterns, of which there may be none.
        (at < current.entries.len()).then(|| then(current.entries.get(at)))
    }

    pub fn is_empty(&self) -> bool {
        self.current.load().entries.is_empty()
    }

    /// The regular expression that matches first, with its entry, for `map_regm`.
    pub fn find_regex<T>(
        &self,
        sample: &Sample<'_>,
        then: impl FnOnce(&super::regex::Regex, Entry<'_>) -> T,
    ) -> Option<T> {
        let current = self.current.load();
        let (at, regex) = current.index.find_regex(sample.bytes()?)?;
        Some(then(regex, current.entries.get(at)))
    }
}
