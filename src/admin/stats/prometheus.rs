//! The Prometheus exporter's text (exposition format 0.0.4): HAProxy's families from [`families`], and histograms of
//! latency for each proxy and server. Parameters of the query string: `scope` (several), `no-maint`, `metrics` (or `filter`; names of
//! families, separated by commas; with `-` before one all but those).

pub mod families;

use super::{
    Scene, VERSION,
    catalogue::find,
    fields::{Field, Object, Value},
    info,
    value::server,
    walk::{BACKENDS, FRONTENDS, LISTENERS, SERVERS, Selection, Step, Walk},
};
use crate::{
    base::histogram::Summary,
    model::{
        plan::{ProxyIndex, ServerIndex},
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

/// Families one after the other, and in each the objects that it tells of: in pieces of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    request: Request,
    /// Place among [`FAMILIES`] and, behind them, [`LATENCIES`].
    next: usize,
    open: Option<Open>,
}

impl Writer {
    pub fn new(request: Request) -> Writer {
        Writer { request, next: 0, open: None }
    }

    /// Appends the next piece; false when all was written.
    pub fn write_next(&mut self, scene: &Scene<'_>, out: &mut Vec<u8>) -> bool {
        let Some(open) = &mut self.open else {
            let Some(family) = FAMILIES.iter().chain(&LATENCIES).nth(self.next) else { return false };
            self.next += 1;
            let name = family.full_name();
            let wanted = self.request.wants(family.subject) && self.request.wants_family(&name);
            let wanted = wanted && (self.request.histograms || !matches!(family.form, Form::Latency(_)));
            self.open = wanted.then(|| Open::new(family, name, self.request.no_maint));
            return true;
        };
        if !open.write_next(scene, out) {
            self.open = None;
        }
        true
    }
}

/// The family that is being written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Open {
    family: &'static Family,
    name: String,
    no_maint: bool,
    walk: Walk,
    /// Place in [`CODES`], of a family that has them: all objects with one code, then with the next.
    code: usize,
    /// The head is written, for there is a sample.
    begun: bool,
    counting: Option<Counting>,
}

impl Open {
    fn new(family: &'static Family, name: String, no_maint: bool) -> Open {
        let walk = walk(family.subject, no_maint);
        Open { family, name, no_maint, walk, code: 0, begun: false, counting: None }
    }

