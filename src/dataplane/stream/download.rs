//! Brings a response to its client: interim ones, the rules, the head, the body through a filter, or a tunnel's beginning.

use super::super::connect::Link;
use super::super::filter::compression;
use super::super::registry::Leaving;
use super::super::session::Session;
use super::super::transport::SendError;
use super::super::worker::Seen;
use super::super::{log, persist, rules};
use super::body::{self, Body, Coding, Read, ReadError};
use super::forward::{retries_left, server_mode};
use super::http::StreamTimeouts;
use super::termination::Failure;
use super::{Exchange, response, splice};
use crate::base::buf::Block;
use crate::base::clock::Millis;
use crate::engine::frame::Frame;
use crate::engine::{Chain, Piece};
use crate::model::proxy::ConnectionMode;
use crate::model::state::counters::ServerCounter;
use crate::proto::h1::encode;
use crate::proto::h1::error::Side;
use crate::proto::h1::framing::{self, Asked, Framing};
use crate::proto::h1::persistence::{self, Persistence};
use crate::proto::http::head::Version;
use std::cell::Cell;

/// A first piece of a body up to this length is copied behind the head, so that both leave as one plain send.
const COPY_MAX: usize = 4096;

/// What is left when the response is through.
pub(super) struct Done {
    /// Bytes that the server sent beyond its response.
    pub rest: Piece,
    pub server_keeps: bool,
    pub client_keeps: bool,
    pub tunnel: bool,
    pub upload_complete: bool,
}

