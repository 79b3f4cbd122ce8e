//! Log lines of streams (manual 8): what is written, when, and to whom. Lines are formatted after the response has left and
//! sent without waiting: what a full socket does not take is lost and counted, as with HAProxy.

use super::events::EventWriter;
use super::rules::with_context;
use super::session::Session;
use super::stream::Exchange;
use super::stream::termination::{Answer, Failure};
use super::worker::{Seen, Shared, Worker};
use crate::base::address::Address;
use crate::base::buf::Block;
use crate::engine::Rt;
use crate::engine::driver::{ConnectOptions, Fd, Socket, WakeHandle, sockets};
use crate::engine::process;
use crate::language::context::{Payload, Side};
use crate::language::facts::LogLevel;
use crate::model::logging::{LogSink, LogTarget};
use crate::model::plan::{Plan, ProxyIndex, ServerIndex};
use crate::model::proxy::Mode;
use crate::model::ring::RingIndex;
use crate::model::state::counters::{
    BackendCounter, FrontendCounter, ListenerCounter, ProcessCounter, ServerCounter,
};
use crate::proto::syslog::{Format, Framer, Header};
use std::cell::{Cell, RefCell};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const LEVEL_ERR: u8 = 3;
const LEVEL_INFO: u8 = 6;

/// Sockets to the UNIX targets of a plan, for a process that is about to lose sight of them by its `chroot`. A target that
/// nobody reads yet is left out.
pub fn open_outside(plan: &Plan) -> Vec<(LogSink, Fd)> {
    let proxies = plan.proxies.iter().flat_map(|p| &p.log.targets);
    let peers = plan.peers.iter().flat_map(|p| &p.log_targets);
    let mut open: Vec<(LogSink, Fd)> = Vec::new();
    for target in plan.global.log_targets.iter().chain(proxies).chain(peers) {
        let LogSink::Datagram(address @ Address::Unix(_)) = &target.sink else { continue };
        if open.iter().any(|(sink, _)| *sink == target.sink) {
            continue;
        }
        let Ok(fd) = sockets::open(Socket::Datagram, address, &ConnectOptions::default()) else { continue };
        match sockets::connect_now(fd, address) {
            Ok(()) => open.push((target.sink.clone(), fd)),
            Err(_) => sockets::close(fd),
        }
    }
    open
}

/// A thread's sockets and counters for logging; the control thread has one too.
pub struct LogOut {
    rt: Rt,
    shared: Arc<Shared>,
    /// Whose block of the board counts what is lost.
    index: usize,
    sinks: RefCell<Vec<(LogSink, Option<Fd>)>>,
    /// Where lines for rings go.
    events: EventWriter,
    /// Descriptors that lines are written to, told not to block.
    pipes: RefCell<Vec<Fd>>,
    framer: RefCell<Framer>,
    /// Lines by target, for `sample`.
    sampled: RefCell<Vec<(LogTarget, u32)>>,
    /// Failed sends seen so far; more of them mean that a socket's reader has gone, and it is opened anew.
    failures: Cell<u64>,
    tag: String,
    send_hostname: Option<String>,
}

impl LogOut {
    pub fn new(rt: Rt, shared: Arc<Shared>, index: usize) -> LogOut {
        let global = &shared.plan.global;
        let send_hostname = global.log_send_hostname.as_ref().map(|n| n.clone().unwrap_or(shared.hostname.clone()));
        let tag = global.log_tag.clone().unwrap_or_else(|| shared.program.clone());
        let events = shared.events.writer(index);
        LogOut {
            rt,
            events,
            shared,
            index,
            sinks: RefCell::default(),
            pipes: RefCell::default(),
            framer: RefCell::new(Framer::new()),
            sampled: RefCell::default(),
            failures: Cell::new(0),
            tag,
            send_hostname,
        }
    }

    /// Sends a line to every target that wants its level.
    pub fn send(&self, targets: &[LogTarget], tag: Option<&str>, level: u8, sd: &[u8], line: &[u8]) {
        for target in targets {
            if level > target.max_level || !self.is_sampled(target) {
                continue;
            }
            let level = level.max(target.min_level);
            if let LogSink::Ring(ring) = target.sink {
                self.write_event(ring, target, tag, level, sd, line);
                continue;
            }
            let framed = self.frame(target, (target.format, target.length_max), tag, level, sd, line);
            self.deliver(&target.sink, framed);
        }
    }

    fn dropped(&self, lines: u64) {
        self.shared.board.worker(self.index).process().add(ProcessCounter::DroppedLogs, lines);
    }

