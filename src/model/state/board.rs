//! The board: what every worker counts and everyone may read. One block for each worker and one for the control
//! thread; a block's cells are made when first touched, so that a server a worker never met costs it two words. Only
//! a block's owner writes to it; readers sum. A further block holds what was there at the last `clear counters all`.

use super::{cell::*, counters::*, live::Live, nameserver::NameserverCell};
use crate::{
    base::{
        append::Append,
        clock::Millis,
        counter::Counter,
        histogram::{Histogram, Summary},
        places::Places,
        rate::{Rate, merge},
    },
    model::plan::{Plan, ProxyIndex, ServerIndex},
};
use std::sync::OnceLock;

mod worker;
pub use worker::*;

#[derive(Debug)]
pub struct Board {
    blocks: Box<[Block]>,
    /// Sums at the last `clear counters all`, subtracted by readers.
    baseline: Block,
    /// A worker's share of the 1024 requests that the averages cover.
    window: u64,
    /// Greatest values are kept (`stats calculate-max-counters`).
    maxima: bool,
    /// Of each section of resolvers, its name servers.
    nameservers: Box<[Box<[NameserverCell]>]>,
    /// Server states, addresses, weights; paused frontends.
    pub live: Live,
    /// Of connections, which workers admit.
    pub places: Places,
}

/// The cells of one writer.
#[derive(Debug)]
#[repr(align(128))]
struct Block {
    process: ProcessCell,
    proxies: Box<[ProxyBlock]>,
}

#[derive(Debug, Default)]
struct Slot<T>(OnceLock<Box<T>>);

impl<T: Default> Slot<T> {
    #[inline]
    fn cell(&self) -> &T {
        self.0.get_or_init(Box::default)
    }

    fn peek(&self) -> Option<&T> {
        self.0.get().map(Box::as_ref)
    }
}

#[derive(Debug)]
struct ProxyBlock {
    frontend: Slot<FrontendCell>,
    backend: Slot<BackendCell>,
    listeners: Box<[Slot<ListenerCell>]>,
    servers: Append<Slot<ServerCell>>,
    /// Where counts go for a server whose index is out of every bound.
    nowhere: Slot<ServerCell>,
}

impl Block {
    fn new(plan: &Plan) -> Block {
        let proxies = plan.proxies.iter().map(|p| ProxyBlock {
            frontend: Slot::default(),
            backend: Slot::default(),
            listeners: p.frontend.binds.iter().map(|_| Slot::default()).collect(),
            servers: Append::new(p.backend.servers.iter().map(|_| Slot::default()).collect()),
            nowhere: Slot::default(),
        });
        Block { process: ProcessCell::default(), proxies: proxies.collect() }
    }
}

impl Board {
    /// A board for `workers` workers; the control thread writes as number `workers`.
    pub fn new(plan: &Plan, workers: usize) -> Board {
        Board {
            blocks: (0..=workers).map(|_| Block::new(plan)).collect(),
            baseline: Block::new(plan),
            window: (1024 / workers.max(1) as u64).max(16),
            maxima: plan.global.stats_calculate_max_counters,
            nameservers: plan
                .resolvers
                .iter()
                .map(|r| r.nameservers.iter().map(|_| Default::default()).collect())
                .collect(),
            live: Live::new(plan),
            places: Places::new(workers),
        }
    }

    /// What is counted of a section's name servers, in the order of their lines.
    pub fn nameservers(&self, section: usize) -> &[NameserverCell] {
        self.nameservers.get(section).map_or(&[], |section| section)
    }

