//! Counting: one writer's handles on its own cells, with the events of a session's life as methods. Reading is the board's.

use super::{super::cell::*, super::counters::*, Block, Board, FrontendRate, ProcessRate};
use crate::{
    base::{clock::Millis, counter::Counter, rate::Seconds},
    model::plan::{ProxyIndex, ServerIndex},
};
use std::sync::OnceLock;

/// One writer's view of the board: the only way to count.
#[derive(Debug, Clone, Copy)]
pub struct Worker<'b> {
    pub(super) board: &'b Board,
    pub(super) block: &'b Block,
}

impl<'b> Worker<'b> {
    /// `proxy` must be of the plan this board was made from.
    #[inline]
    pub fn frontend(self, proxy: ProxyIndex) -> Frontend<'b> {
        Frontend { board: self.board, proxy, cell: self.block.proxies[proxy].frontend.cell() }
    }

    #[inline]
    pub fn listener(self, proxy: ProxyIndex, bind: usize) -> Listener<'b> {
        Listener { board: self.board, proxy, bind, cell: self.block.proxies[proxy].listeners[bind].cell() }
    }

    #[inline]
    pub fn backend(self, proxy: ProxyIndex) -> Backend<'b> {
        Backend { board: self.board, proxy, cell: self.block.proxies[proxy].backend.cell() }
    }

    #[inline]
    pub fn server(self, proxy: ProxyIndex, server: ServerIndex) -> Server<'b> {
        let block = &self.block.proxies[proxy];
        let cell = block.servers.cell(server).unwrap_or(&block.nowhere).cell();
        Server { board: self.board, proxy, server, cell }
    }

    #[inline]
    pub fn process(self) -> Process<'b> {
        Process { board: self.board, cell: &self.block.process }
    }
}

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident { $($key:ident: $type:ty),* } $cell:ty, $id:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $name<'b> {
            board: &'b Board,
            $($key: $type,)*
            cell: &'b $cell,
        }

        impl<'b> $name<'b> {
            #[inline]
            pub fn add(self, id: $id, n: u64) {
                self.cell.counters.of(id).add(n);
            }

            /// For gauges.
            #[inline]
            pub fn sub(self, id: $id, n: u64) {
                self.cell.counters.of(id).sub(n);
            }

            /// For gauges that are measured and for moments.
            #[inline]
            pub fn set(self, id: $id, n: u64) {
                self.cell.counters.of(id).set(n);
            }
        }
    };
}

handle!(
    /// Counts for one frontend.
    Frontend { proxy: ProxyIndex } FrontendCell, FrontendCounter
);
handle!(
    /// Counts for one `bind` line.
    Listener { proxy: ProxyIndex, bind: usize } ListenerCell, ListenerCounter
);
handle!(
    /// Counts for one backend.
    Backend { proxy: ProxyIndex } BackendCell, BackendCounter
);
handle!(
    /// Counts for one server.
    Server { proxy: ProxyIndex, server: ServerIndex } ServerCell, ServerCounter
);
handle!(
    /// Counts for the process.
    Process {} ProcessCell, ProcessCounter
);

macro_rules! responses {
    ($($name:ident $id:ident),+) => {
        $(impl $name<'_> {
            /// The final status of a response: `hrsp_*`.
            #[inline]
            pub fn response(self, status: u16) {
                let id = match status / 100 {
                    1 => $id::Hrsp1xx,
                    2 => $id::Hrsp2xx,
                    3 => $id::Hrsp3xx,
                    4 => $id::Hrsp4xx,
                    5 => $id::Hrsp5xx,
                    _ => $id::HrspOther,
                };
                self.add(id, 1);
            }
        })+
    };
}

responses!(Frontend FrontendCounter, Backend BackendCounter, Server ServerCounter);

