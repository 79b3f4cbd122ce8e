//! `option forwarded` (manual 4.2; RFC 7239).

use crate::{
    config::{
        keyword::{
            Prefix,
            args::{Args, Fault},
        },
        section::Loading,
    },
    model::proxy::{Forwarded, ForwardedPart, ForwardedValue},
};

const PARTS: [(&str, ForwardedPart); 5] = [
    ("host", ForwardedPart::Host),
    ("by", ForwardedPart::By),
    ("by_port", ForwardedPart::ByPort),
    ("for", ForwardedPart::For),
    ("for_port", ForwardedPart::ForPort),
];

/// Reads the words after the option's name.
pub fn option(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let on = cx.prefix == Prefix::None;
    let found = if on { Some(read(a)?) } else { None };
    if let Some(found) = &found {
        let set = |part: ForwardedPart| found.parts[part as usize].is_some();
        for (node, port, name) in
            [(ForwardedPart::By, ForwardedPart::ByPort, "by"), (ForwardedPart::For, ForwardedPart::ForPort, "for")]
        {
            if set(port) && !set(node) {
                let text = format!(
                    "'option forwarded' : '{name}_port-expr' will be ignored because both '{name}' and '{name}-expr' are unset"
                );
                cx.warn(a, 0, text);
            }
        }
    }
    let origin = a.origin();
    let draft = cx.draft();
    draft.proxy.options.forwarded = found;
    draft.format_origins.insert("option forwarded", origin);
    Ok(())
}

fn read(a: &Args<'_>) -> Result<Forwarded, Fault> {
    let mut found = Forwarded::default();
    let mut at = 1;
    while !a.get(at).is_empty() {
        let word = a.get(at);
        let (name, is_expr) = word.strip_suffix("-expr").map_or((word, false), |name| (name, true));
        match PARTS.iter().find(|(n, _)| *n == name) {
            _ if word == "proto" => found.proto = true,
            Some((_, part)) if is_expr => {
                at += 1;
                if a.get(at).is_empty() {
                    return Err(a.tight(at, format!("'{word}' expects <expr> as argument.")));
                }
                found.parts[*part as usize] = Some(ForwardedValue::Expr(a.get(at).to_owned()));
            }
            Some((_, part)) => found.parts[*part as usize] = Some(ForwardedValue::Own),
            None => {
                let text = "'option forwarded' only supports optional values: 'proto', 'host', 'host-expr', 'by', 'by-expr', \
                            'by_port', 'by_port-expr', 'for', 'for-expr', 'for_port' and 'for_port-expr'.";
                return Err(a.fault(at, text));
            }
        }
        at += 1;
    }
    if a.get(1).is_empty() {
        found.proto = true;
        found.parts[ForwardedPart::For as usize] = Some(ForwardedValue::Own);
    }
    Ok(found)
}
