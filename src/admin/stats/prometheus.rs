//! The Prometheus exporter's text (exposition format 0.0.4): HAProxy's families from [`families`], and histograms of
//! latency for each proxy and server. Parameters of the query string: `scope` (several), `no-maint`, `metrics` (or `filter`; names of
//! families, separated by commas; with `-` before one all but those).

pub mod families;

use super::{
    Scene, VERSION,
    catalogue::find,
    fields::{Field, Object, Selection, Value, objects},
    info,
    value::server,
};
use crate::{
    base::histogram::Summary,
    model::{
        proxy::Mode,
        state::{board::LatencyKind, health::CheckStatus},
    },
};
use families::{FAMILIES, Family, Form, Subject};
use std::io::Write;

/// What the query string asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    scopes: Vec<Subject>,
    named: bool,
    pub no_maint: bool,
    /// `histograms`: latency by proxy and server too, which HAProxy does not have: whoever did not ask gets its families
    /// and types only.
    pub histograms: bool,
    filter: Vec<String>,
}

/// A scope that does not exist: answered with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadScope;

impl Request {
    /// Reads a query string without its question mark.
    pub fn parse(query: &str) -> Result<Request, BadScope> {
        let mut request = Request::default();
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "scope" if value == "*" => request.scopes.extend(Subject::ALL),
                // An empty scope selects nothing.
                "scope" if value.is_empty() => request.named = true,
                "scope" => request.scopes.push(Subject::named(value).ok_or(BadScope)?),
                "no-maint" => request.no_maint = true,
                "histograms" => request.histograms = true,
                "metrics" | "filter" => request.filter.extend(value.split(',').map(str::to_owned)),
                _ => {}
            }
            request.named |= name == "scope";
        }
        Ok(request)
    }

    fn wants(&self, subject: Subject) -> bool {
        !self.named || self.scopes.contains(&subject)
    }

    fn wants_family(&self, name: &str) -> bool {
        let (without, only): (Vec<&String>, Vec<&String>) = self.filter.iter().partition(|f| f.starts_with('-'));
        (only.is_empty() || only.iter().any(|f| f.as_str() == name)) && !without.iter().any(|f| f[1..] == *name)
    }
}

/// Families one after the other, so that an answer can be written in pieces.
pub struct Writer<'a> {
    scene: Scene<'a>,
    request: Request,
    objects: Vec<Object>,
    next: usize,
}

