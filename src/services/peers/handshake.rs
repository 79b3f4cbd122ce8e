//! How two peers meet: connections out with HAProxy's delays, connections in, who is who, and the last word of a process
//! to its successor. Of two connections between the same peers the last one stays (`doc/peers.txt`, "Handshake").

use super::session::{self, Purpose};
use super::{LastStatus, Listening, Peer, Section, count};
use crate::engine::Conn;
use crate::engine::driver::KeepAlive;
use crate::engine::listener::Listener;
use crate::engine::task::{before, sleep};
use crate::model::bind::Bind;
use crate::model::state::counters::ProcessCounter;
use crate::proto::peers::handshake::{Hello, Status};
use crate::services::line::Line;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

/// A connection that could not be made is tried again after this time.
const RETRY_MS: u64 = 5000;
/// One that broke is made again after a random time, so that two peers do not collide for ever (`doc/peers.txt`).
const AGAIN_MS: (u64, u64) = (50, 2050);
/// Connecting and saying hello take no longer than this together.
const HANDSHAKE_MS: u64 = 5000;
/// Connections that may be saying hello at a time; more are closed at once.
const STRANGERS_MAX: usize = 64;
/// Pause after an accept that failed for want of descriptors.
const ACCEPT_PAUSE_MS: u64 = 100;
/// How often a successor that does not listen is tried, with a pause: our own listener may still be closing.
const SUCCESSOR_TRIES: usize = 5;
const SUCCESSOR_PAUSE_MS: u64 = 100;
/// Teaching a successor takes no longer than this.
const SUCCESSOR_MS: u64 = 60_000;

/// Accepts peers.
pub async fn accept(section: Rc<Section>, listening: Listening) {
    let rt = section.cx.rt.clone();
    let listener = Listener::new(&rt, listening.fd);
    loop {
        match listener.accept(Some(KeepAlive::default())).await {
            Ok(conn) if section.strangers.get() < STRANGERS_MAX => {
                let (section, bind) = (section.clone(), listening.bind.clone());
                section.strangers.set(section.strangers.get() + 1);
                rt.spawn(async move {
                    let met =
                        before(&section.cx.rt, section.cx.now().plus(HANDSHAKE_MS), greeted(&section, conn, &bind))
                            .await;
                    section.strangers.set(section.strangers.get() - 1);
                    if let Ok(Some((peer, line, rest))) = met {
                        count(&peer.told.connections);
                        session::run(section, peer, line, rest, Purpose::Share).await;
                    }
                });
            }
            Ok(_) => {}
            Err(_) => sleep(&rt, ACCEPT_PAUSE_MS).await,
        }
    }
}

/// Reads a hello and answers it: who it is, and what came with it.
async fn greeted(section: &Section, conn: Conn, bind: &Bind) -> Option<(Rc<Peer>, Line, Vec<u8>)> {
    let line = Line::accepted(conn, bind).await?;
    let mut input = Vec::new();
    let verdict = loop {
        match Hello::read(&input) {
            Ok(Some((hello, used))) => break known(section, &hello).map(|peer| (peer, input.split_off(used))),
            Ok(None) if line.recv(&mut input).await => {}
            Ok(None) => return None,
            Err(status) => break Err(status),
        }
    };
    if section.stopping.get() {
        return None;
    }
    let mut answer = Vec::new();
    verdict.as_ref().err().copied().unwrap_or(Status::Succeeded).write(&mut answer);
    match verdict {
        Ok((peer, rest)) => line.send(&answer).await.then_some((peer, line, rest)),
        Err(_) => {
            line.send_last(&answer);
            None
        }
    }
}

/// The peer that a hello comes from.
fn known(section: &Section, hello: &Hello) -> Result<Rc<Peer>, Status> {
    if section.local().is_none_or(|local| local.name != hello.to) {
        return Err(Status::LocalMismatch);
    }
    section.peers.iter().find(|p| p.name == hello.from).cloned().ok_or(Status::RemoteMismatch)
}

