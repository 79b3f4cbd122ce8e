//! One HTTP request and its response: read the head, run the rules, choose a server, pass the message on, bring the answer
//! back, tell the log. The order of phases is HAProxy's. The connections on both sides outlive it where they may.

use super::super::connect::{self, Link};
use super::super::filter::{Filter, compression};
use super::super::session::Session;
use super::super::transport::{SendError, Transport};
use super::super::worker::{Seen, Worker};
use super::super::{cookie, log, persist, registry, relay, rules};
use super::body::{self, Body, Coding, ForwardError, Read, ReadError};
use super::termination::Failure;
use super::{Exchange, Next, reply, request, response};
use crate::base::buf::Block;
use crate::base::clock::Millis;
use crate::engine::{Chain, Piece};
use crate::model::backend::RetryOn;
use crate::model::plan::ProxyIndex;
use crate::model::proxy::{ConnectionMode, Timeouts};
use crate::model::state::counters::{BackendCounter, FrontendCounter, ProcessCounter, ServerCounter};
use crate::model::stick_table::data::What;
use crate::proto::h1::encode;
use crate::proto::h1::error::Side;
use crate::proto::h1::framing::{Asked, Framing};
use crate::proto::h1::parse::Message;
use crate::proto::h1::persistence::{self, Persistence};
use crate::proto::http::head::{Head, Version};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

/// A first piece of a body up to this length is copied behind the head, so that both leave as one plain send.
const COPY_MAX: usize = 4096;

/// What has arrived of a body goes through a filter together, up to this many bytes: the more is seen at once the
/// better it compresses.
const JOIN_MAX: usize = 32 * 1024;

/// Serves the request whose first bytes are here.
pub async fn serve(s: &mut Session, first: Piece) -> Next {
    let w = s.w.clone();
    let mut ex = w.exchanges.take();
    ex.begin(s, w.rt.now());
    ex.facts.first_request = s.requests == 1;
    w.counts().process().add(ProcessCounter::CurrStreams, 1);
    w.counts().process().add(ProcessCounter::CumStreams, 1);
    let place = registry::enter(s, &ex);
    let next = match registry::watched(place, exchange(s, &mut ex, first)).await {
        Ok(next) => next,
        Err(failure) => reply::failure(s, &mut ex, failure).await,
    };
    finish(s, &mut ex);
    registry::leave(&w, &ex);
    w.counts().process().sub(ProcessCounter::CurrStreams, 1);
    w.exchanges.give(ex);
    next
}

/// A connection that ended, or ran out of time, before it said anything.
pub async fn empty_connection(s: &mut Session, timed_out: bool) {
    let w = s.w.clone();
    let options = &s.settings().options;
    if options.http_ignore_probes {
        return;
    }
    s.tracked.borrow().count(What::Request, 1);
    let mut ex = w.exchanges.take();
    ex.begin(s, s.accepted);
    if timed_out {
        w.counts().frontend(s.proxy).request(w.rt.now().mono);
        reply::failure(s, &mut ex, Failure::RequestTimeout).await;
        if options.dontlognull {
            ex.logged = true;
        }
        finish(s, &mut ex);
    } else {
        reply::failure(s, &mut ex, Failure::RequestAborted).await;
        if options.dontlognull {
            ex.logged = true;
        }
        finish(s, &mut ex);
    }
    w.exchanges.give(ex);
}

