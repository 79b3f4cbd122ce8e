//! Writing: heads, the headers of DATA, resets, windows, and the end (RFC 9113 §6, §8).
//!
//! Every call about a stream that is over does nothing: its owner may not have seen yet that the peer reset it.

use super::super::StreamId;
use super::super::error::ErrorCode;
use super::super::flow::{ReceiveWindow, SendWindow};
use super::super::frame::{self, HEADER_LEN, flag, kind};
use super::super::head;
use super::streams::{Side, Stream};
use super::{Connection, Role, STREAM_ID_MAX};
use crate::proto::http::head::Head;

/// What our PING carries.
const PING: [u8; 8] = *b"ringway\0";

impl Connection {
    /// Client: a new stream for one request, if the peer's limit and ours, GOAWAY and the identifiers allow one.
    pub fn open(&mut self) -> Option<StreamId> {
        let most = self.peer.max_concurrent_streams.min(self.config.max_concurrent_streams) as usize;
        let id = if self.highest == 0 { 1 } else { self.highest + 2 };
        let refused = self.config.role == Role::Server
            || self.dead.is_some()
            || self.peer_goes_away
            || self.final_stream.is_some()
            || self.streams.len() >= most
            || id > STREAM_ID_MAX;
        if refused {
            return None;
        }
        self.highest = id;
        self.streams.insert(Stream {
            id,
            remote: Side::Head,
            local: Side::Head,
            send: SendWindow::new(self.send_initial),
            receive: ReceiveWindow::new(self.stream_window()),
            expected: None,
            head_request: false,
            connect: false,
        });
        Some(id)
    }

    /// Appends a request, or a response, interim ones too. Fields that HTTP/2 does not have are left out.
    pub fn send_head(&mut self, stream: StreamId, head: &Head, end: bool, out: &mut Vec<u8>) {
        self.send_block(stream, head, None, end, out);
    }

    /// Appends an extended CONNECT (RFC 8441 §4), if [`Connection::extended_connect_allowed`]: `head` has the absolute
    /// URI, `protocol` is `websocket`, say. The stream stays open.
    pub fn send_extended_connect(&mut self, stream: StreamId, head: &Head, protocol: &[u8], out: &mut Vec<u8>) {
        self.send_block(stream, head, Some(protocol), false, out);
    }

    fn send_block(&mut self, id: StreamId, head: &Head, protocol: Option<&[u8]>, end: bool, out: &mut Vec<u8>) {
        let Some(stream) = self.streams.get_mut(id).filter(|s| s.local == Side::Head) else { return };
        self.glitches.progress();
        let interim = !head.is_request() && head.status() < 200;
        if !interim {
            stream.local = Side::Body;
        }
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_LEN]);
        self.encoder.begin(out);
        if head.is_request() {
            stream.head_request = head.method() == b"HEAD";
            stream.connect = head.method() == b"CONNECT";
            head::write_request(head, self.config.scheme.as_bytes(), protocol, &mut self.encoder, out);
        } else {
            head::write_response(head, &mut self.encoder, out);
        }
        frame::headers_around(id, start, end && !interim, self.peer.max_frame_size as usize, out);
        if end && !interim {
            self.local_ended(id);
        }
    }

    /// Appends trailers, which end the stream.
    pub fn send_trailers(&mut self, stream: StreamId, trailers: &Head, out: &mut Vec<u8>) {
        if self.streams.get(stream).is_none_or(|s| s.local != Side::Body) {
            return;
        }
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_LEN]);
        self.encoder.begin(out);
        head::write_fields(trailers, &mut self.encoder, out);
        frame::headers_around(stream, start, true, self.peer.max_frame_size as usize, out);
        self.local_ended(stream);
    }

    /// Bytes of DATA that may go on this stream in one frame now: what the windows of the connection and the stream
    /// and the peer's frame size allow. 0 for a stream that is over.
    pub fn room(&self, stream: StreamId) -> usize {
        match self.streams.get(stream) {
            Some(open) if open.local == Side::Body => {
                self.send_window.room().min(open.send.room()).min(self.peer.max_frame_size as usize)
            }
            _ => 0,
        }
    }

    /// The stream's own window is used up (or the stream is over), while the connection has room.
    pub fn waits_for_itself(&self, stream: StreamId) -> bool {
        self.send_window.room() > 0 && self.room(stream) == 0
    }

    /// Appends the header of a DATA frame; the caller sends `len` bytes behind it, at most [`Connection::room`]. False:
    /// nothing was written, as the stream is over or has no such room, and nothing may be sent.
    #[must_use = "bytes without their header would break the connection"]
    pub fn send_data_header(&mut self, stream: StreamId, len: usize, end: bool, out: &mut Vec<u8>) -> bool {
        if len > self.room(stream) {
            return false;
        }
        let Some(open) = self.streams.get_mut(stream).filter(|s| s.local == Side::Body) else { return false };
        open.send.take(len);
        self.send_window.take(len);
        self.glitches.progress();
        frame::header(kind::DATA, if end { flag::END_STREAM } else { 0 }, stream, len, out);
        if end {
            self.local_ended(stream);
        }
        true
    }

    /// Appends RST_STREAM: the stream is over. What the peer still sends on it is forgotten.
    pub fn reset(&mut self, stream: StreamId, code: ErrorCode, out: &mut Vec<u8>) {
        // RFC 9113 §6.4: what has not begun for the peer is not reset.
        let has_begun = |s: &Stream| self.config.role == Role::Server || s.local != Side::Head;
        let is_told = self.streams.get(stream).is_some_and(has_begun);
        if self.streams.reset_by_us(stream) && is_told {
            frame::rst_stream(stream, code, out);
        }
    }

    /// The application has taken `n` bytes of DATA. Appends WINDOW_UPDATE for stream and connection once half of a
    /// window has come together. Bytes of a stream that is over must be released too: the connection's window counts
    /// them.
    pub fn release(&mut self, stream: StreamId, n: usize, out: &mut Vec<u8>) {
        if let Some(increment) = self.receive_window.release(n as u32, self.config.connection_window) {
            frame::window_update(0, increment, out);
        }
        let share = self.stream_share();
        if let Some(open) = self.streams.get_mut(stream) {
            open.release(n as u32, share, out);
        }
    }

    /// Lets the peer send `n` bytes more on this stream than its initial window, for uploads while memory is plenty.
    #[cfg(test)]
    pub fn grow_window(&mut self, stream: StreamId, n: u32, out: &mut Vec<u8>) {
        if let Some(open) = self.streams.get_mut(stream)
            && open.remote != Side::Ended
            && let Some(increment) = open.receive.grow(n)
        {
            frame::window_update(stream, increment, out);
        }
    }

    /// Appends GOAWAY. `last` None: the graceful first notice (2^31-1), after which all goes on. Otherwise it is final:
    /// heads of streams above `last` are ignored from now on.
    pub fn go_away(&mut self, last: Option<StreamId>, code: ErrorCode, out: &mut Vec<u8>) {
        // RFC 9113 §6.8: it may only fall.
        let last = match (last, self.final_stream) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.final_stream = last;
        frame::goaway(last.unwrap_or(STREAM_ID_MAX), code, out);
    }

    /// Appends PING; [`Event::Pong`](super::Event::Pong) answers.
    pub fn ping(&mut self, out: &mut Vec<u8>) {
        self.pings = self.pings.saturating_add(1);
        frame::ping(0, PING, out);
    }

    fn local_ended(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(id) {
            stream.local = Side::Ended;
        }
        self.streams.close_if_ended(id);
    }
}
