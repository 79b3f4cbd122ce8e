//! Persistence by cookie (manual 4.2 "cookie", "dynamic-cookie-key"; 8.5 for the letters): which server a request's cookie
//! names, what becomes of the cookie on its way to the server, and what the client is told in the response.

use super::persist;
use super::session::Session;
use super::stream::Exchange;
use super::worker::Worker;
use crate::base::address::Address;
use crate::base::hash::xxh64;
use crate::model::persist::{Cookie, CookieMode};
use crate::model::plan::{ProxyIndex, ServerIndex};
use crate::model::state::server::ServerLive;
use crate::proto::http::cookie;
use crate::proto::http::head::Head;
use std::io::Write;
use std::net::IpAddr;

/// Between the server's name and the application's value in `prefix` mode, and before dates in the others.
const PREFIX_DELIMITER: u8 = b'~';
const DATE_DELIMITER: u8 = b'|';
/// Dates further ahead than this are wrong.
const FUTURE_S: u64 = 86_400;
/// Dates are told in steps of four seconds.
const DATE_SHIFT: u32 = 2;
const DATE_DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What the client's cookie said: the third letter of the termination state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Given {
    #[default]
    None,
    Invalid,
    Down,
    Valid,
    Expired,
    Old,
    /// There was one, but something else had chosen or persistence is ignored.
    Unused,
}

/// What was done to the response's cookie: the fourth letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Sent {
    #[default]
    None,
    /// The server's own is left as it was.
    Passed,
    Inserted,
    Updated,
    Deleted,
    Rewritten,
}

/// The cookie of one stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct State {
    pub given: Given,
    pub sent: Sent,
    /// Seconds since 1970; 0: the cookie has no such date.
    last_date: u64,
    first_date: u64,
    /// The server was named by persistence, not chosen by the algorithm.
    pub direct: bool,
}

impl State {
    /// The chosen server could not be reached: another serves.
    pub fn redispatched(&mut self) {
        self.direct = false;
        if self.given == Given::Valid {
            self.given = Given::Down;
        }
    }

    fn letters(self) -> [u8; 2] {
        let given = match self.given {
            Given::None => b'N',
            Given::Invalid => b'I',
            Given::Down => b'D',
            Given::Valid => b'V',
            Given::Expired => b'E',
            Given::Old => b'O',
            Given::Unused => b'U',
        };
        let sent = match self.sent {
            Sent::None => b'N',
            Sent::Passed => b'P',
            Sent::Inserted => b'I',
            Sent::Updated => b'U',
            Sent::Deleted => b'D',
            Sent::Rewritten => b'R',
        };
        [given, sent]
    }
}

/// The letters for the log, where the proxy in charge has a cookie to speak of.
pub fn letters(s: &Session, ex: &mut Exchange) {
    let proxy = ex.backend.unwrap_or(s.proxy);
    if let Some(settings) = &s.w.plan.proxies[proxy].backend.cookie
        && (settings.mode != CookieMode::Passive || settings.indirect)
    {
        ex.facts.termination[2..].copy_from_slice(&ex.cookie.letters());
    }
}

/// The cookie value of a server: as configured, or computed (`dynamic`).
fn of_server<'a>(w: &'a Worker, proxy: ProxyIndex, live: &'a ServerLive) -> Option<Value<'a>> {
    if let Some(value) = &live.settings.cookie {
        return Some(Value::Text(value.as_bytes()));
    }
    let key = w.board.live.backend(proxy).dynamic_cookie.key()?;
    let key = key.as_ref()?;
    let address = live.address()?;
    let Address::Ip(address) = &*address else { return None };
    let mut bytes = w.pool.buf();
    bytes.extend_from_slice(key.as_bytes());
    match address.ip() {
        IpAddr::V4(ip) => bytes.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => bytes.extend_from_slice(&ip.octets()),
    }
    bytes.extend_from_slice(&(address.port() as u32).to_be_bytes());
    let mut text = [0u8; 16];
    let hash = xxh64(&bytes, 0);
    // Sixteen digits always fit.
    let _ = write!(&mut text[..], "{hash:016x}");
    Some(Value::Computed(text))
}

