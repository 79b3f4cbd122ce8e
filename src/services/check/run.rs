//! Runs a script once against a server and reports (manual 4.2, "tcp-check" and "http-check"). One function walks the
//! steps; each step either lets the next begin or ends the run with a report. Words are HAProxy 3.4's.

mod words;

use super::env::Env;
use super::expect::{self, Verdict, unhex};
use super::h2::Conversation;
use super::http::{self, Received, Response, Written};
use super::kinds::{Judged, ssl_hello};
use super::line::Line;
use super::script::*;
use super::text::{clip, info, system_error};
use super::{CheckContext, pace};
use crate::base::address::Address;
use crate::base::clock::Millis;
use crate::dataplane::meter::{Meter, Metered, MeteredStream, Side};
use crate::dataplane::socks4::Tunnel;
use crate::engine::driver::ConnectOptions;
use crate::engine::task::before;
use crate::model::bind::Proto;
use crate::model::plan::ProxyIndex;
use crate::model::server::CheckSettings;
use crate::model::state::health::{CheckReport, CheckStatus};
use crate::model::state::server::ServerLive;
use crate::proto::http::head::Head;
use crate::proto::proxy_protocol::encode::{self, Ends};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

/// Whom to ask, and where.
pub struct Target<'a> {
    pub proxy: ProxyIndex,
    pub live: &'a ServerLive,
    pub settings: &'a CheckSettings,
    /// `addr` and `port`, or what the runtime API made of them.
    pub address: Option<IpAddr>,
    pub port: Option<u16>,
    /// Value of `x-haproxy-server-state`, for scripts that send it.
    pub state: Option<String>,
}

/// Why a step did not let the next begin: the report, all but its duration.
type Stop = (CheckStatus, u16, String);

/// Runs the script; the report has the time it took.
pub async fn run(cx: &CheckContext, target: &Target<'_>, script: &Script) -> CheckReport {
    let started = cx.rt.now();
    let mut run = Run::new(cx, target, script, started.mono);
    let (status, code, mut info) = match run.walk().await {
        Ok(report) => report,
        Err(report) => report,
    };
    drop(run);
    clip(&mut info);
    let nanos = cx.rt.fresh_now().nanos.saturating_sub(started.nanos);
    CheckReport { status, code, duration: Duration::from_nanos(nanos), info }
}

struct Run<'a> {
    cx: &'a CheckContext,
    target: &'a Target<'a>,
    script: &'a Script,
    line: Option<Line>,
    /// What is said on the line, where that is HTTP/2.
    h2: Option<Box<Conversation>>,
    /// Counts the line and its request where that is HTTP/1.
    metered: Option<(Metered, MeteredStream)>,
    /// The PROXY header, until it leaves with what is sent first.
    header: Vec<u8>,
    input: Vec<u8>,
    /// No more will be read: the stream ended, or the buffer is full.
    last: bool,
    /// The method of the last request, which frames its response.
    method: &'a str,
    deadline: Millis,
    env: Option<Box<Env>>,
    head: Head,
    buffer_bytes: usize,
    /// What the last expectation had to say, should it be the last step.
    outcome: Stop,
    secured: bool,
}

