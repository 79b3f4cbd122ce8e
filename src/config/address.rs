//! Words that are addresses (manual 2.9), in every form that `bind`, `server`, `log` and their like take. Reads the
//! text only: a host name stays a name until [`resolve`] is asked, a descriptor is not looked at. Addresses expand
//! variables by themselves, also unquoted, and an unset one is silently nothing (real files rely on both). Errors are
//! HAProxy's texts, without what precedes them (`'bind' : `).

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    path::PathBuf,
};

use super::{env::Environment, files::path_of, lexer::bytes_of};
use crate::base::address::Address;

/// Longest socket path: HAProxy keeps ten bytes for the suffix of the name it binds before it renames.
const UNIX_PATH_MAX: usize = 97;
/// Longest name in the abstract name space, without the leading NUL.
const ABSTRACT_MAX: usize = 107;

/// IP version that a prefix asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Family {
    #[default]
    Any,
    V4,
    V6,
}

/// The host part of an IP address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// `*` or nothing: all local addresses to a listener, "where the client wanted to go" to a server.
    Any,
    Ip(IpAddr),
    /// To be resolved.
    Name(String),
}

/// The port part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    None,
    /// First and last, in order.
    Range(u16, u16),
    /// `+N` or `-N`: the client's destination port plus this.
    Offset(i32),
}

/// An address as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    pub place: Place,
    /// A prefix asked for datagrams (`udp@`, `uxdg@`, `dgram+…`), where the statement takes both; its default
    /// otherwise.
    pub datagram: bool,
    /// `mptcp@` and its kin.
    pub mptcp: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Ip {
        host: Host,
        family: Family,
        ports: Ports,
    },
    Unix(PathBuf),
    /// As [`Address::Abstract`]: `abns@` fills the whole address with NULs, `abnsz@` ends with the name.
    Abstract(Vec<u8>),
    /// `fd@N`.
    Inherited(i32),
}

/// What a statement takes.
#[derive(Clone, Copy, Debug)]
pub struct Accepts {
    pub port_mandatory: bool,
    pub port_range: bool,
    pub port_offset: bool,
    pub port_zero: bool,
    pub descriptor: bool,
    pub stream: bool,
    pub datagram: bool,
    /// What an address without prefix is.
    pub datagram_default: bool,
    /// Multipath TCP may be asked for.
    pub mptcp: bool,
}

/// `bind`, `stats socket`, `-S`.
pub const BIND: Accepts = Accepts {
    port_mandatory: true,
    port_range: true,
    port_offset: false,
    port_zero: false,
    descriptor: true,
    stream: true,
    datagram: false,
    datagram_default: false,
    mptcp: true,
};
/// `server`, `default-server`, check addresses.
pub const SERVER: Accepts = Accepts {
    port_mandatory: false,
    port_range: false,
    port_offset: true,
    port_zero: true,
    descriptor: false,
    ..BIND
};
/// `source`: a range of ports to connect from.
pub const SOURCE: Accepts = Accepts { port_range: true, port_offset: false, mptcp: false, ..SERVER };
/// `socks4`.
pub const SOCKS: Accepts =
    Accepts { port_mandatory: true, port_offset: false, port_zero: false, mptcp: false, ..SERVER };
/// `log`: UDP unless told otherwise.
pub const LOG: Accepts =
    Accepts { port_offset: false, descriptor: true, datagram: true, datagram_default: true, mptcp: false, ..SERVER };
/// `nameserver`.
pub const NAMESERVER: Accepts = Accepts { port_mandatory: true, port_zero: false, descriptor: false, ..LOG };

/// Asks the system for a host's address of this family, the first it names. `None`: it has none, or cannot be asked.
/// Takes as long as the system's resolver does.
pub fn resolve(host: &str, family: Family) -> Option<IpAddr> {
    let fits = |ip: &IpAddr| match family {
        Family::Any => true,
        Family::V4 => ip.is_ipv4(),
        Family::V6 => ip.is_ipv6(),
    };
    (host, 0).to_socket_addrs().ok()?.map(|a| a.ip()).find(fits)
}

/// How names are looked up: [`resolve`], or what a test says.
pub type Resolver<'a> = &'a dyn Fn(&str, Family) -> Option<IpAddr>;