async fn exchange(s: &mut Session, ex: &mut Exchange, first: Piece) -> Result<Next, Failure> {
    let w = s.w.clone();
    let received = match request::read(s, ex, first).await {
        Ok(received) => received,
        Err(failure) => {
            count_request(&w, s);
            return Err(failure);
        }
    };
    count_request(&w, s);
    let message = received.message;
    note_request(s, ex, &message);
    let mut body = Body::new(message.framing, Side::Client, &request::limits(s), received.rest);
    if message.framing == Framing::Chunked {
        // What came with the head is judged with it.
        body.look_ahead().map_err(|e| {
            ex.request_ns = 0;
            Failure::BadRequest(e)
        })?;
    }
    rules::unique_id(s, ex);
    if s.settings().options.http_buffer_request {
        // The whole body, or as much as a buffer holds, is there before any rule runs.
        let tune = &w.plan.global.tune;
        let most = tune.bufsize.saturating_sub(tune.maxrewrite);
        let timeouts = &s.settings().timeouts;
        let wait = timeouts.http_request.or(timeouts.client);
        let deadline = wait.map_or(Millis::NEVER, |ms| ex.start.mono.plus(ms));
        body.gather(&s.transport, most, deadline).await?;
    }
    if let Some(next) = rules::monitor(s, ex, &mut body).await {
        return Ok(next);
    }
    if let Some(next) = rules::frontend(s, ex, &mut body).await? {
        return Ok(next);
    }
    let Some(proxy) = rules::choose_backend(s, ex).await else {
        ex.request_ns = 0;
        return Err(Failure::NoServer);
    };
    ex.enter_backend(&w, proxy);
    w.counts().backend(proxy).add(BackendCounter::ReqTot, 1);
    // What came before the backend was known counts for it too.
    w.counts().backend(proxy).add(BackendCounter::Reqbin, ex.facts.request_bytes_in);
    if let Some(next) = rules::backend(s, ex, &mut body, proxy).await? {
        return Ok(next);
    }
    rules::standard_fields(s, ex, proxy);
    forward(s, ex, body, message, proxy).await
}

fn count_request(w: &Worker, s: &Session) {
    w.counts().frontend(s.proxy).request(w.rt.now().mono);
    w.counts().frontend(s.proxy).add(FrontendCounter::H1req, 1);
    w.counts().process().add(ProcessCounter::CumReq, 1);
    s.tracked.borrow().count(What::Request, 1);
}

/// What log and rules want to know of the request as it came.
fn note_request(s: &Session, ex: &mut Exchange, message: &Message) {
    ex.request_ns = s.w.rt.now().nanos;
    ex.facts.method.extend_from_slice(ex.request.method());
    ex.facts.uri.extend_from_slice(ex.request.uri());
    ex.facts.version = ex.request.version().as_str();
    ex.request_version = ex.request.version();
    ex.request_framing = message.framing;
    ex.keep_client = message.is_persistent(ex.request.version());
    let head = ex.request.counted_len();
    ex.count_request_bytes(&s.w, s.proxy, s.bind, head);
    log::capture_request(s, ex);
}

/// Timeouts of a stream: the frontend's for the client's side, the backend's for the server's.
pub struct StreamTimeouts {
    pub client: Option<u64>,
    pub server: Option<u64>,
    pub tunnel: Option<u64>,
    pub client_fin: Option<u64>,
    pub server_fin: Option<u64>,
}

impl StreamTimeouts {
    pub fn of(s: &Session, ex: &Exchange, proxy: ProxyIndex) -> StreamTimeouts {
        let front: &Timeouts = &s.settings().timeouts;
        let back: &Timeouts = &s.w.plan.proxies[proxy].timeouts;
        let set = &ex.facts.timeouts;
        StreamTimeouts {
            client: set.client.or(front.client),
            server: set.server.or(back.server),
            tunnel: set.tunnel.or(back.tunnel).or(front.tunnel),
            client_fin: front.client_fin,
            server_fin: back.server_fin,
        }
    }
}

