//! Compiles the lines of a check (manual 4.2 "http-check", "tcp-check") into its script: expressions, formats and regular
//! expressions, the rules that need not be written, and how reports count them.

use super::expect::header;
use super::script::*;
use crate::language::acl::AclSet;
use crate::language::auth::Userlists;
use crate::language::logformat::{LogFormat, Usage};
use crate::language::parse::{Captures, Parse, SectionKind, SystemFiles};
use crate::language::pattern::Registry;
use crate::language::regex::Regex;
use crate::language::rules::action::VarTarget;
use crate::language::sample::expr::Expr;
use crate::language::sample::scope::Points;
use crate::language::vars::VarName;
use crate::model::check::{self as model, CheckAction, CheckPattern, CheckScript, CheckSend, HttpRequest};
use crate::model::proxy::{Mode, Proxy};
use crate::model::state::health::CheckStatus;

/// Compiles the scripts of one proxy.
pub struct Compiler<'a> {
    pub proxy: &'a Proxy,
    pub patterns: &'a Registry,
}

impl Compiler<'_> {
    /// `option tcp-check`.
    pub fn tcp(&self, script: &CheckScript) -> Result<Script, Fault> {
        let mut steps = Vec::new();
        // A comment is of the rule that follows it.
        let mut comment: Option<&String> = None;
        for (i, step) in script.steps.iter().enumerate() {
            let number = i as u32 + 1;
            let action = match &step.action {
                CheckAction::Comment => {
                    comment = step.comment.as_ref();
                    continue;
                }
                CheckAction::Send(send) => Action::Send(self.send(step, send)?),
                other => self.common(step, other)?,
            };
            steps.push(Step { number, comment: step.comment.as_ref().or(comment.take()).cloned(), action });
        }
        start_by_connect(&mut steps);
        Ok(Script { steps, protocol: Protocol::Tcp, disable_on_404: false })
    }

    /// `option httpchk`.
    pub fn http(&self, request: &HttpRequest, script: &CheckScript) -> Result<Script, Fault> {
        let mut steps = Vec::new();
        let mut comment: Option<&String> = None;
        let (mut number, mut first_send) = (0, true);
        for step in &script.steps {
            let action = match &step.action {
                CheckAction::Comment => {
                    comment = step.comment.as_ref();
                    continue;
                }
                CheckAction::Send(CheckSend::Http { .. }) => {
                    // The first one completes `option httpchk` and is counted with it.
                    number += u32::from(!first_send);
                    let base = first_send.then_some(request);
                    first_send = false;
                    let send = self.http_send(step, base, script.send_state)?;
                    let comment = step.comment.as_ref().or(comment.take()).cloned();
                    steps.push(Step { number, comment, action: Action::Send(Send::Http(Box::new(send))) });
                    continue;
                }
                other => self.common(step, other)?,
            };
            number += 1;
            steps.push(Step { number, comment: step.comment.as_ref().or(comment.take()).cloned(), action });
        }
        if first_send {
            let send = self.plain_request(request, script.send_state);
            let at = steps.iter().position(|s| matches!(s.action, Action::Expect(_))).unwrap_or(steps.len());
            steps.insert(at, Step::implicit(Action::Send(Send::Http(Box::new(send)))));
        }
        start_by_connect(&mut steps);
        if !matches!(steps.last().map(|s| &s.action), Some(Action::Expect(_))) {
            // Manual, "http-check expect": the last one may be implicit.
            let expect = Expect::new(Pattern::Status(vec![(200, 399)]));
            steps.push(Step { number: 2, comment: None, action: Action::Expect(expect) });
        }
        Ok(Script { steps, protocol: Protocol::Http, disable_on_404: script.disable_on_404 })
    }

    fn common(&self, step: &model::CheckStep, action: &CheckAction) -> Result<Action, Fault> {
        Ok(match action {
            CheckAction::Connect(connect) => Action::Connect(self.connect(step, connect)?),
            CheckAction::Expect(expect) => Action::Expect(self.expect(step, expect)?),
            CheckAction::SetVar { name, format, value } => {
                let word = if *format { "set-var-fmt" } else { "set-var" };
                let wrong = |e| self.wrong_variable(step, word, name, e);
                let target = VarTarget::parse(name).map_err(wrong)?;
                let value = match format {
                    true => Value::Format(self.format(step, value)?),
                    false => Value::Expr(self.parse(step, |p| Expr::parse(value, false, p)).map_err(wrong)?.0),
                };
                Action::SetVar { target, value }
            }
            CheckAction::UnsetVar { name } => {
                Action::UnsetVar(VarName::parse(name).map_err(|e| self.wrong_variable(step, "unset-var", name, e))?)
            }
            CheckAction::Send(_) | CheckAction::Comment => {
                return Err(fault(step, "misplaced check rule".to_owned()));
            }
        })
    }

    fn connect(&self, step: &model::CheckStep, connect: &model::CheckConnect) -> Result<Connect, Fault> {
        let port = match connect.port.as_deref() {
            None => None,
            Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => {
                let number = text.parse().ok().filter(|n| *n > 0);
                Some(Port::Number(
                    number.ok_or_else(|| fault(step, format!("expects a valid TCP port, got '{text}'")))?,
                ))
            }
            Some(text) => Some(Port::Expr(self.expr(step, text)?)),
        };
        let address = match connect.address.as_deref() {
            None => None,
            Some(text) => {
                // An address may bring its port.
                let ip = text.parse().ok().or_else(|| text.rsplit_once(':')?.0.parse().ok());
                Some(ip.ok_or_else(|| fault(step, format!("'{text}' is not a valid address")))?)
            }
        };
        Ok(Connect {
            port,
            address,
            send_proxy: connect.send_proxy,
            ssl: connect.ssl,
            sni: connect.sni.clone(),
            alpn: connect.alpn.clone(),
            proto: connect.proto,
            linger: connect.linger,
            via_socks4: connect.via_socks4,
            as_server: connect.default,
        })
    }

    fn send(&self, step: &model::CheckStep, send: &CheckSend) -> Result<Send, Fault> {
        Ok(Send::Bytes(match send {
            CheckSend::Text(text) => self.template(step, text)?,
            CheckSend::Binary(bytes) => Template::Bytes(bytes.clone()),
            CheckSend::BinaryFormat(text) => Template::Hex(self.format(step, text)?),
            CheckSend::Http { .. } => return Err(fault(step, "'http-check send' in a TCP check".to_owned())),
        }))
    }

    /// The request of `option httpchk` alone.
    fn plain_request(&self, request: &HttpRequest, state: bool) -> HttpSend {
        let mut headers = Vec::new();
        if let Some(host) = &request.host {
            headers.push((b"host".to_vec(), Template::Bytes(host.as_bytes().to_vec())));
        }
        for line in &request.hidden_headers {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let value = Template::Bytes(value.trim().as_bytes().to_vec());
            headers.push((name.trim().to_ascii_lowercase().into_bytes(), value));
        }
        HttpSend {
            method: request.method.clone(),
            uri: Template::Bytes(request.uri.as_bytes().to_vec()),
            v11: is_v11(request.version.as_deref()),
            headers,
            body: None,
            state,
        }
    }

    fn http_send(&self, step: &model::CheckStep, base: Option<&HttpRequest>, state: bool) -> Result<HttpSend, Fault> {
        let CheckAction::Send(CheckSend::Http { method, uri, version, headers, body }) = &step.action else {
            return Err(fault(step, "not an HTTP request".to_owned()));
        };
        let bare = HttpRequest {
            method: "OPTIONS".to_owned(),
            uri: "/".to_owned(),
            version: None,
            hidden_headers: Vec::new(),
            host: None,
        };
        let mut send = self.plain_request(base.unwrap_or(&bare), state);
        if let Some(method) = method {
            send.method.clone_from(method);
        }
        if let Some(uri) = uri {
            send.uri = self.template(step, uri)?;
        }
        if version.is_some() {
            send.v11 = is_v11(version.as_deref());
        }
        if !headers.is_empty() {
            // The fields of this line replace those of `option httpchk`.
            send.headers.clear();
        }
        for (name, value) in headers {
            let value = self.template(step, &model::Text::Format(value.clone()))?;
            send.headers.push((name.to_ascii_lowercase().into_bytes(), value));
        }
        send.body = body.as_ref().map(|b| self.template(step, b)).transpose()?;
        Ok(send)
    }

    fn expect(&self, step: &model::CheckStep, expect: &model::CheckExpect) -> Result<Expect, Fault> {
        let regex = |text: &str| Regex::new(text, false).map_err(|e| fault(step, e));
        let pattern = match &expect.pattern {
            CheckPattern::Status(ranges) => Pattern::Status(ranges.clone()),
            CheckPattern::StatusRegex(text) => Pattern::StatusRegex(regex(text)?),
            CheckPattern::String(model::Text::Literal(text)) => Pattern::Find(Find::String(text.clone())),
            CheckPattern::String(model::Text::Format(text)) => Pattern::Find(Find::Format(self.format(step, text)?)),
            CheckPattern::Regex(text) => Pattern::Find(Find::Regex(regex(text)?)),
            CheckPattern::Binary(bytes) => Pattern::Find(Find::Binary(bytes.clone())),
            CheckPattern::BinaryRegex(text) => Pattern::Find(Find::BinaryRegex(regex(text)?)),
            CheckPattern::BinaryFormat(text) => Pattern::Find(Find::BinaryFormat(self.format(step, text)?)),
            CheckPattern::Header { full, words } => {
                let (name, value) = header(words, |text| self.format(step, text)).map_err(|e| match e {
                    header::Error::Text(text) => fault(step, text),
                    header::Error::Fault(f) => f,
                })?;
                Pattern::Header { full: *full, name, value }
            }
        };
        let status = |word: &Option<String>, allowed: &[CheckStatus]| match word {
            None => Ok(None),
            Some(word) => match allowed.iter().find(|s| s.name() == word) {
                Some(status) => Ok(Some(*status)),
                None => Err(fault(step, format!("'{word}' is no status of this rule"))),
            },
        };
        use CheckStatus::*;
        let ok = status(&expect.ok_status, &[L7Ok, L7OkConditional, L6Ok, L4Ok])?;
        let error = status(&expect.error_status, &[L7OkConditional, L7Response, L7Status, L6Response, L4Connection])?;
        let timeout = status(&expect.timeout_status, &[L7Timeout, L6Timeout, L4Timeout])?;
        let format = |text: &Option<String>| text.as_ref().map(|t| self.format(step, t)).transpose();
        Ok(Expect {
            pattern,
            negated: expect.negated,
            min_recv: expect.min_recv.filter(|n| *n >= 0),
            ok_status: ok.unwrap_or(L7Ok),
            error_status: error,
            timeout_status: timeout.unwrap_or(L7Timeout),
            on_success: format(&expect.on_success)?,
            on_error: format(&expect.on_error)?,
            status_code: expect.status_code.as_ref().map(|t| self.expr(step, t)).transpose()?,
        })
    }

    fn template(&self, step: &model::CheckStep, text: &model::Text) -> Result<Template, Fault> {
        Ok(match text {
            model::Text::Literal(text) => Template::Bytes(text.as_bytes().to_vec()),
            model::Text::Format(text) if !text.contains('%') => Template::Bytes(text.as_bytes().to_vec()),
            model::Text::Format(text) => {
                let format = self.format(step, text)?;
                match format.constant() {
                    Some(bytes) => Template::Bytes(bytes),
                    None => Template::Format(format),
                }
            }
        })
    }

    /// An action on a variable that is wrong, in HAProxy's words.
    fn wrong_variable(&self, step: &model::CheckStep, word: &str, name: &str, why: String) -> Fault {
        let rule = if matches!(self.proxy.backend.check_kind, model::CheckKind::Http(_)) {
            "http-check"
        } else {
            "tcp-check"
        };
        fault(step, format!("'{rule} {word}({name})' : '{word}' : {why}."))
    }

    fn format(&self, step: &model::CheckStep, text: &str) -> Result<LogFormat, Fault> {
        self.parse(step, |p| LogFormat::parse(text, Usage::Value, p)).map_err(|e| fault(step, e))
    }

    fn expr(&self, step: &model::CheckStep, text: &str) -> Result<Expr, Fault> {
        self.parse(step, |p| Expr::parse(text, false, p).map(|(expr, _)| expr)).map_err(|e| fault(step, e))
    }

    fn parse<T>(
        &self,
        step: &model::CheckStep,
        run: impl FnOnce(&mut Parse<'_>) -> Result<T, String>,
    ) -> Result<T, String> {
        let (mut acls, mut captures) = (AclSet::default(), Captures::default());
        let userlists = Userlists::default();
        let mut p = Parse {
            origin: step.origin.clone(),
            proxy: &self.proxy.name,
            section: SectionKind::Backend,
            http: self.proxy.mode == Mode::Http,
            points: Points::BE_CHK_RUL,
            acls: &mut acls,
            patterns: self.patterns,
            userlists: &userlists,
            captures: &mut captures,
            files: &SystemFiles,
            warnings: Vec::new(),
            references: Vec::new(),
            stick_counters: 3,
            experimental: false,
            experimental_used: false,
        };
        run(&mut p)
    }
}

/// Puts a connect in front unless one is written (behind variables at most).
fn start_by_connect(steps: &mut Vec<Step>) {
    let first = steps.iter().find(|s| !matches!(s.action, Action::SetVar { .. } | Action::UnsetVar(_)));
    if !matches!(first.map(|s| &s.action), Some(Action::Connect(_))) {
        steps.insert(0, Step::implicit(Action::Connect(Connect::implicit())));
    }
}

fn is_v11(version: Option<&str>) -> bool {
    // HTTP/2.0 is sent as the newest that is plain text, as HAProxy does.
    !matches!(version, None | Some("HTTP/1.0" | ""))
}

fn fault(step: &model::CheckStep, text: String) -> Fault {
    Fault { origin: Some(step.origin.clone()), text }
}
