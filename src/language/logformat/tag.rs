//! The tags of log-format (manual 8.2.6): each one's name and what it writes.

use super::date::{write_clf, write_local, write_log_date};
use super::escape::{Style, push_hex_number, write_absent, write_ip, write_number, write_text};
use crate::language::context::Context;
use crate::language::sample::cast::push_int;
use crate::language::world::ProcessFact;
use std::net::SocketAddr;

macro_rules! tags {
    ($($name:literal => $tag:ident),* $(,)?) => {
        /// A tag.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Tag { $($tag),* }

        impl Tag {
            /// The tag of this name.
            pub fn find(name: &str) -> Option<Tag> {
                match name {
                    $($name => Some(Tag::$tag),)*
                    _ => None,
                }
            }

            /// Every tag's name.
            #[cfg(test)]
            pub const NAMES: &'static [&'static str] = &[$($name),*];
        }
    };
}

tags! {
    "o" => Options,
    "B" => BytesRead, "U" => BytesUploaded, "CC" => RequestCookie, "CS" => ResponseCookie, "H" => Hostname,
    "HM" => Method, "HP" => Path, "HPO" => PathOnly, "HQ" => Query, "HU" => Uri, "HV" => Version, "ID" => UniqueId,
    "OG" => Origin, "ST" => Status, "T" => DateUtc, "Ta" => TimeActive, "Tc" => TimeConnect, "Td" => TimeData,
    "Th" => TimeHandshake, "Ti" => TimeIdle, "Tl" => DateLocal, "Tq" => TimeQuery, "TR" => TimeRequest,
    "Tr" => TimeResponse, "Ts" => Timestamp, "Tt" => TimeTotal, "Tu" => TimeUser, "Tw" => TimeQueue,
    "ac" => ProcessConn, "b" => Backend, "bc" => BackendConn, "bi" => BackendIp, "bp" => BackendPort,
    "bq" => BackendQueue, "ci" => ClientIp, "cp" => ClientPort, "f" => Frontend, "fc" => FrontendConn,
    "fi" => FrontendIp, "fp" => FrontendPort, "ft" => FrontendTransport, "hr" => RequestHeaders,
    "hrl" => RequestHeaderList, "hs" => ResponseHeaders, "hsl" => ResponseHeaderList, "lc" => LogCounter,
    "ms" => Milliseconds, "pid" => Pid, "r" => RequestLine, "rc" => Retries, "rt" => RequestCounter, "s" => Server,
    "sc" => ServerConn, "si" => ServerIp, "sp" => ServerPort, "sq" => ServerQueue, "sslc" => TlsCipher,
    "sslv" => TlsVersion, "t" => Date, "tr" => DateRequest, "trg" => DateRequestUtc, "trl" => DateRequestLocal,
    "ts" => TerminationShort, "tsc" => Termination,
}