/// Passes the request to a server and its response back, again with another one where `retry-on` allows it.
async fn forward(
    s: &mut Session,
    ex: &mut Exchange,
    mut body: Body,
    message: Message,
    proxy: ProxyIndex,
) -> Result<Next, Failure> {
    let w = s.w.clone();
    let settings = &w.plan.proxies[proxy];
    let options = &settings.options;
    let retry_on = &settings.backend.retry_on;
    let mode = server_mode(s, options.connection_mode);
    let asked = asked(ex, &message);
    let mut filter = compression::request(s, ex, proxy, message.framing);
    let coding = match message.framing {
        Framing::Chunked => Coding::Chunked,
        _ if filter.is_some() => Coding::Chunked,
        _ => Coding::Identity,
    };
    let timeouts = StreamTimeouts::of(s, ex, proxy);
    // A body that has fully arrived may be sent twice; one that is on its way may not.
    let mut repeatable = Repeatable::of(retry_on, &mut body, &mut filter)?;
    loop {
        let link = connect::establish(&w, s, ex, proxy, None).await?;
        ex.connected_ns = w.rt.now().nanos;
        note_link(&w, s, ex, &link);
        let mut wire = Block::take();
        write_request(&w, ex, &link, mode, &mut wire);
        let upload = Upload { repeatable: repeatable.as_ref(), filter: &mut filter, coding };
        let result = converse(s, ex, &link, &mut body, upload, wire, asked, &timeouts).await;
        let failure = match result {
            Ok(done) => return Ok(conclude(s, ex, link, body, done, &timeouts).await),
            Err(failure) => failure,
        };
        let again =
            repeatable.is_some() && !ex.response_started && may_retry(retry_on, failure, ex, &settings.backend);
        if !again {
            return Err(failure);
        }
        ex.facts.retries += 1;
        if let Some((proxy, server)) = ex.server {
            w.counts().server(proxy, server).add(ServerCounter::Wretr, 1);
        }
        w.counts().backend(proxy).add(BackendCounter::Wretr, 1);
        ex.leave_server(&w);
        ex.response.clear();
        drop(link);
        if let Some(r) = &mut repeatable {
            r.sent = false;
        }
    }
}

/// A whole request body, kept so that it can be sent again.
struct Repeatable {
    data: Vec<u8>,
    trailers: bool,
    sent: bool,
}

impl Repeatable {
    fn of(retry_on: &RetryOn, body: &mut Body, filter: &mut Option<Filter>) -> Result<Option<Repeatable>, Failure> {
        let wanted = retry_on.empty_response
            || retry_on.junk_response
            || retry_on.response_timeout
            || !retry_on.statuses.is_empty();
        if !wanted {
            return Ok(None);
        }
        let mut data = Vec::new();
        loop {
            match body.ready() {
                Ok(Some(Read::Data(piece))) => data.extend_from_slice(piece.bytes()),
                Ok(Some(Read::End)) => {
                    if let Some(mut filter) = filter.take().filter(|_| !data.is_empty()) {
                        let whole = filter.feed(Piece::Block(Block::copy_of(&data), 0), true);
                        data.clear();
                        data.extend_from_slice(whole.bytes());
                    }
                    return Ok(Some(Repeatable { data, trailers: false, sent: false }));
                }
                Ok(None) if data.is_empty() => return Ok(None),
                Ok(None) => {
                    // Give back what was taken: the body goes on as one piece.
                    body.give_back(&data);
                    return Ok(None);
                }
                Err(ReadError::Malformed(e)) => return Err(Failure::BadBody(e)),
                Err(_) => return Err(Failure::BodyAborted),
            }
        }
    }
}

fn may_retry(on: &RetryOn, failure: Failure, ex: &Exchange, backend: &crate::model::backend::Backend) -> bool {
    let retries = ex.facts.retries_max.unwrap_or(backend.retries);
    if ex.facts.retries >= retries || ex.facts.l7_retry_disabled {
        return false;
    }
    match failure {
        Failure::NoResponse | Failure::NoResponseOnReused => on.empty_response,
        Failure::BadResponse(_) => on.junk_response,
        Failure::ResponseTimeout => on.response_timeout,
        Failure::RetryStatus(_) => true,
        _ => false,
    }
}

fn note_link(w: &Rc<Worker>, s: &Session, ex: &mut Exchange, link: &Link) {
    let cell = w.counts().server(link.proxy, link.server);
    cell.add(ServerCounter::ReqTot, 1);
    ex.facts.server_reused = link.was_reused();
    log::note_connections(w, s, ex, link.proxy, link.server);
}