/// Reads the word of a `bind` line: a comma-separated list, each with a port or a range of ports. Names are resolved.
pub fn bind(word: &str, env: &Environment, resolver: Resolver<'_>) -> Result<Listening, String> {
    let mut found = Listening::default();
    // "*:80," is one address: an empty item ends the list unless it is all there is.
    let list = word.strip_suffix(',').filter(|rest| !rest.is_empty()).unwrap_or(word);
    for item in list.split(',') {
        let parsed = parse(item, env, BIND)?;
        let addresses = parsed.addresses(item, resolver)?;
        if parsed.mptcp {
            found.mptcp.extend(addresses.iter().cloned());
        }
        found.addresses.extend(addresses);
    }
    Ok(found)
}

/// Where a `bind` line listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    pub addresses: Vec<Address>,
    /// Those of them that speak Multipath TCP.
    pub mptcp: Vec<Address>,
}

/// Reads the address of a `server` line; its name, if it has one, is not resolved here.
pub fn server(word: &str, env: &Environment) -> Result<Parsed, String> {
    parse(word, env, SERVER)
}

impl Parsed {
    /// The addresses of a listener at `word`: one for each port.
    pub fn addresses(&self, word: &str, resolver: Resolver<'_>) -> Result<Vec<Address>, String> {
        Ok(match &self.place {
            Place::Unix(path) => vec![Address::Unix(path.clone())],
            Place::Abstract(name) => vec![Address::Abstract(name.clone())],
            Place::Inherited(fd) => vec![Address::Inherited(*fd)],
            Place::Ip { host, family, ports } => {
                let ip = match host {
                    Host::Any => any(*family),
                    Host::Ip(ip) => *ip,
                    Host::Name(name) => {
                        resolver(name, *family).ok_or_else(|| format!("invalid address: '{name}' in '{word}'"))?
                    }
                };
                let (first, last) = match *ports {
                    Ports::Range(first, last) => (first, last),
                    Ports::None | Ports::Offset(_) => (0, 0),
                };
                (first..=last).map(|port| Address::Ip(SocketAddr::new(ip, port))).collect()
            }
        })
    }
}

