//! Answers that are made here: canned pages, replies of rules, services. They pass `http-after-response` and end a stream
//! as a server's response would.

use super::super::rules;
use super::super::session::Session;
use super::super::worker::{Answer, AnswerBody, Slices};
use super::body::{Body, Coding};
use super::http::StreamTimeouts;
use super::termination::{self, Failure};
use super::{Exchange, Next};
use crate::base::buf::Block;
use crate::base::clock::Millis;
use crate::engine::frame::Frame;
use crate::engine::task::next_turn;
use crate::engine::{Chain, Piece};
use crate::language::rules::reply::{Reply, Source};
use crate::model::http_errors::ErrorReply;
use crate::proto::h1::framing::{self, Asked, Framing};
use crate::proto::h1::parse::{Limits, Parsed, parse_response};
use crate::proto::h1::persistence::{self, Persistence};
use crate::proto::http::head::{Head, Version};
use crate::proto::http::message;
use crate::proto::http::uri::Uri;
use std::io::Write;

/// A body up to this length is copied behind the head, so that both leave as one plain send.
const COPY_MAX: usize = 4096;

/// The client gets nothing; `letters` go to the log.
pub fn silence(ex: &mut Exchange, letters: [u8; 2]) -> Next {
    ex.facts.termination[..2].copy_from_slice(&letters);
    Next::Close
}

/// The stream failed: tell the client what it may be told. `body`: what there is of the request's, and what follows it.
pub async fn failure(s: &Session, ex: &mut Exchange, body: &mut Body, failure: Failure) -> Next {
    ex.failure = Some(failure);
    if let Failure::BadRequest(_) = failure {
        ex.facts.bad_request = true;
    }
    if matches!(failure, Failure::RequestTimeout | Failure::RequestAborted) {
        ex.facts.bad_request = true;
    }
    if ex.response_started {
        return Next::Close;
    }
    if let Some(mut reply) = ex.replacement.take() {
        // A response rule answered in the server's stead.
        let letters = failure.letters();
        return rule(s, ex, body, &mut reply, letters).await;
    }
    match failure.answer() {
        termination::Answer::Silence => Next::Close,
        termination::Answer::RawPage(status) if s.transport.stream().is_none() => raw_page(s, ex, status).await,
        termination::Answer::Page(status) | termination::Answer::RawPage(status) => {
            if failure.spoils_client() {
                page(s, ex, &mut Body::unread(), status, failure.letters()).await
            } else {
                page(s, ex, body, status, failure.letters()).await
            }
        }
    }
}

/// The canned reply as the connection writes it before a stream exists; it closes.
async fn raw_page(s: &Session, ex: &mut Exchange, status: u16) -> Next {
    ex.facts.status = status;
    let mut wire = Block::take();
    match s.settings().errorfiles.get(&status) {
        Some(file) => wire.extend_from_slice(file),
        None => {
            if let Some(page) = message::page(status) {
                page.raw(&mut wire);
            }
        }
    }
    if !wire.is_empty() {
        let _ = s.transport.send(wire.into(), s.settings().timeouts.client).await;
        linger(s).await;
    }
    Next::Close
}

/// Ends our direction first, so that what the client still sends does not destroy the answer on its way.
async fn linger(s: &Session) {
    s.transport.shutdown_write().await;
}

/// The proxy's reply for a status: its error file, or the canned one.
pub async fn page(s: &Session, ex: &mut Exchange, body: &mut Body, status: u16, letters: [u8; 2]) -> Next {
    rule(s, ex, body, &mut Reply::of_proxy(status), letters).await
}