impl Tag {
    /// Appends the tag's value.
    pub fn write(self, cx: &Context<'_>, style: Style, out: &mut Vec<u8>) {
        let (session, stream) = (&*cx.session, &*cx.stream);
        let text = |t: &str, out: &mut Vec<u8>| write_text(Some(t.as_bytes()), style, out);
        let number = |n: i64, out: &mut Vec<u8>| write_number(n, style, out);
        let timers = &stream.timers;
        match self {
            Tag::Options => {}
            Tag::BytesRead => early(stream.bytes_out as i64, cx, out),
            Tag::BytesUploaded => early(stream.bytes_in as i64, cx, out),
            Tag::RequestCookie => write_text(stream.request_cookie.as_deref(), style, out),
            Tag::ResponseCookie => write_text(stream.response_cookie.as_deref(), style, out),
            Tag::Hostname => text(cx.world.hostname(), out),
            Tag::Method => request(cx, style, out, &stream.method),
            Tag::Path => request(cx, style, out, split_query(&stream.uri).0),
            Tag::PathOnly => request(cx, style, out, path_only(&stream.uri)),
            Tag::Query => request(cx, style, out, split_query(&stream.uri).1),
            Tag::Uri => request(cx, style, out, &stream.uri),
            Tag::Version => request(cx, style, out, stream.version.as_bytes()),
            Tag::UniqueId => write_text(stream.unique_id.as_deref(), style, out),
            Tag::Origin => text("session", out),
            // A connection without a stream has no status to lack.
            Tag::Status if session.error.is_some() => push_int(out, stream.status as i64),
            Tag::Status => push_int(out, if stream.status == 0 { -1 } else { stream.status as i64 }),
            Tag::DateUtc => write_clf(session.accept_us, out),
            Tag::DateLocal => write_local(session.accept_us, offset(cx, session.accept_us), out),
            Tag::Date => write_log_date(session.accept_us, offset(cx, session.accept_us), out),
            Tag::DateRequest => write_log_date(stream.request_us, offset(cx, stream.request_us), out),
            Tag::DateRequestUtc => write_clf(stream.request_us, out),
            Tag::DateRequestLocal => write_local(stream.request_us, offset(cx, stream.request_us), out),
            Tag::Timestamp => number((session.accept_us / 1_000_000) as i64, out),
            Tag::Milliseconds => {
                let ms = session.accept_us / 1000 % 1000;
                if style.hex {
                    push_hex_number(out, ms, 2);
                } else {
                    out.extend_from_slice(&[
                        b'0' + (ms / 100) as u8,
                        b'0' + (ms / 10 % 10) as u8,
                        b'0' + (ms % 10) as u8,
                    ]);
                }
            }
            Tag::TimeActive => early(timers.active, cx, out),
            Tag::TimeConnect => push_int(out, timers.connect),
            Tag::TimeData => push_int(out, timers.data),
            Tag::TimeHandshake => push_int(out, timers.handshake),
            Tag::TimeIdle => push_int(out, timers.idle),
            Tag::TimeQuery => match timers.request {
                -1 => push_int(out, -1),
                n => push_int(out, timers.handshake + timers.idle + n),
            },
            Tag::TimeRequest => push_int(out, timers.request),
            Tag::TimeResponse => push_int(out, timers.response),
            Tag::TimeTotal => early(timers.total, cx, out),
            Tag::TimeUser => early(timers.user, cx, out),
            Tag::TimeQueue => push_int(out, timers.queue),
            Tag::ProcessConn => push_int(out, stream.process_conn as i64),
            Tag::FrontendConn => push_int(out, stream.frontend_conn as i64),
            Tag::BackendConn => push_int(out, stream.backend_conn as i64),
            Tag::ServerConn => push_int(out, stream.server_conn as i64),
            Tag::Retries => {
                if stream.redispatched {
                    out.push(b'+');
                }
                push_int(out, stream.retries as i64);
            }
            Tag::ServerQueue => push_int(out, stream.server_queue as i64),
            Tag::BackendQueue => push_int(out, stream.backend_queue as i64),
            Tag::Backend => text(stream.backend.as_ref().map_or(&session.listener.frontend.name, |b| &b.name), out),
            Tag::Server => match (&stream.service, &stream.server) {
                (Some(service), _) => text(service, out),
                (None, Some(server)) => text(&server.name, out),
                (None, None) => text("<NOSRV>", out),
            },
            Tag::Frontend => text(&session.listener.frontend.name, out),
            Tag::FrontendTransport => {
                if style.quote {
                    out.push(b'"');
                }
                out.extend_from_slice(session.listener.frontend.name.as_bytes());
                if session.tls.is_some() {
                    out.push(b'~');
                }
                if style.quote {
                    out.push(b'"');
                }
            }
            Tag::ClientIp => address(session.src, style, cx, out),
            Tag::ClientPort => port(session.src, style, session.listener.id, out),
            Tag::FrontendIp => address(session.dst, style, cx, out),
            Tag::FrontendPort => port(session.dst, style, session.listener.id, out),
            Tag::BackendIp => other_address(stream.server_src, style, out),
            Tag::BackendPort => other_port(stream.server_src, style, out),
            Tag::ServerIp => other_address(stream.server_dst, style, out),
            Tag::ServerPort => other_port(stream.server_dst, style, out),
            Tag::RequestHeaders => captures(&stream.request_captures, style, out),
            Tag::ResponseHeaders => captures(&stream.response_captures, style, out),
            Tag::RequestHeaderList => capture_list(&stream.request_captures, style, out),
            Tag::ResponseHeaderList => capture_list(&stream.response_captures, style, out),
            Tag::LogCounter => number(stream.log_counter as i64, out),
            Tag::RequestCounter => match style.hex {
                true => push_hex_number(out, stream.request_counter & 0xFFFF_FFFF, 4),
                false => push_int(out, stream.request_counter as i64),
            },
            Tag::Pid => match style.hex {
                true => push_hex_number(out, cx.world.process(ProcessFact::Pid).unwrap_or(0) as u64, 4),
                false => push_int(out, cx.world.process(ProcessFact::Pid).unwrap_or(0)),
            },
            Tag::RequestLine => request_line(cx, style, out),
            Tag::TlsCipher => {
                write_text(session.tls.as_ref().map(|t| t.cipher.as_bytes()).filter(|c| !c.is_empty()), style, out)
            }
            Tag::TlsVersion => {
                write_text(session.tls.as_ref().map(|t| t.protocol.as_bytes()).filter(|c| !c.is_empty()), style, out)
            }
            Tag::Termination => out.extend_from_slice(&stream.termination),
            Tag::TerminationShort => out.extend_from_slice(&stream.termination[..2]),
        }
    }
}

