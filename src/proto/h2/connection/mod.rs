//! One HTTP/2 connection as either side sees it: state, and the calls of its owner. Reading is in [`receive`] with
//! [`headers`] and [`control`], writing in [`send`], the streams' states in [`streams`].

mod control;
mod headers;
mod receive;
mod send;
mod streams;

use std::ops::Range;

use super::error::{ConnectionError, ErrorCode, Glitches};
use super::flow::{ReceiveWindow, SendWindow, WINDOW_DEFAULT, WINDOW_MAX};
use super::frame::{self, FrameHeader};
use super::head::{HeadReader, Limits};
use super::hpack::{DEFAULT_TABLE_SIZE, Decoder, Encoder};
use super::settings::{MAX_MAX_FRAME_SIZE, MIN_MAX_FRAME_SIZE, PeerSettings, id};
use super::{PREFACE, STREAM_ID_MAX, StreamId};
use crate::proto::http::head::Head;
use headers::Block;
use receive::Step;
use streams::Streams;

/// Which end of the connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The peer sends requests.
    Server,
    /// We send requests.
    Client,
}

/// What is announced to the peer and what bounds it.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub role: Role,
    /// Streams open at once: those the peer may open, or those we open if the peer allows more. `u32::MAX` is no limit.
    pub max_concurrent_streams: u32,
    /// Bytes of DATA that the peer may send on a stream before any is released.
    pub initial_window_size: u32,
    /// The same for the whole connection; what is below the protocol's 65535 counts as that.
    pub connection_window: u32,
    /// Bytes that all open streams share: the window of each becomes its share, at least 2^14, as its data is taken. 0:
    /// windows stay as they are.
    pub shared_window: u32,
    /// Bytes of the decoder's dynamic table.
    pub header_table_size: u32,
    /// Largest payload that we take; brought into the range from 2^14 to 2^24-1.
    pub max_frame_size: u32,
    /// Bytes of a head: names, values and what HTTP/1 writes around them.
    pub head_bytes: usize,
    /// Fields of a head, without pseudo-headers; the parts of a divided Cookie are one.
    pub head_fields: usize,
    /// Server: extended CONNECT is offered (RFC 8441).
    pub extended_connect: bool,
    /// Client: `:scheme` of a request whose URI has none: `http`, or `https` over TLS.
    pub scheme: &'static str,
}

impl Config {
    /// HAProxy's defaults for `role`, with tune.bufsize and tune.maxrewrite at theirs.
    pub fn new(role: Role) -> Config {
        Config {
            role,
            max_concurrent_streams: 100,
            initial_window_size: 16384,
            connection_window: WINDOW_MAX,
            shared_window: 0,
            header_table_size: DEFAULT_TABLE_SIZE as u32,
            max_frame_size: MIN_MAX_FRAME_SIZE,
            head_bytes: 15360,
            head_fields: 100,
            extended_connect: role == Role::Server,
            scheme: "http",
        }
    }
}

/// What [`Connection::receive`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// All of the input was used.
    NeedMore,
    /// A new request (server), or the head of a response, interim ones too (client): see [`Connection::head`].
    Head { stream: StreamId, end: bool },
    /// A piece of payload, as a range of the input; with `end` it may be empty, and the stream's input is complete.
    Data { stream: StreamId, range: Range<usize>, end: bool },
    /// Trailers, in [`Connection::head`]: the stream's input is complete.
    Trailers { stream: StreamId },
    /// The peer reset the stream: it is over.
    Reset { stream: StreamId, code: ErrorCode },
    /// We reset the stream because of what the peer sent: it is over. It may be one that no event told of before: a
    /// request that was malformed, or one too many.
    Refused { stream: StreamId, code: ErrorCode },
    /// More room to send on this stream, or on all of them if 0.
    Opened(StreamId),
    /// The peer will not look at streams that we opened above `last`: they are safe to try elsewhere, and stay open
    /// until they are reset.
    GoAway { last: StreamId, code: ErrorCode },
    /// The peer's settings came; what it allows may have changed.
    Settings,
    /// The answer to [`Connection::ping`].
    Pong,
}