/// Keeps a connection to a peer, unless it has one to us.
pub async fn connect(section: Rc<Section>, peer: Rc<Peer>) {
    let cx = section.cx.clone();
    loop {
        if peer.session.borrow().is_some() {
            session_is(&peer, false).await;
            pause(&section, &peer, AGAIN_MS.0 + cx.random(AGAIN_MS.1 - AGAIN_MS.0)).await;
            continue;
        }
        let shaken = attempt(&section, &peer).await;
        let ours = section.local().map_or("", |p| &p.name);
        match shaken {
            // It has come to us meanwhile, and both sides must drop the same connection of the two.
            Some(_) if peer.session.borrow().is_some() && *peer.name < *ours => continue,
            Some((line, rest)) => {
                session::run(section.clone(), peer.clone(), line, rest, Purpose::Share).await;
                pause(&section, &peer, AGAIN_MS.0 + cx.random(AGAIN_MS.1 - AGAIN_MS.0)).await;
            }
            None => pause(&section, &peer, RETRY_MS).await,
        }
    }
}

/// Waits before the next attempt, unless the peer connects to us.
async fn pause(section: &Section, peer: &Peer, ms: u64) {
    let again = section.cx.now().plus(ms);
    peer.told.reconnect.set(Some(again));
    let _ = before(&section.cx.rt, again, session_is(peer, true)).await;
}

/// Waits until there is a session with the peer, or none.
async fn session_is(peer: &Peer, there: bool) {
    poll_fn(|_| if peer.session.borrow().is_some() == there { Poll::Ready(()) } else { Poll::Pending }).await
}

async fn attempt(section: &Section, peer: &Peer) -> Option<(Line, Vec<u8>)> {
    let cx = &section.cx;
    count(&peer.told.connections);
    peer.told.last_status.set(Some(LastStatus::Connecting));
    cx.gauge(ProcessCounter::ActivePeers, 1);
    let shaken = before(&cx.rt, cx.now().plus(HANDSHAKE_MS), shake_hands(section, peer)).await;
    cx.gauge(ProcessCounter::ActivePeers, -1);
    shaken.ok().flatten()
}

/// Connects and says hello.
async fn shake_hands(section: &Section, peer: &Peer) -> Option<(Line, Vec<u8>)> {
    let address = peer.address.as_ref()?;
    let line = Line::open(&section.cx.rt, address, &peer.server, &section.cx.clients).await?;
    peer.told.last_status.set(Some(LastStatus::Handshake));
    let from = section.local().map(|p| p.name.clone()).unwrap_or_default();
    let hello = Hello { to: peer.name.clone(), from, pid: section.cx.pid };
    let mut bytes = Vec::new();
    hello.write(&mut bytes);
    if !line.send(&bytes).await {
        return None;
    }
    let mut input = Vec::new();
    loop {
        match Status::read(&input).ok()? {
            Some((Status::Succeeded, used)) => return Some((line, input.split_off(used))),
            Some((refused, _)) => {
                peer.told.last_status.set(Some(LastStatus::Refused(refused)));
                return None;
            }
            None if line.recv(&mut input).await => {}
            None => return None,
        }
    }
}

/// Tells all to the process that listens at our own address now, if one does ("Resync from local old process").
pub async fn teach_successor(section: &Rc<Section>) {
    let Some(peer) = section.local().cloned() else { return };
    let rt = section.cx.rt.clone();
    for _ in 0..SUCCESSOR_TRIES {
        if let Some((line, rest)) = attempt(section, &peer).await {
            let told = session::run(section.clone(), peer.clone(), line, rest, Purpose::TeachAndLeave);
            let _ = before(&rt, section.cx.now().plus(SUCCESSOR_MS), told).await;
            return;
        }
        sleep(&rt, SUCCESSOR_PAUSE_MS).await;
    }
}
