//! What a health check does (manual 4.2 "option httpchk" and its kin, "http-check", "tcp-check", "external-check"): the
//! script. When it runs is `model::server::CheckSettings`; who runs it is `services::check`.

use super::bind::Proto;
use crate::base::origin::Origin;

/// The kind of check a backend's servers get; the last `option ...chk` of a section wins.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum CheckKind {
    /// A TCP connection, nothing sent.
    #[default]
    Connect,
    Http(HttpRequest),
    /// `option tcp-check`: the backend's `tcp-check` steps.
    Tcp,
    SslHello,
    Smtp {
        /// `HELO` or `EHLO`.
        hello: String,
        domain: String,
    },
    Mysql {
        user: Option<String>,
        version: MysqlVersion,
    },
    Pgsql {
        user: String,
    },
    Redis,
    Ldap,
    Spop,
    External,
}

/// `option mysql-check user <u> [pre-41|post-41|post-80]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MysqlVersion {
    Pre41,
    #[default]
    Post41,
    Post80,
}

/// The request line of `option httpchk [method] uri [version]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    pub method: String,
    pub uri: String,
    /// As written (`HTTP/1.1`); `None`: HTTP/1.0.
    pub version: Option<String>,
    /// Header lines hidden behind the version string, as configurations of HAProxy 2.6 write them: `name: value`.
    pub hidden_headers: Vec<String>,
    pub host: Option<String>,
}

/// All `http-check` or `tcp-check` lines of a section, and the options beside them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CheckScript {
    pub steps: Vec<CheckStep>,
    /// `http-check disable-on-404`.
    pub disable_on_404: bool,
    /// `http-check send-state`.
    pub send_state: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CheckStep {
    pub origin: Origin,
    pub comment: Option<String>,
    pub action: CheckAction,
}

#[derive(Debug, Clone, PartialEq)]
pub enum CheckAction {
    Connect(CheckConnect),
    Send(CheckSend),
    Expect(CheckExpect),
    Comment,
    /// `set-var(name) expr`, `set-var-fmt(name) format`, `unset-var(name)`: compiled when checks run them.
    SetVar {
        name: String,
        format: bool,
        value: String,
    },
    UnsetVar {
        name: String,
    },
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct CheckConnect {
    /// Port number or expression, as written.
    pub port: Option<String>,
    pub address: Option<String>,
    pub send_proxy: bool,
    pub ssl: bool,
    pub sni: Option<String>,
    pub alpn: Option<String>,
    pub linger: bool,
    pub via_socks4: bool,
    /// `default`: the server line's own address and transport.
    pub default: bool,
    /// `proto`; `None` too for `none`.
    pub proto: Option<Proto>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum CheckSend {
    /// `http-check send`: parts of the request.
    Http {
        method: Option<String>,
        uri: Option<Text>,
        version: Option<String>,
        headers: Vec<(String, String)>,
        body: Option<Text>,
    },
    /// `tcp-check send`, `send-lf`.
    Text(Text),
    /// `tcp-check send-binary`: the bytes.
    Binary(Vec<u8>),
    /// `tcp-check send-binary-lf`: a format that gives hexadecimal digits.
    BinaryFormat(String),
}

/// A literal or a log-format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    Literal(String),
    Format(String),
}

#[derive(Debug, Clone, PartialEq)]
pub struct CheckExpect {
    /// `!` before the pattern.
    pub negated: bool,
    pub pattern: CheckPattern,
    /// Bytes needed before the pattern is tried; `None`: whatever came; -1 is written for "all".
    pub min_recv: Option<i64>,
    pub ok_status: Option<String>,
    pub error_status: Option<String>,
    pub timeout_status: Option<String>,
    pub on_success: Option<String>,
    pub on_error: Option<String>,
    pub status_code: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckPattern {
    /// Ranges of response statuses.
    Status(Vec<(u16, u16)>),
    StatusRegex(String),
    String(Text),
    Regex(String),
    Binary(Vec<u8>),
    BinaryRegex(String),
    BinaryFormat(String),
    /// `hdr`/`fhdr`: the words as written; `full` for `fhdr`.
    Header {
        full: bool,
        words: Vec<String>,
    },
}

/// `external-check command` and `path`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExternalCheck {
    pub command: Option<String>,
    pub path: Option<String>,
}
