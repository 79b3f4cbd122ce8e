//! `capture` and `declare capture` (manual 4.2).

use crate::{
    config::{
        keyword::{
            Needs::Frontend,
            Row,
            args::{Args, Fault, atol},
            row_nodef,
        },
        section::Loading,
    },
    language::parse::CaptureSlot,
};

pub static ROWS: &[Row] = &[row_nodef("capture", Frontend, capture), row_nodef("declare", Frontend, declare)];

fn capture(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let bare = || a.fault(1, "'capture' expects 'cookie' or 'request header' or 'response header'.");
    match (a.get(1), a.get(2)) {
        ("cookie", name) => {
            if name.is_empty() || a.get(3) != "len" || a.get(4).is_empty() {
                return Err(a.fault(2, "'capture' expects 'cookie' <cookie_name> 'len' <len>."));
            }
            a.at_most_of(4, "capture cookie")?;
            let length = atol(a.get(4)).max(0) as usize;
            cx.draft().proxy.frontend.captures.cookie = Some((name.to_owned(), length));
            Ok(())
        }
        (side @ ("request" | "response"), "header") => {
            let name = a.get(3);
            if name.is_empty() || a.get(4) != "len" || a.get(5).is_empty() {
                return Err(a.fault(3, format!("'capture {side}' expects 'header' <header_name> 'len' <len>.")));
            }
            a.at_most_of(5, &format!("capture {side} header"))?;
            let length_max = atol(a.get(5)).max(0) as usize;
            let header = Some(name.to_ascii_lowercase().into_bytes().into_boxed_slice());
            let slot = CaptureSlot { header, length_max };
            let captures = &mut cx.draft().captures;
            if side == "request" { &mut captures.request } else { &mut captures.response }.push(slot);
            Ok(())
        }
        _ => Err(bare()),
    }
}

fn declare(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    if a.get(1) != "capture" {
        let text = "'declare' needs a second keyword that specify the type of declaration ('capture')";
        return Err(a.fault(1, text));
    }
    let side = a.get(2);
    if !matches!(side, "request" | "response") {
        return Err(a.fault(2, "'declare capture' requires a direction ('request' or 'response')"));
    }
    if a.get(3) != "len" || a.get(4).is_empty() {
        return Err(a.fault(3, "'declare capture' requires a capture length (with 'len')"));
    }
    let length_max = match atol(a.get(4)) {
        n @ 1.. => n as usize,
        _ => return Err(a.fault(4, format!("invalid length '{}' for 'declare capture'", a.get(4)))),
    };
    let slot = CaptureSlot { header: None, length_max };
    let captures = &mut cx.draft().captures;
    if side == "request" { &mut captures.request } else { &mut captures.response }.push(slot);
    Ok(())
}
