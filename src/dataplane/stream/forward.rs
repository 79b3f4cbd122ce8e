//! Passes a request on: to a server, its response back, again with another server where `retry-on` allows it. Both bodies
//! move at the same time.

use super::super::connect::{self, Link};
use super::super::filter::{Filter, compression};
use super::super::log;
use super::super::session::Session;
use super::super::transport::{SendError, Transport};
use super::super::worker::Worker;
use super::body::{self, Body, Coding, ForwardError, Read, ReadError};
use super::download::{Done, download};
use super::http::{StreamTimeouts, conclude};
use super::termination::Failure;
use super::{Exchange, Next, reply};
use crate::base::buf::Block;
use crate::base::clock::Millis;
use crate::engine::task::before;
use crate::engine::{Chain, Piece};
use crate::model::backend::{Backend, RetryOn};
use crate::model::plan::ProxyIndex;
use crate::model::proxy::ConnectionMode;
use crate::model::state::counters::{BackendCounter, ServerCounter};
use crate::proto::h1::encode;
use crate::proto::h1::framing::{self, Asked, Framing};
use crate::proto::h1::parse::Message;
use crate::proto::h1::persistence::{self, Persistence};
use crate::proto::http::head::Version;
use crate::proto::websocket;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

/// Passes the request to a server and its response back, again with another one where `retry-on` allows it.
pub(super) async fn forward(
    s: &Session,
    ex: &mut Exchange,
    body: &mut Body,
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
    if options.http_drop_request_trailers {
        body.drop_trailers();
    }
    // A body that has fully arrived may be sent twice; one that is on its way may not.
    let repeatable = Repeatable::of(retry_on, body, &mut filter)?;
    if let Some(repeatable) = &repeatable {
        ex.count_request_bytes(&w, s.proxy, s.bind, repeatable.received + body.counted_end());
    }
    loop {
        let link = match connect::establish(&w, s, ex, proxy, None).await {
            Ok(link) => link,
            Err(Failure::ServerRedirects) => return Ok(reply::server_redirect(s, ex, body).await),
            Err(failure) => return Err(failure),
        };
        ex.connected_ns = w.rt.now().nanos;
        note_link(&w, s, ex, &link);
        let coding = coding.towards(&link.transport);
        let upload = Upload { mode, repeatable: repeatable.as_ref(), filter: &mut filter, coding };
        let result = converse(s, ex, &link, body, upload, asked, &timeouts).await;
        let sent = repeatable.as_ref().map_or(0, |r| r.sent.take());
        let failure = match result {
            Ok(done) => {
                ex.count_request_sent(&w, s.proxy, s.bind, sent);
                return Ok(conclude(s, ex, link, body, done, &timeouts).await);
            }
            Err(failure) => failure,
        };
        let whole = repeatable.is_some() || failure == Failure::Refused && ex.request_is_bodyless();
        let again = whole && !ex.response_started && may_retry(retry_on, failure, ex, &settings.backend);
        if !again {
            ex.count_request_sent(&w, s.proxy, s.bind, sent);
            return Err(failure);
        }
        ex.facts.retries += 1;
        if let Some((proxy, server)) = ex.server {
            w.counts().server(proxy, server).add(ServerCounter::Wretr, 1);
        }
        w.counts().backend(proxy).add(BackendCounter::Wretr, 1);
        ex.change_server(&w);
        ex.response.clear();
        drop(link);
    }
}