/// What becomes of the server's connection: `http-server-close` counts on either side, `httpclose` on its own (observed;
/// manual 4.2).
fn server_mode(s: &Session, backend: ConnectionMode) -> ConnectionMode {
    match (s.settings().options.connection_mode, backend) {
        (ConnectionMode::ServerClose, ConnectionMode::KeepAlive) => ConnectionMode::ServerClose,
        (_, backend) => backend,
    }
}

fn asked(ex: &Exchange, message: &Message) -> Asked {
    match Asked::of_method(ex.request.method()) {
        Asked::Other if message.tokens.websocket => Asked::WebSocket,
        Asked::Other if message.tokens.upgrade => Asked::Upgrade,
        other => other,
    }
}

fn write_request(w: &Rc<Worker>, ex: &mut Exchange, link: &Link, mode: ConnectionMode, wire: &mut Vec<u8>) {
    let pretend = w.plan.proxies[link.proxy].options.http_pretend_keepalive;
    let then = match mode {
        ConnectionMode::KeepAlive => Persistence::KeepAlive,
        _ if pretend => Persistence::KeepAlive,
        _ => Persistence::Close,
    };
    let version = ex.request.version();
    encode::head(&ex.request, wire);
    if let Some(token) = persistence::request_token(version, then) {
        if ex.request.contains(b"connection") {
            // Rare: an upgrade or named fields stand there already, on the same line as ours.
            wire.clear();
            let mut head = w.heads.take();
            head.clone_from(&ex.request);
            persistence::add_token(&mut head, token);
            encode::head(&head, wire);
            w.heads.give(head);
        } else {
            append_field(wire, b"connection", token);
        }
    }
}

/// Adds a field line to an encoded head.
fn append_field(wire: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    wire.truncate(wire.len() - 2);
    for part in [name, b": ", value, b"\r\n\r\n"] {
        wire.extend_from_slice(part);
    }
}

/// What is left when the response is through.
struct Done {
    /// Bytes that the server sent beyond its response.
    rest: Piece,
    server_keeps: bool,
    client_keeps: bool,
    tunnel: bool,
    upload_complete: bool,
}

/// How a request body leaves.
struct Upload<'a> {
    repeatable: Option<&'a Repeatable>,
    filter: &'a mut Option<Filter>,
    coding: Coding,
}

