//! Reads request and response heads of HTTP/1 (RFC 9112 §2–§5) into a [`Head`], and says how the body is framed.
//!
//! `httparse` finds the tokens; what it tolerates and a proxy must not (bare LF, odd lengths, a Host that is none) is
//! refused here with the status that HAProxy 3.4 answers. What HAProxy 3.4 normalises while it parses is normalised
//! here too: folded lines are joined, equal Content-Length and Host lines become one, the tokens of Connection that
//! concern this hop go away. Where we are stricter than HAProxy the line says so.

use std::mem::MaybeUninit;

use super::error::{Fault, ParseError, Side};
use super::explain::explain;
use super::fold::{unfold, unfold_from, without_bad_names};
use super::framing::{self, Asked, Coding, Framing};
use super::persistence::{self, Tokens};
use crate::proto::http::head::{Head, Kind, Span, Version};
use crate::proto::http::uri;

/// What bounds a head.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most bytes of a head: `tune.bufsize` less `tune.maxrewrite`.
    pub head_bytes: usize,
    /// Most field lines: `tune.http.maxhdr` less one, as HAProxy counts.
    pub fields: usize,
    /// Lines may end in a bare LF. HAProxy takes that from both sides; we take it from servers only, because what
    /// stands before us may have read a client's bytes differently.
    pub bare_lf: bool,
    /// `option accept-unsafe-violations-in-http-request`: bytes above 127 and `#` in the URI, an authority that is
    /// not Host, a WebSocket request without key. `option accept-unsafe-violations-in-http-response`: field names that are
    /// none (their lines are dropped), empty and repeated codings, a WebSocket answer to no key.
    pub unsafe_violations: bool,
    /// `h1-accept-payload-with-any-method`: GET, HEAD and DELETE of HTTP/1.0 may have a body.
    pub any_method_with_body: bool,
    /// `h1-do-not-close-on-insecure-transfer-encoding`: a message that has both Transfer-Encoding and Content-Length
    /// does not end its connection.
    pub keep_insecure: bool,
}

impl Limits {
    /// Default bounds for requests.
    pub const REQUEST: Limits = Limits {
        head_bytes: 15360,
        fields: 100,
        bare_lf: false,
        unsafe_violations: false,
        any_method_with_body: false,
        keep_insecure: false,
    };
    /// Default bounds for responses.
    pub const RESPONSE: Limits = Limits { bare_lf: true, ..Limits::REQUEST };
}

/// The outcome of an attempt to read a head from what has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// More bytes are needed; call again with all of them.
    Partial,
    /// The head is filled.
    Complete(Message),
    /// The connection begins with HTTP/2's preface (RFC 9113 §3.4), of which at least the first line is here.
    Http2Preface,
}

/// What a complete head says about the message and its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Bytes of the input that the head took, empty lines before it included.
    pub consumed: usize,
    pub framing: Framing,
    /// What Connection and Upgrade said.
    pub tokens: Tokens,
    /// The message was framed ambiguously (Content-Length beside Transfer-Encoding, or chunks in HTTP/1.0): nothing
    /// may follow on this connection.
    pub must_close: bool,
    /// `Expect: 100-continue` in an HTTP/1.1 request.
    pub expects_continue: bool,
}

impl Message {
    /// Whether the sender keeps the connection after this message, as far as the message says.
    pub fn is_persistent(&self, version: Version) -> bool {
        !self.must_close && self.framing != Framing::UntilClose && self.tokens.is_persistent(version)
    }
}

/// Field lines that fit on the stack while parsing; more go through the heap.
const FIELDS_ON_STACK: usize = 100;

/// Reads a request head from the start of `input`.
pub fn parse_request(input: &[u8], limits: &Limits, head: &mut Head) -> Result<Parsed, ParseError> {
    if input.starts_with(b"PRI") {
        // The whole first line or the beginning of it; anything else is judged as a method of that name.
        if input.starts_with(PREFACE_LINE) {
            return Ok(Parsed::Http2Preface);
        }
        if PREFACE_LINE.starts_with(input) {
            return Ok(Parsed::Partial);
        }
    }
    let mut reader = Reader { side: Side::Client, limits, asked: Asked::Other, head };
    with_fields(limits, |fields| reader.request(input, fields))
}

