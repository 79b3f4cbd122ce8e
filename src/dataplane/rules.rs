//! Where the stream meets the language: runs a phase's rules, waits when they must wait, and turns verdicts into what
//! happens next. The order of phases is HAProxy's: tcp-request content, http-request, redirect, use_backend, the
//! backend's own, http-response.

use super::session::Session;
use super::stream::body::Body;
use super::stream::termination::Failure;
use super::stream::{Exchange, Next, reply, request, response};
use super::transport::Transport;
use super::worker::{Answer, Seen, Worker};
use super::world::{StreamWorld, Tracking};
use crate::base::clock::Millis;
use crate::engine::driver::sockets;
use crate::engine::frame::Frame;
use crate::engine::task::{before, sleep};
use crate::language::context::{Context, Payload, Side};
use crate::language::rules::switching::{Choice, Target};
use crate::language::rules::{RuleSet, Verdict, Wait};
use crate::model::plan::{ProxyIndex, ServerIndex};
use crate::model::proxy::{ForwardFor, Mode, RestrictNames};
use crate::model::server::Observe;
use crate::model::state::counters::{BackendCounter, FrontendCounter, ListenerCounter, ServerCounter};
use crate::proto::http::head::{Head, Version};
use crate::proto::http::uri::Uri;
use std::cell::OnceCell;
use std::net::IpAddr;

