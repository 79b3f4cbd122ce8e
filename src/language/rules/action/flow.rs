//! Actions that end an evaluation or answer: `accept`, `allow`, `reject`, `deny`, `tarpit`, `return`, `redirect`,
//! `auth`, `use-service`, `silent-drop`.

use super::{Action, At, CONNECTION, CONTENT, HTTP, REQUEST, RESPONSE, Run, SESSION, TCP_REQUEST, TCP_RESPONSE, row};
use crate::language::parse::{Error, Parse, Words};
use crate::language::rules::redirect::Redirect;
use crate::language::rules::reply::{Reply, ReplyFormat};
use crate::language::rules::{Flow, Verdict};
use std::sync::Arc;

pub const ROWS: &[Action] = &[
    row("accept", TCP_REQUEST | TCP_RESPONSE, |_, _, _| stop(|| Verdict::Accept)),
    row("allow", HTTP, |_, _, _| stop(|| Verdict::Accept)),
    row("reject", TCP_REQUEST | TCP_RESPONSE | REQUEST, |_, _, _| stop(|| Verdict::Reject)),
    row("close", TCP_RESPONSE, |_, _, _| stop(|| Verdict::Close)),
    row("silent-drop", CONNECTION | SESSION | CONTENT | TCP_RESPONSE | REQUEST | RESPONSE, silent_drop),
    row("deny", REQUEST, |_, w, p| answer(w, p, 403, Verdict::Deny)),
    row("deny", RESPONSE, |_, w, p| answer(w, p, 502, Verdict::Deny)),
    row("tarpit", REQUEST, |_, w, p| answer(w, p, 500, Verdict::Tarpit)),
    row("return", REQUEST | RESPONSE, give),
    row("redirect", REQUEST | RESPONSE, redirect),
    row("auth", REQUEST, authenticate),
    row("use-service", REQUEST | CONTENT, use_service),
];

fn stop(verdict: fn() -> Verdict) -> Result<Run, Error> {
    Ok(Box::new(move |_| Flow::Stop(verdict())))
}

/// `silent-drop [rst-ttl <ttl>]`: the option needs a raw socket and is refused.
fn silent_drop(_: &At<'_>, w: &mut Words<'_>, _: &mut Parse<'_>) -> Result<Run, Error> {
    if w.peek() == Some("rst-ttl") {
        return Err(w.error(crate::language::words::unsupported("rst-ttl")));
    }
    stop(|| Verdict::SilentDrop)
}

fn answer(w: &mut Words<'_>, p: &mut Parse<'_>, status: u16, verdict: fn(Reply) -> Verdict) -> Result<Run, Error> {
    let format = ReplyFormat::parse(w, status, true, p)?;
    Ok(Box::new(move |cx| Flow::Stop(verdict(format.build(cx)))))
}

fn give(_: &At<'_>, w: &mut Words<'_>, p: &mut Parse<'_>) -> Result<Run, Error> {
    let format = ReplyFormat::parse(w, 200, false, p)?;
    Ok(Box::new(move |cx| Flow::Stop(Verdict::Return(format.build(cx)))))
}

fn redirect(_: &At<'_>, w: &mut Words<'_>, p: &mut Parse<'_>) -> Result<Run, Error> {
    let redirect = Redirect::parse(w, p)?;
    Ok(Box::new(move |cx| match redirect.build(cx) {
        Some(reply) => Flow::Stop(Verdict::Redirect(reply)),
        None => Flow::Next,
    }))
}

/// `auth [realm <realm>]`: 401, or 407 where the client takes us for its proxy.
fn authenticate(_: &At<'_>, w: &mut Words<'_>, p: &mut Parse<'_>) -> Result<Run, Error> {
    let realm = match w.take("realm") {
        true => w.expect("missing realm value.\n")?,
        false => p.proxy,
    };
    let challenge = format!("Basic realm=\"{realm}\"").into_bytes();
    Ok(Box::new(move |cx| {
        let (status, field): (u16, &[u8]) =
            if cx.is_proxied() { (407, b"proxy-authenticate") } else { (401, b"www-authenticate") };
        let mut reply = Reply::of_proxy(status);
        reply.head.append(field, &challenge);
        Flow::Stop(Verdict::Auth(reply))
    }))
}

/// Services that answer in place of a server.
pub const SERVICES: &[&str] = &["prometheus-exporter"];

fn use_service(_: &At<'_>, w: &mut Words<'_>, _: &mut Parse<'_>) -> Result<Run, Error> {
    let index = w.index();
    let name = w.expect("service name expected")?;
    if !SERVICES.contains(&name) {
        return Err(Error::new(index, format!("'{name}' unknown service name.")));
    }
    let name: Arc<str> = name.into();
    Ok(Box::new(move |_| Flow::Stop(Verdict::UseService(name.clone()))))
}