    /// The block of worker `index`; only that worker may count through it. An index too high means the control thread's.
    #[inline]
    pub fn worker(&self, index: usize) -> Worker<'_> {
        Worker { board: self, block: &self.blocks[index.min(self.blocks.len() - 1)] }
    }

    /// The control thread's block.
    pub fn control(&self) -> Worker<'_> {
        self.worker(self.blocks.len() - 1)
    }

    pub fn workers(&self) -> usize {
        self.blocks.len() - 1
    }

    // ---- reading: sums over the blocks ----

    pub fn frontend(&self, proxy: ProxyIndex, id: FrontendCounter) -> u64 {
        self.total(id, |b| Some(b.proxies.get(proxy)?.frontend.peek()?.counters.of(id)))
    }

    pub fn listener(&self, proxy: ProxyIndex, bind: usize, id: ListenerCounter) -> u64 {
        self.total(id, |b| Some(b.proxies.get(proxy)?.listeners.get(bind)?.peek()?.counters.of(id)))
    }

    pub fn backend(&self, proxy: ProxyIndex, id: BackendCounter) -> u64 {
        self.total(id, |b| Some(b.proxies.get(proxy)?.backend.peek()?.counters.of(id)))
    }

    pub fn server(&self, proxy: ProxyIndex, server: ServerIndex, id: ServerCounter) -> u64 {
        self.total(id, |b| Some(b.proxies.get(proxy)?.servers.get(server)?.peek()?.counters.of(id)))
    }

    pub fn process(&self, id: ProcessCounter) -> u64 {
        self.total(id, |b| Some(b.process.counters.of(id)))
    }

    /// A process counter of one block, for `show activity`.
    pub fn process_of(&self, worker: usize, id: ProcessCounter) -> u64 {
        self.blocks.get(worker).map_or(0, |b| b.process.counters.of(id).get())
    }

    /// A server's counter in one block, for `show servers conn`.
    pub fn server_of(&self, worker: usize, proxy: ProxyIndex, server: ServerIndex, id: ServerCounter) -> u64 {
        let cell = |b: &Block| Some(b.proxies.get(proxy)?.servers.get(server)?.peek()?.counters.of(id).get());
        self.blocks.get(worker).and_then(cell).unwrap_or(0)
    }

    fn total<'a, K: CounterId>(&'a self, id: K, find: impl Fn(&'a Block) -> Option<&'a Counter>) -> u64 {
        let values = self.blocks.iter().filter_map(|b| find(b).map(Counter::get));
        if id.is_maximum() {
            return values.max().unwrap_or(0);
        }
        let sum = values.fold(0u64, u64::wrapping_add);
        if id.is_gauge() {
            // A reader may see one block before and another after a hand-over: never show a gauge below zero.
            return if sum as i64 >= 0 { sum } else { 0 };
        }
        sum.wrapping_sub(find(&self.baseline).map_or(0, Counter::get))
    }

    /// Keeps a greatest value, where these are wanted.
    #[inline]
    fn raise(&self, maximum: &Counter, value: u64) {
        if self.maxima {
            maximum.raise(value);
        }
    }

    /// A maximum together with its gauge, since the gauge may stand higher than any worker noticed.
    pub fn peak(&self, gauge: u64, maximum: u64) -> u64 {
        if self.maxima { gauge.max(maximum) } else { 0 }
    }

    /// Events a second at `now` over all workers, and the most in any second.
    pub fn frontend_rate(&self, proxy: ProxyIndex, which: FrontendRate, now: Millis) -> (u32, u32) {
        let (rate, recent) = self.rates(now, |b| Some(which.of(b.proxies.get(proxy)?.frontend.peek()?)));
        (rate, self.peak(recent.into(), self.frontend(proxy, which.maximum())) as u32)
    }

    pub fn backend_rate(&self, proxy: ProxyIndex, now: Millis) -> (u32, u32) {
        let (rate, recent) = self.rates(now, |b| Some(&b.proxies.get(proxy)?.backend.peek()?.session_rate));
        (rate, self.peak(recent.into(), self.backend(proxy, BackendCounter::RateMax)) as u32)
    }

    pub fn server_rate(&self, proxy: ProxyIndex, server: ServerIndex, now: Millis) -> (u32, u32) {
        let (rate, recent) =
            self.rates(now, |b| Some(&b.proxies.get(proxy)?.servers.get(server)?.peek()?.session_rate));
        (rate, self.peak(recent.into(), self.server(proxy, server, ServerCounter::RateMax)) as u32)
    }

    pub fn process_rate(&self, which: ProcessRate, now: Millis) -> (u32, u32) {
        let (rate, recent) = self.rates(now, |b| Some(which.of(&b.process)));
        (rate, which.maximum().map_or(recent, |id| self.peak(recent.into(), self.process(id)) as u32))
    }

    fn rates<'a>(&'a self, now: Millis, find: impl Fn(&'a Block) -> Option<&'a Rate>) -> (u32, u32) {
        merge(self.blocks.iter().filter_map(|b| find(b).map(Rate::seconds)), now)
    }

    /// The stream of another worker than `me` that has waited longest for a slot of `server`: its ticket and its worker.
    /// Unless `anyone` may have the slot, only those count who wait for this server alone.
    pub fn first_waiting(
        &self,
        proxy: ProxyIndex,
        server: ServerIndex,
        anyone: bool,
        me: usize,
    ) -> Option<(u64, usize)> {
        let others = self.blocks.iter().enumerate().filter(|(worker, _)| *worker != me);
        let tickets = others.filter_map(|(worker, block)| {
            let block = block.proxies.get(proxy)?;
            let bound = block.servers.get(server).and_then(Slot::peek).map_or(0, |cell| cell.first_waiting.get());
            let any = block.backend.peek().map_or(0, |cell| cell.first_waiting.get());
            let first = [bound, if anyone { any } else { 0 }].into_iter().filter(|ticket| *ticket > 0).min();
            first.map(|ticket| (ticket, worker))
        });
        tickets.min()
    }

    /// Mean milliseconds: queue, connect, response, total.
    pub fn backend_averages(&self, proxy: ProxyIndex) -> [u64; 4] {
        self.averages(|b| Some(&b.proxies.get(proxy)?.backend.peek()?.averages))
    }

    pub fn server_averages(&self, proxy: ProxyIndex, server: ServerIndex) -> [u64; 4] {
        self.averages(|b| Some(&b.proxies.get(proxy)?.servers.get(server)?.peek()?.averages))
    }

    fn averages<'a>(&'a self, find: impl Fn(&'a Block) -> Option<&'a Averages>) -> [u64; 4] {
        let mut sums = [(0u64, 0u64); 4];
        for averages in self.blocks.iter().filter_map(&find) {
            let four = [&averages.qtime, &averages.ctime, &averages.rtime, &averages.ttime];
            for (sum, average) in sums.iter_mut().zip(four) {
                let (s, n) = average.read();
                *sum = (sum.0 + s, sum.1 + n);
            }
        }
        sums.map(|(sum, count)| sum.checked_div(count).unwrap_or(0))
    }

    pub fn frontend_latency(&self, proxy: ProxyIndex, which: LatencyKind) -> Summary {
        self.latency(which, |b| b.proxies.get(proxy)?.frontend.peek()?.latency.get())
    }

    pub fn backend_latency(&self, proxy: ProxyIndex, which: LatencyKind) -> Summary {
        self.latency(which, |b| b.proxies.get(proxy)?.backend.peek()?.latency.get())
    }

    pub fn server_latency(&self, proxy: ProxyIndex, server: ServerIndex, which: LatencyKind) -> Summary {
        self.latency(which, |b| b.proxies.get(proxy)?.servers.get(server)?.peek()?.latency.get())
    }

    fn latency<'a>(&'a self, which: LatencyKind, find: impl Fn(&'a Block) -> Option<&'a Box<Latency>>) -> Summary {
        let mut summary = Summary::default();
        for histogram in self.blocks.iter().filter_map(|b| which.of(find(b)?)) {
            summary.add(histogram);
        }
        summary
    }

    // ---- clearing, by the control thread ----

    /// `clear counters`: the maxima. A worker that raises one meanwhile writes a value of now, so no harm is done.
    pub fn clear_maxima(&self) {
        for block in &self.blocks {
            clear(&block.process.counters, ProcessCounter::ALL, |id| id.is_maximum());
            for proxy in &block.proxies {
                if let Some(cell) = proxy.frontend.peek() {
                    clear(&cell.counters, FrontendCounter::ALL, |id| id.is_maximum());
                }
                if let Some(cell) = proxy.backend.peek() {
                    clear(&cell.counters, BackendCounter::ALL, |id| {
                        id.is_maximum() && *id != BackendCounter::Lastsess
                    });
                }
                for cell in proxy.listeners.iter().filter_map(Slot::peek) {
                    clear(&cell.counters, ListenerCounter::ALL, |id| id.is_maximum());
                }
                for cell in proxy.servers.iter().filter_map(Slot::peek) {
                    clear(&cell.counters, ServerCounter::ALL, |id| id.is_maximum() && *id != ServerCounter::Lastsess);
                }
            }
        }
    }

    /// `clear counters all`: the maxima, and what was counted until now.
    pub fn clear_all(&self) {
        self.clear_maxima();
        let base = &self.baseline;
        rebase(&base.process.counters, ProcessCounter::ALL, |id| self.raw(|b| Some(b.process.counters.of(id))));
        for (p, proxy) in base.proxies.iter().enumerate() {
            rebase(&proxy.frontend.cell().counters, FrontendCounter::ALL, |id| {
                self.raw(|b| Some(b.proxies[p].frontend.peek()?.counters.of(id)))
            });
            rebase(&proxy.backend.cell().counters, BackendCounter::ALL, |id| {
                self.raw(|b| Some(b.proxies[p].backend.peek()?.counters.of(id)))
            });
            for (l, listener) in proxy.listeners.iter().enumerate() {
                rebase(&listener.cell().counters, ListenerCounter::ALL, |id| {
                    self.raw(|b| Some(b.proxies[p].listeners[l].peek()?.counters.of(id)))
                });
            }
            let servers = self.blocks.iter().map(|b| b.proxies[p].servers.len()).max().unwrap_or(0);
            for s in 0..servers {
                let Some(slot) = proxy.servers.cell(s) else { continue };
                rebase(&slot.cell().counters, ServerCounter::ALL, |id| {
                    self.raw(|b| Some(b.proxies[p].servers.get(s)?.peek()?.counters.of(id)))
                });
            }
        }
    }

    fn raw<'a>(&'a self, find: impl Fn(&'a Block) -> Option<&'a Counter>) -> u64 {
        self.blocks.iter().filter_map(|b| find(b).map(Counter::get)).fold(0, u64::wrapping_add)
    }
}

