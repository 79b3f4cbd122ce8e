//! Field lines to [`Head`] and back (RFC 9113 §8, RFC 8441 §4).
//!
//! [`HeadReader`] checks each line as it comes and keeps nothing of a head that is wrong or too large, while the block
//! goes on being decoded for the table's sake. Where HAProxy 3.4 was seen to repair instead of refusing, so do we:
//! blanks around values go, `:authority` wins over a Host that differs, of several Host lines the first stays.

use super::empty;
use super::hpack::{ENTRY_OVERHEAD, Encoder};
use crate::proto::h1::framing;
use crate::proto::http::decimal;
use crate::proto::http::head::{Head, Version};
use crate::proto::http::uri::{self, Form, Uri};

/// What a block of fields is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Request,
    Response,
    Trailers,
    /// Nothing: the block is decoded for the table alone.
    Nothing,
}

/// Why a message is malformed (RFC 9113 §8.1.1). Always a stream error PROTOCOL_ERROR, as in HAProxy 3.4, which
/// answers so to what is too large as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// More bytes or field lines than the limits.
    TooLarge,
    /// A name that is no token, or has capitals.
    FieldName,
    /// NUL, CR or LF in a value.
    FieldValue,
    /// A field that only makes sense for one HTTP/1 connection, or TE that is not `trailers`.
    ConnectionField,
    /// A pseudo-header that is unknown, repeated, missing, after a field, or of the other kind of message.
    PseudoHeader,
    Method,
    Scheme,
    Authority,
    Path,
    Protocol,
    Status,
    /// Content-Length is not a number, or there are two different ones.
    ContentLength,
    /// A field that no trailer may have.
    Trailer,
}

/// What the connection has to know of a complete head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub content_length: Option<u64>,
    /// CONNECT without `:protocol`, whose DATA is no content.
    pub connect: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of names, values and what HTTP/1 writes around them.
    pub head_bytes: usize,
    /// Fields without pseudo-headers; the parts of a divided Cookie are one.
    pub head_fields: usize,
    /// `:protocol` is known.
    pub extended_connect: bool,
}

/// A head may unfold into so many times `head_bytes` before decoding it is given up, and the connection with it. Its lines
/// count as RFC 9113 §6.5.2 has it: even empty ones are work.
const UNFOLDED_FACTOR: usize = 4;

/// What HTTP/1 writes around a field's name and value: `: ` and the line's end.
const LINE_OVERHEAD: usize = 4;

const COOKIE_SEPARATOR: &[u8] = b"; ";

/// Pseudo-headers, as indices into [`HeadReader::pseudo`].
const METHOD: usize = 0;
const SCHEME: usize = 1;
const AUTHORITY: usize = 2;
const PATH: usize = 3;
const PROTOCOL: usize = 4;
const STATUS: usize = 5;

/// Builds one head after the other from decoded field lines.
#[derive(Debug)]
pub struct HeadReader {
    pub limits: Limits,
    pub head: Head,
    expect: Expect,
    fault: Option<Malformed>,
    /// Values of the pseudo-headers, one after another; then those of the pieces that make the URI.
    text: Vec<u8>,
    pseudo: [Option<(u32, u32)>; 6],
    /// Fields have begun: no pseudo-header may follow.
    in_fields: bool,
    unfolded: usize,
    bytes: usize,
    fields: usize,
    has_host: bool,
    content_length: Option<u64>,
    /// The parts of Cookie, joined (RFC 9113 §8.2.3).
    cookie: Vec<u8>,
}

impl HeadReader {
    pub fn new(limits: Limits) -> HeadReader {
        HeadReader {
            limits,
            head: Head::new(),
            expect: Expect::Nothing,
            fault: None,
            text: Vec::new(),
            pseudo: [None; 6],
            in_fields: false,
            unfolded: 0,
            bytes: 0,
            fields: 0,
            has_host: false,
            content_length: None,
            cookie: Vec::new(),
        }
    }

    pub fn start(&mut self, expect: Expect) {
        self.head.clear();
        empty(&mut self.text);
        empty(&mut self.cookie);
        (self.expect, self.fault, self.pseudo) = (expect, None, [None; 6]);
        (self.in_fields, self.has_host, self.content_length) = (false, false, None);
        (self.unfolded, self.bytes, self.fields) = (0, 0, 0);
    }

    /// Takes one field line. False: the block unfolds into so much that decoding it has to stop.
    pub fn field(&mut self, name: &[u8], value: &[u8]) -> bool {
        self.unfolded += name.len() + value.len() + ENTRY_OVERHEAD;
        if self.fault.is_none()
            && self.expect != Expect::Nothing
            && let Err(fault) = self.take(name, value)
        {
            self.fault = Some(fault);
        }
        self.unfolded <= self.limits.head_bytes.saturating_mul(UNFOLDED_FACTOR)
    }