enum Value<'a> {
    Text(&'a [u8]),
    Computed([u8; 16]),
}

impl Value<'_> {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Value::Text(t) => t,
            Value::Computed(t) => t,
        }
    }
}

/// Looks at the request's cookie: the server it names, unless another is `taken` already. Takes out of the request what the
/// server must not see.
pub fn request(w: &Worker, proxy: ProxyIndex, ex: &mut Exchange, taken: bool) -> Option<ServerIndex> {
    let settings = w.plan.proxies[proxy].backend.cookie.as_ref()?;
    let name = settings.name.as_bytes();
    let value = ex.request.values(b"cookie").find_map(|line| find(line, name).map(<[u8]>::to_vec))?;
    let mut chosen = None;
    let (id, dates) = split(settings, &value);
    if taken || ex.ignore_persist {
        ex.cookie.given = Given::Unused;
    } else {
        read_dates(w, settings, dates, ex);
        if ex.cookie.given == Given::None {
            chosen = named(w, proxy, id, ex);
        }
    }
    match settings.mode {
        CookieMode::Insert if settings.indirect => take_out(&mut ex.request, name),
        CookieMode::Prefix => strip(&mut ex.request, name),
        _ => {}
    }
    chosen
}

/// The server of a cookie value: the first that may serve, or word that there is one but down.
fn named(w: &Worker, proxy: ProxyIndex, id: &[u8], ex: &mut Exchange) -> Option<ServerIndex> {
    ex.cookie.given = Given::Invalid;
    if id.is_empty() {
        return None;
    }
    for (index, live) in w.board.live.backend(proxy).servers() {
        if of_server(w, proxy, live).is_none_or(|v| v.as_bytes() != id) {
            continue;
        }
        let good = live.takes_persistent();
        if good || persist::may_take(w, proxy, index, ex) {
            ex.cookie.given = if good { Given::Valid } else { Given::Down };
            return Some(index);
        }
        ex.cookie.given = Given::Down;
    }
    None
}

/// The first cookie of this name on a line.
fn find<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    cookie::request(line).find(|(n, _)| *n == name).map(|(_, v)| v)
}

/// Parts the server's name from what follows it.
fn split<'a>(settings: &Cookie, value: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    let delimiter = if settings.mode == CookieMode::Prefix { PREFIX_DELIMITER } else { DATE_DELIMITER };
    match memchr::memchr(delimiter, value) {
        Some(at) => (&value[..at], &value[at + 1..]),
        None => (value, &[]),
    }
}

/// Reads the dates behind a server's name, and whether they have run out.
fn read_dates(w: &Worker, settings: &Cookie, dates: &[u8], ex: &mut Exchange) {
    if settings.mode == CookieMode::Prefix || settings.maxidle_s.is_none() && settings.maxlife_s.is_none() {
        return;
    }
    let mut parts = dates.splitn(2, |b| *b == DATE_DELIMITER);
    let c = &mut ex.cookie;
    c.last_date = parts.next().map_or(0, decode_date);
    c.first_date = parts.next().map_or(0, decode_date);
    let now = w.rt.now().wall_us / 1_000_000;
    let over = |date: u64, limit: u32| date > 0 && (date > now + FUTURE_S || now.saturating_sub(date) > limit as u64);
    if settings.maxidle_s.is_some_and(|limit| over(c.last_date, limit)) {
        c.given = Given::Expired;
    }
    if settings.maxlife_s.is_some_and(|limit| over(c.first_date, limit)) {
        c.given = Given::Old;
    }
    if c.given != Given::None {
        (c.last_date, c.first_date) = (0, 0);
    }
}

/// Five digits of six bits, in steps of four seconds; 0 for anything else.
fn decode_date(text: &[u8]) -> u64 {
    let Some(text) = text.get(..5) else { return 0 };
    let mut value = 0u64;
    for digit in text {
        let Some(n) = memchr::memchr(*digit, DATE_DIGITS) else { return 0 };
        value = value << 6 | n as u64;
    }
    value << DATE_SHIFT
}