/// The answer of a rule.
pub async fn rule(s: &Session, ex: &mut Exchange, body: &mut Body, reply: &mut Reply, letters: [u8; 2]) -> Next {
    let w = s.w.clone();
    let mut payload = Block::take();
    ex.response.clear();
    let backend = ex.backend.unwrap_or(s.proxy);
    let closes = match &reply.source {
        Source::Built => {
            std::mem::swap(&mut ex.response, &mut reply.head);
            payload.extend_from_slice(&reply.body);
            false
        }
        Source::Raw(bytes) => from_file(bytes, &mut ex.response, &mut payload, None),
        Source::Section(name) => {
            let section = w.plan.http_errors.iter().find(|e| e.name.as_str() == &**name);
            match section.and_then(|e| e.replies.get(&reply.status)) {
                Some(ErrorReply::File(file)) => from_file(file, &mut ex.response, &mut payload, Some(&reply.head)),
                Some(ErrorReply::Redirect { status, location }) => redirect(*status, location, &mut ex.response),
                None => canned(reply.status, &mut ex.response, &mut payload, &reply.head),
            }
        }
        Source::Proxy => {
            let own = |p: usize| w.plan.proxies[p].errorfiles.get(&reply.status);
            let moved = |p: usize| w.plan.proxies[p].errorlocs.get(&reply.status);
            if let Some((status, location)) = moved(backend).or_else(|| moved(s.proxy)) {
                redirect(*status, location, &mut ex.response)
            } else {
                match own(backend).or_else(|| own(s.proxy)) {
                    Some(file) => from_file(file, &mut ex.response, &mut payload, Some(&reply.head)),
                    None => canned(reply.status, &mut ex.response, &mut payload, &reply.head),
                }
            }
        }
    };
    send(s, ex, body, Payload::whole(Piece::Block(payload, 0), closes), letters).await
}

/// `errorloc` and its kin.
fn redirect(status: u16, location: &str, head: &mut Head) -> bool {
    head.start_response(status, message_reason(status), Version::Http11);
    head.append(b"content-length", b"0");
    head.append(b"location", location.as_bytes());
    head.append(b"cache-control", b"no-cache");
    false
}

/// The client is sent to the server itself (manual 5.2 "redir").
pub async fn server_redirect(s: &Session, ex: &mut Exchange, body: &mut Body) -> Next {
    let live = ex.server.and_then(|(proxy, server)| s.w.board.live.server(proxy, server));
    let mut location = live.and_then(|l| l.settings.redir.clone()).unwrap_or_default().into_bytes();
    location.extend_from_slice(Uri::split(ex.request.uri()).path_and_query);
    let mut reply = Reply::built(302);
    reply.head.append(b"cache-control", b"no-cache");
    reply.head.append(b"content-length", b"0");
    reply.head.append(b"location", &location);
    rule(s, ex, body, &mut reply, *b"LC").await
}

fn message_reason(status: u16) -> &'static [u8] {
    crate::proto::http::status::reason(status).as_bytes()
}

/// Bytes of a service's answer that are made at once, about: what the client takes before more is made, and before others
/// have their turn.
const SLICE: usize = 8 << 10;

/// The answer of a service.
pub async fn answer(s: &Session, ex: &mut Exchange, body: &mut Body, answer: Answer, letters: [u8; 2]) -> Next {
    ex.response.clone_from(&answer.head);
    let payload = match answer.body {
        AnswerBody::Whole(bytes) => {
            if !ex.response.contains(b"content-length") {
                set_length(&mut ex.response, bytes.len());
            }
            Payload::whole(Piece::Shared(bytes.into(), 0), false)
        }
        AnswerBody::Slices(mut slices) => {
            let chunked = ex.request_version >= Version::Http11;
            // The end of a framed message is its stream's.
            if chunked && s.transport.stream().is_none() {
                ex.response.append(b"transfer-encoding", b"chunked");
            }
            let mut first = Block::take();
            // What nobody will see is not made.
            let more = ex.facts.method != b"HEAD" && slices(&s.w, SLICE, &mut first);
            let rest = more.then_some(slices);
            Payload { first: Piece::Block(first, 0), rest, chunked, closes: !chunked }
        }
    };
    send(s, ex, body, payload, letters).await
}

