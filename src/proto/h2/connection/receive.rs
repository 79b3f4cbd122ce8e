//! Reading: frames as they come, each checked against the state of its stream (RFC 9113 §5, §6).
//!
//! A step takes something short (a header, a setting) or a piece of a payload. Whatever cannot be waited for in the
//! input is small enough for `partial`, but for blocks of fields, which [`Block`](super::block::Block) bounds.

use super::super::error::{ConnectionError, ErrorCode};
use super::super::flow::{ReceiveWindow, SendWindow, WINDOW_DEFAULT};
use super::super::frame::{self, FrameHeader, flag, kind};
use super::super::head::{Expect, Facts};
use super::super::settings::MIN_MAX_FRAME_SIZE;
use super::super::{PREFACE, StreamId};
use super::block::{BLOCK_FACTOR, BLOCK_FRAMES, Purpose};
use super::streams::{Side, Stream};
use super::{ANSWERS_MAX, Connection, Event, Role};

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Preface,
    Header,
    /// The length of padding, before anything else of DATA or HEADERS.
    PadLength,
    /// The priority in HEADERS.
    HeadersPriority,
    Data,
    Fragment,
    Setting,
    /// The payload of PRIORITY, RST_STREAM, PING, WINDOW_UPDATE, or the part of GOAWAY that matters.
    Short,
    /// The rest of a payload, padding too, means nothing.
    Skip,
}

/// What a step may end in besides an event.
enum Fault {
    Connection(ConnectionError),
    /// RST_STREAM.
    Stream(StreamId, ErrorCode),
}

impl From<ConnectionError> for Fault {
    fn from(error: ConnectionError) -> Fault {
        Fault::Connection(error)
    }
}

/// None: go on with the next step.
type Outcome = Result<Option<Event>, Fault>;

/// The input and how far it is used.
struct Cursor<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.input[self.at..]
    }

    fn take(&mut self, most: usize) -> &'a [u8] {
        let rest = self.rest();
        let taken = &rest[..most.min(rest.len())];
        self.at += taken.len();
        taken
    }
}

