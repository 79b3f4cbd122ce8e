//! A body of announced length that passes as it is, through a pipe: what the server sends reaches the client without being
//! copied to us and back. It needs no option: the length says when it pays. `nosplice` (manual 3.2) forbids it.

use super::super::connect::Link;
use super::super::relay::PipeCount;
use super::super::session::Session;
use super::Exchange;
use super::body::{Body, Read};
use super::download::send_to_client;
use super::http::StreamTimeouts;
use super::termination::Failure;
use crate::base::clock::Millis;
use crate::engine::splice::Pipe;
use crate::engine::task::before;
use crate::engine::{Chain, Conn, Piece};

/// Bytes still to come from which on a pipe is worth itself: the receiver has to be stopped and started for it.
const LEAST: u64 = 192 * 1024;

/// Passes on what is left of a response's body, if a pipe can do it. Else, and where an engine has no splice(2), what is
/// left is left for whoever reads on.
pub(super) async fn response(
    s: &Session,
    ex: &mut Exchange,
    link: &Link,
    body: &mut Body,
    timeouts: &StreamTimeouts,
) -> Result<(), Failure> {
    let (Some(source), Some(sink)) = (link.transport.plain(), s.transport.plain()) else { return Ok(()) };
    if s.w.plan.global.nosplice || body.left_unread().is_none_or(|left| left < LEAST) {
        return Ok(());
    }
    source.pause().await;
    loop {
        let mut chain = Chain::new();
        // What the server sends beyond the body is not the body's.
        while chain.room() > 0
            && !body.is_complete()
            && let Some(lease) = source.take_queued()
        {
            if let Some(metered) = link.transport.metered() {
                metered.received(lease.len() as u64);
            }
            body.pending = Piece::Lease(lease);
            if let Ok(Some(Read::Data(data))) = body.ready() {
                chain.push(data);
            }
        }
        if chain.is_empty() {
            break;
        }
        let n = chain.byte_len() as u64;
        send_to_client(s, chain, timeouts).await?;
        ex.count_response_bytes(&s.w, s.proxy, s.bind, n);
        ex.count_response_sent(&s.w, s.proxy, s.bind, n);
    }
    if source.has_ended() {
        return Ok(());
    }
    // Where there are as many pipes as may be, and without descriptors left for one, on with buffers.
    let Some(_counted) = PipeCount::of(&s.w) else { return Ok(()) };
    let Ok(mut pipe) = Pipe::new(&s.w.rt) else { return Ok(()) };
    while let Some(left) = body.left_unread() {
        let Some(n) = take(&mut pipe, source, left, timeouts).await? else { return Ok(()) };
        if let Some(metered) = link.transport.metered() {
            metered.spliced_in(n as u64);
        }
        while pipe.held() > 0 {
            let given = timeouts.to_client.by(&s.w.rt, give(&mut pipe, sink, timeouts.client)).await?;
            if let Some(metered) = s.transport.metered() {
                metered.spliced_out(given as u64);
            }
        }
        body.passed(n as u64);
        ex.count_response_bytes(&s.w, s.proxy, s.bind, n as u64);
        ex.count_response_sent(&s.w, s.proxy, s.bind, n as u64);
        pipe.take_turns(n).await;
    }
    Ok(())
}

/// Fills the pipe. `None`: this engine cannot.
async fn take(pipe: &mut Pipe, from: &Conn, left: u64, timeouts: &StreamTimeouts) -> Result<Option<usize>, Failure> {
    let rt = from.rt();
    let next = async |deadline| before(rt, deadline, pipe.fill(from, left)).await.ok();
    match timeouts.to_server.listen(rt, timeouts.server, next).await {
        None => Err(Failure::ServerDataTimeout),
        Some(None) => Ok(None),
        Some(Some(Ok(0) | Err(_))) => Err(Failure::ServerAborted),
        Some(Some(Ok(n))) => Ok(Some(n)),
    }
}

async fn give(pipe: &mut Pipe, to: &Conn, timeout: Option<u64>) -> Result<usize, Failure> {
    let deadline = timeout.map_or(Millis::NEVER, |ms| to.rt().now().mono.plus(ms));
    match before(to.rt(), deadline, pipe.give(to)).await {
        Err(_) => Err(Failure::ClientDataTimeout),
        Ok(Err(_)) => Err(Failure::ClientAborted),
        Ok(Ok(n)) => Ok(n),
    }
}
