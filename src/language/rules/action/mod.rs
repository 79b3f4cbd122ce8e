//! The catalogue of actions (manual 4.4), a file a family. A row names the word, where it is allowed, and the
//! function that reads its arguments and gives what is run.

mod flow;
mod header;
mod normalize;
mod patterns;
mod resolve;
mod session;
mod track;
mod uri;
mod variable;

pub use flow::SERVICES;
pub use variable::{SetIf, VarTarget};

use super::{Flow, Phase};
use crate::language::context::Context;
use crate::language::logformat::{LogFormat, Usage};
use crate::language::parse::{Error, Parse, Words};
use crate::language::sample::Expr;
use crate::language::words;

/// What a rule does.
pub type Run = Box<dyn Fn(&mut Context<'_>) -> Flow + Send + Sync>;

/// Where an action stands: its phase and its word as written (`set-var(txn.a)`).
pub struct At<'w> {
    pub phase: Phase,
    pub name: &'w str,
}

/// Reads an action's arguments.
pub type ParseAction = fn(&At<'_>, &mut Words<'_>, &mut Parse<'_>) -> Result<Run, Error>;

/// A row.
pub struct Action {
    pub name: &'static str,
    /// The word goes on after the name: `set-var(…)`, `track-sc0`.
    pub prefix: bool,
    phases: u8,
    pub parse: ParseAction,
}

/// Makes a row for the phases of `phases`.
pub(crate) const fn row(name: &'static str, phases: u8, parse: ParseAction) -> Action {
    Action { name, prefix: false, phases, parse }
}

impl Action {
    pub(crate) const fn prefixed(mut self) -> Action {
        self.prefix = true;
        self
    }

    pub fn allowed(&self, phase: Phase) -> bool {
        self.phases & phase.bit() != 0
    }
}

pub(crate) const CONNECTION: u8 = Phase::TcpRequestConnection.bit();
pub(crate) const SESSION: u8 = Phase::TcpRequestSession.bit();
pub(crate) const CONTENT: u8 = Phase::TcpRequestContent.bit();
pub(crate) const TCP_RESPONSE: u8 = Phase::TcpResponseContent.bit();
pub(crate) const REQUEST: u8 = Phase::HttpRequest.bit();
pub(crate) const RESPONSE: u8 = Phase::HttpResponse.bit();
pub(crate) const AFTER: u8 = Phase::HttpAfterResponse.bit();
/// All HTTP phases.
pub(crate) const HTTP: u8 = REQUEST | RESPONSE | AFTER;
/// All phases that look at the client's first bytes.
pub(crate) const TCP_REQUEST: u8 = CONNECTION | SESSION | CONTENT;
pub(crate) const EVERYWHERE: u8 = TCP_REQUEST | TCP_RESPONSE | HTTP;

const FAMILIES: &[&[Action]] = &[
    flow::ROWS,
    header::ROWS,
    uri::ROWS,
    normalize::ROWS,
    variable::ROWS,
    session::ROWS,
    track::ROWS,
    patterns::ROWS,
    resolve::ROWS,
];

/// Every row.
pub fn all() -> impl Iterator<Item = &'static Action> {
    FAMILIES.iter().flat_map(|f| f.iter())
}

/// The row of a word in a phase: exact names before prefixes, longer prefixes before shorter ones.
pub fn find(phase: Phase, word: &str) -> Option<&'static Action> {
    let mut best: Option<&'static Action> = None;
    for action in all().filter(|a| a.allowed(phase)) {
        if action.name == word && !action.prefix {
            return Some(action);
        }
        let fits = action.prefix && word.starts_with(action.name);
        if fits && best.is_none_or(|b| b.name.len() < action.name.len()) {
            best = Some(action);
        }
    }
    best
}

/// The error for a word that is no action here.
pub fn unknown(phase: Phase, word: &str, index: usize, p: &Parse<'_>) -> Error {
    let expected = expected(phase);
    let stem = word.split('(').next().unwrap_or_default();
    let named = |w: &&str| w.trim_end_matches("(*)") == stem;
    if expected.iter().any(named) || (stem.starts_with("track-sc") && phase != Phase::TcpResponseContent) {
        return Error::new(index, words::unsupported(word));
    }
    let list = expected.iter().map(|w| format!("'{w}'")).collect::<Vec<_>>().join(", ");
    let words = phase.words();
    let head = if phase.is_http() { "" } else { tcp_head(phase) };
    let mut text = match phase.is_http() {
        true => format!("'{words}' expects {list}, but got '{word}'"),
        false => {
            format!("'{words}' expects {head}{list} in {} '{}' (got '{word}')", p.section.word(), p.proxy)
        }
    };
    let candidates = expected.iter().map(|w| w.trim_end_matches("(*)"));
    let built_in = head.split('\'').skip(1).step_by(2);
    match words::nearest(stem, candidates.chain(built_in)) {
        _ if word.is_empty() && phase.is_http() => text.push_str(" (missing argument)."),
        Some(near) if !word.is_empty() => text.push_str(&format!(". Did you mean '{near}' maybe ?")),
        _ => text.push('.'),
    }
    Error::new(index, text)
}

/// The actions of a phase in HAProxy's order, for its message.
fn expected(phase: Phase) -> Vec<&'static str> {
    let name = phase.words();
    EXPECTED
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'))
        .unwrap_or_default()
        .split(' ')
        .collect()
}

/// One line a phase: its name, a tab, and HAProxy's actions in the order of its message.
const EXPECTED: &str = include_str!("expected.tsv");

/// The built-in actions of a TCP phase, which its message names first.
fn tcp_head(phase: Phase) -> &'static str {
    match phase {
        Phase::TcpResponseContent => "'accept', 'close', 'reject', ",
        _ => "'accept', 'reject', 'capture', 'expect-proxy', 'expect-netscaler-cip', 'track-sc0' ... 'track-sc2', ",
    }
}

/// Reads a word as a log-format that gives a value.
pub(crate) fn format(w: &mut Words<'_>, missing: &str, p: &mut Parse<'_>) -> Result<LogFormat, Error> {
    let index = w.index();
    let word = w.next().ok_or_else(|| Error::new(index, missing))?;
    LogFormat::parse(word, Usage::Value, p).map_err(|e| Error::new(index, e))
}

/// The same for what goes into a head: bytes that would break a line are escaped.
pub(crate) fn head_format(w: &mut Words<'_>, missing: &str, p: &mut Parse<'_>) -> Result<LogFormat, Error> {
    let index = w.index();
    let word = w.next().ok_or_else(|| Error::new(index, missing))?;
    LogFormat::parse(word, Usage::Header, p).map_err(|e| Error::new(index, e))
}

/// Reads a bare expression, checked for the phase.
pub(crate) fn expression(at: &At<'_>, w: &mut Words<'_>, p: &mut Parse<'_>) -> Result<Expr, Error> {
    let index = w.index();
    let word = w.next().filter(|w| !w.is_empty()).ok_or_else(|| Error::new(index, "missing fetch method"))?;
    let expr = Expr::parse_word(word, index, p)?;
    expr.check_scope_of_action(at.name, p).map_err(|e| Error::new(index, e))?;
    Ok(expr)
}

/// Evaluates `format` into a buffer and hands it to `then` with the context.
pub(crate) fn with_text<T>(
    cx: &mut Context<'_>,
    format: &LogFormat,
    then: impl FnOnce(&mut Context<'_>, &[u8]) -> T,
) -> T {
    let mut text = cx.pool.take();
    format.write(cx, &mut text);
    let result = then(cx, &text);
    cx.pool.give(text);
    result
}
