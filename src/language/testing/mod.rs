//! A small world for the unit tests of this floor: one session, one stream, a request and a response.

mod census;
mod conditions;
mod expressions;
mod refusals;
mod rules;

use super::acl::AclSet;
use super::auth::Userlists;
use super::context::{Context, Payload, Side};
use super::facts::{Listener, Named, Session, Stream, Tls};
use super::logformat::{LogFormat, Usage};
use super::parse::{Captures, Files, Parse, SectionKind};
use super::pattern::Registry;
use super::rules::{Phase, RuleSet, Verdict};
use super::sample::scope::Points;
use super::scratch::Pool;
use super::vars::Vars;
use super::world::World;
use crate::base::clock::{Millis, Now};
use crate::base::origin::Origin;
use crate::proto::http::head::{Head, Version};
use std::cell::OnceCell;
use std::rc::Rc;

/// Answers nothing, and always the same number for randomness.
pub struct Nobody;

impl World for Nobody {
    fn random(&self) -> u64 {
        0x0123_4567_89AB_CDEF
    }
    fn hostname(&self) -> &str {
        "box"
    }
}

/// Files by name.
#[derive(Default)]
pub struct Shelf(pub Vec<(&'static str, &'static str)>);

impl Files for Shelf {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        let found = self.0.iter().find(|(n, _)| *n == path);
        found.map(|(_, b)| b.as_bytes().to_vec()).ok_or_else(|| "No such file or directory".into())
    }
}

/// Everything that a test of the language needs.
pub struct Bench {
    pub acls: AclSet,
    pub patterns: Registry,
    pub userlists: Userlists,
    pub captures: Captures,
    pub shelf: Shelf,
    pub session: Session,
    pub stream: Stream,
    pub request: Head,
    pub response: Head,
    pub vars: Vars,
    pub pool: Pool,
    pub body: Vec<u8>,
    pub warnings: Vec<String>,
    pub complete: bool,
    /// The first bytes of a client in TCP mode, without a request.
    pub tcp: bool,
    pub experimental: bool,
}

impl Default for Bench {
    fn default() -> Self {
        let mut request = Head::request(b"GET", b"/path/a?x=1&y=2", Version::Http11);
        for (name, value) in [
            ("host", "www.acme.org:8080"),
            ("x-list", "a, b ,c"),
            ("x-list", "d"),
            ("cookie", "k=v; a=b"),
            ("user-agent", "ua, x"),
        ] {
            request.append(name.as_bytes(), value.as_bytes());
        }
        let mut response = Head::response(200, b"OK", Version::Http11);
        response.append(b"content-type", b"text/plain");
        response.append(b"set-cookie", b"s=1; path=/");
        let session = Session {
            src: Some(([127, 0, 0, 1], 54321).into()),
            dst: Some(([127, 0, 0, 1], 8080).into()),
            accept_us: 1_795_345_438_727_000,
            ..Session::new(Rc::new(Listener { frontend: Named::new("f", 2), ..Listener::default() }))
        };
        Bench {
            acls: AclSet::new(),
            patterns: Registry::new(),
            userlists: Userlists::new(),
            captures: Captures::default(),
            shelf: Shelf::default(),
            session,
            stream: Stream {
                method: b"GET".to_vec(),
                uri: b"/path/a?x=1&y=2".to_vec(),
                request_us: 1_795_345_438_727_000,
                ..Stream::default()
            },
            request,
            response,
            vars: Vars::default(),
            pool: Pool::new(),
            body: Vec::new(),
            warnings: Vec::new(),
            complete: true,
            tcp: false,
            experimental: false,
        }
    }
}

impl Bench {
    pub fn with_tls() -> Bench {
        let mut bench = Bench::default();
        bench.session.tls = Some(Rc::new(Tls {
            protocol: "TLSv1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
            sni: Some(b"acme.org"[..].into()),
            ..Tls::default()
        }));
        bench
    }

    /// Runs `then` with a parse environment at `points`.
    pub fn parse<T>(&mut self, points: Points, then: impl FnOnce(&mut Parse<'_>) -> T) -> T {
        let mut p = Parse {
            origin: Origin::new("t.cfg", 10),
            proxy: "f",
            section: SectionKind::Frontend,
            http: true,
            points,
            acls: &mut self.acls,
            patterns: &self.patterns,
            userlists: &self.userlists,
            captures: &mut self.captures,
            files: &self.shelf,
            warnings: Vec::new(),
            references: Vec::new(),
            stick_counters: 3,
            experimental: self.experimental,
            experimental_used: false,
        };
        let result = then(&mut p);
        for reference in &p.references {
            if let Some(list) = p.userlists.get(&*reference.name) {
                let _ = reference.userlist.set(list.clone());
            }
        }
        let warnings = std::mem::take(&mut p.warnings);
        self.warnings.extend(warnings);
        result
    }

    /// Runs `then` with a context.
    pub fn with<T>(&mut self, side: Side, then: impl FnOnce(&mut Context<'_>) -> T) -> T {
        let payload = Payload { bytes: &self.body, complete: self.complete, size: self.body.len() as u64 };
        let mut cx = Context {
            session: &mut self.session,
            stream: &mut self.stream,
            request: (side == Side::Request && !self.tcp).then_some(&mut self.request),
            early: OnceCell::new(),
            response: (side == Side::Response).then_some(&mut self.response),
            request_payload: payload,
            response_payload: payload,
            side,
            last_chance: self.complete,
            vars: &self.vars,
            pool: &self.pool,
            world: &Nobody,
            now: Now { mono: Millis(1000), nanos: 1_000_000_000, wall_us: 1_795_345_438_727_000 },
            recorder: None,
        };
        then(&mut cx)
    }

    /// The text that a format gives on a request; the error's text if it does not parse.
    pub fn format(&mut self, text: &str) -> String {
        self.format_as(text, Usage::Value)
    }

    pub fn format_as(&mut self, text: &str, usage: Usage) -> String {
        let points = if !usage.is_log() { Points::FE_HRQ_HDR } else { Points::FE_LOG_END };
        match self.parse(points, |p| LogFormat::parse(text, usage, p)) {
            Err(e) => e,
            Ok(format) => self.with(Side::Request, |cx| {
                let mut out = Vec::new();
                format.write(cx, &mut out);
                String::from_utf8_lossy(&out).into_owned()
            }),
        }
    }

    /// Runs rules given as lines; the error's text if one does not parse.
    pub fn rules(&mut self, phase: Phase, lines: &[&str]) -> Result<Verdict, String> {
        let mut rules = RuleSet::default();
        for line in lines {
            let words: Vec<&str> = split(line);
            self.parse(Points(0), |p| rules.parse_rule(phase, &words, 1, p)).map_err(|e| e.text)?;
        }
        self.stream.request_captures.resize(self.captures.request.len(), None);
        Ok(self.with(phase.side(), |cx| rules.run(cx, 0)))
    }

    pub fn acl(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<&str> = split(line);
        self.parse(Points(0), |p| AclSet::parse_line(&words, p)).map_err(|e| e.text)
    }
}

/// Words between blanks; single quotes keep blanks.
pub fn split(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'').unwrap_or((quoted, "")),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word);
        rest = after.trim_start();
    }
    words
}
