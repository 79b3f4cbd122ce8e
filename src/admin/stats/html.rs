//! The statistics page (`stats …`, manual 4.2): HAProxy's hooks for tools (anchors `px/srv`, row classes, field `s`, select
//! `action`, the suffixes of its URI, `uptime = …`), and for people a page of its own: light and dark, narrow screens,
//! columns that sort, latency percentiles. Nothing comes from outside: one style and one script, allowed by their hashes.

use super::{
    RELEASE_DATE, Scene, VERSION,
    catalogue::find,
    fields::{Object, Value},
    info,
    value::server::status_text,
    walk::{Selection, Step, Walk},
};
use crate::model::{
    plan::ProxyIndex,
    state::{
        board::LatencyKind,
        server::{Operation, ServerLive},
    },
    stats::StatsPage,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::{io::Write, sync::OnceLock};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Value of the page's `content-security-policy`.
pub fn content_security_policy() -> &'static str {
    static POLICY: OnceLock<String> = OnceLock::new();
    POLICY.get_or_init(|| {
        let hash = |text: &str| {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
            STANDARD.encode(digest.as_ref())
        };
        format!(
            "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; img-src data:; form-action 'self'; \
             base-uri 'none'; frame-ancestors 'self'",
            hash(STYLE),
            hash(SCRIPT)
        )
    })
}

/// What the part of the URI after `stats uri` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    pub output: Output,
    pub up: bool,
    pub no_maint: bool,
    pub no_refresh: bool,
    /// `scope=`: part of the names of the proxies that are shown.
    pub scope: String,
    /// `st=`: outcome of the last action.
    pub outcome: Option<Outcome>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Output {
    #[default]
    Html,
    Csv,
    Json,
    JsonSchema,
}

impl Output {
    pub fn content_type(self) -> &'static str {
        match self {
            Output::Html => "text/html",
            Output::Csv => "text/plain",
            Output::Json | Output::JsonSchema => "application/json",
        }
    }
}

impl Request {
    /// `rest`: what follows the page's URI, such as `;csv;norefresh` or `?scope=web`.
    pub fn parse(rest: &str) -> Request {
        let mut request = Request::default();
        for word in rest.split([';', '?', '&']) {
            match word {
                "csv" => request.output = Output::Csv,
                "json" => request.output = Output::Json,
                "json-schema" => request.output = Output::JsonSchema,
                "up" => request.up = true,
                "no-maint" => request.no_maint = true,
                "norefresh" => request.no_refresh = true,
                word => match word.split_once('=') {
                    Some(("st", code)) => request.outcome = Outcome::named(code),
                    // Names hold `[A-Za-z0-9_.:-]` only; anything else finds nothing and is not echoed.
                    Some(("scope", name)) => {
                        let good = |c: &char| c.is_ascii_alphanumeric() || "_.:-".contains(*c);
                        request.scope = name.chars().filter(good).take(20).collect();
                    }
                    _ => {}
                },
            }
        }
        request
    }

    /// What it shows of a page with this `stats scope`.
    pub fn selection(&self, scope: &[String]) -> Selection {
        Selection {
            up: self.up,
            no_maint: self.no_maint,
            scope: scope.to_vec(),
            part: self.scope.clone(),
            ..Selection::default()
        }
    }
}

/// How an action of the page went; the code stands in the URI it redirects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    None,
    Partial,
    Error,
    Exceeded,
    Denied,
    Unknown,
}

impl Outcome {
    const CODES: [(&str, Outcome, &str); 7] = [
        ("DONE", Outcome::Done, "Action processed successfully."),
        ("NONE", Outcome::None, "Nothing has changed."),
        (
            "PART",
            Outcome::Partial,
            "Action partially processed. Some server names are probably unknown or ambiguous (duplicated names in the \
             backend).",
        ),
        (
            "ERRP",
            Outcome::Error,
            "Action not processed because of invalid parameters. The action is maybe unknown, invalid parameters \
             specified, or the backend name is unknown or ambiguous.",
        ),
        (
            "EXCD",
            Outcome::Exceeded,
            "Action not processed : the buffer couldn't store all the data. You should retry with less servers at a time.",
        ),
        ("DENY", Outcome::Denied, "Action denied."),
        ("UNKN", Outcome::Unknown, "Unexpected result."),
    ];

