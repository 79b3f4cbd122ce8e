//! Reading: frames as they come, each checked against the state of its stream (RFC 9113 §5, §6). Here are the steps
//! and DATA; blocks of fields are in [`headers`](super::headers), all that is short in [`control`](super::control).
//!
//! A step takes something short (a header, a setting) or a piece of a payload. Whatever cannot be waited for in the
//! input is small enough for `partial`, but for blocks of fields, which [`Block`](super::headers::Block) bounds.

use super::super::error::{ConnectionError, ErrorCode};
use super::super::frame::{self, FrameHeader, flag, kind};
use super::super::{PREFACE, StreamId};
use super::streams::Side;
use super::{ANSWERS_MAX, Connection, Event};

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
pub(super) enum Fault {
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
pub(super) type Outcome = Result<Option<Event>, Fault>;

/// The input and how far it is used.
pub(super) struct Cursor<'a> {
    input: &'a [u8],
    pub at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.input[self.at..]
    }

    pub fn take(&mut self, most: usize) -> &'a [u8] {
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
    pub(super) fn short<const N: usize>(&mut self, cursor: &mut Cursor<'_>) -> Option<[u8; N]> {
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
            kind::SETTINGS => self.begin_settings(out)?,
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

    fn begin_data(&mut self, out: &mut Vec<u8>) -> Outcome {
        let FrameHeader { stream: id, len, .. } = self.frame;
        if id == 0 || self.is_idle(id) {
            return Err(ConnectionError::WrongStream.into());
        }
        if self.frame.has(flag::PADDED) && len == 0 {
            return Err(ConnectionError::FrameSize.into());
        }
        self.receive_window.receive(len).map_err(|_| ConnectionError::FlowControl)?;
        self.open_connection(out);
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

    pub(super) fn remote_ended(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(id) {
            stream.remote = Side::Ended;
        }
        self.streams.close_if_ended(id);
    }

    /// The stream was never opened (RFC 9113 §5.1): neither side may speak of it but to open it.
    pub(super) fn is_idle(&self, id: StreamId) -> bool {
        id > self.highest || id.is_multiple_of(2)
    }

    /// The peer is owed an answer: more than [`ANSWERS_MAX`] at once are a flood.
    pub(super) fn answer(&mut self) -> Result<(), ConnectionError> {
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
