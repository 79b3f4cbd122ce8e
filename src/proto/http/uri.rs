//! The parts of a request target (RFC 9112 §3.2, RFC 3986), as HAProxy's `path`, `pathq`, `query`, `url` and `base`
//! see them, and the checks of target and Host that a request must pass. Targets stay bytes: nothing is decoded.

use super::head::Head;
use crate::proto::h1::Fault;

/// The form of a request target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `/path?query`
    Origin,
    /// `scheme://authority/path?query`
    Absolute,
    /// `host:port`, with CONNECT only
    Authority,
    /// `*`
    Asterisk,
}

/// A target and where its parts are. Missing parts are empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    pub form: Form,
    /// `http` in `http://a/b`, without `://`.
    pub scheme: &'a [u8],
    /// `user@host:port`.
    pub authority: &'a [u8],
    /// From the first slash after the authority to the end, query included: `pathq`. `*` for the asterisk form.
    pub path_and_query: &'a [u8],
}

impl<'a> Uri<'a> {
    /// Takes a target apart. Whatever is neither absolute nor begins with a slash is taken for an authority.
    pub fn split(target: &'a [u8]) -> Uri<'a> {
        let uri = |form, scheme, authority, path_and_query| Uri { form, scheme, authority, path_and_query };
        match target {
            [b'/', ..] => uri(Form::Origin, &[], &[], target),
            b"*" => uri(Form::Asterisk, &[], &[], target),
            _ => match scheme_len(target) {
                Some(len) => {
                    let rest = &target[len + 3..];
                    let end = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len());
                    uri(Form::Absolute, &target[..len], &rest[..end], &rest[end..])
                }
                None => uri(Form::Authority, &[], target, &[]),
            },
        }
    }

    /// `path`: without the query string.
    pub fn path(&self) -> &'a [u8] {
        let end = memchr::memchr2(b'?', b'#', self.path_and_query).unwrap_or(self.path_and_query.len());
        &self.path_and_query[..end]
    }

    /// `query`: what follows the first `?`, up to a fragment.
    pub fn query(&self) -> &'a [u8] {
        let Some(mark) = memchr::memchr(b'?', self.path_and_query) else {
            return &[];
        };
        let query = &self.path_and_query[mark + 1..];
        &query[..memchr::memchr(b'#', query).unwrap_or(query.len())]
    }

    /// The authority without user information: `host:port`.
    pub fn host_and_port(&self) -> &'a [u8] {
        let start = memchr::memrchr(b'@', self.authority).map_or(0, |at| at + 1);
        &self.authority[start..]
    }

    /// The port that the scheme implies.
    pub fn default_port(&self) -> Option<&'static [u8]> {
        match self.scheme {
            s if s.eq_ignore_ascii_case(b"http") => Some(b"80"),
            s if s.eq_ignore_ascii_case(b"https") => Some(b"443"),
            _ => None,
        }
    }
}

/// Length of a scheme that `://` follows (RFC 3986 §3.1).
fn scheme_len(target: &[u8]) -> Option<usize> {
    let len = target.iter().position(|b| !(b.is_ascii_alphanumeric() || b"+-.".contains(b)))?;
    (len > 0 && target[0].is_ascii_alphabetic() && target[len..].starts_with(b"://")).then_some(len)
}

/// `host[:port]` as host and port; the port is None without colon, empty after a bare colon. `[v6]` keeps brackets.
pub fn host_port(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    let from = authority.iter().rposition(|&b| b == b']').unwrap_or(0);
    match memchr::memrchr(b':', &authority[from..]) {
        Some(colon) => (&authority[..from + colon], Some(&authority[from + colon + 1..])),
        None => (authority, None),
    }
}

/// Bytes that a host with port may hold, as a table: each request's Host is checked.
const HOST_BYTES: [bool; 256] = {
    let refused = b"\"#,/<>?@\\^`{|}";
    let mut table = [false; 256];
    let mut byte = b'!';
    while byte < 0x7f {
        table[byte as usize] = true;
        byte += 1;
    }
    let mut at = 0;
    while at < refused.len() {
        table[refused[at] as usize] = false;
        at += 1;
    }
    table
};

fn is_host_byte(b: u8) -> bool {
    HOST_BYTES[usize::from(b)]
}

/// Whether this may be a host with or without port: brackets only around all of a host. HAProxy 3.4 is looser about
/// quotes, braces and angles.
pub(crate) fn is_host(bytes: &[u8]) -> bool {
    if !bytes.iter().all(|&b| is_host_byte(b)) {
        return false;
    }
    let has_bracket = |part: &[u8]| memchr::memchr2(b'[', b']', part).is_some();
    match bytes.strip_prefix(b"[") {
        None => !has_bracket(bytes),
        Some(rest) => match memchr::memchr(b']', rest).map(|close| rest.split_at(close)) {
            Some((address, after)) => {
                matches!(after, [_] | [_, b':', ..]) && !has_bracket(address) && !has_bracket(&after[1..])
            }
            None => false,
        },
    }
}

/// Checks target and Host of a received request as HAProxy 3.4 does, and normalises as it does: repeated equal Host
/// lines become one, an absolute target loses its default port and gains a path. `hosts`: the number of Host lines.
pub(crate) fn check_request(head: &mut Head, hosts: usize, unsafe_violations: bool) -> Result<(), Fault> {
    if head.uri().iter().any(|&b| b == b'#' || b >= 0x7f) && !unsafe_violations {
        return Err(Fault::Uri);
    }
    one_host(head, hosts)?;
    let uri = Uri::split(head.uri());
    match (head.method() == b"CONNECT", uri.form) {
        (false, Form::Origin) => Ok(()),
        (false, Form::Asterisk) if head.method() == b"OPTIONS" => Ok(()),
        (true, Form::Authority) => check_connect(head, unsafe_violations),
        (false, Form::Absolute) => check_absolute(head, unsafe_violations),
        _ => Err(Fault::Uri),
    }
}