/// So many frames that want an answer are taken between two calls of [`Connection::drained`]; one more is a flood and
/// ends the connection. With at most 17 bytes each, 17 kB of answers can pile up.
pub const ANSWERS_MAX: u32 = 1000;

/// One connection. See the module's text.
#[derive(Debug)]
pub struct Connection {
    config: Config,
    /// The error that ended it: it is told again for ever.
    dead: Option<ConnectionError>,

    // Reading.
    step: Step,
    /// The frame that is being read.
    frame: FrameHeader,
    /// Bytes of its payload that have not come, padding included.
    left: u32,
    /// Bytes of padding at the end of it.
    padding: u32,
    /// The beginning of something short that has not come whole.
    partial: [u8; frame::HEADER_LEN],
    partial_len: u8,
    block: Block,
    reader: HeadReader,
    decoder: Decoder,
    /// Told before anything else is read.
    next_event: Option<Event>,

    // The peer's and our limits.
    peer: PeerSettings,
    /// The peer's initial window that holds: that of the last SETTINGS that came whole.
    send_initial: u32,
    got_settings: bool,
    /// The connection's own window was opened.
    opened: bool,
    /// The peer has acknowledged our SETTINGS: they hold.
    acknowledged: bool,
    send_window: SendWindow,
    receive_window: ReceiveWindow,
    glitches: Glitches,
    answers: u32,
    pings: u32,

    // Streams.
    streams: Streams,
    /// Server: the highest stream that the peer opened. Client: that we opened.
    highest: StreamId,
    /// The highest stream that is looked at, once a final GOAWAY has told it.
    final_stream: Option<StreamId>,
    peer_goes_away: bool,

    // Writing.
    encoder: Encoder,
}

impl Connection {
    /// A new connection; appends what we say first: a client's preface and SETTINGS.
    pub fn new(config: Config, out: &mut Vec<u8>) -> Connection {
        let config = Config {
            max_frame_size: config.max_frame_size.clamp(MIN_MAX_FRAME_SIZE, MAX_MAX_FRAME_SIZE),
            initial_window_size: config.initial_window_size.min(WINDOW_MAX),
            connection_window: config.connection_window.clamp(WINDOW_DEFAULT, WINDOW_MAX),
            ..config
        };
        let receive_window = ReceiveWindow::new(WINDOW_DEFAULT);
        if config.role == Role::Client {
            out.extend_from_slice(PREFACE);
        }
        announce(&config, out);
        let limits = Limits {
            head_bytes: config.head_bytes,
            head_fields: config.head_fields,
            extended_connect: config.extended_connect && config.role == Role::Server,
        };
        Connection {
            step: if config.role == Role::Server { Step::Preface } else { Step::Header },
            config,
            dead: None,
            frame: FrameHeader { len: 0, kind: 0, flags: 0, stream: 0 },
            left: 0,
            padding: 0,
            partial: [0; frame::HEADER_LEN],
            partial_len: 0,
            block: Block::default(),
            reader: HeadReader::new(limits),
            decoder: Decoder::default(),
            next_event: None,
            peer: PeerSettings::default(),
            send_initial: WINDOW_DEFAULT,
            got_settings: false,
            opened: false,
            acknowledged: false,
            send_window: SendWindow::new(WINDOW_DEFAULT),
            receive_window,
            glitches: Glitches::default(),
            answers: 0,
            pings: 0,
            streams: Streams::new(config.max_concurrent_streams),
            highest: 0,
            final_stream: None,
            peer_goes_away: false,
            encoder: Encoder::default(),
        }
    }

    /// The head, or the trailers as fields of a head, of the last [`Event::Head`] or [`Event::Trailers`].
    pub fn head(&self) -> &Head {
        &self.reader.head
    }

    /// Takes that head in exchange for another, whose memory is used for the next one.
    pub fn swap_head(&mut self, into: &mut Head) {
        std::mem::swap(&mut self.reader.head, into);
    }

    /// `:protocol` of the last head: extended CONNECT (RFC 8441 §4). Such a head has the method CONNECT and an
    /// absolute URI.
    pub fn protocol(&self) -> Option<&[u8]> {
        self.reader.protocol()
    }

