//! The master's own runtime API (management guide 9.4): what concerns the processes is answered here, what concerns one
//! worker goes to that worker's runtime API and comes back as it is.

use super::super::api::{drain, flush, hangs_up};
use super::watch::Watch;
use super::worker::{Stage, Worker, uptime, uptime_s};
use super::{Master, channel};
use crate::admin::runtime_api::command::table::Table;
use crate::admin::runtime_api::session::{CliSession, Forward, Then};
use crate::admin::runtime_api::{Change, Process, Sessions};
use crate::admin::stats;
use crate::base::clock::Now;
use crate::config::PERSONALITY;
use crate::engine::listener::Listener;
use crate::engine::task::{Either, before, race, sleep};
use crate::engine::{Conn, process};
use crate::language::pattern::Registry;
use crate::model::bind::Level;
use crate::model::plan::{Plan, ProxyIndex, ServerIndex};
use crate::model::server::Server;
use crate::model::state::board::Board;
use crate::model::state::event::Event;
use std::future::ready;
use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;

/// Connections that are served at once; others wait in the kernel.
const OPEN_MAX: usize = 64;
/// How often a full house looks for a free place, and pause after a failed accept.
const PAUSE_MS: u64 = 50;
/// Bytes that a client may send ahead while a worker answers it.
const AHEAD_MAX: usize = 64 << 10;
/// How long a client may take to close after its last answer.
const LINGER_MS: u64 = 1000;
/// A client that reads slowly may: the answer waits.
const PATIENCE_MS: u64 = u64::MAX;

/// Serves the connections of one `-S` socket.
pub async fn accept(watch: Rc<Watch>, number: usize) {
    let listener = Listener::new(&watch.rt, watch.master.doors[number].socket.as_raw_fd());
    loop {
        while watch.open.get() >= OPEN_MAX {
            listener.pause();
            sleep(&watch.rt, PAUSE_MS).await;
        }
        match listener.accept(None).await {
            Ok(conn) => {
                watch.open.set(watch.open.get() + 1);
                let watch = watch.clone();
                watch.rt.clone().spawn(async move {
                    serve(&watch, number, conn).await;
                    watch.open.set(watch.open.get() - 1);
                });
            }
            Err(_) => sleep(&watch.rt, PAUSE_MS).await,
        }
    }
}

/// Sends the last bytes of a connection. Unless the client has `ended`, what it still sends must not destroy them.
pub async fn say_last(conn: Conn, mut text: Vec<u8>, ended: bool) {
    if flush(&conn, &mut text, PATIENCE_MS).await && !ended {
        // Its end may have come with the command.
        if matches!(race(conn.recv(), ready(())).await, Either::First(Ok(None))) {
            return;
        }
        conn.shutdown_write();
        let rt = conn.rt();
        let _ = before(rt, rt.now().mono.plus(LINGER_MS), drain(&conn)).await;
    }
}

async fn serve(watch: &Rc<Watch>, number: usize, conn: Conn) {
    let master = &watch.master;
    let mut desk = Desk { master, now: watch.rt.now(), engine: watch.rt.engine_name() };
    let mut session = CliSession::of_master(master.doors[number].bind.level);
    let mut client = Client { conn, ended: false };
    let mut out = Vec::new();
    let mut then = Then::Read;
    loop {
        desk.now = watch.rt.now();
        then = match then {
            Then::Read => {
                if client.ended || !flush(&client.conn, &mut out, PATIENCE_MS).await {
                    break;
                }
                match client.conn.recv().await {
                    Ok(Some(bytes)) => session.feed(&bytes, &mut desk, &mut out),
                    Ok(None) => {
                        client.ended = true;
                        Then::Read
                    }
                    Err(_) => return,
                }
            }
            Then::Forward(forward) => {
                if !flush(&client.conn, &mut out, PATIENCE_MS).await {
                    return;
                }
                match self::forward(master, &mut client, &mut session, forward).await {
                    Some(ahead) => session.forwarded(&ahead, &mut desk, &mut out),
                    None => return,
                }
            }
            Then::Reload { hard } => {
                let reply = process::duplicate(client.conn.fd()).ok().and_then(process::inherited);
                return watch.reload(hard, reply);
            }
            Then::Flush => {
                if !flush(&client.conn, &mut out, PATIENCE_MS).await {
                    return;
                }
                session.resume(&mut desk, &mut out)
            }
            Then::Close => break,
            // A master has no statistics, no tables, no workers of its own and no command that waits.
            Then::Gather(_)
            | Then::Report(_)
            | Then::Table(_)
            | Then::Events(_)
            | Then::Descriptors(_)
            | Then::Wait { .. } => break,
        };
    }
    say_last(client.conn, out, client.ended).await;
}