    /// Appends the next piece; false when the family is complete.
    fn write_next(&mut self, scene: &Scene<'_>, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        if !self.begun {
            let (name, help) = (&self.name, self.family.help);
            let kind = match self.family {
                Family { form: Form::Latency(_), .. } => "histogram",
                Family { counter: true, .. } => "counter",
                _ => "gauge",
            };
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        }
        let head = out.len();
        let more = self.samples(scene, out);
        match out.len() > head {
            true => self.begun = true,
            false => out.truncate(start),
        }
        more
    }

    fn samples(&mut self, scene: &Scene<'_>, out: &mut Vec<u8>) -> bool {
        if let Some(counting) = &mut self.counting {
            if !counting.count_next(scene, self.family.form) {
                let labels = labels(scene, Object::Backend(counting.proxy));
                for (state, count) in states_counted(self.family.form).iter().zip(counting.counts) {
                    line(&self.name, &labels, Some(("state", state)), &count.to_string(), out);
                }
                self.counting = None;
            }
            return true;
        }
        match self.family.subject {
            Subject::Process => {
                self.process(scene, out);
                return false;
            }
            Subject::Resolver => {
                self.nameservers(scene, out);
                return false;
            }
            _ => {}
        }
        match (self.walk.step(scene), self.family.form) {
            (Step::Object(object), Form::CountStatus | Form::CountCheckStatus) => {
                self.counting = Some(Counting { proxy: object.proxy(), next: 0, counts: Default::default() });
            }
            (Step::Object(object), Form::Latency(kind)) => self.histogram(scene, object, kind, out),
            (Step::Object(object), _) => self.sample(scene, object, out),
            (Step::Nothing, _) => {}
            (Step::End, Form::Codes) if self.code + 1 < CODES.len() => {
                self.code += 1;
                self.walk = walk(self.family.subject, self.no_maint);
            }
            (Step::End, _) => return false,
        }
        true
    }

    fn process(&self, scene: &Scene<'_>, out: &mut Vec<u8>) {
        let name = &self.name;
        // Writing to a Vec cannot fail.
        let _ = match self.family.form {
            Form::Node => writeln!(out, "{name}{{node=\"{}\"}} 1", escaped(scene.process.node)),
            Form::Build => writeln!(out, "{name}{{version=\"{VERSION}\"}} 1"),
            Form::Plain(key) => writeln!(out, "{name} {}", number(&info::value(scene, key))),
            _ => Ok(()),
        };
    }

    fn nameservers(&self, scene: &Scene<'_>, out: &mut Vec<u8>) {
        let Form::Nameserver(which) = self.family.form else { return };
        for (index, section) in scene.plan.resolvers.iter().enumerate() {
            for (nameserver, cell) in section.nameservers.iter().zip(scene.board.nameservers(index)) {
                let labels =
                    format!("resolver=\"{}\",nameserver=\"{}\"", escaped(&section.name), escaped(&nameserver.name));
                line(&self.name, &labels, None, &cell.values()[which].to_string(), out);
            }
        }
    }

    fn sample(&self, scene: &Scene<'_>, object: Object, out: &mut Vec<u8>) {
        let labels = labels(scene, object);
        let field = |name: &str| find(name).filter(|f| in_mode(scene, f, object)).map(|f| f.value(scene, object));
        let mut line = |label, number: &str| line(&self.name, &labels, label, number, out);
        match self.family.form {
            Form::Plain(key) => {
                if let Some(value) = field(key) {
                    // An unlimited or unknown number is not a number; "never" is 0 seconds.
                    line(None, &if value == Value::S32(-1) { "0".into() } else { number(&value) });
                }
            }
            Form::Milliseconds(key) => {
                if let Some(value) = field(key) {
                    line(None, &value.number().map_or("NaN".into(), |ms| format!("{:.6}", ms / 1000.0)));
                }
            }
            Form::Codes => {
                let (key, code) = CODES[self.code];
                if let Some(value) = field(key) {
                    line(Some(("code", code)), &number(&value));
                }
            }
            Form::Status => {
                let (now, states) = status(scene, object);
                for state in states {
                    line(Some(("state", state)), if *state == now { "1" } else { "0" });
                }
            }
            Form::CheckStatus | Form::AgentStatus => {
                let key = if self.family.form == Form::CheckStatus { "check_status" } else { "agent_status" };
                let Some(Value::Str(now)) = field(key) else { return };
                let now = now.trim_start_matches("* ");
                for state in CHECK_STATES {
                    line(Some(("state", state)), if *state == now { "1" } else { "0" });
                }
            }
            _ => {}
        }
    }

    fn histogram(&self, scene: &Scene<'_>, object: Object, kind: LatencyKind, out: &mut Vec<u8>) {
        let summary = match object {
            Object::Frontend(p) => scene.board.frontend_latency(p, kind),
            Object::Backend(p) => scene.board.backend_latency(p, kind),
            Object::Server(p, s) => scene.board.server_latency(p, s, kind),
            Object::Listener(..) => return,
        };
        // Nothing was measured yet: no series, since there are hundreds of servers that never are.
        if summary.count() > 0 {
            buckets(&self.name, &labels(scene, object), &summary, out);
        }
    }
}

/// The objects of a family.
fn walk(subject: Subject, no_maint: bool) -> Walk {
    let kinds = match subject {
        Subject::Frontend => FRONTENDS,
        Subject::Listener => LISTENERS,
        Subject::Backend => BACKENDS,
        Subject::Server => SERVERS,
        Subject::Process | Subject::StickTable | Subject::Resolver => return Walk::over(),
    };
    Walk::new(Selection { kinds, no_maint, ..Selection::default() })
}

/// Servers of a backend by state, as far as they were looked at: a backend may have thousands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Counting {
    proxy: ProxyIndex,
    next: ServerIndex,
    counts: [u64; CHECK_STATES.len()],
}

impl Counting {
    /// Looks at the next server; false when all have been counted.
    fn count_next(&mut self, scene: &Scene<'_>, form: Form) -> bool {
        let live = scene.board.live.backend(self.proxy);
        if self.next >= live.len() {
            return false;
        }
        let server = self.next;
        self.next += 1;
        if live.server(server).is_none_or(|s| s.is_deleted()) {
            return true;
        }
        let object = Object::Server(self.proxy, server);
        let check = find("check_status").map(|f| f.value(scene, object));
        let now = match (form, &check) {
            (Form::CountStatus, _) => status(scene, object).0,
            (_, Some(Value::Str(now))) => now.trim_start_matches("* "),
            _ => return true,
        };
        if let Some(place) = states_counted(form).iter().position(|state| *state == now) {
            self.counts[place] += 1;
        }
        true
    }
}

/// The states that a family counts servers by.
fn states_counted(form: Form) -> &'static [&'static str] {
    if form == Form::CountStatus { SERVER_STATES } else { CHECK_STATES }
}

