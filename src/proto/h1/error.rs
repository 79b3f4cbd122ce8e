//! What can be wrong with an HTTP/1 message, whose fault it is and what HAProxy 3.4 answers to it.

/// Who sent the bytes at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The method is not a token.
    Method,
    /// The target holds a byte that no URI has, or has no form that the method allows.
    Uri,
    /// Not `HTTP/1.0` nor `HTTP/1.1`.
    Version,
    /// The status is not three digits from 100 to 999, or the reason phrase holds a control character.
    Status,
    /// A field name that is not a token directly followed by a colon.
    FieldName,
    /// A control character in a field value.
    FieldValue,
    /// A line that does not end in CRLF.
    LineEnd,
    /// More field lines than `tune.http.maxhdr` allows.
    TooManyFields,
    /// The head does not fit the buffer; its request line does.
    HeadTooLarge,
    /// The request line does not fit the buffer.
    UriTooLong,
    /// Content-Length is not a number, or there are two different ones.
    ContentLength,
    /// Transfer-Encoding does not end in the one `chunked`, or comes with a version that has none.
    TransferEncoding,
    /// Another coding is applied below `chunked`.
    TransferCoding,
    /// Two different Host fields, or one that is no host.
    Host,
    /// The authority of the target is malformed, or is not the one in Host.
    Authority,
    /// A CONNECT request that announces a body.
    ConnectBody,
    /// An HTTP/1.0 request announces a body that its method rarely has: old servers may take it for another request.
    UnexpectedBody,
    /// A WebSocket handshake without a valid key or answer.
    WebSocket,
    /// A chunk size that is not hexadecimal digits, or that is too large.
    ChunkSize,
    /// A control character in a chunk extension, or one without end.
    ChunkExtension,
    /// Chunk data that is not followed by CRLF.
    ChunkEnd,
    /// A trailer field that is malformed, forbidden, or one too many.
    Trailer,
    /// The response switches protocols although nobody asked.
    UnexpectedSwitch,
}

/// A message that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    pub fault: Fault,
    pub side: Side,
    /// Offset of the offending byte, as near as it is known; for `show errors`.
    pub at: usize,
}

impl ParseError {
    pub fn client(fault: Fault, at: usize) -> ParseError {
        ParseError { fault, side: Side::Client, at }
    }

    pub fn server(fault: Fault, at: usize) -> ParseError {
        ParseError { fault, side: Side::Server, at }
    }

    /// The status of the reply to the client.
    pub fn status(&self) -> u16 {
        match (self.side, self.fault) {
            (Side::Server, _) => 502,
            (_, Fault::HeadTooLarge) => 431,
            (_, Fault::UriTooLong) => 414,
            (_, Fault::TransferCoding) => 422,
            (_, Fault::UnexpectedBody) => 413,
            // HAProxy 3.4 has no 501 and no 505 for these: an unknown version or coding is a bad request.
            _ => 400,
        }
    }
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} from the {:?} at byte {}", self.fault, self.side, self.at)
    }
}

impl std::error::Error for ParseError {}