impl Frontend<'_> {
    /// A connection came in (before `tcp-request connection` rules): `conn_tot`, `conn_rate`.
    #[inline]
    pub fn connection(self, now: Millis) {
        use FrontendCounter::*;
        self.add(ConnTot, 1);
        if self.cell.connection_rate.add(1, now) {
            self.board.raise(self.cell.counters.of(ConnRateMax), self.recent(FrontendRate::Connections, now));
        }
    }

    /// A connection has a place: `scur`, `smax`, `rate`.
    #[inline]
    pub fn session(self, now: Millis) {
        if self.cell.session_rate.add(1, now) {
            let maximum = self.cell.counters.of(FrontendCounter::RateMax);
            self.board.raise(maximum, self.recent(FrontendRate::Sessions, now));
        }
        self.session_again(now);
    }

    /// One that a former process has counted has its place here: `scur`, `smax`.
    #[inline]
    pub fn session_again(self, now: Millis) {
        use FrontendCounter::*;
        self.add(Scur, 1);
        if self.cell.scur_peak.is_new(self.cell.counters.of(Scur).get(), now) {
            self.board.raise(self.cell.counters.of(Smax), self.board.frontend(self.proxy, Scur));
        }
    }

    /// What stands before a session is over, and no rule has refused it: `stot`.
    #[inline]
    pub fn established(self) {
        self.add(FrontendCounter::Stot, 1);
    }

    /// A session that [`Frontend::session`] began has ended.
    #[inline]
    pub fn session_ended(self) {
        self.sub(FrontendCounter::Scur, 1);
    }

    /// A request: `req_tot`, `req_rate`.
    #[inline]
    pub fn request(self, now: Millis) {
        use FrontendCounter::*;
        self.add(ReqTot, 1);
        if self.cell.request_rate.add(1, now) {
            self.board.raise(self.cell.counters.of(ReqRateMax), self.recent(FrontendRate::Requests, now));
        }
    }

    /// How long a request took from its first byte, and the TLS handshake of a connection.
    #[inline]
    pub fn times(self, times: &Times) {
        record(&self.cell.latency, times);
    }

    pub fn tls_handshake(self, us: u64) {
        handshake(&self.cell.latency, us);
    }

    /// Sessions, connections or requests a second over all workers: for `rate-limit sessions`.
    pub fn rate(self, which: FrontendRate, now: Millis) -> u32 {
        self.board.rates(now, |b| Some(which.of(b.proxies.get(self.proxy)?.frontend.peek()?))).0
    }

    fn recent(self, which: FrontendRate, now: Millis) -> u64 {
        self.board.rates(now, |b| Some(which.of(b.proxies.get(self.proxy)?.frontend.peek()?))).1 as u64
    }
}

impl Listener<'_> {
    #[inline]
    pub fn session(self, now: Millis) {
        self.add(ListenerCounter::Stot, 1);
        self.session_again(now);
    }

    /// One that a former process has counted.
    #[inline]
    pub fn session_again(self, now: Millis) {
        use ListenerCounter::*;
        self.add(Scur, 1);
        if self.cell.scur_peak.is_new(self.cell.counters.of(Scur).get(), now) {
            self.board.raise(self.cell.counters.of(Smax), self.board.listener(self.proxy, self.bind, Scur));
        }
    }

    #[inline]
    pub fn session_ended(self) {
        self.sub(ListenerCounter::Scur, 1);
    }
}

impl Backend<'_> {
    /// A stream was given to this backend: `stot`, `scur`, `smax`, `rate`.
    #[inline]
    pub fn session(self, now: Millis) {
        use BackendCounter::*;
        self.add(Stot, 1);
        if self.cell.session_rate.add(1, now) {
            let recent = self.board.rates(now, |b| Some(&b.proxies.get(self.proxy)?.backend.peek()?.session_rate)).1;
            self.board.raise(self.cell.counters.of(RateMax), recent as u64);
        }
        self.session_again(now);
    }

    /// One that a former process has counted: `scur`, `smax`.
    #[inline]
    pub fn session_again(self, now: Millis) {
        use BackendCounter::*;
        self.add(Scur, 1);
        if self.cell.scur_peak.is_new(self.cell.counters.of(Scur).get(), now) {
            self.board.raise(self.cell.counters.of(Smax), self.board.backend(self.proxy, Scur));
        }
    }

    #[inline]
    pub fn session_ended(self) {
        self.sub(BackendCounter::Scur, 1);
    }

    /// A stream goes to a server: `lastsess`.
    #[inline]
    pub fn assigned(self, now: Millis) {
        self.set(BackendCounter::Lastsess, now.0 + 1);
    }

    /// A stream waits in the backend's or one of its servers' queues.
    #[inline]
    pub fn queued(self, now: Millis) {
        use BackendCounter::*;
        self.add(Qcur, 1);
        if self.cell.qcur_peak.is_new(self.cell.counters.of(Qcur).get(), now) {
            self.board.raise(self.cell.counters.of(Qmax), self.board.backend(self.proxy, Qcur));
        }
    }

    #[inline]
    pub fn dequeued(self) {
        self.sub(BackendCounter::Qcur, 1);
    }

    /// The ticket of the first stream that waits for any server, for other workers to see.
    pub fn first_waiting(self, ticket: Option<u64>) {
        self.cell.first_waiting.set(ticket.unwrap_or(0));
    }

    /// The times of a finished stream: averages, maxima and histograms.
    #[inline]
    pub fn times(self, times: &Times) {
        use BackendCounter::*;
        let maxima = [QtimeMax, CtimeMax, RtimeMax, TtimeMax].map(|id| self.cell.counters.of(id));
        average(&self.cell.averages, maxima, times, self.board);
        record(&self.cell.latency, times);
    }
}