/// Runs `f` with the context of this stream.
pub fn with_context<T>(
    s: &Session,
    ex: &mut Exchange,
    side: Side,
    payload: Payload<'_>,
    last_chance: bool,
    f: impl FnOnce(&mut Context<'_>) -> T,
) -> T {
    let w = &*s.w;
    let tracking = Tracking {
        session: s.tracked(),
        stream: (!ex.before_stream).then_some(&ex.tracked),
        memo: &ex.memo,
        has_request: s.settings().mode == Mode::Http,
    };
    let client = s.connection().map(|conn| conn.fd());
    let world = StreamWorld {
        w,
        client,
        frontend: s.proxy,
        bind: s.bind,
        backend: ex.backend,
        server: ex.server,
        lookup: &ex.lookup,
        tracking,
    };
    let mut facts = s.facts.borrow_mut();
    let http = s.settings().mode == Mode::Http;
    // In TCP mode the first bytes stay in sight of whatever is evaluated on the way to a server.
    let payload = match (side, payload.bytes.is_empty()) {
        (Side::Request, true) if !http && !ex.input.is_empty() => {
            Payload { bytes: &ex.input, complete: true, size: ex.input.len() as u64 }
        }
        _ => payload,
    };
    let (request_payload, response_payload) = match side {
        Side::Request => (payload, Payload::default()),
        Side::Response => (Payload::default(), payload),
    };
    let mut cx = Context {
        session: &mut facts,
        stream: &mut ex.facts,
        request: http.then_some(&mut ex.request),
        early: OnceCell::new(),
        response: (side == Side::Response).then_some(&mut ex.response),
        request_payload,
        response_payload,
        side,
        last_chance,
        vars: &ex.vars,
        pool: &w.pool,
        world: &world,
        now: w.rt.now(),
        recorder: None,
    };
    f(&mut cx)
}

/// [`with_context`] for those who can wait for an answer of a stick table: rules then say that they wait.
fn with_patience<T>(
    s: &Session,
    ex: &mut Exchange,
    side: Side,
    payload: Payload<'_>,
    last_chance: bool,
    f: impl FnOnce(&mut Context<'_>) -> T,
) -> T {
    ex.memo.set_patient(true);
    let value = with_context(s, ex, side, payload, last_chance, f);
    ex.memo.set_patient(false);
    mark(s);
    value
}

/// What `set-fc-mark` and `set-fc-tos` said of the client's connection, which streams of HTTP/2 share. Without the right to
/// set a mark nothing happens, as in HAProxy.
fn mark(s: &Session) {
    let (mark, tos) = {
        let mut facts = s.facts.borrow_mut();
        (facts.mark.take(), facts.tos.take())
    };
    if mark.is_none() && tos.is_none() {
        return;
    }
    let Some(conn) = s.transport.conn().or_else(|| s.parent.as_ref()?.transport.conn()) else { return };
    if let Some(mark) = mark {
        let _ = sockets::set(conn.fd(), libc::SOL_SOCKET, libc::SO_MARK, mark);
    }
    if let Some(tos) = tos.map(i32::from) {
        let (level, option) = match s.facts.borrow().src {
            Some(a) if a.is_ipv6() => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
            _ => (libc::IPPROTO_IP, libc::IP_TOS),
        };
        let _ = sockets::set(conn.fd(), level, option, tos);
    }
}

/// Evaluates something that is not a rule, again each time an answer of a stick table has come.
pub async fn evaluate<T>(s: &Session, ex: &mut Exchange, side: Side, mut f: impl FnMut(&mut Context<'_>) -> T) -> T {
    loop {
        ex.memo.rewind();
        let value = with_patience(s, ex, side, Payload::default(), true, &mut f);
        if !ex.memo.is_waiting() {
            ex.memo.settle();
            return value;
        }
        ex.memo.wait().await;
    }
}

// ---- connection rules ----

/// `tcp-request connection`: false when the connection is to be closed at once.
pub async fn tcp_request_connection(s: &mut Session) -> bool {
    let w = s.w.clone();
    connection_rules(s, &w.plan.proxies[s.proxy].rules.tcp_request_connection, FrontendCounter::Dcon).await
}

/// `tcp-request session`.
pub async fn tcp_request_session(s: &mut Session) -> bool {
    let w = s.w.clone();
    connection_rules(s, &w.plan.proxies[s.proxy].rules.tcp_request_session, FrontendCounter::Dses).await
}

async fn connection_rules(s: &mut Session, set: &RuleSet, denied: FrontendCounter) -> bool {
    if set.is_empty() {
        return true;
    }
    let w = s.w.clone();
    let mut ex = w.exchanges.take();
    ex.begin(s, w.rt.now());
    ex.before_stream = true;
    let mut start = 0;
    let verdict = loop {
        let verdict = with_patience(s, &mut ex, Side::Request, Payload::default(), true, |cx| set.run(cx, start));
        match verdict {
            Verdict::Wait { what: Wait::Table, resume } => {
                ex.memo.wait().await;
                start = resume;
            }
            verdict => break verdict,
        }
    };
    w.exchanges.give(ex);
    match verdict {
        Verdict::Reject | Verdict::Deny(_) | Verdict::Close => {
            w.counts().frontend(s.proxy).add(denied, 1);
            false
        }
        Verdict::SilentDrop => {
            w.counts().frontend(s.proxy).add(denied, 1);
            s.transport.drop_silently();
            false
        }
        _ => true,
    }
}

// ---- stream rules ----

/// How a phase ended.
pub(super) enum Phase {
    Continue,
    /// The client has its answer, or gets none.
    Over(Next),
}

/// Runs a rule set of a request; waits where a rule must. `inspect_delay_ms`: how long rules may be undecided.
pub(super) async fn run_request(
    s: &Session,
    ex: &mut Exchange,
    set: &RuleSet,
    body: &mut Body,
    inspect_delay_ms: Option<u64>,
) -> Result<Phase, Failure> {
    if set.is_empty() {
        return Ok(Phase::Continue);
    }
    let deadline = inspect_delay_ms.map(|ms| s.w.rt.now().mono.plus(ms));
    let mut start = 0;
    loop {
        let last = deadline.is_none_or(|at| is_full(s, body) || s.w.rt.reached(at));
        let verdict = with_patience(s, ex, Side::Request, payload(body), last, |cx| set.run(cx, start));
        match verdict {
            Verdict::Wait { what, resume } => {
                start = resume;
                match what {
                    Wait::Payload => {
                        Frame::new(request::inspect(s, ex, body, deadline.unwrap_or_default())).await?;
                        // With more of it all rules are evaluated anew, as in TCP mode.
                        start = 0;
                    }
                    Wait::Body { time_ms, at_least } => {
                        let deadline = s.w.rt.now().mono.plus(time_ms);
                        Frame::new(request::gather(s, ex, body, enough(s, at_least), deadline)).await?;
                    }
                    other => wait(s, ex, other).await,
                }
                // The log shows what rules waited for as time for the request (observed).
                ex.request_ns = s.w.rt.now().nanos;
            }
            Verdict::Continue | Verdict::Accept => return Ok(Phase::Continue),
            // Few requests get here: what an answer needs is not in the frame of every request.
            other => return Frame::new(judge(s, ex, body, other)).await,
        }
    }
}

/// What rules see of a body.
fn payload(body: &Body) -> Payload<'_> {
    let (bytes, complete) = body.arrived();
    Payload { bytes, complete, size: body.announced().unwrap_or(bytes.len() as u64) }
}

/// As much of a body is there as a buffer has room for.
fn is_full(s: &Session, body: &Body) -> bool {
    body.arrived().0.len() >= s.w.plan.global.tune.buffer_room()
}

/// Waits for what rules want, but for a body.
async fn wait(s: &Session, ex: &Exchange, what: Wait) {
    match what {
        Wait::Payload | Wait::Handshake | Wait::Body { .. } => {}
        Wait::Pause(ms) => {
            s.transport.watch(s.w.rt.current());
            sleep(&s.w.rt, ms).await;
        }
        Wait::Table => ex.memo.wait().await,
        Wait::Name => ex.lookup.wait().await,
    }
}

/// Bytes of a body that rules wait for: no more than a buffer has room for.
fn enough(s: &Session, at_least: u64) -> usize {
    let most = s.w.plan.global.tune.buffer_room();
    if at_least == 0 { most } else { most.min(at_least as usize) }
}

/// Turns the verdict of a request phase into what happens.
async fn judge(s: &Session, ex: &mut Exchange, body: &mut Body, verdict: Verdict) -> Result<Phase, Failure> {
    let over = match verdict {
        Verdict::Continue | Verdict::Accept => return Ok(Phase::Continue),
        Verdict::Deny(mut r) => {
            denied(s, ex);
            reply::rule(s, ex, body, &mut r, *b"PR").await
        }
        Verdict::Auth(mut r) => reply::rule(s, ex, body, &mut r, *b"LR").await,
        Verdict::Tarpit(mut r) => {
            denied(s, ex);
            tarpit(s, ex).await;
            // The log shows all of it as time in the queue, and no time for the request (observed).
            ex.request_ns = ex.start.nanos;
            ex.queued_ns = s.w.rt.now().nanos;
            ex.tarpitted = true;
            reply::rule(s, ex, body, &mut r, *b"PT").await
        }
        Verdict::Return(mut r) | Verdict::Redirect(mut r) => {
            s.w.counts().frontend(s.proxy).add(FrontendCounter::Intercepted, 1);
            reply::rule(s, ex, body, &mut r, *b"LR").await
        }
        Verdict::Reject | Verdict::Close => {
            denied(s, ex);
            if let Some(stream) = s.transport.stream() {
                stream.reject_connection();
            }
            ex.request_ns = 0;
            reply::silence(ex, *b"PR")
        }
        Verdict::SilentDrop => {
            denied(s, ex);
            s.transport.drop_silently();
            ex.request_ns = 0;
            reply::silence(ex, *b"PR")
        }
        Verdict::UseService(name) => return service(s, ex, body, &name).await,
        Verdict::Failed => {
            // The log shows no time for a request whose rules were not done with it (observed).
            ex.request_ns = 0;
            return Err(Failure::Rewrite);
        }
        // Config refuses what would lead here: caches, mode switches.
        Verdict::CacheUse { .. } | Verdict::CacheStore { .. } | Verdict::SwitchMode(_) | Verdict::Wait { .. } => {
            return Err(Failure::Internal);
        }
    };
    Ok(Phase::Over(over))
}

fn denied(s: &Session, ex: &Exchange) {
    let counts = s.w.counts();
    counts.frontend(s.proxy).add(FrontendCounter::Dreq, 1);
    counts.listener(s.proxy, s.bind).add(ListenerCounter::Dreq, 1);
    if let Some(backend) = ex.backend {
        counts.backend(backend).add(BackendCounter::Dreq, 1);
    }
}

/// Holds the request for `timeout tarpit` (manual 4.2), or until the client leaves.
async fn tarpit(s: &Session, ex: &Exchange) {
    let timeouts = &s.settings().timeouts;
    let ms = ex.facts.timeouts.tarpit.or(timeouts.tarpit).or(timeouts.connect).unwrap_or(0);
    let deadline = s.w.rt.now().mono.plus(ms);
    while !s.transport.end_seen() && !s.w.rt.reached(deadline) {
        s.transport.watch(s.w.rt.current());
        let _ = before(&s.w.rt, deadline, s.w.wait_for_wake()).await;
    }
}

/// An answer from a service of ours.
async fn service(s: &Session, ex: &mut Exchange, body: &mut Body, name: &str) -> Result<Phase, Failure> {
    let mut answer = Answer::default();
    if !(s.w.shared.services.service)(&s.w, name, &ex.request, &mut answer) {
        return Err(Failure::Internal);
    }
    ex.facts.service = Some("<PROMEX>");
    s.w.counts().frontend(s.proxy).add(FrontendCounter::Intercepted, 1);
    Ok(Phase::Over(reply::answer(s, ex, body, answer, *b"LR").await))
}

/// Whether a request is for this path and query.
fn is_at(request: &Head, path: &[u8]) -> bool {
    let uri = request.uri();
    uri == path || request.version() >= Version::Http2 && Uri::split(uri).path_and_query == path
}

/// `monitor-uri` and `monitor fail`.
pub async fn monitor(s: &Session, ex: &mut Exchange, body: &mut Body) -> Option<Next> {
    let settings = s.settings();
    let uri = settings.frontend.monitor_uri.as_ref()?;
    if !is_at(&ex.request, uri.as_bytes()) {
        return None;
    }
    let failed = !settings.rules.monitor_fail.conditions.is_empty() && {
        let rules = settings.rules.clone();
        with_context(s, ex, Side::Request, Payload::default(), true, |cx| rules.monitor_fail.holds(cx))
    };
    let status = if failed { 503 } else { 200 };
    s.w.counts().frontend(s.proxy).add(FrontendCounter::Intercepted, 1);
    ex.logged = true;
    Some(reply::page(s, ex, body, status, *b"LR").await)
}

/// Rules and pages of the frontend.
pub async fn frontend(s: &Session, ex: &mut Exchange, body: &mut Body) -> Result<Option<Next>, Failure> {
    proxy_rules(s, ex, body, s.proxy).await
}

/// Rules and pages of the backend; those of a `listen` have run already.
pub async fn backend(
    s: &Session,
    ex: &mut Exchange,
    body: &mut Body,
    proxy: ProxyIndex,
) -> Result<Option<Next>, Failure> {
    if proxy == s.proxy {
        return Ok(None);
    }
    proxy_rules(s, ex, body, proxy).await
}

async fn proxy_rules(
    s: &Session,
    ex: &mut Exchange,
    body: &mut Body,
    proxy: ProxyIndex,
) -> Result<Option<Next>, Failure> {
    let settings = &s.w.plan.proxies[proxy];
    let rules = &settings.rules;
    for (set, delay) in [(&rules.tcp_request_content, rules.inspect_delay_ms), (&rules.http_request, None)] {
        if let Phase::Over(next) = run_request(s, ex, set, body, delay).await? {
            return Ok(Some(next));
        }
    }
    if let Some(next) = restrict_names(s, ex, body, settings.options.http_restrict_req_hdr_names).await {
        return Ok(Some(next));
    }
    if settings.stats.is_some() {
        let page = super::page::serve(s, ex, body, proxy);
        if let Some(next) = Frame::new(page).await? {
            return Ok(Some(next));
        }
    }
    if !rules.redirects.rules.is_empty() {
        let redirect = evaluate(s, ex, Side::Request, |cx| rules.redirects.run(cx)).await;
        if let Some(mut r) = redirect {
            s.w.counts().frontend(s.proxy).add(FrontendCounter::Intercepted, 1);
            return Ok(Some(reply::rule(s, ex, body, &mut r, *b"LR").await));
        }
    }
    Ok(None)
}

/// `option http-restrict-req-hdr-names` (manual 4.2): after the rules of the proxy that has it.
async fn restrict_names(s: &Session, ex: &mut Exchange, body: &mut Body, policy: RestrictNames) -> Option<Next> {
    let restricted = |name: &[u8]| !name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-');
    match policy {
        RestrictNames::Preserve => None,
        RestrictNames::Delete => {
            ex.request.remove_where(|name, _| restricted(name));
            None
        }
        RestrictNames::Reject if ex.request.fields().any(|(name, _)| restricted(name)) => {
            denied(s, ex);
            Some(Frame::new(reply::page(s, ex, body, 403, *b"PR")).await)
        }
        RestrictNames::Reject => None,
    }
}

/// `use_backend`, `default_backend`, or the `listen` itself.
pub async fn choose_backend(s: &Session, ex: &mut Exchange) -> Option<ProxyIndex> {
    let w = &s.w;
    let settings = s.settings();
    let switching = &settings.rules.use_backend;
    let mut start = 0;
    while start < switching.rules.len() {
        let found = evaluate(s, ex, Side::Request, |cx| {
            let (index, choice) = switching.choose(cx, start);
            match choice {
                Choice::None | Choice::Wait => None,
                Choice::Rule(rule) => {
                    let proxy = match &rule.target {
                        Target::Name(name) => w.plan.backend(name),
                        Target::Format(format) => {
                            let mut name = cx.pool.buf();
                            format.write(cx, &mut name);
                            std::str::from_utf8(&name).ok().and_then(|n| w.plan.backend(n))
                        }
                    };
                    Some((index, proxy))
                }
            }
        })
        .await;
        match found {
            None => break,
            Some((_, Some(proxy))) => return Some(proxy),
            // A name made at run time that no backend has: the next rule.
            Some((index, None)) => start = index + 1,
        }
    }
    settings.frontend.default_backend.or(settings.has_backend.then_some(s.proxy))
}

/// `unique-id-format` (manual 4.2): made once for each request, before its rules.
pub fn unique_id(s: &Session, ex: &mut Exchange) {
    let w = s.w.clone();
    let Some(format) = &w.plan.proxies[s.proxy].rules.unique_id else { return };
    let mut id = w.pool.take();
    with_context(s, ex, Side::Request, Payload::default(), true, |cx| format.write(cx, &mut id));
    ex.facts.unique_id = Some(id);
}

/// The fields that options add before a request leaves.
pub fn standard_fields(s: &Session, ex: &mut Exchange, proxy: ProxyIndex) {
    let w = &s.w;
    let (front, back) = (&s.settings().options, &w.plan.proxies[proxy].options);
    if let (Some(name), Some(id)) = (&s.settings().frontend.unique_id_header, &ex.facts.unique_id) {
        ex.request.append(name.as_bytes(), id);
    }
    super::forwarded::add(s, ex, proxy);
    let facts = s.facts.borrow();
    if let Some(option) = merged(&front.forwardfor, &back.forwardfor, facts.src.map(|a| a.ip())) {
        add_address(&mut ex.request, option, facts.src.map(|a| a.ip()));
    }
    if let Some(option) = merged(&front.originalto, &back.originalto, facts.dst.map(|a| a.ip())) {
        add_address(&mut ex.request, option, facts.dst.map(|a| a.ip()));
    }
}

/// The option that applies to this address: an `except` in the frontend beats a bare option in the backend.
fn merged<'a>(
    front: &'a Option<ForwardFor>,
    back: &'a Option<ForwardFor>,
    address: Option<IpAddr>,
) -> Option<&'a ForwardFor> {
    let excepted = |o: &ForwardFor| match (o.except, address) {
        (Some((net, bits)), Some(ip)) => in_network(ip, net, bits),
        _ => false,
    };
    if front.as_ref().is_some_and(excepted) || back.as_ref().is_some_and(excepted) {
        return None;
    }
    back.as_ref().or(front.as_ref())
}