    /// The block is complete.
    pub fn finish(&mut self) -> Result<Facts, Malformed> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if !self.in_fields {
            self.begin_fields()?;
        }
        if !self.cookie.is_empty() {
            self.head.append(b"cookie", &self.cookie);
        }
        let connect = self.expect == Expect::Request && self.head.method() == b"CONNECT" && self.protocol().is_none();
        Ok(Facts { content_length: self.content_length, connect })
    }

    /// `:protocol` of the head that was read last.
    pub fn protocol(&self) -> Option<&[u8]> {
        self.pseudo[PROTOCOL].map(|(start, end)| &self.text[start as usize..end as usize])
    }

    fn take(&mut self, name: &[u8], value: &[u8]) -> Result<(), Malformed> {
        // RFC 9113 §8.2.3: clients divide Cookie for the table's sake, and may have many of them.
        let joins = name == b"cookie" && !self.cookie.is_empty();
        self.bytes += value.len() + if joins { COOKIE_SEPARATOR.len() } else { name.len() + LINE_OVERHEAD };
        if self.bytes > self.limits.head_bytes {
            return Err(Malformed::TooLarge);
        }
        if memchr::memchr3(0, b'\r', b'\n', value).is_some() {
            return Err(Malformed::FieldValue);
        }
        if let [b':', name @ ..] = name {
            return self.take_pseudo(name, value);
        }
        if !self.in_fields {
            self.begin_fields()?;
        }
        self.fields += usize::from(!joins);
        if self.fields > self.limits.head_fields {
            return Err(Malformed::TooLarge);
        }
        if name.is_empty() || !name.iter().all(|&b| NAME_BYTES[usize::from(b)]) {
            return Err(Malformed::FieldName);
        }
        self.take_field(name, trimmed(value))
    }

    fn take_pseudo(&mut self, name: &[u8], value: &[u8]) -> Result<(), Malformed> {
        let which = match (self.expect, name) {
            (Expect::Request, b"method") => METHOD,
            (Expect::Request, b"scheme") => SCHEME,
            (Expect::Request, b"authority") => AUTHORITY,
            (Expect::Request, b"path") => PATH,
            (Expect::Request, b"protocol") if self.limits.extended_connect => PROTOCOL,
            (Expect::Response, b"status") => STATUS,
            _ => return Err(Malformed::PseudoHeader),
        };
        // RFC 9113 §8.3: before all fields, and once.
        if self.in_fields || self.pseudo[which].is_some() {
            return Err(Malformed::PseudoHeader);
        }
        let start = self.text.len();
        self.text.extend_from_slice(value);
        self.pseudo[which] = Some((start as u32, self.text.len() as u32));
        Ok(())
    }

    /// The pseudo-headers are all here: makes the start line of them.
    fn begin_fields(&mut self) -> Result<(), Malformed> {
        self.in_fields = true;
        match self.expect {
            Expect::Request => self.begin_request(),
            Expect::Response => self.begin_response(),
            Expect::Trailers | Expect::Nothing => Ok(()),
        }
    }

    fn begin_request(&mut self) -> Result<(), Malformed> {
        let part = |which: usize| self.pseudo[which].map(|(start, end)| &self.text[start as usize..end as usize]);
        let method = part(METHOD).ok_or(Malformed::PseudoHeader)?;
        if method.is_empty() || !method.iter().all(|&b| NAME_BYTES[usize::from(b.to_ascii_lowercase())]) {
            return Err(Malformed::Method);
        }
        let (scheme, authority, path) = (part(SCHEME), part(AUTHORITY), part(PATH));
        // RFC 9113 §8.3.1: HAProxy passes an empty one on as an empty Host; we do not.
        if authority.is_some_and(|a| !is_authority(a)) {
            return Err(Malformed::Authority);
        }
        let protocol = part(PROTOCOL);
        if protocol.is_some_and(|p| !is_protocol(p)) {
            return Err(Malformed::Protocol);
        }
        if method == b"CONNECT" && protocol.is_none() {
            return match (authority, scheme, path) {
                // RFC 9113 §8.5: host and port, and nothing else.
                (Some(authority), None, None) if uri::host_port(authority).1.is_some_and(uri::is_digits) => {
                    self.head.start_request(method, authority, Version::Http2);
                    self.head.append(b"host", authority);
                    self.has_host = true;
                    Ok(())
                }
                (None, ..) | (Some(_), None, None) => Err(Malformed::Authority),
                _ => Err(Malformed::PseudoHeader),
            };
        }
        // RFC 8441 §4: `:protocol` goes with CONNECT, and then all others are there.
        if protocol.is_some() && (method != b"CONNECT" || authority.is_none()) {
            return Err(Malformed::PseudoHeader);
        }
        let (scheme, path) = (scheme.ok_or(Malformed::PseudoHeader)?, path.ok_or(Malformed::PseudoHeader)?);
        if !is_scheme(scheme) {
            return Err(Malformed::Scheme);
        }
        let asterisk = path == b"*" && method == b"OPTIONS";
        if !asterisk && !is_path(path) {
            return Err(Malformed::Path);
        }
        let Some(authority) = authority else {
            // The URI has no authority then, as HAProxy shows it; the Host field, if any, keeps its place.
            self.head.start_request(method, path, Version::Http2);
            return Ok(());
        };
        let authority = without_default_port(authority, scheme);
        let start = self.text.len();
        let (method, authority, scheme, path) =
            (self.range(METHOD), self.pseudo_start(AUTHORITY, authority.len()), self.range(SCHEME), self.range(PATH));
        self.text.extend_from_within(scheme);
        self.text.extend_from_slice(b"://");
        self.text.extend_from_within(authority.clone());
        if !asterisk {
            self.text.extend_from_within(path);
        }
        self.head.start_request(&self.text[method], &self.text[start..], Version::Http2);
        self.head.append(b"host", &self.text[authority]);
        self.has_host = true;
        Ok(())
    }

    fn range(&self, which: usize) -> std::ops::Range<usize> {
        self.pseudo[which].map_or(0..0, |(start, end)| start as usize..end as usize)
    }

    fn pseudo_start(&self, which: usize, len: usize) -> std::ops::Range<usize> {
        let start = self.range(which).start;
        start..start + len
    }

    fn begin_response(&mut self) -> Result<(), Malformed> {
        let text = &self.text[self.range(STATUS)];
        if self.pseudo[STATUS].is_none() {
            return Err(Malformed::PseudoHeader);
        }
        // RFC 9113 §8.6: 101 is not used in HTTP/2.
        let (3, true, b'1'..=b'9') = (text.len(), uri::is_digits(text), text.first().copied().unwrap_or(0)) else {
            return Err(Malformed::Status);
        };
        let code = text.iter().fold(0, |n, &b| n * 10 + u16::from(b - b'0'));
        if code == 101 {
            return Err(Malformed::Status);
        }
        // HTTP/2 has no reasons (RFC 9113 §8.3.2): HTTP/1 puts the usual one where it has to.
        self.head.start_response(code, b"", Version::Http2);
        Ok(())
    }

    /// A regular field whose name and value are well formed.
    fn take_field(&mut self, name: &[u8], value: &[u8]) -> Result<(), Malformed> {
        if is_connection_field(name) {
            return Err(Malformed::ConnectionField);
        }
        // By length first: most names end here.
        match name.len() {
            2 if name == b"te" && !value.eq_ignore_ascii_case(b"trailers") => return Err(Malformed::ConnectionField),
            4 if name == b"host" && self.expect == Expect::Trailers => return Err(Malformed::Trailer),
            4 if name == b"host" && self.expect == Expect::Request => {
                if !self.has_host {
                    if !uri::is_host(value) {
                        return Err(Malformed::Authority);
                    }
                    self.has_host = true;
                    self.head.append(name, value);
                }
                return Ok(());
            }
            6 if name == b"cookie" && self.expect == Expect::Request => {
                if !self.cookie.is_empty() {
                    self.cookie.extend_from_slice(COOKIE_SEPARATOR);
                }
                self.cookie.extend_from_slice(value);
                return Ok(());
            }
            14 if name == b"content-length" => return self.take_content_length(value),
            _ => {}
        }
        self.head.append(name, value);
        Ok(())
    }

    /// Leaves one line, written without list and leading zeros.
    fn take_content_length(&mut self, value: &[u8]) -> Result<(), Malformed> {
        if self.expect == Expect::Trailers {
            return Err(Malformed::Trailer);
        }
        let known = self.content_length;
        let length = framing::content_length(known, value).map_err(|_| Malformed::ContentLength)?;
        self.content_length = Some(length);
        if known.is_none() {
            self.head.append(b"content-length", decimal(length, &mut [0; 20]));
        }
        Ok(())
    }
}