fn encode_date(seconds: u64, out: &mut Vec<u8>) {
    let value = seconds >> DATE_SHIFT;
    out.extend((0..5).rev().map(|n| DATE_DIGITS[(value >> (6 * n)) as usize & 63]));
}

/// The pieces of a Cookie line with the delimiter before each.
fn pieces(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = line;
    let mut first = true;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let from = usize::from(!std::mem::replace(&mut first, false));
        let (mut quoted, mut end) = (false, rest.len());
        for (at, b) in rest.iter().enumerate().skip(from) {
            match b {
                b'"' => quoted = !quoted,
                b';' | b',' if !quoted => {
                    end = at;
                    break;
                }
                _ => {}
            }
        }
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}

fn is_named(piece: &[u8], name: &[u8]) -> bool {
    let piece = piece.strip_prefix(b";").or(piece.strip_prefix(b",")).unwrap_or(piece);
    memchr::memchr(b'=', piece).is_some_and(|at| piece[..at].trim_ascii() == name)
}

fn field_at(head: &Head, index: usize) -> Option<(&[u8], &[u8])> {
    head.fields().nth(index)
}

/// Removes the cookies of this name from a request; a line that is empty then goes too.
fn take_out(head: &mut Head, name: &[u8]) {
    let mut index = 0;
    while let Some((field, value)) = field_at(head, index) {
        if field != b"cookie" || !pieces(value).any(|p| is_named(p, name)) {
            index += 1;
            continue;
        }
        let mut left: Vec<u8> = Vec::with_capacity(value.len());
        for piece in pieces(value).filter(|p| !is_named(p, name)) {
            let piece = if left.is_empty() { piece.trim_ascii_start() } else { piece };
            let piece = match left.is_empty() {
                true => piece.strip_prefix(b";").or(piece.strip_prefix(b",")).unwrap_or(piece).trim_ascii_start(),
                false => piece,
            };
            left.extend_from_slice(piece);
        }
        if left.is_empty() {
            head.remove_at(index);
        } else {
            head.replace_value(index, &left);
            index += 1;
        }
    }
}

/// Takes the server's name off the cookies of this name, so that the application finds its own.
fn strip(head: &mut Head, name: &[u8]) {
    let mut index = 0;
    while let Some((field, value)) = field_at(head, index) {
        index += 1;
        if field != b"cookie" {
            continue;
        }
        let mut found = false;
        let mut left: Vec<u8> = Vec::with_capacity(value.len());
        for piece in pieces(value) {
            let start = memchr::memchr(b'=', piece).map_or(piece.len(), |at| at + 1);
            match memchr::memchr(PREFIX_DELIMITER, &piece[start..]) {
                Some(at) if is_named(piece, name) => {
                    found = true;
                    left.extend_from_slice(&piece[..start]);
                    left.extend_from_slice(&piece[start + at + 1..]);
                }
                _ => left.extend_from_slice(piece),
            }
        }
        if found {
            head.replace_value(index - 1, &left);
        }
    }
}

/// Does to the response what the cookie's mode asks for.
pub fn response(w: &Worker, proxy: ProxyIndex, server: ServerIndex, ex: &mut Exchange) {
    let Some(settings) = w.plan.proxies[proxy].backend.cookie.as_ref() else { return };
    let Some(live) = w.board.live.server(proxy, server) else { return };
    let value = of_server(w, proxy, live);
    own(settings, value.as_ref(), ex);
    if settings.mode == CookieMode::Insert && wants(settings, ex, w) {
        insert(w, settings, value.as_ref(), ex);
    }
}

/// The server's own cookies of this name.
fn own(settings: &Cookie, value: Option<&Value<'_>>, ex: &mut Exchange) {
    let name = settings.name.as_bytes();
    let mut index = 0;
    while let Some((field, line)) = field_at(&ex.response, index) {
        let ours = field == b"set-cookie" && cookie::response(line).is_some_and(|(n, _)| n == name);
        if !ours {
            index += 1;
            continue;
        }
        ex.cookie.sent = Sent::Passed;
        let valid = ex.cookie.given == Given::Valid && ex.cookie.direct;
        if settings.preserve {
            index += 1;
        } else if settings.mode == CookieMode::Insert || settings.indirect && valid {
            ex.response.remove_at(index);
            ex.cookie.sent = Sent::Deleted;
        } else {
            if let (Some(value), CookieMode::Rewrite | CookieMode::Prefix) = (value, settings.mode) {
                let new = rewritten(line, value.as_bytes(), settings.mode == CookieMode::Prefix);
                ex.response.replace_value(index, &new);
                ex.cookie.sent = Sent::Rewritten;
            }
            index += 1;
        }
    }
}