/// A whole request body, kept so that it can be sent again.
struct Repeatable {
    data: Vec<u8>,
    /// Bytes that the client has sent for it.
    received: u64,
    /// Bytes that the server got in the last attempt: they count when no other follows.
    sent: Cell<u64>,
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
                    let received = data.len() as u64;
                    if let Some(mut filter) = filter.take().filter(|_| !data.is_empty()) {
                        let whole = filter.feed(Piece::Block(Block::copy_of(&data), 0), true);
                        data.clear();
                        data.extend_from_slice(whole.bytes());
                    }
                    return Ok(Some(Repeatable { data, received, sent: Cell::default() }));
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

/// Whether another attempt is allowed, as far as the request is concerned.
pub(super) fn retries_left(ex: &Exchange, backend: &Backend) -> bool {
    !ex.facts.l7_retry_disabled && ex.facts.retries < ex.facts.retries_max.unwrap_or(backend.retries)
}

fn may_retry(on: &RetryOn, failure: Failure, ex: &Exchange, backend: &Backend) -> bool {
    if !retries_left(ex, backend) {
        return false;
    }
    match failure {
        Failure::NoResponse | Failure::NoResponseOnReused => on.empty_response,
        Failure::BadResponse(_) => on.junk_response,
        Failure::ResponseTimeout => on.response_timeout,
        Failure::RetryStatus(_) | Failure::Refused => true,
        _ => false,
    }
}

fn note_link(w: &Rc<Worker>, s: &Session, ex: &mut Exchange, link: &Link) {
    ex.facts.server_reused = link.was_reused();
    ex.facts.server_http_major = if link.transport.stream().is_some() { 2 } else { 1 };
    (ex.facts.server_src, ex.facts.server_dst) = link.transport.ends().unzip();
    log::note_connections(w, s, ex, link.proxy, link.server);
}

/// What becomes of the server's connection: `http-server-close` counts on either side, `httpclose` on its own (observed;
/// manual 4.2).
pub(super) fn server_mode(s: &Session, backend: ConnectionMode) -> ConnectionMode {
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

/// The request's head as the server gets it. `last`: nothing follows.
fn write_request(
    w: &Rc<Worker>,
    ex: &mut Exchange,
    link: &Link,
    upload: &Upload<'_>,
    last: bool,
    wire: &mut Vec<u8>,
) {
    link.transport.put_head(&ex.request, last, wire);
    if upload.coding == Coding::Frames {
        return;
    }
    let pretend = w.plan.proxies[link.proxy].options.http_pretend_keepalive;
    let then = match upload.mode {
        ConnectionMode::KeepAlive => Persistence::KeepAlive,
        _ if pretend => Persistence::KeepAlive,
        _ => Persistence::Close,
    };
    if ex.request.version() >= Version::Http2 && websocket::is_asked_for(&ex.request) {
        // The client's protocol needs no key.
        let (high, low) = (w.random(), w.random());
        let nonce = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
        encode::append_field(wire, b"sec-websocket-key", websocket::key(nonce).as_bytes());
    }
    if let Some(token) = persistence::request_token(ex.request.version(), then) {
        if ex.request.contains(b"connection") {
            // Rare: an upgrade or named fields stand there already, on the same line as ours.
            wire.clear();
            let mut head = w.heads.take();
            head.clone_from(&ex.request);
            persistence::add_token(&mut head, token);
            encode::head(&head, wire);
            w.heads.give(head);
        } else {
            encode::append_field(wire, b"connection", token);
        }
    }
}

/// Bytes of another protocol may follow the request: our direction stays open.
fn is_open(asked: Asked) -> bool {
    matches!(asked, Asked::Connect | Asked::Upgrade | Asked::WebSocket)
}

/// Bytes of a request on their way: its data as it came, and all that the server got.
#[derive(Default)]
struct Moved {
    received: Cell<u64>,
    sent: Cell<u64>,
}

/// How a request leaves.
struct Upload<'a> {
    mode: ConnectionMode,
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
    asked: Asked,
    timeouts: &StreamTimeouts,
) -> Result<Done, Failure> {
    let rt = &s.w.rt;
    let to = &link.transport;
    let settings = &s.w.plan.proxies[link.proxy];
    if let Some(name) = &settings.backend.http_send_name_header
        && let Some(server) = s.w.board.live.server(link.proxy, link.server)
    {
        ex.request.set(name.as_bytes(), server.settings.name.as_bytes());
    }
    let moved = Moved::default();
    // What has arrived of the body leaves with the head.
    let first = match from.repeatable {
        Some(r) => Piece::Block(Block::copy_of(&r.data), 0),
        None if body.is_complete() => Piece::Empty,
        None => match body.ready() {
            Ok(Some(Read::Data(data))) => {
                moved.received.set(data.bytes().len() as u64);
                data
            }
            Ok(Some(Read::End) | None) => Piece::Empty,
            Err(ReadError::Malformed(e)) => return Err(Failure::BadBody(e)),
            Err(_) => return Err(Failure::BodyAborted),
        },
    };
    let ended = body.is_complete();
    let bodyless = first.bytes().is_empty();
    let last = ended && bodyless && from.filter.is_none() && body.trailers().is_none() && !is_open(asked);
    let told = match (from.coding, ex.request_framing) {
        (Coding::Chunked, _) => Framing::Chunked,
        // The frames say it.
        (Coding::Frames, Framing::Chunked) => Framing::UntilClose,
        (_, framing) => framing,
    };
    framing::tell(&mut ex.request, told);
    let mut wire = Block::take();
    match (asked, to.stream()) {
        (Asked::Upgrade | Asked::WebSocket, Some(stream)) => {
            let deadline = timeouts.server.map_or(Millis::NEVER, |ms| rt.now().mono.plus(ms));
            match before(rt, deadline, stream.takes_upgrades()).await {
                Ok(true) => {}
                // Its protocol has no way to ask for another one.
                Ok(false) => return Err(Failure::NoResponse),
                // It has not even said what it takes.
                Err(_) => return Err(Failure::ResponseTimeout),
            }
            stream.put_upgrade(&ex.request, ex.request.first(b"upgrade").unwrap_or_default());
        }
        _ => write_request(&s.w, ex, link, &from, last, &mut wire),
    }
    if settings.options.h1_case_adjust_bogus_server {
        s.w.plan.global.h1_case_adjust.respell(&mut wire);
    }
    let Upload { repeatable, filter, coding, .. } = from;
    // What the server gets counts as what rules see of it does: the head without what its protocol adds, and the data.
    let mut sent = ex.request.counted_len();
    let mut chain: Chain = wire.into();
    let ends = match coding {
        Coding::Identity => false,
        Coding::Chunked => ended,
        Coding::Frames => ended && !last && !is_open(asked),
    };
    match repeatable {
        Some(_) => {
            sent += first.bytes().len() as u64;
            if !first.bytes().is_empty() {
                body::frame(coding, first, &mut chain);
            }
            if ends {
                body::end(to, coding, body.trailers(), &mut chain);
            }
        }
        None => {
            if !first.bytes().is_empty() {
                sent += body::filtered(filter, coding, first, ended, &mut chain);
            }
            if ends {
                sent += body::finish(to, filter, coding, body, &mut chain);
            }
        }
    }
    let server_deadline = |now: Millis| timeouts.server.map_or(Millis::NEVER, |ms| now.plus(ms));
    if ended && bodyless {
        let sent_whole = send_first(to, chain, timeouts).await?;
        let end = body.counted_end();
        if end > 0 && repeatable.is_none() {
            ex.count_request_bytes(&s.w, s.proxy, s.bind, end);
        }
        match repeatable {
            _ if !sent_whole => {}
            Some(repeatable) => repeatable.sent.set(sent + end),
            None => ex.count_request_sent(&s.w, s.proxy, s.bind, sent + end),
        }
        let deadline = Cell::new(server_deadline(rt.now().mono));
        let result = download(s, ex, link, asked, &deadline, timeouts, &Cell::new(true), repeatable.is_some()).await;
        return result.map(|done| Done { server_keeps: done.server_keeps && sent_whole, ..done });
    }
    // The server's clock starts when it has the whole request.
    let deadline = Cell::new(Millis::NEVER);
    let upload_done = Cell::new(false);
    // All of it has left: a body that was read to its end may still wait in a full socket.
    let delivered = Cell::new(false);
    let server_gone = Cell::new(false);
    let result = {
        let up = async {
            // A server that answers early may not read on before its answer is taken.
            server_gone.set(!send_first(to, chain, timeouts).await?);
            if !server_gone.get() {
                moved.sent.set(sent);
            }
            upload(&s.transport, to, body, filter, coding, timeouts, &moved, &server_gone)
                .await
                .map_err(upload_failure)
        };
        let down = download(s, ex, link, asked, &deadline, timeouts, &upload_done, repeatable.is_some());
        let (mut up, mut down) = (pin!(up), pin!(down));
        let mut done: Option<Done> = None;
        poll_fn(|cx| {
            if !upload_done.get()
                && let Poll::Ready(result) = up.as_mut().poll(cx)
            {
                upload_done.set(true);
                // Who was read from is no longer watched, and receiving may have stopped.
                s.transport.watch(rt.current());
                deadline.set(server_deadline(rt.now().mono));
                delivered.set(result.is_ok() && !server_gone.get());
                if let Err(failure) = result {
                    if let Some(done) = done.take() {
                        // The answer is out; only the connection is spoilt.
                        return Poll::Ready(Ok(Done { client_keeps: false, server_keeps: false, ..done }));
                    }
                    return Poll::Ready(Err(failure));
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
    let complete = body.is_complete();
    let end = if complete { body.counted_end() } else { 0 };
    let sent = moved.sent.get() + if delivered.get() { end } else { 0 };
    match repeatable {
        Some(repeatable) => repeatable.sent.set(sent),
        None => {
            ex.count_request_bytes(&s.w, s.proxy, s.bind, moved.received.get() + end);
            ex.count_request_sent(&s.w, s.proxy, s.bind, sent);
        }
    }
    result.map(|done| Done { upload_complete: complete, server_keeps: done.server_keeps && delivered.get(), ..done })
}

/// Sends the beginning of a request. False when the server reads no more: it may have answered before, which its response
/// tells.
async fn send_first(to: &Transport, chain: Chain, timeouts: &StreamTimeouts) -> Result<bool, Failure> {
    match timeouts.to_server.by(to.rt(), to.send(chain, timeouts.server)).await {
        Ok(()) => Ok(true),
        Err(SendError::TimedOut) => Err(Failure::ResponseTimeout),
        Err(SendError::Broken(_)) => Ok(false),
    }
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
    moved: &Moved,
    server_gone: &Cell<bool>,
) -> Result<(), ForwardError> {
    from.expect_bulk();
    while !body.is_complete() {
        let read = body.read_within(from, timeouts.client, &timeouts.to_client).await.map_err(ForwardError::Read)?;
        let mut chain = Chain::new();
        let mut sent = 0;
        if let Read::Data(data) = read {
            let mut n = data.bytes().len() as u64;
            sent = body::filtered(filter, coding, data, body.is_complete(), &mut chain);
            if filter.is_none() {
                let joined = body.join_chain(from, coding, &mut chain);
                (n, sent) = (n + joined, sent + joined);
            }
            moved.received.set(moved.received.get() + n);
        }
        let complete = body.is_complete();
        if complete {
            sent += body::finish(to, filter, coding, body, &mut chain);
        }
        if (complete || !chain.is_empty()) && !server_gone.get() {
            match timeouts.to_server.by(from.rt(), to.send(chain, timeouts.server)).await {
                Ok(_) => moved.sent.set(moved.sent.get() + sent),
                // The server stopped reading: its response, if any, decides; the rest is taken and dropped.
                Err(SendError::Broken(_)) => server_gone.set(true),
                Err(e) => return Err(ForwardError::Send(e)),
            }
        }
    }
    Ok(())
}
