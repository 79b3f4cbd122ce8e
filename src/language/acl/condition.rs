//! Conditions (manual 7.2): `if` or `unless` and terms, AND'ed in groups that are OR'ed. Evaluated left to right, as
//! far as needed.

use super::{Acl, Truth, line};
use crate::base::origin::Origin;
use crate::language::context::Context;
use crate::language::parse::{Error, Parse, Words};
use std::sync::Arc;

/// A parsed condition.
#[derive(Debug)]
pub struct Condition {
    pub origin: Origin,
    unless: bool,
    groups: Vec<Vec<Term>>,
}

#[derive(Debug)]
struct Term {
    acl: Arc<Acl>,
    negated: bool,
    text: Box<str>,
}

impl Condition {
    /// Parses from `if` or `unless` to the end of the words. Errors have HAProxy's text without what it was for.
    pub fn parse(w: &mut Words<'_>, p: &mut Parse<'_>) -> Result<Condition, Error> {
        let unless = w.next() == Some("unless");
        let mut groups = vec![Vec::new()];
        let mut negated = false;
        while let Some(mut word) = w.next() {
            while let Some(rest) = word.strip_prefix('!') {
                negated = !negated;
                word = rest;
            }
            if word.is_empty() {
                continue;
            }
            if matches!(word, "or" | "OR" | "||") {
                if groups.last().is_some_and(|g| !g.is_empty()) {
                    groups.push(Vec::new());
                }
                negated = false;
                continue;
            }
            let (acl, text) = if word == "{" { Self::anonymous(w, p)? } else { Self::named(word, w, p)? };
            if let Some(group) = groups.last_mut() {
                group.push(Term { acl, negated, text });
            }
            negated = false;
        }
        groups.retain(|g| !g.is_empty());
        Ok(Condition { origin: p.origin.clone(), unless, groups })
    }

    fn anonymous(w: &mut Words<'_>, p: &mut Parse<'_>) -> Result<(Arc<Acl>, Box<str>), Error> {
        let base = w.index();
        let rest = w.rest();
        let Some(len) = rest.iter().position(|w| *w == "}") else {
            return Err(Error::new(base - 1, "missing closing '}' in condition."));
        };
        let line = line::parse(&mut Words::new(&rest[..len], base), None, p)?;
        w.skip(len + 1);
        let text = format!("{{ {} }}", rest[..len].join(" "));
        Ok((Arc::new(Acl { name: None, first: line }), text.into()))
    }

    fn named(word: &str, w: &Words<'_>, p: &mut Parse<'_>) -> Result<(Arc<Acl>, Box<str>), Error> {
        let Some(acl) = super::find(word, p)? else {
            return Err(w.error_before(format!("no such ACL : '{word}'.")));
        };
        if acl.lines().all(|l| !l.expr.is_available(p)) {
            p.warnings.push(format!(
                "'acl '{word}' will never match because it only involves keywords that are incompatible with '{}'.",
                p.points.name()
            ));
        }
        Ok((acl, word.into()))
    }

    /// Whether the rule applies.
    pub fn test(&self, cx: &Context<'_>) -> Truth {
        // Without terms nothing holds: `if` is false and `unless` true.
        let mut truth = Truth::No;
        for group in &self.groups {
            truth = truth.max(self.test_group(group, cx));
            if truth == Truth::Yes {
                break;
            }
        }
        if self.unless { !truth } else { truth }
    }

    fn test_group(&self, group: &[Term], cx: &Context<'_>) -> Truth {
        let mut truth = Truth::Yes;
        for term in group {
            let one = if term.negated { !term.acl.test(cx) } else { term.acl.test(cx) };
            if let Some(recorder) = cx.recorder {
                recorder.term(&self.origin, &term.text, term.negated, one);
            }
            truth = truth.min(one);
            if truth == Truth::No {
                break;
            }
        }
        truth
    }
}
