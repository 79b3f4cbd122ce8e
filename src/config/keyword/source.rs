//! `source <address>[:<port>[-<port>]] [usesrc ...] [interface <name>]` of `server` lines and backends (manual 5.2, 4.2).

use super::{
    absent, address,
    args::{Args, atol},
    unserved,
};
use crate::config::section::Loading;
use crate::model::server::{Source, UseSrc};

/// Reads the words after `source` (at `a.get(0)`); answers the source and how many words it took. The error is HAProxy's
/// text and the index of the offending word.
pub fn read(cx: &Loading<'_>, a: &Args<'_>, missing: &str) -> Result<(Source, usize), (usize, String)> {
    let environment = &*cx.environment;
    let word = a.get(1);
    if word.is_empty() {
        return Err((1, missing.to_owned()));
    }
    let (address, port_last) =
        address::source(word, environment).map_err(|text| (1, format!("'source {word}' : {text}")))?;
    let mut source = Source { address, port_last, usesrc: None, interface: None };
    let mut at = 2;
    loop {
        match a.get(at) {
            "usesrc" if cx.options.refuse_unserved && unserved::reason("source", "usesrc").is_some() => {
                return Err((at, absent::text("usesrc")));
            }
            "usesrc" => {
                source.usesrc = Some(usesrc(a, at + 1, environment)?);
                at += 2;
            }
            "interface" => {
                if a.get(at + 1).is_empty() {
                    return Err((at + 1, format!("'{}' : missing interface name", a.get(0))));
                }
                source.interface = Some(a.get(at + 1).to_owned());
                at += 2;
            }
            _ => return Ok((source, at)),
        }
    }
}

fn usesrc(a: &Args<'_>, at: usize, environment: &crate::config::env::Environment) -> Result<UseSrc, (usize, String)> {
    let word = a.get(at);
    if let Some(arguments) = word.strip_prefix("hdr_ip(").and_then(|w| w.strip_suffix(')')) {
        let (name, occurrence) = arguments.split_once(',').unwrap_or((arguments, "-1"));
        return Ok(UseSrc::HdrIp { name: name.to_ascii_lowercase(), occurrence: atol(occurrence) as i32 });
    }
    match word {
        "client" => Ok(UseSrc::Client),
        "clientip" => Ok(UseSrc::ClientIp),
        "" => {
            let text = "'usesrc' expects <addr>[:<port>], 'client', 'clientip', or 'hdr_ip(name,#)' as argument.";
            Err((at, text.to_owned()))
        }
        word => match address::source(word, environment) {
            Ok((address, _)) => Ok(UseSrc::Address(address)),
            Err(text) => Err((at, format!("'usesrc {word}' : {text}"))),
        },
    }
}
