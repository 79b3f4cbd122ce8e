//! One worker's numbers about one thing: counters, rates and latencies. Written by its worker only.

use super::counters::*;
use crate::base::{
    clock::Millis,
    counter::Counter,
    histogram::{Histogram, bucket_of},
    rate::Rate,
};
use std::sync::OnceLock;

/// The counters of one thing. Aligned so that two workers' cells never share a line (two lines: the prefetcher's pair).
#[derive(Debug)]
#[repr(align(128))]
pub struct Counters<const N: usize>([Counter; N]);

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Counters(std::array::from_fn(|_| Counter::default()))
    }
}

impl<const N: usize> Counters<N> {
    #[inline]
    pub fn of(&self, id: impl CounterId) -> &Counter {
        &self.0[id.index()]
    }
}

/// When the process-wide sum of a gauge is worth computing, to keep its maximum: whenever this worker's share exceeds
/// what it reached earlier in this second. A burst costs one sum for each new height and second, a steady load none.
#[derive(Debug, Default)]
pub struct Peak(Counter);

impl Peak {
    #[inline]
    pub fn is_new(&self, value: u64, now: Millis) -> bool {
        let second = (now.0 / 1000) as u32 as u64;
        let value = value.min(u32::MAX as u64);
        let seen = self.0.get();
        if seen >> 32 == second && value <= seen & u32::MAX as u64 {
            return false;
        }
        self.0.set(second << 32 | value);
        true
    }
}

/// One request's or connection's times, prepared once for all that they are counted at: waiting for a server or its
/// connection, connecting, waiting for the response, and all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    /// Microseconds; `None` where it did not come so far.
    pub us: [Option<u64>; 4],
    pub ms: [u64; 4],
    /// Where each belongs in a histogram.
    pub buckets: [usize; 4],
}

impl Times {
    pub fn new(us: [Option<u64>; 4]) -> Times {
        let known = us.map(|us| us.unwrap_or(0));
        Times { us, ms: known.map(|us| us / 1000), buckets: known.map(bucket_of) }
    }
}

/// The four latencies of a proxy or server; made at the first request, so that idle ones cost nothing.
#[derive(Debug, Default)]
pub struct Latency {
    pub queue: Histogram,
    pub connect: Histogram,
    pub response: Histogram,
    pub total: Histogram,
    pub tls_handshake: OnceLock<Box<Histogram>>,
}

/// `qtime ctime rtime ttime`: mean milliseconds over about the last 1024 requests (management guide 9.1). Each worker
/// keeps its share of the window; readers weigh by the number of requests in it.
#[derive(Debug, Default)]
pub struct Average {
    sum: Counter,
    count: Counter,
}

impl Average {
    /// `window`: this worker's share of the 1024.
    #[inline]
    pub fn record(&self, value: u64, window: u64) {
        let (sum, count) = (self.sum.get(), self.count.get());
        if count < window {
            self.count.set(count + 1);
            self.sum.set(sum + value);
        } else if sum | value != 0 {
            self.sum.set(sum - sum / window + value);
        }
    }

    /// Sum and number of the values in the window.
    pub fn read(&self) -> (u64, u64) {
        (self.sum.get(), self.count.get())
    }

    pub fn clear(&self) {
        self.sum.set(0);
        self.count.set(0);
    }
}

/// The averages of a server or backend.
#[derive(Debug, Default)]
pub struct Averages {
    pub qtime: Average,
    pub ctime: Average,
    pub rtime: Average,
    pub ttime: Average,
}

#[derive(Debug, Default)]
pub struct FrontendCell {
    pub counters: Counters<{ FrontendCounter::COUNT }>,
    pub session_rate: Rate,
    pub connection_rate: Rate,
    pub request_rate: Rate,
    pub scur_peak: Peak,
    pub latency: OnceLock<Box<Latency>>,
}

#[derive(Debug, Default)]
pub struct ListenerCell {
    pub counters: Counters<{ ListenerCounter::COUNT }>,
    pub scur_peak: Peak,
}

#[derive(Debug, Default)]
pub struct BackendCell {
    pub counters: Counters<{ BackendCounter::COUNT }>,
    pub session_rate: Rate,
    pub scur_peak: Peak,
    pub qcur_peak: Peak,
    /// The ticket of the first stream in this worker's queue; 0: none.
    pub first_waiting: Counter,
    pub averages: Averages,
    pub latency: OnceLock<Box<Latency>>,
}

#[derive(Debug, Default)]
pub struct ServerCell {
    pub counters: Counters<{ ServerCounter::COUNT }>,
    pub session_rate: Rate,
    pub scur_peak: Peak,
    pub qcur_peak: Peak,
    /// The ticket of the first stream in this worker's queue; 0: none.
    pub first_waiting: Counter,
    pub used_peak: Peak,
    pub averages: Averages,
    pub latency: OnceLock<Box<Latency>>,
}

#[derive(Debug, Default)]
pub struct ProcessCell {
    pub counters: Counters<{ ProcessCounter::COUNT }>,
    pub connection_rate: Rate,
    pub session_rate: Rate,
    pub ssl_rate: Rate,
    pub ssl_frontend_key_rate: Rate,
    pub ssl_backend_key_rate: Rate,
    /// In the units of the engine's `emitted`.
    pub bytes_out_rate: Rate,
    pub compress_in_rate: Rate,
    pub compress_out_rate: Rate,
}