/// A Set-Cookie line with the server's name for its value, or before it.
fn rewritten(line: &[u8], value: &[u8], prefix: bool) -> Vec<u8> {
    let equals = memchr::memchr(b'=', line).unwrap_or(line.len());
    let end = cookie::response(line).map_or(line.len(), |(_, v)| match v.is_empty() {
        true => memchr::memchr(b';', line).unwrap_or(line.len()),
        // The value is a part of the line.
        false => v.as_ptr() as usize - line.as_ptr() as usize + v.len(),
    });
    let mut new = line[..equals].trim_ascii().to_vec();
    new.push(b'=');
    new.extend_from_slice(value);
    if prefix {
        new.push(PREFIX_DELIMITER);
        let old = line.get(equals + 1..end).unwrap_or_default();
        new.extend_from_slice(old.trim_ascii_start());
    }
    new.extend_from_slice(&line[end.max(equals)..]);
    new
}

/// Whether the client is to be given a cookie.
fn wants(settings: &Cookie, ex: &Exchange, w: &Worker) -> bool {
    let c = &ex.cookie;
    if ex.ignore_persist
        || settings.postonly && ex.request.method() != b"POST"
        || settings.preserve && c.sent != Sent::None
    {
        return false;
    }
    if !c.direct {
        return true;
    }
    let now = w.rt.now().wall_us / 1_000_000;
    let dated = settings.maxidle_s.is_some() || settings.maxlife_s.is_some();
    dated
        && c.given == Given::Valid
        && (settings.maxidle_s.is_some() && c.last_date == 0
            || settings.maxlife_s.is_some() && c.first_date == 0
            || c.last_date > 0 && c.last_date >> DATE_SHIFT < now >> DATE_SHIFT)
}

fn insert(w: &Worker, settings: &Cookie, value: Option<&Value<'_>>, ex: &mut Exchange) {
    let now = w.rt.now().wall_us / 1_000_000;
    let mut line = w.pool.buf();
    line.extend_from_slice(settings.name.as_bytes());
    line.push(b'=');
    match value {
        // This server has no name: the client forgets the one it had.
        None => line.extend_from_slice(b"; Expires=Thu, 01-Jan-1970 00:00:01 GMT"),
        Some(value) => {
            line.extend_from_slice(value.as_bytes());
            if settings.maxidle_s.is_some() || settings.maxlife_s.is_some() {
                line.push(DATE_DELIMITER);
                encode_date(now, &mut line);
            }
            if settings.maxlife_s.is_some() {
                line.push(DATE_DELIMITER);
                let first = if ex.cookie.given == Given::Valid { ex.cookie.first_date } else { 0 };
                encode_date(if first > 0 { first } else { now }, &mut line);
            }
        }
    }
    line.extend_from_slice(b"; path=/");
    for domain in &settings.domains {
        line.extend_from_slice(b"; domain=");
        line.extend_from_slice(domain.as_bytes());
    }
    if settings.httponly {
        line.extend_from_slice(b"; HttpOnly");
    }
    if settings.secure {
        line.extend_from_slice(b"; Secure");
    }
    for attr in &settings.attrs {
        line.extend_from_slice(b"; ");
        line.extend_from_slice(attr.as_bytes());
    }
    let cacheable = is_cacheable(ex);
    ex.response.append(b"set-cookie", &line);
    let valid = ex.cookie.given == Given::Valid && ex.cookie.direct;
    ex.cookie.sent = if valid { Sent::Updated } else { Sent::Inserted };
    if settings.nocache && cacheable {
        ex.response.append(b"cache-control", b"private");
    }
}

