//! The only reader of clocks. Everyone else is given the time: workers keep the value read once per loop turn.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds on the monotonic clock, counted from the first reading in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// A moment that never comes.
    pub const NEVER: Millis = Millis(u64::MAX);

    /// This moment plus `ms`; saturates at [`Millis::NEVER`].
    pub fn plus(self, ms: u64) -> Millis {
        Millis(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this moment, 0 if it is later.
    pub fn since(self, earlier: Millis) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    pub mono: Millis,
    /// Nanoseconds on the monotonic clock, from the same start as `mono`.
    pub nanos: u64,
    /// Microseconds since 1970, UTC.
    pub wall_us: u64,
}

/// Reads both clocks.
pub fn now() -> Now {
    static START: OnceLock<Instant> = OnceLock::new();
    let nanos = START.get_or_init(Instant::now).elapsed().as_nanos() as u64;
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Now { mono: Millis(nanos / 1_000_000), nanos, wall_us: wall.as_micros() as u64 }
}

/// Microseconds on the system's monotonic clock, which all processes share.
pub fn monotonic_us() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}

/// When the monotonic clock of this process began, in microseconds on the system's.
pub fn origin_us() -> u64 {
    monotonic_us().saturating_sub(now().nanos / 1000)
}

/// CPU time that the calling thread has used, in nanoseconds.
pub fn thread_cpu_nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