    fn is_sampled(&self, target: &LogTarget) -> bool {
        let Some(sample) = &target.sample else { return true };
        let mut sampled = self.sampled.borrow_mut();
        let index = match sampled.iter().position(|(t, _)| t == target) {
            Some(index) => index,
            None => {
                sampled.push((target.clone(), 0));
                sampled.len() - 1
            }
        };
        let count = &mut sampled[index].1;
        *count = *count % sample.size + 1;
        sample.ranges.iter().any(|(low, high)| (*low..=*high).contains(count))
    }

    /// A line as an event of a ring: in the ring's format, within its length, without a newline.
    fn write_event(&self, ring: RingIndex, target: &LogTarget, tag: Option<&str>, level: u8, sd: &[u8], line: &[u8]) {
        let settings = &self.shared.plan.rings[ring];
        let length_max = target.length_max.min(settings.length_max + 1);
        let framed = self.frame(target, (settings.format, length_max), tag, level, sd, line);
        let event = &framed[..framed.len() - 1];
        let now_ns = self.rt.now().nanos;
        if !self.events.write(&self.shared.events, now_ns, ring, target.facility, event) {
            return;
        }
        let control = self.shared.board.workers();
        let handle = self.shared.wakes[control].load(Ordering::Acquire);
        if self.index == control {
            self.rt.wake_mail_task();
        } else if handle >= 0 {
            self.rt.wake_peer(WakeHandle(handle));
        }
    }

    fn frame(
        &self,
        target: &LogTarget,
        (format, len_max): (Format, usize),
        tag: Option<&str>,
        level: u8,
        sd: &[u8],
        line: &[u8],
    ) -> Block {
        let mut out = Block::take();
        let header = Header {
            format,
            facility: target.facility,
            level,
            hostname: self.send_hostname.as_deref().map(str::as_bytes),
            tag: tag.unwrap_or(&self.tag).as_bytes(),
            pid: self.shared.pid,
            structured_data: sd,
            len_max,
        };
        let wall = self.rt.now().wall_us;
        self.framer.borrow_mut().frame(&header, wall, self.shared.utc_offset, line, &mut out);
        out
    }

    fn deliver(&self, sink: &LogSink, framed: Block) {
        let fd = match sink {
            LogSink::Stdout => Some(1),
            LogSink::Stderr => Some(2),
            LogSink::Fd(fd) => Some(*fd),
            // Those have no descriptor.
            LogSink::Ring(_) => None,
            LogSink::Datagram(address) => {
                match self.socket(sink, address) {
                    Some(fd) => self.rt.send_detached(fd, framed),
                    None => self.dropped(1),
                }
                return;
            }
        };
        let Some(fd) = fd else { return };
        if !self.pipes.borrow().contains(&fd) {
            self.pipes.borrow_mut().push(fd);
            sockets::never_block(fd);
        }
        if !self.rt.write_now(fd, &framed) {
            self.dropped(1);
        }
    }

    /// The connected datagram socket of a target, opened when first needed and again when its reader came back.
    fn socket(&self, sink: &LogSink, address: &Address) -> Option<Fd> {
        let mut sinks = self.sinks.borrow_mut();
        let failed = self.rt.detached_failures();
        if failed > self.failures.get() {
            self.dropped(failed - self.failures.get());
            self.failures.set(failed);
            for (_, fd) in sinks.iter_mut() {
                if let Some(fd) = fd.take() {
                    self.rt.close_fd(fd);
                }
            }
        }
        let index = match sinks.iter().position(|(s, _)| s == sink) {
            Some(index) => index,
            None => {
                sinks.push((sink.clone(), None));
                sinks.len() - 1
            }
        };
        if sinks[index].1.is_none() {
            let fd = self.rt.datagram(address).ok()?;
            sinks[index].1 = match sockets::connect_now(fd, address) {
                Ok(()) => Some(fd),
                Err(_) => {
                    self.rt.close_fd(fd);
                    self.outside(sink)
                }
            };
        }
        sinks[index].1
    }

    /// The socket of a target that lies outside the jail. One inside at the same path goes before it, as with HAProxy,
    /// which has no other.
    fn outside(&self, sink: &LogSink) -> Option<Fd> {
        let (_, fd) = self.shared.outside_logs.iter().find(|(s, _)| s == sink)?;
        process::duplicate(*fd).ok()
    }
}

/// The line of a finished stream.
pub fn stream(s: &Session, ex: &mut Exchange) {
    if ex.logged {
        return;
    }
    ex.logged = true;
    write(s, ex);
}

/// `option logasap`: the line as soon as the response's head is known.
pub fn early(s: &Session, ex: &mut Exchange) {
    if !s.settings().options.logasap || ex.logged {
        return;
    }
    ex.logged = true;
    ex.facts.timers.logged_early = true;
    let now = s.w.rt.now();
    ex.fill_timers(now);
    final_counts(&s.w, s, ex);
    ex.facts.backend_conn += 1;
    ex.facts.server_conn += 1;
    write(s, ex);
}

