//! What is known about a session, a stream and the TLS layer: plain values that the data plane fills as a connection
//! goes on and that fetches and log-format read. Nothing here is computed.

use crate::proto::tls::keys::Secrets;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

/// A proxy, server or listener as messages and logs name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    pub name: Arc<str>,
    pub id: u32,
}

impl Named {
    pub fn new(name: impl Into<Arc<str>>, id: u32) -> Self {
        Named { name: name.into(), id }
    }
}

/// A bind line as its connections name it; they share it.
#[derive(Clone, Debug, Default)]
pub struct Listener {
    pub frontend: Named,
    pub default_backend: Option<Arc<str>>,
    pub name: Option<Arc<str>>,
    pub id: u32,
    /// `option http-use-proxy-header` of the frontend.
    pub use_proxy_header: bool,
}

/// Bytes of a packet, headers included.
#[derive(Clone, Debug)]
pub struct Packet(pub Box<[u8]>);

/// One client connection (manual 7.3.3 "L4" and 7.3.4 "L5").
#[derive(Clone, Debug)]
pub struct Session {
    /// Source and destination as rules see them: after the PROXY protocol, `set-src` and `set-dst`. `None` on UNIX
    /// sockets.
    pub src: Option<SocketAddr>,
    pub dst: Option<SocketAddr>,
    /// The same before `set-src` and `set-dst`, if they ran: see [`Session::fc_src`].
    pub before: Option<Box<(Option<SocketAddr>, Option<SocketAddr>)>>,
    pub listener: Rc<Listener>,
    /// Microseconds since 1970 at accept.
    pub accept_us: u64,
    /// 1 for HTTP/1, 2 for HTTP/2.
    pub http_major: u8,
    pub tls: Option<Rc<Tls>>,
    pub proxy_protocol: Option<Box<ProxyProtocol>>,
    /// HAProxy's code, name and text of the connection's error; `None`: none.
    pub error: Option<Box<ConnectionError>>,
    pub mark: Option<u32>,
    pub tos: Option<u8>,
    pub handshake_ms: i64,
    pub glitches: u32,
    pub streams_open: u32,
    pub streams_limit: u32,
    /// The packet that began the connection (`tcp-ss`).
    pub saved_syn: Option<Rc<Packet>>,
    /// What `tcp-request connection expect-proxy layer4` asked for.
    pub expect_proxy: bool,
}

impl Session {
    /// A connection to `listener` of which nothing more is known.
    pub fn new(listener: Rc<Listener>) -> Session {
        Session {
            src: None,
            dst: None,
            before: None,
            listener,
            accept_us: 0,
            http_major: 1,
            tls: None,
            proxy_protocol: None,
            error: None,
            mark: None,
            tos: None,
            handshake_ms: 0,
            glitches: 0,
            streams_open: 0,
            streams_limit: 0,
            saved_syn: None,
            expect_proxy: false,
        }
    }

    /// `set-src` and its kin; `fc_src` stays what it is.
    pub fn set_src(&mut self, src: Option<SocketAddr>) {
        self.keep_addresses();
        self.src = src;
    }

    /// `set-dst` and its kin.
    pub fn set_dst(&mut self, dst: Option<SocketAddr>) {
        self.keep_addresses();
        self.dst = dst;
    }

    fn keep_addresses(&mut self) {
        if self.before.is_none() {
            self.before = Some(Box::new((self.src, self.dst)));
        }
    }

    /// The source that the connection or its PROXY header has (`fc_src`).
    pub fn fc_src(&self) -> Option<SocketAddr> {
        self.before.as_ref().map_or(self.src, |b| b.0)
    }

    /// The destination of the same (`fc_dst`).
    pub fn fc_dst(&self) -> Option<SocketAddr> {
        self.before.as_ref().map_or(self.dst, |b| b.1)
    }
}

impl Default for Session {
    fn default() -> Session {
        Session::new(Rc::default())
    }
}

/// HAProxy's numbered connection errors (`fc_err`, `fc_err_name`, `fc_err_str`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionError {
    pub code: u16,
    pub name: &'static str,
    pub text: &'static str,
}

