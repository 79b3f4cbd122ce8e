//! Message bodies on their way: read by the sender's framing, written by the receiver's. Data is passed on in the
//! buffers it arrived in; framing bytes are ours, so that both sides always agree about where a message ends.

use super::super::filter::Filter;
use super::super::mux::Reader;
use super::super::transport::{SendError, Transport};
use super::http::Served;
use crate::base::buf::Block;
use crate::base::clock::Millis;
use crate::engine::task::before;
use crate::engine::{Chain, Piece};
use crate::proto::h1::chunked::{Decoder, Event};
use crate::proto::h1::encode;
use crate::proto::h1::error::{ParseError, Side};
use crate::proto::h1::framing::Framing;
use crate::proto::h1::parse::Limits;
use crate::proto::http::head::Head;
use std::future::poll_fn;
use std::task::Poll;

/// What has arrived of a body goes on together up to about so many bytes.
const JOIN_MAX: usize = 32 * 1024;
/// Pieces that data takes in a chain with its framing; the body's end is one more.
const PIECES_FRAMED: usize = 3;

/// Bytes left of a message body, as its sender frames it.
pub enum Remaining {
    Nothing,
    Length(u64),
    Chunked(Box<Decoder>),
    UntilClose,
    /// Its protocol says where it ends: HTTP/2.
    Stream(Reader),
}

/// Reads one body.
pub struct Body {
    pub remaining: Remaining,
    /// Bytes that arrived and are not looked at yet.
    pub pending: Piece,
    /// Data taken early, for rules that look at it; sent before anything else.
    pub gathered: Vec<u8>,
    announced: Option<u64>,
    /// Those of a stream, once it is complete.
    trailers: Option<Box<Head>>,
    /// `option http-drop-request-trailers` or its twin for responses: they do not go on.
    trailers_dropped: bool,
    /// Its sender waits for 100 (Continue) before it begins (RFC 9110 §10.1.1).
    held_back: bool,
    /// What went wrong behind data that was read ahead; told by the next read.
    failed: Option<ReadError>,
}

/// What a read of a body gave.
pub enum Read {
    Data(Piece),
    /// The body is complete.
    End,
}

#[derive(Debug)]
pub enum ReadError {
    TimedOut,
    /// The sender closed or broke before the end.
    Broken,
    Malformed(ParseError),
}

impl Body {
    /// The body behind a head that came `from` there; `pending` was received with it.
    pub fn new(from: &Transport, framing: Framing, side: Side, limits: &Limits, pending: Piece) -> Body {
        let remaining = match (framing, from.stream()) {
            (Framing::None, _) => Remaining::Nothing,
            (_, Some(stream)) => Remaining::Stream(stream.reader()),
            (Framing::Length(0), _) => Remaining::Nothing,
            (Framing::Length(n), _) => Remaining::Length(n),
            (Framing::Chunked, _) => Remaining::Chunked(Box::new(Decoder::new(side, limits))),
            (Framing::UntilClose | Framing::Tunnel, _) => Remaining::UntilClose,
        };
        let announced = match framing {
            Framing::Length(n) => Some(n),
            _ => None,
        };
        Body { remaining, pending, announced, ..Body::nothing() }
    }

    /// A body of which nothing is left.
    pub fn nothing() -> Body {
        Body {
            remaining: Remaining::Nothing,
            pending: Piece::Empty,
            gathered: Vec::new(),
            announced: None,
            trailers: None,
            trailers_dropped: false,
            held_back: false,
            failed: None,
        }
    }

    /// A body that nobody will read.
    pub fn unread() -> Body {
        Body { remaining: Remaining::UntilClose, ..Body::nothing() }
    }

    /// Its length, when the head said it.
    pub fn announced(&self) -> Option<u64> {
        self.announced
    }

    /// Whether its sender asked for 100 (Continue).
    pub fn expect_continue(&mut self, expected: bool) {
        self.held_back = expected;
    }

    /// Whether its sender has to be told to begin; nothing has come so far.
    pub fn is_held_back(&self) -> bool {
        self.held_back && !self.sender_done() && self.gathered.is_empty() && self.pending.bytes().is_empty()
    }

    /// What rules see of it, and whether that is all: what was gathered, or else what came with the head.
    pub fn arrived(&self) -> (&[u8], bool) {
        let pending = self.pending.bytes();
        match self.remaining {
            Remaining::Length(left) if self.gathered.is_empty() => {
                let whole = usize::try_from(left).ok().and_then(|left| pending.get(..left));
                (whole.unwrap_or(pending), whole.is_some())
            }
            Remaining::UntilClose if self.gathered.is_empty() => (pending, false),
            _ => (&self.gathered, self.sender_done()),
        }
    }

