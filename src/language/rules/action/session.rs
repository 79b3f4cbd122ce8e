//! Actions on the connection and its session: addresses, marks, log level, priorities, timeouts, waiting.

use super::{
    AFTER, Action, At, CONNECTION, CONTENT, REQUEST, RESPONSE, Run, TCP_REQUEST, TCP_RESPONSE, expression, row,
};
use crate::language::context::Context;
use crate::language::facts::{LogLevel, Session, Stream, StreamTimeouts};
use crate::language::parse::{Error, Parse, Words};
use crate::language::rules::{Flow, HttpProtocol, Verdict, Wait};
use crate::language::sample::{Expr, Sample};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

const ALL_REQUEST: u8 = TCP_REQUEST | REQUEST;
const MARKING: u8 = ALL_REQUEST | TCP_RESPONSE | RESPONSE;
const STREAM: u8 = CONTENT | REQUEST;

pub const ROWS: &[Action] = &[
    row("set-src", ALL_REQUEST, |at, w, p| address(at, w, p, |s, ip| s.set_src(Some(with_ip(s.src, ip))))),
    row("set-dst", ALL_REQUEST, |at, w, p| address(at, w, p, |s, ip| s.set_dst(Some(with_ip(s.dst, ip))))),
    row("set-src-port", ALL_REQUEST, |at, w, p| number(at, w, p, |s, _, n| s.set_src(with_port(s.src, n)))),
    row("set-dst-port", ALL_REQUEST, |at, w, p| number(at, w, p, |s, _, n| s.set_dst(with_port(s.dst, n)))),
    row("set-fc-mark", MARKING, |at, w, p| number_or_expr(at, w, p, |s, _, n| s.mark = Some(n as u32))),
    row("set-mark", MARKING, |at, w, p| number_or_expr(at, w, p, |s, _, n| s.mark = Some(n as u32))),
    row("set-fc-tos", MARKING, |at, w, p| number_or_expr(at, w, p, |s, _, n| s.tos = Some(n as u8))),
    row("set-tos", MARKING, |at, w, p| number_or_expr(at, w, p, |s, _, n| s.tos = Some(n as u8))),
    row("set-nice", CONTENT | TCP_RESPONSE | REQUEST | RESPONSE, set_nice),
    row("set-log-level", CONTENT | TCP_RESPONSE | REQUEST | RESPONSE | AFTER, set_log_level),
    row("set-priority-class", STREAM, |at, w, p| {
        number(at, w, p, |_, s, n| s.priority_class = n.clamp(-2047, 2047) as i32)
    }),
    row("set-priority-offset", STREAM, |at, w, p| {
        number(at, w, p, |_, s, n| s.priority_offset = n.clamp(-524_287, 524_287) as i32)
    }),
    row("set-retries", STREAM, |at, w, p| {
        number_or_expr(at, w, p, |_, s, n| s.retries_max = u32::try_from(n).ok().map(|n| n.min(100)))
    }),
    row("set-timeout", REQUEST | RESPONSE, set_timeout),
    row("disable-l7-retry", REQUEST, |_, _, _| {
        Ok(Box::new(|cx: &mut Context<'_>| {
            cx.stream.l7_retry_disabled = true;
            Flow::Next
        }))
    }),
    row("strict-mode", REQUEST | RESPONSE | AFTER, strict_mode),
    row("pause", REQUEST | RESPONSE, pause),
    row("wait-for-body", REQUEST | RESPONSE, wait_for_body),
    row("wait-for-handshake", REQUEST, |_, _, _| {
        Ok(Box::new(|cx: &mut Context<'_>| match &cx.session.tls {
            Some(tls) if tls.early_data => Flow::WaitThenNext(Wait::Handshake),
            _ => Flow::Next,
        }))
    }),
    row("cache-use", REQUEST, |_, w, _| {
        let cache: Arc<str> = w.expect("missing cache name")?.into();
        Ok(Box::new(move |_| Flow::Stop(Verdict::CacheUse { cache: cache.clone(), resume: 0 })))
    }),
    row("cache-store", RESPONSE, |_, w, _| {
        let cache: Arc<str> = w.expect("missing cache name")?.into();
        Ok(Box::new(move |_| Flow::Stop(Verdict::CacheStore { cache: cache.clone(), resume: 0 })))
    }),
    row("switch-mode", CONTENT, switch_mode),
    row("expect-proxy", CONNECTION, expect_proxy),
];

fn with_ip(old: Option<SocketAddr>, ip: IpAddr) -> SocketAddr {
    SocketAddr::new(ip, old.map_or(0, |a| a.port()))
}

