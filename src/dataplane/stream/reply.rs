//! Answers that are made here: canned pages, replies of rules, services. They pass `http-after-response` and end a stream
//! as a server's response would.

use super::super::rules;
use super::super::session::Session;
use super::super::worker::Answer;
use super::body::{Body, Coding};
use super::http::StreamTimeouts;
use super::termination::{self, Failure};
use super::{Exchange, Next};
use crate::base::buf::Block;
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
    send(s, ex, body, Piece::Block(payload, 0), false, closes, letters).await
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

/// The answer of a service.
pub async fn answer(s: &Session, ex: &mut Exchange, body: &mut Body, answer: Answer, letters: [u8; 2]) -> Next {
    ex.response.clone_from(&answer.head);
    let framed = s.transport.stream().is_some();
    let chunked = answer.chunked && ex.request_version >= Version::Http11;
    if framed && answer.chunked {
        // Its end is the stream's.
    } else if chunked {
        ex.response.append(b"transfer-encoding", b"chunked");
    } else if !answer.chunked && !ex.response.contains(b"content-length") {
        set_length(&mut ex.response, answer.body.len());
    }
    let closes = answer.chunked && !chunked;
    let payload = Piece::Shared(answer.body.into(), 0);
    send(s, ex, body, payload, chunked, closes, letters).await
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

/// Sends `ex.response` and `payload`; the stream ends with it.
async fn send(
    s: &Session,
    ex: &mut Exchange,
    body: &mut Body,
    payload: Piece,
    chunked: bool,
    closes: bool,
    letters: [u8; 2],
) -> Next {
    if ex.failure.is_none() {
        ex.facts.termination[..2].copy_from_slice(&letters);
    }
    // A reply of ours leaves as far as they came.
    let _ = rules::after_response(s, ex, ex.backend);
    let told = match (chunked, ex.response.contains(b"content-length")) {
        (true, _) => Framing::Chunked,
        (false, true) => Framing::Length(payload.bytes().len() as u64),
        (false, false) => Framing::UntilClose,
    };
    let head_only = ex.facts.method == b"HEAD" || matches!(ex.response.status(), 204 | 304);
    if !head_only {
        framing::tell(&mut ex.response, told);
    }
    let (_, drained) = body.drain();
    let closes = closes || client_must_close(s) || persistence::asks_to_close(&ex.response);
    let keeps = ex.keep_client && drained && !closes && !s.w.closes_kept();
    let then = if keeps { Persistence::KeepAlive } else { Persistence::Close };
    let framed = s.transport.stream().is_some();
    if !framed && let Some(token) = persistence::response_token(ex.request_version, ex.response.version(), then) {
        persistence::add_token(&mut ex.response, token);
    }
    ex.facts.status = ex.response.status();
    ex.facts.server_status = 0;
    let data = if head_only { 0 } else { payload.bytes().len() as u64 + u64::from(chunked) };
    let sent = ex.response.counted_len() + data;
    let mut wire = Block::take();
    let mut chain = Chain::new();
    s.transport.put_head(&ex.response, head_only || payload.bytes().is_empty(), &mut wire);
    s.respell(&mut wire);
    if head_only || framed && payload.bytes().is_empty() {
        chain.push(Piece::Block(wire, 0));
    } else if framed {
        chain.push(payload);
        super::body::end(&s.transport, Coding::Frames, None, &mut chain);
    } else if chunked {
        chain.push(Piece::Block(wire, 0));
        if !payload.bytes().is_empty() {
            super::body::frame(Coding::Chunked, payload, &mut chain);
        }
        super::body::end(&s.transport, Coding::Chunked, None, &mut chain);
    } else if payload.bytes().len() <= 4096 {
        wire.extend_from_slice(payload.bytes());
        chain.push(Piece::Block(wire, 0));
    } else {
        chain.push(Piece::Block(wire, 0));
        chain.push(payload);
    }
    ex.response_started = true;
    let timeouts = StreamTimeouts::of(s, ex, ex.backend.unwrap_or(s.proxy));
    if let Err(failure) = super::download::send_to_client(s, chain, &timeouts).await {
        ex.failure.get_or_insert(failure);
        return Next::Close;
    }
    ex.count_response_sent(&s.w, s.proxy, s.bind, sent);
    if !keeps {
        linger(s).await;
        return Next::Close;
    }
    Next::Request(std::mem::take(&mut body.pending))
}

fn client_must_close(s: &Session) -> bool {
    s.settings().options.connection_mode == crate::model::proxy::ConnectionMode::Close
}