/// Reads a response head from the start of `input`. `asked` is what the request was.
pub fn parse_response(input: &[u8], limits: &Limits, asked: Asked, head: &mut Head) -> Result<Parsed, ParseError> {
    let mut reader = Reader { side: Side::Server, limits, asked, head };
    with_fields(limits, |fields| reader.response(input, fields))
}

/// Reads the trailer lines `raw`, empty line included, into the fields of `trailers`.
pub(crate) fn parse_trailers(raw: &[u8], side: Side, limits: &Limits, trailers: &mut Head) -> Result<(), ParseError> {
    let limits = &Limits { bare_lf: false, ..*limits };
    let error = |fault, at| Err(ParseError { fault, side, at });
    let joined;
    // A blank at the start folds into nothing: refused as a name.
    let raw = match unfold_from(raw, 0, limits.bare_lf) {
        Some(bytes) => {
            joined = bytes;
            &joined[..]
        }
        None => raw,
    };
    let mut slots = vec![httparse::EMPTY_HEADER; limits.fields];
    let (consumed, fields) = match httparse::parse_headers(raw, &mut slots) {
        Ok(httparse::Status::Complete(done)) => done,
        Ok(httparse::Status::Partial) => return error(Fault::Trailer, raw.len()),
        Err(e) => {
            let (fault, at) = explain(raw, e);
            return error(fault, at);
        }
    };
    trailers.load(Kind::Request, raw);
    let mut reader = Reader { side, limits, asked: Asked::Other, head: trailers };
    reader.fields(raw, fields, 0, consumed)?;
    match trailers.fields().find(|(name, _)| FORBIDDEN_TRAILERS.contains(name)) {
        Some(_) => error(Fault::Trailer, 0),
        None => Ok(()),
    }
}

/// Fields that frame, route or belong to the hop (RFC 9110 §6.5.1): in a trailer they could only mislead.
const FORBIDDEN_TRAILERS: [&[u8]; 4] = [b"content-length", b"transfer-encoding", b"host", b"connection"];

type Slots<'s, 'b> = &'s mut [MaybeUninit<httparse::Header<'b>>];

fn with_fields<'b, T>(limits: &Limits, read: impl FnOnce(Slots<'_, 'b>) -> T) -> T {
    if limits.fields <= FIELDS_ON_STACK {
        let mut slots = [const { MaybeUninit::uninit() }; FIELDS_ON_STACK];
        return read(&mut slots[..limits.fields]);
    }
    let mut slots = Vec::new();
    slots.resize_with(limits.fields, MaybeUninit::uninit);
    read(&mut slots)
}

struct Reader<'a> {
    side: Side,
    limits: &'a Limits,
    asked: Asked,
    head: &'a mut Head,
}

/// The first line of HTTP/2's connection preface.
const PREFACE_LINE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// Bytes of `HTTP/1.1`.
const VERSION_LEN: usize = 8;