fn clear<K: CounterId, const N: usize>(counters: &Counters<N>, ids: &[K], which: impl Fn(&K) -> bool) {
    ids.iter().filter(|id| which(id)).for_each(|id| counters.of(*id).set(0));
}

fn rebase<K: CounterId, const N: usize>(counters: &Counters<N>, ids: &[K], sum: impl Fn(K) -> u64) {
    for id in ids.iter().filter(|id| !id.is_gauge() && !id.is_maximum()) {
        counters.of(*id).set(sum(*id));
    }
}

/// Which of a frontend's rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrontendRate {
    Sessions,
    Connections,
    Requests,
}

impl FrontendRate {
    fn of(self, cell: &FrontendCell) -> &Rate {
        match self {
            FrontendRate::Sessions => &cell.session_rate,
            FrontendRate::Connections => &cell.connection_rate,
            FrontendRate::Requests => &cell.request_rate,
        }
    }

    fn maximum(self) -> FrontendCounter {
        match self {
            FrontendRate::Sessions => FrontendCounter::RateMax,
            FrontendRate::Connections => FrontendCounter::ConnRateMax,
            FrontendRate::Requests => FrontendCounter::ReqRateMax,
        }
    }
}

/// Which of the process's rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessRate {
    Connections,
    Sessions,
    Ssl,
    SslFrontendKeys,
    SslBackendKeys,
    /// In the units of the engine's `emitted`.
    BytesOut,
    CompressIn,
    CompressOut,
}