    pub fn named(code: &str) -> Option<Outcome> {
        Self::CODES.iter().find(|(name, ..)| *name == code).map(|(_, outcome, _)| *outcome)
    }

    pub fn code(self) -> &'static str {
        Self::CODES.iter().find(|(_, outcome, _)| *outcome == self).map_or("UNKN", |(code, ..)| code)
    }

    fn text(self) -> &'static str {
        Self::CODES.iter().find(|(_, outcome, _)| *outcome == self).map_or("", |(.., text)| text)
    }
}

/// The page in pieces: its head, one row after the other in the tables of their proxies, its foot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    page: StatsPage,
    request: Request,
    /// The condition of `stats admin` holds for who asks.
    admin: bool,
    selection: Selection,
    walk: Walk,
    begun: bool,
    /// The table that is being written.
    table: Option<Table>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Table {
    proxy: ProxyIndex,
    /// Its servers can be acted on.
    form: bool,
    in_servers: bool,
}

impl Writer {
    pub fn new(page: StatsPage, request: Request, admin: bool) -> Writer {
        let selection = request.selection(&page.scope);
        let walk = Walk::new(selection.clone());
        Writer { page, request, admin, selection, walk, begun: false, table: None }
    }

    /// Appends the next piece; false when it was the last.
    pub fn write_next(&mut self, scene: &Scene<'_>, out: &mut Vec<u8>) -> bool {
        if !std::mem::replace(&mut self.begun, true) {
            self.head(scene, out);
            return true;
        }
        match self.walk.step(scene) {
            Step::Nothing => {}
            Step::Object(object) => {
                if self.table.as_ref().is_none_or(|t| t.proxy != object.proxy()) {
                    self.close_table(scene, out);
                    self.open_table(scene, object, out);
                }
                self.part_of_table(object, out);
                self.row(scene, object, out);
            }
            Step::End => {
                self.close_table(scene, out);
                let _ = write!(out, "<script>{SCRIPT}</script>\n</body></html>\n");
                return false;
            }
        }
        true
    }

    fn head(&self, s: &Scene<'_>, out: &mut Vec<u8>) {
        let node = match &self.page.show_node {
            Some(Some(name)) => Some(name.as_str()),
            Some(None) => Some(s.process.node),
            None => None,
        };
        let on = node.map_or(String::new(), |n| format!(" on {}", escaped(n)));
        let version = match self.page.show_version {
            true => format!(" version {VERSION}, released {RELEASE_DATE}"),
            false => String::new(),
        };
        let number = |key| info::value(s, key).text().into_owned();
        // Writing to a Vec cannot fail.
        let _ = write!(
            out,
            "<!DOCTYPE html>\n<html lang=\"en\"><head><title>Statistics Report for HAProxy{on}</title>\n<meta \
             charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<link \
             rel=\"icon\" href=\"data:,\">\n<style>{STYLE}</style></head>\n<body><h1>HAProxy{version}</h1>\n\
             <h2>Statistics Report for pid {}{on}{}</h2>\n",
            s.process.pid,
            self.description(s).map_or(String::new(), |d| format!(": {}", escaped(d))),
        );
        if let Some(outcome) = self.request.outcome {
            let class = if outcome == Outcome::Done { "done" } else { "fail" };
            let _ = writeln!(
                out,
                "<p class=\"{class} active_up\"><a href=\"{}\" title=\"Remove this message\">[X]</a> {}</p>",
                self.link(""),
                outcome.text()
            );
        }
        let _ = write!(
            out,
            "<div class=\"info\"><p><b>pid = </b> {} (process #1, nbproc = 1, nbthread = {})<br>\n<b>uptime = </b> {}; \
             warnings = {}<br>\n<b>system limits:</b> memmax = {}; ulimit-n = {}<br>\n<b>maxsock = </b> {}; <b>maxconn = \
             </b> {}; <b>reached = </b> {}; <b>maxpipes = </b> {}<br>\ncurrent conns = {}; current pipes = {}/{}; conn \
             rate = {}/sec<br>\nRunning tasks: {}/{} ({} niced); idle = {} %<br>\nengine: {}<br></p>\n",
            s.process.pid,
            number("Nbthread"),
            s.uptime(),
            s.process.warnings,
            if s.process.memmax_mb == 0 { "unlimited".into() } else { format!("{} MB", s.process.memmax_mb) },
            number("Ulimit-n"),
            number("Maxsock"),
            number("Maxconn"),
            number("MaxconnReached"),
            number("Maxpipes"),
            number("CurrConns"),
            number("PipesUsed"),
            number("PipesFree"),
            number("ConnRate"),
            number("Run_queue"),
            number("Tasks"),
            number("Niced_tasks"),
            number("Idle_pct"),
            escaped(s.process.engine),
        );
        let _ = write!(out, "<p class=\"links\">");
        match self.request.up {
            true => write!(out, "<a href=\"{}\">Show all servers</a> ", self.link("")),
            false => write!(out, "<a href=\"{}\">Hide 'DOWN' servers</a> ", self.link(";up")),
        }
        .ok();
        if self.page.refresh_s.is_some() {
            match self.request.no_refresh {
                true => write!(out, "<a href=\"{}\">Enable refresh</a> ", self.link("")),
                false => write!(out, "<a href=\"{}\">Disable refresh</a> ", self.link(";norefresh")),
            }
            .ok();
        }
        let _ = writeln!(
            out,
            "<a href=\"{}\">Refresh now</a> <a href=\"{}\">CSV export</a> <a href=\"{}\">JSON export</a> <a \
             href=\"{}\">JSON schema</a></p></div>",
            self.link(""),
            self.link(";csv;norefresh"),
            self.link(";json;norefresh"),
            self.link(";json-schema"),
        );
    }

