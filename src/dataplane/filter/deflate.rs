//! Bodies in gzip, zlib and raw deflate. Level 1 is [`super::fast`] and needs no state. Above it streams are zlib-rs's: a
//! state is large (up to 380 kB) and slow to make, so that a worker keeps some and uses them again. Both write raw deflate;
//! headers and checksums of gzip (RFC 1952) and zlib (RFC 1950) are written here, so that any state serves any format.
//! `tune.zlib.*`, `maxzlibmem` (manual 3.2).

use super::fast::{self, Matcher};
use crate::base::clock::{Now, thread_cpu_nanos};
use crate::model::compression::CompressionAlgorithm;
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, adler32::adler32, crc32::crc32};

/// States that wait for use on a worker; more are freed. 32 streams that compress at the same moment are rare.
const KEPT: usize = 32;
/// The same when memory is bounded, so that no worker hoards what another wants.
const KEPT_BOUNDED: usize = 4;

/// How states are made (manual 3.2: `tune.comp.maxlevel`, `tune.zlib.windowsize`, `tune.zlib.memlevel`, `maxzlibmem`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    pub level_max: u32,
    pub window_bits: u32,
    pub memory_level: u32,
    /// Bytes of all states of the process at most.
    pub bytes_max: Option<u64>,
}

impl Sizes {
    /// Bytes of one state, as zlib documents them (zconf.h): window, hash table and chains, and what waits to be written.
    pub fn bytes(&self) -> u64 {
        (1 << (self.window_bits + 2)) + (1 << (self.memory_level + 9)) + (64 << 10) + (128 << 10)
    }
}

/// The states of one worker.
pub struct Deflates {
    sizes: Sizes,
    matcher: RefCell<Matcher>,
    free: RefCell<Vec<Box<State>>>,
    made: Cell<u64>,
    busy: Cell<Busy>,
}

/// How much of the time between two readings this thread ran.
#[derive(Clone, Copy, Default)]
struct Busy {
    nanos: u64,
    cpu_nanos: u64,
    percent: u32,
}

/// Time between two readings of the CPU's use at least.
const BUSY_NANOS: u64 = 250_000_000;

/// How one stream is compressed, to its end: what zlib refers back to must be its own output.
pub enum Method {
    Fast,
    Zlib(Box<State>),
}

/// One deflate stream of zlib-rs.
pub struct State {
    deflate: Deflate,
    level: u32,
}

impl Deflates {
    pub fn new(sizes: Sizes) -> Deflates {
        Deflates {
            sizes,
            matcher: RefCell::default(),
            free: RefCell::default(),
            made: Cell::new(0),
            busy: Cell::default(),
        }
    }

    /// What a new stream compresses with. `None`: memory for another state is not allowed now; `used` are the bytes of the
    /// process.
    pub fn take(&self, used: &AtomicU64) -> Option<Method> {
        match self.sizes.level_max {
            1 => Some(Method::Fast),
            _ => self.state(used).map(Method::Zlib),
        }
    }

    fn state(&self, used: &AtomicU64) -> Option<Box<State>> {
        if let Some(state) = self.free.borrow_mut().pop() {
            return Some(state);
        }
        let bytes = self.sizes.bytes();
        let before = used.fetch_add(bytes, Relaxed);
        if self.sizes.bytes_max.is_some_and(|max| before + bytes > max) {
            used.fetch_sub(bytes, Relaxed);
            return None;
        }
        self.made.set(self.made.get() + 1);
        let config = DeflateConfig {
            level: self.sizes.level_max as i32,
            // Negative: raw deflate. 8 is not possible without a header, zlib takes 9 for it.
            window_bits: -(self.sizes.window_bits.max(9) as i32),
            mem_level: self.sizes.memory_level as i32,
            ..DeflateConfig::default()
        };
        Some(Box::new(State { deflate: Deflate::new_with_config(config), level: self.sizes.level_max }))
    }

    /// Takes a state back.
    pub fn give(&self, method: Method, used: &AtomicU64) {
        let Method::Zlib(mut state) = method else { return };
        let kept = if self.sizes.bytes_max.is_some() { KEPT_BOUNDED } else { KEPT };
        let mut free = self.free.borrow_mut();
        if free.len() >= kept {
            used.fetch_sub(self.sizes.bytes(), Relaxed);
            return;
        }
        state.deflate.reset();
        state.set_level(self.sizes.level_max);
        free.push(state);
    }