/// Brings the response to the client. `repeatable`: the request may be sent again instead, where `retry-on` names the status.
#[allow(clippy::too_many_arguments)]
pub(super) async fn download(
    s: &Session,
    ex: &mut Exchange,
    link: &Link,
    asked: Asked,
    deadline: &Cell<Millis>,
    timeouts: &StreamTimeouts,
    upload_done: &Cell<bool>,
    repeatable: bool,
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
            s.transport.put_head(&ex.response, false, &mut wire);
            s.respell(&mut wire);
            send_to_client(s, wire.into(), timeouts).await?;
            ex.count_response_sent(w, s.proxy, s.bind, head);
            if let Some(stream) = s.transport.stream() {
                stream.breathe(timeouts.client).await.map_err(client_failure)?;
            }
        }
        ex.response.clear();
    };
    ex.response_ns = w.rt.now().nanos;
    let head_bytes = ex.response.counted_len();
    let status = ex.response.status();
    ex.facts.server_status = status;
    ex.facts.response_version = ex.response.version().as_str();
    if repeatable && settings.backend.retry_on.statuses.contains(&status) && retries_left(ex, &settings.backend) {
        return Err(Failure::RetryStatus(status));
    }
    rules::unseen_response(s, ex, link.proxy, &link.transport).await?;
    ex.count_response_bytes(w, s.proxy, s.bind, head_bytes);
    w.counts().server(link.proxy, link.server).add(ServerCounter::ReqTot, 1);
    w.counts().server(link.proxy, link.server).response(status);
    rules::observe(w, link.proxy, link.server, Seen::Status(status));
    ex.count_outcome(s, status);
    log::capture_response(s, ex);
    if response::asks_for_this_connection(&ex.response) {
        link.make_private();
    }
    if message.framing == Framing::Tunnel {
        return start_tunnel(s, ex, link, rest, timeouts).await;
    }
    persist::answered(w, link.proxy, s, ex).await;
    compression::judge(s, ex, link.proxy, message.framing);
    let mut body = Body::new(&link.transport, message.framing, Side::Server, &response::limits(s, ex.backend), rest);
    rules::response(s, ex, link.proxy, &mut body, &link.transport).await?;
    let mode = server_mode(s, settings.options.connection_mode);
    let closes = s.settings().options.connection_mode == ConnectionMode::Close;
    let old_client = ex.request_version < Version::Http11;
    // What the client gets has no body, whatever the server was asked for and has answered.
    let silent = ex.facts.method == b"HEAD" || matches!(ex.response.status(), 204 | 304);
    let framed = match message.framing {
        Framing::UntilClose => false,
        Framing::Chunked if old_client => false,
        Framing::Length(_) | Framing::Chunked if silent || link.transport.stream().is_some() => true,
        // A rule has taken the word away: the connection's end says it, as in HAProxy.
        Framing::Length(_) => ex.response.contains(b"content-length"),
        Framing::Chunked => ex.response.contains(b"transfer-encoding"),
        Framing::None | Framing::Tunnel => true,
    };
    let server_keeps = mode == ConnectionMode::KeepAlive && message.is_persistent(ex.response.version());
    let stopping = w.closes_kept();
    let closes = closes || persistence::asks_to_close(&ex.response);
    let client_keeps = ex.keep_client && framed && !closes && !message.must_close && !stopping;
    if s.settings().options.http_drop_response_trailers {
        body.drop_trailers();
    }
    let mut filter = if silent { None } else { compression::response(s, ex, link.proxy) };
    let coding = match message.framing {
        _ if filter.is_some() => Coding::Chunked,
        Framing::Chunked if framed => Coding::Chunked,
        _ => Coding::Identity,
    };
    let coding = coding.towards(&s.transport);
    if !silent {
        let told = match message.framing {
            _ if coding == Coding::Chunked => Framing::Chunked,
            Framing::Length(n) if framed && filter.is_none() => Framing::Length(n),
            // An answer to another question has none of the body that its length announces.
            Framing::None => Framing::Length(0),
            _ => Framing::UntilClose,
        };
        framing::tell(&mut ex.response, told);
    }
    ex.facts.status = ex.response.status();
    if silent && message.framing != Framing::None {
        Frame::new(send_head(s, ex, coding, client_keeps, timeouts)).await?;
        // What has come of the body is dropped; the connection goes with what has not.
        let (dropped, whole) = body.drain();
        ex.count_response_bytes(w, s.proxy, s.bind, dropped + body.counted_end());
        let (rest, server_keeps) = (std::mem::take(&mut body.pending), server_keeps && whole);
        let upload_complete = upload_done.get();
        return Ok(Done { rest, server_keeps, client_keeps, tunnel: false, upload_complete });
    }
    let mut chain = Chain::new();
    // Bytes of the body that have come, and all that leaves for the client.
    let (mut moved, mut sent) = (0u64, ex.response.counted_len());
    let ready = match body.ready() {
        Ok(ready) => ready,
        // Nothing has been sent yet.
        Err(ReadError::Malformed(e)) => return Err(Failure::BadResponse(e)),
        Err(_) => return Err(Failure::ServerAborted),
    };
    let mut finished = false;
    let last =
        body.is_complete() && !matches!(ready, Some(Read::Data(_))) && filter.is_none() && body.trailers().is_none();
    let mut first = Block::take();
    write_response(s, ex, coding, client_keeps, last, &mut first);
    s.respell(&mut first);
    match ready {
        Some(Read::Data(data)) => {
            let data = match &mut filter {
                Some(filter) => {
                    let data = body.join_ready(&link.transport, data);
                    moved += data.bytes().len() as u64;
                    filter.feed(data, body.is_complete())
                }
                None => {
                    moved += data.bytes().len() as u64;
                    data
                }
            };
            sent += data.bytes().len() as u64;
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
            if filter.is_none() {
                let joined = body.join_chain(&link.transport, coding, &mut chain);
                (moved, sent) = (moved + joined, sent + joined);
            }
        }
        Some(Read::End) | None => chain.push(Piece::Block(first, 0)),
    }
    if body.is_complete() {
        if !last || coding == Coding::Chunked {
            sent += body::finish(&s.transport, &mut filter, coding, &body, &mut chain);
        }
        finished = true;
    }
    ex.response_started = true;
    log::early(s, ex);
    send_to_client(s, chain, timeouts).await?;
    if moved > 0 {
        ex.count_response_bytes(w, s.proxy, s.bind, moved);
    }
    ex.count_response_sent(w, s.proxy, s.bind, sent);
    if !finished {
        // A client that leaves has no use for the rest.
        if abort {
            ex.place.leaving.set(Leaving::Ended);
        }
        s.transport.watch(w.rt.current());
    }
    if !finished && coding == Coding::Identity && filter.is_none() {
        Frame::new(splice::response(s, ex, link, &mut body, timeouts)).await?;
        finished = body.is_complete();
    }
    if !finished {
        link.transport.expect_bulk();
        loop {
            let read = match body.read_within(&link.transport, timeouts.server, &timeouts.to_server).await {
                Ok(read) => read,
                Err(ReadError::TimedOut) => return Err(Failure::ServerDataTimeout),
                Err(ReadError::Broken) => return Err(Failure::ServerAborted),
                Err(ReadError::Malformed(e)) => return Err(Failure::BadResponseBody(e)),
            };
            let mut chain = Chain::new();
            let mut sent = 0;
            if let Read::Data(mut data) = read {
                if filter.is_some() {
                    data = body.join_ready(&link.transport, data);
                }
                let mut n = data.bytes().len() as u64;
                sent = body::filtered(&mut filter, coding, data, body.is_complete(), &mut chain);
                if filter.is_none() {
                    let joined = body.join_chain(&link.transport, coding, &mut chain);
                    (n, sent) = (n + joined, sent + joined);
                }
                ex.count_response_bytes(w, s.proxy, s.bind, n);
            }
            let complete = body.is_complete();
            if complete {
                sent += body::finish(&s.transport, &mut filter, coding, &body, &mut chain);
            }
            if complete || !chain.is_empty() {
                send_to_client(s, chain, timeouts).await?;
                ex.count_response_sent(w, s.proxy, s.bind, sent);
            }
            if complete {
                break;
            }
        }
    }
    let end = body.counted_end();
    if end > 0 {
        ex.count_response_bytes(w, s.proxy, s.bind, end);
        ex.count_response_sent(w, s.proxy, s.bind, end);
    }
    Ok(Done {
        rest: std::mem::take(&mut body.pending),
        server_keeps,
        client_keeps,
        tunnel: false,
        upload_complete: upload_done.get(),
    })
}

