//! Rule sets (manual 4.3): actions with conditions, run in order, one set a phase. An action that must wait says so,
//! and the evaluation resumes at its rule.

pub mod action;
pub mod redirect;
pub mod reply;
pub mod switching;
mod verdict;

pub use verdict::{Flow, HttpProtocol, Verdict, Wait};

use super::acl::{Condition, Truth};
use super::context::{Context, Side};
use super::parse::{Error, Parse, Words};
use super::sample::args::ReferenceKind;
use super::sample::scope::Points;
use super::world::Outcome;
use crate::base::origin::Origin;
use action::{Action, Run};

/// Phases with rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    TcpRequestConnection,
    TcpRequestSession,
    TcpRequestContent,
    TcpResponseContent,
    HttpRequest,
    HttpResponse,
    HttpAfterResponse,
}

impl Phase {
    pub const ALL: [Phase; 7] = [
        Phase::TcpRequestConnection,
        Phase::TcpRequestSession,
        Phase::TcpRequestContent,
        Phase::TcpResponseContent,
        Phase::HttpRequest,
        Phase::HttpResponse,
        Phase::HttpAfterResponse,
    ];

    /// The words that name the phase.
    pub fn words(self) -> &'static str {
        match self {
            Phase::TcpRequestConnection => "tcp-request connection",
            Phase::TcpRequestSession => "tcp-request session",
            Phase::TcpRequestContent => "tcp-request content",
            Phase::TcpResponseContent => "tcp-response content",
            Phase::HttpRequest => "http-request",
            Phase::HttpResponse => "http-response",
            Phase::HttpAfterResponse => "http-after-response",
        }
    }

    pub fn is_http(self) -> bool {
        matches!(self, Phase::HttpRequest | Phase::HttpResponse | Phase::HttpAfterResponse)
    }

    /// The message that its rules edit.
    pub fn side(self) -> Side {
        match self {
            Phase::TcpResponseContent | Phase::HttpResponse | Phase::HttpAfterResponse => Side::Response,
            _ => Side::Request,
        }
    }

    /// Where its rules run in a section.
    pub fn points(self, p: &Parse<'_>) -> Points {
        let (fe, be) = match self {
            Phase::TcpRequestConnection => (Points::FE_CON_ACC, Points::FE_CON_ACC),
            Phase::TcpRequestSession => (Points::FE_SES_ACC, Points::FE_SES_ACC),
            Phase::TcpRequestContent => (Points::FE_REQ_CNT, Points::BE_REQ_CNT),
            Phase::TcpResponseContent => (Points::BE_RES_CNT, Points::BE_RES_CNT),
            Phase::HttpRequest => (Points::FE_HRQ_HDR, Points::BE_HRQ_HDR),
            Phase::HttpResponse | Phase::HttpAfterResponse => (Points::FE_HRS_HDR, Points::BE_HRS_HDR),
        };
        match (p.section.has_frontend(), p.section.has_backend()) {
            (true, true) => fe.or(be),
            (true, false) => fe,
            _ => be,
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A compiled rule.
pub struct Rule {
    pub origin: Origin,
    pub text: Box<str>,
    pub condition: Option<Condition>,
    /// The action looks up tables by key: it may find that an answer is missing after it has changed something.
    looks_up: bool,
    run: Run,
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rule({} {})", self.origin, self.text)
    }
}

/// The rules of one phase of a proxy.
#[derive(Debug, Default)]
pub struct RuleSet {
    pub rules: Vec<Rule>,
}

impl RuleSet {
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Runs from rule `start` on.
    pub fn run(&self, cx: &mut Context<'_>, start: usize) -> Verdict {
        // `strict-mode off` is for the rules below it in the same set (observed).
        if start == 0 {
            cx.stream.lenient = false;
        }
        for (index, rule) in self.rules.iter().enumerate().skip(start) {
            cx.world.rewind();
            let truth = rule.condition.as_ref().map_or(Truth::Yes, |c| c.test(cx));
            if cx.world.is_waiting() {
                rule.record(cx, Outcome::Waits);
                return Verdict::Wait { what: Wait::Table, resume: index };
            }
            match truth {
                Truth::Yes => {}
                Truth::No => {
                    cx.world.settle();
                    rule.record(cx, Outcome::Skipped);
                    continue;
                }
                Truth::Maybe => {
                    cx.world.settle();
                    rule.record(cx, Outcome::Waits);
                    return Verdict::Wait { what: Wait::Payload, resume: index };
                }
            }
            let flow = match rule.looks_up {
                true => rule.run_again_later(cx),
                false => (rule.run)(cx),
            };
            if cx.world.is_waiting() {
                rule.record(cx, Outcome::Waits);
                return Verdict::Wait { what: Wait::Table, resume: index };
            }
            cx.world.settle();
            match flow {
                Flow::Next => rule.record(cx, Outcome::Done),
                Flow::Stop(verdict) => {
                    rule.record(cx, Outcome::Final);
                    cx.stream.last_rule = Some(rule.origin.clone());
                    return match verdict {
                        Verdict::CacheUse { cache, .. } => Verdict::CacheUse { cache, resume: index + 1 },
                        Verdict::CacheStore { cache, .. } => Verdict::CacheStore { cache, resume: index + 1 },
                        other => other,
                    };
                }
                Flow::Wait(what) => {
                    rule.record(cx, Outcome::Waits);
                    return Verdict::Wait { what, resume: index };
                }
                Flow::WaitThenNext(what) => {
                    rule.record(cx, Outcome::Waits);
                    return Verdict::Wait { what, resume: index + 1 };
                }
            }
        }
        Verdict::Continue
    }

    /// Parses the words after the phase's own and adds the rule. Errors have HAProxy's text.
    pub fn parse_rule(&mut self, phase: Phase, words: &[&str], base: usize, p: &mut Parse<'_>) -> Result<(), Error> {
        p.points = phase.points(p);
        let mut w = Words::new(words, base);
        let index = w.index();
        let name = w.next().unwrap_or_default();
        let Some(action) = action::find(phase, name) else { return Err(action::unknown(phase, name, index, p)) };
        let known = p.references.len();
        let run = Self::parse_action(action, phase, name, &mut w, p)?;
        let tables = p.references.iter().skip(known).filter(|r| r.kind == ReferenceKind::Table).count();
        let looks_up = tables > 0 && !name.starts_with("track-sc");
        let condition = Self::parse_condition(phase, name, &mut w, p)?;
        self.rules.push(Rule { origin: p.origin.clone(), text: words.join(" ").into(), condition, looks_up, run });
        Ok(())
    }

    fn parse_action(
        action: &'static Action,
        phase: Phase,
        name: &str,
        w: &mut Words<'_>,
        p: &mut Parse<'_>,
    ) -> Result<Run, Error> {
        let at = action::At { phase, name };
        (action.parse)(&at, w, p).map_err(|e| match phase.is_http() {
            true => e
                .within(&format!(
                    "error detected in {} '{}' while parsing '{} {name}' rule : ",
                    p.section.word(),
                    p.proxy,
                    phase.words()
                ))
                .ended(),
            false => e.within(&format!(
                "error detected in {} '{}' while parsing '{} {name}' rule : ",
                p.section.word(),
                p.proxy,
                phase.words()
            )),
        })
    }

    fn parse_condition(
        phase: Phase,
        name: &str,
        w: &mut Words<'_>,
        p: &mut Parse<'_>,
    ) -> Result<Option<Condition>, Error> {
        let words = phase.words();
        match w.peek() {
            None => Ok(None),
            Some("if" | "unless") => {
                let what = if phase.is_http() { format!("an '{words} {name}'") } else { format!("a '{words}'") };
                Condition::parse(w, p)
                    .map(Some)
                    .map_err(|e| e.within(&format!("error detected while parsing {what} condition : ")).ended())
            }
            Some(other) if phase.is_http() => Err(w.error(format!(
                "'{words} {name}' expects either 'if' or 'unless' followed by a condition but found '{other}'."
            ))),
            Some(other) => Err(w.error(format!(
                "'{words} {name}' only accepts 'if' or 'unless', in {} '{}' (got '{other}')",
                p.section.word(),
                p.proxy
            ))),
        }
    }
}

impl Rule {
    /// Runs the action so that it can be run again: what it did to the messages is undone when it must wait.
    fn run_again_later(&self, cx: &mut Context<'_>) -> Flow {
        let heads = [cx.request.as_deref().cloned(), cx.response.as_deref().cloned()];
        let flow = (self.run)(cx);
        if cx.world.is_waiting() {
            let [request, response] = heads;
            if let (Some(head), Some(before)) = (cx.request.as_deref_mut(), request) {
                *head = before;
            }
            if let (Some(head), Some(before)) = (cx.response.as_deref_mut(), response) {
                *head = before;
            }
        }
        flow
    }

    fn record(&self, cx: &Context<'_>, outcome: Outcome) {
        if let Some(recorder) = cx.recorder {
            recorder.rule(&self.origin, &self.text, outcome, cx);
        }
    }
}