    fn description<'s>(&'s self, scene: &Scene<'s>) -> Option<&'s str> {
        match &self.page.show_desc {
            Some(Some(text)) => Some(text),
            Some(None) => scene.plan.global.description.as_deref(),
            None => None,
        }
    }

    fn link(&self, suffix: &str) -> String {
        escaped(&format!("{}{suffix}", self.page.uri))
    }

    /// Begins the table of a proxy, whose first object is given.
    fn open_table(&mut self, scene: &Scene<'_>, first: Object, out: &mut Vec<u8>) {
        let index = first.proxy();
        let proxy = &scene.plan.proxies[index];
        let name = escaped(&proxy.name);
        let form = self.admin && self.selection.has_servers_of(scene, index);
        let legend = match self.page.show_legends {
            true => format!("cap: {}, mode: {}, id: {}", proxy.kind(), text(scene, "mode", first), proxy.id),
            false => proxy.kind().to_string(),
        };
        let open = if form { "<form method=\"post\">" } else { "" };
        let _ = write!(
            out,
            "<div class=\"proxy\">{open}<table class=\"titre\"><tbody><tr class=\"titre\"><th class=\"pxname\"><a name=\"{name}\" \
             id=\"{name}\"></a><a class=\"px\" href=\"#{name}\">{name}</a><small>{legend}</small></th></tr></tbody>\
             </table>\n<div class=\"scroll\"><table><thead><tr>"
        );
        // Whoever may act gets the column of boxes in every table, so that all tables have the same columns.
        if form {
            out.extend_from_slice(
                b"<th class=\"box\"><input type=\"checkbox\" data-all aria-label=\"all servers\"></th>",
            );
        } else if self.admin {
            out.extend_from_slice(b"<th class=\"box\"></th>");
        }
        for (title, parts, class) in COLUMNS {
            let _ = write!(out, "<th data-sort class=\"{class}\">{title}");
            if !parts.is_empty() {
                let _ = write!(out, " <small>{parts}</small>");
            }
            out.extend_from_slice(b"</th>");
        }
        out.extend_from_slice(b"</tr></thead>\n<tbody>");
        self.table = Some(Table { proxy: index, form, in_servers: false });
    }

    /// Servers have a part of the table to themselves.
    fn part_of_table(&mut self, object: Object, out: &mut Vec<u8>) {
        let is_server = matches!(object, Object::Server(..));
        let Some(table) = self.table.as_mut().filter(|t| t.in_servers != is_server) else { return };
        table.in_servers = is_server;
        out.extend_from_slice(match is_server {
            true => b"</tbody>\n<tbody class=\"servers\">",
            false => b"</tbody>\n<tbody>",
        });
    }

    fn close_table(&mut self, scene: &Scene<'_>, out: &mut Vec<u8>) {
        let Some(table) = self.table.take() else { return };
        out.extend_from_slice(b"</tbody></table></div>");
        if table.form {
            out.extend_from_slice(ACTIONS.as_bytes());
            let _ = write!(
                out,
                "<input type=\"hidden\" name=\"b\" value=\"#{}\"><input type=\"submit\" value=\"Apply\"></div></form>",
                scene.plan.proxies[table.proxy].id
            );
        }
        out.extend_from_slice(b"</div>\n");
    }

