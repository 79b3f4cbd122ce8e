//! Idle server connections that a stopping worker leaves to the process that follows, instead of closing them: the servers
//! then see no burst of new ones after a reload. Only those that are nothing but bytes of HTTP/1 to the server's own address
//! go on: no TLS, nothing that the server knows of a client. Both processes describe what the connection was made with; one
//! that the new configuration would make otherwise is closed.

use super::idle::{Idle, Way};
use super::transport::Transport;
use super::worker::{Mail, Worker};
use crate::engine::Conn;
use crate::engine::driver::sockets;
use crate::engine::process;
use crate::model::backend::HttpReuse;
use crate::model::bind::Proto;
use crate::model::plan::{Plan, ProxyIndex, ServerIndex};
use crate::model::proxy::Mode;
use crate::model::state::server::ServerLive;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

/// An idle connection between two processes.
#[derive(Debug)]
pub struct Bequest {
    pub proxy: ProxyIndex,
    pub server: ServerIndex,
    pub socket: OwnedFd,
    pub idle_ms: u64,
    /// As [`Idle`] has them.
    pub requests: u32,
    pub safe: bool,
}

/// All that a connection to a server is made with, as text; `None`: connections to it are not passed on.
pub fn likeness(plan: &Plan, proxy: ProxyIndex, live: &ServerLive) -> Option<String> {
    let (p, s) = (&plan.proxies[proxy], &live.settings);
    let source = s.source.as_ref().or(p.backend.source.as_ref());
    let encrypted = s.ssl || s.tls.ssl || s.tls_traffic.is_some();
    let knows_client = s.send_proxy.is_some() || source.is_some_and(|s| s.usesrc.is_some());
    let shared = p.backend.http_reuse != HttpReuse::Never && s.pool_conn_name.is_none();
    let plain = p.mode == Mode::Http && matches!(s.proto, None | Some(Proto::H1)) && s.socks4.is_none();
    if encrypted || knows_client || !shared || !plain || live.is_deleted() || live.in_maintenance() {
        return None;
    }
    let address = live.address()?;
    let (options, b, tune) = (&p.options, &p.backend, &plan.global.tune);
    let keepalive = options.srvtcpka.then_some((b.srvtcpka_cnt, b.srvtcpka_idle_s, b.srvtcpka_intvl_s));
    let socket = (s.mptcp, s.tcp_ut_ms, &s.cc, tune.rcvbuf_server, tune.sndbuf_server, options.nolinger);
    Some(format!("{address} {source:?} {keepalive:?} {socket:?}"))
}

/// The way of all connections that are passed on: straight to where the server is now.
fn straight(live: &ServerLive) -> Way {
    Way { moves: live.moves(), to: None, from: None, told: None, named: None }
}

/// Counts a connection that is about to leave: the worker stays until it has.
struct Leaving(Rc<Worker>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.leaving.set(self.0.leaving.get() - 1);
    }
}

/// From now on connections that would idle leave, and those that do idle.
pub fn begin(w: &Rc<Worker>) {
    w.bequeaths.set(true);
    for (proxy, backend) in w.backends.iter().enumerate() {
        for (server, idle) in backend.idle.take_all(w, proxy) {
            leave(w, proxy, server, idle);
        }
    }
}

/// Lets a connection go to the process that follows, or closes it.
pub fn leave(w: &Rc<Worker>, proxy: ProxyIndex, server: ServerIndex, idle: Idle) {
    w.leaving.set(w.leaving.get() + 1);
    let leaving = Leaving(w.clone());
    w.rt.spawn(async move {
        let _ = pass(&leaving.0, (proxy, server), idle).await;
    });
}

async fn pass(w: &Rc<Worker>, (proxy, server): (ProxyIndex, ServerIndex), idle: Idle) -> Option<()> {
    let live = w.board.live.server(proxy, server).filter(|live| idle.way == straight(live))?;
    likeness(&w.plan, proxy, live)?;
    let conn = idle.transport.plain()?;
    // What arrives from here on is for the process that follows.
    conn.pause().await;
    if !conn.is_quiet() {
        return None;
    }
    // A second descriptor: the engine closes its own as it does any other.
    let socket = process::inherited(process::duplicate(conn.fd()).ok()?)?;
    let idle_ms = idle.age_ms(w.rt.now().mono);
    let Idle { requests, safe, .. } = idle;
    let bequest = Bequest { proxy, server, socket, idle_ms, requests, safe };
    w.send(w.board.workers(), Mail::Bequest(Box::new(bequest)));
    Some(())
}

/// Takes a connection of the former process among the idle ones, unless it has ended or brought bytes on its way.
pub fn adopt(w: &Rc<Worker>, bequest: Bequest) {
    let Bequest { proxy, server, socket, idle_ms, requests, safe } = bequest;
    let Some(live) = w.board.live.server(proxy, server) else { return };
    if w.stopping.get() || live.is_deleted() || live.in_maintenance() || !sockets::is_silent(socket.as_raw_fd()) {
        return;
    }
    let Ok(conn) = Conn::adopt(&w.rt, socket) else { return };
    let mut transport = Transport::from(conn);
    transport.note_ends(None);
    transport.meter_again(&w.backends[proxy].h1);
    let since = w.rt.now().mono;
    let idle = Idle { transport, since, aged_ms: idle_ms, requests, safe, private: false, way: straight(live) };
    w.backends[proxy].idle.adopt(w, proxy, server, idle, live.settings.pool_max_conn);
}
