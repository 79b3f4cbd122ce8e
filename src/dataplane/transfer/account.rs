//! What a process tells the next one of a session, as lines of words separated by tabs: whose it is, its addresses, times and
//! counts so far, variables, captures and what it tracks, so that its log line at the end tells all of it. Things of the
//! configuration are known by name; bytes are hexadecimal digits.

use super::super::connect::Link;
use super::super::relay::Progress;
use super::super::session::Session;
use super::super::stream::Exchange;
use super::super::tables::registry::{Registry, TableId};
use super::super::tables::slots::Slots;
use super::super::worker::Worker;
use crate::base::clock::{Millis, Now, origin_us};
use crate::base::hex::{hex, unhex};
use crate::base::origin::Origin;
use crate::language::facts::{self, LogLevel};
use crate::language::vars::{Store, Value};
use crate::model::plan::{Plan, ProxyIndex};
use crate::model::proxy::Mode;
use crate::model::state::server::ServerLive;
use std::fmt::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use std::str::{FromStr, Split};

/// Bytes of an account at most: a session with more to tell stays.
pub const BYTES_MAX: usize = 64 << 10;

/// Where a server is, for both processes to compare.
pub fn address(live: &ServerLive) -> String {
    live.address().map_or("-".to_owned(), |a| a.to_string().replace(['\t', '\n'], " "))
}

/// Connections to it are encrypted.
pub fn encrypts(live: &ServerLive) -> bool {
    let server = &live.settings;
    server.ssl || server.tls.ssl || server.tls_traffic.is_some()
}

// ---- the old process ----

/// The account of a session at rest. `None`: it cannot be told, or is too long.
pub fn write(s: &Session, ex: &Exchange, link: &Link, progress: Progress) -> Option<String> {
    let w = &s.w;
    let live = w.board.live.server(link.proxy, link.server).filter(|live| !encrypts(live))?;
    let names = [&s.settings().name, &w.plan.proxies[link.proxy].name, &live.settings.name];
    let mut out = String::new();
    let mut line = |words: std::fmt::Arguments<'_>| _ = writeln!(out, "{words}");
    line(format_args!("place\t{}\t{}\t{}\t{}", names[0], names[1], names[2], address(live)));
    for address in &s.bind().addresses {
        line(format_args!("bind\t{}", address.to_string().replace(['\t', '\n'], " ")));
    }
    let origin_us = origin_us().saturating_sub(ex.clock_ns / 1000);
    line(format_args!("start\t{origin_us}\t{}\t{}", ex.start.nanos, ex.start.wall_us));
    line(format_args!("moments\t{}\t{}\t{}\t{}", ex.request_ns, ex.queued_ns, ex.connected_ns, ex.response_ns));
    let p = progress;
    line(format_args!(
        "progress\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
        p.client_active,
        p.server_active,
        p.from_client,
        p.to_server,
        p.from_server,
        p.to_client,
        u8::from(p.client_ended),
        u8::from(p.server_ended)
    ));
    {
        let f = s.facts.borrow();
        line(format_args!("client\t{}\t{}\t{}\t{}", f.accept_us, f.handshake_ms, maybe(f.src), maybe(f.dst)));
        if let Some(before) = &f.before {
            line(format_args!("before\t{}\t{}", maybe(before.0), maybe(before.1)));
        }
        line(format_args!("marks\t{}\t{}", maybe(f.mark), maybe(f.tos)));
        if let Some(syn) = &f.saved_syn {
            line(format_args!("syn\t{}", hex(&syn.0)));
        }
        if let Some(header) = &f.proxy_protocol {
            let (authority, id) = (bytes(header.authority.as_deref()), bytes(header.unique_id.as_deref()));
            line(format_args!("header\t{authority}\t{id}"));
            for (kind, value) in &header.tlvs {
                line(format_args!("tlv\t{kind}\t{}", hex(value)));
            }
        }
    }
    let f = &ex.facts;
    line(format_args!(
        "bytes\t{}\t{}\t{}\t{}\t{}\t{}",
        f.bytes_in, f.bytes_out, f.request_bytes_in, f.request_bytes_out, f.response_bytes_in, f.response_bytes_out
    ));
    line(format_args!("server\t{}\t{}", maybe(f.server_src), maybe(f.server_dst)));
    line(format_args!(
        "stream\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
        hex(&f.termination),
        f.retries,
        u8::from(f.redispatched),
        f.server_queue,
        f.backend_queue,
        u8::from(ex.logged),
        f.timers.handshake
    ));
    line(format_args!("priority\t{}\t{}", f.priority_class, f.priority_offset));
    match f.log_level {
        Some(LogLevel::Level(level)) => line(format_args!("level\t{level}")),
        Some(LogLevel::Silent) => line(format_args!("level\tsilent")),
        None => {}
    }
    if let Some(id) = &f.unique_id {
        line(format_args!("id\t{}", hex(id)));
    }
    if let Some(rule) = &f.last_rule {
        line(format_args!("rule\t{}\t{}", hex(rule.file.as_bytes()), rule.line));
    }
    for (word, captures) in [("request", &f.request_captures), ("response", &f.response_captures)] {
        for capture in captures {
            line(format_args!("capture\t{word}\t{}", bytes(capture.as_deref())));
        }
    }
    for (word, store) in scopes(s, ex) {
        for (id, value) in store.export() {
            line(format_args!("var\t{word}\t{id}\t{}", value_text(&value)));
        }
    }
    tracked(w, "session", &s.tracked().borrow(), &mut out);
    tracked(w, "stream", &ex.tracked.borrow(), &mut out);
    (out.len() <= BYTES_MAX).then_some(out)
}

