//! `option external-check` (manual 4.2 "external-check command", "external-check path"; 3.1 "external-check"): a program
//! decides. It is waited for through its pid's descriptor, so that the loop never blocks, and killed when it is late.

use super::{CheckContext, text};
use crate::base::address::Address;
use crate::engine::task::before;
use crate::model::plan::{ProxyIndex, ServerIndex};
use crate::model::proxy::Mode;
use crate::model::server::CheckSettings;
use crate::model::state::counters::ServerCounter;
use crate::model::state::health::{CheckReport, CheckStatus};
use crate::model::state::server::ServerLive;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

/// HAProxy's exit code of a child that could not start its program; also said of one that a signal ended, where HAProxy
/// says -1.
const NOT_RUN: u16 = 255;

/// What stands for an address or port that there is not, among the arguments.
const NOT_USED: &str = "NOT_USED";

/// Runs the backend's program once. The interval bounds it, whatever `timeout check` says, as in HAProxy.
pub async fn run(
    cx: &CheckContext,
    proxy: ProxyIndex,
    server: ServerIndex,
    live: &ServerLive,
    settings: &CheckSettings,
) -> CheckReport {
    let started = cx.rt.fresh_now().nanos;
    let mut command = command(cx, proxy, server, live, settings);
    let (status, code, info) = match Running::start(&mut command) {
        Err(e) => (CheckStatus::ProcessError, NOT_RUN, io_text(&e)),
        Ok(mut running) => {
            let deadline = cx.rt.now().mono.plus(settings.inter_ms);
            // Readable: the process has ended.
            let ended = cx.rt.poll_fd(running.pidfd.as_raw_fd(), libc::POLLIN);
            match before(&cx.rt, deadline, ended).await {
                Err(_) => (CheckStatus::ProcessTimeout, 0, String::new()),
                Ok(Err(e)) => (CheckStatus::ProcessError, NOT_RUN, io_text(&e)),
                Ok(Ok(_)) => judge(running.status()),
            }
        }
    };
    let nanos = cx.rt.fresh_now().nanos.saturating_sub(started);
    CheckReport { status, code, duration: Duration::from_nanos(nanos), info }
}

fn judge(status: io::Result<ExitStatus>) -> (CheckStatus, u16, String) {
    match status {
        Ok(status) if status.success() => (CheckStatus::ProcessOk, 0, String::new()),
        Ok(status) => {
            let code = status.code().and_then(|c| u16::try_from(c).ok()).unwrap_or(NOT_RUN);
            let info = status.signal().map(|n| format!("killed by signal {n}")).unwrap_or_default();
            (CheckStatus::ProcessError, code, info)
        }
        Err(e) => (CheckStatus::ProcessError, NOT_RUN, io_text(&e)),
    }
}

fn io_text(e: &io::Error) -> String {
    let mut text = e.to_string().split(" (os error").next().unwrap_or_default().to_owned();
    text::clip(&mut text);
    text
}

/// A child that does not outlive its check.
struct Running {
    child: Child,
    pidfd: OwnedFd,
}

impl Running {
    fn start(command: &mut Command) -> io::Result<Running> {
        let mut child = command.spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let opened = pid
            .ok_or(io::ErrorKind::NotFound.into())
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from));
        match opened {
            Ok(pidfd) => Ok(Running { child, pidfd }),
            Err(e) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(e)
            }
        }
    }

    fn status(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SIGKILL cannot be refused, so the wait behind it is short.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(
    cx: &CheckContext,
    proxy: ProxyIndex,
    server: ServerIndex,
    live: &ServerLive,
    settings: &CheckSettings,
) -> Command {
    let plan = &cx.plan.proxies[proxy];
    let external = &plan.backend.external_check;
    let listener = plan.frontend.binds.iter().flat_map(|bind| &bind.addresses).find_map(|a| ends(Some(a)));
    let (proxy_address, proxy_port) = listener.unwrap_or_default();
    let address = live.address();
    let (mut server_address, mut server_port) = ends(address.as_deref()).unwrap_or_default();
    if let Some(ip) = settings.address {
        server_address = ip.to_string();
    }
    if let Some(port) = settings.port {
        server_port = port.to_string();
    }
    let mut command = Command::new(external.command.as_deref().unwrap_or_default());
    for argument in [&proxy_address, &proxy_port, &server_address, &server_port] {
        command.arg(if argument.is_empty() { NOT_USED } else { argument });
    }
    if cx.plan.global.external_check != Some(true) {
        command.env_clear();
    }
    let proto = match (plan.mode, live.settings.proto.is_some()) {
        (Mode::Http, true) => "h2",
        (Mode::Http, false) => "h1",
        (Mode::Log, _) => "syslog",
        _ => "tcp",
    };
    command
        .env("HAPROXY_PROXY_ADDR", &proxy_address)
        .env("HAPROXY_PROXY_ID", plan.id.to_string())
        .env("HAPROXY_PROXY_NAME", &plan.name)
        .env("HAPROXY_PROXY_PORT", &proxy_port)
        .env("HAPROXY_SERVER_ADDR", &server_address)
        .env("HAPROXY_SERVER_CURCONN", cx.board.server(proxy, server, ServerCounter::Scur).to_string())
        .env("HAPROXY_SERVER_ID", live.settings.id.to_string())
        .env("HAPROXY_SERVER_MAXCONN", live.maxconn().to_string())
        .env("HAPROXY_SERVER_NAME", &live.settings.name)
        .env("HAPROXY_SERVER_PORT", &server_port)
        .env("HAPROXY_SERVER_SSL", if live.settings.ssl { "1" } else { "0" })
        .env("HAPROXY_SERVER_PROTO", proto)
        .env("PATH", external.path.as_deref().unwrap_or_default());
    command
}

/// Address and port as the environment has them.
fn ends(address: Option<&Address>) -> Option<(String, String)> {
    match address? {
        Address::Ip(a) => Some((a.ip().to_string(), a.port().to_string())),
        Address::Unix(path) => Some((path.display().to_string(), String::new())),
        Address::Abstract(_) | Address::Inherited(_) => None,
    }
}