fn any(family: Family) -> IpAddr {
    match family {
        Family::Any | Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// What the words before `@` say.
#[derive(Clone, Copy)]
enum Kind {
    Ip(Family),
    Unix,
    Abstract,
    AbstractZero,
    Descriptor,
}

/// Reads one address.
pub fn parse(word: &str, env: &Environment, accepts: Accepts) -> Result<Parsed, String> {
    let expanded = expand(word, env);
    if expanded.is_empty() {
        return Err(format!("'{word}' resolves to an empty address (environment variable missing?)"));
    }
    let (kind, Transport { datagram, mptcp }, rest) = prefix(&expanded, word, accepts)?;
    if datagram && !accepts.datagram {
        return Err(format!("dgram-type address not acceptable in '{word}'"));
    }
    if !datagram && !accepts.stream {
        return Err(format!("stream-type address not acceptable in '{word}'"));
    }
    let place = match kind {
        Kind::Descriptor => descriptor(rest, word, accepts)?,
        Kind::Unix => {
            too_long(&bytes_of(rest), UNIX_PATH_MAX, word)?;
            Place::Unix(path_of(rest))
        }
        Kind::Abstract | Kind::AbstractZero => {
            let mut name = bytes_of(rest).into_owned();
            too_long(&name, ABSTRACT_MAX, word)?;
            if matches!(kind, Kind::Abstract) {
                name.resize(ABSTRACT_MAX, 0);
            }
            Place::Abstract(name)
        }
        Kind::Ip(family) => internet(rest, word, family, accepts)?,
    };
    Ok(Parsed { place, datagram, mptcp })
}

fn too_long(name: &[u8], most: usize, word: &str) -> Result<(), String> {
    match name.len() > most {
        true => Err(format!("socket path '{word}' too long (max {most})")),
        false => Ok(()),
    }
}

/// Replaces `$NAME` and `${NAME}`; nothing is an error here, a dollar without a name is dropped.
pub fn expand(word: &str, env: &Environment) -> String {
    let mut out = String::with_capacity(word.len());
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (braced, after) = match after.strip_prefix('{') {
            Some(inside) => (true, inside),
            None => (false, after),
        };
        let length = after.bytes().take_while(|b| *b == b'_' || b.is_ascii_alphanumeric()).count();
        let (name, after) = after.split_at(length);
        out.push_str(env.get(name).unwrap_or_default());
        rest = if braced { after.strip_prefix('}').unwrap_or(after) } else { after };
    }
    out.push_str(rest);
    out
}

/// What the words before `@` say of the transport.
#[derive(Clone, Copy)]
struct Transport {
    datagram: bool,
    mptcp: bool,
}

/// Takes the prefixes off. An unknown one is part of the host name.
fn prefix<'a>(text: &'a str, word: &str, accepts: Accepts) -> Result<(Kind, Transport, &'a str), String> {
    let (transport, rest) = match text {
        t if t.starts_with("stream+") => (Some(false), &t["stream+".len()..]),
        t if t.starts_with("dgram+") => (Some(true), &t["dgram+".len()..]),
        t if t.starts_with("quic+") => return Err(no_quic(&t["quic+".len()..], word, accepts)),
        t => (None, t),
    };
    let default = transport.unwrap_or(accepts.datagram_default);
    let Some((name, after)) = rest.split_once('@') else {
        let kind = if rest.starts_with('/') { Kind::Unix } else { Kind::Ip(Family::Any) };
        return Ok((kind, Transport { datagram: default, mptcp: false }, rest));
    };
    let (kind, datagram) = match name {
        "ip" => (Kind::Ip(Family::Any), default),
        "ipv4" => (Kind::Ip(Family::V4), default),
        "ipv6" => (Kind::Ip(Family::V6), default),
        "tcp" => (Kind::Ip(Family::Any), false),
        "tcp4" => (Kind::Ip(Family::V4), false),
        "tcp6" => (Kind::Ip(Family::V6), false),
        "udp" => (Kind::Ip(Family::Any), true),
        "udp4" => (Kind::Ip(Family::V4), true),
        "udp6" => (Kind::Ip(Family::V6), true),
        "unix" => (Kind::Unix, default),
        "uxst" => (Kind::Unix, false),
        "uxdg" => (Kind::Unix, true),
        "abns" => (Kind::Abstract, default),
        "abnsz" => (Kind::AbstractZero, default),
        "fd" => (Kind::Descriptor, default),
        "quic4" | "quic6" => return Err(no_quic(rest, word, accepts)),
        "mptcp" if accepts.mptcp => (Kind::Ip(Family::Any), false),
        "mptcp4" if accepts.mptcp => (Kind::Ip(Family::V4), false),
        "mptcp6" if accepts.mptcp => (Kind::Ip(Family::V6), false),
        // What HAProxy serves and we do not is refused by name; it must not be taken for a host.
        "mptcp" | "mptcp4" | "mptcp6" | "sockpair" => {
            return Err(format!("unsupported protocol family '{name}@' for address '{word}'"));
        }
        "rhttp" => {
            let hint = "is experimental, must be allowed via a global 'expose-experimental-directives'";
            return Err(format!("Address '{word}' {hint}"));
        }
        _ => (Kind::Ip(Family::Any), default),
    };
    let known = !matches!(kind, Kind::Ip(Family::Any)) || matches!(name, "ip" | "tcp" | "mptcp" | "udp");
    let mptcp = known && name.starts_with("mptcp");
    Ok((kind, Transport { datagram, mptcp }, if known { after } else { rest }))
}

fn no_quic(text: &str, word: &str, accepts: Accepts) -> String {
    if accepts.port_offset {
        return "QUIC protocol selected but support not compiled in (check build options).".to_owned();
    }
    // Linux's numbers of AF_INET and AF_INET6.
    let family = if text.starts_with("ipv6@") || text.starts_with("quic6@") { 10 } else { 2 };
    format!(
        "unsupported stream protocol for datagram family {family} address '{word}'; QUIC is not compiled in if this \
         is what you were looking for."
    )
}

fn descriptor(text: &str, word: &str, accepts: Accepts) -> Result<Place, String> {
    if !accepts.descriptor {
        return Err(format!("a file descriptor is not acceptable here in '{word}'"));
    }
    match text.parse() {
        Ok(fd @ 0..) => Ok(Place::Inherited(fd)),
        _ => Err(format!("file descriptor '{text}' is not a valid integer in '{word}'")),
    }
}