impl<'a> Writer<'a> {
    pub fn new(scene: Scene<'a>, request: Request) -> Writer<'a> {
        let selection = Selection { no_maint: request.no_maint, ..Selection::default() };
        let objects = objects(&scene, &selection);
        Writer { scene, request, objects, next: 0 }
    }

    /// Appends the next family; false when there is none left.
    pub fn write_next(&mut self, out: &mut Vec<u8>) -> bool {
        while self.next < FAMILIES.len() + LATENCIES.len() {
            let at = self.next;
            self.next += 1;
            if let Some(family) = FAMILIES.get(at) {
                if self.request.wants(family.subject) && self.request.wants_family(&family.full_name()) {
                    self.family(family, out);
                    return true;
                }
            } else {
                let (subject, name, kind, help) = LATENCIES[at - FAMILIES.len()];
                let full = format!("haproxy_{}_{name}", subject.name());
                if self.request.histograms && self.request.wants(subject) && self.request.wants_family(&full) {
                    self.histogram(subject, &full, kind, help, out);
                    return true;
                }
            }
        }
        false
    }

    fn family(&self, family: &Family, out: &mut Vec<u8>) {
        let name = family.full_name();
        let start = out.len();
        let kind = if family.counter { "counter" } else { "gauge" };
        let _ = write!(out, "# HELP {name} {}\n# TYPE {name} {kind}\n", family.help);
        let head = out.len();
        match family.subject {
            Subject::Process => self.process(family, &name, out),
            Subject::Resolver => self.nameservers(family, &name, out),
            subject => {
                let codes = if family.form == Form::Codes { &CODES[..] } else { &[("", "")] };
                for (field, code) in codes {
                    for object in self.objects.iter().filter(|o| Subject::of(**o) == subject) {
                        self.sample(family, &name, *object, (field, code), out);
                    }
                }
            }
        }
        if out.len() == head {
            out.truncate(start);
        }
    }

    fn process(&self, family: &Family, name: &str, out: &mut Vec<u8>) {
        let _ = match family.form {
            Form::Node => writeln!(out, "{name}{{node=\"{}\"}} 1", escaped(self.scene.process.node)),
            Form::Build => writeln!(out, "{name}{{version=\"{VERSION}\"}} 1"),
            Form::Plain(key) => writeln!(out, "{name} {}", number(&info::value(&self.scene, key))),
            _ => Ok(()),
        };
    }

    fn nameservers(&self, family: &Family, name: &str, out: &mut Vec<u8>) {
        let Form::Nameserver(which) = family.form else { return };
        for (index, section) in self.scene.plan.resolvers.iter().enumerate() {
            for (nameserver, cell) in section.nameservers.iter().zip(self.scene.board.nameservers(index)) {
                let labels =
                    format!("resolver=\"{}\",nameserver=\"{}\"", escaped(&section.name), escaped(&nameserver.name));
                let _ = writeln!(out, "{name}{{{labels}}} {}", cell.values()[which]);
            }
        }
    }

    fn sample(&self, family: &Family, name: &str, object: Object, code: (&str, &str), out: &mut Vec<u8>) {
        let labels = self.labels(object);
        let field = |name: &str| find(name).filter(|f| self.in_mode(f, object)).map(|f| f.value(&self.scene, object));
        let mut line = |label: &str, value: &str, number: String| {
            let _ = match label {
                "" => writeln!(out, "{name}{{{labels}}} {number}"),
                _ => writeln!(out, "{name}{{{labels},{label}=\"{value}\"}} {number}"),
            };
        };
        match family.form {
            Form::Plain(key) => {
                if let Some(value) = field(key) {
                    // An unlimited or unknown number is not a number; "never" is 0 seconds.
                    line("", "", if value == Value::S32(-1) { "0".into() } else { number(&value) });
                }
            }
            Form::Milliseconds(key) => {
                if let Some(value) = field(key) {
                    line("", "", value.number().map_or("NaN".into(), |ms| format!("{:.6}", ms / 1000.0)));
                }
            }
            Form::Codes => {
                if let Some(value) = field(code.0) {
                    line("code", code.1, number(&value));
                }
            }
            Form::Status => {
                let (now, states) = self.status(object);
                for state in states {
                    line("state", state, ((*state == now) as u8).to_string());
                }
            }
            Form::CheckStatus | Form::AgentStatus => {
                let key = if family.form == Form::CheckStatus { "check_status" } else { "agent_status" };
                let Some(Value::Str(now)) = field(key) else { return };
                let now = now.trim_start_matches("* ");
                for state in CHECK_STATES {
                    line("state", state.name(), ((state.name() == now) as u8).to_string());
                }
            }
            Form::CountStatus => {
                let servers = self.servers_of(object);
                for state in SERVER_STATES {
                    let count = servers.iter().filter(|s| self.status(**s).0 == *state).count();
                    line("state", state, count.to_string());
                }
            }
            Form::CountCheckStatus => {
                let servers = self.servers_of(object);
                let status = find("check_status");
                for state in CHECK_STATES {
                    let is = |s: &&Object| match status.map(|f| f.value(&self.scene, **s)) {
                        Some(Value::Str(now)) => now.trim_start_matches("* ") == state.name(),
                        _ => false,
                    };
                    line("state", state.name(), servers.iter().filter(is).count().to_string());
                }
            }
            Form::Nameserver(_) | Form::Node | Form::Build => {}
        }
    }

    fn in_mode(&self, field: &Field, object: Object) -> bool {
        let http = self.scene.plan.proxies[object.proxy()].mode == Mode::Http;
        http || field.http_only == 0 || !matches!(field.value(&self.scene, object), Value::None)
    }

    fn servers_of(&self, object: Object) -> Vec<Object> {
        let proxy = object.proxy();
        self.scene.board.live.backend(proxy).servers().map(|(s, _)| Object::Server(proxy, s)).collect()
    }

    /// The present state and all states of the kind.
    fn status(&self, object: Object) -> (&'static str, &'static [&'static str]) {
        let text = find("status").map_or(String::new(), |f| f.value(&self.scene, object).text().into_owned());
        match object {
            Object::Frontend(_) | Object::Backend(_) => {
                (if matches!(&*text, "OPEN" | "UP") { "UP" } else { "DOWN" }, &["DOWN", "UP"])
            }
            Object::Listener(..) => (if text == "OPEN" { "OPEN" } else { "WAITING" }, &["WAITING", "OPEN", "FULL"]),
            Object::Server(..) => {
                let text = server::status_text(&self.scene, object);
                let now = SERVER_STATES.iter().find(|s| text.starts_with(**s)).copied();
                (now.unwrap_or("UP"), SERVER_STATES)
            }
        }
    }

    fn labels(&self, object: Object) -> String {
        let proxy = escaped(&self.scene.plan.proxies[object.proxy()].name);
        let name = find("svname").map_or(String::new(), |f| f.value(&self.scene, object).text().into_owned());
        match object {
            Object::Frontend(_) | Object::Backend(_) => format!("proxy=\"{proxy}\""),
            Object::Listener(..) => format!("proxy=\"{proxy}\",listener=\"{}\"", escaped(&name)),
            Object::Server(..) => format!("proxy=\"{proxy}\",server=\"{}\"", escaped(&name)),
        }
    }

    fn histogram(&self, subject: Subject, name: &str, kind: LatencyKind, help: &str, out: &mut Vec<u8>) {
        let start = out.len();
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} histogram\n");
        let head = out.len();
        for object in self.objects.iter().filter(|o| Subject::of(**o) == subject) {
            let summary = match *object {
                Object::Frontend(p) => self.scene.board.frontend_latency(p, kind),
                Object::Backend(p) => self.scene.board.backend_latency(p, kind),
                Object::Server(p, s) => self.scene.board.server_latency(p, s, kind),
                Object::Listener(..) => continue,
            };
            // Nothing was measured yet: no series, since there are hundreds of servers that never are.
            if summary.count() > 0 {
                buckets(name, &self.labels(*object), &summary, out);
            }
        }
        if out.len() == head {
            out.truncate(start);
        }
    }
}

/// Powers of two of microseconds: exact edges of the histogram's buckets, from 64 µs to 134 s.
fn buckets(name: &str, labels: &str, summary: &Summary, out: &mut Vec<u8>) {
    for power in 6..=27 {
        let edge = 1u64 << power;
        let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{}\"}} {}", edge as f64 / 1e6, summary.at_most(edge));
    }
    let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", summary.count());
    let _ = writeln!(out, "{name}_sum{{{labels}}} {}", summary.sum_us as f64 / 1e6);
    let _ = writeln!(out, "{name}_count{{{labels}}} {}", summary.count());
}

