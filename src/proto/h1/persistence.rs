//! Connection, Upgrade and TE: what they say about this hop, and what is left of them for the next one
//! (RFC 9110 §7.6, §7.8, §10.1.4; RFC 9112 §9). Follows HAProxy 3.4: `close` and `keep-alive` are taken out and
//! written anew for the other side; other tokens, Keep-Alive and Proxy-Connection pass.

use crate::proto::http::head::{Head, Version};

/// What Connection and Upgrade of a message said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tokens {
    pub close: bool,
    pub keep_alive: bool,
    /// Connection names `upgrade` and there is an Upgrade field to pass on.
    pub upgrade: bool,
    /// One of the protocols of that upgrade is `websocket`.
    pub websocket: bool,
}

impl Tokens {
    /// RFC 9112 §9.3: `close` wins; HTTP/1.0 must ask for keep-alive.
    pub fn is_persistent(&self, version: Version) -> bool {
        !self.close && (version >= Version::Http11 || self.keep_alive)
    }
}

/// What happens to a connection after the message that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    KeepAlive,
    Close,
}

/// The elements of a comma-separated list, without blanks and empty ones.
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|t| !t.is_empty())
}

/// Takes what concerns this hop out of a received head. The flags say which of the three fields are there.
pub(crate) fn take_tokens(head: &mut Head, connection: bool, upgrade: bool, te: bool) -> Tokens {
    let mut tokens = Tokens::default();
    if te {
        take_te(head);
    }
    if !connection && !upgrade {
        return tokens;
    }
    if !upgrade && let Some(simple) = take_single_token(head) {
        return simple;
    }
    let mut named_upgrade = false;
    for token in head.values(b"connection").flat_map(list) {
        tokens.close |= token.eq_ignore_ascii_case(b"close");
        tokens.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
        named_upgrade |= token.eq_ignore_ascii_case(b"upgrade");
    }
    if upgrade && !named_upgrade {
        head.remove(b"upgrade");
    } else if upgrade {
        // HAProxy never passes HTTP/2 on: what would follow is not HTTP/1, and its rules would not see it.
        let is_h2 = |p: &[u8]| p.eq_ignore_ascii_case(b"h2c") || p.eq_ignore_ascii_case(b"h2");
        keep_tokens(head, b"upgrade", |protocol| !is_h2(protocol));
    }
    tokens.upgrade = named_upgrade && upgrade && head.contains(b"upgrade");
    let is_websocket = |v: &[u8]| list(v).any(|p| p.eq_ignore_ascii_case(b"websocket"));
    tokens.websocket = tokens.upgrade && head.values(b"upgrade").any(is_websocket);
    keep_tokens(head, b"connection", |token| {
        let here = [&b"close"[..], b"keep-alive"].iter().any(|t| token.eq_ignore_ascii_case(t));
        !here && (tokens.upgrade || !token.eq_ignore_ascii_case(b"upgrade"))
    });
    tokens
}

/// The usual Connection: one line with one token for this hop. Anything else is left to the careful way.
fn take_single_token(head: &mut Head) -> Option<Tokens> {
    let index = head.position(b"connection", 0)?;
    let value = head.field(index)?.1;
    let close = value.eq_ignore_ascii_case(b"close");
    let keep_alive = value.eq_ignore_ascii_case(b"keep-alive");
    if !(close || keep_alive) || head.position(b"connection", index + 1).is_some() {
        return None;
    }
    head.remove_at(index);
    Some(Tokens { close, keep_alive, ..Tokens::default() })
}

/// Leaves in each line called `name` the tokens that `keep` wants; a line without any goes away.
fn keep_tokens(head: &mut Head, name: &[u8], keep: impl Fn(&[u8]) -> bool) {
    let mut at = 0;
    while let Some(index) = head.position(name, at) {
        let value = head.field(index).map_or(&b""[..], |f| f.1);
        if list(value).all(&keep) && list(value).next().is_some() {
            at = index + 1;
            continue;
        }
        let kept = list(value).filter(|t| keep(t)).collect::<Vec<_>>().join(&b", "[..]);
        if kept.is_empty() {
            head.remove_at(index);
        } else {
            head.replace_value(index, &kept);
            at = index + 1;
        }
    }
}

/// TE keeps `trailers` and loses everything else (codings are between neighbours).
fn take_te(head: &mut Head) {
    let trailers = |v: &[u8]| list(v).any(|t| t.eq_ignore_ascii_case(b"trailers"));
    let mut at = 0;
    while let Some(index) = head.position(b"te", at) {
        if head.field(index).is_some_and(|f| trailers(f.1)) {
            head.replace_value(index, b"trailers");
            at = index + 1;
        } else {
            head.remove_at(index);
        }
    }
}

/// Whether there is exactly one Sec-WebSocket-Key and it is 24 characters of base64 (RFC 6455 §4.1).
pub(crate) fn has_websocket_key(head: &Head) -> bool {
    let mut keys = head.values(b"sec-websocket-key");
    keys.next().is_some_and(|key| key.len() == 24) && keys.next().is_none()
}

/// The Connection token to add to a request that is sent with `version`: None where the version implies it.
pub fn request_token(version: Version, then: Persistence) -> Option<&'static [u8]> {
    match (version >= Version::Http11, then) {
        (true, Persistence::Close) => Some(b"close"),
        (false, Persistence::KeepAlive) => Some(b"keep-alive"),
        _ => None,
    }
}

/// The Connection token to add to a response of version `response` for a client that spoke `request`.
pub fn response_token(request: Version, response: Version, then: Persistence) -> Option<&'static [u8]> {
    match then {
        Persistence::Close if response >= Version::Http11 => Some(b"close"),
        Persistence::KeepAlive if request.min(response) < Version::Http11 => Some(b"keep-alive"),
        _ => None,
    }
}

/// Whether a rule wants the connection to end: what a peer says of that was taken out when its head was read.
pub fn asks_to_close(head: &Head) -> bool {
    head.values(b"connection").flat_map(list).any(|t| t.eq_ignore_ascii_case(b"close"))
}

/// Adds `token` to the Connection field of a head that is about to be written, if it is not there: to the first line
/// there is, else as a new line at the end.
pub fn add_token(head: &mut Head, token: &[u8]) {
    if head.values(b"connection").flat_map(list).any(|t| t.eq_ignore_ascii_case(token)) {
        return;
    }
    match head.position(b"connection", 0).and_then(|i| head.field(i).map(|f| (i, f.1))) {
        Some((index, value)) => {
            let joined = [value, b", ", token].concat();
            head.replace_value(index, &joined);
        }
        None => head.append(b"connection", token),
    }
}
