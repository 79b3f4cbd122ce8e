//! The words of a run: where it failed, and what its formats and expressions give.

use super::super::env::Env;
use super::super::script::*;
use super::Run;
use crate::language::context::Context;
use crate::language::facts::Named;
use crate::language::logformat::LogFormat;

impl Run<'_> {
    /// Where a failure happened: ` at step 2 of tcp-check (expect string 'x') comment: 'y'`, for scripts of `option
    /// tcp-check` only.
    pub(super) fn place(&self, step: &Step) -> String {
        if self.script.protocol != Protocol::Tcp {
            return String::new();
        }
        if step.number == 0 {
            return " at initial connection step of tcp-check".to_owned();
        }
        let what = match &step.action {
            Action::Connect(Connect { port: Some(Port::Number(port)), .. }) => format!("connect port {port}"),
            Action::Connect(Connect { port: Some(Port::Expr(_)), .. }) => "connect port expression".to_owned(),
            Action::Connect(_) => "connect".to_owned(),
            Action::Send(_) => "send".to_owned(),
            Action::Expect(expect) => match &expect.pattern {
                Pattern::Find(Find::String(text)) => format!("expect string '{text}'"),
                Pattern::Find(Find::Format(_)) => "expect log-format string".to_owned(),
                Pattern::Find(Find::Regex(_)) => "expect regex".to_owned(),
                Pattern::Find(Find::Binary(bytes)) => {
                    let digits: String = bytes.iter().map(|b| format!("{b:02X}")).collect();
                    format!("expect binary '{digits}'")
                }
                Pattern::Find(Find::BinaryRegex(_)) => "expect binary regex".to_owned(),
                Pattern::Find(Find::BinaryFormat(_)) => "expect log-format binary".to_owned(),
                _ => "expect".to_owned(),
            },
            Action::SetVar { .. } | Action::UnsetVar(_) => "action".to_owned(),
        };
        let comment = step.comment.as_ref().map(|c| format!(" comment: '{c}'")).unwrap_or_default();
        format!(" at step {} of tcp-check ({what}){comment}", step.number)
    }

    pub(super) fn format(&mut self, format: &LogFormat) -> Vec<u8> {
        self.evaluate(|cx| {
            let mut out = Vec::new();
            format.write(cx, &mut out);
            out
        })
    }

    pub(super) fn evaluate<T>(&mut self, run: impl FnOnce(&Context<'_>) -> T) -> T {
        let (cx, target) = (self.cx, self.target);
        let env = self.env.get_or_insert_with(|| {
            let proxy = &cx.plan.proxies[target.proxy];
            let backend = Named::new(proxy.name.as_str(), proxy.id);
            let server = Named::new(target.live.settings.name.as_str(), target.live.settings.id);
            Box::new(Env::new(backend, server, cx.proc_vars.clone(), cx.random(), cx.hostname.clone()))
        });
        let head = (self.head.status() > 0).then_some(&mut self.head);
        env.with(cx.rt.now(), head, &self.input, run)
    }
}