fn line(name: &str, labels: &str, more: Option<(&str, &str)>, number: &str, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = match more {
        None => writeln!(out, "{name}{{{labels}}} {number}"),
        Some((label, value)) => writeln!(out, "{name}{{{labels},{label}=\"{value}\"}} {number}"),
    };
}

fn in_mode(scene: &Scene<'_>, field: &Field, object: Object) -> bool {
    let http = scene.plan.proxies[object.proxy()].mode == Mode::Http;
    http || field.http_only == 0 || !matches!(field.value(scene, object), Value::None)
}

/// The present state and all states of the kind.
fn status(scene: &Scene<'_>, object: Object) -> (&'static str, &'static [&'static str]) {
    let text = || find("status").map_or(String::new(), |f| f.value(scene, object).text().into_owned());
    match object {
        Object::Frontend(_) | Object::Backend(_) => {
            (if matches!(&*text(), "OPEN" | "UP") { "UP" } else { "DOWN" }, &["DOWN", "UP"])
        }
        Object::Listener(..) => (if text() == "OPEN" { "OPEN" } else { "WAITING" }, &["WAITING", "OPEN", "FULL"]),
        Object::Server(..) => {
            let text = server::status_text(scene, object);
            let now = SERVER_STATES.iter().find(|s| text.starts_with(**s)).copied();
            (now.unwrap_or("UP"), SERVER_STATES)
        }
    }
}

fn labels(scene: &Scene<'_>, object: Object) -> String {
    let proxy = escaped(&scene.plan.proxies[object.proxy()].name);
    let name = find("svname").map_or(String::new(), |f| f.value(scene, object).text().into_owned());
    match object {
        Object::Frontend(_) | Object::Backend(_) => format!("proxy=\"{proxy}\""),
        Object::Listener(..) => format!("proxy=\"{proxy}\",listener=\"{}\"", escaped(&name)),
        Object::Server(..) => format!("proxy=\"{proxy}\",server=\"{}\"", escaped(&name)),
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

const CHECK_STATES: &[&str] = &[
    CheckStatus::Analysis.name(),
    CheckStatus::SocketError.name(),
    CheckStatus::L4Ok.name(),
    CheckStatus::L4Timeout.name(),
    CheckStatus::L4Connection.name(),
    CheckStatus::L6Ok.name(),
    CheckStatus::L6Timeout.name(),
    CheckStatus::L6Response.name(),
    CheckStatus::L7Timeout.name(),
    CheckStatus::L7Response.name(),
    CheckStatus::L7Ok.name(),
    CheckStatus::L7OkConditional.name(),
    CheckStatus::L7Status.name(),
    CheckStatus::ProcessError.name(),
    CheckStatus::ProcessTimeout.name(),
    CheckStatus::ProcessOk.name(),
];

/// Not HAProxy's: what its users have asked for.
static LATENCIES: [Family; 11] = [
    latency(
        Subject::Frontend,
        "request_duration_seconds",
        LatencyKind::Total,
        "Time from a request's first byte to its end.",
    ),
    latency(
        Subject::Frontend,
        "tls_handshake_duration_seconds",
        LatencyKind::TlsHandshake,
        "Duration of TLS handshakes.",
    ),
    latency(Subject::Backend, "queue_duration_seconds", LatencyKind::Queue, "Time spent in queues."),
    latency(Subject::Backend, "connect_duration_seconds", LatencyKind::Connect, "Time to connect to a server."),
    latency(
        Subject::Backend,
        "response_duration_seconds",
        LatencyKind::Response,
        "Time until a server's response began.",
    ),
    latency(
        Subject::Backend,
        "total_duration_seconds",
        LatencyKind::Total,
        "Time from a request's first byte to its end.",
    ),
    latency(Subject::Server, "queue_duration_seconds", LatencyKind::Queue, "Time spent in queues."),
    latency(Subject::Server, "connect_duration_seconds", LatencyKind::Connect, "Time to connect to the server."),
    latency(
        Subject::Server,
        "response_duration_seconds",
        LatencyKind::Response,
        "Time until the server's response began.",
    ),
    latency(
        Subject::Server,
        "total_duration_seconds",
        LatencyKind::Total,
        "Time from a request's first byte to its end.",
    ),
    latency(
        Subject::Server,
        "tls_handshake_duration_seconds",
        LatencyKind::TlsHandshake,
        "Duration of TLS handshakes.",
    ),
];

const fn latency(subject: Subject, name: &'static str, kind: LatencyKind, help: &'static str) -> Family {
    Family { subject, name, counter: false, form: Form::Latency(kind), help }
}

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
