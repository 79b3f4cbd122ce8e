//! Scenarios: what a proxy is asked to do and which load is put on it, as read from `perf/scenarios/*.toml`.
//! A scenario is abstract: it names no product and holds no configuration text. `config` turns `Proxy` into each
//! product's own file, `load` turns `Load` into traffic. Unknown keys are errors, so that no wish is lost in silence.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// One measurable question, named after its file.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    #[serde(skip)]
    pub name: String,
    /// One line for tables.
    pub title: String,
    /// Part of the quick profile.
    #[serde(default)]
    pub quick: bool,
    #[serde(default)]
    pub proxy: Proxy,
    pub load: Load,
}

/// What the proxy between generator and origin must do, in no product's words.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Proxy {
    pub mode: Mode,
    pub threads: usize,
    /// Terminate TLS on the listening side.
    pub tls: Option<Tls>,
    /// Speak HTTP/2 with clients (over TLS by ALPN, without TLS by prior knowledge).
    pub h2: bool,
    /// Keep connections to the origin open and share them between clients.
    pub server_keep_alive: bool,
    /// Add `X-Forwarded-For`.
    pub forwardfor: bool,
    /// Compress JSON for clients that accept gzip.
    pub gzip: bool,
    /// One log line a request to a UNIX datagram socket.
    pub log: bool,
    /// Twenty conditions and a dozen header edits, none of which matches every request.
    pub rules: bool,
    /// Count requests by source address in a stick table.
    pub stick_table: bool,
    /// Track two counters a request, each in a table of its own: by source address and by path.
    pub tracking: bool,
    /// So many more servers, each checked by a connection once a second.
    pub checked_servers: usize,
    /// Let the kernel move payload between sockets where the product can.
    pub splice: bool,
}

impl Default for Proxy {
    fn default() -> Self {
        Self {
            mode: Mode::Http,
            threads: 1,
            tls: None,
            h2: false,
            server_keep_alive: true,
            forwardfor: false,
            gzip: false,
            log: false,
            rules: false,
            stick_table: false,
            tracking: false,
            checked_servers: 0,
            splice: false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    Http,
    Tcp,
}

/// One protocol version, one kind of key and one way to resume, so that a figure speaks of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    pub key: Key,
    pub version: TlsVersion,
    #[serde(default)]
    pub resumption: Resumption,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Key {
    Ec,
    Rsa,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub enum TlsVersion {
    #[serde(rename = "1.2")]
    V12,
    #[serde(rename = "1.3")]
    V13,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resumption {
    /// The client offers nothing: every handshake is full.
    #[default]
    None,
    /// The server keeps the state in the client's ticket.
    Ticket,
    /// The server keeps the state itself: session ids in TLS 1.2, stateful tickets in TLS 1.3.
    SessionId,
}

/// The traffic of one repetition.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    pub shape: Shape,
    #[serde(default = "one")]
    pub connections: usize,
    /// Requests a second; without it the load is closed-loop (as fast as answers come).
    #[serde(default)]
    pub rate: Option<u64>,
    #[serde(default = "small_path")]
    pub path: String,
    /// Header lines to add, `Name: value`.
    #[serde(default)]
    pub headers: Vec<String>,
    /// Size of a ping (`ping-pong`) or of a transfer (`bulk`).
    #[serde(default = "ping_bytes")]
    pub bytes: u64,
}

fn one() -> usize {
    1
}
fn small_path() -> String {
    "/s/128".to_owned()
}
fn ping_bytes() -> u64 {
    64
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// HTTP/1.1 requests on kept connections.
    KeepAlive,
    /// One connection a request.
    Connection,
    /// One TLS connection and one small request a handshake.
    Handshake,
    /// HTTP/2 streams on kept connections.
    H2,
    /// A message and its echo over TCP.
    PingPong,
    /// Large transfers over TCP.
    Bulk,
    /// Connections that made one request and then stay open.
    Idle,
    /// The same over HTTP/2 by prior knowledge.
    #[serde(rename = "idle-h2")]
    IdleH2,
    /// Nothing is asked: what the proxy does by itself.
    Still,
    /// Nothing but starting and answering once.
    Start,
}

impl Shape {
    /// The figure that ratios are made of.
    pub fn primary(self) -> Primary {
        match self {
            Self::Idle | Self::IdleH2 => Primary::BytesPerConnection,
            Self::Still => Primary::CpuPerSecond,
            Self::Start => Primary::StartMs,
            _ => Primary::CpuPerRequest,
        }
    }
}

/// The figure that a scenario is judged by; smaller is better for each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Primary {
    CpuPerRequest,
    CpuPerSecond,
    BytesPerConnection,
    StartMs,
}

impl Primary {
    pub fn label(self) -> &'static str {
        match self {
            Self::CpuPerRequest => "CPU µs/request",
            Self::CpuPerSecond => "CPU µs/s",
            Self::BytesPerConnection => "bytes/connection",
            Self::StartMs => "start ms",
        }
    }
}

impl Scenario {
    /// Parses one file's text; `name` is the file's stem.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let mut scenario: Self = toml::from_str(text).map_err(|error| format!("{name}: {error}"))?;
        name.clone_into(&mut scenario.name);
        scenario.check().map_err(|error| format!("{name}: {error}"))?;
        Ok(scenario)
    }