/// Writes the field lines of a request. `scheme` is for a URI that has none; `protocol` makes it an extended CONNECT.
pub fn write_request(head: &Head, scheme: &[u8], protocol: Option<&[u8]>, encoder: &mut Encoder, out: &mut Vec<u8>) {
    let uri = Uri::split(head.uri());
    let authority = head.first(b"host").unwrap_or_else(|| uri.host_and_port());
    encoder.field(b":method", head.method(), out);
    if uri.form == Form::Authority && protocol.is_none() {
        encoder.field(b":authority", uri.authority, out);
    } else {
        let path = match uri.path_and_query {
            // RFC 9113 §8.3.1: OPTIONS without path means `*`.
            b"" if head.method() == b"OPTIONS" => &b"*"[..],
            b"" => b"/",
            path => path,
        };
        encoder.field(b":scheme", if uri.scheme.is_empty() { scheme } else { uri.scheme }, out);
        if !authority.is_empty() {
            encoder.field(b":authority", authority, out);
        }
        encoder.field(b":path", path, out);
        if let Some(protocol) = protocol {
            encoder.field(b":protocol", protocol, out);
        }
    }
    for (name, value) in head.fields() {
        if name == b"te" {
            if has_trailers(value) {
                encoder.field(name, b"trailers", out);
            }
        } else if name != b"host" && !is_connection_field(name) {
            encoder.field(name, value, out);
        }
    }
}

