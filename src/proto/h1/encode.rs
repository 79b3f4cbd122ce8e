//! Writes HTTP/1 heads, chunks and trailers at the end of a buffer (RFC 9112 §3–§7). What is written comes from checked
//! heads; here only the layout is known.

use crate::proto::http::head::{Head, Kind, Version};
use crate::proto::http::uri::Uri;
use crate::proto::http::{push_decimal, status};

/// Appends start line, fields and the empty line.
pub fn head(head: &Head, out: &mut Vec<u8>) {
    out.reserve(head.wire_len());
    match head.kind() {
        Kind::Request => {
            out.extend_from_slice(head.method());
            out.push(b' ');
            out.extend_from_slice(target(head));
            out.push(b' ');
            out.extend_from_slice(version(head));
        }
        Kind::Response => {
            out.extend_from_slice(version(head));
            out.push(b' ');
            push_status(out, head.status());
            out.push(b' ');
            match head.reason() {
                b"" => out.extend_from_slice(status::reason(head.status()).as_bytes()),
                reason => out.extend_from_slice(reason),
            }
        }
    }
    out.extend_from_slice(b"\r\n");
    fields(head, out);
    out.extend_from_slice(b"\r\n");
}

/// A message that came by a later protocol goes on as HTTP/1.1.
fn version(head: &Head) -> &'static [u8] {
    head.version().min(Version::Http11).as_str().as_bytes()
}

/// HTTP/2 names scheme and authority of every request; HTTP/1 has them in Host (RFC 9112 §3.2.1).
fn target(head: &Head) -> &[u8] {
    match head.version() {
        Version::Http10 | Version::Http11 => head.uri(),
        _ if head.method() == b"CONNECT" => head.uri(),
        _ => match Uri::split(head.uri()).path_and_query {
            b"" if head.method() == b"OPTIONS" => b"*",
            b"" => b"/",
            path => path,
        },
    }
}

/// Adds a field line to an encoded head.
pub fn append_field(wire: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    wire.truncate(wire.len() - 2);
    for part in [name, b": ", value, b"\r\n\r\n"] {
        wire.extend_from_slice(part);
    }
}

/// Appends the field lines alone.
pub fn fields(head: &Head, out: &mut Vec<u8>) {
    for (name, value) in head.fields() {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends the line that goes before `size` bytes of chunk data; [`CHUNK_END`] goes after them.
pub fn chunk_start(size: u64, out: &mut Vec<u8>) {
    debug_assert!(size > 0, "an empty chunk ends the body");
    let digits = (64 - size.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        // HAProxy writes capital digits.
        out.push(b"0123456789ABCDEF"[(size >> (place * 4) & 15) as usize]);
    }
    out.extend_from_slice(b"\r\n");
}

/// What goes after the data of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// The last chunk of a body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Appends the last chunk and the trailer fields.
pub fn last_chunk(trailers: &Head, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    fields(trailers, out);
    out.extend_from_slice(b"\r\n");
}

/// A status is three digits.
fn push_status(out: &mut Vec<u8>, status: u16) {
    if (100..=999).contains(&status) {
        out.extend([status / 100, status / 10 % 10, status % 10].map(|d| b'0' + d as u8));
    } else {
        push_decimal(out, u64::from(status));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http::head::Version;

    #[test]
    fn heads_are_written_as_their_length_says() {
        let mut request = Head::request(b"GET", b"/x", Version::Http11);
        request.append(b"Host", b"a");
        let mut out = Vec::new();
        head(&request, &mut out);
        assert_eq!(out, b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(out.len(), request.wire_len());
        let mut response = Head::response(404, b"Not Found", Version::Http10);
        response.append(b"X", b"");
        out.clear();
        head(&response, &mut out);
        assert_eq!(out, b"HTTP/1.0 404 Not Found\r\nx: \r\n\r\n");
        assert_eq!(out.len(), response.wire_len());
    }

    #[test]
    fn chunk_lines_are_capital_hexadecimal() {
        for (size, line) in
            [(1, &b"1\r\n"[..]), (10, b"A\r\n"), (0x1f0, b"1F0\r\n"), (u64::MAX, b"FFFFFFFFFFFFFFFF\r\n")]
        {
            let mut out = Vec::new();
            chunk_start(size, &mut out);
            assert_eq!(out, line);
        }
    }
}
