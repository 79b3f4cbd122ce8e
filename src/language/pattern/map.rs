//! Maps (manual 7.3.1, `map_*`): a pattern set whose entries carry values, the type of the values, and a default.

use super::{Method, PatternSet};
use crate::language::context::Context;
use crate::language::regex::Replacement;
use crate::language::sample::cast::parse_ip;
use crate::language::sample::{Bytes, Sample};
use std::net::IpAddr;
use std::sync::Arc;

/// What the values of a map are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Str,
    Int,
    Ip,
    /// `map_*_key`: the pattern itself.
    Key,
}

/// A default value.
#[derive(Clone, Debug)]
pub enum Default {
    Str(Box<[u8]>),
    Int(i64),
    Ip(IpAddr),
}

/// One use of a map.
#[derive(Debug)]
pub struct Map {
    pub set: Arc<PatternSet>,
    pub output: Output,
    pub default: Option<Default>,
}

impl Map {
    /// Checks that every value is of the output type. The error is HAProxy's text.
    pub fn check_values(&self) -> Result<(), String> {
        let entries = self.set.source.entries();
        let bad = |value: &[u8]| match self.output {
            Output::Int => std::str::from_utf8(value).ok().and_then(|v| v.parse::<i64>().ok()).is_none(),
            Output::Ip => parse_ip(value).is_none(),
            Output::Str | Output::Key => false,
        };
        match entries.iter().find(|e| bad(e.value)) {
            Some(e) => Err(format!("invalid value '{}' for the map", String::from_utf8_lossy(e.value))),
            None => Ok(()),
        }
    }

    /// The value for `key`, which was cast to the method's type.
    pub fn lookup<'c>(&'c self, key: &Sample<'_>, cx: &'c Context<'_>) -> Option<Sample<'c>> {
        let found = match self.set.method {
            Method::Regm => self.expand(key, cx),
            _ => self.set.find(key, cx.pool, |entry| self.value(entry.value, entry.pattern, cx)),
        };
        match found {
            Some(value) => value,
            None => match self.default.as_ref()? {
                Default::Str(s) => Some(Sample::Str(Bytes::Ref(s))),
                Default::Int(n) => Some(Sample::Sint(*n)),
                Default::Ip(a) => Some(Sample::Ip(*a)),
            },
        }
    }

    fn value<'c>(&self, value: &[u8], pattern: &[u8], cx: &'c Context<'_>) -> Option<Sample<'c>> {
        let text = if self.output == Output::Key { pattern } else { value };
        match self.output {
            Output::Str | Output::Key => {
                let mut out = cx.buf();
                out.extend_from_slice(text);
                Some(Sample::str_buf(out))
            }
            Output::Int => std::str::from_utf8(text).ok()?.parse().ok().map(Sample::Sint),
            Output::Ip => parse_ip(text).map(Sample::Ip),
        }
    }

    /// `map_regm`: the value's `\1` are the pattern's groups.
    fn expand<'c>(&self, key: &Sample<'_>, cx: &'c Context<'_>) -> Option<Option<Sample<'c>>> {
        let subject = key.bytes()?;
        self.set.find_regex(key, |regex, entry| {
            let replacement = Replacement::parse(entry.value).ok()?;
            let mut out = cx.buf();
            regex.captures_at(subject, 0, |groups| replacement.expand(subject, groups, &mut out))?;
            Some(Sample::str_buf(out))
        })
    }
}