fn in_network(ip: IpAddr, net: IpAddr, bits: u8) -> bool {
    match (ip, net) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let shift = 32 - bits.min(32) as u32;
            shift == 32 || (u32::from(a) >> shift) == (u32::from(b) >> shift)
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let shift = 128 - bits.min(128) as u32;
            shift == 128 || (u128::from(a) >> shift) == (u128::from(b) >> shift)
        }
        _ => false,
    }
}

fn add_address(head: &mut Head, option: &ForwardFor, address: Option<IpAddr>) {
    let Some(ip) = address else { return };
    let name = if option.header.is_empty() { "x-forwarded-for" } else { &option.header };
    if option.if_none && head.contains(name.as_bytes()) {
        return;
    }
    use std::io::Write;
    let mut text = [0u8; 64];
    let mut cursor = &mut text[..];
    // An address is at most 45 characters.
    let _ = write!(cursor, "{ip}");
    let left = cursor.len();
    let len = text.len() - left;
    head.append(name.as_bytes(), &text[..len]);
}

/// Response rules: `http-response` of backend and frontend, then `http-after-response`.
pub async fn response(
    s: &Session,
    ex: &mut Exchange,
    proxy: ProxyIndex,
    body: &mut Body,
    from: &Transport,
) -> Result<(), Failure> {
    let w = s.w.clone();
    let back = &w.plan.proxies[proxy].rules;
    let front = &s.settings().rules;
    if !back.tcp_response_content.is_empty() && back.response_inspect_delay_ms.is_some() {
        Frame::new(content_of_response(s, ex, proxy, body, from)).await?;
    }
    response_set(s, ex, &back.http_response, body, from).await?;
    if proxy != s.proxy {
        response_set(s, ex, &front.http_response, body, from).await?;
    }
    if let Some((of, server)) = ex.server {
        super::cookie::response(&w, of, server, ex);
    }
    after_response(s, ex, Some(proxy))
}

