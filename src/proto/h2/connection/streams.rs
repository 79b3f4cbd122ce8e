//! The streams of one connection (RFC 9113 §5.1): open ones by identifier, and what is remembered of closed ones.
//!
//! ```text
//!              remote            local
//! server: HEADERS → Body      Head → Body → Ended     a stream leaves the table when both have ended,
//! client: Head → Body → Ended    Body → Ended         or when either side resets it
//! ```

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use super::super::StreamId;
use super::super::flow::{ReceiveWindow, SendWindow};
use super::super::frame;

/// How far a side is with its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Its (final) head has not come.
    Head,
    /// DATA or trailers may come.
    Body,
    /// END_STREAM was seen.
    Ended,
}

#[derive(Debug)]
pub struct Stream {
    pub id: StreamId,
    pub remote: Side,
    pub local: Side,
    pub send: SendWindow,
    pub receive: ReceiveWindow,
    /// Bytes of DATA that Content-Length still announces.
    pub expected: Option<u64>,
    /// We asked with HEAD: the response has no DATA whatever its Content-Length says.
    pub head_request: bool,
    /// We asked with CONNECT: DATA of a 2xx response is no content.
    pub connect: bool,
}

impl Stream {
    /// The application took `n` bytes of DATA, and the window is to become `share`. Appends WINDOW_UPDATE when it is time
    /// for one, unless all has come.
    pub fn release(&mut self, n: u32, share: u32, out: &mut Vec<u8>) {
        if self.remote != Side::Ended
            && let Some(increment) = self.receive.release(n, share)
        {
            frame::window_update(self.id, increment, out);
        }
    }
}

/// Streams that we reset are remembered, so many at most, until their other side has ended: what was on its way is
/// no fault then. Twice as many as may be open, within these bounds.
const RESET_KEPT: RangeInclusive<usize> = 256..=8192;

/// The last streams that ended, to tell a stream that is over from one that never was.
const ENDED_KEPT: usize = 16;

#[derive(Debug, Default)]
pub struct Streams {
    /// By identifier: new ones are always the highest.
    open: Vec<Stream>,
    reset_kept: usize,
    reset: VecDeque<StreamId>,
    ended: [StreamId; ENDED_KEPT],
    ended_next: usize,
}

impl Streams {
    /// `most`: streams that may be open at once.
    pub fn new(most: u32) -> Streams {
        let reset_kept = (most as usize).saturating_mul(2).clamp(*RESET_KEPT.start(), *RESET_KEPT.end());
        Streams { reset_kept, ..Streams::default() }
    }

    pub fn len(&self) -> usize {
        self.open.len()
    }

    pub fn get(&self, id: StreamId) -> Option<&Stream> {
        self.position(id).map(|at| &self.open[at])
    }

    pub fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.position(id).map(|at| &mut self.open[at])
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.open.iter_mut()
    }

    /// Adds a stream whose identifier is above all others.
    pub fn insert(&mut self, stream: Stream) {
        debug_assert!(self.open.last().is_none_or(|last| last.id < stream.id));
        self.open.push(stream);
    }

    /// Removes the stream if both sides have ended.
    pub fn close_if_ended(&mut self, id: StreamId) {
        if let Some(at) = self.position(id)
            && self.open[at].remote == Side::Ended
            && self.open[at].local == Side::Ended
        {
            self.open.remove(at);
            self.remember_ended(id);
        }
    }

    /// The peer reset it. True if it was open.
    pub fn reset_by_peer(&mut self, id: StreamId) -> bool {
        self.forget_reset(id);
        let Some(at) = self.position(id) else { return false };
        self.open.remove(at);
        self.remember_ended(id);
        true
    }

    /// We reset it. True if it was open.
    pub fn reset_by_us(&mut self, id: StreamId) -> bool {
        let Some(at) = self.position(id) else { return false };
        let stream = self.open.remove(at);
        match stream.remote {
            Side::Ended => self.remember_ended(id),
            Side::Head | Side::Body => self.remember_reset(id),
        }
        true
    }

    /// Frames of this stream may still be on their way and mean nothing.
    pub fn remember_reset(&mut self, id: StreamId) {
        if self.reset.len() == self.reset_kept {
            self.reset.pop_front();
        }
        self.reset.push_back(id);
    }

    /// The other side of a stream that we reset has ended as well.
    pub fn forget_reset(&mut self, id: StreamId) {
        if let Some(at) = self.reset.iter().position(|&r| r == id) {
            self.reset.remove(at);
            self.remember_ended(id);
        }
    }

    pub fn was_reset_by_us(&self, id: StreamId) -> bool {
        self.reset.contains(&id)
    }

    pub fn ended_lately(&self, id: StreamId) -> bool {
        self.ended.contains(&id)
    }

    pub fn remember_ended(&mut self, id: StreamId) {
        self.ended[self.ended_next] = id;
        self.ended_next = (self.ended_next + 1) % ENDED_KEPT;
    }

    fn position(&self, id: StreamId) -> Option<usize> {
        // Nearly always the youngest, or there are few.
        match self.open.last() {
            Some(last) if last.id == id => Some(self.open.len() - 1),
            _ => self.open.binary_search_by_key(&id, |s| s.id).ok(),
        }
    }
}
