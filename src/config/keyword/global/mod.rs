//! Keywords of the `global` section (manual 3). One table a family: the process, its limits, tuning, TLS, statistics.

pub mod case;
mod environment;
mod limits;
mod process;
mod stats;
mod tls;
mod tune;
pub mod variables;

pub use process::overflow as process_overflow;

use super::{
    Handler, absent,
    args::{Args, Fault},
};
use crate::config::section::{Loading, unknown_keyword};

/// A keyword of `global`.
pub struct GlobalRow {
    pub name: &'static str,
    pub read: Handler,
}

pub const fn g(name: &'static str, read: Handler) -> GlobalRow {
    GlobalRow { name, read }
}

/// All rows.
pub fn rows() -> impl Iterator<Item = &'static GlobalRow> {
    let families = [
        process::ROWS,
        environment::ROWS,
        limits::ROWS,
        stats::ROWS,
        tune::ROWS,
        tls::ROWS,
        variables::ROWS,
        case::ROWS,
    ];
    families.into_iter().flatten()
}

/// Reads a line of `global`.
pub fn read(loading: &mut Loading<'_>, args: &Args<'_>) -> Result<(), Fault> {
    let word = args.get(0);
    if let Some(row) = rows().find(|r| r.name == word) {
        loading.refuse_unserved(args, 0, "global", word);
        return (row.read)(loading, args);
    }
    if let Some(fault) = super::removed::global(args) {
        return Err(fault);
    }
    let sections = crate::config::section::HEADERS.iter().map(|h| h.name);
    Err(unknown_keyword(args, "global", absent::global(word), rows().map(|r| r.name).chain(sections)))
}

/// A keyword without arguments that sets a switch.
macro_rules! switch {
    ($field:ident) => {
        |cx, a| {
            a.at_most(0)?;
            cx.global.$field = cx.prefix == $crate::config::keyword::Prefix::None;
            Ok(())
        }
    };
}
pub(super) use switch;
