//! Reads a request head from the client, within its time and size, and its body for rules that look at it.

use super::super::capture;
use super::super::session::Session;
use super::Exchange;
use super::body::{Body, ReadError};
use super::termination::Failure;
use crate::base::buf::Block;
use crate::base::clock::Millis;
use crate::engine::Piece;
use crate::engine::task::{before, until};
use crate::proto::h1::parse::{Limits, Message, Parsed, parse_request};
use crate::proto::http::head::{Head, Version};

/// The limits that hold for requests of this session.
pub fn limits(s: &Session) -> Limits {
    let tune = &s.w.plan.global.tune;
    Limits {
        head_bytes: tune.buffer_room(),
        fields: tune.http_maxhdr.saturating_sub(1),
        unsafe_violations: s.settings().options.accept_unsafe_violations_in_http_request,
        keep_insecure: s.w.plan.global.h1_do_not_close_on_insecure_transfer_encoding,
        any_method_with_body: s.w.plan.global.h1_accept_payload_with_any_method,
        ..Limits::REQUEST
    }
}

/// A complete request head is in `ex.request`; what follows it in the same piece comes back.
pub struct Received {
    pub message: Message,
    pub rest: Piece,
}

/// Reads until the head is complete.
pub async fn read(s: &Session, ex: &mut Exchange, first: Piece) -> Result<Received, Failure> {
    if let Some(stream) = s.transport.stream() {
        // Its head came whole, before the stream began.
        let message = stream.take_head(&mut ex.request).ok_or(Failure::RequestAborted)?;
        return Ok(Received { message, rest: Piece::Empty });
    }
    let limits = limits(s);
    let timeouts = &s.settings().timeouts;
    let timeout = timeouts.http_request.or(timeouts.client);
    let deadline = timeout.map_or(Millis::NEVER, |ms| ex.start.mono.plus(ms));
    let mut piece = first;
    loop {
        // Usually the whole head is in the first piece and is read where it lies.
        let parsed = if ex.input.is_empty() {
            parse_request(piece.bytes(), &limits, &mut ex.request)
        } else {
            ex.input.extend_from_slice(piece.bytes());
            parse_request(&ex.input, &limits, &mut ex.request)
        };
        let parsed = parsed.map_err(|e| {
            capture::bad_request(s, ex, piece.bytes(), e.at);
            Failure::BadRequest(e)
        })?;
        match parsed {
            Parsed::Complete(message) => {
                let earlier = ex.input.len().saturating_sub(piece.bytes().len());
                piece.advance(message.consumed - earlier.min(message.consumed));
                return Ok(Received { message, rest: piece });
            }
            Parsed::Http2Preface => {
                // This connection speaks HTTP/1: there the preface is a request that cannot be read.
                let fault = crate::proto::h1::error::Fault::Version;
                return Err(Failure::BadRequest(crate::proto::h1::error::ParseError::client(fault, 0)));
            }
            Parsed::Partial => {
                if ex.input.is_empty() {
                    ex.input.extend_from_slice(piece.bytes());
                }
                drop(std::mem::take(&mut piece));
            }
        }
        match before(&s.w.rt, deadline, s.transport.recv()).await {
            Err(_) => return Err(Failure::RequestTimeout),
            Ok(Ok(Some(next))) => piece = next,
            Ok(_) => return Err(Failure::RequestAborted),
        }
    }
}

/// Reads the body ahead for rules that look at it: `enough` of it, or all.
pub async fn gather(
    s: &Session,
    ex: &mut Exchange,
    body: &mut Body,
    enough: usize,
    deadline: Millis,
) -> Result<(), Failure> {
    if body.is_held_back() {
        // Who waits for the body has to ask for it; the server need not do so again.
        body.expect_continue(false);
        ex.request.remove(b"expect");
        let mut wire = Block::take();
        s.transport.put_head(&Head::response(100, b"Continue", Version::Http11), false, &mut wire);
        let sent = s.transport.send(wire.into(), s.settings().timeouts.client).await;
        sent.map_err(|_| missed(s, ex, ReadError::Broken))?;
    }
    let silence = s.settings().timeouts.client;
    body.gather(&s.transport, enough, deadline, silence).await.map_err(|error| missed(s, ex, error))
}

/// Waits for what may decide `tcp-request content` rules (manual 4.2 "inspect-delay"): more of the body, or the time. Who
/// holds the body back is not asked for it (observed).
pub async fn inspect(s: &Session, ex: &mut Exchange, body: &mut Body, deadline: Millis) -> Result<(), Failure> {
    let (rt, silence) = (&s.w.rt, s.settings().timeouts.client);
    let (here, whole) = body.arrived();
    if whole {
        s.transport.watch(rt.current());
        until(rt, deadline).await;
        return Ok(());
    }
    match body.gather(&s.transport, here.len() + 1, deadline, silence).await {
        Ok(()) => Ok(()),
        Err(ReadError::TimedOut) if rt.reached(deadline) => Ok(()),
        Err(ReadError::TimedOut) => {
            ex.request_ns = rt.now().nanos;
            Err(Failure::InspectTimeout)
        }
        Err(error) => Err(missed(s, ex, error)),
    }
}

/// The body that rules wait for does not come. The log shows what was waited for a client that has left as time for the
/// request, and else none for one that was not whole (observed).
fn missed(s: &Session, ex: &mut Exchange, error: ReadError) -> Failure {
    ex.request_ns = 0;
    match error {
        ReadError::TimedOut => Failure::BodyAwaited,
        ReadError::Broken => {
            ex.request_ns = s.w.rt.now().nanos;
            Failure::AwaitedBodyAborted
        }
        ReadError::Malformed(e) => Failure::BadAwaitedBody(e),
    }
}
