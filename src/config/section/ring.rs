//! `ring` sections (manual 12.5), and what `log` lines name before or without one.

use super::{Loading, Section, forbidden_character};
use crate::{
    base::{address::Address, origin::Origin},
    config::{
        diagnostic::{Severity, suggest},
        keyword::{
            absent,
            args::{Args, Bare, Fault, TimeFault, atol, size, time_ms},
            global::process_overflow,
            server,
        },
        tls,
    },
    model::{
        ring::{Ring, RingIndex},
        server::Server,
    },
    proto::syslog::Format,
};

const KEYWORDS: [&str; 6] = ["description", "format", "maxlen", "server", "size", "timeout"];
/// Sinks that are no rings.
const DESCRIPTORS: [&str; 2] = ["stdout", "stderr"];
/// Options of servers that mean nothing to rings (manual 12.5, "server").
const IGNORED: [&str; 4] = ["check", "agent-check", "init-addr", "resolvers"];
/// Port of a syslog server that says none.
const SYSLOG_PORT: u16 = 514;
/// Time to connect to the server of an implicit ring, and for it to take what is sent.
const IMPLICIT_CONNECT_MS: u64 = 1000;
const IMPLICIT_SERVER_MS: u64 = 5000;

/// The rings there are and those that `log` lines name: such a line may stand above the section.
#[derive(Debug)]
pub struct Rings {
    list: Vec<Ring>,
    /// Where rings are named: who names it, and in which line.
    uses: Vec<(RingIndex, String, Origin)>,
}

impl Default for Rings {
    fn default() -> Rings {
        Rings { list: Ring::built_in(), uses: Vec::new() }
    }
}

impl Rings {
    fn index(&mut self, name: &str, origin: Origin) -> RingIndex {
        match self.list.iter().position(|r| r.name == name) {
            Some(index) => index,
            None => {
                self.list.push(Ring::new(name, origin));
                self.list.len() - 1
            }
        }
    }

    /// The ring of this name, for a `log` line of `owner`.
    pub fn named(&mut self, name: &str, owner: String, origin: Origin) -> RingIndex {
        let index = self.index(name, origin.clone());
        self.uses.push((index, owner, origin));
        index
    }

    /// A ring for one `log` line that names a stream's address (manual 4.2 "log"): it sends there.
    pub fn implicit(&mut self, word: &str, to: Address, origin: Origin) -> RingIndex {
        let same = |r: &&Ring| r.implicit && r.name.split('#').next() == Some(word);
        let name = match self.list.iter().filter(same).count() {
            0 => word.to_owned(),
            // No section has such a name.
            n => format!("{word}#{}", n + 1),
        };
        let mut server = Server::new(origin.clone());
        (server.name, server.host, server.address) = (name.clone(), to.to_string(), Some(to));
        let index = self.list.len();
        self.list.push(Ring {
            implicit: true,
            servers: vec![server],
            timeout_connect_ms: Some(IMPLICIT_CONNECT_MS),
            timeout_server_ms: Some(IMPLICIT_SERVER_MS),
            ..Ring::new(&name, origin)
        });
        self.declare(index);
        index
    }

    /// The `format` of its line is that of an implicit ring.
    pub fn set_implicit_format(&mut self, index: RingIndex, format: Format) {
        if self.list[index].implicit {
            self.list[index].format = format;
        }
    }

