//! Reads a response head from the server while the client and the clock are watched, and its body for rules that look
//! at it.

use super::super::capture;
use super::super::connect::Link;
use super::super::mux::Stream;
use super::super::session::Session;
use super::super::transport::Transport;
use super::Exchange;
use super::body::{Body, ReadError};
use super::termination::Failure;
use crate::base::clock::Millis;
use crate::engine::Piece;
use crate::engine::task::until;
use crate::model::plan::ProxyIndex;
use crate::proto::h1::error::{Fault, ParseError};
use crate::proto::h1::framing::{Asked, Framing};
use crate::proto::h1::parse::{Limits, Message, Parsed, parse_response};
use crate::proto::http::head::Head;
use crate::proto::websocket;
use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::task::Poll;

/// The limits that hold for responses of this stream's backend.
pub fn limits(s: &Session, backend: Option<ProxyIndex>) -> Limits {
    let tune = &s.w.plan.global.tune;
    Limits {
        head_bytes: tune.buffer_room(),
        fields: tune.http_maxhdr.saturating_sub(1),
        unsafe_violations: backend
            .is_some_and(|b| s.w.plan.proxies[b].options.accept_unsafe_violations_in_http_response),
        keep_insecure: s.w.plan.global.h1_do_not_close_on_insecure_transfer_encoding,
        ..Limits::RESPONSE
    }
}

/// A complete response head is in `ex.response`; what follows it in the same piece comes back.
pub struct Received {
    pub message: Message,
    pub rest: Piece,
}

/// Reads until the head is complete. `deadline` moves while the request is still being sent.
pub async fn read(
    s: &Session,
    ex: &mut Exchange,
    link: &Link,
    asked: Asked,
    rest: &mut Piece,
    deadline: &Cell<Millis>,
    abort_on_close: bool,
) -> Result<Received, Failure> {
    if let Some(stream) = link.transport.stream() {
        return from_stream(s, ex, stream, asked, deadline, abort_on_close).await;
    }
    let limits = limits(s, ex.backend);
    ex.input.clear();
    let mut any = false;
    loop {
        let piece = if rest.bytes().is_empty() {
            let received = wait(s, link, deadline, abort_on_close).await;
            match received {
                Waited::Data(piece) => piece,
                Waited::TimedOut => return Err(Failure::ResponseTimeout),
                Waited::ClientLeft => return Err(Failure::AbortedInResponse),
                Waited::Ended if any => {
                    return Err(Failure::BadResponse(ParseError::server(Fault::LineEnd, ex.input.len())));
                }
                Waited::Ended if link.was_reused() => return Err(Failure::NoResponseOnReused),
                Waited::Ended => return Err(Failure::NoResponse),
            }
        } else {
            std::mem::take(rest)
        };
        let mut piece = piece;
        any = true;
        let parsed = if ex.input.is_empty() {
            parse_response(piece.bytes(), &limits, asked, &mut ex.response)
        } else {
            ex.input.extend_from_slice(piece.bytes());
            parse_response(&ex.input, &limits, asked, &mut ex.response)
        };
        let parsed = parsed.map_err(|e| {
            capture::bad_response(s, ex, piece.bytes(), e.at);
            Failure::BadResponse(e)
        })?;
        match parsed {
            Parsed::Complete(message) => {
                let earlier = ex.input.len().saturating_sub(piece.bytes().len());
                piece.advance(message.consumed - earlier.min(message.consumed));
                return Ok(Received { message, rest: piece });
            }
            Parsed::Http2Preface | Parsed::Partial => {
                if ex.input.is_empty() {
                    ex.input.extend_from_slice(piece.bytes());
                }
            }
        }
    }
}