    /// How busy this thread is, in percent of the time since the last reading.
    pub fn busy_percent(&self, now: Now) -> u32 {
        let last = self.busy.get();
        let passed = now.nanos.saturating_sub(last.nanos);
        if passed < BUSY_NANOS {
            return last.percent;
        }
        let cpu_nanos = thread_cpu_nanos();
        let ran = cpu_nanos.saturating_sub(last.cpu_nanos);
        // Of the first reading nothing is known yet.
        let percent = if last.nanos == 0 { 0 } else { (ran.saturating_mul(100) / passed).min(100) as u32 };
        self.busy.set(Busy { nanos: now.nanos, cpu_nanos, percent });
        percent
    }

    /// States made so far.
    pub fn made(&self) -> u64 {
        self.made.get()
    }
}

impl State {
    /// To be called at the start or after a flush only.
    fn set_level(&mut self, level: u32) {
        if self.level != level && self.deflate.set_level(level as i32).is_ok() {
            self.level = level;
        }
    }

    /// Writes what `input` becomes behind `out`.
    fn write(&mut self, mut input: &[u8], flush: DeflateFlush, out: &mut Vec<u8>) {
        loop {
            let start = out.len();
            let room = (input.len() / 2).clamp(512, 24 << 10);
            out.resize(start + room, 0);
            let (in_before, out_before) = (self.deflate.total_in(), self.deflate.total_out());
            let done = self.deflate.compress(input, &mut out[start..], flush);
            let written = (self.deflate.total_out() - out_before) as usize;
            input = &input[(self.deflate.total_in() - in_before) as usize..];
            out.truncate(start + written);
            // An error is not possible with states that are made and called as here; the stream would be cut short.
            if done.is_err() || input.is_empty() && written < room {
                return;
            }
        }
    }
}

/// A body being compressed into one of the formats.
pub struct Encoder {
    format: Format,
    method: Method,
    checksum: u32,
    length: u32,
    started: bool,
    ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Gzip,
    Zlib,
    Raw,
}

impl Format {
    /// `None`: the body is not changed.
    pub fn of(algorithm: CompressionAlgorithm) -> Option<Format> {
        match algorithm {
            CompressionAlgorithm::Identity => None,
            CompressionAlgorithm::Gzip => Some(Format::Gzip),
            CompressionAlgorithm::Deflate => Some(Format::Zlib),
            CompressionAlgorithm::RawDeflate => Some(Format::Raw),
        }
    }
}

impl Encoder {
    pub fn new(format: Format, method: Method) -> Encoder {
        let checksum = if format == Format::Zlib { 1 } else { 0 };
        Encoder { format, method, checksum, length: 0, started: false, ended: false }
    }

    /// Compresses `data` at `level`, and lets everything so far leave.
    pub fn feed(&mut self, pool: &Deflates, data: &[u8], level: u32, last: bool, out: &mut Vec<u8>) {
        if data.is_empty() || self.ended {
            return;
        }
        self.start(out);
        match self.format {
            Format::Gzip => self.checksum = crc32(self.checksum, data),
            Format::Zlib => self.checksum = adler32(self.checksum, data),
            Format::Raw => {}
        }
        self.length = self.length.wrapping_add(data.len() as u32);
        match &mut self.method {
            Method::Fast if level == 0 => fast::stored(data, last, out),
            Method::Fast => pool.matcher.borrow_mut().write(data, last, out),
            Method::Zlib(state) => {
                state.set_level(level);
                state.write(data, if last { DeflateFlush::Finish } else { DeflateFlush::SyncFlush }, out);
            }
        }
        if last {
            self.trailer(out);
        }
    }

