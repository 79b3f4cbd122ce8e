//! The catalogues: which keyword stands in which section and what reads it. Keywords are data; a row is a name, where it
//! may stand and a function that puts the words into the model. One file a family; messages are HAProxy's, word for word.
//! Names that HAProxy 3.4 has and this catalogue lacks are in [`absent`], those it removed in [`removed`], those that are
//! read but not served by the data plane yet in [`unserved`].

pub mod absent;
pub mod address;
pub mod args;
pub mod bind;
pub mod expr;
pub mod global;
pub mod log;
pub mod proxy;
pub mod removed;
pub mod server;
pub mod source;
pub mod stick_table;
pub mod unserved;

#[cfg(test)]
mod tests;

pub use args::{Args, Fault};

use super::section::Loading;

/// What a row calls: reads the words of a line into what is being loaded.
pub type Handler = fn(&mut Loading<'_>, &Args<'_>) -> Result<(), Fault>;

/// Which capability a proxy needs for a keyword to mean something there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    Nothing,
    Frontend,
    Backend,
}

/// Whether a keyword may stand in `defaults`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InDefaults {
    Yes,
    No,
    /// Only where the section has a name.
    Named,
}

/// A keyword of a proxy section.
pub struct Row {
    pub name: &'static str,
    pub needs: Needs,
    pub defaults: InDefaults,
    pub read: Handler,
}

/// A row for a keyword that may stand anywhere.
pub const fn row(name: &'static str, needs: Needs, read: Handler) -> Row {
    Row { name, needs, defaults: InDefaults::Yes, read }
}

/// A row for a keyword that `defaults` refuses.
pub const fn row_nodef(name: &'static str, needs: Needs, read: Handler) -> Row {
    Row { name, needs, defaults: InDefaults::No, read }
}

/// A row for a keyword that only a `defaults` with a name takes.
pub const fn row_named(name: &'static str, needs: Needs, read: Handler) -> Row {
    Row { name, needs, defaults: InDefaults::Named, read }
}

/// What a notice says of `nice` factors.
pub const NO_PRIORITIES: &str = "a worker serves events as they arrive, so priorities of tasks change nothing";

/// A `no` or `default` before the keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Prefix {
    #[default]
    None,
    No,
    Default,
}

/// The keywords that take a prefix beside `option` (manual 4.2 "no", "default").
pub const NEGATABLE: [&str; 7] =
    ["option", "log", "busy-polling", "set-dumpable", "strict-limits", "insecure-fork-wanted", "numa-cpu-mapping"];