impl Reader<'_> {
    fn request<'b>(&mut self, input: &'b [u8], slots: Slots<'_, 'b>) -> Result<Parsed, ParseError> {
        let mut config = httparse::ParserConfig::default();
        // HAProxy takes them and writes one space; it also takes tabs, we do not.
        config.allow_multiple_spaces_in_request_line_delimiters(true);
        let mut request = httparse::Request::new(&mut []);
        let outcome = config.parse_request_with_uninit_headers(&mut request, input, slots);
        let consumed = match outcome {
            Ok(httparse::Status::Complete(n)) => n,
            Ok(httparse::Status::Partial) => return self.partial(input),
            Err(error) => return self.failed(input, error),
        };
        let (Some(method), Some(path), Some(minor)) = (request.method, request.path, request.version) else {
            return Ok(Parsed::Partial);
        };
        let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
        let target = span_in(input, path.as_bytes());
        self.empty_lines(input, span_in(input, method.as_bytes()).start as usize)?;
        let spaces = skip_spaces(input, end(target)) + VERSION_LEN;
        let line_end = self.line_end(input, spaces)?;
        self.load(input, consumed, Kind::Request)?;
        self.head.start_line_from_wire(version, 0, span_in(input, method.as_bytes()), target);
        let known = self.fields(input, request.headers, line_end, consumed)?;
        self.finish_request(known, consumed)
    }

    fn response<'b>(&mut self, input: &'b [u8], slots: Slots<'_, 'b>) -> Result<Parsed, ParseError> {
        let mut response = httparse::Response::new(&mut []);
        let outcome =
            httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, input, slots);
        let consumed = match outcome {
            Ok(httparse::Status::Complete(n)) => n,
            Ok(httparse::Status::Partial) => return self.partial(input),
            Err(error) => return self.failed(input, error),
        };
        let (Some(minor), Some(status)) = (response.version, response.code) else {
            return Ok(Parsed::Partial);
        };
        let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
        let start = input.iter().position(|&b| b == b'H').unwrap_or(0);
        self.empty_lines(input, start)?;
        if status < 100 {
            return self.refuse(Fault::Status, start + VERSION_LEN + 1);
        }
        // `httparse` gives no reason phrase that has bytes above 127, so take it from the input.
        let after_status = (start + "HTTP/1.1 200".len()).min(consumed);
        let line = memchr::memchr(b'\n', &input[after_status..consumed]).unwrap_or(0) + after_status;
        let text_end = if line > after_status && input[line - 1] == b'\r' { line - 1 } else { line };
        let line_end = self.line_end(input, text_end)?;
        let reason = span_in(input, input[after_status..text_end].trim_ascii());
        self.load(input, consumed, Kind::Response)?;
        self.head.start_line_from_wire(version, status, Span::default(), reason);
        if reason.len == 0 {
            // As HAProxy does, so that every status line shows one.
            self.head.set_status(status, crate::proto::http::status::reason(status).as_bytes());
        }
        let known = self.fields(input, response.headers, line_end, consumed)?;
        self.finish_response(known, consumed)
    }

    fn refuse<T>(&self, fault: Fault, at: usize) -> Result<T, ParseError> {
        Err(ParseError { fault, side: self.side, at })
    }

    /// Not complete: wait, unless it can no longer fit.
    fn partial(&self, input: &[u8]) -> Result<Parsed, ParseError> {
        if input.len() < self.limits.head_bytes {
            return Ok(Parsed::Partial);
        }
        self.too_large(input)
    }

    fn too_large<T>(&self, input: &[u8]) -> Result<T, ParseError> {
        let line = input[..input.len().min(self.limits.head_bytes)].trim_ascii_start();
        let fault = if line.contains(&b'\n') { Fault::HeadTooLarge } else { Fault::UriTooLong };
        self.refuse(fault, self.limits.head_bytes)
    }

    /// `httparse` refused: if that may be because of a folded line, join and try again.
    fn failed(&mut self, input: &[u8], error: httparse::Error) -> Result<Parsed, ParseError> {
        let head_end = input.len().min(self.limits.head_bytes);
        if error == httparse::Error::HeaderName
            && let Some(joined) = unfold(&input[..head_end], self.limits.bare_lf)
        {
            // At most once: nothing is left to join.
            return with_fields(self.limits, |slots| match self.side {
                Side::Client => self.request(&joined, slots),
                Side::Server => self.response(&joined, slots),
            });
        }
        if error == httparse::Error::HeaderName && self.is_lenient() {
            let Some((kept, dropped)) = without_bad_names(&input[..head_end]) else { return self.partial(input) };
            // At most once: the names that are left can be names.
            if dropped == 0 {
                let (fault, at) = explain(input, error);
                return self.refuse(fault, at);
            }
            return with_fields(self.limits, |slots| self.response(&kept, slots)).map(|parsed| match parsed {
                Parsed::Complete(m) => Parsed::Complete(Message { consumed: m.consumed + dropped, ..m }),
                other => other,
            });
        }
        let (fault, at) = explain(input, error);
        self.refuse(fault, at)
    }

    /// A server's violations are accepted.
    fn is_lenient(&self) -> bool {
        self.side == Side::Server && self.limits.unsafe_violations
    }

    /// RFC 9112 §2.2: empty lines before a request are ignored; they too are CRLF.
    fn empty_lines(&self, input: &[u8], start: usize) -> Result<(), ParseError> {
        let mut at = 0;
        while at < start {
            at = self.line_end(input, at)?;
        }
        Ok(())
    }

    /// Checks that a line ends at `at`; gives where the next one begins.
    fn line_end(&self, input: &[u8], at: usize) -> Result<usize, ParseError> {
        match &input[at.min(input.len())..] {
            [b'\r', b'\n', ..] => Ok(at + 2),
            [b'\n', ..] if self.limits.bare_lf => Ok(at + 1),
            _ => self.refuse(Fault::LineEnd, at),
        }
    }

    fn load(&mut self, input: &[u8], consumed: usize, kind: Kind) -> Result<(), ParseError> {
        if consumed > self.limits.head_bytes {
            return self.too_large(input);
        }
        self.head.load(kind, &input[..consumed]);
        Ok(())
    }

    /// Takes the field lines over; checks that nothing but CRLF stands between them.
    fn fields(
        &mut self,
        input: &[u8],
        fields: &[httparse::Header<'_>],
        first_line: usize,
        consumed: usize,
    ) -> Result<Known, ParseError> {
        let mut known = Known::default();
        let mut at = first_line;
        for field in fields {
            let name = span_in(input, field.name.as_bytes());
            if name.start as usize != at {
                return self.refuse(Fault::LineEnd, at);
            }
            // An empty value's place is not to be relied on.
            let value = match field.value {
                [] => Span::new(end(name) + 1, 0),
                value => span_in(input, value),
            };
            at = self.line_end(input, skip_spaces(input, end(value)))?;
            let name = self.head.field_from_wire(name, value);
            let noted =
                match self.side == Side::Server && self.limits.unsafe_violations && name == b"transfer-encoding" {
                    true => known.coding.and_lenient_line(field.value).map(|coding| known.coding = coding),
                    false => known.note(name, field.value),
                };
            if let Err(fault) = noted {
                return self.refuse(fault, value.start as usize);
            }
        }
        if self.line_end(input, at)? != consumed {
            return self.refuse(Fault::LineEnd, at);
        }
        Ok(known)
    }

    fn finish_request(&mut self, known: Known, consumed: usize) -> Result<Parsed, ParseError> {
        let version = self.head.version();
        let connect = self.head.method() == b"CONNECT";
        let at = consumed;
        if known.coding != Coding::Absent && version < Version::Http11 {
            // RFC 9112 §6.1: faulty framing. HAProxy reads it as chunked and passes `HTTP/1.0` with chunks on, which
            // a server may read as a request without body. We refuse.
            return self.refuse(Fault::TransferEncoding, at);
        }
        let framing = match framing::of_request(known.coding, known.length, connect) {
            Ok(framing) => framing,
            Err(fault) => return self.refuse(fault, at),
        };
        let bodiless = matches!(self.head.method(), b"GET" | b"HEAD" | b"DELETE");
        if version < Version::Http11 && bodiless && framing != Framing::None && !self.limits.any_method_with_body {
            return self.refuse(Fault::UnexpectedBody, at);
        }
        if let Err(fault) = uri::check_request(self.head, known.hosts, self.limits.unsafe_violations) {
            return self.refuse(fault, at);
        }
        let must_close = self.one_length(&known, connect);
        let tokens = persistence::take_tokens(self.head, known.has_connection, known.has_upgrade, known.has_te);
        if tokens.websocket && !self.limits.unsafe_violations && !persistence::has_websocket_key(self.head) {
            return self.refuse(Fault::WebSocket, at);
        }
        let expects_continue = known.expects_continue && version >= Version::Http11;
        Ok(Parsed::Complete(Message { consumed, framing, tokens, must_close, expects_continue }))
    }

    fn finish_response(&mut self, known: Known, consumed: usize) -> Result<Parsed, ParseError> {
        let status = self.head.status();
        let framing = match framing::of_response(status, self.asked, known.coding, known.length) {
            Ok(framing) => framing,
            Err(fault) => return self.refuse(fault, consumed),
        };
        if self.is_lenient() {
            match known.coding {
                Coding::Absent => drop(self.head.remove(b"transfer-encoding")),
                Coding::Chunked => self.head.set(b"transfer-encoding", b"chunked"),
                _ => {}
            }
        }
        // RFC 9112 §6.1, §6.3: these carry neither.
        let bodiless = framing == Framing::Tunnel || matches!(status, 100..=199 | 204);
        let mut must_close = self.one_length(&known, bodiless);
        if known.coding != Coding::Absent {
            must_close |= self.head.version() < Version::Http11;
            if bodiless {
                self.head.remove(b"transfer-encoding");
            }
        }
        let mut tokens = persistence::take_tokens(self.head, known.has_connection, known.has_upgrade, false);
        // A 204 has no body (RFC 9110 §15.3.5); who announces one is likely to send it, and nothing may follow it.
        tokens.close |= status == 204 && known.length.unwrap_or(0) > 0;
        if status == 101 {
            if !tokens.upgrade {
                return self.refuse(Fault::UnexpectedSwitch, consumed);
            }
            // Like HAProxy 3.4 this asks for an answer to the key, not for the right one.
            if self.asked == Asked::WebSocket
                && !self.limits.unsafe_violations
                && !self.head.contains(b"sec-websocket-accept")
            {
                return self.refuse(Fault::WebSocket, consumed);
            }
        }
        Ok(Parsed::Complete(Message { consumed, framing, tokens, must_close, expects_continue: false }))
    }

    /// Leaves one Content-Length line, or none beside chunks (RFC 9112 §6.3) or where `without`. Tells whether it
    /// stood beside Transfer-Encoding and the connection is to end for that.
    fn one_length(&mut self, known: &Known, without: bool) -> bool {
        let Some(length) = known.length else {
            return false;
        };
        let beside_chunks = known.coding != Coding::Absent;
        if beside_chunks || without {
            self.head.remove(b"content-length");
        } else if !known.plain_length {
            let first = self.head.position(b"content-length", 0).unwrap_or(0);
            let mut digits = [0; 20];
            let digits = crate::proto::http::decimal(length, &mut digits);
            self.head.replace_value(first, digits);
            while let Some(next) = self.head.position(b"content-length", first + 1) {
                self.head.remove_at(next);
            }
        }
        beside_chunks && !self.limits.keep_insecure
    }
}

