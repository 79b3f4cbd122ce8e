//! Rules that choose: `use_backend`, `use-server`, `force-persist`, `ignore-persist`, `monitor fail` (manual 4.2).

use super::redirect::Redirect;
use super::reply::Reply;
use crate::base::origin::Origin;
use crate::language::acl::{Condition, Truth};
use crate::language::context::Context;
use crate::language::logformat::{LogFormat, Usage};
use crate::language::parse::{Error, Parse, Words};
use crate::language::sample::scope::Points;
use crate::language::world::Outcome;
use std::sync::Arc;

/// `use_backend <name or format> [if …]` and `use-server`, in order.
#[derive(Debug, Default)]
pub struct Switching {
    pub rules: Vec<SwitchingRule>,
}

/// One of them.
#[derive(Debug)]
pub struct SwitchingRule {
    pub origin: Origin,
    /// Its words after the keyword.
    pub text: Box<str>,
    pub target: Target,
    pub condition: Option<Condition>,
}

/// What a switching rule names.
#[derive(Debug)]
pub enum Target {
    /// A name that `config` checks.
    Name(Arc<str>),
    /// A name that is made for each request; one that does not exist is passed over.
    Format(LogFormat),
}

/// What switching rules come to.
#[derive(Debug)]
pub enum Choice<'r> {
    /// None holds: `default_backend`, or balancing.
    None,
    Rule(&'r SwitchingRule),
    /// More bytes decide.
    Wait,
}

impl Switching {
    /// Parses the words after `use_backend` or `use-server`.
    pub fn parse_rule(&mut self, keyword: &str, words: &[&str], p: &mut Parse<'_>) -> Result<(), Error> {
        let servers = keyword == "use-server";
        p.points = if servers { Points::BE_SET_SRV } else { Points::FE_SET_BCK };
        let mut w = Words::new(words, 1);
        let kind = if servers { "server" } else { "backend" };
        let name = w.expect(&format!("'{keyword}' expects a {kind} name."))?;
        let target = match name.contains("%[") {
            true => Target::Format(
                LogFormat::parse(name, Usage::Value, p)
                    .map_err(|e| Error::new(1, format!("failed to parse {keyword} rule '{name}' : {e}")).ended())?,
            ),
            false => Target::Name(name.into()),
        };
        let condition = match w.peek() {
            None => None,
            Some("if" | "unless") => Some(
                Condition::parse(&mut w, p)
                    .map_err(|e| e.within("error detected while parsing switching rule : ").ended())?,
            ),
            Some(other) => {
                return Err(w.error(format!(
                    "unexpected keyword '{other}' after switching rule, only 'if' and 'unless' are allowed."
                )));
            }
        };
        self.rules.push(SwitchingRule { origin: p.origin.clone(), text: words.join(" ").into(), target, condition });
        Ok(())
    }

    /// The first rule at or after `start` that holds.
    pub fn choose(&self, cx: &Context<'_>, start: usize) -> (usize, Choice<'_>) {
        for (index, rule) in self.rules.iter().enumerate().skip(start) {
            match test(&rule.origin, &rule.text, rule.condition.as_ref(), cx) {
                Truth::Yes => return (index, Choice::Rule(rule)),
                Truth::Maybe => return (index, Choice::Wait),
                Truth::No => {}
            }
        }
        (self.rules.len(), Choice::None)
    }
}

/// Tests the condition of a rule that ends the evaluation when it holds, and records what came of it.
fn test(origin: &Origin, text: &str, condition: Option<&Condition>, cx: &Context<'_>) -> Truth {
    let truth = condition.map_or(Truth::Yes, |c| c.test(cx));
    if let Some(recorder) = cx.recorder {
        let outcome = match truth {
            Truth::Yes => Outcome::Final,
            Truth::Maybe => Outcome::Waits,
            Truth::No => Outcome::Skipped,
        };
        recorder.rule(origin, text, outcome, cx);
    }
    truth
}

/// `redirect` lines, which run after all `http-request` rules.
#[derive(Debug, Default)]
pub struct Redirects {
    pub rules: Vec<RedirectRule>,
}

/// One of them.
#[derive(Debug)]
pub struct RedirectRule {
    origin: Origin,
    text: Box<str>,
    redirect: Redirect,
    condition: Option<Condition>,
}

impl Redirects {
    /// Parses the words after `redirect`.
    pub fn parse_rule(&mut self, words: &[&str], p: &mut Parse<'_>) -> Result<(), Error> {
        p.points = super::Phase::HttpRequest.points(p);
        let mut w = Words::new(words, 1);
        let place = format!("error detected in {} '{}' while parsing redirect rule : ", p.section.word(), p.proxy);
        let redirect = Redirect::parse(&mut w, p).map_err(|e| e.within(&place).ended())?;
        let condition = match w.is_empty() {
            true => None,
            false => Some(
                Condition::parse(&mut w, p)
                    .map_err(|e| e.within("error detected while parsing a 'redirect' condition : ").ended())?,
            ),
        };
        self.rules.push(RedirectRule { origin: p.origin.clone(), text: words.join(" ").into(), redirect, condition });
        Ok(())
    }

    pub fn run(&self, cx: &Context<'_>) -> Option<Reply> {
        let holds = |r: &&RedirectRule| test(&r.origin, &r.text, r.condition.as_ref(), cx) == Truth::Yes;
        self.rules.iter().filter(holds).find_map(|r| r.redirect.build(cx))
    }
}

/// Conditions that say yes or no: `force-persist`, `ignore-persist`, `monitor fail`. The first that holds counts.
#[derive(Debug, Default)]
pub struct Gate {
    pub conditions: Vec<Condition>,
}

impl Gate {
    /// Parses from `if` or `unless` on. `keyword` is for messages.
    pub fn parse_rule(
        &mut self,
        keyword: &str,
        w: &mut Words<'_>,
        points: Points,
        p: &mut Parse<'_>,
    ) -> Result<(), Error> {
        p.points = points;
        if !matches!(w.peek(), Some("if" | "unless")) {
            return Err(w.error(format!("'{keyword}' requires either 'if' or 'unless' followed by a condition.")));
        }
        let condition = Condition::parse(w, p)
            .map_err(|e| e.within(&format!("error detected while parsing a '{keyword}' condition : ")).ended())?;
        self.conditions.push(condition);
        Ok(())
    }

    pub fn holds(&self, cx: &Context<'_>) -> bool {
        self.conditions.iter().any(|c| c.test(cx) == Truth::Yes)
    }
}