/// `tcp-response content` rules without `inspect-delay` do not wait for a response, see nothing of it and refuse it before
/// it is counted (observed).
pub async fn unseen_response(
    s: &Session,
    ex: &mut Exchange,
    proxy: ProxyIndex,
    from: &Transport,
) -> Result<(), Failure> {
    let rules = &s.w.plan.proxies[proxy].rules;
    if rules.tcp_response_content.is_empty() || rules.response_inspect_delay_ms.is_some() {
        return Ok(());
    }
    Frame::new(content_of_response(s, ex, proxy, &mut Body::nothing(), from)).await
}

/// `tcp-response content` in HTTP mode: before all other rules of a response.
async fn content_of_response(
    s: &Session,
    ex: &mut Exchange,
    proxy: ProxyIndex,
    body: &mut Body,
    from: &Transport,
) -> Result<(), Failure> {
    let (w, rt) = (s.w.clone(), &s.w.rt);
    let rules = &w.plan.proxies[proxy].rules;
    let set = &rules.tcp_response_content;
    let deadline = rules.response_inspect_delay_ms.map(|ms| rt.now().mono.plus(ms));
    let unseen = deadline.is_none().then(|| std::mem::take(&mut ex.response));
    let mut ended = false;
    let verdict = loop {
        let last = ended || deadline.is_none_or(|at| is_full(s, body) || rt.reached(at));
        let payload = if unseen.is_some() { Payload::default() } else { payload(body) };
        match (with_patience(s, ex, Side::Response, payload, last, |cx| set.run(cx, 0)), deadline) {
            (Verdict::Wait { what: Wait::Payload, .. }, Some(at)) => {
                ended = !response::inspect(body, from, at).await?
            }
            (Verdict::Wait { what, .. }, _) => wait(s, ex, what).await,
            (verdict, _) => break verdict,
        }
    };
    if let Some(head) = unseen {
        ex.response = head;
    }
    // The log shows what they waited for as the server's time, and none where they refused (observed).
    let accepted = matches!(verdict, Verdict::Continue | Verdict::Accept);
    ex.response_ns = if accepted { rt.now().nanos } else { 0 };
    match verdict {
        Verdict::Continue | Verdict::Accept => Ok(()),
        Verdict::Close => Err(Failure::NoResponse),
        Verdict::SilentDrop => {
            count_denied_response(s, ex);
            s.transport.drop_silently();
            Err(Failure::Rejected)
        }
        _ => {
            count_denied_response(s, ex);
            Err(Failure::ResponseRejected)
        }
    }
}

