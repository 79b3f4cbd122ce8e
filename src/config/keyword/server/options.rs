//! The options of `server` lines (manual 5.2): a row each, with what reads its words into a [`ServerDraft`]. A text follows the
//! server's name in HAProxy's message.

use crate::config::keyword::{
    address,
    args::{Args, Bare, TimeFault, atol, count, time_ms},
    bind::{idle_ping, proto},
    source,
};
use crate::{
    config::{
        diagnostic::Severity,
        section::{Loading, Section, draft::ServerDraft},
        unit,
    },
    model::server::{
        HashKey, InitAddr, InitState, LogProto, Observe, OnError, ResolvePrefer, SendProxy, Server, WebSocketProto,
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

pub(super) const fn o(
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

pub(super) use set;

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
        let ms = interval(s, cx, a, "inter", "inter")?;
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
    o("fastinter", 1, |s, cx, a| {
        s.check.fastinter_ms = Some(interval(s, cx, a, "fastinter", "fastinter")?);
        Ok(1)
    }),
    o("downinter", 1, |s, cx, a| {
        s.check.downinter_ms = Some(interval(s, cx, a, "downinter", "downinter")?);
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
        let (found, port) = address::check(&host, cx.environment).map_err(|text| format!("'addr' : {text}"))?;
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
    o("check-via-socks4", 0, set!(check.via_socks4 = true)),
    o("socks4", 1, |s, cx, a| {
        let proxy = word(a, "'socks4' expects <addr>:<port> as argument.")?;
        let found = address::socks4(&proxy, cx.environment).map_err(|text| format!("'socks4 {proxy}' : {text}"))?;
        s.server.socks4 = Some(found);
        Ok(1)
    }),
    o("check-proto", 1, |s, _, a| {
        s.check.proto =
            proto(&word(a, "'check-proto' : missing value.")?).map_err(|text| format!("'check-proto' : {text}"))?;
        s.check_proto_written = true;
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
    o("agent-inter", 1, |s, cx, a| {
        s.agent.inter_ms = interval(s, cx, a, "agent-inter", "agent-inter")?;
        s.agent_inter_written = true;
        Ok(1)
    }),
    o("agent-addr", 1, |s, cx, a| {
        let host = word(a, "'agent-addr' expects an address as argument.")?;
        let found = address::check(&host, cx.environment);
        let (found, _) =
            found.map_err(|_| format!("parsing agent-addr failed. Check if '{host}' is correct address."))?;
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
        let (source, words) = source::read(cx, a, missing).map_err(|(_, text)| text)?;
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
        s.server.proto = proto(&word(a, "'proto' : missing value")?).map_err(|text| format!("'proto' : {text}"))?;
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
    // A thread never takes another's idle connection here, which is what this asks for.
    o("pool-low-conn", 1, |s, _, a| {
        s.server.pool_low_conn = count(&word(a, "'pool-low-conn' expects <value> as argument.")?);
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
        s.server.pool_conn_name = Some(word(a, "'pool-conn-name' expects <value> as argument")?);
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
    o("log-proto", 1, |s, _, a| {
        s.server.log_proto = match a.get(1) {
            "legacy" => LogProto::Legacy,
            "octet-count" => LogProto::OctetCount,
            word => return Err(format!("'log-proto' expects one of 'legacy' or 'octet-count' but got '{word}'")),
        };
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
        let place = format!("of server {}", s.server.name);
        s.server.idle_ping_ms = Some(idle_ping(a.get(1), &place).map_err(|text| format!("{text}."))?);
        Ok(1)
    }),
];

pub(super) fn word(a: &Args<'_>, missing: &str) -> Result<String, String> {
    match a.get(1) {
        "" => Err(missing.to_owned()),
        word => Ok(word.to_owned()),
    }
}

fn number(a: &Args<'_>, field: &mut u32) -> Result<usize, String> {
    *field = count(a.get(1));
    Ok(1)
}

fn positive(a: &Args<'_>, missing: &str, wrong: &str) -> Result<u32, String> {
    match atol(&word(a, missing)?) {
        n @ 1.. => Ok(n as u32),
        _ => Err(wrong.to_owned()),
    }
}

fn interval(s: &ServerDraft, cx: &mut Loading<'_>, a: &Args<'_>, name: &str, shown: &str) -> Result<u64, String> {
    let value = word(a, &format!("'{name}' expects a delay as argument."))?;
    let server = &s.server.name;
    if let Ok(time) = unit::time(&value, unit::Unit::Milliseconds)
        && let Some(text) = time.warning(&value)
    {
        warn(cx, a, 1, s, &text);
        return Ok(time.value);
    }
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

fn warn(cx: &mut Loading<'_>, a: &Args<'_>, index: usize, s: &ServerDraft, text: &str) {
    let proxy = match cx.section {
        Section::Defaults(_) | Section::Proxy(_) => cx.draft().proxy.name.clone(),
        _ => "(null)".to_owned(),
    };
    let text = format!("config : [{}] : 'server {proxy}/{}' : {text}", a.line.origin, s.server.name);
    cx.diagnostics.pointing(Severity::Warning, a.line, a.word(index), text);
}
