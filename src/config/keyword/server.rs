//! `server`, `default-server` and `server-template` lines (manual 4.2, 5.2). A table of options; what they set
//! accumulates in a [`ServerDraft`], so that `default-server` affects the servers below it.

use super::{
    absent, address,
    args::{Args, Bare, Fault, TimeFault, atol, time_ms},
    bind::{based, proto, protocols},
    source, unserved,
};
use crate::{
    config::{
        diagnostic::{Severity, suggest},
        section::{
            Loading, Section,
            draft::{Draft, ServerDraft},
            forbidden_character,
        },
    },
    model::{
        server::{
            HashKey, InitAddr, InitState, Observe, OnError, ResolvePrefer, SendProxy, Server, WebSocketProto,
        },
        tls::{ServerVerify, TrustedCa, Version, Versions},
    },
};
use std::net::IpAddr;

/// An option of a server line.
pub struct ServerOption {
    pub name: &'static str,
    /// Words after the name; `usize::MAX`: the reader says.
    pub words: usize,
    pub read: fn(&mut ServerDraft, &mut Loading<'_>, &Args<'_>) -> Result<usize, String>,
}

const fn o(
    name: &'static str,
    words: usize,
    read: fn(&mut ServerDraft, &mut Loading<'_>, &Args<'_>) -> Result<usize, String>,
) -> ServerOption {
    ServerOption { name, words, read }
}

/// Sets a field to a value.
macro_rules! set {
    ($($field:ident).+ = $value:expr) => {
        |s, _, _| {
            s.$($field).+ = $value;
            Ok(0)
        }
    };
}