async fn response_set(
    s: &Session,
    ex: &mut Exchange,
    set: &RuleSet,
    body: &mut Body,
    from: &Transport,
) -> Result<(), Failure> {
    if set.is_empty() {
        return Ok(());
    }
    ex.fill_past_timers();
    let mut start = 0;
    loop {
        let verdict = with_patience(s, ex, Side::Response, payload(body), true, |cx| set.run(cx, start));
        match verdict {
            Verdict::Continue | Verdict::Accept => return Ok(()),
            Verdict::Wait { what, resume } => {
                start = resume;
                match what {
                    Wait::Body { time_ms, at_least } => {
                        let deadline = s.w.rt.now().mono.plus(time_ms);
                        Frame::new(response::gather(body, from, enough(s, at_least), deadline)).await?;
                    }
                    other => wait(s, ex, other).await,
                }
            }
            Verdict::Failed => {
                return Err(Failure::ResponseRewrite);
            }
            Verdict::Deny(r) | Verdict::Tarpit(r) => {
                count_denied_response(s, ex);
                ex.replacement = Some(r);
                return Err(Failure::ResponseDenied);
            }
            Verdict::Return(r) | Verdict::Redirect(r) | Verdict::Auth(r) => {
                s.w.counts().frontend(s.proxy).add(FrontendCounter::Intercepted, 1);
                ex.replacement = Some(r);
                return Err(Failure::ResponseReplaced);
            }
            Verdict::SilentDrop => {
                s.transport.drop_silently();
                return Err(Failure::Killed);
            }
            _ => {
                count_denied_response(s, ex);
                return Err(Failure::ResponseDenied);
            }
        }
    }
}