impl<'a> Run<'a> {
    fn new(cx: &'a CheckContext, target: &'a Target<'a>, script: &'a Script, now: Millis) -> Run<'a> {
        Run {
            cx,
            target,
            script,
            line: None,
            h2: None,
            metered: None,
            header: Vec::new(),
            input: Vec::new(),
            last: false,
            method: "",
            deadline: now.plus(target.settings.inter_ms),
            env: None,
            head: Head::new(),
            buffer_bytes: cx.plan.global.tune.bufsize.max(1024),
            outcome: (CheckStatus::L4Ok, 0, String::new()),
            secured: false,
        }
    }

    async fn walk(&mut self) -> Result<Stop, Stop> {
        let script = self.script;
        let mut after_expect = false;
        for step in &script.steps {
            if after_expect && !matches!(step.action, Action::Expect(_)) {
                // Consecutive expectations look at the same bytes; what follows begins anew, with all the buffer.
                self.input.clear();
                self.last = false;
            }
            after_expect = matches!(step.action, Action::Expect(_));
            match &step.action {
                Action::Connect(connect) => self.connect(step, connect).await?,
                Action::Send(send) => self.send(step, send).await?,
                Action::Expect(expect) => self.expect(step, expect).await?,
                Action::SetVar { target, value } => self.evaluate(|cx| match value {
                    Value::Expr(expr) => {
                        if let Some(sample) = expr.eval(cx) {
                            target.assign(&sample, cx);
                        }
                    }
                    Value::Format(format) => {
                        let mut out = Vec::new();
                        format.write(cx, &mut out);
                        target.assign(&crate::language::sample::Sample::str(&out), cx);
                    }
                }),
                Action::UnsetVar(name) => self.evaluate(|cx| cx.vars.unset(name)),
            }
        }
        if let Some(step) = script.steps.last() {
            self.flush_header(step).await?;
        }
        Ok(self.finish())
    }

    /// The report of a script that came to its end.
    fn finish(&mut self) -> Stop {
        let written = self.script.steps.iter().any(|s| s.number > 0);
        let (status, code, info) = std::mem::take(&mut self.outcome);
        match self.script.protocol {
            Protocol::Tcp if info.is_empty() && written => (status, code, "(tcp-check)".to_owned()),
            _ => (status, code, info),
        }
    }

    // ---- connect ----

    async fn connect(&mut self, step: &Step, connect: &Connect) -> Result<(), Stop> {
        (self.line, self.h2, self.metered) = (None, None, None);
        self.input.clear();
        self.last = false;
        let Some(to) = self.address(connect) else {
            return Err((CheckStatus::SocketError, 0, "no address or port".to_owned() + &self.place(step)));
        };
        let proxy = &self.cx.plan.proxies[self.target.proxy];
        let now = self.cx.rt.now().mono;
        let (connect_ms, check_ms) =
            pace::timeouts_ms(self.target.settings.inter_ms, proxy.timeouts.connect, proxy.timeouts.check);
        if check_ms.is_some() {
            self.deadline = now.plus(connect_ms);
        }
        let options = self.options();
        let tunnel = Tunnel::through(self.socks4(connect), &to)
            .map_err(|refusal| (CheckStatus::L4Connection, 0, refusal.text().to_owned() + &self.place(step)))?;
        let next = tunnel.as_ref().map_or(&to, |t| &t.proxy);
        let made =
            before(&self.cx.rt, self.deadline, Line::connect(&self.cx.rt, next, &options, connect.linger)).await;
        if !matches!(made, Ok(Ok(_))) && self.speaks_h1(connect) {
            self.meter().failed();
        }
        match made {
            Err(_) => return Err((CheckStatus::L4Timeout, 0, self.place(step))),
            Ok(Err(e)) => {
                // A path that leads nowhere is not the network's fault.
                let status = match (&to, e.raw_os_error()) {
                    (Address::Ip(_), _) | (_, Some(libc::ECONNREFUSED)) => CheckStatus::L4Connection,
                    _ => CheckStatus::SocketError,
                };
                return Err((status, 0, system_error(&e) + &self.place(step)));
            }
            Ok(Ok(line)) => self.line = Some(line),
        }
        if let (Some(tunnel), Some(line)) = (tunnel, &mut self.line) {
            match before(&self.cx.rt, self.deadline, line.go_on(tunnel)).await {
                Err(_) => return Err((CheckStatus::L7Timeout, 0, self.place(step))),
                Ok(Err(refusal)) => {
                    return Err((CheckStatus::SocketError, 0, refusal.text().to_owned() + &self.place(step)));
                }
                Ok(Ok(())) => {}
            }
        }
        self.prepare_header(connect);
        self.secured = self.wants_tls(connect);
        if self.secured {
            self.flush_header(step).await?;
            self.secure(step, connect).await?;
        }
        if self.speaks_h2(connect) {
            let mut out = Vec::new();
            self.h2 = Some(Box::new(Conversation::begin(self.buffer_bytes, &mut out)));
            self.send_bytes(step, out).await?;
        } else if self.speaks_h1(connect) {
            let metered = Metered::new(&self.meter());
            let stream = metered.stream();
            self.metered = Some((metered, stream));
        }
        if let Some(ms) = check_ms {
            self.deadline = self.cx.rt.now().mono.plus(ms);
        }
        self.outcome = match self.secured {
            true => (CheckStatus::L6Ok, 0, String::new()),
            false => (CheckStatus::L4Ok, 0, String::new()),
        };
        Ok(())
    }

    /// The rule's own address and port, then the check's, then the server's.
    fn address(&mut self, connect: &Connect) -> Option<Address> {
        let server = self.target.live.address();
        let (server_ip, server_port) = match server.as_deref() {
            Some(Address::Ip(a)) => (Some(a.ip()), Some(a.port())),
            _ => (None, None),
        };
        let port = match &connect.port {
            Some(Port::Number(port)) => Some(*port),
            Some(Port::Expr(expr)) => {
                let port = self.evaluate(|cx| match expr.eval(cx) {
                    Some(crate::language::sample::Sample::Sint(n)) => u16::try_from(n).ok(),
                    Some(sample) => std::str::from_utf8(sample.bytes()?).ok()?.trim().parse().ok(),
                    None => None,
                });
                port.filter(|p| *p > 0)
            }
            None => None,
        };
        let ip = connect.address.or(self.target.address);
        // Port 0 (`set server … check-port 0`) is the server's own, as in HAProxy.
        let port = port.or(self.target.port.filter(|p| *p > 0));
        if ip.is_none() && port.is_none() && server_ip.is_none() {
            return server.map(|a| (*a).clone());
        }
        let port = port.or(server_port).filter(|p| *p > 0)?;
        Some(Address::Ip(SocketAddr::new(ip.or(server_ip)?, port)))
    }

    fn options(&self) -> ConnectOptions {
        let proxy = &self.cx.plan.proxies[self.target.proxy];
        let server = &self.target.live.settings;
        let source = server.source.as_ref().or(proxy.backend.source.as_ref());
        ConnectOptions {
            // Of a range the kernel may take any: checks are too few to exhaust its own.
            source: source.map(|s| match s.port_last {
                0 => s.address,
                _ => SocketAddr::new(s.address.ip(), 0),
            }),
            interface: source.and_then(|s| s.interface.clone()),
            mptcp: server.mptcp,
            ..ConnectOptions::default()
        }
    }

    /// The SOCKS4 proxy that the connection goes through.
    fn socks4(&self, connect: &Connect) -> Option<SocketAddr> {
        let through = connect.via_socks4 || connect.as_server && self.target.settings.via_socks4;
        self.target.live.settings.socks4.filter(|_| through)
    }

    /// Whether the server line's own TLS and PROXY protocol hold: not where the check goes elsewhere (manual 5.2 "port").
    fn goes_to_the_server(&self) -> bool {
        self.target.settings.port.is_none() && self.target.settings.address.is_none()
    }

    fn wants_tls(&self, connect: &Connect) -> bool {
        let server = &self.target.live.settings;
        connect.ssl || (connect.as_server && (self.target.settings.ssl || (server.ssl && self.goes_to_the_server())))
    }

    /// HTTP/2 by the rule's `proto`, by `check-proto` or `proto` of the server line, or by what TLS agreed on.
    fn speaks_h2(&self, connect: &Connect) -> bool {
        if self.script.protocol != Protocol::Http {
            return false;
        }
        let of_line = || self.target.settings.proto.or(self.target.live.settings.proto);
        match connect.proto.or_else(|| of_line().filter(|_| connect.as_server)) {
            Some(proto) => proto == Proto::H2,
            None => self.line.as_ref().is_some_and(|line| line.alpn() == Some(b"h2")),
        }
    }

    fn prepare_header(&mut self, connect: &Connect) {
        self.header.clear();
        let server = &self.target.live.settings;
        let by_line = server.send_proxy.is_some() && self.goes_to_the_server();
        if !(connect.send_proxy || (connect.as_server && (self.target.settings.send_proxy || by_line))) {
            return;
        }
        let header = &mut self.header;
        match (&server.send_proxy, self.line.as_ref().and_then(Line::ends)) {
            (Some(p), _) if p.v2 => encode::v2(&Ends::Local, &encode::Options::default(), header),
            (_, Some((Address::Ip(source), Address::Ip(destination)))) => {
                encode::v1(&Ends::Ip { source, destination }, header);
            }
            _ => encode::v1(&Ends::Local, header),
        }
    }

    async fn flush_header(&mut self, step: &Step) -> Result<(), Stop> {
        match self.header.is_empty() {
            true => Ok(()),
            false => self.send_bytes(step, Vec::new()).await,
        }
    }

    async fn secure(&mut self, step: &Step, connect: &Connect) -> Result<(), Stop> {
        let failed = |run: &Self| (CheckStatus::L6Response, 0, "SSL handshake failure".to_owned() + &run.place(step));
        let server = &self.target.live.settings;
        // HAProxy 3.4: a connect that is written looks at `alpn` of the server line, and not at `check-alpn`.
        let of_line = || (!connect.as_server).then(|| server.tls.alpn.join(","));
        let alpn = connect.alpn.clone().or_else(of_line);
        let context = self.cx.tls.context(server, alpn.as_deref());
        let (Some(context), Some(line)) = (context, &mut self.line) else { return Err(failed(self)) };
        let name = connect.sni.as_deref().or(server.tls.check_sni.as_deref());
        match before(&self.cx.rt, self.deadline, line.secure(context, name)).await {
            Err(_) => Err((CheckStatus::L6Timeout, 0, self.place(step))),
            Ok(Err(_)) => Err(failed(self)),
            Ok(Ok(())) => Ok(()),
        }
    }

    fn speaks_h1(&self, connect: &Connect) -> bool {
        self.script.protocol == Protocol::Http && !self.speaks_h2(connect)
    }

    /// Checks count for the backend, as its streams do (observed).
    fn meter(&self) -> Rc<Meter> {
        let board = &self.cx.board;
        Meter::new(board, board.workers(), self.target.proxy, Side::Server)
    }

    // ---- send ----

    async fn send(&mut self, step: &Step, send: &'a Send) -> Result<(), Stop> {
        let bytes = match send {
            Send::Bytes(template) => self.write(template),
            Send::SslHello => ssl_hello::hello((self.cx.rt.now().wall_us / 1_000_000) as u32),
            Send::Http(request) => {
                self.method = &request.method;
                let written = Written {
                    uri: self.write(&request.uri),
                    headers: request.headers.iter().map(|(_, v)| self.write(v)).collect(),
                    body: request.body.as_ref().map(|b| self.write(b)),
                    state: self.target.state.clone().filter(|_| request.state),
                };
                let mut out = Vec::new();
                match &mut self.h2 {
                    Some(h2) => h2.ask(request, &written, &mut out),
                    None => http::request(request, &written, &mut out),
                }
                out
            }
        };
        self.send_bytes(step, bytes).await?;
        // A script may end with what it sends.
        self.outcome = (CheckStatus::L7Ok, 0, String::new());
        Ok(())
    }

    async fn send_bytes(&mut self, step: &Step, bytes: Vec<u8>) -> Result<(), Stop> {
        let mut out = std::mem::take(&mut self.header);
        out.extend_from_slice(&bytes);
        let Some(line) = &mut self.line else { return Err((CheckStatus::SocketError, 0, self.place(step))) };
        match before(&self.cx.rt, self.deadline, line.send(&out)).await {
            Err(_) => Err((CheckStatus::L7Timeout, 0, self.place(step))),
            Ok(Err(e)) => Err((CheckStatus::SocketError, 0, system_error(&e) + &self.place(step))),
            Ok(Ok(())) => {
                if let Some((metered, _)) = &self.metered {
                    metered.sent(bytes.len() as u64);
                }
                Ok(())
            }
        }
    }

    fn write(&mut self, template: &Template) -> Vec<u8> {
        match template {
            Template::Bytes(bytes) => bytes.clone(),
            Template::Format(format) => self.format(format),
            Template::Hex(format) => unhex(&self.format(format)).unwrap_or_default(),
        }
    }

    // ---- expect ----

    async fn expect(&mut self, step: &Step, expect: &Expect) -> Result<(), Stop> {
        self.flush_header(step).await?;
        loop {
            let judged = match (&expect.pattern, self.script.protocol) {
                (Pattern::Judge(judge), _) => match judge(&self.input, self.last) {
                    Judged::Wait if self.last => Some(Err((CheckStatus::L7Response, 0, String::new()))),
                    Judged::Wait => None,
                    Judged::Next => Some(Ok(())),
                    Judged::Passed { code, info } => {
                        self.outcome = (expect.ok_status, code, info);
                        Some(Ok(()))
                    }
                    Judged::Failed { status, code, info } => Some(Err((status, code, info))),
                },
                (_, Protocol::Http) => self.expect_http(step, expect),
                (Pattern::Find(find), _) => self.expect_bytes(step, expect, find),
                // Statuses and fields belong to HTTP; the compiler lets them in nowhere else.
                _ => Some(Err((CheckStatus::L7Response, 0, String::new()))),
            };
            match judged {
                Some(done) => return done,
                None => self.receive(step, expect).await?,
            }
        }
    }

    /// Waits for more bytes.
    async fn receive(&mut self, step: &Step, expect: &Expect) -> Result<(), Stop> {
        let Some(line) = &mut self.line else { return Err((CheckStatus::SocketError, 0, self.place(step))) };
        let held = self.input.len();
        let received = before(&self.cx.rt, self.deadline, line.recv(&mut self.input)).await;
        if let Some((metered, _)) = &self.metered {
            metered.received((self.input.len() - held) as u64);
        }
        match received {
            Err(_) => Err((expect.timeout_status, 0, self.place(step))),
            Ok(Err(e)) => Err((CheckStatus::SocketError, 0, broken(&e) + &self.place(step))),
            Ok(Ok(more)) if self.h2.is_some() => {
                self.converse(step, more).await;
                Ok(())
            }
            Ok(Ok(more)) => {
                self.input.truncate(self.buffer_bytes);
                self.last = !more || self.input.len() >= self.buffer_bytes;
                Ok(())
            }
        }
    }

    /// Takes what came over HTTP/2, and answers it.
    async fn converse(&mut self, step: &Step, more: bool) {
        let input = std::mem::take(&mut self.input);
        let mut out = Vec::new();
        if let Some(h2) = &mut self.h2 {
            h2.feed(&input, &mut out);
            self.last = !more || h2.is_over();
        }
        // What came is judged whether or not the server still listens.
        let _ = self.send_bytes(step, out).await;
    }

    fn expect_bytes(&mut self, step: &Step, expect: &Expect, find: &Find) -> Option<Result<(), Stop>> {
        let (input, last) = (std::mem::take(&mut self.input), self.last);
        let verdict = expect::bytes(expect, find, &input, last, &mut |format| self.format(format));
        self.input = input;
        let what = match find {
            Find::String(text) => format!(" '{text}'"),
            Find::Format(_) => " (log-format string)".to_owned(),
            Find::Regex(_) => " (regex)".to_owned(),
            Find::Binary(_) => " (binary)".to_owned(),
            Find::BinaryRegex(_) => " (binary regex)".to_owned(),
            Find::BinaryFormat(_) => " (log-format binary)".to_owned(),
        };
        let text = match verdict {
            Verdict::Wait => return None,
            Verdict::Met => return Some(self.met(expect, 0)),
            Verdict::Unwanted => format!("TCPCHK matched unwanted content{what} at step {}", step.number),
            Verdict::Missed => format!("TCPCHK did not match content{what} at step {}", step.number),
            Verdict::Empty | Verdict::NoBody => format!("TCPCHK got an empty response at step {}", step.number),
        };
        Some(self.missed(step, expect, CheckStatus::L7Response, 0, text))
    }

    fn expect_http(&mut self, step: &Step, expect: &Expect) -> Option<Result<(), Stop>> {
        let (input, mut head) = (std::mem::take(&mut self.input), std::mem::take(&mut self.head));
        let judged = self.judge_response(step, expect, &input, &mut head);
        (self.input, self.head) = (input, head);
        judged
    }

    fn judge_response(
        &mut self,
        step: &Step,
        expect: &Expect,
        input: &[u8],
        head: &mut Head,
    ) -> Option<Result<(), Stop>> {
        let last = self.last;
        let received = match &self.h2 {
            Some(h2) => h2.received(head),
            None => http::received(input, self.method, self.buffer_bytes, head),
        };
        let response = match received {
            Received::Partial if !last => return None,
            // HAProxy 3.4: an answer that is no response, or half a one, is the connection's fault.
            Received::Partial | Received::Malformed => {
                return Some(Err((CheckStatus::SocketError, 0, String::new())));
            }
            Received::Response(response) => response,
            Received::BadBody => {
                let what = match &expect.pattern {
                    Pattern::Find(Find::String(text)) => format!(" '{text}'"),
                    _ => String::new(),
                };
                let text = format!("TCPCHK did not match content{what} at step {}", step.number);
                return Some(self.missed(step, expect, CheckStatus::L7Response, 0, text));
            }
        };
        let status = response.head.status();
        if status == 404 && self.script.disable_on_404 {
            return Some(Err((CheckStatus::L7OkConditional, status, String::new())));
        }
        let verdict = expect::response(expect, &response, last, &mut |format| self.format(format));
        if verdict == Verdict::Wait {
            return None;
        }
        let Response { head, body, .. } = response;
        // HTTP/2 has no reasons.
        let reason = if self.h2.is_some() { String::new() } else { info(http::reason(input)) };
        // Formats read the response.
        self.head = head.clone();
        self.input = body;
        if verdict == Verdict::Met {
            return Some(self.met(expect, status));
        }
        Some(match &expect.pattern {
            Pattern::Find(_) => {
                let text = match verdict {
                    Verdict::Unwanted => "HTTP check matched unwanted content",
                    Verdict::NoBody => "HTTP content check could not find a response body",
                    _ => "HTTP content check did not match",
                };
                self.missed(step, expect, CheckStatus::L7Response, 0, text.to_owned())
            }
            pattern => {
                let what = match pattern {
                    Pattern::Status(_) => "(status codes)",
                    Pattern::StatusRegex(_) => " (regex)",
                    _ => " (header pattern)",
                };
                let text = match reason.is_empty() {
                    true => format!("TCPCHK did not match content{what} at step {}", step.number),
                    false => reason,
                };
                self.missed(step, expect, CheckStatus::L7Status, status, text)
            }
        })
    }

    fn met(&mut self, expect: &Expect, code: u16) -> Result<(), Stop> {
        let said = expect.on_success.as_ref().map(|format| info(&self.format(format)));
        let code = self.code(expect).unwrap_or(code);
        self.outcome = (expect.ok_status, code, said.unwrap_or_default());
        Ok(())
    }

    fn missed(
        &mut self,
        step: &Step,
        expect: &Expect,
        status: CheckStatus,
        code: u16,
        mut text: String,
    ) -> Result<(), Stop> {
        if let Some(comment) = &step.comment {
            text.push_str(&format!(" comment: {comment}"));
        }
        if let Some(format) = &expect.on_error {
            text = info(&self.format(format));
        }
        let code = self.code(expect).unwrap_or(code);
        Err((expect.error_status.unwrap_or(status), code, text))
    }

    /// `status-code`.
    fn code(&mut self, expect: &Expect) -> Option<u16> {
        let expr = expect.status_code.as_ref()?;
        self.evaluate(|cx| match expr.eval(cx)? {
            crate::language::sample::Sample::Sint(n) => u16::try_from(n).ok(),
            sample => std::str::from_utf8(sample.bytes()?).ok()?.trim().parse().ok(),
        })
    }
}

/// An error of a connection that was made; none of the system's has no words.
fn broken(e: &io::Error) -> String {
    if e.raw_os_error().is_some() { system_error(e) } else { String::new() }
}
