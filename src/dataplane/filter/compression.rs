//! Compression at work (manual 4.2 "compression", 9.2): decides for a stream, edits heads, compresses bodies piece by
//! piece and counts. What may be compressed is [`super::selection`]'s to say, how is [`super::deflate`]'s.

use super::super::session::Session;
use super::super::stream::Exchange;
use super::super::worker::Worker;
use super::Filter;
use super::deflate::{Encoder, Format, Sizes};
use super::selection::{self, Settings};
use crate::base::buf::Block;
use crate::engine::Piece;
use crate::model::compression::CompressionAlgorithm;
use crate::model::global::Global;
use crate::model::plan::ProxyIndex;
use crate::model::state::board::ProcessRate;
use crate::model::state::counters::{BackendCounter, FrontendCounter};
use crate::proto::h1::framing::Framing;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

/// What `global` says about compression states.
pub fn sizes(global: &Global) -> Sizes {
    Sizes {
        level_max: global.tune.comp_maxlevel,
        window_bits: global.tune.zlib_windowsize,
        memory_level: global.tune.zlib_memlevel,
        bytes_max: global.maxzlibmem.filter(|n| *n > 0),
    }
}

fn settings<'a>(w: &'a Worker, frontend: ProxyIndex, backend: ProxyIndex) -> Option<Settings<'a>> {
    let of = |proxy: ProxyIndex| w.plan.proxies[proxy].compression.as_ref();
    Settings::of(of(frontend), of(backend))
}

/// Looks at a request that is about to leave: what its client prefers, and whether its own body is compressed.
pub fn request(s: &Session, ex: &mut Exchange, proxy: ProxyIndex, framing: Framing) -> Option<Filter> {
    let w = &s.w;
    let settings = settings(w, s.proxy, proxy)?;
    if settings.compresses_responses() {
        ex.compression = selection::negotiate(&settings, &mut ex.request);
    }
    if !settings.compresses_requests() {
        return None;
    }
    let algorithm = selection::request_algorithm(&settings, ex.request_version, &ex.request, framing)?;
    let compressor = Compressor::new(w, s.proxy, proxy, algorithm, Direction::Request)?;
    selection::edit(&mut ex.request, algorithm);
    Some(Filter::Compression(compressor))
}

/// Looks at a response as the server sent it, before rules change it.
pub fn judge(s: &Session, ex: &mut Exchange, proxy: ProxyIndex, framing: Framing) {
    let Some(algorithm) = ex.compression else { return };
    let qualifies = settings(&s.w, s.proxy, proxy)
        .is_some_and(|settings| selection::response_qualifies(&settings, ex.request_version, &ex.response, framing));
    if qualifies {
        ex.facts.compression = Some(selection::name_of(algorithm));
    } else {
        ex.compression = None;
    }
}

/// The filter of a response that qualified; its head is edited. To be called when all rules have run.
pub fn response(s: &Session, ex: &mut Exchange, proxy: ProxyIndex) -> Option<Filter> {
    let algorithm = ex.compression.take()?;
    let Some(compressor) = Compressor::new(&s.w, s.proxy, proxy, algorithm, Direction::Response) else {
        ex.facts.compression = None;
        return None;
    };
    selection::edit(&mut ex.response, algorithm);
    let counts = s.w.counts();
    counts.frontend(s.proxy).add(FrontendCounter::CompRsp, 1);
    counts.backend(proxy).add(BackendCounter::CompRsp, 1);
    Some(Filter::Compression(compressor))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Request,
    Response,
}

/// A body being compressed. Its state goes back to the worker when it is dropped.
pub struct Compressor {
    w: Rc<Worker>,
    frontend: ProxyIndex,
    backend: ProxyIndex,
    direction: Direction,
    /// `None`: identity, data passes as it is.
    encoder: Option<Encoder>,
    level: u32,
}

impl Compressor {
    /// `None`: the limits on rate, CPU or memory do not allow it now.
    fn new(
        w: &Rc<Worker>,
        frontend: ProxyIndex,
        backend: ProxyIndex,
        algorithm: CompressionAlgorithm,
        direction: Direction,
    ) -> Option<Compressor> {
        if exceeds_limits(w) {
            return None;
        }
        let encoder = match Format::of(algorithm) {
            None => None,
            Some(format) => Some(Encoder::new(format, w.deflates.take(&w.shared.compression_memory)?)),
        };
        let level = w.plan.global.tune.comp_maxlevel;
        Some(Compressor { w: w.clone(), frontend, backend, direction, encoder, level })
    }

    /// Compresses `data`; what came so far can be read by the receiver, nothing is held back.
    pub fn feed(&mut self, data: Piece, last: bool) -> Piece {
        let bytes_in = data.bytes().len() as u64;
        self.adapt();
        let Some(encoder) = &mut self.encoder else {
            self.count(0, 0, bytes_in);
            return data;
        };
        let mut out = Block::take();
        encoder.feed(&self.w.deflates, data.bytes(), self.level, last, &mut out);
        match self.level {
            // Stored as it is: it counts as passed by (observed).
            0 => self.count(0, 0, bytes_in),
            _ => self.count(bytes_in, out.len() as u64, 0),
        }
        Piece::Block(out, 0)
    }

    /// The rest of the stream.
    pub fn end(&mut self) -> Piece {
        let Some(encoder) = &mut self.encoder else { return Piece::Empty };
        let mut out = Block::take();
        encoder.end(&mut out);
        self.count(0, out.len() as u64, 0);
        Piece::Block(out, 0)
    }

    /// One level less while the process is beyond its limits, one more else (manual 3.2 "maxcomprate").
    fn adapt(&mut self) {
        let most = self.w.plan.global.tune.comp_maxlevel;
        self.level = if exceeds_limits(&self.w) { self.level.saturating_sub(1) } else { most.min(self.level + 1) };
    }

    fn count(&self, bytes_in: u64, bytes_out: u64, bypassed: u64) {
        let counts = self.w.counts();
        let now = self.w.rt.now().mono;
        if bytes_in > 0 {
            counts.process().rate(ProcessRate::CompressIn, bytes_in, now);
        }
        if bytes_out > 0 {
            counts.process().rate(ProcessRate::CompressOut, bytes_out, now);
        }
        // The counters of proxies are those of responses (observed).
        if self.direction == Direction::Request {
            return;
        }
        let (front, back) = (counts.frontend(self.frontend), counts.backend(self.backend));
        for (n, f, b) in [
            (bytes_in, FrontendCounter::CompIn, BackendCounter::CompIn),
            (bytes_out, FrontendCounter::CompOut, BackendCounter::CompOut),
            (bypassed, FrontendCounter::CompByp, BackendCounter::CompByp),
        ] {
            if n > 0 {
                front.add(f, n);
                back.add(b, n);
            }
        }
    }
}

impl Drop for Compressor {
    fn drop(&mut self) {
        if let Some(encoder) = self.encoder.take() {
            self.w.deflates.give(encoder.into_method(), &self.w.shared.compression_memory);
        }
    }
}

/// `maxcomprate` (or `set rate-limit http-compression global`) and `maxcompcpuusage`.
fn exceeds_limits(w: &Worker) -> bool {
    let now = w.rt.now();
    let rate_max = w.board.live.process.compression_bytes_per_second.load(Relaxed);
    if rate_max > 0 && u64::from(w.board.process_rate(ProcessRate::CompressIn, now.mono).0) > rate_max {
        return true;
    }
    let busy_max = w.plan.global.maxcompcpuusage;
    busy_max < 100 && w.deflates.busy_percent(now) > busy_max
}
