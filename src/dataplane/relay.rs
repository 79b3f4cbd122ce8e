//! Two connections, bytes both ways: TCP mode and tunnels. Each direction ends on its own (half-close); what passes is
//! counted, and silence is measured on each side. In TCP mode all of it can come to rest, with no byte in our hands, and go
//! on in the process that follows ([`transfer`]).

use super::connect::Link;
use super::registry::Moves;
use super::rules;
use super::session::Session;
use super::stream::Exchange;
use super::stream::http::StreamTimeouts;
use super::stream::termination::Failure;
use super::transfer::{self, Outcome, account};
use super::transport::{Patience, SendError, Transport};
use super::worker::Worker;
use crate::base::buf::Block;
use crate::base::clock::Millis;
use crate::engine::frame::Frame;
use crate::engine::splice::Pipe;
use crate::engine::task::before;
use crate::engine::{Conn, Piece, Rt};
use crate::language::rules::Wait;
use crate::model::plan::ProxyIndex;
use crate::model::proxy::Mode;
use crate::model::state::counters::ProcessCounter;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;

/// How often bytes are counted with `option contstats` (manual 4.2 says typically every 5 seconds).
const CONTSTATS_MS: u64 = 5000;

/// How far a relay has come: what the process that follows goes on with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last moment something came from or went to a side, in milliseconds on the stream's clock.
    pub client_active: u64,
    pub server_active: u64,
    /// Bytes since they were counted last.
    pub from_client: u64,
    pub to_server: u64,
    pub from_server: u64,
    pub to_client: u64,
    pub client_ended: bool,
    pub server_ended: bool,
}

/// How a relay ends without a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Regularly,
    /// Another process goes on with it.
    Moved,
}

/// What is known of a relay while it runs.
struct Relay<'a> {
    rt: &'a Rt,
    worker: &'a Worker,
    client: &'a Transport,
    server: &'a Transport,
    /// How far the stream's clock is ahead of this process's, in milliseconds.
    clock_ms: u64,
    /// The last moment something came from or went to a side, on the stream's clock.
    client_active: Cell<Millis>,
    server_active: Cell<Millis>,
    /// Bytes since they were counted last.
    from_client: Cell<u64>,
    to_server: Cell<u64>,
    from_server: Cell<u64>,
    to_client: Cell<u64>,
    client_ended: Cell<bool>,
    server_ended: Cell<bool>,
    timeouts: &'a StreamTimeouts,
    splices: Splices,
    giving: [Cell<Giving>; 2],
    /// A direction is to receive nothing more for now,
    stops: [Cell<bool>; 2],
    /// and has stopped, with nothing received that was not sent.
    rests: [Cell<bool>; 2],
    /// The process that follows is being asked: nothing may happen here meanwhile.
    asks: Cell<bool>,
}

/// Directions that may go through a pipe (manual 4.2 "option splice-auto" and its kin).
#[derive(Clone, Copy, Default)]
struct Splices {
    up: bool,
    down: bool,
    /// `option independent-streams`: what is sent to a side says nothing of its life.
    independent: bool,
}