    /// Reads data ahead until `enough` is there or the body is complete. Its sender may be silent for `silence_ms`.
    ///
    /// # Errors
    /// When `deadline` comes first, or the sender is at fault; what was gathered stays.
    pub async fn gather(
        &mut self,
        from: &Transport,
        enough: usize,
        deadline: Millis,
        silence_ms: Option<u64>,
    ) -> Result<(), ReadError> {
        while self.gathered.len() < enough && !self.sender_done() {
            let gathered = std::mem::take(&mut self.gathered);
            let silent = silence_ms.map_or(Millis::NEVER, |ms| from.rt().now().mono.plus(ms));
            let read = self.read(from, deadline.min(silent)).await;
            self.gathered = gathered;
            match read {
                Ok(Read::Data(data)) => self.gathered.extend_from_slice(data.bytes()),
                Ok(Read::End) => break,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// The next read tells of `failed`, behind the data that was gathered.
    pub fn fail_later(&mut self, failed: ReadError) {
        self.failed = Some(failed);
    }

    /// Decodes what has arrived of a chunked body, so that what is wrong with it shows now.
    pub fn look_ahead(&mut self) -> Result<(), ParseError> {
        match self.ready() {
            Ok(Some(Read::Data(data))) => self.gathered.extend_from_slice(data.bytes()),
            Err(ReadError::Malformed(e)) => return Err(e),
            _ => {}
        }
        Ok(())
    }

    /// Puts data back that was read and not used.
    pub fn give_back(&mut self, data: &[u8]) {
        let mut all = data.to_vec();
        all.append(&mut self.gathered);
        self.gathered = all;
    }

    /// Takes what has arrived of it out of the way: how many bytes, and whether that was all.
    pub fn drain(&mut self) -> (u64, bool) {
        let mut dropped = 0;
        while !self.is_complete() {
            match self.ready() {
                Ok(Some(Read::Data(data))) => dropped += data.bytes().len() as u64,
                Ok(Some(Read::End)) => break,
                Ok(None) => return (dropped, false),
                Err(e) => {
                    self.fail_later(e);
                    return (dropped, false);
                }
            }
        }
        (dropped, true)
    }

    /// Whether its end is known, and its sender, as far as we know, goes on towards it without being told to.
    pub fn goes_on(&self) -> bool {
        !matches!(self.remaining, Remaining::UntilClose) && self.failed.is_none() && !self.is_held_back()
    }

    pub fn is_complete(&self) -> bool {
        self.gathered.is_empty() && self.sender_done()
    }

    fn sender_done(&self) -> bool {
        match &self.remaining {
            Remaining::Nothing => true,
            Remaining::Chunked(decoder) => decoder.is_done(),
            _ => false,
        }
    }

    /// Bytes of an announced length that are still to come from the sender's connection, none of them read yet.
    pub fn left_unread(&self) -> Option<u64> {
        match self.remaining {
            Remaining::Length(left) if self.gathered.is_empty() && self.pending.bytes().is_empty() => Some(left),
            _ => None,
        }
    }

    /// `n` bytes of [`Body::left_unread`] went on without being read here.
    pub fn passed(&mut self, n: u64) {
        if let Remaining::Length(left) = &mut self.remaining {
            *left = left.saturating_sub(n);
            if *left == 0 {
                self.remaining = Remaining::Nothing;
            }
        }
    }

    /// Bytes that HAProxy counts for the end of a chunked body, and of any body with trailers: one, and the trailers' names
    /// and values (observed).
    pub fn counted_end(&self) -> u64 {
        match &self.remaining {
            Remaining::Chunked(d) if d.is_done() => 1 + d.trailers().counted_trailers(),
            _ => self.trailers.as_ref().map_or(0, |t| 1 + t.counted_trailers()),
        }
    }

    /// Its trailers do not go on.
    pub fn drop_trailers(&mut self) {
        self.trailers_dropped = true;
    }

    /// Trailers of a body that is complete, if they go on.
    pub fn trailers(&self) -> Option<&Head> {
        match &self.remaining {
            _ if self.trailers_dropped => None,
            Remaining::Chunked(d) if d.is_done() && !d.trailers().is_empty() => Some(d.trailers()),
            _ => self.trailers.as_deref(),
        }
    }

    /// What has already arrived of the body, without waiting. `None`: nothing yet.
    pub fn ready(&mut self) -> Result<Option<Read>, ReadError> {
        if !self.gathered.is_empty() {
            let data = Block::copy_of(&self.gathered);
            self.gathered.clear();
            return Ok(Some(Read::Data(Piece::Block(data, 0))));
        }
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        match &mut self.remaining {
            Remaining::Nothing => Ok(Some(Read::End)),
            Remaining::Chunked(decoder) if decoder.is_done() => Ok(Some(Read::End)),
            Remaining::Stream(reader) => {
                let data = reader.take_data();
                // Complete is what was read to its end, not what has arrived meanwhile.
                if reader.is_done() {
                    self.trailers = reader.take_trailers();
                    self.remaining = Remaining::Nothing;
                    return Ok(Some(data.map_or(Read::End, Read::Data)));
                }
                match data {
                    Some(data) => Ok(Some(Read::Data(data))),
                    None if reader.is_broken() => Err(ReadError::Broken),
                    None => Ok(None),
                }
            }
            _ if self.pending.bytes().is_empty() => Ok(None),
            Remaining::UntilClose => Ok(Some(Read::Data(std::mem::take(&mut self.pending)))),
            Remaining::Length(left) => {
                let have = self.pending.bytes().len() as u64;
                if have <= *left {
                    *left -= have;
                    if *left == 0 {
                        self.remaining = Remaining::Nothing;
                    }
                    return Ok(Some(Read::Data(std::mem::take(&mut self.pending))));
                }
                // More than the body: what follows belongs to the next message.
                let n = *left as usize;
                let data = Block::copy_of(&self.pending.bytes()[..n]);
                self.pending.advance(n);
                self.remaining = Remaining::Nothing;
                Ok(Some(Read::Data(Piece::Block(data, 0))))
            }
            Remaining::Chunked(decoder) => decode(decoder, &mut self.pending).map_err(ReadError::Malformed),
        }
    }

    /// The next data, waiting until `deadline`.
    pub async fn read(&mut self, from: &Transport, deadline: Millis) -> Result<Read, ReadError> {
        loop {
            if let Some(read) = self.ready()? {
                return Ok(read);
            }
            match before(from.rt(), deadline, poll_fn(|_| self.poll_more(from))).await {
                Err(_) => return Err(ReadError::TimedOut),
                Ok(more) => more?,
            }
        }
    }

    /// The next data. Its sender may be silent for `timeout_ms` while nothing is sent to it either.
    pub async fn read_within(
        &mut self,
        from: &Transport,
        timeout_ms: Option<u64>,
        served: &Served,
    ) -> Result<Read, ReadError> {
        let next = async |deadline| match self.read(from, deadline).await {
            Err(ReadError::TimedOut) => None,
            read => Some(read),
        };
        served.listen(from.rt(), timeout_ms, next).await.unwrap_or(Err(ReadError::TimedOut))
    }

    /// Waits for more of what [`Body::ready`] looks at.
    fn poll_more(&mut self, from: &Transport) -> Poll<Result<(), ReadError>> {
        if let Remaining::Stream(reader) = &self.remaining {
            return match reader.has_news() {
                true => Poll::Ready(Ok(())),
                false => Poll::Pending,
            };
        }
        from.poll_recv().map(|received| match received {
            Ok(Some(piece)) => {
                self.pending = piece;
                Ok(())
            }
            Ok(None) if matches!(self.remaining, Remaining::UntilClose) => {
                self.remaining = Remaining::Nothing;
                Ok(())
            }
            _ => Err(ReadError::Broken),
        })
    }

    /// Joins to `data` what else has arrived, up to about [`JOIN_MAX`] bytes, without waiting: the more a filter sees at
    /// once the better it compresses.
    pub fn join_ready(&mut self, from: &Transport, data: Piece) -> Piece {
        let mut joined: Option<Block> = None;
        while !self.is_complete() && joined.as_ref().map_or(data.bytes().len(), |b| b.len()) < JOIN_MAX {
            match self.poll_read(from) {
                Poll::Ready(Ok(Read::Data(more))) => {
                    joined.get_or_insert_with(|| Block::copy_of(data.bytes())).extend_from_slice(more.bytes());
                }
                Poll::Ready(Err(e)) => {
                    self.failed = Some(e);
                    break;
                }
                Poll::Ready(Ok(Read::End)) | Poll::Pending => break,
            }
        }
        joined.map_or(data, |b| Piece::Block(b, 0))
    }

    /// Data that has arrived already goes to the end of `chain` with its framing, as long as there is room and it is not
    /// more than about [`JOIN_MAX`]: one send for all of it. How many bytes of the body that is.
    pub fn join_chain(&mut self, from: &Transport, coding: Coding, chain: &mut Chain) -> u64 {
        let mut joined = 0;
        while !self.is_complete() && chain.room() > PIECES_FRAMED && chain.byte_len() < JOIN_MAX {
            match self.poll_read(from) {
                Poll::Ready(Ok(Read::Data(data))) => {
                    joined += data.bytes().len() as u64;
                    frame(coding, data, chain);
                }
                Poll::Ready(Err(e)) => {
                    self.failed = Some(e);
                    break;
                }
                Poll::Ready(Ok(Read::End)) | Poll::Pending => break,
            }
        }
        joined
    }

    /// The same, ready or not yet, for a caller that watches something else too.
    pub fn poll_read(&mut self, from: &Transport) -> Poll<Result<Read, ReadError>> {
        loop {
            match self.ready() {
                Err(e) => return Poll::Ready(Err(e)),
                Ok(Some(read)) => return Poll::Ready(Ok(read)),
                Ok(None) => {}
            }
            match self.poll_more(from) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Ready(Ok(())) => {}
            }
        }
    }
}

/// Takes what is data out of a piece of a chunked body. One run of data leaves in the buffer it came in; several are
/// gathered in a block.
fn decode(decoder: &mut Decoder, pending: &mut Piece) -> Result<Option<Read>, ParseError> {
    let mut gathered: Option<Block> = None;
    let mut at = 0;
    loop {
        let (used, event) = decoder.next(&pending.bytes()[at..])?;
        match event {
            Event::NeedMore => {
                *pending = Piece::Empty;
                return Ok(gathered.map(|b| Read::Data(Piece::Block(b, 0))));
            }
            Event::End => {
                pending.advance(at + used);
                return Ok(Some(match gathered {
                    Some(b) => Read::Data(Piece::Block(b, 0)),
                    None => Read::End,
                }));
            }
            Event::Data(range) => {
                let (start, end) = (at + range.start, at + range.end);
                at += used;
                if gathered.is_none() && end == pending.bytes().len() {
                    let mut piece = std::mem::take(pending);
                    piece.advance(start);
                    return Ok(Some(Read::Data(piece)));
                }
                gathered.get_or_insert_with(Block::take).extend_from_slice(&pending.bytes()[start..end]);
            }
        }
    }
}

/// How a body is written to its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// As it is: the length was announced, or the connection's end is the body's.
    Identity,
    Chunked,
    /// As it is, in the receiver's own frames: HTTP/2.
    Frames,
}

impl Coding {
    /// How a message that HTTP/1 would write as `self` is written `to` there.
    pub fn towards(self, to: &Transport) -> Coding {
        if to.stream().is_some() { Coding::Frames } else { self }
    }
}

/// Puts `data` with its framing at the end of a chain that has room for it.
pub fn frame(coding: Coding, data: Piece, chain: &mut Chain) {
    if coding != Coding::Chunked {
        chain.push(data);
        return;
    }
    let mut size = Block::take();
    encode::chunk_start(data.bytes().len() as u64, &mut size);
    chain.push(Piece::Block(size, 0));
    chain.push(data);
    chain.push(Piece::Static(encode::CHUNK_END));
}

/// The end of a body in its framing: it leaves with `chain`.
pub fn end(to: &Transport, coding: Coding, trailers: Option<&Head>, chain: &mut Chain) {
    if let Some(stream) = to.stream() {
        stream.end(trailers);
        return;
    }
    if coding == Coding::Identity {
        return;
    }
    match trailers {
        None => chain.push(Piece::Static(encode::LAST_CHUNK)),
        Some(trailers) => {
            let mut last = Block::take();
            encode::last_chunk(trailers, &mut last);
            chain.push(Piece::Block(last, 0));
        }
    }
}

/// Data on its way, through the filter if there is one. How many bytes of data leave.
pub fn filtered(filter: &mut Option<Filter>, coding: Coding, data: Piece, last: bool, chain: &mut Chain) -> u64 {
    let data = match filter {
        Some(filter) => filter.feed(data, last),
        None => data,
    };
    let n = data.bytes().len() as u64;
    if n > 0 {
        frame(coding, data, chain);
    }
    n
}

/// The end of a body that may have gone through a filter. How many bytes of data leave with it.
pub fn finish(to: &Transport, filter: &mut Option<Filter>, coding: Coding, body: &Body, chain: &mut Chain) -> u64 {
    let mut n = 0;
    if let Some(filter) = filter {
        let tail = filter.end();
        n = tail.bytes().len() as u64;
        if n > 0 {
            frame(coding, tail, chain);
        }
    }
    end(to, coding, body.trailers(), chain);
    n
}

/// Which side stopped a transfer.
#[derive(Debug)]
pub enum ForwardError {
    Read(ReadError),
    Send(SendError),
}