/// A port needs an address to belong to; without one it is 0.0.0.0.
fn with_port(address: Option<SocketAddr>, port: i64) -> Option<SocketAddr> {
    let ip = address.map_or(IpAddr::from([0, 0, 0, 0]), |a| a.ip());
    Some(SocketAddr::new(ip, port as u16))
}

fn address(at: &At<'_>, w: &mut Words<'_>, p: &mut Parse<'_>, set: fn(&mut Session, IpAddr)) -> Result<Run, Error> {
    let expr = expression(at, w, p)?;
    Ok(Box::new(move |cx| {
        let ip = expr.eval(cx).and_then(|s| s.to_ip());
        if let Some(ip) = ip {
            set(cx.session, ip);
        }
        Flow::Next
    }))
}

type SetNumber = fn(&mut Session, &mut Stream, i64);

fn value(expr: &Expr, cx: &Context<'_>) -> Option<i64> {
    expr.eval(cx).and_then(|s: Sample<'_>| s.to_sint())
}

fn number(at: &At<'_>, w: &mut Words<'_>, p: &mut Parse<'_>, set: SetNumber) -> Result<Run, Error> {
    let expr = expression(at, w, p)?;
    Ok(Box::new(move |cx| {
        if let Some(n) = value(&expr, cx) {
            set(cx.session, cx.stream, n);
        }
        Flow::Next
    }))
}

/// A number, decimal or `0x…`, or an expression.
fn number_or_expr(at: &At<'_>, w: &mut Words<'_>, p: &mut Parse<'_>, set: SetNumber) -> Result<Run, Error> {
    let fixed = w.peek().and_then(|word| match word.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => word.parse().ok(),
    });
    match fixed {
        Some(n) => {
            w.next();
            Ok(Box::new(move |cx| {
                set(cx.session, cx.stream, n);
                Flow::Next
            }))
        }
        None => number(at, w, p, set),
    }
}

/// Tasks have no priorities here: the configuration says so in a notice.
fn set_nice(_: &At<'_>, w: &mut Words<'_>, _: &mut Parse<'_>) -> Result<Run, Error> {
    const USAGE: &str = "expects exactly 1 argument (integer value)";
    let index = w.index();
    w.next().and_then(|n| n.parse::<i32>().ok()).ok_or_else(|| Error::new(index, USAGE))?;
    Ok(Box::new(|_| Flow::Next))
}

fn set_log_level(_: &At<'_>, w: &mut Words<'_>, _: &mut Parse<'_>) -> Result<Run, Error> {
    const USAGE: &str = "expects exactly 1 argument (log level name or 'silent')";
    let index = w.index();
    let word = w.next().unwrap_or_default();
    let level = match crate::proto::syslog::level(word) {
        Some(n) => LogLevel::Level(n),
        None if word == "silent" => LogLevel::Silent,
        None => return Err(Error::new(index, USAGE)),
    };
    Ok(Box::new(move |cx| {
        cx.stream.log_level = Some(level);
        Flow::Next
    }))
}

/// A time in milliseconds with HAProxy's units (manual 2.5).
pub fn time_ms(word: &str) -> Option<u64> {
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let n: u64 = word[..digits].parse().ok()?;
    let n = match &word[digits..] {
        "us" => n / 1000,
        "" | "ms" => n,
        "s" => n.checked_mul(1000)?,
        "m" => n.checked_mul(60_000)?,
        "h" => n.checked_mul(3_600_000)?,
        "d" => n.checked_mul(86_400_000)?,
        _ => return None,
    };
    (n <= i32::MAX as u64).then_some(n)
}

/// A time, or an expression that gives milliseconds.
enum Time {
    Fixed(u64),
    Expr(Box<Expr>),
}

impl Time {
    fn parse(at: &At<'_>, w: &mut Words<'_>, p: &mut Parse<'_>) -> Result<Time, Error> {
        match w.peek().filter(|t| t.starts_with(|c: char| c.is_ascii_digit())) {
            Some(word) => {
                let ms = time_ms(word).ok_or_else(|| w.error(format!("invalid time '{word}'")))?;
                w.next();
                Ok(Time::Fixed(ms))
            }
            None => Ok(Time::Expr(Box::new(expression(at, w, p)?))),
        }
    }

    fn ms(&self, cx: &Context<'_>) -> Option<u64> {
        match self {
            Time::Fixed(ms) => Some(*ms),
            Time::Expr(expr) => value(expr, cx).and_then(|n| u64::try_from(n).ok()),
        }
    }
}