fn count_denied_response(s: &Session, ex: &Exchange) {
    let counts = s.w.counts();
    counts.frontend(s.proxy).add(FrontendCounter::Dresp, 1);
    counts.listener(s.proxy, s.bind).add(ListenerCounter::Dresp, 1);
    if let Some(backend) = ex.backend {
        counts.backend(backend).add(BackendCounter::Dresp, 1);
    }
    if let Some((proxy, server)) = ex.server {
        counts.server(proxy, server).add(ServerCounter::Dresp, 1);
    }
}

/// `http-after-response`: every response passes, ours too (manual 4.2).
///
/// # Errors
/// When an edit did not fit, and rules are strict.
pub fn after_response(s: &Session, ex: &mut Exchange, proxy: Option<ProxyIndex>) -> Result<(), Failure> {
    let w = s.w.clone();
    let proxies = [proxy.filter(|p| *p != s.proxy), Some(s.proxy)];
    for proxy in proxies.into_iter().flatten() {
        let set = &w.plan.proxies[proxy].rules.http_after_response;
        if set.is_empty() {
            continue;
        }
        ex.fill_past_timers();
        let verdict = with_context(s, ex, Side::Response, Payload::default(), true, |cx| set.run(cx, 0));
        if let Verdict::Failed = verdict {
            return Err(Failure::ResponseRewrite);
        }
    }
    Ok(())
}