fn set_length(head: &mut Head, len: usize) {
    head.remove(b"content-length");
    let mut text = [0u8; 20];
    let mut cursor = &mut text[..];
    // A usize has at most twenty digits.
    let _ = write!(cursor, "{len}");
    let used = 20 - cursor.len();
    let digits = text;
    head.insert_first(b"content-length", &digits[..used]);
}

fn canned(status: u16, head: &mut Head, payload: &mut Block, more: &Head) -> bool {
    let Some(page) = message::page(status) else {
        head.start_response(status, message_reason(status), Version::Http11);
        head.append(b"content-length", b"0");
        return false;
    };
    page.fill(head);
    for (name, value) in more.fields() {
        head.append(name, value);
    }
    payload.extend_from_slice(page.body.as_bytes());
    page.closes()
}

/// An error file is a whole HTTP/1 message; what cannot be read as one is sent as it is, and the connection ends.
fn from_file(bytes: &[u8], head: &mut Head, payload: &mut Block, more: Option<&Head>) -> bool {
    let limits = Limits { head_bytes: bytes.len().max(1), ..Limits::RESPONSE };
    if let Ok(Parsed::Complete(message)) = parse_response(bytes, &limits, Asked::Other, head) {
        payload.extend_from_slice(&bytes[message.consumed..]);
        if let Some(more) = more {
            for (name, value) in more.fields() {
                head.append(name, value);
            }
        }
        // Without a length the connection's end is the body's.
        return message.tokens.close || message.framing == Framing::UntilClose;
    }
    head.start_response(500, b"Internal Server Error", Version::Http11);
    payload.extend_from_slice(bytes);
    set_length(head, payload.len());
    true
}

/// What follows a head.
struct Payload {
    first: Piece,
    /// The body goes on.
    rest: Option<Slices>,
    chunked: bool,
    /// The connection ends behind it.
    closes: bool,
}

impl Payload {
    fn whole(all: Piece, closes: bool) -> Payload {
        Payload { first: all, rest: None, chunked: false, closes }
    }
}