    /// All scenarios of a folder in the order of their names.
    pub fn load_all(folder: &Path) -> Result<Vec<Self>, String> {
        let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        paths.sort();
        let mut scenarios = Vec::new();
        for path in paths {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            scenarios.push(Self::parse(&stem, &text)?);
        }
        Ok(scenarios)
    }

    /// Wishes that contradict each other are refused here, so that the generators need not think of them.
    fn check(&self) -> Result<(), String> {
        let tcp_shape = matches!(self.load.shape, Shape::PingPong | Shape::Bulk);
        let tcp = self.proxy.mode == Mode::Tcp;
        let http_only = self.proxy.h2
            || self.proxy.forwardfor
            || self.proxy.gzip
            || self.proxy.rules
            || self.proxy.stick_table
            || self.proxy.tracking
            || self.proxy.checked_servers > 0
            || self.proxy.log;
        if tcp_shape != tcp {
            return Err("mode = \"tcp\" goes with ping-pong and bulk, and only with them".to_owned());
        }
        if tcp && (http_only || self.proxy.tls.is_some()) {
            return Err("a tcp proxy here has neither HTTP features, TLS nor a log".to_owned());
        }
        if self.load.shape == Shape::Handshake && self.proxy.tls.is_none() {
            return Err("handshakes need [proxy.tls]".to_owned());
        }
        if matches!(self.load.shape, Shape::H2 | Shape::IdleH2) != self.proxy.h2 {
            return Err("h2 = true goes with the shapes h2 and idle-h2, and only with them".to_owned());
        }
        if self.load.shape == Shape::IdleH2 && self.proxy.tls.is_some() {
            return Err("idle-h2 is by prior knowledge, without [proxy.tls]".to_owned());
        }
        if self.load.rate == Some(0) || self.load.connections == 0 || self.proxy.threads == 0 {
            return Err("rate, connections and threads must not be 0".to_owned());
        }
        if self.load.rate.is_some() && !matches!(self.load.shape, Shape::KeepAlive | Shape::Connection) {
            return Err("a rate needs shape keep-alive or connection".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minimal_file_takes_the_defaults() {
        let scenario = Scenario::parse("x", "title = \"t\"\n[load]\nshape = \"keep-alive\"\n").unwrap();
        assert_eq!(scenario.name, "x");
        assert_eq!(scenario.proxy, Proxy::default());
        assert_eq!((scenario.load.connections, scenario.load.path.as_str()), (1, "/s/128"));
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_it() {
        let error = Scenario::parse("x", "title = \"t\"\n[load]\nshape = \"keep-alive\"\nspeed = 3\n").unwrap_err();
        assert!(error.contains("speed"), "{error}");
    }

    #[test]
    fn contradictions_are_refused() {
        for text in [
            "title = \"t\"\n[load]\nshape = \"ping-pong\"\n",
            "title = \"t\"\n[load]\nshape = \"handshake\"\n",
            "title = \"t\"\n[proxy]\nh2 = true\n[load]\nshape = \"keep-alive\"\n",
            "title = \"t\"\n[proxy]\nmode = \"tcp\"\ngzip = true\n[load]\nshape = \"bulk\"\n",
            "title = \"t\"\n[load]\nshape = \"keep-alive\"\nrate = 0\n",
            "title = \"t\"\n[load]\nshape = \"idle\"\nrate = 5\n",
        ] {
            assert!(Scenario::parse("x", text).is_err(), "accepted: {text}");
        }
    }

    #[test]
    fn every_scenario_of_the_repository_parses() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../perf/scenarios");
        let scenarios = Scenario::load_all(&folder).unwrap();
        assert!(scenarios.len() >= 20, "{} scenarios", scenarios.len());
        assert!(scenarios.iter().any(|scenario| scenario.quick));
    }
}