/// Sends the request and passes the response on; both bodies move at the same time.
#[allow(clippy::too_many_arguments)]
async fn converse(
    s: &Session,
    ex: &mut Exchange,
    link: &Link,
    body: &mut Body,
    from: Upload<'_>,
    wire: Block,
    asked: Asked,
    timeouts: &StreamTimeouts,
) -> Result<Done, Failure> {
    let Upload { repeatable, filter, coding } = from;
    let rt = &s.w.rt;
    let mut chain: Chain = wire.into();
    let sent_bytes = Cell::new(0u64);
    let mut ended = body.is_complete();
    match repeatable {
        Some(r) if !r.data.is_empty() => {
            body::frame(coding, Piece::Block(Block::copy_of(&r.data), 0), &mut chain);
            body::end(coding, None, &mut chain);
            debug_assert!(!r.trailers && !r.sent);
        }
        Some(_) if coding == Coding::Chunked => body::end(coding, None, &mut chain),
        _ => {
            // What has arrived of the body leaves with the head.
            if !ended {
                match body.ready() {
                    Ok(Some(Read::Data(data))) => {
                        sent_bytes.set(data.bytes().len() as u64);
                        filtered(filter, coding, data, body.is_complete(), &mut chain);
                    }
                    Ok(Some(Read::End) | None) => {}
                    Err(ReadError::Malformed(e)) => return Err(Failure::BadBody(e)),
                    Err(_) => return Err(Failure::BodyAborted),
                }
                ended = body.is_complete();
            }
            if ended && coding == Coding::Chunked {
                finish_body(filter, coding, body, &mut chain);
            }
        }
    }
    let sent_whole = match link.transport.send(chain, timeouts.server).await {
        Ok(_) => true,
        Err(SendError::TimedOut) => return Err(Failure::ResponseTimeout),
        // The server may have answered before it closed: the response tells.
        Err(SendError::Broken(_)) => false,
    };
    ex.count_request_bytes(&s.w, s.proxy, s.bind, sent_bytes.get());
    let server_deadline = |now: Millis| timeouts.server.map_or(Millis::NEVER, |ms| now.plus(ms));
    if ended {
        let deadline = Cell::new(server_deadline(rt.now().mono));
        let result = download(s, ex, link, asked, &deadline, timeouts, &Cell::new(true)).await;
        return result.map(|done| Done { server_keeps: done.server_keeps && sent_whole, ..done });
    }
    // The server's clock starts when it has the whole request.
    let deadline = Cell::new(Millis::NEVER);
    let upload_done = Cell::new(false);
    // All of it has left: a body that was read to its end may still wait in a full socket.
    let delivered = Cell::new(false);
    sent_bytes.set(0);
    let server_gone = Cell::new(false);
    let result = {
        let up = upload(&s.transport, &link.transport, body, filter, coding, timeouts, &sent_bytes, &server_gone);
        let down = download(s, ex, link, asked, &deadline, timeouts, &upload_done);
        let (mut up, mut down) = (pin!(up), pin!(down));
        let mut done: Option<Done> = None;
        poll_fn(|cx| {
            if !upload_done.get()
                && let Poll::Ready(result) = up.as_mut().poll(cx)
            {
                upload_done.set(true);
                deadline.set(server_deadline(rt.now().mono));
                delivered.set(result.is_ok() && sent_whole && !server_gone.get());
                if let Err(error) = result {
                    if let Some(done) = done.take() {
                        // The answer is out; only the connection is spoilt.
                        return Poll::Ready(Ok(Done { client_keeps: false, server_keeps: false, ..done }));
                    }
                    return Poll::Ready(Err(upload_failure(error)));
                }
            }
            if done.is_none() {
                match down.as_mut().poll(cx) {
                    Poll::Ready(Ok(result)) => done = Some(result),
                    Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
                    Poll::Pending => {}
                }
            }
            // An early answer does not end the request: its body is still taken, so that another may follow.
            match done.take() {
                Some(d) if upload_done.get() || d.tunnel || !d.client_keeps => Poll::Ready(Ok(d)),
                waiting => {
                    done = waiting;
                    Poll::Pending
                }
            }
        })
        .await
    };
    ex.count_request_bytes(&s.w, s.proxy, s.bind, sent_bytes.get());
    let complete = body.is_complete();
    result.map(|done| Done { upload_complete: complete, server_keeps: done.server_keeps && delivered.get(), ..done })
}

fn upload_failure(error: ForwardError) -> Failure {
    match error {
        ForwardError::Send(_) => Failure::ServerDataTimeout,
        ForwardError::Read(ReadError::TimedOut) => Failure::BodyTimeout,
        ForwardError::Read(ReadError::Broken) => Failure::BodyAborted,
        ForwardError::Read(ReadError::Malformed(e)) => Failure::BadBody(e),
    }
}

/// Moves the rest of a request body to the server.
#[allow(clippy::too_many_arguments)]
async fn upload(
    from: &Transport,
    to: &Transport,
    body: &mut Body,
    filter: &mut Option<Filter>,
    coding: Coding,
    timeouts: &StreamTimeouts,
    moved: &Cell<u64>,
    server_gone: &Cell<bool>,
) -> Result<(), ForwardError> {
    let rt = from.rt();
    from.expect_bulk();
    while !body.is_complete() {
        let deadline = timeouts.client.map_or(Millis::NEVER, |ms| rt.now().mono.plus(ms));
        let read = body.read(from, deadline).await.map_err(ForwardError::Read)?;
        let mut chain = Chain::new();
        if let Read::Data(data) = read {
            moved.set(moved.get() + data.bytes().len() as u64);
            filtered(filter, coding, data, body.is_complete(), &mut chain);
        }
        if body.is_complete() {
            finish_body(filter, coding, body, &mut chain);
        }
        if !chain.is_empty() && !server_gone.get() {
            match to.send(chain, timeouts.server).await {
                Ok(_) => {}
                // The server stopped reading: its response, if any, decides; the rest is taken and dropped.
                Err(SendError::Broken(_)) => server_gone.set(true),
                Err(e) => return Err(ForwardError::Send(e)),
            }
        }
    }
    Ok(())
}