/// Writes the field lines of a response.
pub fn write_response(head: &Head, encoder: &mut Encoder, out: &mut Vec<u8>) {
    let code = head.status();
    let digits = [code / 100 % 10, code / 10 % 10, code % 10].map(|d| b'0' + d as u8);
    encoder.field(b":status", &digits, out);
    write_fields(head, encoder, out);
}

/// Writes the field lines of trailers.
pub fn write_fields(head: &Head, encoder: &mut Encoder, out: &mut Vec<u8>) {
    for (name, value) in head.fields().filter(|(name, _)| !is_connection_field(name)) {
        encoder.field(name, value, out);
    }
}

fn has_trailers(te: &[u8]) -> bool {
    te.split(|&b| b == b',').any(|t| t.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// RFC 9113 §8.2.2.
fn is_connection_field(name: &[u8]) -> bool {
    match name.len() {
        7 => name == b"upgrade",
        10 => name == b"connection" || name == b"keep-alive",
        16 => name == b"proxy-connection",
        17 => name == b"transfer-encoding",
        _ => false,
    }
}

fn trimmed(value: &[u8]) -> &[u8] {
    let is_blank = |b: &u8| *b == b' ' || *b == b'\t';
    let Some(start) = value.iter().position(|b| !is_blank(b)) else { return &[] };
    let end = value.iter().rposition(|b| !is_blank(b)).map_or(0, |at| at + 1);
    &value[start..end]
}

/// A token, but not HTTP/2 itself: what followed would pass the rules unseen, in HTTP/1 by `Upgrade: h2c`.
fn is_protocol(protocol: &[u8]) -> bool {
    let is_h2 = [&b"h2"[..], b"h2c"].iter().any(|name| protocol.eq_ignore_ascii_case(name));
    !protocol.is_empty() && !is_h2 && protocol.iter().all(|&b| NAME_BYTES[usize::from(b.to_ascii_lowercase())])
}

/// RFC 3986 §3.1.
fn is_scheme(scheme: &[u8]) -> bool {
    scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b))
}

/// Like HAProxy 3.4 this takes bytes above 127, and refuses fragments.
fn is_path(path: &[u8]) -> bool {
    path.first() == Some(&b'/') && path.iter().all(|&b| b > b' ' && b != 0x7f && b != b'#')
}

/// Host and port, without user.
fn is_authority(authority: &[u8]) -> bool {
    let (host, port) = uri::host_port(authority);
    !host.is_empty() && uri::is_host(authority) && port.is_none_or(|p| p.is_empty() || uri::is_digits(p))
}

/// As HAProxy 3.4 does, also for the Host field that is made of it.
fn without_default_port<'a>(authority: &'a [u8], scheme: &[u8]) -> &'a [u8] {
    match uri::host_port(authority) {
        (host, Some(b"")) => host,
        (host, Some(b"80")) if scheme.eq_ignore_ascii_case(b"http") => host,
        (host, Some(b"443")) if scheme.eq_ignore_ascii_case(b"https") => host,
        _ => authority,
    }
}

/// RFC 9110 §5.6.2 tokens without capitals (RFC 9113 §8.2).
const NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let allowed = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";
    let mut at = 0;
    while at < allowed.len() {
        table[allowed[at] as usize] = true;
        at += 1;
    }
    table
};
