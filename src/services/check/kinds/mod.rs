//! The ready-made scripts: one file for each `option ...-check` (manual 4.2), with what it sends and how it judges the
//! answer. Bytes as HAProxy sends them. They know no sockets.

pub mod ldap;
pub mod mysql;
pub mod pgsql;
pub mod redis;
pub mod smtp;
pub mod spop;
pub mod ssl_hello;

use super::script::{Action, Connect, Expect, Judge, Pattern, Send, Step, Template};
use super::text;
use crate::model::state::health::CheckStatus;

/// What a judge says of the bytes received so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// More is needed. Not said of the last bytes: then it means an answer that broke off.
    Wait,
    /// On with the next step.
    Next,
    /// On with the next step; if there is none, this is the report.
    Passed {
        code: u16,
        info: String,
    },
    Failed {
        status: CheckStatus,
        code: u16,
        info: String,
    },
}

impl Judged {
    pub fn failed(status: CheckStatus, code: u16, info: &[u8]) -> Judged {
        Judged::Failed { status, code, info: text::info(info) }
    }

    pub fn passed(code: u16, info: &[u8]) -> Judged {
        Judged::Passed { code, info: text::info(info) }
    }
}

fn connect() -> Step {
    Step::implicit(Action::Connect(Connect::implicit()))
}

fn send(bytes: Vec<u8>) -> Step {
    Step::implicit(Action::Send(Send::Bytes(Template::Bytes(bytes))))
}

fn expect(judge: Judge) -> Step {
    Step::implicit(Action::Expect(Expect::new(Pattern::Judge(judge))))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A judge never asks for more of a full buffer, whatever it holds, and never panics on a cut of `answer`.
    pub fn holds_on_any_cut(judge: Judge, answer: &[u8]) {
        for end in 0..=answer.len() {
            judge(&answer[..end], false);
            judge(&answer[..end], true);
        }
        for byte in [0u8, b'a', b'2', b'R', b'E', b'0', 0x16, 0xff] {
            for len in [1, 2, 3, 4, 5, 8, 13, 64, 16384] {
                judge(&vec![byte; len], false);
                judge(&vec![byte; len], true);
            }
        }
    }
}
