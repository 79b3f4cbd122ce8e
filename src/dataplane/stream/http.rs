//! One HTTP request and its response: read the head, run the rules, choose a server, pass the message on, bring the answer
//! back, tell the log. The order of phases is HAProxy's. The connections on both sides outlive it where they may.

use super::super::connect::Link;
use super::super::session::Session;
use super::super::worker::Worker;
use super::super::{cookie, log, registry, relay, rules};
use super::body::Body;
use super::download::Done;
use super::forward::forward;
use super::termination::Failure;
use super::{Exchange, Next, reply, request};
use crate::base::clock::Millis;
use crate::engine::frame::Frame;
use crate::engine::{Piece, Rt};
use crate::model::backend::Balance;
use crate::model::balance::url_param;
use crate::model::plan::ProxyIndex;
use crate::model::proxy::Timeouts;
use crate::model::state::counters::{BackendCounter, FrontendCounter, ProcessCounter};
use crate::model::stick_table::data::What;
use crate::proto::h1::error::Side;
use crate::proto::h1::framing::Framing;
use crate::proto::h1::parse::Message;
use crate::proto::http::head::Head;
use std::cell::Cell;
use std::pin::pin;

/// Serves the request whose first bytes are here.
pub async fn serve(s: &Session, first: Piece) -> Next {
    let w = s.w.clone();
    let mut ex = w.exchanges.take();
    ex.begin(s, w.rt.now());
    ex.facts.first_request = s.requests == 1;
    w.counts().process().add(ProcessCounter::CurrStreams, 1);
    w.counts().process().add(ProcessCounter::CumStreams, 1);
    let place = registry::enter(s, &ex);
    // It outlives the exchange: an answer of ours is followed by whatever stands behind the request's body.
    let mut body = Body::unread();
    let result = {
        let work = pin!(exchange(s, &mut ex, &mut body, first));
        registry::watched(&place, Some(&s.transport), work).await
    };
    let next = match result {
        Ok(next) => next,
        Err(Failure::ClientAborted) => {
            let failure = abort(&ex);
            reply::failure(s, &mut ex, &mut body, failure).await
        }
        Err(failure) => reply::failure(s, &mut ex, &mut body, failure).await,
    };
    finish(s, &mut ex);
    registry::leave(&w, &ex);
    w.counts().process().sub(ProcessCounter::CurrStreams, 1);
    w.exchanges.give(ex);
    next
}

/// What the client has left while it was done.
fn abort(ex: &Exchange) -> Failure {
    match (ex.response_started, ex.connected_ns) {
        (true, _) => Failure::ClientAborted,
        (false, 0) => Failure::AbortedInConnect,
        (false, _) => Failure::AbortedInResponse,
    }
}

/// A connection that ended, or ran out of time, before it said anything.
pub async fn empty_connection(s: &mut Session, timed_out: bool) {
    let w = s.w.clone();
    let options = &s.settings().options;
    if options.http_ignore_probes {
        return;
    }
    s.tracked().borrow().count(What::Request, 1);
    let mut ex = w.exchanges.take();
    ex.begin(s, s.accepted);
    if timed_out {
        w.counts().frontend(s.proxy).request(w.rt.now().mono);
        reply::failure(s, &mut ex, &mut Body::unread(), Failure::RequestTimeout).await;
        if options.dontlognull {
            ex.logged = true;
        }
        finish(s, &mut ex);
    } else {
        reply::failure(s, &mut ex, &mut Body::unread(), Failure::RequestAborted).await;
        if options.dontlognull {
            ex.logged = true;
        }
        finish(s, &mut ex);
    }
    w.exchanges.give(ex);
}