// ---- TCP mode ----

/// What `tcp-request content` rules say of the bytes so far.
pub enum Inspected {
    Pass,
    /// More bytes may change the answer; resume at this rule.
    Wait(Wait, usize),
    Reject,
    /// The server's side is closed (`tcp-response content close`).
    Close,
}

/// Runs `tcp-request content` rules on the first bytes of a TCP session.
pub fn inspect(
    s: &Session,
    ex: &mut Exchange,
    proxy: ProxyIndex,
    bytes: &[u8],
    last: bool,
    start: usize,
) -> Inspected {
    let rules = &s.w.plan.proxies[proxy].rules;
    let payload = Payload { bytes, complete: last, size: bytes.len() as u64 };
    let set = &rules.tcp_request_content;
    match with_patience(s, ex, Side::Request, payload, last, |cx| set.run(cx, start)) {
        Verdict::Continue | Verdict::Accept => Inspected::Pass,
        Verdict::Wait { what, resume } => Inspected::Wait(what, resume),
        Verdict::SilentDrop => {
            denied(s, ex);
            s.transport.drop_silently();
            Inspected::Reject
        }
        _ => {
            denied(s, ex);
            Inspected::Reject
        }
    }
}

/// The same for `tcp-response content`.
/// All rules are evaluated anew each time.
pub fn inspect_response(s: &Session, ex: &mut Exchange, proxy: ProxyIndex, bytes: &[u8], last: bool) -> Inspected {
    let rules = &s.w.plan.proxies[proxy].rules;
    let payload = Payload { bytes, complete: last, size: bytes.len() as u64 };
    let set = &rules.tcp_response_content;
    match with_patience(s, ex, Side::Response, payload, last, |cx| set.run(cx, 0)) {
        Verdict::Continue | Verdict::Accept => Inspected::Pass,
        Verdict::Wait { what, resume } => Inspected::Wait(what, resume),
        Verdict::Close => Inspected::Close,
        Verdict::SilentDrop => {
            count_denied_response(s, ex);
            s.transport.drop_silently();
            Inspected::Reject
        }
        _ => {
            count_denied_response(s, ex);
            Inspected::Reject
        }
    }
}

/// What `observe layer4|layer7` makes of an outcome.
pub fn observe(w: &Worker, proxy: ProxyIndex, server: ServerIndex, seen: Seen) {
    if w.board.live.server(proxy, server).is_some_and(|s| s.settings.observe != Observe::None) {
        (w.shared.services.observe)(w, proxy, server, seen);
    }
}

/// `tcp-request inspect-delay` of a proxy, from the session's start.
pub fn inspect_deadline(s: &Session, proxy: ProxyIndex) -> Millis {
    let delay = s.w.plan.proxies[proxy].rules.inspect_delay_ms;
    delay.map_or(s.w.rt.now().mono, |ms| s.accepted.mono.plus(ms))
}