impl ProcessRate {
    fn of(self, cell: &ProcessCell) -> &Rate {
        match self {
            ProcessRate::Connections => &cell.connection_rate,
            ProcessRate::Sessions => &cell.session_rate,
            ProcessRate::Ssl => &cell.ssl_rate,
            ProcessRate::SslFrontendKeys => &cell.ssl_frontend_key_rate,
            ProcessRate::SslBackendKeys => &cell.ssl_backend_key_rate,
            ProcessRate::BytesOut => &cell.bytes_out_rate,
            ProcessRate::CompressIn => &cell.compress_in_rate,
            ProcessRate::CompressOut => &cell.compress_out_rate,
        }
    }

    fn maximum(self) -> Option<ProcessCounter> {
        Some(match self {
            ProcessRate::Connections => ProcessCounter::MaxConnRate,
            ProcessRate::Sessions => ProcessCounter::MaxSessRate,
            ProcessRate::Ssl => ProcessCounter::MaxSslRate,
            ProcessRate::SslFrontendKeys => ProcessCounter::SslFrontendMaxKeyRate,
            ProcessRate::SslBackendKeys => ProcessCounter::SslBackendMaxKeyRate,
            _ => return None,
        })
    }
}

/// Which latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LatencyKind {
    Queue,
    Connect,
    Response,
    Total,
    TlsHandshake,
}

impl LatencyKind {
    fn of(self, latency: &Latency) -> Option<&Histogram> {
        Some(match self {
            LatencyKind::Queue => &latency.queue,
            LatencyKind::Connect => &latency.connect,
            LatencyKind::Response => &latency.response,
            LatencyKind::Total => &latency.total,
            LatencyKind::TlsHandshake => return latency.tls_handshake.get().map(Box::as_ref),
        })
    }
}