/// Brings the response to the client.
async fn download(
    s: &Session,
    ex: &mut Exchange,
    link: &Link,
    asked: Asked,
    deadline: &Cell<Millis>,
    timeouts: &StreamTimeouts,
    upload_done: &Cell<bool>,
) -> Result<Done, Failure> {
    let w = &s.w;
    let settings = &w.plan.proxies[link.proxy];
    let mut rest = Piece::Empty;
    let abort = settings.options.abortonclose != Some(false);
    let message = loop {
        let received = response::read(s, ex, link, asked, &mut rest, deadline, abort).await?;
        rest = received.rest;
        let status = ex.response.status();
        if !(100..200).contains(&status) || status == 101 {
            break received.message;
        }
        let head = ex.response.counted_len();
        ex.count_response_bytes(w, s.proxy, s.bind, head);
        // An interim response passes on its own (RFC 9110 §15.2); an HTTP/1.0 client has no idea of it.
        if ex.request_version >= Version::Http11 {
            let mut wire = Block::take();
            encode::head(&ex.response, &mut wire);
            send_to_client(s, wire.into(), timeouts).await?;
        }
        ex.response.clear();
    };
    ex.response_ns = w.rt.now().nanos;
    let head_bytes = ex.response.counted_len();
    let status = ex.response.status();
    ex.facts.server_status = status;
    ex.facts.response_version = ex.response.version().as_str();
    if settings.backend.retry_on.statuses.contains(&status) && retries_left(ex, settings) {
        return Err(Failure::RetryStatus(status));
    }
    ex.count_response_bytes(w, s.proxy, s.bind, head_bytes);
    w.counts().server(link.proxy, link.server).response(status);
    rules::observe(w, link.proxy, link.server, Seen::Status(status));
    log::capture_response(s, ex);
    if message.framing == Framing::Tunnel {
        return start_tunnel(s, ex, link, rest, timeouts).await;
    }
    persist::answered(w, link.proxy, s, ex).await;
    compression::judge(s, ex, link.proxy, message.framing);
    rules::response(s, ex, link.proxy).await?;
    let mode = server_mode(s, settings.options.connection_mode);
    let closes = s.settings().options.connection_mode == ConnectionMode::Close;
    let old_client = ex.request_version < Version::Http11;
    let coding = match message.framing {
        Framing::Chunked if !old_client => Coding::Chunked,
        _ => Coding::Identity,
    };
    if message.framing == Framing::Chunked && old_client {
        ex.response.remove(b"transfer-encoding");
    }
    let framed =
        !matches!(message.framing, Framing::UntilClose) && (message.framing != Framing::Chunked || !old_client);
    let server_keeps = mode == ConnectionMode::KeepAlive && message.is_persistent(ex.response.version());
    let stopping = w.stopping.get();
    let client_keeps = ex.keep_client && framed && !closes && !message.must_close && !stopping;
    let mut body = Body::new(message.framing, Side::Server, &response::limits(s), rest);
    let mut filter = compression::response(s, ex, link.proxy);
    let coding = if filter.is_some() { Coding::Chunked } else { coding };
    let mut wire = Block::take();
    write_response(ex, client_keeps, &mut wire);
    ex.facts.status = ex.response.status();
    let mut chain = Chain::new();
    let mut first = Block::take();
    std::mem::swap(&mut first, &mut wire);
    let mut moved = 0u64;
    let ready = body.ready();
    let mut finished = false;
    match ready {
        Ok(Some(Read::Data(data))) => {
            let data = match &mut filter {
                Some(filter) => {
                    let data = body.join_ready(&link.transport, data, JOIN_MAX);
                    moved += data.bytes().len() as u64;
                    filter.feed(data, body.is_complete())
                }
                None => {
                    moved += data.bytes().len() as u64;
                    data
                }
            };
            if coding == Coding::Identity && data.bytes().len() <= COPY_MAX {
                first.extend_from_slice(data.bytes());
                drop(data);
                chain.push(Piece::Block(first, 0));
            } else {
                chain.push(Piece::Block(first, 0));
                if !data.bytes().is_empty() {
                    body::frame(coding, data, &mut chain);
                }
            }
        }
        Ok(Some(Read::End) | None) => chain.push(Piece::Block(first, 0)),
        Err(ReadError::Malformed(e)) => return Err(Failure::BadResponseBody(e)),
        Err(_) => return Err(Failure::ServerAborted),
    }
    if body.is_complete() {
        finish_body(&mut filter, coding, &body, &mut chain);
        finished = true;
    }
    ex.response_started = true;
    log::early(s, ex);
    send_to_client(s, chain, timeouts).await?;
    if moved > 0 {
        ex.count_response_bytes(w, s.proxy, s.bind, moved);
    }
    if !finished {
        link.transport.expect_bulk();
        loop {
            let now = w.rt.now().mono;
            // While the request is still being sent, its progress is watched, not ours.
            let deadline = match (upload_done.get(), timeouts.server) {
                (_, None) => Millis::NEVER,
                (_, Some(ms)) => now.plus(ms),
            };
            let read = match body.read(&link.transport, deadline).await {
                Ok(read) => read,
                Err(ReadError::TimedOut) => return Err(Failure::ServerDataTimeout),
                Err(ReadError::Broken) => return Err(Failure::ServerAborted),
                Err(ReadError::Malformed(e)) => return Err(Failure::BadResponseBody(e)),
            };
            let mut chain = Chain::new();
            if let Read::Data(mut data) = read {
                if filter.is_some() {
                    data = body.join_ready(&link.transport, data, JOIN_MAX);
                }
                let n = data.bytes().len() as u64;
                filtered(&mut filter, coding, data, body.is_complete(), &mut chain);
                ex.count_response_bytes(w, s.proxy, s.bind, n);
            }
            let complete = body.is_complete();
            if complete {
                finish_body(&mut filter, coding, &body, &mut chain);
            }
            if !chain.is_empty() {
                send_to_client(s, chain, timeouts).await?;
            }
            if complete {
                break;
            }
        }
    }
    let end = body.counted_end();
    if end > 0 {
        ex.count_response_bytes(w, s.proxy, s.bind, end);
    }
    Ok(Done {
        rest: std::mem::take(&mut body.pending),
        server_keeps,
        client_keeps,
        tunnel: false,
        upload_complete: upload_done.get(),
    })
}

