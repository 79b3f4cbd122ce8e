//! `balance` and `hash-*` (manual 4.2).

use crate::{
    config::{
        keyword::{
            Needs::Backend,
            Row, absent,
            args::{Args, Fault, atol},
            row, unserved,
        },
        section::Loading,
    },
    language::words::unsupported,
    model::backend::{Balance, HashFunction, HashPreserveAffinity, HashType},
};

pub static ROWS: &[Row] = &[
    row("balance", Backend, balance),
    row("hash-type", Backend, hash_type),
    row("hash-balance-factor", Backend, |cx, a| {
        if a.get(1).is_empty() {
            return Err(a.fault(1, "'hash-balance-factor' expects an integer argument."));
        }
        cx.draft().proxy.backend.hash_balance_factor = match atol(a.get(1)) {
            0 => 0,
            n @ 101.. => n as u32,
            _ => return Err(a.fault(1, "'hash-balance-factor' must be 0 or greater than 100.")),
        };
        Ok(())
    }),
    row("hash-preserve-affinity", Backend, |cx, a| {
        cx.draft().proxy.backend.hash_preserve_affinity = match a.get(1) {
            "always" => HashPreserveAffinity::Always,
            "maxconn" => HashPreserveAffinity::Maxconn,
            "maxqueue" => HashPreserveAffinity::Maxqueue,
            other => return Err(a.fault(1, format!("'hash-preserve-affinity': unknown keyword '{other}'"))),
        };
        Ok(())
    }),
];

/// The text in parentheses after an algorithm's name, if that is how the word is made.
fn argument<'a>(word: &'a str, name: &str) -> Option<Option<&'a str>> {
    let rest = word.strip_prefix(name)?;
    match rest {
        "" => Some(None),
        _ => rest.strip_prefix('(')?.strip_suffix(')').map(Some),
    }
}

fn balance(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let word = a.get(1);
    let plain = word.split('(').next().unwrap_or_default();
    if cx.options.refuse_unserved && unserved::reason("balance", plain).is_some() {
        return Err(a.fault(1, absent::text(&format!("balance {plain}"))));
    }
    let found = match word {
        // Nothing named: HAProxy takes it as round robin.
        "" | "roundrobin" => Balance::Roundrobin,
        "static-rr" => Balance::StaticRr,
        "first" => Balance::First,
        "leastconn" => Balance::Leastconn,
        "source" => Balance::Source,
        "sticky" => Balance::Sticky,
        "uri" => uri(a)?,
        "url_param" => url_param(a)?,
        "hash" if a.get(2).is_empty() => return Err(a.fault(2, "balance hash requires a sample expression.")),
        "hash" => Balance::Hash(a.get(2).to_owned()),
        "log-hash" if a.get(2).is_empty() => {
            return Err(a.fault(2, "balance log-hash requires a converter list."));
        }
        "log-hash" => Balance::LogHash(a.get(2).to_owned()),
        _ => parenthesised(a)?,
    };
    cx.draft().proxy.backend.balance = found;
    Ok(())
}

fn parenthesised(a: &Args<'_>) -> Result<Balance, Fault> {
    let word = a.get(1);
    if let Some(draws) = argument(word, "random") {
        return match draws {
            None => Ok(Balance::Random(2)),
            Some(text) => {
                if let Some(c) = text.chars().find(|c| !c.is_ascii_digit()) {
                    return Err(a.fault(1, format!("balance random : unexpected character '{c}' after argument.")));
                }
                match text.parse::<u32>() {
                    Ok(n @ 1..) => Ok(Balance::Random(n)),
                    _ => Err(a.fault(1, "balance random : number of draws must be at least 1.")),
                }
            }
        };
    }
    if let Some(Some(name)) = argument(word, "hdr") {
        if name.is_empty() {
            return Err(a.fault(1, "balance hdr requires an http header field name."));
        }
        return match a.get(2) {
            "" => Ok(Balance::Hdr { name: name.to_ascii_lowercase(), use_domain_only: false }),
            "use_domain_only" => Ok(Balance::Hdr { name: name.to_ascii_lowercase(), use_domain_only: true }),
            other => {
                let text = format!("balance hdr({name}) only accepts 'use_domain_only' modifier (got '{other}').");
                Err(a.fault(2, text))
            }
        };
    }
    if let Some(name) = argument(word, "rdp-cookie") {
        return Ok(Balance::RdpCookie(name.unwrap_or("mstshash").to_owned()));
    }
    let text = "balance only supports 'roundrobin', 'static-rr', 'leastconn', 'source', 'uri', 'url_param', 'hash', \
                'hdr(name)', 'rdp-cookie(name)', 'log-hash' and 'sticky' options.";
    Err(a.fault(1, text))
}