/// Reads the body ahead for rules that look at it: `enough` of it, or all. One that breaks off passes as far as it came,
/// like one that nobody waited for.
pub async fn gather(body: &mut Body, from: &Transport, enough: usize, deadline: Millis) -> Result<(), Failure> {
    match body.gather(from, enough, deadline, None).await {
        Err(ReadError::TimedOut) => Err(Failure::ResponseTimeout),
        Err(ReadError::Malformed(e)) => Err(Failure::BadResponse(e)),
        Err(ReadError::Broken) => {
            body.fail_later(ReadError::Broken);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Waits for what may decide `tcp-response content` rules: more of the body, or the time. False when the server broke off.
pub async fn inspect(body: &mut Body, from: &Transport, deadline: Millis) -> Result<bool, Failure> {
    let (here, whole) = body.arrived();
    if whole {
        until(from.rt(), deadline).await;
        return Ok(true);
    }
    match body.gather(from, here.len() + 1, deadline, None).await {
        Ok(()) | Err(ReadError::TimedOut) => Ok(true),
        Err(ReadError::Malformed(e)) => Err(Failure::BadResponse(e)),
        Err(ReadError::Broken) => {
            body.fail_later(ReadError::Broken);
            Ok(false)
        }
    }
}

/// The next head of a stream of HTTP/2.
async fn from_stream(
    s: &Session,
    ex: &mut Exchange,
    stream: &Stream,
    asked: Asked,
    deadline: &Cell<Millis>,
    abort_on_close: bool,
) -> Result<Received, Failure> {
    let rt = &s.w.rt;
    s.transport.watch(rt.current());
    let mut message = poll_fn(|_| match stream.poll_head(&mut ex.response) {
        Poll::Ready(Ok(message)) => Poll::Ready(Ok(message)),
        // What the server has not looked at may go elsewhere (RFC 9113 §8.7).
        Poll::Ready(Err(_)) if stream.was_refused() => Poll::Ready(Err(Failure::Refused)),
        Poll::Ready(Err(_)) => Poll::Ready(Err(Failure::NoResponse)),
        Poll::Pending if abort_on_close && s.transport.end_seen() => Poll::Ready(Err(Failure::AbortedInResponse)),
        Poll::Pending if rt.reached(deadline.get()) => Poll::Ready(Err(Failure::ResponseTimeout)),
        Poll::Pending => Poll::Pending,
    })
    .await?;
    match (asked, ex.response.status()) {
        (Asked::Connect, 200..300) => message.framing = Framing::Tunnel,
        (Asked::Upgrade | Asked::WebSocket, 200..300) => {
            message.framing = Framing::Tunnel;
            switch(&ex.request, &mut ex.response);
        }
        (_, 100..200) => message.framing = Framing::None,
        (Asked::Head, _) | (_, 204 | 304) => {
            message.framing = Framing::None;
            stream.settle();
        }
        // The end of the stream says it; HTTP/1 needs a word.
        _ if message.framing == Framing::None && s.transport.stream().is_none() => {
            message.framing = Framing::Length(0);
            if !ex.response.contains(b"content-length") {
                ex.response.append(b"content-length", b"0");
            }
        }
        _ => {}
    }
    Ok(Received { message, rest: Piece::Empty })
}

/// Whether the server is about to know the client by the connection, not by what each request says: NTLM, and Negotiate
/// where it stands for that (RFC 4559 §6; manual 4.2 "http-reuse").
pub fn asks_for_this_connection(head: &Head) -> bool {
    let name: &[u8] = match head.status() {
        401 => b"www-authenticate",
        407 => b"proxy-authenticate",
        _ => return false,
    };
    let begins =
        |value: &[u8], scheme: &[u8]| value.get(..scheme.len()).is_some_and(|v| v.eq_ignore_ascii_case(scheme));
    head.values(name).any(|value| begins(value, b"NTLM") || begins(value, b"Negotiate"))
}

/// An extended CONNECT has succeeded: the answer as HTTP/1.1 and the rules know it (RFC 8441 §5).
fn switch(request: &Head, response: &mut Head) {
    response.set_status(101, b"Switching Protocols");
    response.append(b"connection", b"upgrade");
    response.append(b"upgrade", request.first(b"upgrade").unwrap_or_default());
    if let Some(key) = request.first(b"sec-websocket-key") {
        response.append(b"sec-websocket-accept", websocket::accept(key).as_bytes());
    }
}

enum Waited {
    Data(Piece),
    Ended,
    TimedOut,
    ClientLeft,
}

async fn wait(s: &Session, link: &Link, deadline: &Cell<Millis>, abort_on_close: bool) -> Waited {
    let rt = &s.w.rt;
    s.transport.watch(rt.current());
    poll_fn(|_| {
        let received: Poll<io::Result<Option<Piece>>> = link.transport.poll_recv();
        match received {
            Poll::Ready(Ok(Some(piece))) => Poll::Ready(Waited::Data(piece)),
            Poll::Ready(_) => Poll::Ready(Waited::Ended),
            Poll::Pending if abort_on_close && s.transport.end_seen() => Poll::Ready(Waited::ClientLeft),
            Poll::Pending if rt.reached(deadline.get()) => Poll::Ready(Waited::TimedOut),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