impl Connection {
    /// Reads from `input` until there is something to tell. Gives how many bytes are done with, and the event; call
    /// again with the rest until [`Event::NeedMore`]. Answers (acknowledgements, resets) are appended to `out`: at most
    /// some 13 bytes for each 9 of input, and no more than [`ANSWERS_MAX`](super::ANSWERS_MAX) without
    /// [`Connection::drained`]. On error GOAWAY is in `out`, the connection is over, and every later call gives the
    /// same error.
    pub fn receive(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(usize, Event), ConnectionError> {
        if let Some(error) = self.dead {
            return Err(error);
        }
        let mut cursor = Cursor { input, at: 0 };
        if let Some(event) = self.next_event.take() {
            return Ok((0, event));
        }
        loop {
            match self.step(&mut cursor, out) {
                Ok(None) => {}
                Ok(Some(event)) => return Ok((cursor.at, event)),
                Err(Fault::Connection(error)) => return Err(self.die(error, out)),
                Err(Fault::Stream(stream, code)) => match self.refuse(stream, code, out) {
                    Ok(()) => return Ok((cursor.at, Event::Refused { stream, code })),
                    Err(error) => return Err(self.die(error, out)),
                },
            }
        }
    }

    fn step(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Outcome {
        match self.step {
            Step::Preface => self.preface(cursor),
            Step::Header => match self.short(cursor) {
                Some(bytes) => self.begin(FrameHeader::parse(bytes), out),
                None => Ok(Some(Event::NeedMore)),
            },
            Step::PadLength => match self.short(cursor) {
                Some([padding]) => self.pad_length(padding, out),
                None => Ok(Some(Event::NeedMore)),
            },
            Step::HeadersPriority => match self.short(cursor) {
                Some([a, b, c, d, _weight]) => {
                    self.left -= 5;
                    self.not_on_itself([a, b, c, d])?;
                    self.step = Step::Fragment;
                    Ok(None)
                }
                None => Ok(Some(Event::NeedMore)),
            },
            Step::Data => self.data(cursor),
            Step::Fragment => self.fragment(cursor),
            Step::Setting => self.setting(cursor, out),
            Step::Short => self.short_payload(cursor, out),
            Step::Skip => self.skip(cursor, out),
        }
    }

    /// N bytes, from earlier inputs and this one.
    fn short<const N: usize>(&mut self, cursor: &mut Cursor<'_>) -> Option<[u8; N]> {
        let held = usize::from(self.partial_len);
        if held == 0
            && let Some(whole) = cursor.rest().first_chunk::<N>()
        {
            cursor.at += N;
            return Some(*whole);
        }
        let more = cursor.take(N - held);
        self.partial[held..held + more.len()].copy_from_slice(more);
        self.partial_len += more.len() as u8;
        if usize::from(self.partial_len) < N {
            return None;
        }
        self.partial_len = 0;
        self.partial.first_chunk::<N>().copied()
    }

    fn preface(&mut self, cursor: &mut Cursor<'_>) -> Outcome {
        let matched = usize::from(self.partial_len);
        let piece = cursor.take(PREFACE.len() - matched);
        if piece != &PREFACE[matched..matched + piece.len()] {
            return Err(ConnectionError::Preface.into());
        }
        self.partial_len += piece.len() as u8;
        if usize::from(self.partial_len) < PREFACE.len() {
            return Ok(Some(Event::NeedMore));
        }
        (self.partial_len, self.step) = (0, Step::Header);
        Ok(None)
    }

    /// A frame begins.
    fn begin(&mut self, frame: FrameHeader, out: &mut Vec<u8>) -> Outcome {
        (self.frame, self.left, self.padding) = (frame, frame.len, 0);
        if frame.len > self.config.max_frame_size {
            return Err(ConnectionError::FrameSize.into());
        }
        // RFC 9113 §3.4: SETTINGS come first.
        if !self.got_settings && (frame.kind != kind::SETTINGS || frame.has(flag::ACK)) {
            return Err(ConnectionError::Preface.into());
        }
        if self.block.stream != 0 && (frame.kind != kind::CONTINUATION || frame.stream != self.block.stream) {
            return Err(ConnectionError::Continuation.into());
        }
        let fixed = |len: u32, step: Step| if frame.len == len { Ok(step) } else { Err(ConnectionError::FrameSize) };
        self.step = match frame.kind {
            kind::DATA => return self.begin_data(out),
            kind::HEADERS => return self.begin_headers(),
            kind::CONTINUATION => return self.begin_continuation(),
            // A stream error in RFC 9113 §6.3; like HAProxy 3.4 we make an end.
            kind::PRIORITY => fixed(5, Step::Short)?,
            kind::RST_STREAM => fixed(4, Step::Short)?,
            kind::PING => fixed(8, Step::Short)?,
            kind::WINDOW_UPDATE => fixed(4, Step::Short)?,
            kind::GOAWAY if frame.len < 8 => return Err(ConnectionError::FrameSize.into()),
            kind::GOAWAY => Step::Short,
            kind::SETTINGS => self.begin_settings()?,
            kind::PUSH_PROMISE => return Err(ConnectionError::Push.into()),
            _ => {
                self.glitches.idle_frame();
                Step::Skip
            }
        };
        let on_stream = matches!(frame.kind, kind::PRIORITY | kind::RST_STREAM);
        let on_connection = matches!(frame.kind, kind::PING | kind::GOAWAY | kind::SETTINGS);
        if (on_stream && frame.stream == 0) || (on_connection && frame.stream != 0) {
            return Err(ConnectionError::WrongStream.into());
        }
        Ok(None)
    }

    // DATA.

    fn begin_data(&mut self, out: &mut Vec<u8>) -> Outcome {
        let FrameHeader { stream: id, len, .. } = self.frame;
        if id == 0 || self.is_idle(id) {
            return Err(ConnectionError::WrongStream.into());
        }
        if self.frame.has(flag::PADDED) && len == 0 {
            return Err(ConnectionError::FrameSize.into());
        }
        self.receive_window.receive(len).map_err(|_| ConnectionError::FlowControl)?;
        self.step = Step::Skip;
        let ends = self.frame.has(flag::END_STREAM);
        let Some(stream) = self.streams.get_mut(id) else {
            return self.data_after_all(id, ends, out);
        };
        match stream.remote {
            Side::Ended => return Err(Fault::Stream(id, ErrorCode::STREAM_CLOSED)),
            // RFC 9113 §8.1: the head comes first.
            Side::Head => return Err(Fault::Stream(id, ErrorCode::PROTOCOL_ERROR)),
            Side::Body => {}
        }
        if stream.receive.receive(len).is_err() {
            return Err(Fault::Stream(id, ErrorCode::FLOW_CONTROL_ERROR));
        }
        if len == 0 && !ends {
            self.glitches.idle_frame();
            return Ok(None);
        }
        if self.frame.has(flag::PADDED) {
            self.step = Step::PadLength;
            return Ok(None);
        }
        self.data_of(len)
    }

    /// DATA of a stream that is over. What was on its way when we reset it means nothing; other is answered as in
    /// HAProxy 3.4, by a reset, though RFC 9113 §5.1 would have the connection end.
    fn data_after_all(&mut self, id: StreamId, ends: bool, out: &mut Vec<u8>) -> Outcome {
        if self.streams.was_reset_by_us(id) {
            if ends {
                self.streams.forget_reset(id);
            }
        } else if self.final_stream.is_none_or(|last| id <= last) {
            self.answer()?;
            self.glitches.add();
            frame::rst_stream(id, ErrorCode::STREAM_CLOSED, out);
        }
        Ok(None)
    }

    fn pad_length(&mut self, padding: u8, out: &mut Vec<u8>) -> Outcome {
        self.left -= 1;
        self.padding = u32::from(padding);
        if self.padding > self.left {
            return Err(ConnectionError::Padding.into());
        }
        if self.frame.kind == kind::DATA {
            self.release(self.frame.stream, 1, out);
            return self.data_of(self.left - self.padding);
        }
        self.headers_of(self.left - self.padding)
    }

    /// A DATA frame brings `len` bytes: are they as many as Content-Length announced (RFC 9113 §8.1.1)?
    fn data_of(&mut self, len: u32) -> Outcome {
        let id = self.frame.stream;
        let ends = self.frame.has(flag::END_STREAM);
        self.step = Step::Skip;
        let Some(stream) = self.streams.get_mut(id) else { return Ok(None) };
        if let Some(expected) = &mut stream.expected {
            match expected.checked_sub(u64::from(len)) {
                Some(rest) if rest == 0 || !ends => *expected = rest,
                _ => return Err(Fault::Stream(id, ErrorCode::PROTOCOL_ERROR)),
            }
        }
        if len == 0 && !ends {
            self.glitches.idle_frame();
        } else {
            self.step = Step::Data;
        }
        Ok(None)
    }

    fn data(&mut self, cursor: &mut Cursor<'_>) -> Outcome {
        let stream = self.frame.stream;
        // The owner may have reset the stream between two pieces.
        if self.streams.get(stream).is_none_or(|s| s.remote != Side::Body) {
            self.step = Step::Skip;
            if self.frame.has(flag::END_STREAM) {
                self.streams.forget_reset(stream);
            }
            return Ok(None);
        }
        let start = cursor.at;
        let piece = cursor.take((self.left - self.padding) as usize).len();
        self.left -= piece as u32;
        let complete = self.left == self.padding;
        if piece == 0 && !complete {
            return Ok(Some(Event::NeedMore));
        }
        let end = complete && self.frame.has(flag::END_STREAM);
        if complete {
            self.step = Step::Skip;
        }
        if piece > 0 {
            self.glitches.progress();
        }
        if end {
            self.remote_ended(stream);
        }
        Ok(Some(Event::Data { stream, range: start..cursor.at, end }))
    }

    /// Padding, and payloads that mean nothing. Those of DATA are released on the spot.
    fn skip(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Outcome {
        let piece = cursor.take(self.left as usize).len();
        self.left -= piece as u32;
        if self.frame.kind == kind::DATA && piece > 0 {
            self.release(self.frame.stream, piece, out);
        }
        if self.left > 0 {
            return Ok(Some(Event::NeedMore));
        }
        self.step = Step::Header;
        Ok(None)
    }

    // HEADERS and CONTINUATION.

    fn begin_headers(&mut self) -> Outcome {
        let frame = self.frame;
        if frame.stream == 0 {
            return Err(ConnectionError::WrongStream.into());
        }
        let purpose = self.purpose_of_headers()?;
        self.block.begin(frame.stream, purpose, frame.has(flag::END_STREAM));
        if frame.has(flag::PADDED) {
            self.step = Step::PadLength;
            return if frame.len == 0 { Err(ConnectionError::FrameSize.into()) } else { Ok(None) };
        }
        self.headers_of(frame.len)
    }

    /// HEADERS bring `len` bytes after the length of their padding.
    fn headers_of(&mut self, len: u32) -> Outcome {
        self.step = Step::Fragment;
        if self.frame.has(flag::PRIORITY) {
            self.step = Step::HeadersPriority;
            if len < 5 {
                return Err(ConnectionError::FrameSize.into());
            }
        }
        Ok(None)
    }

    /// What HEADERS on this stream are.
    fn purpose_of_headers(&mut self) -> Result<Purpose, ConnectionError> {
        let FrameHeader { stream: id, .. } = self.frame;
        let ends = self.frame.has(flag::END_STREAM);
        if let Some(stream) = self.streams.get(id) {
            return Ok(match stream.remote {
                Side::Head => Purpose::Response,
                Side::Body if ends => Purpose::Trailers,
                // RFC 9113 §8.1: the second block ends the message.
                Side::Body => Purpose::Refuse(ErrorCode::PROTOCOL_ERROR),
                Side::Ended => Purpose::Refuse(ErrorCode::STREAM_CLOSED),
            });
        }
        if self.is_idle(id) {
            return self.purpose_of_new(id);
        }
        if self.streams.was_reset_by_us(id) {
            if ends {
                self.streams.forget_reset(id);
            }
            return Ok(Purpose::Forget);
        }
        match self.config.role {
            _ if self.final_stream.is_some_and(|last| id > last) => Ok(Purpose::Forget),
            // A late end of a stream that we reset long ago: nothing that would have to stop all others.
            Role::Client => Ok(Purpose::Refuse(ErrorCode::STREAM_CLOSED)),
            Role::Server if self.streams.ended_lately(id) => Err(ConnectionError::StreamClosed),
            Role::Server => Err(ConnectionError::StreamId),
        }
    }

    fn purpose_of_new(&mut self, id: StreamId) -> Result<Purpose, ConnectionError> {
        // RFC 9113 §5.1.1; servers open none, as we refuse PUSH_PROMISE.
        if self.config.role == Role::Client || id.is_multiple_of(2) {
            return Err(ConnectionError::StreamId);
        }
        self.highest = id;
        if self.final_stream.is_some_and(|last| id > last) {
            return Ok(Purpose::Forget);
        }
        if self.streams.len() >= self.config.max_concurrent_streams as usize {
            return Ok(Purpose::Refuse(ErrorCode::REFUSED_STREAM));
        }
        Ok(Purpose::Request)
    }

    fn begin_continuation(&mut self) -> Outcome {
        if self.block.stream == 0 {
            return Err(ConnectionError::Continuation.into());
        }
        if self.frame.len == 0 && !self.frame.has(flag::END_HEADERS) {
            self.glitches.idle_frame();
        }
        self.block.frames += 1;
        let frames = BLOCK_FRAMES + (self.block_bytes_max() as u32).div_ceil(MIN_MAX_FRAME_SIZE);
        if self.block.frames > frames {
            return Err(ConnectionError::HeadersFlood.into());
        }
        self.step = Step::Fragment;
        Ok(None)
    }

    fn block_bytes_max(&self) -> usize {
        self.config.head_bytes.saturating_mul(BLOCK_FACTOR)
    }

    fn fragment(&mut self, cursor: &mut Cursor<'_>) -> Outcome {
        let piece = cursor.take((self.left - self.padding) as usize);
        self.left -= piece.len() as u32;
        let complete = self.left == self.padding;
        if self.block.bytes.len() + piece.len() > self.block_bytes_max() {
            return Err(ConnectionError::HeadersFlood.into());
        }
        if complete {
            self.step = Step::Skip;
            if self.frame.has(flag::END_HEADERS) {
                return self.block_complete(piece);
            }
        }
        self.block.bytes.extend_from_slice(piece);
        if complete { Ok(None) } else { Ok(Some(Event::NeedMore)) }
    }

    /// The last piece of a block: decodes it.
    fn block_complete(&mut self, last: &[u8]) -> Outcome {
        let expect = match self.block.purpose {
            Purpose::Request => Expect::Request,
            Purpose::Response => Expect::Response,
            Purpose::Trailers => Expect::Trailers,
            Purpose::Forget | Purpose::Refuse(_) => Expect::Nothing,
        };
        let mut bytes = std::mem::take(&mut self.block.bytes);
        let whole = if bytes.is_empty() {
            last
        } else {
            bytes.extend_from_slice(last);
            &bytes
        };
        self.reader.start(expect);
        let decoded = self.decoder.decode(whole, |name, value| self.reader.field(name, value));
        let (id, purpose, ends) = (self.block.stream, self.block.purpose, self.block.end_stream);
        self.block.finish(bytes);
        if !decoded.map_err(ConnectionError::Hpack)? {
            return Err(ConnectionError::HeadersFlood.into());
        }
        self.glitches.progress();
        // The owner may have reset the stream while the block came.
        let is_gone = matches!(purpose, Purpose::Response | Purpose::Trailers) && self.streams.get(id).is_none();
        if is_gone {
            if ends {
                self.streams.forget_reset(id);
            }
            return Ok(None);
        }
        if let Purpose::Refuse(code) = purpose {
            return Err(Fault::Stream(id, code));
        }
        if purpose == Purpose::Forget {
            return Ok(None);
        }
        let facts = self.reader.finish().map_err(|_| Fault::Stream(id, ErrorCode::PROTOCOL_ERROR))?;
        match purpose {
            Purpose::Request => self.request(id, facts, ends),
            Purpose::Response => self.response(id, facts, ends),
            _ => self.trailers(id),
        }
    }

    fn request(&mut self, id: StreamId, facts: Facts, ends: bool) -> Outcome {
        // RFC 9110 §9.3.6: CONNECT has no content, so nothing can announce its length.
        let expected = facts.content_length;
        if (ends || facts.connect) && expected.unwrap_or(0) > 0 {
            return Err(Fault::Stream(id, ErrorCode::PROTOCOL_ERROR));
        }
        self.streams.insert(Stream {
            id,
            remote: if ends { Side::Ended } else { Side::Body },
            local: Side::Head,
            send: SendWindow::new(self.peer.initial_window_size),
            receive: ReceiveWindow::new(self.stream_window()),
            expected: expected.filter(|_| !facts.connect),
            head_request: false,
            connect: facts.connect,
        });
        Ok(Some(Event::Head { stream: id, end: ends }))
    }

    fn response(&mut self, id: StreamId, facts: Facts, ends: bool) -> Outcome {
        let status = self.reader.head.status();
        let Some(stream) = self.streams.get_mut(id) else { return Ok(None) };
        if status < 200 {
            // RFC 9113 §8.1: an interim response does not end anything.
            return if ends {
                Err(Fault::Stream(id, ErrorCode::PROTOCOL_ERROR))
            } else {
                Ok(Some(Event::Head { stream: id, end: false }))
            };
        }
        let bodiless = stream.head_request || matches!(status, 204 | 304);
        stream.expected = match facts.content_length {
            _ if bodiless => Some(0),
            _ if stream.connect && status < 300 => None,
            length => length,
        };
        stream.remote = Side::Body;
        if ends {
            if stream.expected.unwrap_or(0) > 0 {
                return Err(Fault::Stream(id, ErrorCode::PROTOCOL_ERROR));
            }
            self.remote_ended(id);
        }
        Ok(Some(Event::Head { stream: id, end: ends }))
    }

    fn trailers(&mut self, id: StreamId) -> Outcome {
        if self.streams.get(id).is_some_and(|s| s.expected.unwrap_or(0) > 0) {
            return Err(Fault::Stream(id, ErrorCode::PROTOCOL_ERROR));
        }
        self.remote_ended(id);
        Ok(Some(Event::Trailers { stream: id }))
    }

    fn remote_ended(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(id) {
            stream.remote = Side::Ended;
        }
        self.streams.close_if_ended(id);
    }

    // SETTINGS.

    fn begin_settings(&mut self) -> Result<Step, ConnectionError> {
        let frame = self.frame;
        if frame.stream != 0 {
            return Err(ConnectionError::WrongStream);
        }
        if frame.has(flag::ACK) {
            if frame.len != 0 {
                return Err(ConnectionError::FrameSize);
            }
            self.settings_acknowledged()?;
            return Ok(Step::Skip);
        }
        if !frame.len.is_multiple_of(6) {
            return Err(ConnectionError::FrameSize);
        }
        if self.got_settings {
            self.glitches.idle_frame();
        }
        self.got_settings = true;
        Ok(Step::Setting)
    }

    /// What we announced holds from here on.
    fn settings_acknowledged(&mut self) -> Result<(), ConnectionError> {
        if self.acknowledged {
            self.glitches.idle_frame();
            return Ok(());
        }
        self.acknowledged = true;
        self.decoder.set_limit(self.config.header_table_size as usize);
        let delta = i64::from(self.config.initial_window_size) - i64::from(WINDOW_DEFAULT);
        let shifted = self.streams.iter_mut().all(|stream| stream.receive.shift(delta).is_ok());
        if shifted { Ok(()) } else { Err(ConnectionError::FlowControl) }
    }

    fn setting(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Outcome {
        if self.left > 0 {
            let Some(entry) = self.short(cursor) else { return Ok(Some(Event::NeedMore)) };
            self.left -= 6;
            let before = self.peer.initial_window_size;
            self.peer.apply(entry, self.config.role == Role::Client)?;
            self.encoder.set_limit(self.peer.header_table_size as usize);
            let delta = i64::from(self.peer.initial_window_size) - i64::from(before);
            // RFC 9113 §6.9.2: it moves the windows of all streams, and not the connection's.
            let shifted = delta == 0 || self.streams.iter_mut().all(|stream| stream.send.shift(delta).is_ok());
            return if shifted { Ok(None) } else { Err(ConnectionError::FlowControl.into()) };
        }
        self.answer()?;
        frame::settings_ack(out);
        self.step = Step::Header;
        self.next_event = Some(Event::Opened(0));
        Ok(Some(Event::Settings))
    }

    // The rest.

    fn short_payload(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Outcome {
        let more = Ok(Some(Event::NeedMore));
        match self.frame.kind {
            kind::PING | kind::GOAWAY => {
                let Some(bytes) = self.short::<8>(cursor) else { return more };
                self.left -= 8;
                self.step = Step::Skip;
                if self.frame.kind == kind::PING { self.got_ping(bytes, out) } else { self.got_goaway(bytes) }
            }
            kind::PRIORITY => {
                let Some([a, b, c, d, _weight]) = self.short(cursor) else { return more };
                self.left -= 5;
                self.step = Step::Skip;
                self.glitches.idle_frame();
                self.not_on_itself([a, b, c, d])?;
                Ok(None)
            }
            _ => {
                let Some(bytes) = self.short::<4>(cursor) else { return more };
                self.left -= 4;
                self.step = Step::Skip;
                if self.frame.kind == kind::RST_STREAM { self.got_reset(bytes) } else { self.got_window(bytes) }
            }
        }
    }

    /// RFC 7540 §5.3.1; RFC 9113 §5.3 knows no priorities any more, but HAProxy 3.4 still refuses this.
    fn not_on_itself(&self, dependency: [u8; 4]) -> Result<(), ConnectionError> {
        if frame::u31(dependency) == self.frame.stream { Err(ConnectionError::Priority) } else { Ok(()) }
    }

    fn got_reset(&mut self, code: [u8; 4]) -> Outcome {
        let stream = self.frame.stream;
        if self.is_idle(stream) {
            return Err(ConnectionError::WrongStream.into());
        }
        let code = ErrorCode(u32::from_be_bytes(code));
        if !self.streams.reset_by_peer(stream) {
            self.glitches.idle_frame();
            return Ok(None);
        }
        // NO_ERROR ends an upload that a server does not need (RFC 9113 §8.1).
        if code != ErrorCode::NO_ERROR {
            self.glitches.add();
        }
        Ok(Some(Event::Reset { stream, code }))
    }

    fn got_window(&mut self, increment: [u8; 4]) -> Outcome {
        let (stream, increment) = (self.frame.stream, frame::u31(increment));
        if stream == 0 {
            if increment == 0 {
                return Err(ConnectionError::ZeroIncrement.into());
            }
            self.send_window.open(increment).map_err(|_| ConnectionError::FlowControl)?;
            return Ok(Some(Event::Opened(0)));
        }
        if self.is_idle(stream) {
            return Err(ConnectionError::WrongStream.into());
        }
        let Some(open) = self.streams.get_mut(stream) else { return Ok(None) };
        if increment == 0 {
            return Err(Fault::Stream(stream, ErrorCode::PROTOCOL_ERROR));
        }
        if open.send.open(increment).is_err() {
            return Err(Fault::Stream(stream, ErrorCode::FLOW_CONTROL_ERROR));
        }
        Ok((open.local != Side::Ended).then_some(Event::Opened(stream)))
    }

    fn got_ping(&mut self, opaque: [u8; 8], out: &mut Vec<u8>) -> Outcome {
        self.glitches.idle_frame();
        if self.frame.has(flag::ACK) {
            if self.pings == 0 {
                return Ok(None);
            }
            self.pings -= 1;
            return Ok(Some(Event::Pong));
        }
        self.answer()?;
        frame::ping(flag::ACK, opaque, out);
        Ok(None)
    }

    fn got_goaway(&mut self, bytes: [u8; 8]) -> Outcome {
        let [a, b, c, d, code @ ..] = bytes;
        self.glitches.idle_frame();
        self.peer_goes_away = true;
        Ok(Some(Event::GoAway { last: frame::u31([a, b, c, d]), code: ErrorCode(u32::from_be_bytes(code)) }))
    }

    /// The stream was never opened (RFC 9113 §5.1): neither side may speak of it but to open it.
    fn is_idle(&self, id: StreamId) -> bool {
        id > self.highest || id.is_multiple_of(2)
    }

    /// The peer is owed an answer: more than [`ANSWERS_MAX`] at once are a flood.
    fn answer(&mut self) -> Result<(), ConnectionError> {
        self.answers += 1;
        if self.answers > ANSWERS_MAX { Err(ConnectionError::Flood) } else { Ok(()) }
    }

    /// Resets a stream for the peer's fault; it may be one that never came into the table.
    fn refuse(&mut self, id: StreamId, code: ErrorCode, out: &mut Vec<u8>) -> Result<(), ConnectionError> {
        self.answer()?;
        self.glitches.add();
        let ends = match self.frame.kind {
            kind::DATA => self.frame.has(flag::END_STREAM),
            kind::HEADERS | kind::CONTINUATION => self.block.end_stream,
            _ => false,
        };
        if let Some(stream) = self.streams.get_mut(id) {
            if ends {
                stream.remote = Side::Ended;
            }
            self.streams.reset_by_us(id);
        } else if ends {
            self.streams.remember_ended(id);
        } else {
            self.streams.remember_reset(id);
        }
        frame::rst_stream(id, code, out);
        Ok(())
    }
}