fn write(s: &Session, ex: &mut Exchange) {
    let w = &*s.w;
    let settings = s.settings();
    if settings.log.targets.is_empty() {
        return;
    }
    let options = &settings.options;
    let failed = ex.failure.is_some() || ex.facts.status >= 500 || ex.facts.termination[..2] != *b"--";
    let is_error = match settings.mode {
        // A plain refusal by rules is no error of the stream.
        Mode::Http => ex.failure.is_some() || ex.facts.status >= 500,
        _ => failed,
    };
    if options.dontlog_normal && !is_error && ex.facts.retries == 0 && !ex.facts.redispatched {
        return;
    }
    let level = match ex.facts.log_level {
        Some(LogLevel::Silent) => return,
        Some(LogLevel::Level(level)) => level,
        None if options.log_separate_errors && is_error => LEVEL_ERR,
        None => LEVEL_INFO,
    };
    let rules = settings.rules.clone();
    // HAProxy 3.4 manual 8.2.6, "error-log-format"; 3.4.0 writes the errors of streams in the usual one all the same.
    let is_before_streams = ex.failure.is_some_and(|f| matches!(f.answer(), Answer::RawPage(_)));
    let of_errors = rules.error_log_format.as_ref().filter(|_| is_before_streams);
    let Some(format) = of_errors.or(rules.log_format.as_ref()) else {
        connect_line(s, ex, level);
        return;
    };
    let mut line = Block::take();
    let mut sd = Block::take();
    with_context(s, ex, Side::Response, Payload::default(), true, |cx| {
        format.write(cx, &mut line);
        if let Some(structured) = &rules.structured_data {
            structured.write(cx, &mut sd);
        }
    });
    w.log.send(&settings.log.targets, settings.log.tag.as_deref(), level, &sd, &line);
}

/// `Connect from A:P to B:P (name/MODE)` (manual 8.2.1).
fn connect_line(s: &Session, ex: &Exchange, level: u8) {
    let _ = ex;
    let w = &*s.w;
    let settings = s.settings();
    let mut line = Block::take();
    let facts = s.facts.borrow();
    let mode = if settings.mode == Mode::Http { "HTTP" } else { "TCP" };
    let name = &settings.name;
    // Writing to a Vec cannot fail.
    let _ = match (facts.src, facts.dst) {
        (Some(src), Some(dst)) => {
            write!(*line, "Connect from {}:{} to {}:{} ({name}/{mode})", src.ip(), src.port(), dst.ip(), dst.port())
        }
        _ => write!(*line, "Connect from unix:{} to unix:{} ({name}/{mode})", s.bind + 1, s.bind + 1),
    };
    w.log.send(&settings.log.targets, settings.log.tag.as_deref(), level, &[], &line);
}

/// A connection that ended before its first stream (manual 8.2.6 "error-log-format", 8.2.5).
pub fn embryonic(s: &Session, why: &str) {
    let w = &*s.w;
    let settings = s.settings();
    if settings.log.targets.is_empty() || settings.options.dontlognull && why.is_empty() {
        return;
    }
    let mut line = Block::take();
    if let Some(format) = &settings.rules.error_log_format {
        let mut ex = w.exchanges.take();
        ex.begin(s, s.accepted);
        ex.facts.termination = *b"PR--";
        with_context(s, &mut ex, Side::Response, Payload::default(), true, |cx| format.write(cx, &mut line));
        w.exchanges.give(ex);
        w.log.send(&settings.log.targets, settings.log.tag.as_deref(), LEVEL_INFO, &[], &line);
        return;
    }
    // The default line tells of sessions, and this is none.
    if settings.rules.log_format.is_none() {
        return;
    }
    let facts = s.facts.borrow();
    if let Some(src) = facts.src {
        let _ = write!(*line, "{}:{} [", src.ip(), src.port());
    } else {
        let _ = write!(*line, "unix:{} [", s.bind + 1);
    }
    crate::language::logformat::write_log_date(facts.accept_us, w.shared.utc_offset, &mut line);
    let bind = facts.listener.name.as_deref().map_or_else(|| (s.bind + 1).to_string(), str::to_owned);
    let _ = write!(*line, "] {}/{bind}: {why}", settings.name);
    w.log.send(&settings.log.targets, settings.log.tag.as_deref(), LEVEL_INFO, &[], &line);
}