    /// The rest of the stream: all of one without data.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        if !self.ended {
            self.start(out);
            match &mut self.method {
                Method::Fast => out.extend_from_slice(fast::END),
                Method::Zlib(state) => state.write(&[], DeflateFlush::Finish, out),
            }
            self.trailer(out);
        }
    }

    /// The state, to be given back.
    pub fn into_method(self) -> Method {
        self.method
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        match self.format {
            // Method deflate, no flags, no time; 4: "fastest" (RFC 1952 §2.3.1); made on Unix.
            Format::Gzip => out.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 3]),
            // Window of 32 kB, fastest (RFC 1950 §2.2).
            Format::Zlib => out.extend_from_slice(&[0x78, 0x01]),
            Format::Raw => {}
        }
    }

    fn trailer(&mut self, out: &mut Vec<u8>) {
        self.ended = true;
        match self.format {
            Format::Gzip => {
                out.extend_from_slice(&self.checksum.to_le_bytes());
                out.extend_from_slice(&self.length.to_le_bytes());
            }
            Format::Zlib => out.extend_from_slice(&self.checksum.to_be_bytes()),
            Format::Raw => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zlib_rs::{Inflate, InflateFlush, Status};

    const SIZES: Sizes = Sizes { level_max: 1, window_bits: 15, memory_level: 8, bytes_max: None };

    fn inflate(format: Format, bytes: &[u8]) -> (Vec<u8>, bool) {
        let (header, bits) = match format {
            Format::Gzip => (true, 31),
            Format::Zlib => (true, 15),
            Format::Raw => (false, 15),
        };
        let mut inflate = Inflate::new(header, bits);
        let mut out = vec![0; 1 << 20];
        let status = inflate.decompress(bytes, &mut out, InflateFlush::SyncFlush).expect("a good stream");
        out.truncate(inflate.total_out() as usize);
        (out, status == Status::StreamEnd)
    }

    fn text(length: usize) -> Vec<u8> {
        (0u64..).flat_map(|i| format!("{{\"key{}\": {}}},", i % 97, i * i % 1013).into_bytes()).take(length).collect()
    }

    #[test]
    fn every_format_and_level_gives_back_what_went_in() {
        for level_max in [1, 9] {
            every_format_and_level(level_max);
        }
    }

    fn every_format_and_level(level_max: u32) {
        let (pool, used) = (Deflates::new(Sizes { level_max, ..SIZES }), AtomicU64::new(0));
        let body = text(200_000);
        for format in [Format::Gzip, Format::Zlib, Format::Raw] {
            for piece in [1000, 16384, 65536, body.len()] {
                let mut encoder = Encoder::new(format, pool.take(&used).expect("a state"));
                let mut out = Vec::new();
                for (index, data) in body.chunks(piece).enumerate() {
                    // Levels go up and down as the CPU limits want, down to stored blocks.
                    encoder.feed(
                        &pool,
                        data,
                        [1, 0, 2, 9, 6][index % 5],
                        (index + 1) * piece == body.len(),
                        &mut out,
                    );
                }
                encoder.end(&mut out);
                pool.give(encoder.into_method(), &used);
                assert!(inflate(format, &out) == (body.clone(), true), "{format:?} in pieces of {piece}");
            }
        }
        assert_eq!(pool.made(), u64::from(level_max > 1));
    }

    #[test]
    fn what_came_can_be_read_before_the_end() {
        let (pool, used) = (Deflates::new(SIZES), AtomicU64::new(0));
        let mut encoder = Encoder::new(Format::Gzip, pool.take(&used).expect("a state"));
        let (mut out, mut sent) = (Vec::new(), Vec::new());
        for part in ["first", " second", " third"] {
            encoder.feed(&pool, part.as_bytes(), 1, false, &mut out);
            sent.extend_from_slice(part.as_bytes());
            assert_eq!(inflate(Format::Gzip, &out), (sent.clone(), false));
        }
    }

    #[test]
    fn a_body_without_data_is_a_whole_stream() {
        for (level_max, format) in
            [1, 9].into_iter().flat_map(|l| [Format::Gzip, Format::Zlib, Format::Raw].map(|f| (l, f)))
        {
            let (pool, used) = (Deflates::new(Sizes { level_max, ..SIZES }), AtomicU64::new(0));
            let mut encoder = Encoder::new(format, pool.take(&used).expect("a state"));
            let mut out = Vec::new();
            encoder.feed(&pool, b"", level_max, false, &mut out);
            assert!(out.is_empty());
            encoder.end(&mut out);
            assert_eq!(inflate(format, &out), (Vec::new(), true));
        }
    }

    #[test]
    fn memory_is_bounded() {
        let pool = Deflates::new(Sizes { level_max: 6, bytes_max: Some(2 * SIZES.bytes()), ..SIZES });
        let used = AtomicU64::new(0);
        let (a, b) = (pool.take(&used).expect("one"), pool.take(&used).expect("two"));
        assert!(pool.take(&used).is_none());
        pool.give(a, &used);
        assert!(pool.take(&used).is_some());
        pool.give(b, &used);
        assert_eq!(used.load(Relaxed), 2 * SIZES.bytes());
    }
}