/// Data on its way, through the filter if there is one.
fn filtered(filter: &mut Option<Filter>, coding: Coding, data: Piece, last: bool, chain: &mut Chain) {
    let data = match filter {
        Some(filter) => filter.feed(data, last),
        None => data,
    };
    if !data.bytes().is_empty() {
        body::frame(coding, data, chain);
    }
}

/// The end of a body that may have gone through a filter.
fn finish_body(filter: &mut Option<Filter>, coding: Coding, body: &Body, chain: &mut Chain) {
    if let Some(filter) = filter {
        let tail = filter.end();
        if !tail.bytes().is_empty() {
            body::frame(coding, tail, chain);
        }
    }
    body::end(coding, body.trailers(), chain);
}

fn retries_left(ex: &Exchange, settings: &crate::model::proxy::Proxy) -> bool {
    ex.facts.retries < ex.facts.retries_max.unwrap_or(settings.backend.retries)
}

/// The response's head as the client gets it.
fn write_response(ex: &mut Exchange, keeps: bool, wire: &mut Vec<u8>) {
    let then = if keeps { Persistence::KeepAlive } else { Persistence::Close };
    let token = persistence::response_token(ex.request_version, ex.response.version(), then);
    if let Some(token) = token
        && ex.response.contains(b"connection")
    {
        persistence::add_token(&mut ex.response, token);
        encode::head(&ex.response, wire);
        return;
    }
    encode::head(&ex.response, wire);
    if let Some(token) = token {
        append_field(wire, b"connection", token);
    }
}