/// A number with a `+` when the line is written before the end.
fn early(n: i64, cx: &Context<'_>, out: &mut Vec<u8>) {
    if cx.stream.timers.logged_early {
        out.push(b'+');
    }
    push_int(out, n);
}

fn offset(cx: &Context<'_>, wall_us: u64) -> i32 {
    cx.world.utc_offset(wall_us / 1_000_000)
}

fn address(address: Option<SocketAddr>, style: Style, cx: &Context<'_>, out: &mut Vec<u8>) {
    match address {
        Some(a) => write_ip(a.ip(), style, out),
        None if cx.session.fc_src().is_none() => write_text(Some(b"unix"), style, out),
        None => write_absent(style, out),
    }
}

/// On UNIX sockets the listener's number stands for the port.
fn port(address: Option<SocketAddr>, style: Style, listener: u32, out: &mut Vec<u8>) {
    match (address, style.hex) {
        (Some(a), true) => push_hex_number(out, a.port() as u64, 4),
        (Some(a), false) => push_int(out, a.port() as i64),
        (None, _) => push_int(out, listener as i64),
    }
}

fn other_address(address: Option<SocketAddr>, style: Style, out: &mut Vec<u8>) {
    match address {
        Some(a) => write_ip(a.ip(), style, out),
        None => write_absent(style, out),
    }
}

fn other_port(address: Option<SocketAddr>, style: Style, out: &mut Vec<u8>) {
    match (address, style.hex) {
        (Some(a), true) => push_hex_number(out, a.port() as u64, 4),
        (Some(a), false) => push_int(out, a.port() as i64),
        (None, _) => write_absent(style, out),
    }
}

/// `{a|b}`; nothing when nothing is captured in this frontend.
fn captures(captures: &[Option<Vec<u8>>], style: Style, out: &mut Vec<u8>) {
    if captures.is_empty() {
        return;
    }
    if style.quote {
        out.push(b'"');
    }
    out.push(b'{');
    for (i, value) in captures.iter().enumerate() {
        if i > 0 {
            out.push(b'|');
        }
        write_text(Some(value.as_deref().unwrap_or_default()), Style { quote: false, ..style }, out);
    }
    out.push(b'}');
    if style.quote {
        out.push(b'"');
    }
}

/// The same for the common log format: values between blanks.
fn capture_list(captures: &[Option<Vec<u8>>], style: Style, out: &mut Vec<u8>) {
    for (i, value) in captures.iter().enumerate() {
        if i > 0 {
            out.push(b' ');
        }
        write_text(value.as_deref(), style, out);
    }
}

/// A part of the request line, or `<BADREQ>`.
fn request(cx: &Context<'_>, style: Style, out: &mut Vec<u8>, part: &[u8]) {
    let bad = cx.stream.bad_request || cx.stream.method.is_empty();
    write_text(Some(if bad { b"<BADREQ>" } else { part }), style, out);
}

fn request_line(cx: &Context<'_>, style: Style, out: &mut Vec<u8>) {
    let stream = &*cx.stream;
    if stream.bad_request || stream.method.is_empty() {
        return write_text(Some(b"<BADREQ>"), style, out);
    }
    if style.quote {
        out.push(b'"');
    }
    let plain = Style { quote: false, ..style };
    write_text(Some(&stream.method), plain, out);
    out.push(b' ');
    write_text(Some(&stream.uri), plain, out);
    out.push(b' ');
    out.extend_from_slice(stream.version.as_bytes());
    if style.quote {
        out.push(b'"');
    }
}

/// The URI before its query, and the query with its `?`.
fn split_query(uri: &[u8]) -> (&[u8], &[u8]) {
    uri.split_at(memchr::memchr(b'?', uri).unwrap_or(uri.len()))
}

/// The path without scheme, authority and query.
fn path_only(uri: &[u8]) -> &[u8] {
    crate::language::sample::fetch::path_of(uri).unwrap_or(uri)
}
