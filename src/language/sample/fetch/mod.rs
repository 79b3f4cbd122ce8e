//! The catalogue of fetches (manual 7.3.2 to 7.3.6), a file a family. A row names the word, its arguments, its type,
//! what it needs and its function; aliases are rows of their own with the same function.

mod acls;
mod auth;
mod certificate;
mod client;
mod constant;
mod cookie;
mod counters;
mod header;
mod hello;
mod payload;
mod process;
mod proxies;
mod stream;
mod tls;
mod url;

use super::scope::Needs;
use super::{Args, Probe, Sample, Type};
use crate::language::context::Context;
use crate::language::parse::Parse;
use std::collections::HashMap;
use std::sync::OnceLock;

/// Reads a value.
pub type Run = for<'c> fn(&'c Args, &'c Context<'_>, &mut Probe) -> Option<Sample<'c>>;
/// Checks and resolves arguments at load time. The error is HAProxy's text.
pub type Check = fn(&mut Args, &mut Parse<'_>) -> Result<(), String>;

/// A row.
pub struct Fetch {
    pub name: &'static str,
    /// As `haproxy -dKsmp` writes it: `integer[,string]`.
    pub args: &'static str,
    pub out: Type,
    pub needs: Needs,
    pub run: Run,
    pub check: Option<Check>,
}

impl std::fmt::Debug for Fetch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Makes a row.
pub(crate) const fn row(name: &'static str, args: &'static str, out: Type, needs: Needs, run: Run) -> Fetch {
    Fetch { name, args, out, needs, run, check: None }
}

impl Fetch {
    /// The row with a check of its arguments.
    pub(crate) const fn checked(mut self, check: Check) -> Fetch {
        self.check = Some(check);
        self
    }
}

pub use constant::check_var;
pub use header::split_values;
pub use url::{parameter, path as path_of, pathq as pathq_of, query as query_of};

const FAMILIES: &[&[Fetch]] = &[
    constant::ROWS,
    acls::ROWS,
    process::ROWS,
    proxies::ROWS,
    client::ROWS,
    tls::ROWS,
    certificate::CLIENT_ROWS,
    certificate::OWN_ROWS,
    certificate::SERVER_ROWS,
    certificate::OTHER_ROWS,
    counters::ROWS,
    counters::OTHER_ROWS,
    hello::ROWS,
    payload::ROWS,
    header::ROWS,
    cookie::ROWS,
    url::ROWS,
    auth::ROWS,
    stream::ROWS,
];

/// The row of a word.
pub fn find(name: &str) -> Option<&'static Fetch> {
    static INDEX: OnceLock<HashMap<&'static str, &'static Fetch>> = OnceLock::new();
    INDEX.get_or_init(|| all().map(|f| (f.name, f)).collect()).get(name).copied()
}

/// Every row.
pub fn all() -> impl Iterator<Item = &'static Fetch> {
    FAMILIES.iter().flat_map(|f| f.iter())
}