async fn exchange(s: &Session, ex: &mut Exchange, body: &mut Body, first: Piece) -> Result<Next, Failure> {
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
    *body = Body::new(&s.transport, message.framing, Side::Client, &request::limits(s), received.rest);
    if message.framing == Framing::Chunked && s.transport.stream().is_none() {
        // What came with the head is judged with it.
        body.look_ahead().map_err(|e| {
            ex.request_ns = 0;
            Failure::BadRequest(e)
        })?;
    }
    rules::unique_id(s, ex);
    body.expect_continue(message.expects_continue);
    if s.settings().options.http_buffer_request {
        Frame::new(buffer_request(s, ex, body)).await?;
    }
    if let Some(next) = rules::monitor(s, ex, body).await {
        return Ok(next);
    }
    if let Some(next) = rules::frontend(s, ex, body).await? {
        return Ok(next);
    }
    let Some(proxy) = rules::choose_backend(s, ex).await else {
        ex.request_ns = 0;
        return Err(if s.transport.is_broken() { Failure::Left } else { Failure::NoServer });
    };
    ex.enter_backend(&w, proxy);
    // What came before the backend was known counts for it too.
    w.counts().backend(proxy).add(BackendCounter::Reqbin, ex.facts.request_bytes_in);
    if proxy != s.proxy && w.plan.proxies[proxy].options.http_buffer_request {
        Frame::new(buffer_request(s, ex, body)).await?;
    }
    if let Some(next) = rules::backend(s, ex, body, proxy).await? {
        return Ok(next);
    }
    if let Balance::UrlParam { name, .. } = &w.plan.proxies[proxy].backend.balance
        && ex.request.method() == b"POST"
        && url_param::key(ex.request.uri(), name.as_bytes()).is_none()
    {
        // It may be in the form (manual 4.2 "balance"): looked for with and without `check_post` (observed).
        Frame::new(buffer_request(s, ex, body)).await?;
        ex.form_value.extend_from_slice(url_param::posted(&body.gathered, name.as_bytes()).unwrap_or_default());
    }
    if s.transport.is_broken() {
        // Its stream may have been reset with the request itself: no server is troubled.
        return Err(Failure::Left);
    }
    rules::standard_fields(s, ex, proxy);
    forward(s, ex, body, message, proxy).await
}

/// `option http-buffer-request` (manual 4.2): the whole body, or as much as a buffer holds, is there before the proxy's
/// rules run.
async fn buffer_request(s: &Session, ex: &mut Exchange, body: &mut Body) -> Result<(), Failure> {
    let most = s.w.plan.global.tune.buffer_room();
    let timeouts = &s.settings().timeouts;
    let wait = timeouts.http_request.or(timeouts.client);
    let deadline = wait.map_or(Millis::NEVER, |ms| ex.start.mono.plus(ms));
    request::gather(s, ex, body, most, deadline).await?;
    ex.request_ns = s.w.rt.now().nanos;
    Ok(())
}

fn count_request(w: &Worker, s: &Session) {
    w.counts().frontend(s.proxy).request(w.rt.now().mono);
    let counter = if s.transport.stream().is_some() { FrontendCounter::H2req } else { FrontendCounter::H1req };
    w.counts().frontend(s.proxy).add(counter, 1);
    w.counts().process().add(ProcessCounter::CumReq, 1);
    s.tracked().borrow().count(What::Request, 1);
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
    pub to_client: Served,
    pub to_server: Served,
}

/// What goes to a side: a sign of its life, like what comes from it (manual 4.2 "option independent-streams").
pub struct Served {
    counts: bool,
    /// A send is under way, which has a timeout of its own.
    sends: Cell<bool>,
    last: Cell<Millis>,
}

impl Served {
    fn new(independent: bool) -> Served {
        Served { counts: !independent, sends: Cell::new(false), last: Cell::default() }
    }

    pub async fn by<T>(&self, rt: &Rt, send: impl Future<Output = T>) -> T {
        self.sends.set(true);
        let sent = send.await;
        self.sends.set(false);
        self.last.set(rt.now().mono);
        sent
    }

    /// Waits for `next` of what the side says, as long as it is not silent for `timeout_ms`. `None`: it was.
    pub async fn listen<T>(
        &self,
        rt: &Rt,
        timeout_ms: Option<u64>,
        mut next: impl AsyncFnMut(Millis) -> Option<T>,
    ) -> Option<T> {
        let mut since = rt.now().mono;
        loop {
            let deadline = timeout_ms.map_or(Millis::NEVER, |ms| since.plus(ms));
            if let Some(said) = next(deadline).await {
                return Some(said);
            }
            since = self.after(rt, since)?;
        }
    }