/// The response's head as the client gets it. `last`: nothing follows.
fn write_response(s: &Session, ex: &mut Exchange, coding: Coding, keeps: bool, last: bool, wire: &mut Vec<u8>) {
    if coding == Coding::Frames {
        s.transport.put_head(&ex.response, last, wire);
        return;
    }
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
        encode::append_field(wire, b"connection", token);
    }
}

/// Sends a response of which only the head goes on.
async fn send_head(
    s: &Session,
    ex: &mut Exchange,
    coding: Coding,
    keeps: bool,
    timeouts: &StreamTimeouts,
) -> Result<(), Failure> {
    let mut wire = Block::take();
    let n = ex.response.counted_len();
    write_response(s, ex, coding, keeps, true, &mut wire);
    s.respell(&mut wire);
    ex.response_started = true;
    log::early(s, ex);
    send_to_client(s, wire.into(), timeouts).await?;
    ex.count_response_sent(&s.w, s.proxy, s.bind, n);
    Ok(())
}

pub async fn send_to_client(s: &Session, chain: Chain, timeouts: &StreamTimeouts) -> Result<(), Failure> {
    let send = s.transport.send(chain, timeouts.client);
    timeouts.to_client.by(&s.w.rt, send).await.map_err(client_failure)
}

fn client_failure(error: SendError) -> Failure {
    match error {
        SendError::TimedOut => Failure::ClientDataTimeout,
        SendError::Broken(_) => Failure::ClientAborted,
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
    rules::response(s, ex, link.proxy, &mut Body::nothing(), &link.transport).await?;
    let mut wire = Block::take();
    s.transport.put_head(&ex.response, false, &mut wire);
    s.respell(&mut wire);
    ex.facts.status = ex.response.status();
    ex.response_started = true;
    log::early(s, ex);
    send_to_client(s, wire.into(), timeouts).await?;
    let n = ex.response.counted_len();
    ex.count_response_sent(&s.w, s.proxy, s.bind, n);
    Ok(Done { rest, server_keeps: false, client_keeps: false, tunnel: true, upload_complete: true })
}
