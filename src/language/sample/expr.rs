//! Expressions: a fetch and a chain of converters (manual 7.3), compiled with the casts between them.

use super::args::{self, Args, Place};
use super::convert::{self, Convert};
use super::fetch::{self, Fetch};
use super::{Probe, Sample, Type, cast};
use crate::language::context::Context;
use crate::language::parse::{Error, Parse};
use crate::language::words;

/// A compiled expression.
#[derive(Debug)]
pub struct Expr {
    pub fetch: &'static Fetch,
    args: Args,
    steps: Vec<Step>,
    /// The words it was read from.
    pub text: Box<str>,
}

#[derive(Debug)]
struct Step {
    convert: &'static Convert,
    args: Args,
}

/// How messages call the place of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `fetch method 'x' : …`
    Sample,
    /// `ACL keyword 'x' : …`
    Acl,
}

impl Expr {
    /// Parses one word. With `closed_by_bracket` the expression ends at the `]` of log-format's `%[…]`. Gives the
    /// expression and how many bytes it took.
    pub fn parse(word: &str, closed_by_bracket: bool, p: &mut Parse<'_>) -> Result<(Expr, usize), String> {
        let name_len = name_len(word, closed_by_bracket);
        let name = &word[..name_len];
        let fetch = match fetch::find(name) {
            Some(f) => f,
            None if words::is_known(words::Kind::Fetch, name) => return Err(words::unsupported(name)),
            None if name.is_empty() => return Err("missing fetch method".into()),
            None => return Err(format!("unknown fetch method '{name}'")),
        };
        Self::parse_with(word, name_len, fetch, Role::Sample, closed_by_bracket, p)
    }

    /// Parses what follows the name of `fetch`, which took `name_len` bytes of `word`.
    pub fn parse_with(
        word: &str,
        name_len: usize,
        fetch: &'static Fetch,
        role: Role,
        closed_by_bracket: bool,
        p: &mut Parse<'_>,
    ) -> Result<(Expr, usize), String> {
        let name = &word[..name_len];
        let (title, context) = match role {
            Role::Sample => {
                (format!("fetch method '{name}'"), format!("sample fetch keyword '{name}'{}", p.points.expression()))
            }
            Role::Acl => (format!("ACL keyword '{name}'"), format!("ACL keyword '{name}'")),
        };
        let (mut args, used) = {
            let place = Place { proxy: p.proxy, origin: &p.origin, word: context.clone() };
            args::parse(fetch.args, &word[name_len..], &place, &mut p.references)
                .map_err(|e| format!("{title} : {}", e.text))?
        };
        if let Some(check) = fetch.check {
            check(&mut args, p).map_err(|text| match role {
                Role::Sample => format!("invalid args in fetch method '{name}' : {text}"),
                Role::Acl => format!("invalid arguments for '{name}' : {text}"),
            })?;
        }
        let mut expr = Expr { fetch, args, steps: Vec::new(), text: word[..name_len + used].into() };
        let mut at = name_len + used;
        let prefix = if role == Role::Acl { format!("ACL keyword '{name}' : ") } else { String::new() };
        while word[at..].starts_with(',') {
            at += 1;
            at += expr.add_step(&word[at..], &context, closed_by_bracket, p).map_err(|e| prefix.clone() + &e)?;
        }
        expr.text = word[..at].into();
        Ok((expr, at))
    }

    /// Parses a whole word; anything after the expression is an error.
    pub fn parse_word(word: &str, index: usize, p: &mut Parse<'_>) -> Result<Expr, Error> {
        let (expr, used) = Self::parse(word, false, p).map_err(|e| Error::new(index, e))?;
        if used < word.len() {
            return Err(Error::new(
                index,
                format!("missing comma after {} '{}'", expr.last_kind(), expr.last_name()),
            ));
        }
        Ok(expr)
    }