fn set_timeout(at: &At<'_>, w: &mut Words<'_>, p: &mut Parse<'_>) -> Result<Run, Error> {
    let index = w.index();
    let which: fn(&mut StreamTimeouts) -> &mut Option<u64> = match w.next().unwrap_or_default() {
        "client" => |t| &mut t.client,
        "connect" => |t| &mut t.connect,
        "queue" => |t| &mut t.queue,
        "server" => |t| &mut t.server,
        "tarpit" => |t| &mut t.tarpit,
        "tunnel" => |t| &mut t.tunnel,
        other => {
            return Err(Error::new(
                index,
                format!(
                    "'set-timeout' rule supports 'client'/'connect'/'queue'/'server'/'tarpit'/'tunnel' (got '{other}')"
                ),
            ));
        }
    };
    let time = Time::parse(at, w, p)?;
    Ok(Box::new(move |cx| {
        if let Some(ms) = time.ms(cx) {
            *which(&mut cx.stream.timeouts) = Some(ms);
        }
        Flow::Next
    }))
}

fn strict_mode(_: &At<'_>, w: &mut Words<'_>, _: &mut Parse<'_>) -> Result<Run, Error> {
    let index = w.index();
    let lenient = match w.next().unwrap_or_default() {
        "on" => false,
        "off" => true,
        other => {
            return Err(Error::new(index, format!("Unexpected value '{other}'. Only 'on' and 'off' are supported")));
        }
    };
    Ok(Box::new(move |cx| {
        cx.stream.lenient = lenient;
        Flow::Next
    }))
}

fn pause(at: &At<'_>, w: &mut Words<'_>, p: &mut Parse<'_>) -> Result<Run, Error> {
    let time = Time::parse(at, w, p)?;
    Ok(Box::new(move |cx| match time.ms(cx) {
        Some(ms) if ms > 0 => Flow::WaitThenNext(Wait::Pause(ms)),
        _ => Flow::Next,
    }))
}

/// `wait-for-body time <time> [ at-least <bytes> ]`.
fn wait_for_body(at: &At<'_>, w: &mut Words<'_>, _: &mut Parse<'_>) -> Result<Run, Error> {
    let mut time = None;
    let mut at_least = 0u64;
    while let Some(word) = w.peek() {
        match word {
            "time" => {
                w.next();
                let index = w.index();
                let value = w.expect("missing argument for 'time'")?;
                time = Some(time_ms(value).ok_or_else(|| Error::new(index, format!("invalid time '{value}'")))?);
            }
            "at-least" => {
                w.next();
                let index = w.index();
                let value = w.expect("missing argument for 'at-least'")?;
                at_least = size(value).ok_or_else(|| Error::new(index, format!("invalid size '{value}'")))?;
            }
            "use-large-buffer" => return Err(w.error(crate::language::words::unsupported("use-large-buffer"))),
            _ => break,
        }
    }
    let time_ms = time.ok_or_else(|| w.error("expects 'time <time>'"))?;
    let side = at.phase.side();

    Ok(Box::new(move |cx| {
        let payload = cx.payload(side);
        let enough = payload.complete || (at_least > 0 && payload.bytes.len() as u64 >= at_least);
        // It waits once: what has come by then is all that later rules see of the body.
        if enough { Flow::Next } else { Flow::WaitThenNext(Wait::Body { time_ms, at_least }) }
    }))
}

/// Bytes with the suffixes k, m and g.
fn size(word: &str) -> Option<u64> {
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let n: u64 = word[..digits].parse().ok()?;
    let shift = match word[digits..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return None,
    };
    n.checked_shl(shift)
}

/// `switch-mode http [ proto <name> ]`.
fn switch_mode(_: &At<'_>, w: &mut Words<'_>, _: &mut Parse<'_>) -> Result<Run, Error> {
    if !w.take("http") {
        return Err(w.error("'switch-mode' expects 'http' as argument"));
    }
    let protocol = match w.take("proto") {
        false => HttpProtocol::Detect,
        true => match w.next().unwrap_or_default() {
            "h1" => HttpProtocol::H1,
            "h2" => HttpProtocol::H2,
            other => return Err(w.error_before(format!("unknown MUX protocol '{other}'"))),
        },
    };
    Ok(Box::new(move |_| Flow::Stop(Verdict::SwitchMode(protocol))))
}

fn expect_proxy(_: &At<'_>, w: &mut Words<'_>, _: &mut Parse<'_>) -> Result<Run, Error> {
    if !w.take("layer4") {
        return Err(w.error("'expect-proxy' expects 'layer4' as argument"));
    }
    Ok(Box::new(|cx: &mut Context<'_>| {
        cx.session.expect_proxy = true;
        Flow::Next
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_a_limit() {
        assert_eq!(time_ms("10s"), Some(10_000));
        assert_eq!(time_ms("1500us"), Some(1));
        assert_eq!(time_ms("25d"), None);
        assert_eq!(time_ms("1x"), None);
    }
}