/// Sends `ex.response` and `payload`; the stream ends with it.
async fn send(s: &Session, ex: &mut Exchange, body: &mut Body, payload: Payload, letters: [u8; 2]) -> Next {
    let Payload { first, rest, chunked, closes } = payload;
    if ex.failure.is_none() {
        ex.facts.termination[..2].copy_from_slice(&letters);
    }
    // A reply of ours leaves as far as they came.
    let _ = rules::after_response(s, ex, ex.backend);
    let told = match (chunked, rest.is_none() && ex.response.contains(b"content-length")) {
        (true, _) => Framing::Chunked,
        (false, true) => Framing::Length(first.bytes().len() as u64),
        (false, false) => Framing::UntilClose,
    };
    let head_only = ex.facts.method == b"HEAD" || matches!(ex.response.status(), 204 | 304);
    if !head_only {
        framing::tell(&mut ex.response, told);
    }
    let (_, drained) = body.drain();
    let closes = closes || client_must_close(s) || persistence::asks_to_close(&ex.response);
    let framed = s.transport.stream().is_some();
    // What closes while the client still sends may destroy the answer on its way.
    let rest_comes = !drained && !framed && body.goes_on();
    let keeps = ex.keep_client && (drained || rest_comes) && !closes && !s.w.closes_kept();
    let then = if keeps { Persistence::KeepAlive } else { Persistence::Close };
    if !framed && let Some(token) = persistence::response_token(ex.request_version, ex.response.version(), then) {
        persistence::add_token(&mut ex.response, token);
    }
    ex.facts.status = ex.response.status();
    ex.facts.server_status = 0;
    let rest = rest.filter(|_| !head_only);
    let is_empty = rest.is_none() && first.bytes().is_empty();
    let data = if head_only { 0 } else { first.bytes().len() as u64 + end_counted(chunked, rest.is_none()) };
    let sent = ex.response.counted_len() + data;
    let coding = if chunked { Coding::Chunked } else { Coding::Identity }.towards(&s.transport);
    let mut wire = Block::take();
    let mut chain = Chain::new();
    s.transport.put_head(&ex.response, head_only || is_empty, &mut wire);
    s.respell(&mut wire);
    if head_only || framed && is_empty {
        chain.push(Piece::Block(wire, 0));
    } else {
        let data = first.bytes();
        if coding == Coding::Identity && data.len() <= COPY_MAX {
            wire.extend_from_slice(data);
            chain.push(Piece::Block(wire, 0));
        } else {
            if !framed {
                chain.push(Piece::Block(wire, 0));
            }
            if !data.is_empty() {
                super::body::frame(coding, first, &mut chain);
            }
        }
        if rest.is_none() {
            super::body::end(&s.transport, coding, None, &mut chain);
        }
    }
    if s.transport.is_broken() {
        // It had left before it was answered: that is not what ended the stream.
        return Next::Close;
    }
    ex.response_started = true;
    let timeouts = StreamTimeouts::of(s, ex, ex.backend.unwrap_or(s.proxy));
    if let Err(failure) = super::download::send_to_client(s, chain, &timeouts).await {
        ex.failure.get_or_insert(failure);
        return Next::Close;
    }
    ex.count_response_sent(&s.w, s.proxy, s.bind, sent);
    if let Some(rest) = rest
        && let Err(failure) = Frame::new(send_rest(s, ex, rest, chunked, &timeouts)).await
    {
        ex.failure.get_or_insert(failure);
        return Next::Close;
    }
    if !keeps {
        linger(s).await;
    }
    if rest_comes {
        return Next::AfterRest(Box::new(std::mem::replace(body, Body::nothing())), then);
    }
    if keeps { Next::Request(std::mem::take(&mut body.pending)) } else { Next::Close }
}

/// Reads what is still to come of a request that was answered before its end. Gives the bytes behind it, if another request
/// may follow.
pub async fn read_rest(s: &Session, mut body: Body, then: Persistence) -> Option<Piece> {
    let timeout = s.settings().timeouts.client;
    while !body.is_complete() {
        let deadline = timeout.map_or(Millis::NEVER, |ms| s.w.rt.now().mono.plus(ms));
        body.read(&s.transport, deadline).await.ok()?;
    }
    (then == Persistence::KeepAlive).then_some(body.pending)
}

/// Sends what is left of a body, slice by slice: no more is made before the client has taken what there is, and each slice
/// has a turn of the loop to itself.
async fn send_rest(
    s: &Session,
    ex: &mut Exchange,
    mut rest: Slices,
    chunked: bool,
    timeouts: &StreamTimeouts,
) -> Result<(), Failure> {
    let coding = if chunked { Coding::Chunked } else { Coding::Identity }.towards(&s.transport);
    loop {
        next_turn(&s.w.rt).await;
        let mut slice = Block::take();
        let more = rest(&s.w, SLICE, &mut slice);
        let sent = slice.len() as u64 + end_counted(chunked, !more);
        let mut chain = Chain::new();
        // A chunk without data would be the last.
        if !slice.is_empty() {
            super::body::frame(coding, Piece::Block(slice, 0), &mut chain);
        }
        if !more {
            super::body::end(&s.transport, coding, None, &mut chain);
        }
        super::download::send_to_client(s, chain, timeouts).await?;
        ex.count_response_sent(&s.w, s.proxy, s.bind, sent);
        if !more {
            return Ok(());
        }
    }
}

/// Bytes that HAProxy counts for the end of a chunked body.
fn end_counted(chunked: bool, ends: bool) -> u64 {
    u64::from(chunked && ends)
}

fn client_must_close(s: &Session) -> bool {
    s.settings().options.connection_mode == crate::model::proxy::ConnectionMode::Close
}