    fn add_step(
        &mut self,
        text: &str,
        context: &str,
        closed_by_bracket: bool,
        p: &mut Parse<'_>,
    ) -> Result<usize, String> {
        let name_len = name_len(text, closed_by_bracket);
        let name = &text[..name_len];
        let convert = match convert::find(name) {
            Some(c) => c,
            None if words::is_known(words::Kind::Converter, name) => return Err(words::unsupported(name)),
            None => return Err(format!("unknown converter '{name}'")),
        };
        let before = self.out_type();
        if !cast::possible(before, convert.input) {
            return Err(format!("converter '{name}' cannot be applied"));
        }
        let (mut args, used) = {
            let place = Place {
                proxy: p.proxy,
                origin: &p.origin,
                word: format!("conversion keyword '{name}' for {context}"),
            };
            args::parse(convert.args, &text[name_len..], &place, &mut p.references)
                .map_err(|e| format!("invalid arg {} in converter '{name}' : {}", e.arg, e.text))?
        };
        if let Some(check) = convert.check {
            check(&mut args, p).map_err(|e| format!("invalid args in converter '{name}' : {e}"))?;
        }
        self.steps.push(Step { convert, args });
        Ok(name_len + used)
    }

    /// The type that the expression gives.
    pub fn out_type(&self) -> Type {
        let mut kind = self.fetch.out;
        for step in &self.steps {
            if step.convert.output != Type::Same {
                kind = step.convert.output;
            }
        }
        kind
    }

    pub fn has_converters(&self) -> bool {
        !self.steps.is_empty()
    }

    /// HAProxy's error if the fetch is not there at the place of use (not for ACLs, which only warn).
    pub fn check_scope(&self, p: &Parse<'_>) -> Result<(), String> {
        if self.is_available(p) {
            return Ok(());
        }
        Err(format!(
            "sample fetch <{}> may not be reliably used here because it needs '{}' which is not available here.",
            self.fetch_text(),
            self.fetch.needs.text
        ))
    }

    /// The same in the words of actions that take a bare expression.
    pub fn check_scope_of_action(&self, action: &str, p: &Parse<'_>) -> Result<(), String> {
        if self.is_available(p) {
            return Ok(());
        }
        Err(format!(
            "fetch method '{action}' extracts information from '{}', none of which is available here",
            self.fetch.needs.text
        ))
    }

    pub fn is_available(&self, p: &Parse<'_>) -> bool {
        self.fetch.needs.points.0 & p.points.0 != 0
    }

    fn fetch_text(&self) -> &str {
        self.fetch.name
    }

    fn last_kind(&self) -> &'static str {
        if self.steps.is_empty() { "fetch keyword" } else { "converter" }
    }

    fn last_name(&self) -> &'static str {
        self.steps.last().map_or(self.fetch.name, |s| s.convert.name)
    }

    /// The value; `None` when the fetch has no sample or a converter refuses it.
    pub fn eval<'c>(&'c self, cx: &'c Context<'_>) -> Option<Sample<'c>> {
        self.eval_probe(cx, &mut Probe::default())
    }

    /// The value with what the fetch tells about it.
    pub fn eval_probe<'c>(&'c self, cx: &'c Context<'_>, probe: &mut Probe) -> Option<Sample<'c>> {
        let Some(mut sample) = (self.fetch.run)(&self.args, cx, probe) else {
            probe.may_change |= cx.awaits_head(self.fetch.needs);
            return None;
        };
        for step in &self.steps {
            sample = sample.cast(step.convert.input, cx.pool)?;
            sample = (step.convert.run)(&step.args, sample, cx)?.cut(cx.pool.value_max());
        }
        Some(sample)
    }

    /// Appends the value's text; false when there is none.
    pub fn write(&self, cx: &Context<'_>, out: &mut Vec<u8>) -> bool {
        match self.eval(cx) {
            Some(sample) => {
                sample.write_text(out);
                true
            }
            None => false,
        }
    }
}

/// Length of a fetch's or converter's name.
fn name_len(text: &str, closed_by_bracket: bool) -> usize {
    text.bytes()
        .position(|b| matches!(b, b'(' | b',' | b' ' | b'\t') || (closed_by_bracket && b == b']'))
        .unwrap_or(text.len())
}