/// Counters of a failed stream.
pub fn count_failure(w: &Worker, s: &Session, ex: &Exchange, failure: Failure) {
    let counts = w.counts();
    if failure.is_request_error() {
        counts.frontend(s.proxy).add(FrontendCounter::Ereq, 1);
        counts.listener(s.proxy, s.bind).add(ListenerCounter::Ereq, 1);
    }
    if failure.is_internal() {
        counts.frontend(s.proxy).add(FrontendCounter::Eint, 1);
        counts.listener(s.proxy, s.bind).add(ListenerCounter::Eint, 1);
        count_behind(w, ex, BackendCounter::Eint, ServerCounter::Eint);
    }
    if failure.is_connect_error() {
        count_behind(w, ex, BackendCounter::Econ, ServerCounter::Econ);
    }
    if failure.is_response_error() {
        if let Some(backend) = ex.backend {
            counts.backend(backend).add(BackendCounter::Eresp, 1);
        }
        if let Some((proxy, server)) = ex.server {
            counts.server(proxy, server).add(ServerCounter::Eresp, 1);
            super::rules::observe(w, proxy, server, Seen::ResponseFailed);
        }
    }
    if failure.is_client_abort() {
        count_behind(w, ex, BackendCounter::CliAbrt, ServerCounter::CliAbrt);
    }
    if failure.is_server_abort() {
        count_behind(w, ex, BackendCounter::SrvAbrt, ServerCounter::SrvAbrt);
    }
}

/// Counts for the backend and the server, as far as the stream has come.
fn count_behind(w: &Worker, ex: &Exchange, of_backend: BackendCounter, of_server: ServerCounter) {
    let counts = w.counts();
    if let Some(backend) = ex.backend {
        counts.backend(backend).add(of_backend, 1);
    }
    if let Some((proxy, server)) = ex.server {
        counts.server(proxy, server).add(of_server, 1);
    }
}

/// The connection counts of the log line, taken when the server is known.
pub fn note_connections(w: &Worker, s: &Session, ex: &mut Exchange, proxy: ProxyIndex, server: ServerIndex) {
    if s.settings().log.targets.is_empty() {
        return;
    }
    ex.facts.server_conn = w.board.server(proxy, server, ServerCounter::Scur) as u32;
}

/// The counts of the moment a stream ends.
pub fn final_counts(w: &Worker, s: &Session, ex: &mut Exchange) {
    if s.settings().log.targets.is_empty() {
        return;
    }
    ex.facts.process_conn = w.board.process(ProcessCounter::CurrConns) as u32;
    ex.facts.frontend_conn = w.board.frontend(s.proxy, FrontendCounter::Scur) as u32;
    ex.facts.backend_conn = match ex.backend {
        Some(backend) => w.board.backend(backend, BackendCounter::Scur).saturating_sub(1) as u32,
        None => 0,
    };
    ex.facts.server_conn = match ex.server {
        Some((proxy, server)) => w.board.server(proxy, server, ServerCounter::Scur).saturating_sub(1) as u32,
        None => 0,
    };
}

/// `capture request header` and `capture cookie`.
pub fn capture_request(s: &Session, ex: &mut Exchange) {
    let captures = &s.settings().frontend.captures;
    let cookie_max = s.w.plan.global.tune.http_cookielen;
    for slot in &captures.request {
        let value = slot.name.as_ref().and_then(|n| ex.request.last(n.as_bytes()));
        ex.facts.request_captures.push(value.map(|v| v[..v.len().min(slot.length_max)].to_vec()));
    }
    if let Some((name, len)) = &captures.cookie {
        ex.facts.request_cookie = find_cookie(&ex.request, b"cookie", name, (*len).min(cookie_max));
    }
}

/// `capture response header` and `capture cookie`.
pub fn capture_response(s: &Session, ex: &mut Exchange) {
    let captures = &s.settings().frontend.captures;
    let cookie_max = s.w.plan.global.tune.http_cookielen;
    for slot in &captures.response {
        let value = slot.name.as_ref().and_then(|n| ex.response.last(n.as_bytes()));
        ex.facts.response_captures.push(value.map(|v| v[..v.len().min(slot.length_max)].to_vec()));
    }
    if let Some((name, len)) = &captures.cookie {
        ex.facts.response_cookie = find_cookie(&ex.response, b"set-cookie", name, (*len).min(cookie_max));
    }
}

/// The first cookie whose `name=value` starts with the wanted name (manual 4.2 "capture cookie").
fn find_cookie(head: &crate::proto::http::head::Head, field: &[u8], name: &str, len: usize) -> Option<Vec<u8>> {
    let mut cookies = head.values(field).flat_map(|v| v.split(|b| *b == b';').map(<[u8]>::trim_ascii));
    let found = cookies.find(|c| c.starts_with(name.as_bytes()))?;
    Some(found[..found.len().min(len)].to_vec())
}