fn uri(a: &Args<'_>) -> Result<Balance, Fault> {
    let (mut whole, mut length, mut depth, mut path_only) = (false, None, None, false);
    let mut at = 2;
    while !a.get(at).is_empty() {
        let value = |name: &str| match a.get(at + 1).parse::<u32>() {
            // HAProxy counts one more slash for the leading one.
            Ok(n @ 1..) => Ok(Some(n)),
            _ => {
                let text = format!("balance uri : '{name}' expects a positive integer (got '{}').", a.get(at + 1));
                Err(a.fault(at + 1, text))
            }
        };
        match a.get(at) {
            "len" => (length, at) = (value("len")?, at + 2),
            "depth" => (depth, at) = (value("depth")?, at + 2),
            "whole" => (whole, at) = (true, at + 1),
            "path-only" => (path_only, at) = (true, at + 1),
            other => {
                let text = format!(
                    "balance uri only accepts parameters 'len', 'depth', 'path-only', and 'whole' (got '{other}')."
                );
                return Err(a.fault(at, text));
            }
        }
    }
    Ok(Balance::Uri { whole, len: length, depth, path_only })
}

fn url_param(a: &Args<'_>) -> Result<Balance, Fault> {
    let name = a.get(2);
    if name.is_empty() {
        return Err(a.fault(2, "balance url_param requires an URL parameter name."));
    }
    let check_post = match a.get(3) {
        "" => None,
        "check_post" => Some(atol(a.get(4)).max(0) as u32),
        other => {
            let text = format!("balance url_param only accepts 'check_post' modifier (got '{other}').");
            return Err(a.fault(3, text));
        }
    };
    Ok(Balance::UrlParam { name: name.to_owned(), check_post })
}

fn hash_type(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let consistent = match a.get(1) {
        "consistent" => true,
        "map-based" => false,
        // The name of old for `consistent sdbm avalanche`... with its own function.
        "avalanche" => {
            return Err(a.fault(
                1,
                "experimental feature 'hash-type avalanche' is not supported anymore, please use 'hash-type map-based sdbm \
                 avalanche' instead.",
            ));
        }
        _ => return Err(a.fault(1, "'hash-type' only supports 'consistent' and 'map-based'.")),
    };
    let function = match a.get(2) {
        "" | "sdbm" => HashFunction::Sdbm,
        "djb2" => HashFunction::Djb2,
        "wt6" => return Err(a.fault(2, unsupported("hash-type wt6"))),
        "crc32" => HashFunction::Crc32,
        "none" => HashFunction::None,
        _ => {
            let text = "'hash-type' only supports 'sdbm', 'djb2', 'crc32', or 'wt6' hash functions.";
            return Err(a.fault(2, text));
        }
    };
    let avalanche = match a.get(3) {
        // Without a function named, both kinds avalanche... only the consistent one does (manual 4.2).
        "" => consistent && a.get(2).is_empty(),
        "avalanche" => true,
        _ => {
            let text = "'hash-type' only supports 'avalanche' as a modifier for hash functions.";
            return Err(a.fault(3, text));
        }
    };
    cx.draft().proxy.backend.hash = HashType { consistent, function, avalanche };
    Ok(())
}