pub async fn send_to_client(s: &Session, chain: Chain, timeouts: &StreamTimeouts) -> Result<(), Failure> {
    match s.transport.send(chain, timeouts.client).await {
        Ok(_) => Ok(()),
        Err(SendError::TimedOut) => Err(Failure::ClientDataTimeout),
        Err(SendError::Broken(_)) => Err(Failure::ClientAborted),
    }
}

/// The server switched protocols, or a CONNECT succeeded: the head goes out, the bytes follow in `conclude`.
async fn start_tunnel(
    s: &Session,
    ex: &mut Exchange,
    link: &Link,
    rest: Piece,
    timeouts: &StreamTimeouts,
) -> Result<Done, Failure> {
    persist::answered(&s.w, link.proxy, s, ex).await;
    rules::response(s, ex, link.proxy).await?;
    let mut wire = Block::take();
    encode::head(&ex.response, &mut wire);
    ex.facts.status = ex.response.status();
    ex.response_started = true;
    log::early(s, ex);
    send_to_client(s, wire.into(), timeouts).await?;
    Ok(Done { rest, server_keeps: false, client_keeps: false, tunnel: true, upload_complete: true })
}

/// After the response: both connections go where they belong.
async fn conclude(
    s: &mut Session,
    ex: &mut Exchange,
    link: Link,
    mut body: Body,
    done: Done,
    timeouts: &StreamTimeouts,
) -> Next {
    let w = s.w.clone();
    if done.tunnel {
        let pending = std::mem::take(&mut body.pending);
        let end = relay::tunnel(s, ex, &link, pending, done.rest, timeouts).await;
        if let Some(failure) = end {
            ex.failure = Some(failure);
        }
        return Next::Close;
    }
    let rest_is_empty = done.rest.bytes().is_empty();
    drop(done.rest);
    if done.server_keeps && done.upload_complete && rest_is_empty {
        link.into_idle(&w, s);
    } else {
        drop(link);
    }
    if !done.client_keeps || !done.upload_complete {
        return Next::Close;
    }
    Next::Request(std::mem::take(&mut body.pending))
}

/// Counters and the log line of a finished stream.
pub fn finish(s: &Session, ex: &mut Exchange) {
    let w = &s.w;
    let now = w.rt.now();
    if let Some(failure) = ex.failure {
        let letters = failure.letters();
        ex.facts.termination[..2].copy_from_slice(&letters);
        log::count_failure(w, s, ex, failure);
    }
    if ex.facts.status > 0 {
        w.counts().frontend(s.proxy).response(ex.facts.status);
        if let Some(backend) = ex.backend {
            w.counts().backend(backend).response(ex.facts.status);
        }
    }
    ex.settle_times(w, s.proxy, now);
    log::final_counts(w, s, ex);
    cookie::letters(s, ex);
    log::stream(s, ex);
    ex.count_tracked(s);
    ex.leave_server(w);
    ex.leave_backend(w);
}

/// A head that is used for a moment and given back.
#[derive(Default)]
pub struct Heads(std::cell::RefCell<Vec<Head>>);

impl Heads {
    pub fn take(&self) -> Head {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    pub fn give(&self, mut head: Head) {
        head.clear();
        let mut kept = self.0.borrow_mut();
        if kept.len() < 16 {
            kept.push(head);
        }
    }
}