    fn row(&self, s: &Scene<'_>, object: Object, out: &mut Vec<u8>) {
        let value = |name: &str| text(s, name, object);
        let proxy = escaped(&s.plan.proxies[object.proxy()].name);
        let svname = escaped(&value("svname"));
        let (class, anchor, label) = match object {
            Object::Frontend(_) if value("status") == "OPEN" => {
                ("frontend open".into(), "Frontend".into(), "Frontend")
            }
            Object::Frontend(_) => ("frontend closed".into(), "Frontend".into(), "Frontend"),
            Object::Backend(_) if value("status") == "UP" => ("backend open".into(), "Backend".into(), "Backend"),
            Object::Backend(_) => ("backend closed".into(), "Backend".into(), "Backend"),
            Object::Listener(..) => ("socket".into(), format!("+{svname}"), svname.as_str()),
            Object::Server(p, i) => {
                (s.board.live.server(p, i).map_or("", row_class).into(), svname.clone(), &*svname)
            }
        };
        let class: String = class;
        let _ = write!(out, "<tr class=\"{class}\">");
        if self.admin {
            match object {
                Object::Server(..) => {
                    write!(
                        out,
                        "<td><input type=\"checkbox\" name=\"s\" value=\"{svname}\" aria-label=\"{svname}\"></td>"
                    )
                }
                _ => write!(out, "<td></td>"),
            }
            .ok();
        }
        let hint = match (self.page.show_legends, object) {
            (true, Object::Server(..) | Object::Listener(..)) => format!(
                " title=\"{}, id: {}{}\"",
                escaped(&value("addr")),
                value("sid"),
                Some(value("cookie"))
                    .filter(|c| !c.is_empty())
                    .map_or(String::new(), |c| format!(", cookie: '{}'", escaped(&c)))
            ),
            (true, Object::Backend(_)) => format!(" title=\"balancing: {}\"", value("algo")),
            _ => String::new(),
        };
        let _ = write!(
            out,
            "<td class=\"name\"{hint}><a name=\"{proxy}/{anchor}\" id=\"{proxy}/{anchor}\"></a><a class=\"lfsb\" \
             href=\"#{proxy}/{anchor}\">{label}</a></td>"
        );
        let since = find("lastchg").map(|f| f.value(s, object)).and_then(|v| v.number()).map(|n| span(n as u64));
        let state = match object {
            Object::Server(..) => status_text(s, object),
            _ => value("status"),
        };
        let since = since.map_or(String::new(), |t| format!("<span class=\"since\">{t}</span> "));
        let _ = write!(out, "<td class=\"text\">{since}<span class=\"state\">{}</span></td>", escaped(&state));
        cell(out, &[&value("scur"), &value("smax"), &value("slim")]);
        cell(out, &[&value("stot")]);
        cell(out, &[&value("rate"), &value("rate_max")]);
        cell(out, &[&value("qcur"), &value("qmax")]);
        for bytes in ["bin", "bout"] {
            let n = value(bytes);
            let _ = write!(out, "<td data-value=\"{n}\">{}</td>", size(n.parse().unwrap_or(0)));
        }
        let errors = ["ereq", "econ", "eresp"].map(value);
        let bad = errors.iter().any(|e| !e.is_empty() && e != "0");
        let _ = write!(
            out,
            "<td{}>{}</td>",
            if bad { " class=\"bad\"" } else { "" },
            errors.iter().map(|e| or_dash(e)).collect::<Vec<_>>().join(" / ")
        );
        cell(out, &[&value("wretr"), &value("wredis")]);
        latency(s, object, out);
        let check = match value("check_status") {
            status if status.is_empty() => String::new(),
            status => format!("{status}{} in {}ms", code(&value("check_code")), value("check_duration")),
        };
        let why = format!("{}: {}", value("check_desc"), value("last_chk"));
        let _ = write!(out, "<td class=\"text\" title=\"{}\">{}</td>", escaped(&why), escaped(&check));
        cell(out, &[&value("weight"), &value("uweight")]);
        cell(out, &[&value("chkfail"), &value("chkdown")]);
        let down = value("downtime").parse().map_or(String::new(), span);
        let _ = writeln!(out, "<td>{down}</td></tr>");
    }
}