    /// Streams on which one side at least has not ended.
    #[cfg(test)]
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// The stream has not ended on both sides, nor been reset.
    pub fn is_open(&self, stream: StreamId) -> bool {
        self.streams.get(stream).is_some()
    }

    /// What no well-behaved peer does, counted: see [`Glitches`].
    pub fn glitches(&self) -> u32 {
        self.glitches.count()
    }

    /// Streams that the peer lets us have open at once: its SETTINGS_MAX_CONCURRENT_STREAMS.
    #[cfg(test)]
    pub fn peer_allows(&self) -> u32 {
        self.peer.max_concurrent_streams
    }

    /// A head has begun that is not whole, or a frame of which so little has come that it may be one.
    pub fn is_amid_head(&self) -> bool {
        self.block.stream != 0 || self.step == Step::Header && self.partial_len > 0
    }

    /// The highest stream that the peer (server) or we (client) opened: its head has come whole.
    pub fn last_stream(&self) -> StreamId {
        self.highest
    }

    /// The peer, a server, takes extended CONNECT (RFC 8441 §3).
    pub fn extended_connect_allowed(&self) -> bool {
        self.peer.connect_protocol
    }

    /// The peer has sent GOAWAY: no stream can be opened any more.
    pub fn peer_goes_away(&self) -> bool {
        self.peer_goes_away
    }

    /// Tells that nothing of what was appended to `out` is waiting to be sent: the count of pending answers begins
    /// anew. To be called at the end of each turn in which that is so, even if nothing was appended.
    pub fn drained(&mut self) {
        self.answers = 0;
        self.glitches.progress();
    }

    /// The window that a new stream has for what the peer sends: ours holds once it is acknowledged.
    fn stream_window(&self) -> u32 {
        if self.acknowledged { self.config.initial_window_size } else { WINDOW_DEFAULT }
    }

    /// The window that a stream is to have now.
    fn stream_share(&self) -> u32 {
        match self.config.shared_window {
            0 => self.stream_window(),
            // What we announced does not hold yet, and moves all windows when it does.
            _ if !self.acknowledged => WINDOW_DEFAULT,
            shared => (shared / self.streams.len().max(1) as u32).clamp(MIN_MAX_FRAME_SIZE, WINDOW_MAX),
        }
    }

    /// The connection's window opens with the first data: most connections never need it. It does not wait for that to be
    /// taken, which a slow reader may never do.
    fn open_connection(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.opened, true)
            && let Some(increment) = self.receive_window.grow(self.config.connection_window - WINDOW_DEFAULT)
        {
            frame::window_update(0, increment, out);
        }
    }

    fn die(&mut self, error: ConnectionError, out: &mut Vec<u8>) -> ConnectionError {
        self.dead = Some(error);
        self.glitches.add();
        let last = if self.config.role == Role::Server { self.highest } else { 0 };
        frame::goaway(last.min(self.final_stream.unwrap_or(STREAM_ID_MAX)), error.code(), out);
        error
    }
}

/// Our SETTINGS: what differs from the protocol's defaults, in HAProxy's order.
fn announce(config: &Config, out: &mut Vec<u8>) {
    let client = config.role == Role::Client;
    let entries = [
        (id::ENABLE_CONNECT_PROTOCOL, 1, !client && config.extended_connect),
        (id::HEADER_TABLE_SIZE, config.header_table_size, config.header_table_size != DEFAULT_TABLE_SIZE as u32),
        (id::ENABLE_PUSH, 0, client),
        (id::INITIAL_WINDOW_SIZE, config.initial_window_size, config.initial_window_size != WINDOW_DEFAULT),
        (
            id::MAX_CONCURRENT_STREAMS,
            config.max_concurrent_streams,
            // None at all is not announced, as by HAProxy 3.4: who asks is refused.
            !client && !matches!(config.max_concurrent_streams, 0 | u32::MAX),
        ),
        (id::MAX_FRAME_SIZE, config.max_frame_size, config.max_frame_size != MIN_MAX_FRAME_SIZE),
    ];
    let mut said = [(0, 0); 6];
    let mut count = 0;
    for (id, value, _) in entries.into_iter().filter(|entry| entry.2) {
        said[count] = (id, value);
        count += 1;
    }
    frame::settings(&said[..count], out);
}