/// What the field lines that matter here said.
#[derive(Default)]
struct Known {
    length: Option<u64>,
    /// There is one Content-Length line and it is written without list or leading zeros.
    plain_length: bool,
    coding: Coding,
    hosts: usize,
    has_connection: bool,
    has_upgrade: bool,
    has_te: bool,
    expects_continue: bool,
}

impl Known {
    fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), Fault> {
        // By length first: most names end here.
        match name.len() {
            2 if name == b"te" => self.has_te = true,
            4 if name == b"host" => self.hosts += 1,
            6 if name == b"expect" => self.expects_continue |= value.eq_ignore_ascii_case(b"100-continue"),
            7 if name == b"upgrade" => self.has_upgrade = true,
            10 if name == b"connection" => self.has_connection = true,
            14 if name == b"content-length" => {
                self.plain_length =
                    self.length.is_none() && (value.len() == 1 || value.first().is_some_and(|&b| b != b'0'));
                self.plain_length &= value.iter().all(u8::is_ascii_digit);
                self.length = Some(framing::content_length(self.length, value)?);
            }
            17 if name == b"transfer-encoding" => self.coding = self.coding.and_line(value)?,
            _ => {}
        }
        Ok(())
    }
}

/// Where `part`, a piece of `whole`, lies in it.
fn span_in(whole: &[u8], part: &[u8]) -> Span {
    let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    debug_assert!(start + part.len() <= whole.len());
    Span::new(start.min(whole.len()), part.len())
}

fn end(span: Span) -> usize {
    span.start as usize + span.len as usize
}

fn skip_spaces(input: &[u8], from: usize) -> usize {
    from + input[from..].iter().take_while(|&&b| b == b' ' || b == b'\t').count()
}
