//! Reading blocks of field lines (RFC 9113 §4.3, §8.1): HEADERS and CONTINUATION, what they are on their stream, and
//! the heads and trailers they become. A block is bounded in bytes and frames.

use super::super::error::{ConnectionError, ErrorCode};
use super::super::flow::{ReceiveWindow, SendWindow};
use super::super::frame::{FrameHeader, flag};
use super::super::head::{Expect, Facts};
use super::super::{StreamId, empty};
use super::receive::{Cursor, Fault, Outcome, Step};
use super::streams::{Side, Stream};
use super::{Connection, Event, Role};

/// What becomes of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It opens a stream.
    Request,
    Response,
    Trailers,
    /// Decoded for the table and forgotten: the stream was reset, or is above the one that GOAWAY named.
    Forget,
    /// As that, and its stream is reset.
    Refuse(ErrorCode),
}

/// The block that is being received; none while `stream` is 0.
#[derive(Debug)]
pub struct Block {
    pub stream: StreamId,
    pub purpose: Purpose,
    pub end_stream: bool,
    pub empty_frames: u32,
    /// What came of it in earlier pieces; stays empty if all of it lies in one input.
    pub bytes: Vec<u8>,
}

impl Default for Block {
    fn default() -> Block {
        Block { stream: 0, purpose: Purpose::Forget, end_stream: false, empty_frames: 0, bytes: Vec::new() }
    }
}

/// The encoded block may be so many times as large as the head may be: Huffman coding of rare bytes makes text larger.
pub const BLOCK_FACTOR: usize = 2;

/// A block takes at most so many frames that bring nothing; its bytes bound the others.
pub const BLOCK_EMPTY_FRAMES: u32 = 64;

impl Block {
    pub fn begin(&mut self, stream: StreamId, purpose: Purpose, end_stream: bool) {
        self.bytes.clear();
        (self.stream, self.purpose, self.end_stream, self.empty_frames) = (stream, purpose, end_stream, 0);
    }

    /// The block was decoded: keeps the memory of its bytes for the next one.
    pub fn finish(&mut self, bytes: Vec<u8>) {
        (self.stream, self.bytes) = (0, bytes);
        empty(&mut self.bytes);
    }
}

impl Connection {
    pub(super) fn begin_headers(&mut self) -> Outcome {
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
    pub(super) fn headers_of(&mut self, len: u32) -> Outcome {
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
            _ if self.is_beyond_end(id) => Ok(Purpose::Forget),
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
        if self.is_beyond_end(id) {
            return Ok(Purpose::Forget);
        }
        if self.streams.len() >= self.config.max_concurrent_streams as usize {
            return Ok(Purpose::Refuse(ErrorCode::REFUSED_STREAM));
        }
        Ok(Purpose::Request)
    }

    /// A final GOAWAY has said that the stream is not looked at.
    fn is_beyond_end(&self, id: StreamId) -> bool {
        self.final_stream.is_some_and(|last| id > last)
    }

    pub(super) fn begin_continuation(&mut self) -> Outcome {
        if self.block.stream == 0 {
            return Err(ConnectionError::Continuation.into());
        }
        if self.frame.len == 0 && !self.frame.has(flag::END_HEADERS) {
            self.glitches.idle_frame();
            self.block.empty_frames += 1;
            if self.block.empty_frames > BLOCK_EMPTY_FRAMES {
                return Err(ConnectionError::HeadersFlood.into());
            }
        }
        self.step = Step::Fragment;
        Ok(None)
    }

    fn block_bytes_max(&self) -> usize {
        self.config.head_bytes.saturating_mul(BLOCK_FACTOR)
    }

    pub(super) fn fragment(&mut self, cursor: &mut Cursor<'_>) -> Outcome {
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
        if self.config.role == Role::Server {
            // The stream begins here: until now GOAWAY did not name it.
            self.highest = self.highest.max(self.block.stream);
            if self.block.purpose == Purpose::Request && self.is_beyond_end(self.block.stream) {
                self.block.purpose = Purpose::Forget;
            }
        }
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
        // RFC 9110 §9.3.6: CONNECT has no content, so nothing can announce its length; one with `:protocol` neither, whose
        // DATA would else be a body to the next server and bytes of a tunnel to us.
        let expected = facts.content_length;
        let connect = facts.connect || self.reader.protocol().is_some();
        if (ends || connect) && expected.unwrap_or(0) > 0 {
            return Err(Fault::Stream(id, ErrorCode::PROTOCOL_ERROR));
        }
        if connect && expected.is_some() {
            self.reader.head.remove(b"content-length");
        }
        self.streams.insert(Stream {
            id,
            remote: if ends { Side::Ended } else { Side::Body },
            local: Side::Head,
            send: SendWindow::new(self.send_initial),
            receive: ReceiveWindow::new(self.stream_window()),
            expected: expected.filter(|_| !connect),
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
}
