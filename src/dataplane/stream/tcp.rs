//! A TCP session: rules on the first bytes, a server, then bytes both ways until both sides have ended.

use super::super::connect::Link;
use super::super::relay::{Ended, Progress};
use super::super::session::Session;
use super::super::worker::Worker;
use super::super::{connect, log, persist, registry, relay, rules};
use super::Exchange;
use super::http::StreamTimeouts;
use super::termination::Failure;
use crate::base::buf::Block;
use crate::engine::Piece;
use crate::engine::task::before;
use crate::language::rules::Wait;
use crate::model::plan::ProxyIndex;
use crate::model::state::counters::ProcessCounter;
use std::pin::pin;

/// Serves the session; `pending` came with the handshakes before.
pub async fn run(s: &mut Session, pending: Piece) {
    let w = s.w.clone();
    let mut ex = w.exchanges.take();
    ex.begin(s, s.accepted);
    // Room for what content rules capture.
    log::capture_request(s, &mut ex);
    s.requests = 1;
    w.counts().process().add(ProcessCounter::CurrStreams, 1);
    w.counts().process().add(ProcessCounter::CumStreams, 1);
    let place = registry::enter(s, &ex);
    let result = {
        let work = pin!(serve(s, &mut ex, pending));
        registry::watched(&place, None, work).await
    };
    end(s, ex, result);
}

/// Goes on with a session of a former process, `begun` there. Its backend and server are those of `link`, and counted.
pub async fn go_on(s: &mut Session, mut ex: Box<Exchange>, link: Link, begun: Progress) {
    let w = s.w.clone();
    s.requests = 1;
    w.counts().process().add(ProcessCounter::CurrStreams, 1);
    let place = registry::enter(s, &ex);
    let timeouts = StreamTimeouts::of(s, &ex, link.proxy);
    let result = {
        let work = pin!(relay::run(s, &mut ex, &link, (Piece::Empty, Piece::Empty), &timeouts, begun));
        registry::watched(&place, None, work).await
    };
    drop(link);
    end(s, ex, result);
}

fn end(s: &Session, mut ex: Box<Exchange>, result: Result<Ended, Failure>) {
    let w = &s.w;
    match result {
        Ok(Ended::Moved) => leave(w, &mut ex),
        Ok(Ended::Regularly) => finish(s, &mut ex),
        Err(failure) => {
            ex.failure = Some(failure);
            finish(s, &mut ex);
        }
    }
    registry::leave(w, &ex);
    w.counts().process().sub(ProcessCounter::CurrStreams, 1);
    w.exchanges.give(ex);
}

/// Nothing more is counted here of a session that goes on elsewhere, or has not come to go on here.
pub fn leave(w: &Worker, ex: &mut Exchange) {
    ex.tracked.get_mut().release();
    ex.leave_server(w);
    ex.leave_backend(w);
}

async fn serve(s: &mut Session, ex: &mut Exchange, pending: Piece) -> Result<Ended, Failure> {
    let w = s.w.clone();
    let mut pending = pending;
    ex.request_ns = w.rt.now().nanos;
    if !w.plan.proxies[s.proxy].rules.tcp_request_content.is_empty() {
        pending = inspect(s, ex, s.proxy, pending).await?;
    }
    ex.input.extend_from_slice(pending.bytes());
    let Some(proxy) = rules::choose_backend(s, ex).await else { return Err(Failure::NoServer) };
    ex.enter_backend(&w, proxy);
    if proxy != s.proxy && !w.plan.proxies[proxy].rules.tcp_request_content.is_empty() {
        pending = inspect(s, ex, proxy, pending).await?;
    }
    ex.request_ns = w.rt.now().nanos;
    let link = connect::establish(&w, s, ex, proxy, None).await?;
    ex.connected_ns = w.rt.now().nanos;
    (ex.facts.server_src, ex.facts.server_dst) = link.transport.ends().unzip();
    log::note_connections(&w, s, ex, link.proxy, link.server);
    log::early(s, ex);
    let timeouts = StreamTimeouts::of(s, ex, proxy);
    ex.response_started = true;
    persist::answered(&w, link.proxy, s, ex).await;
    let begun = Progress::begins(s);
    relay::run(s, ex, &link, (pending, Piece::Empty), &timeouts, begun).await
}

/// Gathers first bytes until `tcp-request content` rules have made up their mind (manual 4.2 "inspect-delay").
async fn inspect(s: &Session, ex: &mut Exchange, proxy: ProxyIndex, pending: Piece) -> Result<Piece, Failure> {
    let w = &s.w;
    let tune = &w.plan.global.tune;
    let most = tune.buffer_room();
    let deadline = rules::inspect_deadline(s, proxy);
    let mut gathered: Option<Block> = None;
    let mut piece = pending;
    let mut start = 0;
    let mut ended = false;
    loop {
        let bytes = gathered.as_ref().map_or(piece.bytes(), |b| b.as_slice());
        let last = ended || bytes.len() >= most || w.rt.reached(deadline);
        match rules::inspect(s, ex, proxy, bytes, last, start) {
            rules::Inspected::Pass => break,
            rules::Inspected::Reject | rules::Inspected::Close => {
                ex.facts.termination = *b"PR--";
                return Err(Failure::Rejected);
            }
            rules::Inspected::Wait(Wait::Table, resume) => {
                ex.memo.wait().await;
                start = resume;
                continue;
            }
            rules::Inspected::Wait(Wait::Name, resume) => {
                ex.lookup.wait().await;
                start = resume;
                continue;
            }
            rules::Inspected::Wait(_, _) if last => break,
            // With more bytes all rules are evaluated anew: what a capture did not find before, it may find now.
            rules::Inspected::Wait(Wait::Payload, _) => start = 0,
            rules::Inspected::Wait(_, resume) => start = resume,
        }
        match before(&w.rt, deadline, s.transport.recv()).await {
            Err(_) => {}
            Ok(Ok(Some(more))) if gathered.is_none() && piece.bytes().is_empty() => piece = more,
            Ok(Ok(Some(more))) => {
                let block = gathered.get_or_insert_with(|| Block::copy_of(piece.bytes()));
                block.extend_from_slice(more.bytes());
            }
            Ok(Ok(None)) => ended = true,
            Ok(Err(_)) => return Err(Failure::ClientAborted),
        }
    }
    Ok(match gathered {
        Some(block) => Piece::Block(block, 0),
        None => piece,
    })
}

/// Counters and the log line.
fn finish(s: &Session, ex: &mut Exchange) {
    let w = &s.w;
    let now = w.rt.now();
    if let Some(failure) = ex.failure {
        let letters = failure.letters();
        ex.facts.termination[..2].copy_from_slice(&letters);
        log::count_failure(w, s, ex, failure);
    }
    ex.settle_times(w, s.proxy, now);
    log::final_counts(w, s, ex);
    let nothing = ex.facts.bytes_in == 0 && ex.facts.bytes_out == 0;
    if nothing && s.settings().options.dontlognull {
        ex.logged = true;
    }
    log::stream(s, ex);
    ex.count_tracked(s);
    ex.leave_server(w);
    ex.leave_backend(w);
}
