//! ACLs (manual 7.1): an expression compared with patterns by a method. Lines of the same name are OR'ed; conditions
//! combine terms. A named ACL is evaluated where it is used, as far as needed.

pub mod condition;
mod line;
mod predefined;

pub use condition::Condition;
pub use line::aliases;

use super::context::Context;
use super::parse::{Error, Parse, Words};
use super::pattern::PatternSet;
use super::sample::{Expr, Probe};
use crate::base::origin::Origin;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// What a test gives. `Maybe`: bytes that may still come decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truth {
    No,
    Maybe,
    Yes,
}

impl std::ops::Not for Truth {
    type Output = Truth;
    fn not(self) -> Truth {
        match self {
            Truth::No => Truth::Yes,
            Truth::Maybe => Truth::Maybe,
            Truth::Yes => Truth::No,
        }
    }
}

impl From<bool> for Truth {
    fn from(yes: bool) -> Self {
        if yes { Truth::Yes } else { Truth::No }
    }
}

/// ACLs that may be tested inside each other.
const DEPTH_MAX: u8 = 16;

/// An ACL: its name (none for `{ … }`) and its lines.
#[derive(Debug)]
pub struct Acl {
    pub name: Option<Arc<str>>,
    first: AclLine,
}

/// One line: an expression and the sets that it is looked up in.
#[derive(Debug)]
pub struct AclLine {
    pub origin: Origin,
    pub expr: Expr,
    pub method: super::pattern::Method,
    pub sets: Vec<Arc<PatternSet>>,
    next: OnceLock<Box<AclLine>>,
}

impl Acl {
    fn lines(&self) -> impl Iterator<Item = &AclLine> {
        std::iter::successors(Some(&self.first), |l| l.next.get().map(|b| &**b))
    }

    /// Adds a line of the same name.
    fn push(&self, line: AclLine) {
        let mut last = &self.first;
        while let Some(next) = last.next.get() {
            last = next;
        }
        // Parsing is done by one thread: nobody else can have set it in between.
        let _ = last.next.set(Box::new(line));
    }

    /// Tests line after line until one holds.
    pub fn test(&self, cx: &Context<'_>) -> Truth {
        self.test_within(cx, 0)
    }

    /// The same, `depth` ACLs deep: one that names itself in `acl(…)` ends as no match.
    pub(crate) fn test_within(&self, cx: &Context<'_>, depth: u8) -> Truth {
        if depth > DEPTH_MAX {
            return Truth::No;
        }
        let mut truth = Truth::No;
        for line in self.lines() {
            truth = truth.max(line.test(cx, depth));
            if truth == Truth::Yes {
                break;
            }
        }
        truth
    }
}

impl AclLine {
    fn test(&self, cx: &Context<'_>, depth: u8) -> Truth {
        let mut probe = Probe { every: true, depth, ..Probe::default() };
        let mut undecided = false;
        loop {
            (probe.more, probe.may_change) = (false, false);
            let matched = match self.expr.eval_probe(cx, &mut probe) {
                Some(sample) => self.compare(sample, cx),
                None => self.record(None, false, cx),
            };
            if matched {
                return Truth::Yes;
            }
            undecided |= probe.may_change && !cx.last_chance;
            if !probe.more {
                break;
            }
            probe.nth += 1;
        }
        if undecided { Truth::Maybe } else { Truth::No }
    }

    fn compare(&self, sample: super::sample::Sample<'_>, cx: &Context<'_>) -> bool {
        if cx.recorder.is_none() {
            return self.holds(sample, cx);
        }
        let mut text = cx.buf();
        sample.write_text(&mut text);
        let matched = self.holds(sample, cx);
        self.record(Some(&text), matched, cx)
    }

    fn record(&self, value: Option<&[u8]>, matched: bool, cx: &Context<'_>) -> bool {
        if let Some(recorder) = cx.recorder {
            recorder.value(&self.origin, &self.expr.text, value, matched);
        }
        matched
    }

    fn holds(&self, sample: super::sample::Sample<'_>, cx: &Context<'_>) -> bool {
        use super::pattern::Method;
        match self.method {
            Method::Found => return true,
            Method::Bool => return sample.to_bool().unwrap_or(false),
            _ => {}
        }
        let Some(sample) = sample.cast(self.method.input(), cx.pool) else { return false };
        self.sets.iter().any(|set| set.matches(&sample, cx.pool))
    }
}

/// The named ACLs of a proxy.
#[derive(Debug, Default, Clone)]
pub struct AclSet {
    named: HashMap<Arc<str>, Arc<Acl>>,
}

impl AclSet {
    pub fn new() -> Self {
        AclSet::default()
    }

    pub fn get(&self, name: &str) -> Option<&Arc<Acl>> {
        self.named.get(name)
    }

    /// Parses the words after `acl` and adds the line. Errors have HAProxy's text.
    pub fn parse_line(words: &[&str], p: &mut Parse<'_>) -> Result<(), Error> {
        let mut w = Words::new(words, 1);
        let name = w.next().unwrap_or_default();
        if let Some(c) = name.chars().find(|c| !c.is_ascii_alphanumeric() && !"-_.:".contains(*c)) {
            return Err(Error::new(1, format!("character '{c}' is not permitted in acl name '{name}'.")));
        }
        if name.eq_ignore_ascii_case("or") {
            return Err(Error::new(
                1,
                format!(
                    "acl name '{name}' will never match. 'or' is used to express a logical disjunction within a \
                     condition."
                ),
            ));
        }
        let line = line::parse(&mut w, Some(name), p)
            .map_err(|e| e.within(&format!("error detected while parsing ACL '{name}' : ")))?;
        p.acls.add(name, line);
        Ok(())
    }

    fn add(&mut self, name: &str, line: AclLine) {
        match self.named.get(name) {
            Some(acl) => acl.push(line),
            None => {
                let name: Arc<str> = name.into();
                self.named.insert(name.clone(), Arc::new(Acl { name: Some(name), first: line }));
            }
        }
    }
}

/// The ACL of this name: the proxy's own or a predefined one.
pub fn find(name: &str, p: &mut Parse<'_>) -> Result<Option<Arc<Acl>>, Error> {
    if let Some(acl) = p.acls.get(name) {
        return Ok(Some(acl.clone()));
    }
    let Some(words) = predefined::words(name) else { return Ok(None) };
    let line = line::parse(&mut Words::new(words, 0), Some(name), p)?;
    p.acls.add(name, line);
    Ok(p.acls.get(name).cloned())
}