struct Client {
    conn: Conn,
    /// It sends no more.
    ended: bool,
}

/// Lets a worker answer. What the client has sent meanwhile; `None` when client or worker is gone.
async fn forward(master: &Master, client: &mut Client, session: &mut CliSession, order: Forward) -> Option<Vec<u8>> {
    let rt = client.conn.rt().clone();
    let modes = session.state().clone();
    let stream = {
        let workers = master.workers.borrow();
        let worker = workers.iter().find(|w| w.pid as u32 == order.pid)?;
        // One command alone is answered without a prompt.
        let mut modes = modes;
        if !(order.stay && order.text.is_empty()) {
            (modes.interactive, modes.prompt, modes.timed) = (false, false, false);
        }
        channel::connect(&worker.channel, modes.level, Some(&modes)).ok()?
    };
    let worker = Conn::adopt(&rt, stream.into()).ok()?;
    let mut first = order.text.into_bytes();
    let mut ahead = Vec::new();
    if order.stay {
        first.extend(session.take_input());
    }
    if !flush(&worker, &mut first, PATIENCE_MS).await {
        return None;
    }
    if !order.stay || client.ended {
        worker.shutdown_write();
    }
    loop {
        let listens = !client.ended && ahead.len() < AHEAD_MAX;
        let more = async {
            match listens {
                true => client.conn.recv().await,
                false => {
                    hangs_up(&client.conn).await;
                    Err(io::ErrorKind::BrokenPipe.into())
                }
            }
        };
        match race(worker.recv(), more).await {
            Either::First(Ok(Some(bytes))) => {
                let mut bytes = bytes.to_vec();
                if !flush(&client.conn, &mut bytes, PATIENCE_MS).await {
                    return None;
                }
            }
            Either::First(_) => return Some(ahead),
            Either::Second(Ok(Some(bytes))) if order.stay => {
                let mut bytes = bytes.to_vec();
                if !flush(&worker, &mut bytes, PATIENCE_MS).await {
                    return Some(ahead);
                }
            }
            Either::Second(Ok(Some(bytes))) => ahead.extend_from_slice(&bytes),
            Either::Second(Ok(None)) => {
                client.ended = true;
                if order.stay {
                    worker.shutdown_write();
                }
            }
            Either::Second(Err(_)) => return None,
        }
    }
}

/// The master as one connection sees it.
struct Desk<'m> {
    master: &'m Master,
    now: Now,
    engine: &'static str,
}