fn scopes<'a>(s: &'a Session, ex: &'a Exchange) -> [(&'static str, &'a Store); 4] {
    [("sess", &*s.vars), ("txn", &ex.vars.txn), ("req", &ex.vars.req), ("res", &ex.vars.res)]
}

fn tracked(w: &Worker, whose: &str, slots: &Slots, out: &mut String) {
    let registry = &w.shared.tables;
    for (slot, table, place) in slots.tracked() {
        let mut key = w.pool.buf();
        if w.tables.key_of(table, place, &mut key) {
            let (name, kind) = (&registry.def(table).name, kind(registry, table));
            let _ = writeln!(out, "track\t{whose}\t{slot}\t{name}\t{kind}\t{}", hex(&key));
        }
    }
}

/// The kind of a table's keys, as both know it.
fn kind(registry: &Registry, table: TableId) -> String {
    format!("{:?}", registry.def(table).key).replace(['\t', '\n'], " ")
}

fn maybe<T: ToString>(value: Option<T>) -> String {
    value.map_or("-".to_owned(), |v| v.to_string())
}

fn bytes(value: Option<&[u8]>) -> String {
    value.map_or("-".to_owned(), hex)
}

fn value_text(value: &Value) -> String {
    match value {
        Value::Bool(b) => format!("bool\t{}", u8::from(*b)),
        Value::Sint(n) => format!("sint\t{n}"),
        Value::Ip(a) => format!("ip\t{a}"),
        Value::Str(b) => format!("str\t{}", hex(b)),
        Value::Bin(b) => format!("bin\t{}", hex(b)),
        Value::Meth(b) => format!("meth\t{}", hex(b)),
    }
}

// ---- the new process ----

/// An account as it came.
pub struct Account<'t> {
    frontend: &'t str,
    pub backend: &'t str,
    pub server: &'t str,
    /// Where the server is.
    pub address: &'t str,
    binds: Vec<&'t str>,
    /// When it began, on a clock that is so many nanoseconds ahead of this process's.
    pub start: Now,
    clock_ns: u64,
    text: &'t str,
}

/// An entry that is tracked.
pub struct Tracked {
    /// Or of its session.
    pub of_stream: bool,
    pub slot: u8,
    pub table: TableId,
    pub key: Vec<u8>,
}

impl<'t> Account<'t> {
    /// `None`: it is none.
    pub fn read(text: &'t str) -> Option<Account<'t>> {
        let [frontend, backend, server, address] = *lines(text, "place").next()?.0.collect::<Vec<_>>() else {
            return None;
        };
        let binds = lines(text, "bind").filter_map(|mut words| words.word()).collect();
        let mut start = lines(text, "start").next()?;
        let (origin, nanos, wall_us) = (start.number::<u64>()?, start.number::<u64>()?, start.number()?);
        let clock_ns = origin_us().saturating_sub(origin).saturating_mul(1000);
        let start = Now { mono: Millis(nanos / 1_000_000), nanos, wall_us };
        Some(Account { frontend, backend, server, address, binds, start, clock_ns, text })
    }

    /// The frontend and `bind` line of this process that it belongs to.
    pub fn frontend(&self, plan: &Plan) -> Option<(ProxyIndex, usize)> {
        let proxy = plan.frontend(self.frontend)?;
        let settings = &plan.proxies[proxy];
        let is_there = |a: &crate::base::address::Address| self.binds.contains(&&*a.to_string());
        let bind = settings.frontend.binds.iter().position(|bind| bind.addresses.iter().any(is_there))?;
        (settings.mode == Mode::Tcp && !settings.disabled && !settings.frontend.binds[bind].ssl)
            .then_some((proxy, bind))
    }

    /// Tells session and stream what they are to know, but what they track. `None`: it is no account.
    pub fn tell(&self, s: &mut Session, ex: &mut Exchange) -> Option<Progress> {
        ex.clock_ns = self.clock_ns;
        ex.response_started = true;
        let mut progress = None;
        for line in self.text.lines() {
            let mut words = Words(line.split('\t'));
            match words.word()? {
                "progress" => progress = Some(words.progress()?),
                "capture" => {
                    let captures = match words.word()? {
                        "request" => &mut ex.facts.request_captures,
                        _ => &mut ex.facts.response_captures,
                    };
                    captures.push(words.maybe(unhex)?);
                }
                "var" => {
                    let scope = words.word()?;
                    let (_, store) = scopes(s, ex).into_iter().find(|(word, _)| *word == scope)?;
                    let (id, value) = (words.number()?, words.value()?);
                    // A scope that holds less than it did keeps what fits.
                    store.set(id, &value.lend());
                }
                word => words.facts(word, &mut s.facts.borrow_mut(), ex)?,
            }
        }
        progress
    }

    /// What it tracks in tables that are here.
    pub fn tracked(&self, w: &Worker) -> Vec<Tracked> {
        let registry = &w.shared.tables;
        let tracked = lines(self.text, "track").filter_map(|mut words| {
            let (whose, slot, name) = (words.word()?, words.number()?, words.word()?);
            let table = registry.named(name)?;
            (words.word()? == kind(registry, table)).then_some(())?;
            Some(Tracked { of_stream: whose == "stream", slot, table, key: unhex(words.word()?)? })
        });
        tracked.collect()
    }
}

/// The lines that begin with `word`, without it.
fn lines<'t>(text: &'t str, word: &'static str) -> impl Iterator<Item = Words<'t>> {
    let words = text.lines().map(|line| Words(line.split('\t')));
    words.filter_map(move |mut words| (words.word()? == word).then_some(words))
}

/// What is left of a line.
struct Words<'t>(Split<'t, char>);