impl Server<'_> {
    /// A stream was given to this server: `stot`, `scur`, `smax`, `rate`, `lastsess`.
    #[inline]
    pub fn session(self, now: Millis) {
        use ServerCounter::*;
        self.add(Stot, 1);
        self.set(Lastsess, now.0 + 1);
        if self.cell.session_rate.add(1, now) {
            let recent = self
                .board
                .rates(now, |b| Some(&b.proxies.get(self.proxy)?.servers.get(self.server)?.peek()?.session_rate));
            self.board.raise(self.cell.counters.of(RateMax), recent.1 as u64);
        }
        self.session_again(now);
    }

    /// One that a former process has counted: `scur`, `smax`.
    #[inline]
    pub fn session_again(self, now: Millis) {
        use ServerCounter::*;
        self.add(Scur, 1);
        if self.cell.scur_peak.is_new(self.cell.counters.of(Scur).get(), now) {
            self.board.raise(self.cell.counters.of(Smax), self.board.server(self.proxy, self.server, Scur));
        }
    }

    #[inline]
    pub fn session_ended(self) {
        self.sub(ServerCounter::Scur, 1);
    }

    #[inline]
    pub fn queued(self, now: Millis) {
        use ServerCounter::*;
        self.add(Qcur, 1);
        if self.cell.qcur_peak.is_new(self.cell.counters.of(Qcur).get(), now) {
            self.board.raise(self.cell.counters.of(Qmax), self.board.server(self.proxy, self.server, Qcur));
        }
    }

    #[inline]
    pub fn dequeued(self) {
        self.sub(ServerCounter::Qcur, 1);
    }

    /// The ticket of the first stream that waits for this one alone, for other workers to see.
    pub fn first_waiting(self, ticket: Option<u64>) {
        self.cell.first_waiting.set(ticket.unwrap_or(0));
    }

    /// A connection to the server is in use: `used_conn_cur`, `need_conn_est`.
    #[inline]
    pub fn connection_used(self, now: Millis) {
        use ServerCounter::*;
        self.add(UsedConnCur, 1);
        if self.cell.used_peak.is_new(self.cell.counters.of(UsedConnCur).get(), now) {
            self.cell.counters.of(NeedConnEst).raise(self.board.server(self.proxy, self.server, UsedConnCur));
        }
    }

    #[inline]
    pub fn connection_unused(self) {
        self.sub(ServerCounter::UsedConnCur, 1);
    }

    #[inline]
    pub fn times(self, times: &Times) {
        use ServerCounter::*;
        let maxima = [QtimeMax, CtimeMax, RtimeMax, TtimeMax].map(|id| self.cell.counters.of(id));
        average(&self.cell.averages, maxima, times, self.board);
        record(&self.cell.latency, times);
    }

    pub fn tls_handshake(self, us: u64) {
        handshake(&self.cell.latency, us);
    }
}

impl Process<'_> {
    /// Takes over the rate that a reactor has counted, in its units.
    pub fn set_rate(self, which: ProcessRate, seen: Seconds) {
        which.of(self.cell).set(seen);
    }

    /// Counts `n` events of a rate; compression rates take bytes.
    #[inline]
    pub fn rate(self, which: ProcessRate, n: u64, now: Millis) {
        if which.of(self.cell).add(n.min(u32::MAX as u64) as u32, now)
            && let Some(maximum) = which.maximum()
        {
            let recent = self.board.rates(now, |b| Some(which.of(&b.process))).1;
            self.board.raise(self.cell.counters.of(maximum), recent as u64);
        }
    }
}

fn handshake(latency: &OnceLock<Box<Latency>>, us: u64) {
    latency.get_or_init(Box::default).tls_handshake.get_or_init(Box::default).record(us);
}

#[inline]
fn record(latency: &OnceLock<Box<Latency>>, times: &Times) {
    let latency = latency.get_or_init(Box::default);
    let four = [&latency.queue, &latency.connect, &latency.response, &latency.total];
    for (at, histogram) in four.into_iter().enumerate() {
        if let Some(us) = times.us[at] {
            histogram.record_in(times.buckets[at], us);
        }
    }
}

#[inline]
fn average(averages: &Averages, maxima: [&Counter; 4], times: &Times, board: &Board) {
    let four = [&averages.qtime, &averages.ctime, &averages.rtime, &averages.ttime];
    for (at, average) in four.into_iter().enumerate() {
        average.record(times.ms[at], board.window);
        if times.ms[at] > 0 {
            board.raise(maxima[at], times.ms[at]);
        }
    }
}