/// Median, 95th and 99th percentile of the whole time, in milliseconds.
fn latency(scene: &Scene<'_>, object: Object, out: &mut Vec<u8>) {
    let board = scene.board;
    let summary = match object {
        Object::Frontend(p) => board.frontend_latency(p, LatencyKind::Total),
        Object::Backend(p) => board.backend_latency(p, LatencyKind::Total),
        Object::Server(p, s) => board.server_latency(p, s, LatencyKind::Total),
        Object::Listener(..) => Default::default(),
    };
    let shares = [0.5, 0.95, 0.99].map(|share| summary.quantile_us(share));
    match shares {
        [Some(median), Some(most), Some(worst)] => {
            let ms = |us: u64| format!("{:.1}", us as f64 / 1000.0);
            let all = format!("{} / {} / {}", ms(median), ms(most), ms(worst));
            let _ = write!(out, "<td data-value=\"{worst}\">{all}</td>");
        }
        _ => out.extend_from_slice(b"<td class=\"soft\"></td>"),
    }
}

/// Title, what its numbers are, class (which gives the width, see the style).
const COLUMNS: [(&str, &str, &str); 15] = [
    ("Name", "", "name"),
    ("Status", "", "text"),
    ("Sessions", "cur / max / limit", "wide"),
    ("Total", "", ""),
    ("Rate", "cur / max", ""),
    ("Queue", "cur / max", ""),
    ("Bytes in", "", ""),
    ("Bytes out", "", ""),
    ("Errors", "req / conn / resp", "wide"),
    ("Retries", "all / redisp.", ""),
    ("Latency, ms", "p50 / p95 / p99", "wide"),
    ("Last check", "", "text"),
    ("Weight", "now / user", ""),
    ("Checks", "failed / down", ""),
    ("Downtime", "", ""),
];

const ACTIONS: &str = "<div class=\"act\">Choose the action to perform on the checked servers : <select name=\"action\">\
<option value=\"\"></option><option value=\"ready\">Set state to READY</option><option value=\"drain\">Set state to DRAIN\
</option><option value=\"maint\">Set state to MAINT</option><option value=\"dhlth\">Health: disable checks</option>\
<option value=\"ehlth\">Health: enable checks</option><option value=\"hrunn\">Health: force UP</option><option \
value=\"hnolb\">Health: force NOLB</option><option value=\"hdown\">Health: force DOWN</option><option value=\"dagent\">\
Agent: disable checks</option><option value=\"eagent\">Agent: enable checks</option><option value=\"arunn\">Agent: force \
UP</option><option value=\"adown\">Agent: force DOWN</option><option value=\"shutdown\">Kill Sessions</option></select>";

fn text(scene: &Scene<'_>, name: &str, object: Object) -> String {
    match find(name).map(|f| f.value(scene, object)) {
        Some(Value::None) | None => String::new(),
        Some(value) => value.text().into_owned(),
    }
}

fn cell(out: &mut Vec<u8>, parts: &[&str]) {
    let known = parts.iter().any(|p| !p.is_empty());
    let all = if known { parts.iter().map(|p| or_dash(p)).collect::<Vec<_>>().join(" / ") } else { String::new() };
    let _ = write!(out, "<td data-value=\"{}\">{}</td>", parts[0], escaped(&all));
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

fn code(code: &str) -> String {
    if code.is_empty() { String::new() } else { format!("/{code}") }
}

/// The class of a server's row, by which tools and colours go.
fn row_class(server: &ServerLive) -> &'static str {
    if server.in_maintenance() {
        return "maintain";
    }
    let detail = server.detail();
    let backup = server.settings.backup;
    let pick = |active, of_backup| if backup { of_backup } else { active };
    if server.operation() == Operation::Stopped {
        return match detail.health.value {
            0 => pick("active_down", "backup_down"),
            _ => pick("active_going_up", "backup_going_up"),
        };
    }
    if server.in_drain() || server.operation() == Operation::Stopping {
        return pick("active_draining", "backup_draining");
    }
    if !detail.checked && detail.agent.is_none() {
        return pick("active_no_check", "backup_no_check");
    }
    match detail.health.progress(true) {
        Some(_) => pick("active_going_down", "backup_going_down"),
        None => pick("active_up", "backup_up"),
    }
}

/// `3m57s`, `2d4h`.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