impl<'t> Words<'t> {
    fn word(&mut self) -> Option<&'t str> {
        self.0.next()
    }

    fn number<T: FromStr>(&mut self) -> Option<T> {
        self.word()?.parse().ok()
    }

    fn flag(&mut self) -> Option<bool> {
        Some(self.word()? == "1")
    }

    /// A value that may be missing (`-`).
    fn maybe<T>(&mut self, read: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
        match self.word()? {
            "-" => Some(None),
            word => read(word).map(Some),
        }
    }

    fn address(&mut self) -> Option<Option<SocketAddr>> {
        self.maybe(|word| word.parse().ok())
    }

    fn progress(&mut self) -> Option<Progress> {
        Some(Progress {
            client_active: self.number()?,
            server_active: self.number()?,
            from_client: self.number()?,
            to_server: self.number()?,
            from_server: self.number()?,
            to_client: self.number()?,
            client_ended: self.flag()?,
            server_ended: self.flag()?,
        })
    }

    fn value(&mut self) -> Option<Value> {
        let (kind, word) = (self.word()?, self.word()?);
        Some(match kind {
            "bool" => Value::Bool(word == "1"),
            "sint" => Value::Sint(word.parse().ok()?),
            "ip" => Value::Ip(word.parse().ok()?),
            "str" => Value::Str(unhex(word)?),
            "bin" => Value::Bin(unhex(word)?),
            _ => Value::Meth(unhex(word)?),
        })
    }

    /// A line about session or stream; what is of no use here is passed over.
    fn facts(&mut self, word: &str, s: &mut facts::Session, ex: &mut Exchange) -> Option<()> {
        let f = &mut ex.facts;
        match word {
            "moments" => {
                let mut moment = || self.number();
                (ex.request_ns, ex.queued_ns) = (moment()?, moment()?);
                (ex.connected_ns, ex.response_ns) = (moment()?, moment()?);
            }
            "client" => {
                (s.accept_us, s.handshake_ms) = (self.number()?, self.number()?);
                (s.src, s.dst) = (self.address()?, self.address()?);
            }
            "before" => s.before = Some(Box::new((self.address()?, self.address()?))),
            "marks" => {
                s.mark = self.maybe(|word| word.parse().ok())?;
                s.tos = self.maybe(|word| word.parse().ok())?;
            }
            "syn" => s.saved_syn = Some(Rc::new(facts::Packet(unhex(self.word()?)?.into()))),
            "header" => {
                let header = s.proxy_protocol.get_or_insert_default();
                (header.authority, header.unique_id) = (self.maybe(unhex)?, self.maybe(unhex)?);
            }
            "tlv" => {
                let tlv = (self.number()?, unhex(self.word()?)?);
                s.proxy_protocol.get_or_insert_default().tlvs.push(tlv);
            }
            "bytes" => {
                (f.bytes_in, f.bytes_out) = (self.number()?, self.number()?);
                (f.request_bytes_in, f.request_bytes_out) = (self.number()?, self.number()?);
                (f.response_bytes_in, f.response_bytes_out) = (self.number()?, self.number()?);
            }
            "server" => (f.server_src, f.server_dst) = (self.address()?, self.address()?),
            "stream" => {
                f.termination = unhex(self.word()?)?.try_into().ok()?;
                (f.retries, f.redispatched) = (self.number()?, self.flag()?);
                (f.server_queue, f.backend_queue) = (self.number()?, self.number()?);
                (ex.logged, f.timers.handshake) = (self.flag()?, self.number()?);
            }
            "priority" => (f.priority_class, f.priority_offset) = (self.number()?, self.number()?),
            "level" => {
                f.log_level = Some(match self.word()? {
                    "silent" => LogLevel::Silent,
                    level => LogLevel::Level(level.parse().ok()?),
                });
            }
            "id" => f.unique_id = Some(unhex(self.word()?)?),
            "rule" => {
                let file = String::from_utf8(unhex(self.word()?)?).ok()?;
                f.last_rule = Some(Origin::new(file, self.number()?));
            }
            _ => {}
        }
        Some(())
    }
}
