//! What an evaluation of rules comes to.

use super::reply::Reply;
use std::sync::Arc;

/// What a rule set decided. Edits of messages and variables are done by then.
#[derive(Debug)]
pub enum Verdict {
    /// The rules ran out.
    Continue,
    /// `accept` or `allow`: no further rule of this set.
    Accept,
    /// `reject`: the connection is closed without an answer.
    Reject,
    /// `tcp-response content close`: the server's side is closed.
    Close,
    SilentDrop,
    /// `deny`: an answer, counted as denied.
    Deny(Reply),
    /// `tarpit`: the same, after `timeout tarpit`.
    Tarpit(Reply),
    /// `return`.
    Return(Reply),
    Redirect(Reply),
    /// `auth`: 401, or 407 on a proxy request.
    Auth(Reply),
    UseService(Arc<str>),
    /// `cache-use` and `cache-store` name a cache; the data plane looks there and resumes after the rule.
    CacheUse {
        cache: Arc<str>,
        resume: usize,
    },
    CacheStore {
        cache: Arc<str>,
        resume: usize,
    },
    /// `switch-mode http`.
    SwitchMode(HttpProtocol),
    /// Nothing more to do until something came; then the rules go on at `resume`.
    Wait {
        what: Wait,
        resume: usize,
    },
    /// A rule could not be done (a header did not fit): HAProxy's internal error, counted as a failed rewrite.
    Failed,
}

/// What a rule waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// More bytes, or the end of `inspect-delay`.
    Payload,
    /// The body: at most this long, until this many bytes are there (0: all) or a buffer is full. It is not asked for twice.
    Body { time_ms: u64, at_least: u64 },
    /// An answer from a stick table's home.
    Table,
    /// The address of a name.
    Name,
    /// `pause`.
    Pause(u64),
    /// The TLS handshake's end (early data).
    Handshake,
}

/// `proto` of `switch-mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpProtocol {
    Detect,
    H1,
    H2,
}

/// What one action says.
#[derive(Debug)]
pub enum Flow {
    Next,
    /// The verdict is final.
    Stop(Verdict),
    /// The same rule is tried again when it came.
    Wait(Wait),
    /// Wait once, then go on with the next rule.
    WaitThenNext(Wait),
}