/// Whether a cache may keep the response (RFC 9111 §3), as far as HAProxy looks.
fn is_cacheable(ex: &Exchange) -> bool {
    let head = &ex.response;
    if !matches!(ex.request.method(), b"GET" | b"HEAD") {
        return false;
    }
    if !matches!(head.status(), 200 | 203 | 204 | 206 | 300 | 301 | 404 | 405 | 410 | 414 | 501) {
        return false;
    }
    let mut explicit = false;
    for value in head.values(b"cache-control") {
        for directive in value.split(|b| *b == b',') {
            let directive = directive.trim_ascii();
            // With a list of fields, only those are private (RFC 9111 §5.2.2.4).
            let forbids = [&b"no-store"[..], b"no-cache", b"private", b"max-age=0", b"s-maxage=0"];
            if forbids.iter().any(|f| directive.eq_ignore_ascii_case(f)) {
                return false;
            }
            let name = directive.split(|b| *b == b'=').next().unwrap_or_default();
            explicit |= name.eq_ignore_ascii_case(b"max-age") || name.eq_ignore_ascii_case(b"s-maxage");
        }
    }
    if head.values(b"pragma").any(|v| v.eq_ignore_ascii_case(b"no-cache")) {
        return false;
    }
    explicit || head.contains(b"last-modified") || head.contains(b"etag") || head.contains(b"expires")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &[u8]) -> String {
        String::from_utf8_lossy(line).into_owned()
    }

    fn head_with(line: &[u8]) -> Head {
        let mut head = Head::new();
        head.append(b"cookie", line);
        head
    }

    #[test]
    fn a_cookie_is_taken_out_with_its_delimiter() {
        for (line, left) in [
            ("a=b; SRV=c2; c=d", Some("a=b; c=d")),
            ("SRV=c1;b=2", Some("b=2")),
            ("a=1;SRV=c2", Some("a=1")),
            ("SRV=c2,b=1", Some("b=1")),
            ("SRV=c2; SRV=c1", None),
            ("xSRV=c2", Some("xSRV=c2")),
            ("a=\"x; SRV=1\"; SRV=c2", Some("a=\"x; SRV=1\"")),
        ] {
            let mut head = head_with(line.as_bytes());
            take_out(&mut head, b"SRV");
            assert_eq!(head.first(b"cookie").map(text), left.map(str::to_owned), "{line}");
        }
    }

    #[test]
    fn a_prefix_is_stripped_from_every_cookie_of_the_name() {
        for (line, left) in [
            ("SRV=c2~val", "SRV=val"),
            ("SRV=c2~", "SRV="),
            ("SRV=val; x=y", "SRV=val; x=y"),
            ("z=1; SRV=c3~v~w; SRV=~x", "z=1; SRV=v~w; SRV=x"),
        ] {
            let mut head = head_with(line.as_bytes());
            strip(&mut head, b"SRV");
            assert_eq!(text(head.first(b"cookie").unwrap()), left, "{line}");
        }
    }

    #[test]
    fn a_response_cookie_gets_the_servers_name() {
        for (line, rewrite, prefix) in [
            ("SRV=app; path=/x", "SRV=c2; path=/x", "SRV=c2~app; path=/x"),
            ("SRV = \"q r\" ; path=/", "SRV=c2 ; path=/", "SRV=c2~\"q r\" ; path=/"),
            ("SRV=", "SRV=c2", "SRV=c2~"),
            ("SRV=; a", "SRV=c2; a", "SRV=c2~; a"),
        ] {
            assert_eq!(text(&rewritten(line.as_bytes(), b"c2", false)), rewrite);
            assert_eq!(text(&rewritten(line.as_bytes(), b"c2", true)), prefix);
        }
    }

    #[test]
    fn dates_come_in_steps_of_four_seconds() {
        let mut out = Vec::new();
        encode_date(1_795_660_900, &mut out);
        assert_eq!(decode_date(&out), 1_795_660_900);
        assert_eq!(decode_date(b"!!"), 0);
        assert_eq!(decode_date(b""), 0);
    }
}
