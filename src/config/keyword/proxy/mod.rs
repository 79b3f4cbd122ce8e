//! Keywords of `defaults`, `frontend`, `backend` and `listen` (manual 4.1 has the matrix). One table a family.

mod balance;
mod basic;
mod capture;
mod check;
mod compression;
mod cookie;
mod errors;
mod forwarded;
mod http_check;
mod option;
pub mod rules;
mod stats;
mod stick;
mod tcp_check;
mod timeout;

use super::{
    InDefaults, Needs, Row, absent,
    args::{Args, Fault},
};
use crate::config::section::{HEADERS, Loading, unknown_keyword};

pub use compression::FILTERS_SERVED;
pub use errors::errorfile;
pub use option::{SWITCHES, WORDED};

/// All rows.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    [
        basic::ROWS,
        timeout::ROWS,
        option::ROWS,
        balance::ROWS,
        errors::ROWS,
        stats::ROWS,
        cookie::ROWS,
        capture::ROWS,
        compression::ROWS,
        check::ROWS,
        stick::ROWS,
        rules::ROWS,
    ]
    .into_iter()
    .flatten()
}

/// Reads a line of a proxy section.
pub fn read(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let word = a.get(0);
    let Some(row) = rows().find(|r| r.name == word) else {
        if let Some(fault) = super::removed::proxy(a) {
            return Err(fault);
        }
        let names = rows().map(|r| r.name).chain(HEADERS.iter().map(|h| h.name));
        return Err(unknown_keyword(a, cx.draft().section, absent::proxy(word), names));
    };
    if cx.in_defaults() {
        match row.defaults {
            InDefaults::Yes => {}
            InDefaults::No if word == "capture" => {
                let text = format!("'capture {}' not allowed in 'defaults' section.", a.get(1));
                return Err(a.fault(0, text));
            }
            InDefaults::No => return Err(a.fault(0, format!("'{word}' not allowed in 'defaults' section."))),
            InDefaults::Named if cx.draft().proxy.name.is_empty() => {
                return Err(a.fault(0, format!("'{word}' not allowed in anonymous 'defaults' section.")));
            }
            InDefaults::Named => {}
        }
    }
    if ignored(cx, a, row.needs, word) {
        return Ok(());
    }
    cx.refuse_unserved(a, 0, "proxy", word);
    (row.read)(cx, a)
}

/// Warns that a keyword means nothing in this kind of proxy; true where it does not.
pub(super) fn ignored(cx: &mut Loading<'_>, a: &Args<'_>, needs: Needs, word: &str) -> bool {
    let draft = cx.draft();
    let (missing, hint) = match needs {
        Needs::Frontend if !draft.proxy.has_frontend => ("frontend", "fullconn"),
        Needs::Backend if !draft.proxy.has_backend => ("backend", "maxconn"),
        _ => return false,
    };
    let mut text = format!("'{word}' ignored because {} has no {missing} capability.", draft.title());
    if matches!(word, "maxconn" | "fullconn") {
        text.push_str(&format!(" Maybe you want '{hint}' instead ?"));
    }
    cx.warn(a, 0, text);
    true
}
