//! `timeout ...` and the TCP keep-alive settings (manual 4.2).

use super::basic::whole;
use crate::{
    config::{
        diagnostic::Severity,
        keyword::{
            Needs::{self, Backend, Frontend, Nothing},
            Row,
            args::{Args, Bare, Fault, TimeFault, time_s},
            row,
        },
        section::Loading,
        unit::{Unit, time},
    },
    model::proxy::Timeouts,
};

pub static ROWS: &[Row] = &[
    row("timeout", Nothing, timeout),
    row("clitcpka-cnt", Frontend, |cx, a| {
        cx.draft().proxy.frontend.clitcpka_cnt = Some(probes(a)?);
        Ok(())
    }),
    row("clitcpka-idle", Frontend, |cx, a| {
        cx.draft().proxy.frontend.clitcpka_idle_s = Some(seconds(a)?);
        Ok(())
    }),
    row("clitcpka-intvl", Frontend, |cx, a| {
        cx.draft().proxy.frontend.clitcpka_intvl_s = Some(seconds(a)?);
        Ok(())
    }),
    row("srvtcpka-cnt", Backend, |cx, a| {
        cx.draft().proxy.backend.srvtcpka_cnt = Some(probes(a)?);
        Ok(())
    }),
    row("srvtcpka-idle", Backend, |cx, a| {
        cx.draft().proxy.backend.srvtcpka_idle_s = Some(seconds(a)?);
        Ok(())
    }),
    row("srvtcpka-intvl", Backend, |cx, a| {
        cx.draft().proxy.backend.srvtcpka_intvl_s = Some(seconds(a)?);
        Ok(())
    }),
];

/// A timeout's name, the side it belongs to and its field.
type TimeoutRow = (&'static str, Needs, fn(&mut Timeouts) -> &mut Option<u64>);

/// The timeouts there are.
pub static TIMEOUTS: &[TimeoutRow] = &[
    ("client", Frontend, |t| &mut t.client),
    ("server", Backend, |t| &mut t.server),
    ("connect", Backend, |t| &mut t.connect),
    ("check", Backend, |t| &mut t.check),
    ("queue", Backend, |t| &mut t.queue),
    ("handshake", Nothing, |t| &mut t.client_hs),
    ("client-hs", Frontend, |t| &mut t.client_hs),
    ("http-keep-alive", Nothing, |t| &mut t.http_keep_alive),
    ("http-request", Nothing, |t| &mut t.http_request),
    ("tunnel", Backend, |t| &mut t.tunnel),
    ("tarpit", Nothing, |t| &mut t.tarpit),
    ("client-fin", Frontend, |t| &mut t.client_fin),
    ("server-fin", Backend, |t| &mut t.server_fin),
];

fn timeout(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let name = a.get(1);
    let Some((_, needs, field)) = TIMEOUTS.iter().find(|(n, ..)| *n == name) else {
        let text = format!(
            "'timeout' supports 'client', 'server', 'connect', 'check', 'queue', 'handshake', 'http-keep-alive', \
             'http-request', 'tunnel', 'tarpit', 'client-fin' and 'server-fin' (got '{name}')"
        );
        return Err(a.fault(1, text));
    };
    let keyword = format!("timeout {name}");
    let word = a.get(2);
    let value = time(word, Unit::Milliseconds).map_err(|e| a.fault(2, e.text(word, &keyword)))?;
    if !a.get(3).is_empty() {
        let text = format!("'{keyword}' : unexpected extra argument '{}' after value '{word}'.", a.get(3));
        return Err(a.fault(3, text));
    }
    if let Some(text) = value.warning(word) {
        cx.diagnostics.pointing(Severity::Warning, a.line, a.word(2), format!("config : {text}"));
    }
    let draft = cx.draft();
    let missing = match needs {
        Frontend if !draft.proxy.has_frontend => Some("frontend"),
        Backend if !draft.proxy.has_backend => Some("backend"),
        _ => None,
    };
    if let Some(missing) = missing {
        let text = format!("'{keyword}' will be ignored because {} has no {missing} capability", draft.title());
        cx.warn(a, 0, text);
        return Ok(());
    }
    // 0 is infinite.
    *field(&mut draft.proxy.timeouts) = Some(value.value).filter(|&ms| ms > 0);
    Ok(())
}

fn probes(a: &Args<'_>) -> Result<u32, Fault> {
    let keyword = a.get(0);
    let n = whole(a, 1, keyword, &format!("'{keyword}' expects an integer value"))?;
    Ok(u32::try_from(n).unwrap_or(0))
}

fn seconds(a: &Args<'_>) -> Result<u32, Fault> {
    let (keyword, word) = (a.get(0), a.get(1));
    a.at_most(1)?;
    time_s(word, Bare::S).map_err(|fault| match fault {
        TimeFault::Char('\0') => a.fault(1, format!("'{keyword}' expects an integer value")),
        TimeFault::Char(c) => a.fault(1, format!("'{keyword}' : unexpected character '{c}' in time value '{word}'")),
        TimeFault::Overflow => a.fault(1, format!("'{keyword}' : timer overflow in argument '{word}'")),
    })
}