    /// The last moment that it was, if that is after `since`.
    fn after(&self, rt: &Rt, since: Millis) -> Option<Millis> {
        let last = if self.sends.get() { rt.now().mono } else { self.last.get() };
        (self.counts && last > since).then_some(last)
    }
}

impl StreamTimeouts {
    pub fn of(s: &Session, ex: &Exchange, proxy: ProxyIndex) -> StreamTimeouts {
        let front: &Timeouts = &s.settings().timeouts;
        let back: &Timeouts = &s.w.plan.proxies[proxy].timeouts;
        let set = &ex.facts.timeouts;
        let independent =
            s.settings().options.independent_streams || s.w.plan.proxies[proxy].options.independent_streams;
        StreamTimeouts {
            client: set.client.or(front.client),
            server: set.server.or(back.server),
            tunnel: set.tunnel.or(back.tunnel).or(front.tunnel),
            client_fin: front.client_fin,
            server_fin: back.server_fin,
            to_client: Served::new(independent),
            to_server: Served::new(independent),
        }
    }
}

/// After the response: both connections go where they belong.
pub(super) async fn conclude(
    s: &Session,
    ex: &mut Exchange,
    link: Link,
    body: &mut Body,
    done: Done,
    timeouts: &StreamTimeouts,
) -> Next {
    let w = s.w.clone();
    if done.tunnel {
        let pending = std::mem::take(&mut body.pending);
        // It passes on what its sides sent before they left.
        ex.place.leaving.set(registry::Leaving::Unseen);
        let end = Frame::new(relay::tunnel(s, ex, &link, pending, done.rest, timeouts)).await;
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
    // What the client is to send again, unanswered, counts when it comes again (observed).
    let told = ex.failure != Some(Failure::NoResponseOnReused);
    if told {
        w.counts().frontend(s.proxy).response(ex.facts.status);
        if let Some(backend) = ex.backend {
            w.counts().backend(backend).add(BackendCounter::ReqTot, 1);
            w.counts().backend(backend).response(ex.facts.status);
        }
    }
    ex.settle_times(w, s.proxy, now);
    log::final_counts(w, s, ex);
    cookie::letters(s, ex);
    if told {
        log::stream(s, ex);
    }
    ex.count_tracked(s);
    ex.leave_server(w);
    ex.leave_backend(w);
}

/// Heads that are used for a moment and given back.
#[derive(Default)]
pub struct Heads {
    kept: std::cell::RefCell<Vec<Head>>,
    /// Their memory.
    bytes: Cell<usize>,
}

/// Bytes of memory that a worker keeps in heads: those of some hundred usual requests, which HTTP/2 may bring in one
/// turn.
const HEADS_KEPT: usize = 256 << 10;

impl Heads {
    pub fn take(&self) -> Head {
        let head = self.kept.borrow_mut().pop().unwrap_or_default();
        self.bytes.set(self.bytes.get() - head.capacity());
        head
    }

    pub fn give(&self, mut head: Head) {
        let bytes = self.bytes.get() + head.capacity();
        if head.capacity() > 0 && bytes <= HEADS_KEPT {
            head.clear();
            self.kept.borrow_mut().push(head);
            self.bytes.set(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(value: &[u8]) -> Head {
        let mut head = Head::response(200, b"", crate::proto::http::head::Version::Http2);
        head.append(b"x", value);
        head
    }

    #[test]
    fn heads_of_a_burst_keep_their_memory() {
        let heads = Heads::default();
        for _ in 0..300 {
            heads.give(used(b"value"));
        }
        for _ in 0..300 {
            let head = heads.take();
            assert!(head.capacity() > 0 && head.is_empty());
        }
        assert_eq!((heads.take().capacity(), heads.bytes.get()), (0, 0));
    }

    #[test]
    fn heads_keep_no_more_memory_than_their_bound() {
        let heads = Heads::default();
        for _ in 0..100 {
            heads.give(used(&[b'a'; 15_000]));
            heads.give(Head::default());
        }
        let kept = heads.kept.borrow();
        assert_eq!(kept.iter().map(Head::capacity).sum::<usize>(), heads.bytes.get());
        assert!((10..100).contains(&kept.len()) && heads.bytes.get() <= HEADS_KEPT);
    }
}