    fn declare(&mut self, index: RingIndex) {
        let last = self.list.iter().filter_map(|r| r.declared).max();
        self.list[index].declared = last.map(|n| n + 1);
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Ring> {
        self.list.iter_mut()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Ring> {
        self.list.iter()
    }

    pub fn into_list(self) -> Vec<Ring> {
        self.list
    }
}

pub fn open(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<Section, Fault> {
    let name = a.get(1);
    if name.is_empty() {
        return Err(a.fault(1, "missing ring name."));
    }
    if let Some(c) = forbidden_character(name) {
        return Err(a.fault(1, format!("invalid ring name '{name}' (character '{c}' is not permitted).")));
    }
    let index = cx.rings.index(name, a.origin());
    if cx.rings.list[index].declared.is_some() || DESCRIPTORS.contains(&name) {
        return Err(a.fault(1, format!("sink named '{name}' already exists.")));
    }
    cx.rings.declare(index);
    cx.rings.list[index].origin = a.origin();
    Ok(Section::Ring(index))
}

pub fn read(cx: &mut Loading<'_>, index: usize, a: &Args<'_>) -> Result<(), Fault> {
    let ring = &mut cx.rings.list[index];
    let word = a.get(1);
    match a.get(0) {
        "description" if word.is_empty() => Err(a.fault(1, "missing ring description text.")),
        "description" => {
            ring.description = word.to_owned();
            Ok(())
        }
        "format" => {
            ring.format = Format::from_name(word).ok_or_else(|| a.fault(1, format!("unknown format '{word}'.")))?;
            Ok(())
        }
        "size" => match size(word) {
            Ok(bytes @ 1..) => {
                ring.resize(bytes as usize);
                Ok(())
            }
            _ => Err(a.fault(1, format!("invalid size '{word}' for new sink buffer."))),
        },
        "maxlen" => match atol(word) {
            n @ 1.. => {
                ring.length_max = n as usize;
                Ok(())
            }
            _ => Err(a.fault(1, format!("invalid size '{word}' for new sink buffer."))),
        },
        "timeout" => timeout(cx, index, a),
        "server" => one_server(cx, index, a),
        "backing-file" => Err(a.fault(0, absent::text("backing-file"))),
        other => {
            let hint = suggest(other, KEYWORDS).map(|near| format!("; did you mean '{near}' maybe ?"));
            Err(a.fault(0, format!("unknown statement '{other}'{}", hint.unwrap_or_else(|| ".".to_owned()))))
        }
    }
}

fn timeout(cx: &mut Loading<'_>, index: usize, a: &Args<'_>) -> Result<(), Fault> {
    let kind = a.get(1);
    let ring = &mut cx.rings.list[index];
    let field = match kind {
        "connect" => &mut ring.timeout_connect_ms,
        "server" => &mut ring.timeout_server_ms,
        // HAProxy says nothing there.
        _ => {
            cx.warn(a, 1, format!("'timeout {kind}' has no effect in a 'ring' section"));
            return Ok(());
        }
    };
    let word = a.get(2);
    if word.is_empty() {
        return Err(a.fault(2, format!("'timeout {kind}' expects <time> as argument.")));
    }
    let ms = time_ms(word, Bare::Ms).map_err(|fault| match fault {
        TimeFault::Overflow => a.tight(2, process_overflow(word, &format!("timeout {kind}"))),
        TimeFault::Char(c) => a.tight(2, format!("unexpected character '{c}' in argument to <timeout {kind}>.")),
    })?;
    *field = Some(ms).filter(|ms| *ms > 0);
    Ok(())
}

fn one_server(cx: &mut Loading<'_>, index: usize, a: &Args<'_>) -> Result<(), Fault> {
    let ring = cx.rings.list[index].name.clone();
    let origin = a.origin();
    if a.get(1).is_empty() || a.get(2).is_empty() {
        let text = format!("[{origin}] : 'server' expects <name> and <addr>[:<port>] as arguments.");
        return Err(a.own(a.len(), text));
    }
    if let Some(c) = forbidden_character(a.get(1)) {
        let text = format!("[{origin}] : character '{c}' is not permitted in server name '{}'.", a.get(1));
        return Err(a.own(1, text));
    }
    let mut server = server::of_ring(cx, a, &ring)?.server;
    match &mut server.address {
        Some(Address::Ip(to)) if to.port() == 0 => to.set_port(SYSLOG_PORT),
        Some(Address::Ip(_)) => {}
        Some(_) => {
            let text = format!("[{origin}] : log server address family not supported for log backend server.");
            return Err(a.own(2, text));
        }
        None => {
            let place = format!("'server {ring}/{}' : ", server.name);
            let (word, host) = (a.get(2), &server.host);
            let text = format!("[{origin}] : {place}invalid address: '{host}' in '{word}'");
            return Err(a.own(2, text));
        }
    }
    if let Some(at) = (3..a.len()).find(|&i| IGNORED.contains(&a.get(i))) {
        let text = format!("'server {}' : init_addr, resolvers, check and agent are ignored for rings.", server.name);
        cx.diagnostics.at(Severity::Warning, a.line, a.word(at), text);
    }
    if let Some(at) = (3..a.len()).find(|&i| a.get(i).starts_with("send-proxy")) {
        return Err(a.fault(at, absent::text(a.get(at))));
    }
    if server.tls.ssl {
        let place = format!("'server {ring}/{}' : ", server.name);
        tls::server_files(cx, &server, &place, a)?;
    }
    cx.rings.list[index].servers.push(server);
    Ok(())
}

/// What only the whole configuration shows: names without a section, events that would not fit.
pub fn check(cx: &mut Loading<'_>) {
    for (index, owner, origin) in &cx.rings.uses {
        let ring = &cx.rings.list[*index];
        if ring.declared.is_none() {
            let wrong = match DESCRIPTORS.contains(&ring.name.as_str()) {
                true => format!("uses incompatible ring '{}'.", ring.name),
                false => format!("uses unknown ring named '{}'.", ring.name),
            };
            let (file, line) = (&origin.file, origin.line);
            let text = match owner.as_str() {
                "" => format!("global log directive declared in file {file} at line '{line}' {wrong}"),
                owner => format!("log directive declared in {owner} in file '{file}' at line {line} {wrong}"),
            };
            cx.diagnostics.say(Severity::Alert, Some(origin), text);
        }
    }
    for ring in &mut cx.rings.list {
        let most = ring.payload_max();
        if ring.length_max > most {
            if ring.length_max < usize::MAX {
                let text = format!(
                    "config : ring '{}' event max length '{}' exceeds max payload size, forced to '{most}'.",
                    ring.name, ring.length_max
                );
                cx.diagnostics.say(Severity::Warning, Some(&ring.origin), text);
            }
            ring.length_max = most;
        }
    }
}