const CODES: [(&str, &str); 6] = [
    ("hrsp_1xx", "1xx"),
    ("hrsp_2xx", "2xx"),
    ("hrsp_3xx", "3xx"),
    ("hrsp_4xx", "4xx"),
    ("hrsp_5xx", "5xx"),
    ("hrsp_other", "other"),
];

const SERVER_STATES: &[&str] = &["DOWN", "UP", "MAINT", "DRAIN", "NOLB"];

const CHECK_STATES: [CheckStatus; 16] = [
    CheckStatus::Analysis,
    CheckStatus::SocketError,
    CheckStatus::L4Ok,
    CheckStatus::L4Timeout,
    CheckStatus::L4Connection,
    CheckStatus::L6Ok,
    CheckStatus::L6Timeout,
    CheckStatus::L6Response,
    CheckStatus::L7Timeout,
    CheckStatus::L7Response,
    CheckStatus::L7Ok,
    CheckStatus::L7OkConditional,
    CheckStatus::L7Status,
    CheckStatus::ProcessError,
    CheckStatus::ProcessTimeout,
    CheckStatus::ProcessOk,
];

/// Not HAProxy's: what its users have asked for.
const LATENCIES: [(Subject, &str, LatencyKind, &str); 11] = [
    (
        Subject::Frontend,
        "request_duration_seconds",
        LatencyKind::Total,
        "Time from a request's first byte to its end.",
    ),
    (Subject::Frontend, "tls_handshake_duration_seconds", LatencyKind::TlsHandshake, "Duration of TLS handshakes."),
    (Subject::Backend, "queue_duration_seconds", LatencyKind::Queue, "Time spent in queues."),
    (Subject::Backend, "connect_duration_seconds", LatencyKind::Connect, "Time to connect to a server."),
    (Subject::Backend, "response_duration_seconds", LatencyKind::Response, "Time until a server's response began."),
    (Subject::Backend, "total_duration_seconds", LatencyKind::Total, "Time from a request's first byte to its end."),
    (Subject::Server, "queue_duration_seconds", LatencyKind::Queue, "Time spent in queues."),
    (Subject::Server, "connect_duration_seconds", LatencyKind::Connect, "Time to connect to the server."),
    (Subject::Server, "response_duration_seconds", LatencyKind::Response, "Time until the server's response began."),
    (Subject::Server, "total_duration_seconds", LatencyKind::Total, "Time from a request's first byte to its end."),
    (Subject::Server, "tls_handshake_duration_seconds", LatencyKind::TlsHandshake, "Duration of TLS handshakes."),
];

fn number(value: &Value<'_>) -> String {
    match value {
        Value::None => "NaN".into(),
        Value::Str(text) if text.parse::<f64>().is_err() => "NaN".into(),
        value => value.text().into_owned(),
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
