//! HTTP authentication (manual 7.3.6): user lists and the parts of `Authorization`, or of `Proxy-Authorization`
//! under `option http-use-proxy-header`.

use super::{Fetch, row};
use crate::language::auth;
use crate::language::context::{Context, Side};
use crate::language::sample::scope::*;
use crate::language::sample::{Args, Sample, Type};

pub const ROWS: &[Fetch] = &[
    row("http_auth", "user list", Type::Bool, REQUEST_HEADERS, |a, cx, _| {
        // Without a name and a password there is nothing to say.
        decoded(cx)?;
        Some(Sample::Bool(listed(a, cx, |_, _| ()).is_some()))
    }),
    row("http_auth_group", "user list", Type::Str, REQUEST_HEADERS, |a, cx, p| {
        // Each group of the user in turn: an ACL compares them one by one. Elsewhere it is the user's name (observed).
        if !p.every {
            let (mut buf, colon) = decoded(cx)?;
            let known = a.reference(0)?.userlist.get()?.check(&buf[..colon], &buf[colon + 1..]).is_some();
            buf.truncate(colon);
            return known.then(|| Sample::str_buf(buf));
        }
        let group = listed(a, cx, |user, out| {
            let group = user.groups.get(p.nth as usize)?;
            p.more = user.groups.len() > p.nth as usize + 1;
            out.extend_from_slice(group.as_bytes());
            Some(())
        });
        let (buf, found) = group?;
        found.map(|()| Sample::str_buf(buf))
    }),
    row("http_auth_type", "", Type::Str, REQUEST_HEADERS, |_, cx, _| {
        let (kind, _) = credentials(cx)?;
        if kind.eq_ignore_ascii_case(b"basic") {
            decoded(cx)?;
        }
        Some(Sample::str(kind))
    }),
    row("http_auth_user", "", Type::Str, REQUEST_HEADERS, |_, cx, _| {
        let (mut buf, colon) = decoded(cx)?;
        buf.truncate(colon);
        Some(Sample::str_buf(buf))
    }),
    row("http_auth_pass", "", Type::Str, REQUEST_HEADERS, |_, cx, _| {
        let (mut buf, colon) = decoded(cx)?;
        buf.drain(..=colon);
        Some(Sample::str_buf(buf))
    }),
    row("http_auth_bearer", "[string]", Type::Str, REQUEST_HEADERS, bearer),
];

fn credentials<'c>(cx: &'c Context<'_>) -> Option<(&'c [u8], &'c [u8])> {
    let head = cx.head(Side::Request)?;
    let field: &[u8] = if cx.is_proxied() { b"proxy-authorization" } else { b"authorization" };
    auth::split(head.first(field)?)
}

/// `user:password` of basic authentication, and where the colon is.
fn decoded<'c>(cx: &'c Context<'_>) -> Option<(crate::language::scratch::Buf<'c>, usize)> {
    let (kind, value) = credentials(cx)?;
    if !kind.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let mut buf = cx.buf();
    let colon = auth::basic(value, &mut buf)?;
    Some((buf, colon))
}

/// Runs `then` with the authenticated user and an empty buffer.
fn listed<'c, T>(
    args: &'c Args,
    cx: &'c Context<'_>,
    then: impl FnOnce(&auth::User, &mut Vec<u8>) -> T,
) -> Option<(crate::language::scratch::Buf<'c>, T)> {
    let list = args.reference(0)?.userlist.get()?;
    let (mut buf, colon) = decoded(cx)?;
    let user = list.check(&buf[..colon], &buf[colon + 1..])?;
    buf.clear();
    let result = then(user, &mut buf);
    Some((buf, result))
}

fn bearer<'c>(args: &'c Args, cx: &'c Context<'_>, _: &mut super::Probe) -> Option<Sample<'c>> {
    let value = match args.str(0) {
        None => {
            let (kind, token) = credentials(cx)?;
            return kind.eq_ignore_ascii_case(b"bearer").then(|| Sample::str(token));
        }
        Some(field) => cx.head(Side::Request)?.first(field)?,
    };
    let (kind, token) = auth::split(value)?;
    kind.eq_ignore_ascii_case(b"bearer").then(|| Sample::str(token))
}