fn internet(text: &str, word: &str, family: Family, accepts: Accepts) -> Result<Place, String> {
    // The last colon begins the port, unless it stands inside brackets or the text ends with them.
    let (host, port) = match text.rsplit_once(':') {
        Some(_) if text.ends_with(']') => (text, ""),
        Some((host, port)) => (host, port),
        None => (text, ""),
    };
    let ports = ports(port, word, accepts)?;
    let host = host_of(host, family).ok_or_else(|| format!("invalid address: '{host}' in '{word}'"))?;
    Ok(Place::Ip { host, family, ports })
}

fn ports(text: &str, word: &str, accepts: Accepts) -> Result<Ports, String> {
    let Some(first) = text.chars().next() else {
        return match accepts.port_mandatory {
            true => Err(format!("missing port specification in '{word}'")),
            false => Ok(Ports::None),
        };
    };
    if let sign @ ('+' | '-') = first {
        if !accepts.port_offset {
            return Err(format!("port offset not permitted here in '{word}'"));
        }
        let number = i32::from(sign == '+') * 2 - 1;
        return Ok(Ports::Offset(number * number_of(&text[1..], word)?.min(i32::MAX as u32) as i32));
    }
    let Some((low, high)) = text.split_once('-') else {
        let port = port_of(text, word, accepts)?;
        return Ok(Ports::Range(port, port));
    };
    if !accepts.port_range {
        return Err(format!("port range not permitted here in '{word}'"));
    }
    let low = port_of(low, word, accepts)?;
    let high = port_of(high, word, accepts)?;
    match low <= high {
        true => Ok(Ports::Range(low, high)),
        false => Err(format!("invalid port range '{text}'")),
    }
}

fn number_of(text: &str, word: &str) -> Result<u32, String> {
    if let Some(c) = text.chars().find(|c| !c.is_ascii_digit()) {
        return Err(format!("invalid character '{c}' in port number '{text}' in '{word}'"));
    }
    if text.is_empty() {
        return Err(format!("invalid port '{text}'"));
    }
    Ok(text.parse().unwrap_or(u32::MAX))
}

fn port_of(text: &str, word: &str, accepts: Accepts) -> Result<u16, String> {
    match u16::try_from(number_of(text, word)?) {
        Ok(port) if port > 0 || accepts.port_zero => Ok(port),
        _ => Err(format!("invalid port '{text}'")),
    }
}