impl ConnectionError {
    /// With the name that goes with its number (manual 7.3.3, "fc_err_str"; from 44 on 3.4.0 has the next higher number).
    pub fn of(code: u16, text: &'static str) -> ConnectionError {
        let name = match code {
            11 => "PRX_EMPTY",
            12 => "PRX_ABORT",
            13 => "PRX_TIMEOUT",
            14 => "PRX_TRUNCATED",
            15 => "PRX_NOT_HDR",
            16 => "PRX_BAD_HDR",
            24 => "SSL_EMPTY",
            26 => "SSL_TIMEOUT",
            30 => "SSL_CA_FAIL",
            31 => "SSL_CRT_FAIL",
            32 => "SSL_MISMATCH",
            33 => "SSL_MISMATCH_SNI",
            34 => "SSL_HANDSHAKE",
            47 => "EREFUSED",
            _ => "",
        };
        ConnectionError { code, name, text }
    }
}

/// What a PROXY protocol header said beside the addresses.
#[derive(Clone, Debug, Default)]
pub struct ProxyProtocol {
    pub authority: Option<Vec<u8>>,
    pub unique_id: Option<Vec<u8>>,
    /// Type and value of each TLV.
    pub tlvs: Vec<(u8, Vec<u8>)>,
}

/// Numbers from the kernel about a TCP connection (`fc_rtt` and its kin), in microseconds and counts.
#[derive(Clone, Debug, Default)]
pub struct Transport {
    pub rtt_us: u32,
    pub rttvar_us: u32,
    pub unacked: u32,
    pub sacked: u32,
    pub lost: u32,
    pub retrans: u32,
    pub fackets: u32,
    pub reordering: u32,
}

/// TLS facts of one side of a connection.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// `TLSv1.3`.
    pub protocol: &'static str,
    /// `TLS_AES_256_GCM_SHA384` or OpenSSL's name.
    pub cipher: &'static str,
    pub key_bits: u32,
    pub sni: Option<Box<[u8]>>,
    pub alpn: Option<Box<[u8]>>,
    pub resumed: bool,
    pub early_data: bool,
    pub session_id: Vec<u8>,
    pub curve: &'static str,
    /// The certificate that the peer showed, as DER, and its chain.
    pub peer: Option<Arc<[u8]>>,
    pub peer_chain: Vec<Arc<[u8]>>,
    /// The handshake came to its end.
    pub established: bool,
    /// It showed one now, or when the session was made that is resumed.
    pub peer_used: bool,
    /// The certificate that this side showed, with its chain.
    pub own: Option<Arc<rustls::sign::CertifiedKey>>,
    pub own_name: Option<Arc<str>>,
    /// OpenSSL's verification code of the peer's certificate, 0 when it is good.
    pub verify_code: u32,
    /// The first error of the certificate itself, and of those above it.
    pub verify_crt_code: u32,
    pub verify_ca_code: u32,
    pub verify_ca_depth: u32,
    pub client_random: Option<[u8; 32]>,
    pub server_random: Option<[u8; 32]>,
    /// Under `tune.ssl.keylog`.
    pub secrets: Option<Box<Secrets>>,
    pub error: u64,
    pub error_text: Option<Arc<str>>,
    /// Code points of the ClientHello as sent, with GREASE.
    pub client_ciphers: Vec<u16>,
    pub client_extensions: Vec<u16>,
    pub client_groups: Vec<u16>,
    pub client_ec_formats: Vec<u8>,
    pub client_sigalgs: Vec<u16>,
    pub client_versions: Vec<u16>,
    pub client_hello_version: u16,
}

/// Milliseconds of a request's life as logs show them (manual 8.4); -1 where it did not get that far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// `%Th`, `%Ti`, `%TR`, `%Tw`, `%Tc`, `%Tr`, `%Td`, `%Ta`, `%Tt`, `%Tu`.
    pub handshake: i64,
    pub idle: i64,
    pub request: i64,
    pub queue: i64,
    pub connect: i64,
    pub response: i64,
    pub data: i64,
    pub active: i64,
    pub total: i64,
    pub user: i64,
    /// `option logasap`: totals are shown with a `+`.
    pub logged_early: bool,
}

impl Default for Timers {
    fn default() -> Self {
        Timers {
            handshake: 0,
            idle: 0,
            request: -1,
            queue: -1,
            connect: -1,
            response: -1,
            data: -1,
            active: -1,
            total: -1,
            user: -1,
            logged_early: false,
        }
    }
}

/// Timeouts in force for a stream, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamTimeouts {
    pub client: Option<u64>,
    pub connect: Option<u64>,
    pub queue: Option<u64>,
    pub server: Option<u64>,
    pub tunnel: Option<u64>,
    pub tarpit: Option<u64>,
}

