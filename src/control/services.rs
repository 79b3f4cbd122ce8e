//! What answers in the place of a server: the Prometheus exporter and the statistics page. They run on the worker that has
//! the request and read the board that all share; what an action of the page did goes to the control thread.

use crate::admin::stats::html::{self, Outcome, Output};
use crate::admin::stats::listing::Form;
use crate::admin::stats::report::Report;
use crate::admin::stats::{Process, Scene, action, json, prometheus};
use crate::dataplane::page::Asked;
use crate::dataplane::worker::{Acted, Answer, AnswerBody, Mail, Seen, Services, Shared, Worker};
use crate::model::plan::{ProxyIndex, ServerIndex};
use crate::model::state::counters::ServerCounter;
use crate::model::stats::StatsPage;
use crate::proto::http::head::{Head, Version};
use crate::proto::http::message;
use crate::proto::http::status;
use crate::proto::http::uri::Uri;
use crate::services::check::observe;
use std::sync::atomic::Ordering;

/// For the workers.
pub fn services() -> Services {
    Services { service, stats, observe }
}

/// What statistics tell of this process.
pub fn facts(shared: &Shared) -> Process<'_> {
    let about = &shared.about;
    Process {
        pid: shared.pid,
        node: shared.plan.global.node.as_deref().unwrap_or(&shared.hostname),
        started: shared.started,
        boot_ms: about.boot_ms,
        ulimit_n: about.ulimit_n,
        maxsock: about.maxsock,
        warnings: about.warnings,
        memmax_mb: about.memmax_mb,
        compression_bytes: shared.compression_memory.load(Ordering::Relaxed),
        engine: &about.engine_choice,
    }
}

/// The body that a report becomes. Others publish what they count while its first slices are made.
fn body(w: &Worker, legends: bool, mut report: Report) -> AnswerBody {
    w.publish_all();
    AnswerBody::Slices(Box::new(move |w, enough, out| {
        let process = facts(&w.shared);
        let scene = Scene { plan: &w.plan, board: &w.board, process: &process, now: w.rt.now(), legends };
        report.write_slice(&scene, enough, out)
    }))
}

fn begin(head: &mut Head, code: u16, content_type: &str) {
    head.start_response(code, status::reason(code).as_bytes(), Version::Http11);
    head.append(b"cache-control", b"no-cache");
    head.append(b"content-type", content_type.as_bytes());
}

/// `http-request use-service`.
fn service(w: &Worker, name: &str, request: &Head, answer: &mut Answer) -> bool {
    if name != "prometheus-exporter" {
        return false;
    }
    let query = String::from_utf8_lossy(Uri::split(request.uri()).query()).into_owned();
    match prometheus::Request::parse(&query) {
        Ok(wanted) => {
            begin(&mut answer.head, 200, "text/plain; version=0.0.4");
            answer.body = body(w, false, Report::metrics(wanted));
        }
        Err(prometheus::BadScope) => {
            if let Some(page) = message::page(400) {
                page.fill(&mut answer.head);
                answer.body = AnswerBody::Whole(page.body.as_bytes().to_vec());
            }
        }
    }
    true
}

/// The statistics page.
fn stats(w: &Worker, asked: &Asked<'_>, answer: &mut Answer) {
    let request = html::Request::parse(asked.rest);
    if let Some((form, complete)) = asked.form {
        let outcome = if !asked.admin {
            Outcome::Denied
        } else if !complete {
            Outcome::Exceeded
        } else {
            act(w, form)
        };
        begin(&mut answer.head, 303, "text/plain");
        answer.head.append(b"content-length", b"0");
        let mut location = format!("{};st={}", asked.page.uri, outcome.code());
        for (wanted, word) in
            [(request.up, ";up"), (request.no_refresh, ";norefresh"), (request.no_maint, ";no-maint")]
        {
            if wanted {
                location.push_str(word);
            }
        }
        answer.head.append(b"location", location.as_bytes());
        return;
    }
    begin(&mut answer.head, 200, request.output.content_type());
    if request.output == Output::Html {
        answer.head.append(b"content-security-policy", html::content_security_policy().as_bytes());
        answer.head.append(b"x-content-type-options", b"nosniff");
    }
    if let Some(seconds) = asked.page.refresh_s.filter(|_| !request.no_refresh) {
        answer.head.append(b"refresh", seconds.to_string().as_bytes());
    }
    answer.body = match report(w, asked, request) {
        Some(report) => body(w, asked.page.show_legends, report),
        None => AnswerBody::Slices(Box::new(|_, _, out| {
            out.extend_from_slice(json::SCHEMA.as_bytes());
            false
        })),
    };
}

/// The page, or what it exports; `None`: the schema, in which nothing is counted.
fn report(w: &Worker, asked: &Asked<'_>, request: html::Request) -> Option<Report> {
    let own = &w.plan.proxies[asked.proxy].name;
    let scope: Vec<String> =
        asked.page.scope.iter().map(|s| if s == "." { own.clone() } else { s.clone() }).collect();
    let listing = |form| Report::listing(form, Some(request.selection(&scope)));
    match request.output {
        Output::Csv => Some(listing(Form::Csv)),
        Output::Json => Some(listing(Form::Json)),
        Output::JsonSchema => None,
        Output::Html => {
            let page = StatsPage { scope, ..asked.page.clone() };
            Some(Report::page(page, request, asked.admin))
        }
    }
}

/// `observe layer4|layer7`.
fn observe(w: &Worker, proxy: ProxyIndex, server: ServerIndex, seen: Seen) {
    let live = &w.board.live;
    let Some(s) = live.server(proxy, server) else { return };
    let what = match seen {
        Seen::Connected => observe::Seen::Connected,
        Seen::ConnectFailed => observe::Seen::ConnectFailed,
        Seen::Status(status) => observe::Seen::Status(status),
        Seen::ResponseFailed => observe::Seen::ResponseBroken,
    };
    if let Some(observed) = observe::seen(live, proxy, server, s, what, w.rt.now().mono) {
        w.counts().server(proxy, server).add(ServerCounter::Hanafail, 1);
        let hurry = if observed.hurry { vec![(proxy, server)] } else { Vec::new() };
        if !hurry.is_empty() || !observed.events.is_empty() {
            let acted = Acted { events: observed.events, hurry, ..Acted::default() };
            w.send(w.board.workers(), Mail::Acted(acted));
        }
    }
}

/// Carries out a form; its consequences are the control thread's.
fn act(w: &Worker, form: &[u8]) -> Outcome {
    let (outcome, done) = action::perform(form, &w.plan, &w.board.live, w.rt.now().mono);
    let acted = Acted { events: done.events, shutdown: done.shutdown, checks: done.checks, hurry: Vec::new() };
    w.send(w.board.workers(), Mail::Acted(acted));
    outcome
}