impl Process for Desk<'_> {
    fn plan(&self) -> &Plan {
        &self.master.plan
    }

    fn board(&self) -> &Board {
        &self.master.board
    }

    fn facts(&self) -> stats::Process<'_> {
        stats::Process {
            pid: std::process::id(),
            node: "",
            started: self.now,
            boot_ms: 0,
            ulimit_n: 0,
            maxsock: 0,
            warnings: 0,
            memmax_mb: 0,
            compression_bytes: 0,
            engine: self.engine,
        }
    }

    fn now(&self) -> Now {
        self.now
    }

    fn stick_tables(&self) -> Vec<Table<'_>> {
        Vec::new()
    }

    fn server_key(&self, _word: u64, _address: bool) -> Option<String> {
        None
    }

    fn patterns(&self) -> &Registry {
        &self.master.plan.patterns
    }

    fn events(&mut self, _events: Vec<Event>) {}

    fn uptime_s(&self, pid: u32) -> u64 {
        let workers = self.master.workers.borrow();
        let worker = workers.iter().find(|w| w.pid as u32 == pid);
        uptime_s(worker.map_or(self.master.started_us, |w| w.started_us))
    }

    fn worker(&self, prefix: &str) -> Option<u32> {
        if matches!(prefix, "" | "master" | "0") {
            return Some(0);
        }
        let workers = self.master.workers.borrow();
        let mut serving = workers.iter().filter(|w| w.stage != Stage::Starting);
        let found = match prefix.strip_prefix('!') {
            Some(pid) => {
                let pid = pid.parse::<i32>().ok()?;
                serving.find(|w| w.pid == pid)
            }
            // There is one worker for each life of the configuration.
            None if prefix.parse() == Ok(1) => serving.rev().find(|w| w.stage == Stage::Current),
            None => None,
        };
        found.map(|w| w.pid as u32)
    }

    fn name(&self) -> String {
        if self.master.failed.get() > 0 { "master[ReloadFailed]".into() } else { "master".into() }
    }

    fn processes(&self, debug: bool) -> String {
        let master = self.master;
        let mut text = row(["#<PID>", "<type>", "<reloads>", "<uptime>", "<version>"], None);
        let (pid, age) = (std::process::id().to_string(), uptime(master.started_us));
        let reloads = format!("{} [failed: {}]", master.reloads.get(), master.failed.get());
        text.push_str(&row([&pid, "master", &reloads, &age, PERSONALITY], None));
        let workers = master.workers.borrow();
        // One that had to stay since the new configuration failed is an old one too.
        let old = |w: &Worker| w.stage == Stage::Leaving || w.stage == Stage::Current && w.reloads > 0;
        let list = |is_old: bool| -> String {
            let listed = workers.iter().filter(|w| w.stage != Stage::Starting && old(w) == is_old);
            let line = |w: &Worker| {
                let (pid, reloads, age) = (w.pid.to_string(), w.reloads.to_string(), uptime(w.started_us));
                row([&pid, "worker", &reloads, &age, &w.version], debug.then_some(w.channel.as_raw_fd()))
            };
            listed.map(line).collect()
        };
        text.push_str("# workers\n");
        text.push_str(&list(false));
        let old = list(true);
        if !old.is_empty() {
            text.push_str("# old workers\n");
            text.push_str(&old);
        }
        text
    }

    fn change(&mut self, _change: Change) -> Result<(), String> {
        Err("A master has no proxies.".into())
    }

    fn parse_server(&self, _proxy: ProxyIndex, _name: &str, _words: &[&str]) -> Result<Server, String> {
        Err("A master has no proxies.".into())
    }

    fn sessions(&self, _which: Sessions<'_>, _out: &mut Vec<u8>) -> Option<()> {
        None
    }

    fn environment(&self) -> Vec<String> {
        self.master.environment.clone()
    }

    fn startup_logs(&self) -> String {
        self.master.logs.borrow().clone()
    }

    fn errors(&self, _proxy: Option<ProxyIndex>, _request: bool, _response: bool, _out: &mut Vec<u8>) -> u64 {
        0
    }

    fn cli_sockets(&self) -> Vec<(String, Level)> {
        Vec::new()
    }

    fn removable(&self, _proxy: ProxyIndex, _server: ServerIndex) -> Result<(), String> {
        Err("A master has no servers.".into())
    }
}

/// A line of `show proc`; with `debug`, the descriptor of a worker's channel stands behind.
fn row([pid, kind, reloads, age, version]: [&str; 5], fd: Option<i32>) -> String {
    let fd = fd.map_or(String::new(), |fd| format!("\t\t {fd:<15} "));
    format!("{pid:<15} {kind:<15} {reloads:<15} {age:<15} {version:<15}{fd}\n")
}
