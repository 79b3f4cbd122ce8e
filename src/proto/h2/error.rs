//! Error codes (RFC 9113 §7), what ends a connection, and what counts as a glitch.

use super::hpack::HpackError;

/// The code of RST_STREAM and GOAWAY. Codes that nobody knows are kept as they are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    pub const NO_ERROR: ErrorCode = ErrorCode(0x0);
    pub const PROTOCOL_ERROR: ErrorCode = ErrorCode(0x1);
    pub const INTERNAL_ERROR: ErrorCode = ErrorCode(0x2);
    pub const FLOW_CONTROL_ERROR: ErrorCode = ErrorCode(0x3);
    pub const SETTINGS_TIMEOUT: ErrorCode = ErrorCode(0x4);
    pub const STREAM_CLOSED: ErrorCode = ErrorCode(0x5);
    pub const FRAME_SIZE_ERROR: ErrorCode = ErrorCode(0x6);
    pub const REFUSED_STREAM: ErrorCode = ErrorCode(0x7);
    pub const CANCEL: ErrorCode = ErrorCode(0x8);
    pub const COMPRESSION_ERROR: ErrorCode = ErrorCode(0x9);
    pub const CONNECT_ERROR: ErrorCode = ErrorCode(0xa);
    pub const ENHANCE_YOUR_CALM: ErrorCode = ErrorCode(0xb);
    pub const INADEQUATE_SECURITY: ErrorCode = ErrorCode(0xc);
    pub const HTTP_1_1_REQUIRED: ErrorCode = ErrorCode(0xd);

    /// The RFC's name of the code.
    pub fn name(self) -> &'static str {
        const NAMES: [&str; 14] = [
            "NO_ERROR",
            "PROTOCOL_ERROR",
            "INTERNAL_ERROR",
            "FLOW_CONTROL_ERROR",
            "SETTINGS_TIMEOUT",
            "STREAM_CLOSED",
            "FRAME_SIZE_ERROR",
            "REFUSED_STREAM",
            "CANCEL",
            "COMPRESSION_ERROR",
            "CONNECT_ERROR",
            "ENHANCE_YOUR_CALM",
            "INADEQUATE_SECURITY",
            "HTTP_1_1_REQUIRED",
        ];
        NAMES.get(self.0 as usize).unwrap_or(&"unknown")
    }
}

impl std::fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({:#x})", self.name(), self.0)
    }
}

/// What the peer did that ends the connection. GOAWAY with [`ConnectionError::code`] has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionError {
    /// The client's first bytes are not the preface (RFC 9113 §3.4), or no SETTINGS followed it.
    Preface,
    /// A frame longer than we announced, or of another length than its type has.
    FrameSize,
    /// A frame on a stream that its type cannot be on, or on an idle one.
    WrongStream,
    /// A new stream whose identifier is even, or not above the last one (RFC 9113 §5.1.1).
    StreamId,
    /// HEADERS on a stream that is over.
    StreamClosed,
    /// Padding that is longer than the frame.
    Padding,
    /// Something else than the CONTINUATION that is due, or one that is not (RFC 9113 §6.10).
    Continuation,
    /// Field lines that cannot be decoded.
    Hpack(HpackError),
    /// More bytes or frames than any head may take: nothing is kept for them.
    HeadersFlood,
    /// A setting with a value that it cannot have.
    Setting(ErrorCode),
    /// More DATA than the connection's window, or a window above 2^31-1.
    FlowControl,
    /// WINDOW_UPDATE of nothing for the connection (RFC 9113 §6.9).
    ZeroIncrement,
    /// PUSH_PROMISE, which clients never send and we never allow.
    Push,
    /// A stream that depends on itself.
    Priority,
    /// More frames that want an answer than we have been able to answer.
    Flood,
}

impl ConnectionError {
    /// The code that GOAWAY carries.
    pub fn code(self) -> ErrorCode {
        match self {
            ConnectionError::FrameSize => ErrorCode::FRAME_SIZE_ERROR,
            ConnectionError::StreamClosed => ErrorCode::STREAM_CLOSED,
            ConnectionError::Hpack(_) => ErrorCode::COMPRESSION_ERROR,
            ConnectionError::HeadersFlood | ConnectionError::Flood => ErrorCode::ENHANCE_YOUR_CALM,
            ConnectionError::Setting(code) => code,
            ConnectionError::FlowControl => ErrorCode::FLOW_CONTROL_ERROR,
            ConnectionError::Preface
            | ConnectionError::WrongStream
            | ConnectionError::StreamId
            | ConnectionError::Padding
            | ConnectionError::Continuation
            | ConnectionError::ZeroIncrement
            | ConnectionError::Push
            | ConnectionError::Priority => ErrorCode::PROTOCOL_ERROR,
        }
    }
}

impl std::fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}: {}", self.code().name())
    }
}

impl std::error::Error for ConnectionError {}

/// Counts what no well-behaved peer does, for `fc_glitches`, `bc_glitches` and the thresholds of `tune.h2.*`.
///
/// As in HAProxy 3.4 (observed) each stream that we reset for its peer's fault, each stream that the peer resets, and
/// each connection error count one. PING, SETTINGS, PRIORITY, empty DATA, empty CONTINUATION and frames of unknown type
/// count nothing there; here they do once they come in numbers while neither side gets anything done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Glitches {
    count: u32,
    /// Frames in a row that moved nothing forward.
    idle: u32,
}

/// So many frames in a row may move nothing forward: browsers begin with a handful, and gRPC measures with PING.
const IDLE_FRAMES: u32 = 32;

impl Glitches {
    pub fn count(&self) -> u32 {
        self.count
    }

    pub fn add(&mut self) {
        self.count = self.count.saturating_add(1);
    }

    /// A frame that moves nothing forward.
    pub fn idle_frame(&mut self) {
        self.idle = self.idle.saturating_add(1);
        if self.idle > IDLE_FRAMES {
            self.add();
        }
    }

    /// A head or a payload came or went, or all answers have been sent.
    pub fn progress(&mut self) {
        self.idle = 0;
    }
}
