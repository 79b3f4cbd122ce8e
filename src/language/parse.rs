//! What parsing knows: where the words stand, for which proxy and phase, and what is shared (ACLs, patterns). Errors
//! carry HAProxy's text and the index of the word that is wrong; warnings are collected.

use super::acl::AclSet;
use super::auth::Userlists;
use super::pattern::Registry;
use super::sample::args::Reference;
use super::sample::scope::Points;
use crate::base::origin::Origin;
use std::sync::Arc;

/// A configuration error: HAProxy's text, and which word of the line is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub text: String,
    pub word: usize,
}

impl Error {
    pub fn new(word: usize, text: impl Into<String>) -> Self {
        Error { text: text.into(), word }
    }

    /// The same error with `before` in front of its text.
    pub fn within(mut self, before: &str) -> Self {
        self.text.insert_str(0, before);
        self
    }

    /// The same error with a full stop at its end.
    pub fn ended(mut self) -> Self {
        if !self.text.ends_with('.') {
            self.text.push('.');
        }
        self
    }
}

/// Words of a line and a position among them.
#[derive(Debug, Clone, Copy)]
pub struct Words<'w> {
    words: &'w [&'w str],
    at: usize,
    /// Index in the line of the first word.
    base: usize,
}

impl<'w> Words<'w> {
    /// `base` is the index that the first word has in its line.
    pub fn new(words: &'w [&'w str], base: usize) -> Self {
        Words { words, at: 0, base }
    }

    pub fn peek(&self) -> Option<&'w str> {
        self.words.get(self.at).copied()
    }

    /// The word after the next one.
    pub fn peek_second(&self) -> Option<&'w str> {
        self.words.get(self.at + 1).copied()
    }

    /// Takes a word.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<&'w str> {
        let word = self.peek()?;
        self.at += 1;
        Some(word)
    }

    /// Takes the next word if it is this one.
    pub fn take(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        self.at += found as usize;
        found
    }

    /// Takes a word or fails with HAProxy's text for its absence.
    pub fn expect(&mut self, text: &str) -> Result<&'w str, Error> {
        self.next().filter(|w| !w.is_empty()).ok_or_else(|| self.error(text))
    }

    /// Whether the next word starts a condition, or there is none.
    pub fn at_condition(&self) -> bool {
        matches!(self.peek(), None | Some("if" | "unless"))
    }

    pub fn is_empty(&self) -> bool {
        self.peek().is_none()
    }

    /// What is left.
    pub fn rest(&self) -> &'w [&'w str] {
        &self.words[self.at.min(self.words.len())..]
    }

    pub fn skip(&mut self, count: usize) {
        self.at = (self.at + count).min(self.words.len());
    }

    /// Index in the line of the next word.
    pub fn index(&self) -> usize {
        self.base + self.at
    }

    /// An error about the next word.
    pub fn error(&self, text: impl Into<String>) -> Error {
        Error::new(self.index(), text)
    }

    /// An error about the word before.
    pub fn error_before(&self, text: impl Into<String>) -> Error {
        Error::new(self.index().saturating_sub(1), text)
    }
}

/// What the kind of section allows and how messages call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SectionKind {
    Defaults,
    Frontend,
    Backend,
    Listen,
    Global,
}

impl SectionKind {
    /// HAProxy's word in messages: a `listen` is a `proxy` there.
    pub fn word(self) -> &'static str {
        match self {
            SectionKind::Defaults => "defaults",
            SectionKind::Frontend => "frontend",
            SectionKind::Backend => "backend",
            SectionKind::Listen => "listen",
            SectionKind::Global => "global",
        }
    }

    pub fn has_frontend(self) -> bool {
        matches!(self, SectionKind::Frontend | SectionKind::Listen | SectionKind::Defaults)
    }

    pub fn has_backend(self) -> bool {
        matches!(self, SectionKind::Backend | SectionKind::Listen | SectionKind::Defaults)
    }
}

/// Lengths of the captures a frontend has declared; actions and `declare capture` add slots.
#[derive(Debug, Default, Clone)]
pub struct Captures {
    pub request: Vec<CaptureSlot>,
    pub response: Vec<CaptureSlot>,
}

/// A capture slot: the header it is filled from (`capture request header`), if any, and its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureSlot {
    pub header: Option<Box<[u8]>>,
    pub length_max: usize,
}

/// Replies loaded from `errorfile` and `http-errors` that rules may name; `config` answers.
pub trait Files {
    /// The bytes of a file that a rule names. The error is the operating system's text.
    fn read(&self, path: &str) -> Result<Vec<u8>, String>;
    /// A variable of the environment, as the configuration has it by now.
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// Reads files of the machine.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemFiles;

impl Files for SystemFiles {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        std::fs::read(path).map_err(|e| {
            let text = e.to_string();
            text.split(" (os error").next().unwrap_or_default().to_owned()
        })
    }
}

/// The environment of a parse: one for a proxy, with `origin` and `points` set for each line.
pub struct Parse<'p> {
    pub origin: Origin,
    pub proxy: &'p str,
    pub section: SectionKind,
    /// The proxy is in HTTP mode.
    pub http: bool,
    /// Where what is parsed will be evaluated.
    pub points: Points,
    pub acls: &'p mut AclSet,
    pub patterns: &'p Registry,
    pub userlists: &'p Userlists,
    pub captures: &'p mut Captures,
    pub files: &'p dyn Files,
    /// Warnings, in HAProxy's words.
    pub warnings: Vec<String>,
    /// Names of proxies, servers, tables and lists met so far; `config` resolves them at the end.
    pub references: Vec<Arc<Reference>>,
    /// `maxconn` and such are not the language's; this is: slots of `track-sc` (`tune.stick-counters`).
    pub stick_counters: u8,
    /// `expose-experimental-directives` in `global`.
    pub experimental: bool,
    /// Something was parsed that needs it.
    pub experimental_used: bool,
}