impl Splices {
    fn of(s: &Session, link: &Link) -> Splices {
        let (front, back) = (&s.settings().options, &s.w.plan.proxies[link.proxy].options);
        let plain = s.transport.plain().is_some() && link.transport.plain().is_some();
        let allowed = plain && !s.w.plan.global.nosplice;
        let auto = front.splice_auto || back.splice_auto;
        Splices {
            up: allowed && (auto || front.splice_request || back.splice_request),
            down: allowed && (auto || front.splice_response || back.splice_response),
            independent: front.independent_streams || back.independent_streams,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Direction {
    Up,
    Down,
}

/// What becomes of what a direction has received; its source is not read meanwhile.
#[derive(Clone, Copy, Default, PartialEq)]
enum Giving {
    #[default]
    Nothing,
    /// The send sees for itself whether its receiver takes it.
    Sends,
    /// It goes through a pipe, or to one of many streams.
    Passes,
}

/// How a transfer through a pipe went.
enum Spliced {
    Ended,
    Unable,
    Received,
    Lost,
    Stuck,
}

#[derive(Debug)]
enum Broken {
    Client,
    Server,
    /// It took nothing for too long of what this direction brings.
    Stuck(Direction),
    /// By a rule on what the server says; without a failure where it only closes.
    ByRule(Option<Failure>),
}

/// Whose answer `tcp-response content` rules look at: the session, its stream and the backend.
type Inspected<'a> = (&'a Session, &'a RefCell<&'a mut Exchange>, ProxyIndex);

/// A tunnel after `101` or a CONNECT: the failure that ended it, if one did.
pub async fn tunnel(
    s: &Session,
    ex: &mut Exchange,
    link: &Link,
    from_client: Piece,
    from_server: Piece,
    timeouts: &StreamTimeouts,
) -> Option<Failure> {
    let begun = Progress::begins(s);
    run(s, ex, link, (from_client, from_server), timeouts, begun).await.err()
}

/// Relays from where `begun` says until both directions have ended, something failed or another process goes on.
///
/// # Errors
/// What failed.
pub async fn run(
    s: &Session,
    ex: &mut Exchange,
    link: &Link,
    (from_client, from_server): (Piece, Piece),
    timeouts: &StreamTimeouts,
    begun: Progress,
) -> Result<Ended, Failure> {
    let now = s.w.rt.now().mono;
    let relay = Relay {
        rt: &s.w.rt,
        worker: &s.w,
        client: &s.transport,
        server: &link.transport,
        clock_ms: ex.clock_ns / 1_000_000,
        client_active: Cell::new(Millis(begun.client_active)),
        server_active: Cell::new(Millis(begun.server_active)),
        from_client: Cell::new(begun.from_client),
        to_server: Cell::new(begun.to_server),
        from_server: Cell::new(begun.from_server),
        to_client: Cell::new(begun.to_client),
        client_ended: Cell::new(begun.client_ended),
        server_ended: Cell::new(begun.server_ended),
        timeouts,
        splices: Splices::of(s, link),
        giving: Default::default(),
        stops: Default::default(),
        rests: Default::default(),
        asks: Cell::new(false),
    };
    // HAProxy 3.4 evaluates these rules in TCP mode alone.
    let inspects =
        s.settings().mode != Mode::Http && !s.w.plan.proxies[link.proxy].rules.tcp_response_content.is_empty();
    let ex = RefCell::new(ex);
    let inspected = if inspects && !begun.server_ended { Some((s, &ex, link.proxy)) } else { None };
    let moving = relay.moving(s, &ex, link);
    let mut both = pin!(relay.both(from_client, from_server, inspected, moving));
    let continuous = s.settings().options.contstats;
    let mut counted = now;
    poll_fn(|cx| {
        let polled = both.as_mut().poll(cx);
        let now = relay.rt.now().mono;
        // What has not been counted is counted where the stream goes on.
        if polled == Poll::Ready(Ok(Ended::Moved)) {
            return polled;
        }
        if polled.is_ready() || continuous && now.since(counted) >= CONTSTATS_MS {
            counted = now;
            let mut ex = ex.borrow_mut();
            ex.count_request_bytes(&s.w, s.proxy, s.bind, relay.from_client.take());
            ex.count_request_sent(&s.w, s.proxy, s.bind, relay.to_server.take());
            ex.count_response_bytes(&s.w, s.proxy, s.bind, relay.from_server.take());
            ex.count_response_sent(&s.w, s.proxy, s.bind, relay.to_client.take());
        }
        polled
    })
    .await
}

impl Progress {
    /// Of a relay that begins now.
    pub fn begins(s: &Session) -> Progress {
        let now = s.w.rt.now().mono.0;
        Progress { client_active: now, server_active: now, ..Progress::default() }
    }
}

/// Counts a pipe while it lives.
pub(super) struct PipeCount<'a>(&'a Worker);

impl<'a> PipeCount<'a> {
    /// `None`: there are as many pipes as may be (manual 3.2 "maxpipes"). Workers that ask at the same moment may pass the
    /// bound by one each.
    pub(super) fn of(w: &'a Worker) -> Option<PipeCount<'a>> {
        let quarter = || w.board.live.process.hard_maxconn.load(Ordering::Relaxed) / 4;
        let most = w.plan.global.maxpipes.unwrap_or_else(quarter);
        if w.board.process(ProcessCounter::PipesUsed) >= u64::from(most) {
            return None;
        }
        w.counts().process().add(ProcessCounter::PipesUsed, 1);
        Some(PipeCount(w))
    }
}

impl Drop for PipeCount<'_> {
    fn drop(&mut self) {
        self.0.counts().process().sub(ProcessCounter::PipesUsed, 1);
    }
}

impl Relay<'_> {
    async fn both(
        &self,
        up: Piece,
        down: Piece,
        inspected: Option<Inspected<'_>>,
        moving: impl Future<Output = ()>,
    ) -> Result<Ended, Failure> {
        let inspects = Cell::new(inspected.is_some());
        let down = async {
            let down = match inspected {
                Some(what) => self.inspect(what, down).await?,
                None => down,
            };
            inspects.set(false);
            self.pump(Direction::Down, down).await
        };
        let (mut up, mut down) = (pin!(self.pump(Direction::Up, up)), pin!(down));
        let mut moving = pin!(moving);
        let (mut up_done, mut down_done) = (self.client_ended.get(), self.server_ended.get());
        poll_fn(|cx| {
            // First, so that what stops or goes on does so in this turn.
            if !inspects.get() && moving.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(Ended::Moved));
            }
            if !up_done && let Poll::Ready(result) = up.as_mut().poll(cx) {
                up_done = true;
                if let Err(broken) = result {
                    return Poll::Ready(self.broken(broken));
                }
            }
            if !down_done && let Poll::Ready(result) = down.as_mut().poll(cx) {
                down_done = true;
                if let Err(broken) = result {
                    return Poll::Ready(self.broken(broken));
                }
            }
            if up_done && down_done {
                return Poll::Ready(Ok(Ended::Regularly));
            }
            match self.expired() {
                Some(failure) if !self.asks.get() => Poll::Ready(Err(failure)),
                _ => Poll::Pending,
            }
        })
        .await
    }

    /// What a relay that broke ends with.
    fn broken(&self, broken: Broken) -> Result<Ended, Failure> {
        // RFC 9113 §8.5, and HAProxy with clients of every protocol: to the server an end would say that all has come.
        if matches!(broken, Broken::Client) && !self.client_ended.get() {
            self.server.abort();
        }
        failure(broken).map_or(Ok(Ended::Regularly), Err)
    }

    /// Waits until the session is to go on in the process that follows, and lets it; comes back once it has gone there. It
    /// goes on here if it does not come to rest soon, or is not taken.
    async fn moving(&self, s: &Session, ex: &RefCell<&mut Exchange>, link: &Link) {
        let place = ex.borrow().place.clone();
        let (Some(client), Some(server)) = (self.client.plain(), self.server.plain()) else {
            return std::future::pending().await;
        };
        // Whoever bounds how many reloads a connection may outlive counts on its being ended with its process.
        if s.settings().mode == Mode::Http || s.w.plan.global.mworker_max_reloads.is_some() {
            return std::future::pending().await;
        }
        place.moves.set(Moves::May);
        let mut order = [Direction::Up, Direction::Down];
        loop {
            poll_fn(|_| if place.moves.get() == Moves::Asked { Poll::Ready(()) } else { Poll::Pending }).await;
            let then = match Frame::new(self.move_on(s, ex, link, order, [client, server])).await {
                Outcome::Taken => return,
                Outcome::Later => Moves::May,
                Outcome::Never => Moves::Stays,
            };
            transfer::not_asked(&s.w, &place, then);
            order.reverse();
        }
    }

    /// Tries to let the session go on in the process that follows. Not taken, both directions go on here. They stop one after
    /// the other: a peer may take no more of the one while nobody takes what it sends on the other.
    async fn move_on(
        &self,
        s: &Session,
        ex: &RefCell<&mut Exchange>,
        link: &Link,
        order: [Direction; 2],
        connections: [&Conn; 2],
    ) -> Outcome {
        let mut outcome = Outcome::Later;
        if self.comes_to_rest(order).await {
            self.asks.set(true);
            let account = account::write(s, &ex.borrow(), link, self.progress());
            outcome = transfer::offer(&s.w, account, connections).await;
        } else {
            s.w.transfers.ask_soon();
        }
        self.asks.set(false);
        self.stops.iter().for_each(|stops| stops.set(outcome == Outcome::Taken));
        outcome
    }

    /// Whether both directions come to rest in time.
    async fn comes_to_rest(&self, order: [Direction; 2]) -> bool {
        for (direction, patience_ms) in order.into_iter().zip(transfer::REST_MS) {
            self.stops[direction as usize].set(true);
            let deadline = self.rt.now().mono.plus(patience_ms);
            let at_rest = poll_fn(|_| if self.is_at_rest(direction) { Poll::Ready(()) } else { Poll::Pending });
            if before(self.rt, deadline, at_rest).await.is_err() {
                return false;
            }
        }
        true
    }

    fn is_at_rest(&self, direction: Direction) -> bool {
        let ended = if direction == Direction::Up { &self.client_ended } else { &self.server_ended };
        self.rests[direction as usize].get() || ended.get()
    }

    fn progress(&self) -> Progress {
        Progress {
            client_active: self.client_active.get().0,
            server_active: self.server_active.get().0,
            from_client: self.from_client.get(),
            to_server: self.to_server.get(),
            from_server: self.from_server.get(),
            to_client: self.to_client.get(),
            client_ended: self.client_ended.get(),
            server_ended: self.server_ended.get(),
        }
    }

    /// A direction stops until it is to go on.
    async fn rest(&self, direction: Direction) {
        let (stops, rests) = (&self.stops[direction as usize], &self.rests[direction as usize]);
        rests.set(true);
        self.rt.wake(self.rt.current());
        poll_fn(|_| if stops.get() { Poll::Pending } else { Poll::Ready(()) }).await;
        rests.set(false);
    }

    /// What `wait` brings; `None`: it was given up, since nothing more is to be received for now.
    async fn unless_it_stops<T>(&self, direction: Direction, wait: impl Future<Output = T>) -> Option<T> {
        let mut wait = pin!(wait);
        poll_fn(|cx| match self.stops[direction as usize].get() {
            true => Poll::Ready(None),
            false => wait.as_mut().poll(cx).map(Some),
        })
        .await
    }

    /// The next bytes of a direction. Whenever it stops, all that has arrived comes first.
    async fn next(&self, direction: Direction, from: &Transport) -> io::Result<Option<Piece>> {
        loop {
            if let Some(received) = self.unless_it_stops(direction, from.recv()).await {
                return received;
            }
            if let Some(conn) = from.plain() {
                conn.pause().await;
                if !conn.is_quiet() {
                    return from.recv().await;
                }
            }
            self.rest(direction).await;
        }
    }

    /// Gathers the server's first bytes until `tcp-response content` rules have made up their mind (manual 4.2 "tcp-response
    /// inspect-delay"); the client's bytes go on meanwhile. A buffer at most is gathered.
    async fn inspect(&self, (s, ex, proxy): Inspected<'_>, first: Piece) -> Result<Piece, Broken> {
        let (rt, rules) = (self.rt, &s.w.plan.proxies[proxy].rules);
        let most = s.w.plan.global.tune.buffer_room();
        let deadline = rt.now().mono.plus(rules.response_inspect_delay_ms.unwrap_or(0));
        let mut gathered = Block::copy_of(first.bytes());
        let mut ended = false;
        loop {
            // Without bytes there is nothing to judge yet.
            if !gathered.is_empty() || ended {
                let last = ended || gathered.len() >= most || rt.reached(deadline);
                let verdict = rules::inspect_response(s, &mut ex.borrow_mut(), proxy, &gathered, last);
                match verdict {
                    rules::Inspected::Pass => return Ok(Piece::Block(gathered, 0)),
                    refused @ (rules::Inspected::Reject | rules::Inspected::Close) => {
                        self.from_server.set(self.from_server.get() + gathered.len() as u64);
                        let rejects = matches!(refused, rules::Inspected::Reject);
                        return Err(Broken::ByRule(rejects.then_some(Failure::ResponseRejected)));
                    }
                    rules::Inspected::Wait(Wait::Table, _) => {
                        poll_fn(|_| if ex.borrow().memo.is_answered() { Poll::Ready(()) } else { Poll::Pending })
                            .await;
                        continue;
                    }
                    rules::Inspected::Wait(..) if last => return Ok(Piece::Block(gathered, 0)),
                    rules::Inspected::Wait(..) => {}
                }
            }
            let deadline = if gathered.is_empty() { Millis::NEVER } else { deadline };
            match before(rt, deadline, self.server.recv()).await {
                Err(_) => {}
                Ok(Ok(Some(more))) => {
                    self.server_active.set(self.now());
                    gathered.extend_from_slice(more.bytes());
                }
                Ok(Ok(None)) => ended = true,
                Ok(Err(_)) => return Err(Broken::Server),
            }
        }
    }

    /// Moves one direction's bytes until its end, which is passed on.
    async fn pump(&self, direction: Direction, first: Piece) -> Result<(), Broken> {
        let (from, to) = match direction {
            Direction::Up => (self.client, self.server),
            Direction::Down => (self.server, self.client),
        };
        let (received, lost) = match direction {
            Direction::Up => (Broken::Client, Broken::Server),
            Direction::Down => (Broken::Server, Broken::Client),
        };
        let mut piece = first;
        let mut full = 0u32;
        loop {
            if piece.bytes().is_empty() {
                piece = match self.next(direction, from).await {
                    Ok(Some(piece)) => piece,
                    Ok(None) => break,
                    Err(_) => return Err(received),
                };
            }
            let n = piece.bytes().len();
            // Buffers that come back full ask for larger ones.
            if n >= crate::engine::driver::BUFFER_SIZE[0] {
                full += 1;
                if full == 2 {
                    from.expect_bulk();
                }
            }
            let bulk = n >= crate::engine::driver::BUFFER_SIZE[1] / 2;
            self.moved(direction, n as u64);
            match self.send(direction, to, std::mem::take(&mut piece)).await {
                Ok(()) => self.delivered(direction, n),
                Err(SendError::TimedOut) => return Err(Broken::Stuck(direction)),
                Err(SendError::Broken(_)) => return Err(lost),
            }
            let allowed = if direction == Direction::Up { self.splices.up } else { self.splices.down };
            if bulk && allowed {
                match self.splice(direction, from, to).await {
                    Spliced::Ended => break,
                    // No pipe to be had, or an engine without: on with buffers.
                    Spliced::Unable => full = 0,
                    Spliced::Received => return Err(received),
                    Spliced::Lost => return Err(lost),
                    Spliced::Stuck => return Err(Broken::Stuck(direction)),
                }
            }
        }
        match direction {
            Direction::Up => self.client_ended.set(true),
            Direction::Down => self.server_ended.set(true),
        }
        to.shutdown_write().await;
        Ok(())
    }

    /// Sends all of `piece`, as long as its receiver takes some of it.
    async fn send(&self, direction: Direction, to: &Transport, piece: Piece) -> Result<(), SendError> {
        self.gives(direction, if to.conn().is_some() { Giving::Sends } else { Giving::Passes });
        let sent = match to.conn() {
            Some(conn) => to.send_on(conn, piece.into(), &Receiver { relay: self, direction }).await,
            None => to.send(piece.into(), None).await,
        };
        self.giving[direction as usize].set(Giving::Nothing);
        sent
    }

    /// A direction has something for its receiver. One that nobody reads meanwhile has its time from now on: what it may
    /// have sent since is not known.
    fn gives(&self, direction: Direction, giving: Giving) {
        let (other, active) = match direction {
            Direction::Up => (Direction::Down, &self.server_active),
            Direction::Down => (Direction::Up, &self.client_active),
        };
        if self.giving[other as usize].get() != Giving::Nothing {
            active.set(self.now());
        }
        self.giving[direction as usize].set(giving);
    }

    /// Moves the rest of one direction through a pipe.
    async fn splice(&self, direction: Direction, from: &Transport, to: &Transport) -> Spliced {
        let (Some(source), Some(sink)) = (from.plain(), to.plain()) else { return Spliced::Unable };
        source.pause().await;
        while let Some(lease) = source.take_queued() {
            let n = lease.len();
            self.moved(direction, n as u64);
            if let Some(metered) = from.metered() {
                metered.received(n as u64);
            }
            match self.send(direction, to, Piece::Lease(lease)).await {
                Ok(()) => self.delivered(direction, n),
                Err(SendError::TimedOut) => return Spliced::Stuck,
                Err(SendError::Broken(_)) => return Spliced::Lost,
            }
        }
        if source.has_ended() {
            return Spliced::Unable;
        }
        let Some(_counted) = PipeCount::of(self.worker) else { return Spliced::Unable };
        let Ok(mut pipe) = Pipe::new(self.rt) else { return Spliced::Unable };
        loop {
            let n = match self.unless_it_stops(direction, pipe.fill(source, u64::MAX)).await {
                None => {
                    self.rest(direction).await;
                    continue;
                }
                Some(None) => return Spliced::Unable,
                Some(Some(Ok(0))) => return Spliced::Ended,
                Some(Some(Ok(n))) => n,
                Some(Some(Err(_))) => return Spliced::Received,
            };
            self.moved(direction, n as u64);
            if let Some(metered) = from.metered() {
                metered.spliced_in(n as u64);
            }
            self.gives(direction, Giving::Passes);
            while pipe.held() > 0 {
                match pipe.give(sink).await {
                    Ok(given) => {
                        if let Some(metered) = to.metered() {
                            metered.spliced_out(given as u64);
                        }
                        self.delivered(direction, given);
                    }
                    Err(_) => return Spliced::Lost,
                }
            }
            self.giving[direction as usize].set(Giving::Nothing);
            pipe.take_turns(n).await;
        }
    }

    /// This moment on the stream's clock.
    fn now(&self) -> Millis {
        self.rt.now().mono.plus(self.clock_ms)
    }

    fn moved(&self, direction: Direction, n: u64) {
        let now = self.now();
        match direction {
            Direction::Up => {
                self.client_active.set(now);
                self.from_client.set(self.from_client.get() + n);
            }
            Direction::Down => {
                self.server_active.set(now);
                self.from_server.set(self.from_server.get() + n);
            }
        }
    }

    fn delivered(&self, direction: Direction, n: usize) {
        let to = match direction {
            Direction::Up => &self.to_server,
            Direction::Down => &self.to_client,
        };
        to.set(to.get() + n as u64);
        self.taken(direction);
        // Its source is read again from now on.
        match direction {
            Direction::Up => self.client_active.set(self.now()),
            Direction::Down => self.server_active.set(self.now()),
        }
    }

    /// The receiver of a direction has taken something.
    fn taken(&self, direction: Direction) {
        if self.splices.independent {
            return;
        }
        let now = self.now();
        match direction {
            Direction::Up => self.server_active.set(now),
            Direction::Down => self.client_active.set(now),
        }
    }

    /// The side that has been silent for too long.
    fn expired(&self) -> Option<Failure> {
        let [up, down] = self.giving.each_ref().map(Cell::get);
        let [client, server] = self.ends();
        // Who is given something is to take it; who is not is to say something, if anybody reads it.
        let is_due = |to: Giving, from: Giving| match to {
            Giving::Sends => false,
            Giving::Passes => true,
            Giving::Nothing => from == Giving::Nothing,
        };
        if is_due(down, up) && self.rt.reached(client) {
            return Some(Failure::ClientDataTimeout);
        }
        if is_due(up, down) && self.rt.reached(server) {
            return Some(Failure::ServerDataTimeout);
        }
        None
    }

    /// When client and server will have been silent for too long (manual 4.2 "timeout client", "tunnel", "client-fin").
    fn ends(&self) -> [Millis; 2] {
        let (timeouts, tunnel) = (self.timeouts, self.timeouts.tunnel);
        // A side that has ended is only waited for as long as its fin timeout says.
        let client = if self.client_ended.get() { timeouts.client_fin } else { None };
        let server = if self.server_ended.get() { timeouts.server_fin } else { None };
        let client = client.or(tunnel).or(timeouts.client);
        let server = server.or(tunnel).or(timeouts.server);
        // A tunnel is silent when nothing passes in either direction (manual 4.2 "timeout tunnel").
        let (client_active, server_active) = (self.client_active.get(), self.server_active.get());
        let both = client_active.max(server_active);
        let since = |active: Millis, ended: bool| if tunnel.is_some() && !ended { both } else { active };
        let deadline = |active: Millis, ms: Option<u64>| {
            ms.map_or(Millis::NEVER, |ms| Millis(active.plus(ms).0.saturating_sub(self.clock_ms)))
        };
        [
            deadline(since(client_active, self.client_ended.get()), client),
            deadline(since(server_active, self.server_ended.get()), server),
        ]
    }
}

/// Who a direction's bytes go to, as its sends see it.
struct Receiver<'a> {
    relay: &'a Relay<'a>,
    direction: Direction,
}

impl Patience for Receiver<'_> {
    fn ends(&self) -> Millis {
        let [client, server] = self.relay.ends();
        if self.direction == Direction::Up { server } else { client }
    }

    fn renew(&self) {
        self.relay.taken(self.direction);
    }
}

fn failure(broken: Broken) -> Option<Failure> {
    match broken {
        Broken::Client => Some(Failure::ClientAborted),
        Broken::Server => Some(Failure::ServerAborted),
        Broken::Stuck(Direction::Up) => Some(Failure::ServerDataTimeout),
        Broken::Stuck(Direction::Down) => Some(Failure::ClientDataTimeout),
        Broken::ByRule(failure) => failure,
    }
}
