//! `cookie`, `dynamic-cookie-key`, `persist` (manual 4.2).

use super::basic::required;
use crate::{
    config::{
        diagnostic::Severity,
        keyword::{
            Needs::Backend,
            Row,
            args::{Args, Bare, Fault, TimeFault, time_s},
            global::process_overflow,
            row,
        },
        section::Loading,
    },
    model::persist::{Cookie, CookieMode},
};

pub static ROWS: &[Row] = &[
    row("cookie", Backend, cookie),
    row("dynamic-cookie-key", Backend, |cx, a| {
        let key = required(a, "'dynamic-cookie-key' expects <secret_key> as argument.")?;
        cx.draft().proxy.backend.dynamic_cookie_key = Some(key.to_owned());
        Ok(())
    }),
    row("persist", Backend, |cx, a| {
        let word = a.get(1);
        let name = match word.strip_prefix("rdp-cookie") {
            Some("") => "msts",
            Some(rest) => match rest.strip_prefix('(').and_then(|r| r.strip_suffix(')')) {
                Some(name) => name,
                None => return Err(a.fault(1, "persist rdp-cookie(name)' requires an rdp cookie name.")),
            },
            None if word.is_empty() => return Err(a.fault(1, "missing persist method.")),
            None => return Err(a.fault(1, "unknown persist method.")),
        };
        cx.draft().proxy.backend.persist_rdp_cookie = Some(name.to_owned());
        Ok(())
    }),
];

fn cookie(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let name = required(a, "'cookie' expects <cookie_name> as argument.")?;
    let mut cookie = Cookie { name: name.to_owned(), ..Cookie::default() };
    let mut modes = 0;
    let mut at = 2;
    while !a.get(at).is_empty() {
        let value = a.get(at + 1);
        let missing = |what: &str| a.tight(at + 1, format!("'{}' expects <{what}> as argument.", a.get(at)));
        let mut words = 1;
        match a.get(at) {
            mode @ ("rewrite" | "insert" | "prefix") => {
                cookie.mode = match mode {
                    "rewrite" => CookieMode::Rewrite,
                    "insert" => CookieMode::Insert,
                    _ => CookieMode::Prefix,
                };
                modes += 1;
            }
            "indirect" => cookie.indirect = true,
            "nocache" => cookie.nocache = true,
            "postonly" => cookie.postonly = true,
            "preserve" => cookie.preserve = true,
            "httponly" => cookie.httponly = true,
            "secure" => cookie.secure = true,
            "dynamic" => cookie.dynamic = true,
            "domain" => {
                if value.is_empty() {
                    return Err(missing("domain"));
                }
                if !value.trim_start_matches('.').contains('.') {
                    let text = format!(
                        "domain '{value}' contains no embedded dot, this configuration may not work properly (see \
                         RFC6265#5.2.3)."
                    );
                    cx.diagnostics.at_tight(Severity::Warning, a.line, a.word(at + 1), text);
                }
                cookie.domains.push(value.to_owned());
                words = 2;
            }
            "attr" => {
                if value.is_empty() {
                    return Err(missing("value"));
                }
                cookie.attrs.push(value.to_owned());
                words = 2;
            }
            "maxidle" => {
                cookie.maxidle_s = Some(age(a, at, "idletime")?).filter(|&s| s > 0);
                words = 2;
            }
            "maxlife" => {
                cookie.maxlife_s = Some(age(a, at, "lifetime")?).filter(|&s| s > 0);
                words = 2;
            }
            _ => {
                return Err(a.fault(
                    at,
                    "'cookie' supports 'rewrite', 'insert', 'prefix', 'indirect', 'nocache', 'postonly', 'domain', 'maxidle', \
                     'dynamic', 'maxlife' and 'attr' options.",
                ));
            }
        }
        at += words;
    }
    if modes > 1 {
        return Err(a.fault(2, "cookie 'rewrite', 'insert' and 'prefix' modes are incompatible."));
    }
    if cookie.mode == CookieMode::Rewrite && cookie.indirect {
        return Err(a.fault(2, "cookie 'rewrite' and 'indirect' modes are incompatible."));
    }
    cx.draft().proxy.backend.cookie = Some(cookie);
    Ok(())
}

fn age(a: &Args<'_>, at: usize, what: &str) -> Result<u32, Fault> {
    let (keyword, word) = (a.get(at), a.get(at + 1));
    if word.is_empty() {
        return Err(a.tight(at + 1, format!("'{keyword}' expects <{what}> in seconds as argument.")));
    }
    time_s(word, Bare::S).map_err(|fault| match fault {
        TimeFault::Overflow => a.tight(at + 1, process_overflow(word, keyword)),
        TimeFault::Char(c) => a.tight(at + 1, format!("unexpected character '{c}' in argument to <{keyword}>.")),
    })
}
