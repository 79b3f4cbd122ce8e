//! `stats ...` of a proxy (manual 4.2): the statistics page.

use super::rules::gate;
use crate::{
    config::{
        keyword::{
            Needs::Nothing,
            Row, absent,
            args::{Args, Bare, Fault, TimeFault, time_s},
            expr,
            global::process_overflow,
            row, unserved,
        },
        section::Loading,
    },
    language::{rules::Phase, sample::scope::Points},
    model::stats::StatsPage,
};

pub static ROWS: &[Row] = &[row("stats", Nothing, stats)];

const EXPECTS: &str = "expects 'admin', 'uri', 'realm', 'auth', 'scope', 'enable', 'hide-version', 'show-node', 'show-desc' , \
                       'show-legends' or 'show-version'.";

fn page<'c>(cx: &'c mut Loading<'_>, a: &Args<'_>) -> &'c mut StatsPage {
    cx.draft().proxy.stats.get_or_insert_with(|| StatsPage::new(a.origin()))
}

/// The value after a `stats` word.
fn value<'a>(a: &Args<'a>, needs: &str) -> Result<&'a str, Fault> {
    match a.get(2) {
        "" => Err(a.fault(2, format!("'{}' needs {needs}.", a.get(1)))),
        word => Ok(word),
    }
}

fn stats(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let word = a.get(1);
    if cx.options.refuse_unserved && unserved::reason("stats", word).is_some() {
        return Err(a.fault(1, absent::text(&format!("stats {word}"))));
    }
    match word {
        "" => return Err(a.tight(1, format!("missing keyword in 'stats', {EXPECTS}"))),
        "enable" => {
            page(cx, a);
        }
        "uri" => page(cx, a).uri = value(a, "an URI prefix")?.to_owned(),
        "realm" => page(cx, a).realm = Some(value(a, "an realm name")?.to_owned()),
        "auth" => {
            let account = value(a, "a user:password account")?;
            let (user, password) = account.split_once(':').unwrap_or((account, ""));
            page(cx, a).auth.push((user.to_owned(), password.to_owned()));
        }
        "scope" => {
            let name = value(a, "a proxy name")?.to_owned();
            page(cx, a).scope.push(name);
        }
        "refresh" => {
            let word = value(a, "a time")?;
            let seconds = time_s(word, Bare::S).map_err(|fault| match fault {
                TimeFault::Overflow => a.tight(2, process_overflow(word, "stats refresh")),
                TimeFault::Char(c) => {
                    a.tight(2, format!("unexpected character '{c}' in argument to stats refresh interval."))
                }
            })?;
            page(cx, a).refresh_s = Some(seconds).filter(|&s| s > 0);
        }
        "hide-version" => page(cx, a).show_version = false,
        "show-version" => page(cx, a).show_version = true,
        "show-legends" => page(cx, a).show_legends = true,
        "show-modules" => page(cx, a).show_modules = true,
        "show-node" => page(cx, a).show_node = Some(Some(a.strings(2).join(" ")).filter(|n| !n.is_empty())),
        "show-desc" => {
            let text = a.strings(2).join(" ");
            if text.is_empty() && cx.global.description.is_none() {
                cx.warn_tight(a, 1, "'show-desc' requires a parameter or 'desc' to be set in the global section.");
            }
            page(cx, a).show_desc = Some(Some(text).filter(|t| !t.is_empty()));
        }
        "admin" => {
            let words = a.strings(2);
            page(cx, a).admin.push(words);
            return gate(cx, a, 2, "stats admin", "rule", Points::BE_HRQ_HDR, |rules| &mut rules.stats_admin);
        }
        "http-request" => {
            let words: Vec<&str> = a.from(2).collect();
            let base = a.word(2);
            page(cx, a).rules.push(a.strings(2));
            return expr::line(cx, a, |p, rules| {
                rules.stats_http_request.parse_rule(Phase::HttpRequest, &words, base, p)
            });
        }
        "bind-process" => return Err(a.tight(1, "'stats bind-process' is not supported anymore.")),
        other => return Err(a.tight(1, format!("unknown stats parameter '{other}', {EXPECTS}"))),
    }
    Ok(())
}