fn one_host(head: &mut Head, hosts: usize) -> Result<(), Fault> {
    let Some(first) = (if hosts > 0 { head.first(b"host") } else { None }) else {
        return Ok(());
    };
    if !is_host(first) {
        return Err(Fault::Host);
    }
    if hosts > 1 {
        if head.values(b"host").any(|v| !v.eq_ignore_ascii_case(first)) {
            return Err(Fault::Host);
        }
        let keep = head.position(b"host", 0).unwrap_or(0);
        while let Some(next) = head.position(b"host", keep + 1) {
            head.remove_at(next);
        }
    }
    Ok(())
}

/// RFC 9110 §9.3.6: the target of CONNECT is host and port, both present.
fn check_connect(head: &mut Head, unsafe_violations: bool) -> Result<(), Fault> {
    if unsafe_violations {
        return Ok(());
    }
    let (host, port) = host_port(head.uri());
    let port = port.ok_or(Fault::Authority)?;
    let number = std::str::from_utf8(port).ok().and_then(|p| p.parse::<u16>().ok()).filter(|_| is_digits(port));
    if host.is_empty() || number.is_none() || !is_host(host) {
        return Err(Fault::Authority);
    }
    let Some(field) = head.first(b"host") else {
        return Ok(());
    };
    let (field_host, field_port) = host_port(field);
    let is_default = |p: &[u8]| p == b"80" || p == b"443";
    let same_port = field_port.map_or(is_default(port), |p| p == port);
    if !field_host.eq_ignore_ascii_case(host) || !same_port {
        return Err(Fault::Authority);
    }
    if field_port.is_some_and(is_default) {
        let kept = field_host.to_vec();
        let index = head.position(b"host", 0).unwrap_or(0);
        head.replace_value(index, &kept);
    }
    Ok(())
}

pub(crate) fn is_digits(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit)
}

/// RFC 9112 §3.2.2, but unlike it a Host that differs from the authority is refused, as by HAProxy 3.4.
fn check_absolute(head: &mut Head, unsafe_violations: bool) -> Result<(), Fault> {
    let uri = Uri::split(head.uri());
    let (host, port) = host_port(uri.host_and_port());
    let default = uri.default_port();
    let user = &uri.authority[..uri.authority.len() - uri.host_and_port().len()];
    let good_user = user.strip_suffix(b"@").unwrap_or(user).iter().all(|&b| is_host_byte(b));
    let good_port = port.is_none_or(|p| p.is_empty() || is_digits(p));
    if host.is_empty() || !is_host(host) || !good_port || !good_user {
        return Err(Fault::Authority);
    }
    let explicit = |p: Option<&[u8]>| p.is_some_and(|p| !p.is_empty() && Some(p) != default);
    if let Some(field) = head.first(b"host").filter(|_| !unsafe_violations) {
        let (field_host, field_port) = host_port(field);
        let same_port = match (explicit(port), explicit(field_port)) {
            (true, true) => port == field_port,
            (a, b) => a == b,
        };
        if !field_host.eq_ignore_ascii_case(host) || !same_port {
            return Err(Fault::Authority);
        }
    }
    let drop_port = port.is_some() && !explicit(port);
    // RFC 9112 §3.2.4: with OPTIONS, no path means `*`. A query may follow the authority at once (RFC 9110 §4.2.1).
    let add_path = match uri.path_and_query.first() {
        None => head.method() != b"OPTIONS",
        Some(b'?') => true,
        Some(b'/') => false,
        Some(_) => return Err(Fault::Uri),
    };
    if drop_port || add_path {
        // Rare enough to build aside.
        let authority_end = uri.authority.len() - if drop_port { port.map_or(0, |p| p.len() + 1) } else { 0 };
        let mut target = [uri.scheme, b"://", &uri.authority[..authority_end]].concat();
        if add_path {
            target.push(b'/');
        }
        target.extend_from_slice(uri.path_and_query);
        head.set_uri(&target);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_taken_apart() {
        let uri = Uri::split(b"http://u@a:80/p/q?x=1&y#f");
        assert_eq!((uri.form, uri.scheme, uri.authority), (Form::Absolute, &b"http"[..], &b"u@a:80"[..]));
        assert_eq!((uri.path(), uri.query()), (&b"/p/q"[..], &b"x=1&y"[..]));
        assert_eq!((uri.path_and_query, uri.host_and_port()), (&b"/p/q?x=1&y#f"[..], &b"a:80"[..]));
        let uri = Uri::split(b"/a?b?c");
        assert_eq!((uri.form, uri.path(), uri.query()), (Form::Origin, &b"/a"[..], &b"b?c"[..]));
        assert_eq!(Uri::split(b"*").form, Form::Asterisk);
        assert_eq!(Uri::split(b"a:443").authority, b"a:443");
        assert_eq!(Uri::split(b"http://a?q").path(), b"");
        assert_eq!(Uri::split(b"//b/x").form, Form::Origin);
    }

    #[test]
    fn host_and_port_part_at_the_last_colon_outside_brackets() {
        assert_eq!(host_port(b"a:80"), (&b"a"[..], Some(&b"80"[..])));
        assert_eq!(host_port(b"[::1]"), (&b"[::1]"[..], None));
        assert_eq!(host_port(b"[::1]:8"), (&b"[::1]"[..], Some(&b"8"[..])));
        assert_eq!(host_port(b"a:"), (&b"a"[..], Some(&b""[..])));
    }
}
