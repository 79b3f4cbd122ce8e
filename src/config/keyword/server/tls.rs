//! The TLS options of `server` lines (manual 5.2).

use super::options::{ServerOption, o, set, word};
use crate::{
    config::keyword::{
        args::Args,
        bind::{based, protocols},
    },
    model::tls::{ServerVerify, TrustedCa, Version, Versions},
};

pub static OPTIONS: &[ServerOption] = &[
    o("ssl", 0, |s, _, _| {
        s.server.ssl = true;
        s.server.tls.ssl = true;
        Ok(0)
    }),
    o("no-ssl", 0, |s, _, _| {
        s.server.ssl = false;
        s.server.tls.ssl = false;
        Ok(0)
    }),
    o("verify", 1, |s, _, a| {
        s.server.tls.verify = match a.get(1) {
            "" => return Err("'verify' : missing verify method".to_owned()),
            "none" => ServerVerify::None,
            "required" => ServerVerify::Required,
            other => {
                return Err(format!(
                    "'verify' : unknown verify method '{other}', only 'none' and 'required' are supported"
                ));
            }
        };
        s.verify_written = true;
        Ok(1)
    }),
    o("verifyhost", 1, |s, _, a| {
        s.server.tls.verifyhost = Some(word(a, "'verifyhost' : missing hostname to verify against")?);
        Ok(1)
    }),
    o("ca-file", 1, |s, cx, a| {
        let path = word(a, "'ca-file' : missing CAfile path")?;
        s.server.tls.ca = Some(match path.as_str() {
            "@system-ca" => TrustedCa::System,
            path => TrustedCa::File(based(&cx.global.tls.ca_base, path)),
        });
        Ok(1)
    }),
    o("crl-file", 1, |s, cx, a| {
        let path = word(a, "'crl-file' : missing CRLfile path")?;
        s.server.tls.crl_file = Some(based(&cx.global.tls.ca_base, &path));
        Ok(1)
    }),
    o("crt", 1, |s, cx, a| {
        let path = word(a, "'crt' : missing certificate file path")?;
        s.server.tls.crt = Some(based(&cx.global.tls.crt_base, &path));
        Ok(1)
    }),
    o("sni", 1, |s, _, a| {
        s.server.tls.sni = Some(word(a, "'sni' : missing sni expression")?);
        Ok(1)
    }),
    o("sni-auto", 0, set!(server.tls.sni_auto = true)),
    o("no-sni-auto", 0, set!(server.tls.sni_auto = false)),
    o("check-sni", 1, |s, _, a| {
        s.server.tls.check_sni = Some(word(a, "'check-sni' : missing SNI")?);
        Ok(1)
    }),
    o("alpn", 1, |s, _, a| {
        let missing = "'alpn' : missing the comma-delimited ALPN protocol suite";
        s.server.tls.alpn = protocols(&word(a, missing)?).map_err(|text| format!("'alpn' : {text}"))?;
        Ok(1)
    }),
    o("check-alpn", 1, |s, _, a| {
        let missing = "'check-alpn' : missing the comma-delimited ALPN protocol suite";
        s.server.tls.check_alpn =
            Some(protocols(&word(a, missing)?).map_err(|text| format!("'check-alpn' : {text}"))?);
        Ok(1)
    }),
    o("npn", 1, |_, _, a| {
        word(a, "'npn' : missing the comma-delimited NPN protocol suite")?;
        Ok(1)
    }),
    o("ciphers", 1, |s, _, a| {
        s.server.tls.ciphers = Some(word(a, "'ciphers' : missing cipher suite")?);
        Ok(1)
    }),
    o("ciphersuites", 1, |s, _, a| {
        s.server.tls.ciphersuites = Some(word(a, "'ciphersuites' : missing cipher suite")?);
        Ok(1)
    }),
    o("curves", 1, |s, _, a| {
        s.server.tls.curves = Some(word(a, "'curves' : missing curve suite")?);
        Ok(1)
    }),
    o("ssl-reuse", 0, set!(server.tls.no_ssl_reuse = false)),
    o("no-ssl-reuse", 0, set!(server.tls.no_ssl_reuse = true)),
    o("tls-tickets", 0, set!(server.tls.no_tls_tickets = false)),
    o("no-tls-tickets", 0, set!(server.tls.no_tls_tickets = true)),
    o("ssl-min-ver", 1, |s, _, a| {
        s.server.tls.versions.min = Some(version(a)?);
        Ok(1)
    }),
    o("ssl-max-ver", 1, |s, _, a| {
        s.server.tls.versions.max = Some(version(a)?);
        Ok(1)
    }),
    o("no-sslv3", 0, |s, _, a| named_version(&mut s.server.tls.versions, a)),
    o("no-tlsv10", 0, |s, _, a| named_version(&mut s.server.tls.versions, a)),
    o("no-tlsv11", 0, |s, _, a| named_version(&mut s.server.tls.versions, a)),
    o("no-tlsv12", 0, |s, _, a| named_version(&mut s.server.tls.versions, a)),
    o("no-tlsv13", 0, |s, _, a| named_version(&mut s.server.tls.versions, a)),
    o("force-sslv3", 0, |s, _, a| named_version(&mut s.server.tls.versions, a)),
    o("force-tlsv10", 0, |s, _, a| named_version(&mut s.server.tls.versions, a)),
    o("force-tlsv11", 0, |s, _, a| named_version(&mut s.server.tls.versions, a)),
    o("force-tlsv12", 0, |s, _, a| named_version(&mut s.server.tls.versions, a)),
    o("force-tlsv13", 0, |s, _, a| named_version(&mut s.server.tls.versions, a)),
];

fn version(a: &Args<'_>) -> Result<Version, String> {
    let name = a.get(0);
    let word = word(a, &format!("'{name}' : missing the ssl/tls version"))?;
    Version::parse(&word).ok_or_else(|| format!("'{name}' : unknown ssl/tls version"))
}

fn named_version(versions: &mut Versions, a: &Args<'_>) -> Result<usize, String> {
    if let Some(version) = a.get(0).strip_prefix("no-").and_then(Version::parse_suffix) {
        versions.disable(version);
    } else if let Some(version) = a.get(0).strip_prefix("force-").and_then(Version::parse_suffix) {
        versions.force(version);
    }
    Ok(0)
}