/// `None`: the text can be no host of this family.
fn host_of(text: &str, family: Family) -> Option<Host> {
    if text.is_empty() || text == "*" {
        return Some(Host::Any);
    }
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let fits = |ip: &IpAddr| match family {
        Family::Any => true,
        Family::V4 => ip.is_ipv4(),
        Family::V6 => ip.is_ipv6(),
    };
    if let Ok(ip) = bare.unwrap_or(text).parse::<IpAddr>() {
        return Some(Host::Ip(ip)).filter(|_| fits(&ip));
    }
    match bare.is_some() {
        true => None,
        false => Some(Host::Name(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> Environment {
        let mut env = Environment::default();
        env.set("PORT", "8081");
        env.set("HOST", "127.0.0.1");
        env.set("FD", "77");
        env
    }

    fn resolver(name: &str, family: Family) -> Option<IpAddr> {
        (name == "localhost" && family != Family::V6).then_some(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    fn bound(word: &str) -> Result<String, String> {
        let list = bind(word, &env(), &resolver)?;
        Ok(list.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn bind_addresses_in_every_form() {
        let cases = [
            ("*:80", "0.0.0.0:80"),
            (":80", "0.0.0.0:80"),
            ("[::]:80", "[::]:80"),
            (":::80", "[::]:80"),
            ("::1:80", "[::1]:80"),
            ("[::1]:80", "[::1]:80"),
            ("[127.0.0.1]:80", "127.0.0.1:80"),
            ("*:80-82", "0.0.0.0:80 0.0.0.0:81 0.0.0.0:82"),
            ("*:80-80", "0.0.0.0:80"),
            (":80,:81,[::1]:82", "0.0.0.0:80 0.0.0.0:81 [::1]:82"),
            ("*:80,", "0.0.0.0:80"),
            ("localhost:80", "127.0.0.1:80"),
            ("/run/x.sock", "unix@/run/x.sock"),
            ("unix@x", "unix@x"),
            ("uxst@/x", "unix@/x"),
            ("stream+unix@/x", "unix@/x"),
            ("stream+127.0.0.1:80", "127.0.0.1:80"),
            ("stream+ipv4@127.0.0.1:80", "127.0.0.1:80"),
            ("abnsz@foo", "abns@foo"),
            ("fd@3", "fd@3"),
            ("fd@${FD}", "fd@77"),
            ("ip@127.0.0.1:80", "127.0.0.1:80"),
            ("ipv4@127.0.0.1:80", "127.0.0.1:80"),
            ("ipv4@:80", "0.0.0.0:80"),
            ("ipv6@:80", "[::]:80"),
            ("ipv6@*:80", "[::]:80"),
            ("ipv6@::1:80", "[::1]:80"),
            ("tcp@127.0.0.1:80", "127.0.0.1:80"),
            ("tcp6@[::1]:80", "[::1]:80"),
            ("mptcp@127.0.0.1:80", "127.0.0.1:80"),
            ("mptcp@::1:80", "[::1]:80"),
            ("mptcp4@:80", "0.0.0.0:80"),
            ("mptcp6@:80-81", "[::]:80 [::]:81"),
            ("*:$PORT", "0.0.0.0:8081"),
            ("$HOST:${PORT}", "127.0.0.1:8081"),
            ("${UNDEF}:80", "0.0.0.0:80"),
            ("*:80$", "0.0.0.0:80"),
            ("$$:80", "0.0.0.0:80"),
            ("*:080", "0.0.0.0:80"),
        ];
        for (word, wanted) in cases {
            assert_eq!(bound(word).as_deref(), Ok(wanted), "{word}");
        }
    }

    #[test]
    fn each_address_of_a_list_has_its_protocol() {
        let list = bind("mptcp@:80,:81,mptcp6@[::1]:82,mptcp.example@:83", &env(), &|_, _| None);
        assert_eq!(list, Err("invalid address: 'mptcp.example@' in 'mptcp.example@:83'".to_owned()));
        let list = bind("mptcp@:80,:81,mptcp6@[::1]:82", &env(), &resolver).expect("accepted");
        let shown = |list: &[Address]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(shown(&list.mptcp), ["0.0.0.0:80", "[::1]:82"]);
        assert_eq!(list.addresses.len(), 3);
        let server = |word: &str| server(word, &env()).map(|p| p.mptcp);
        assert_eq!(
            [server("mptcp@[::1]:80"), server("mptcp4@a:80"), server("tcp4@a:80")],
            [Ok(true), Ok(true), Ok(false)]
        );
        assert!(parse("mptcp@127.0.0.1:1", &env(), LOG).is_err_and(|text| text.contains("'mptcp@'")));
    }

    #[test]
    fn abstract_names_fill_the_address() {
        let list = bind("abns@foo", &env(), &resolver).expect("accepted");
        let [Address::Abstract(name)] = &list.addresses[..] else { panic!("{list:?}") };
        assert_eq!((name.len(), &name[..4]), (ABSTRACT_MAX, &b"foo\0"[..]));
    }

    #[test]
    fn bad_bind_addresses_have_haproxys_text() {
        let cases = [
            ("*", "missing port specification in '*'"),
            ("0.0.0.0:", "missing port specification in '0.0.0.0:'"),
            ("[::]", "missing port specification in '[::]'"),
            ("[::1", "invalid address: '[:' in '[::1'"),
            ("[::1]x:80", "invalid address: '[::1]x' in '[::1]x:80'"),
            ("::1", "invalid address: ':' in '::1'"),
            ("*:90-80", "invalid port range '90-80'"),
            ("*:80-", "invalid port ''"),
            ("*:-90", "port offset not permitted here in '*:-90'"),
            ("*:+80", "port offset not permitted here in '*:+80'"),
            ("*:99999", "invalid port '99999'"),
            ("*:0", "invalid port '0'"),
            ("*:0-10", "invalid port '0'"),
            (":80,81", "missing port specification in '81'"),
            ("*:abc", "invalid character 'a' in port number 'abc' in '*:abc'"),
            ("*:<80>", "invalid character '<' in port number '<80>' in '*:<80>'"),
            ("*:80-9x", "invalid character 'x' in port number '9x' in '*:80-9x'"),
            ("*:80-90-95", "invalid character '-' in port number '90-95' in '*:80-90-95'"),
            ("nosuch.invalid:80", "invalid address: 'nosuch.invalid' in 'nosuch.invalid:80'"),
            ("fd@x", "file descriptor 'x' is not a valid integer in 'fd@x'"),
            ("fd@${UNDEF}", "file descriptor '' is not a valid integer in 'fd@${UNDEF}'"),
            ("fd@3:80", "file descriptor '3:80' is not a valid integer in 'fd@3:80'"),
            ("ipv4@::1:80", "invalid address: '::1' in 'ipv4@::1:80'"),
            ("ipv6@127.0.0.1:80", "invalid address: '127.0.0.1' in 'ipv6@127.0.0.1:80'"),
            ("tcp4@[::1]:80", "invalid address: '[::1]' in 'tcp4@[::1]:80'"),
            ("udp@127.0.0.1:80", "dgram-type address not acceptable in 'udp@127.0.0.1:80'"),
            ("uxdg@/tmp/x", "dgram-type address not acceptable in 'uxdg@/tmp/x'"),
            ("foo@127.0.0.1:80", "invalid address: 'foo@127.0.0.1' in 'foo@127.0.0.1:80'"),
            ("*:${UNDEF}", "missing port specification in '*:${UNDEF}'"),
            ("*:${UNDEF-80}", "port offset not permitted here in '*:${UNDEF-80}'"),
            ("${UNDEF}", "'${UNDEF}' resolves to an empty address (environment variable missing?)"),
            (",", "'' resolves to an empty address (environment variable missing?)"),
            ("256.0.0.1:80", "invalid address: '256.0.0.1' in '256.0.0.1:80'"),
            ("127.0.0.1:80:90", "invalid address: '127.0.0.1:80' in '127.0.0.1:80:90'"),
            ("@", "missing port specification in '@'"),
            ("[*]:80", "invalid address: '[*]' in '[*]:80'"),
        ];
        for (word, wanted) in cases {
            assert_eq!(bound(word), Err(wanted.to_owned()), "{word}");
        }
        let long = format!("/{}", "a".repeat(97));
        assert_eq!(bound(&long), Err(format!("socket path '{long}' too long (max 97)")));
    }

    #[test]
    fn server_addresses() {
        let ip = |word: &str| match server(word, &env()).map(|p| p.place) {
            Ok(Place::Ip { host, ports, .. }) => (host, ports),
            other => panic!("{word}: {other:?}"),
        };
        let local = || Host::Ip(Ipv4Addr::LOCALHOST.into());
        assert_eq!(ip("127.0.0.1"), (local(), Ports::None));
        assert_eq!(ip("127.0.0.1:"), (local(), Ports::None));
        assert_eq!(ip("127.0.0.1:0"), (local(), Ports::Range(0, 0)));
        assert_eq!(ip("127.0.0.1:+1"), (local(), Ports::Offset(1)));
        assert_eq!(ip("127.0.0.1:-1"), (local(), Ports::Offset(-1)));
        assert_eq!(ip("$HOST:$PORT"), (local(), Ports::Range(8081, 8081)));
        assert_eq!(ip("${UNDEF}:80"), (Host::Any, Ports::Range(80, 80)));
        assert_eq!(ip("*"), (Host::Any, Ports::None));
        assert_eq!(ip("[::1]"), (Host::Ip(Ipv6Addr::LOCALHOST.into()), Ports::None));
        assert_eq!(ip("foo@1"), (Host::Name("foo@1".into()), Ports::None));
        assert_eq!(ip("a,b:80"), (Host::Name("a,b".into()), Ports::Range(80, 80)));
        let cases = [
            ("127.0.0.1:80-90", "port range not permitted here in '127.0.0.1:80-90'"),
            ("127.0.0.1:99999", "invalid port '99999'"),
            ("127.0.0.1:+x", "invalid character 'x' in port number 'x' in '127.0.0.1:+x'"),
            ("fd@3", "a file descriptor is not acceptable here in 'fd@3'"),
            ("quic4@127.0.0.1:80", "QUIC protocol selected but support not compiled in (check build options)."),
        ];
        for (word, wanted) in cases {
            assert_eq!(server(word, &env()).expect_err(word), wanted, "{word}");
        }
    }
}
