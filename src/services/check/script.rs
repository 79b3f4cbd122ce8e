//! A check as it runs: steps with their texts, patterns and expressions. A script knows no server and no socket; `run`
//! brings those, `compile` makes it of `model::check`.

use super::compile::Compiler;
use super::expect::HeaderMatch;
use super::kinds::{Judged, ldap, mysql, pgsql, redis, smtp, spop, ssl_hello};
use crate::base::origin::Origin;
use crate::language::logformat::LogFormat;
use crate::language::pattern::Registry;
use crate::language::regex::Regex;
use crate::language::rules::action::VarTarget;
use crate::language::sample::expr::Expr;
use crate::language::vars::VarName;
use crate::model::bind::Proto;
use crate::model::check::CheckKind;
use crate::model::proxy::Proxy;
use crate::model::state::health::CheckStatus;
use std::net::IpAddr;

/// What the servers of one backend are asked.
#[derive(Debug)]
pub struct Script {
    pub steps: Vec<Step>,
    pub protocol: Protocol,
    pub disable_on_404: bool,
}

/// How reports speak of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `option tcp-check`: reports name the step.
    Tcp,
    Http,
    /// A ready-made script, or a mere connect.
    Other,
}

#[derive(Debug)]
pub struct Step {
    /// As reports count it; 0: it was not written.
    pub number: u32,
    pub comment: Option<String>,
    pub action: Action,
}

impl Step {
    pub fn implicit(action: Action) -> Step {
        Step { number: 0, comment: None, action }
    }
}

/// Scripts are few and made once: their steps may be of any size.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub enum Action {
    Connect(Connect),
    Send(Send),
    Expect(Expect),
    SetVar { target: VarTarget, value: Value },
    UnsetVar(VarName),
}

#[derive(Debug)]
pub struct Connect {
    pub port: Option<Port>,
    pub address: Option<IpAddr>,
    pub send_proxy: bool,
    pub ssl: bool,
    pub sni: Option<String>,
    pub alpn: Option<String>,
    /// The rule's own `proto`.
    pub proto: Option<Proto>,
    pub linger: bool,
    /// Through the `socks4` proxy of the server line, where it has one.
    pub via_socks4: bool,
    /// The server line decides about TLS and PROXY protocol: where it was not written, and with `default`.
    pub as_server: bool,
}

impl Connect {
    /// The connect that starts a script which names none.
    pub fn implicit() -> Connect {
        Connect {
            port: None,
            address: None,
            send_proxy: false,
            ssl: false,
            sni: None,
            alpn: None,
            proto: None,
            linger: false,
            via_socks4: false,
            as_server: true,
        }
    }
}

#[derive(Debug)]
pub enum Port {
    Number(u16),
    Expr(Expr),
}

#[derive(Debug)]
pub enum Send {
    Bytes(Template),
    Http(Box<HttpSend>),
    SslHello,
}

#[derive(Debug)]
pub enum Template {
    Bytes(Vec<u8>),
    Format(LogFormat),
    /// A format that gives hexadecimal digits.
    Hex(LogFormat),
}

#[derive(Debug)]
pub enum Value {
    Expr(Expr),
    Format(LogFormat),
}

#[derive(Debug)]
pub struct HttpSend {
    pub method: String,
    pub uri: Template,
    /// HTTP/1.1, else HTTP/1.0.
    pub v11: bool,
    /// Names in lower case.
    pub headers: Vec<(Vec<u8>, Template)>,
    pub body: Option<Template>,
    /// `http-check send-state`.
    pub state: bool,
}

/// Judges the bytes of a ready-made check; the flag says that no more will come.
pub type Judge = fn(&[u8], bool) -> Judged;

#[derive(Debug)]
pub struct Expect {
    pub pattern: Pattern,
    pub negated: bool,
    pub min_recv: Option<i64>,
    pub ok_status: CheckStatus,
    /// `None`: by the pattern.
    pub error_status: Option<CheckStatus>,
    pub timeout_status: CheckStatus,
    pub on_success: Option<LogFormat>,
    pub on_error: Option<LogFormat>,
    pub status_code: Option<Expr>,
}

impl Expect {
    pub fn new(pattern: Pattern) -> Expect {
        Expect {
            pattern,
            negated: false,
            min_recv: None,
            ok_status: CheckStatus::L7Ok,
            error_status: None,
            timeout_status: CheckStatus::L7Timeout,
            on_success: None,
            on_error: None,
            status_code: None,
        }
    }
}

#[derive(Debug)]
pub enum Pattern {
    Judge(Judge),
    Status(Vec<(u16, u16)>),
    StatusRegex(Regex),
    Header {
        full: bool,
        name: HeaderMatch,
        value: Option<HeaderMatch>,
    },
    /// In the response's body (HTTP), or among all received bytes.
    Find(Find),
}

#[derive(Debug)]
pub enum Find {
    String(String),
    Format(LogFormat),
    Regex(Regex),
    Binary(Vec<u8>),
    /// Matches the bytes written as hexadecimal digits.
    BinaryRegex(Regex),
    BinaryFormat(LogFormat),
}

/// A script that cannot be compiled: where it stands, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub origin: Option<Origin>,
    pub text: String,
}

impl Script {
    /// The script for a backend. External checks have none: `None`.
    ///
    /// # Errors
    /// When an expression, a format or a regular expression does not compile; `config` refuses most of them earlier.
    pub fn compile(proxy: &Proxy, patterns: &Registry) -> Result<Option<Script>, Fault> {
        let backend = &proxy.backend;
        let other = |steps| Script { steps, protocol: Protocol::Other, disable_on_404: false };
        Ok(Some(match &backend.check_kind {
            CheckKind::Connect => other(vec![Step::implicit(Action::Connect(Connect::implicit()))]),
            CheckKind::External => return Ok(None),
            CheckKind::SslHello => other(ssl_hello::steps()),
            CheckKind::Smtp { hello, domain } => other(smtp::steps(hello, domain)),
            CheckKind::Mysql { user, version } => other(mysql::steps(user.as_deref(), *version)),
            CheckKind::Pgsql { user } => other(pgsql::steps(user)),
            CheckKind::Redis => other(redis::steps()),
            CheckKind::Ldap => other(ldap::steps()),
            CheckKind::Spop => other(spop::steps()),
            CheckKind::Tcp => Compiler { proxy, patterns }.tcp(&backend.tcp_check)?,
            CheckKind::Http(request) => Compiler { proxy, patterns }.http(request, &backend.http_check)?,
        }))
    }
}

#[cfg(test)]
pub fn sent_bytes(step: &Step) -> &[u8] {
    match &step.action {
        Action::Send(Send::Bytes(Template::Bytes(bytes))) => bytes,
        other => panic!("{other:?} sends no fixed bytes"),
    }
}