/// Level of the log line: syslog's 0 to 7, or silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Level(u8),
    Silent,
}

/// One request, or the bytes of a TCP session.
#[derive(Clone, Debug)]
pub struct Stream {
    pub id: u64,
    pub backend: Option<Named>,
    pub server: Option<Named>,
    /// `%f` differs from the session's frontend only for internal streams.
    pub request_us: u64,
    pub timers: Timers,
    /// Status that the client got; 0 before.
    pub status: u16,
    /// Status that the server gave; 0 before.
    pub server_status: u16,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Bytes received from and sent to each side (`req.bytes_in`, `res.bytes_out` …).
    pub request_bytes_in: u64,
    pub request_bytes_out: u64,
    pub response_bytes_in: u64,
    pub response_bytes_out: u64,
    /// The four letters of `%tsc` (manual 8.5).
    pub termination: [u8; 4],
    /// `%ac/%fc/%bc/%sc`.
    pub process_conn: u32,
    pub frontend_conn: u32,
    pub backend_conn: u32,
    pub server_conn: u32,
    pub retries: u32,
    pub redispatched: bool,
    pub server_queue: u32,
    pub backend_queue: u32,
    /// Method, URI and version as the request had them when it came, for logs and `capture.req.*`; empty method:
    /// none came.
    pub method: Vec<u8>,
    pub uri: Vec<u8>,
    pub version: &'static str,
    pub response_version: &'static str,
    /// What filled `<BADREQ>`: a request that could not be parsed.
    pub bad_request: bool,
    pub request_captures: Vec<Option<Vec<u8>>>,
    pub response_captures: Vec<Option<Vec<u8>>>,
    pub request_cookie: Option<Vec<u8>>,
    pub response_cookie: Option<Vec<u8>>,
    pub unique_id: Option<Vec<u8>>,
    pub first_request: bool,
    /// Number of log lines written by this frontend, and of requests (`%lc`, `%rt`).
    pub log_counter: u64,
    pub request_counter: u64,
    pub log_level: Option<LogLevel>,
    pub timeouts: StreamTimeouts,
    pub priority_class: i32,
    pub priority_offset: i32,
    pub l7_retry_disabled: bool,
    pub retries_max: Option<u32>,
    /// `http-request strict-mode off` came by.
    pub lenient: bool,
    /// The server's connection: addresses, TLS, whether it was reused.
    pub server_src: Option<SocketAddr>,
    pub server_dst: Option<SocketAddr>,
    pub server_tls: Option<std::rc::Rc<Tls>>,
    pub server_reused: bool,
    pub server_http_major: u8,
    pub server_error: Option<ConnectionError>,
    /// File and line of the last rule that ended an evaluation (`last_rule_file`, `last_rule_line`).
    pub last_rule: Option<crate::base::origin::Origin>,
    /// Name of the algorithm by which the response is compressed.
    pub compression: Option<&'static str>,
    pub cache_hit: Option<Arc<str>>,
    /// Name of the service that answers instead of a server, as logs show it (`<STATS>`).
    pub service: Option<&'static str>,
}

impl Default for Stream {
    fn default() -> Self {
        Stream {
            id: 0,
            backend: None,
            server: None,
            request_us: 0,
            timers: Timers::default(),
            status: 0,
            server_status: 0,
            bytes_in: 0,
            bytes_out: 0,
            request_bytes_in: 0,
            request_bytes_out: 0,
            response_bytes_in: 0,
            response_bytes_out: 0,
            termination: *b"----",
            process_conn: 0,
            frontend_conn: 0,
            backend_conn: 0,
            server_conn: 0,
            retries: 0,
            redispatched: false,
            server_queue: 0,
            backend_queue: 0,
            method: Vec::new(),
            uri: Vec::new(),
            version: "HTTP/1.1",
            response_version: "HTTP/1.1",
            bad_request: false,
            request_captures: Vec::new(),
            response_captures: Vec::new(),
            request_cookie: None,
            response_cookie: None,
            unique_id: None,
            first_request: true,
            log_counter: 0,
            request_counter: 0,
            log_level: None,
            timeouts: StreamTimeouts::default(),
            priority_class: 0,
            priority_offset: 0,
            l7_retry_disabled: false,
            retries_max: None,
            lenient: false,
            server_src: None,
            server_dst: None,
            server_tls: None,
            server_reused: false,
            server_http_major: 0,
            server_error: None,
            last_rule: None,
            compression: None,
            cache_hit: None,
            service: None,
        }
    }
}