pub static OPTIONS: &[ServerOption] = &[
    o("id", 1, |s, _, a| {
        match a.get(1).parse::<u32>() {
            Ok(n @ 1..) => s.server.id = n,
            _ => return Err("'id' : custom id has to be between 1 and 4294967295.".to_owned()),
        }
        s.id_written = true;
        Ok(1)
    }),
    o("weight", 1, |s, _, a| {
        s.server.weight = match atol(a.get(1)) {
            n @ 0..=256 => n as u32,
            n => return Err(format!("weight of server {} is not within 0 and 256 ({n}).", s.server.name)),
        };
        Ok(1)
    }),
    o("maxconn", 1, |s, _, a| number(a, &mut s.server.maxconn)),
    o("minconn", 1, |s, _, a| number(a, &mut s.server.minconn)),
    o("maxqueue", 1, |s, _, a| number(a, &mut s.server.maxqueue)),
    o("cookie", 1, |s, _, a| {
        s.server.cookie = Some(word(a, "'cookie' expects <value> as argument.")?);
        Ok(1)
    }),
    o("backup", 0, set!(server.backup = true)),
    o("no-backup", 0, set!(server.backup = false)),
    o("disabled", 0, set!(server.disabled = true)),
    o("enabled", 0, set!(server.disabled = false)),
    o("check", 0, set!(check_enabled = true)),
    o("no-check", 0, set!(check_enabled = false)),
    o("inter", 1, |s, cx, a| {
        let ms = interval(s, a, "inter", "inter")?;
        if ms < 100 && !a.get(1).is_empty() && a.get(1).bytes().all(|b| b.is_ascii_digit()) {
            let (name, word) = (&s.server.name, a.get(1));
            let text = format!(
                "'inter {word}' in server '{name}' is suspiciously small for a value in milliseconds. Please use an explicit \
                 unit ('{word}ms') if that was the intent."
            );
            warn(cx, a, 1, s, &text);
        }
        s.check.inter_ms = ms;
        Ok(1)
    }),
    o("fastinter", 1, |s, _, a| {
        s.check.fastinter_ms = Some(interval(s, a, "fastinter", "fastinter")?);
        Ok(1)
    }),
    o("downinter", 1, |s, _, a| {
        s.check.downinter_ms = Some(interval(s, a, "downinter", "downinter")?);
        Ok(1)
    }),
    o("rise", 1, |s, _, a| {
        s.check.rise = positive(a, "'rise' expects an integer argument.", "'rise' has to be > 0.")?;
        Ok(1)
    }),
    o("fall", 1, |s, _, a| {
        s.check.fall = positive(a, "'fall' expects an integer argument.", "'fall' has to be > 0.")?;
        Ok(1)
    }),
    o("port", 1, |s, _, a| {
        let port = word(a, "'port' expects a port number as argument.")?;
        s.check.port = Some(atol(&port) as u16).filter(|&p| p > 0);
        Ok(1)
    }),
    o("addr", 1, |s, cx, a| {
        let host = word(a, "'addr' expects <ipv4|ipv6> as argument.")?;
        let (found, port) =
            address::check(&host, cx.environment).map_err(|text| format!("'addr' : {text}"))?;
        s.check.address = Some(found);
        s.check.port = port.or(s.check.port);
        Ok(1)
    }),
    o("check-ssl", 0, |s, _, _| {
        s.check.ssl = true;
        s.server.tls.check_ssl = true;
        Ok(0)
    }),
    o("no-check-ssl", 0, |s, _, _| {
        s.check.ssl = false;
        s.server.tls.check_ssl = false;
        Ok(0)
    }),
    o("check-send-proxy", 0, set!(check.send_proxy = true)),
    o("no-check-send-proxy", 0, set!(check.send_proxy = false)),
    o("check-proto", 1, |s, _, a| {
        s.check.proto = proto(&word(a, "'check-proto' : missing value.")?)
            .map_err(|text| format!("'check-proto' : {text}."))?;
        Ok(1)
    }),
    o("check-reuse-pool", 0, set!(check.reuse_pool = true)),
    o("no-check-reuse-pool", 0, set!(check.reuse_pool = false)),
    o("agent-check", 0, set!(agent_enabled = true)),
    o("no-agent-check", 0, set!(agent_enabled = false)),
    o("agent-port", 1, |s, _, a| {
        s.agent.port = atol(&word(a, "'agent-port' expects a port number as argument.")?) as u16;
        Ok(1)
    }),
    o("agent-inter", 1, |s, _, a| {
        s.agent.inter_ms = interval(s, a, "agent-inter", "agent-inter")?;
        s.agent_inter_written = true;
        Ok(1)
    }),
    o("agent-addr", 1, |s, cx, a| {
        let host = word(a, "'agent-addr' expects an address as argument.")?;
        let found = address::check(&host, cx.environment);
        let (found, _) = found
            .map_err(|_| format!("parsing agent-addr failed. Check if '{host}' is correct address."))?;
        s.agent.address = Some(found);
        Ok(1)
    }),
    o("agent-send", 1, |s, _, a| {
        s.agent.send = Some(word(a, "'agent-send' expects a string as argument.")?);
        Ok(1)
    }),
    o("observe", 1, |s, cx, a| {
        s.server.observe = match a.get(1) {
            "" => return Err("'observe' expects <mode> as argument.".to_owned()),
            "none" => Observe::None,
            "layer4" => Observe::Layer4,
            "layer7" => {
                let in_proxy = matches!(cx.section, Section::Defaults(_) | Section::Proxy(_));
                if in_proxy && cx.draft().proxy.mode != crate::model::proxy::Mode::Http {
                    // HAProxy says so as an alert and loads all the same.
                    let proxy = cx.draft().proxy.name.clone();
                    let text = format!(
                        "config : [{}] : 'server {proxy}/{}' : 'layer7' can only be used in http proxies..",
                        a.line.origin, s.server.name
                    );
                    cx.diagnostics.without_failing(|d| d.pointing(Severity::Alert, a.line, a.word(1), text));
                }
                Observe::Layer7
            }
            other => {
                return Err(format!("'observe' expects one of 'none', 'layer4', 'layer7' but got '{other}'"));
            }
        };
        Ok(1)
    }),
    o("error-limit", 1, |s, _, a| {
        let missing = "'error-limit' expects an integer argument.";
        s.server.error_limit = positive(a, missing, "error-limit has to be > 0.")?;
        Ok(1)
    }),
    o("on-error", 1, |s, _, a| {
        s.server.on_error = match a.get(1) {
            "fastinter" => OnError::FastInter,
            "fail-check" => OnError::FailCheck,
            "sudden-death" => OnError::SuddenDeath,
            "mark-down" => OnError::MarkDown,
            other => {
                return Err(format!(
                    "'on-error' expects one of 'fastinter', 'fail-check', 'sudden-death' or 'mark-down' but got '{other}'"
                ));
            }
        };
        Ok(1)
    }),
    o("on-marked-down", 1, |s, _, a| match a.get(1) {
        "shutdown-sessions" => {
            s.server.on_marked_down_shutdown = true;
            Ok(1)
        }
        other => Err(format!("'on-marked-down' expects 'shutdown-sessions' but got '{other}'")),
    }),
    o("on-marked-up", 1, |s, _, a| match a.get(1) {
        "shutdown-backup-sessions" => {
            s.server.on_marked_up_shutdown_backup = true;
            Ok(1)
        }
        other => Err(format!("'on-marked-up' expects 'shutdown-backup-sessions' but got '{other}'")),
    }),
    o("init-state", 1, |s, _, a| {
        s.server.init_state = match a.get(1) {
            "none" => InitState::None,
            "fully-up" => InitState::FullyUp,
            "up" => InitState::Up,
            "down" => InitState::Down,
            "fully-down" => InitState::FullyDown,
            other => {
                return Err(format!(
                    "'init-state' expects one of 'none', 'fully-up', 'up', 'down', or 'fully-down' but got '{other}'"
                ));
            }
        };
        Ok(1)
    }),
    o("track", 1, |s, _, a| {
        s.server.track = Some(word(a, "'track' expects [<proxy>/]<server> as argument.")?);
        Ok(1)
    }),
    o("slowstart", 1, |s, _, a| {
        let word = a.get(1);
        let ms = match time_ms(word, Bare::S) {
            Ok(ms) => ms,
            Err(TimeFault::Overflow) => {
                let name = &s.server.name;
                return Err(format!(
                    "timer overflow in argument <{word}> to <slowstart> of server {name}, maximum value is 2147483647 ms \
                     (~24.8 days)."
                ));
            }
            Err(TimeFault::Char('\0')) => return Err("'slowstart' expects a time as argument.".to_owned()),
            Err(TimeFault::Char(c)) => {
                let name = &s.server.name;
                return Err(format!("unexpected character '{c}' in 'slowstart' argument of server {name}."));
            }
        };
        s.server.slowstart_ms = Some(ms).filter(|&ms| ms > 0);
        Ok(1)
    }),
    o("init-addr", 1, |s, _, a| {
        s.server.init_addr = init_addr(a.get(1))?;
        Ok(1)
    }),
    o("resolvers", 1, |s, _, a| {
        s.server.resolvers = Some(a.get(1).to_owned());
        Ok(1)
    }),
    o("resolve-prefer", 1, |s, _, a| {
        s.server.resolve_prefer = match a.get(1) {
            "ipv4" => ResolvePrefer::Ipv4,
            "ipv6" => ResolvePrefer::Ipv6,
            _ => return Err("'resolve-prefer' expects either ipv4 or ipv6 as argument.".to_owned()),
        };
        Ok(1)
    }),
    o("resolve-opts", 1, |s, _, a| {
        for option in a.get(1).split(',') {
            match option {
                "allow-dup-ip" => s.server.resolve_opts.allow_dup_ip = true,
                "ignore-weight" => s.server.resolve_opts.ignore_weight = true,
                "prevent-dup-ip" => s.server.resolve_opts.allow_dup_ip = false,
                other => {
                    return Err(format!(
                        "'resolve-opts' : unknown resolve-opts option '{other}', supported methods are 'allow-dup-ip', \
                         'ignore-weight', and 'prevent-dup-ip'."
                    ));
                }
            }
        }
        Ok(1)
    }),
    o("resolve-net", 1, |s, _, a| {
        for net in a.get(1).split(',') {
            let parsed = network(net);
            let Some(parsed) = parsed else {
                return Err(format!("'resolve-net' : invalid network '{net}'."));
            };
            s.server.resolve_net.push(parsed);
        }
        Ok(1)
    }),
    o("source", usize::MAX, |s, cx, a| {
        let missing = "'source' expects <addr>[:<port>[-<port>]], and optionally 'usesrc' <addr>, and 'interface' <name> as \
                       argument.";
        let (source, words) = source::read(a, cx.environment, missing).map_err(|(_, text)| text)?;
        s.server.source = Some(source);
        Ok(words - 1)
    }),
    o("usesrc", 1, |_, _, _| Err("'usesrc' only allowed after a 'source' statement.".to_owned())),
    o("send-proxy", 0, |s, _, _| {
        s.server.send_proxy = Some(SendProxy::default());
        Ok(0)
    }),
    o("send-proxy-v2", 0, |s, _, _| {
        v2(&mut s.server);
        Ok(0)
    }),
    o("send-proxy-v2-ssl", 0, |s, _, _| {
        v2(&mut s.server).ssl = true;
        Ok(0)
    }),
    o("send-proxy-v2-ssl-cn", 0, |s, _, _| {
        let options = v2(&mut s.server);
        options.ssl = true;
        options.cert_cn = true;
        Ok(0)
    }),
    o("no-send-proxy", 0, |s, _, _| {
        s.server.send_proxy = s.server.send_proxy.take().filter(|p| p.v2);
        Ok(0)
    }),
    o("no-send-proxy-v2", 0, |s, _, _| {
        s.server.send_proxy = None;
        Ok(0)
    }),
    o("no-send-proxy-v2-ssl", 0, |s, _, _| {
        s.server.send_proxy = None;
        Ok(0)
    }),
    o("no-send-proxy-v2-ssl-cn", 0, |s, _, _| {
        s.server.send_proxy = None;
        Ok(0)
    }),
    o("proxy-v2-options", 1, |s, _, a| {
        let options = s.server.send_proxy.get_or_insert_with(|| SendProxy { v2: true, ..SendProxy::default() });
        for option in a.get(1).split(',') {
            match option {
                "ssl" => options.ssl = true,
                "cert-cn" => (options.ssl, options.cert_cn) = (true, true),
                "cert-key" => options.cert_key = true,
                "cert-sig" => options.cert_sig = true,
                "ssl-cipher" => options.ssl_cipher = true,
                "authority" => options.authority = true,
                "crc32c" => options.crc32c = true,
                "unique-id" => options.unique_id = true,
                other => return Err(format!("'{other}' : proxy v2 option not implemented")),
            }
        }
        Ok(1)
    }),
    o("tfo", 0, set!(server.tfo = true)),
    o("no-tfo", 0, set!(server.tfo = false)),
    o("tcp-ut", 1, |s, _, a| match time_ms(a.get(1), Bare::Ms) {
        Ok(ms) => {
            s.server.tcp_ut_ms = Some(ms).filter(|&ms| ms > 0);
            Ok(1)
        }
        Err(_) => Err("'tcp-ut' : expects a positive delay in milliseconds".to_owned()),
    }),
    o("proto", 1, |s, _, a| {
        s.server.proto =
            proto(&word(a, "'proto' : missing value")?).map_err(|text| format!("'proto' : {text}"))?;
        Ok(1)
    }),
    o("ws", 1, |s, _, a| {
        s.server.ws = match a.get(1) {
            "auto" => WebSocketProto::Auto,
            "h1" => WebSocketProto::H1,
            "h2" => WebSocketProto::H2,
            _ => return Err("'ws' has to be 'auto', 'h1' or 'h2'".to_owned()),
        };
        Ok(1)
    }),
    o("pool-max-conn", 1, |s, _, a| {
        s.server.pool_max_conn = match atol(&word(a, "'pool-max-conn' expects <value> as argument.")?) {
            -1 => None,
            n @ 0.. => Some(n as u32),
            _ => return Err("'pool-max-conn' must be >= -1".to_owned()),
        };
        Ok(1)
    }),
    o("pool-low-conn", 1, |s, _, a| {
        s.server.pool_low_conn = super::args::count(&word(a, "'pool-low-conn' expects <value> as argument.")?);
        Ok(1)
    }),
    o("pool-purge-delay", 1, |s, _, a| {
        let value = word(a, "'pool-purge-delay' expects <value> as argument.")?;
        s.server.pool_purge_delay_ms = match time_ms(&value, Bare::Ms) {
            Ok(ms) => ms,
            Err(TimeFault::Overflow) => {
                return Err("timer overflow in argument <pool-purge-delay>.".to_owned());
            }
            Err(TimeFault::Char(c)) => {
                return Err(format!("unexpected character '{c}' in argument to <pool-purge-delay>."));
            }
        };
        Ok(1)
    }),
    o("pool-conn-name", 1, |s, _, a| {
        s.server.pool_conn_name = Some(word(a, "'pool-conn-name' : missing expression.")?);
        Ok(1)
    }),
    o("max-reuse", 1, |s, _, a| {
        s.server.max_reuse = match atol(&word(a, "'max-reuse' expects <value> as argument.")?) {
            n @ 0.. => Some(n as u32),
            _ => None,
        };
        Ok(1)
    }),
    o("redir", 1, |s, _, a| {
        s.server.redir = Some(word(a, "'redir' expects <prefix> as argument.")?);
        Ok(1)
    }),
    o("non-stick", 0, set!(server.non_stick = true)),
    o("stick", 0, set!(server.non_stick = false)),
    o("strict-maxconn", 0, set!(server.strict_maxconn = true)),
    o("guid", 1, |s, _, a| {
        s.server.guid = Some(word(a, "'guid' : expects an argument")?);
        Ok(1)
    }),
    o("shard", 1, |s, _, a| number(a, &mut s.server.shard)),
    o("hash-key", 1, |s, _, a| {
        s.server.hash_key = match a.get(1) {
            "id" => HashKey::Id,
            "id32" => HashKey::Id32,
            "guid" => HashKey::Guid,
            "addr" => HashKey::Addr,
            "addr-port" => HashKey::AddrPort,
            _ => return Err("'hash-key' has to be 'id', 'id32', 'guid', 'addr', or 'addr-port'".to_owned()),
        };
        Ok(1)
    }),
    o("cc", 1, |s, _, a| {
        s.server.cc = Some(word(a, "'cc' : missing algorithm")?);
        Ok(1)
    }),
    o("idle-ping", 1, |s, _, a| {
        let ms = time_ms(a.get(1), Bare::Ms).map_err(|_| "'idle-ping' expects a positive delay".to_owned())?;
        s.server.idle_ping_ms = Some(ms);
        Ok(1)
    }),
    // TLS.
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
        s.use_ssl_check = true;
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

fn word(a: &Args<'_>, missing: &str) -> Result<String, String> {
    match a.get(1) {
        "" => Err(missing.to_owned()),
        word => Ok(word.to_owned()),
    }
}

fn number(a: &Args<'_>, field: &mut u32) -> Result<usize, String> {
    *field = super::args::count(a.get(1));
    Ok(1)
}

fn positive(a: &Args<'_>, missing: &str, wrong: &str) -> Result<u32, String> {
    match atol(&word(a, missing)?) {
        n @ 1.. => Ok(n as u32),
        _ => Err(wrong.to_owned()),
    }
}

fn interval(s: &ServerDraft, a: &Args<'_>, name: &str, shown: &str) -> Result<u64, String> {
    let value = word(a, &format!("'{name}' expects a delay as argument."))?;
    let server = &s.server.name;
    match time_ms(&value, Bare::Ms) {
        Ok(0) => Err(format!("invalid value 0 for argument '{shown}' of server {server}.")),
        Ok(ms) => Ok(ms),
        Err(TimeFault::Overflow) => Err(format!(
            "timer overflow in argument <{value}> to <{shown}> of server {server}, maximum value is 2147483647 ms (~24.8 days)."
        )),
        // HAProxy names the agent's interval for all of them.
        Err(TimeFault::Char(c)) => {
            Err(format!("unexpected character '{c}' in 'agent-inter' argument of server {server}."))
        }
    }
}

/// The methods of `init-addr`.
fn init_addr(word: &str) -> Result<Vec<InitAddr>, String> {
    word.split(',')
        .map(|method| match method {
            "last" => Ok(InitAddr::Last),
            "libc" => Ok(InitAddr::Libc),
            "none" => Ok(InitAddr::None),
            other => other.parse::<IpAddr>().map(InitAddr::Ip).map_err(|_| {
                format!(
                    "'init-addr' : unknown init-addr method '{other}', supported methods are 'libc', 'last', 'none'."
                )
            }),
        })
        .collect()
}

/// `<address>[/<bits>]`.
pub fn network(word: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = match word.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (word, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let max = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        None => max,
        Some(bits) => match bits.parse::<u8>() {
            Ok(bits) if bits <= max => bits,
            Ok(_) => return None,
            // A dotted mask.
            Err(_) => {
                let mask = u32::from(bits.parse::<std::net::Ipv4Addr>().ok()?);
                (mask.leading_ones() == mask.count_ones()).then_some(mask.leading_ones() as u8)?
            }
        },
    };
    Some((address, bits))
}

fn v2(server: &mut Server) -> &mut SendProxy {
    let options = server.send_proxy.get_or_insert_default();
    options.v2 = true;
    options
}

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

fn warn(cx: &mut Loading<'_>, a: &Args<'_>, index: usize, s: &ServerDraft, text: &str) {
    let proxy = match cx.section {
        Section::Defaults(_) | Section::Proxy(_) => cx.draft().proxy.name.clone(),
        _ => "(null)".to_owned(),
    };
    let text = format!("config : [{}] : 'server {proxy}/{}' : {text}", a.line.origin, s.server.name);
    cx.diagnostics.pointing(Severity::Warning, a.line, a.word(index), text);
}

/// Reads the options of a line from word `at` on into `draft`.
fn options(
    cx: &mut Loading<'_>,
    draft: &mut ServerDraft,
    a: &Args<'_>,
    mut at: usize,
    place: &str,
    with_address: bool,
) -> Result<(), Fault> {
    while !a.get(at).is_empty() {
        let word = a.get(at);
        let Some(option) = OPTIONS.iter().find(|o| o.name == word) else {
            return Err(a.own(at, unknown(a, at, place, with_address)));
        };
        if cx.options.refuse_unserved && unserved::reason("server", word).is_some() {
            return Err(a.own(at, format!("[{}] : {place}{}", a.line.origin, absent::text(word))));
        }
        let bad = if option.words == 0 { at } else { at + 1 };
        let words = (option.read)(draft, cx, &a.skip(at))
            .map_err(|text| a.own(bad, format!("[{}] : {place}{text}.", a.line.origin)))?;
        at += 1 + words;
    }
    Ok(())
}

fn unknown(a: &Args<'_>, at: usize, place: &str, with_address: bool) -> String {
    let word = a.get(at);
    if absent::server_option(word) {
        return format!("[{}] : {place}{}", a.line.origin, absent::text(word));
    }
    let near = suggest(word, OPTIONS.iter().map(|o| o.name));
    let hint = near.map(|n| format!("; did you mean '{n}' maybe ?"));
    let address = if with_address { "" } else { " Hint: no address was expected for this server." };
    let end = if hint.is_none() { "." } else { "" };
    format!("[{}] : {place}unknown keyword '{word}'{}{end}{address}", a.line.origin, hint.unwrap_or_default())
}

/// `server`, `default-server`, `server-template`.
pub fn server(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let keyword = a.get(0);
    let origin = &a.line.origin;
    let in_defaults = cx.in_defaults();
    let draft = cx.draft();
    if in_defaults && keyword != "default-server" {
        return Err(a.own(0, format!("[{origin}] : '{keyword}' not allowed in 'defaults' section.")));
    }
    if !draft.proxy.has_backend {
        let text = format!(
            "[{origin}] : parsing [{origin}] : '{keyword}' not allowed because {} has no backend capability.",
            draft.title()
        );
        return Err(a.own(0, text));
    }
    match keyword {
        "default-server" => {
            let mut server = draft.default_server.clone();
            if let Some(at) = (1..a.len()).find(|&i| a.get(i) == "id") {
                let text = format!("config : [{origin}] : 'id' option is not accepted in default-server sections");
                cx.diagnostics.without_failing(|d| d.pointing(Severity::Alert, a.line, a.word(at), text));
                return Ok(());
            }
            options(cx, &mut server, a, 1, "", false)?;
            cx.draft().default_server = server;
            Ok(())
        }
        "server-template" => template(cx, a),
        _ => one(cx, a),
    }
}

fn one(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let origin = &a.line.origin;
    let (name, at) = (a.get(1), a.get(2));
    if name.is_empty() || at.is_empty() {
        let text = format!("[{origin}] : 'server' expects <name> and <addr>[:<port>] as arguments.");
        return Err(a.own(a.len(), text));
    }
    if let Some(c) = forbidden_character(name) {
        return Err(a.own(1, format!("[{origin}] : character '{c}' is not permitted in server name '{name}'.")));
    }
    let server = read_server(cx, a, name, 2)?;
    push(cx.draft(), server).map_err(|text| a.own(1, text))
}

/// A `peer` or `server` line of a `peers` section.
pub fn peer(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<ServerDraft, Fault> {
    let (origin, name) = (a.origin(), a.get(1));
    let mut draft = cx.peers_default_server.clone().unwrap_or_else(|| ServerDraft::new(origin.clone()));
    draft.server.origin = origin.clone();
    name.clone_into(&mut draft.server.name);
    let place = format!("'server (null)/{name}' : ");
    let found = address::server(a.get(2), cx.environment)
        .map_err(|text| a.own(2, format!("[{origin}] : {place}{text}")))?;
    if found.port_map.is_some() {
        let text = format!("[{origin}] : {place}missing port specification in '{}'", a.get(2));
        return Err(a.own(2, text));
    }
    draft.server.host = found.host;
    draft.server.address = found.address;
    draft.server.port = found.port;
    options(cx, &mut draft, a, 3, &place, true)?;
    Ok(draft)
}

/// `default-server` of a `peers` section.
pub fn peer_defaults(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<ServerDraft, Fault> {
    let mut draft = cx.peers_default_server.clone().unwrap_or_else(|| ServerDraft::new(a.origin()));
    options(cx, &mut draft, a, 1, "", false)?;
    Ok(draft)
}

/// Adds a server after the checks that need its siblings.
fn push(draft: &mut Draft, mut server: ServerDraft) -> Result<(), String> {
    if server.id_written
        && let Some(other) = draft.servers.iter().find(|s| s.id_written && s.server.id == server.server.id)
    {
        let text = format!(
            "[{}] : 'server {}/{}' : 'id' : custom id {} already used at {} ('server {}').",
            server.server.origin,
            draft.proxy.name,
            server.server.name,
            server.server.id,
            other.server.origin,
            other.server.name
        );
        return Err(text);
    }
    if !server.id_written {
        server.server.id = 0;
    }
    draft.servers.push(server);
    Ok(())
}

/// A server with the defaults, its address and the options of the line.
fn read_server(cx: &mut Loading<'_>, a: &Args<'_>, name: &str, at: usize) -> Result<ServerDraft, Fault> {
    let origin = a.origin();
    let mut draft = cx.draft().default_server.clone();
    let place = format!("'server {}/{name}' : ", cx.draft().proxy.name);
    draft.server.origin = origin.clone();
    name.clone_into(&mut draft.server.name);
    let found = address::server(a.get(at), cx.environment)
        .map_err(|text| a.own(at, format!("[{origin}] : {place}{text}")))?;
    draft.server.host = found.host;
    draft.server.address = found.address;
    draft.server.port = found.port;
    draft.server.port_map = found.port_map;
    options(cx, &mut draft, a, at + 1, &place, true)?;
    finish(cx, a, &draft, &place)?;
    crate::config::tls::server_files(cx, &draft.server, &place, a)?;
    Ok(draft)
}

/// What can be wrong with a line as a whole.
fn finish(cx: &mut Loading<'_>, a: &Args<'_>, s: &ServerDraft, place: &str) -> Result<(), Fault> {
    let origin = &a.line.origin;
    if s.server.track.is_some() && s.check_enabled {
        let at = (0..a.len()).find(|&i| a.get(i) == "track").unwrap_or(0);
        let text = format!("[{origin}] : {place}unable to enable checks and tracking at the same time!");
        return Err(a.own(at, text));
    }
    if s.agent_enabled && s.agent.port == 0 {
        let at = (0..a.len()).find(|&i| a.get(i) == "agent-check").unwrap_or(0);
        let name = &s.server.name;
        let text = format!(
            "[{origin}] : {place}server {name} does not have agent port. Agent check has been disabled."
        );
        return Err(a.own(at, text));
    }
    let _ = cx;
    Ok(())
}

/// `server-template <prefix> <number | low-high> <address> [options]`.
fn template(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let origin = &a.line.origin;
    let (prefix, count) = (a.get(1), a.get(2));
    if a.get(3).is_empty() {
        let text =
            format!("[{origin}] : 'server-template' expects <prefix> <nb | range> <addr>[:<port>] as arguments.");
        return Err(a.own(a.len(), text));
    }
    if let Some(c) = forbidden_character(prefix) {
        return Err(a.own(1, format!("[{origin}] : character '{c}' is not permitted in server name '{prefix}'.")));
    }
    let range = match count.split_once('-') {
        Some((low, high)) => low.parse::<u32>().ok().zip(high.parse::<u32>().ok()),
        None => count.parse::<u32>().ok().map(|high| (1, high)),
    };
    let Some((low, high)) = range.filter(|&(low, high)| low >= 1 && low <= high) else {
        return Err(a.own(2, format!("[{origin}] : Wrong server-template number or range arg '{count}'.")));
    };
    let first = read_server(cx, a, &format!("{prefix}{low}"), 3)?;
    for number in low..=high {
        let mut server = first.clone();
        server.template = true;
        server.server.name = format!("{prefix}{number}");
        if server.id_written {
            server.server.id = first.server.id + (number - low);
        }
        push(cx.draft(), server).map_err(|text| a.own(1, text))?;
    }
    Ok(())
}
