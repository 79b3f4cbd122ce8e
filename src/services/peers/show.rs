//! `show peers [dict|-] [<section>]` (management guide 9.3), in HAProxy 3.4's layout. Numbers that stand for addresses
//! there are stable and distinct here; fields of HAProxy's inside (flags, calls of tasks) are 0 where we have none.

use super::session::Session;
use super::table::Shared;
use super::{LastStatus, Peer, PeersHandle, Section};
use crate::base::address::Address;
use crate::base::clock::Millis;
use crate::language::logformat::write_log_date;
use crate::proto::peers::dictionary::WORDS;
use std::fmt::Write;
use std::rc::Rc;

/// `-`: no such section.
pub struct NoSuchSection;

impl PeersHandle {
    /// Appends the listing of all sections, or of one.
    ///
    /// # Errors
    /// The section that is asked for does not exist.
    pub fn show(&self, name: &str, dict: bool, utc_offset: i32, out: &mut String) -> Result<(), NoSuchSection> {
        let mut shown = 0;
        for section in self.sections.iter().filter(|s| name.is_empty() || s.name == name) {
            shown += 1;
            write_section(section, dict, utc_offset, out);
        }
        if shown == 0 && !name.is_empty() { Err(NoSuchSection) } else { Ok(()) }
    }
}

/// Seconds, or the words that HAProxy has for moments that are not ahead.
fn time(to: Option<Millis>, now: Millis) -> String {
    match to {
        None | Some(Millis::NEVER) => "<NEVER>".into(),
        Some(at) if at <= now => "<PAST>".into(),
        Some(at) => format!("{}s", at.since(now).div_ceil(1000)),
    }
}

fn address(address: Option<&Address>) -> String {
    address.map_or("<NONE>".into(), Address::to_string)
}

fn number<T>(thing: &T) -> usize {
    std::ptr::from_ref(thing).addr()
}

fn write_section(section: &Rc<Section>, dict: bool, utc_offset: i32, out: &mut String) {
    let (cx, resync) = (&section.cx, &section.resync);
    let mut date = Vec::new();
    write_log_date(cx.rt.now().wall_us, utc_offset, &mut date);
    let date = String::from_utf8_lossy(&date);
    let date = date.split('.').next().unwrap_or_default();
    // 3: neither the old process nor a remote peer is to be learned from any more.
    let flags = if resync.is_done() { 3 } else { 0 };
    let until = if resync.is_done() { "<PAST>".into() } else { time(resync.until(), cx.now()) };
    let (id, name) = (number(&**section), &section.name);
    // Writing to a String cannot fail; so below.
    let _ =
        writeln!(out, "{id:#x}: [{date}] id={name} disabled=0 flags={flags:#x} resync_timeout={until} task_calls=0");
    for peer in section.peers.iter().rev() {
        write_peer(section, peer, dict, out);
    }
}

fn write_peer(section: &Rc<Section>, peer: &Peer, dict: bool, out: &mut String) {
    let now = section.cx.now();
    let session = peer.session.borrow().clone();
    let told = &peer.told;
    let status = match told.last_status.get() {
        None => "NONE".into(),
        Some(LastStatus::Connecting) => "CONN".into(),
        Some(LastStatus::Handshake) => "HSHK".into(),
        Some(LastStatus::Refused(status)) => (status as u16).to_string(),
        Some(LastStatus::Established) => "ESTA".to_owned(),
    };
    let learning = session.as_ref().is_some_and(|s| section.resync.is_teacher(s));
    let shaken = told.handshake.get().map_or("<NEVER>".into(), |at| format!("{}s", now.since(at) / 1000));
    let _ = writeln!(
        out,
        "  {:#x}: id={}({},{}) addr={} app_state={} learn_state={} last_status={status} last_hdshk={shaken}",
        number(peer),
        peer.name,
        if peer.local { "local" } else { "remote" },
        if session.is_some() { "active" } else { "inactive" },
        address(peer.address.as_ref()),
        if session.is_some() { "RUNNING" } else { "STOPPED" },
        if learning { "ASSIGNED" } else { "NOTASSIGNED" },
    );
    let reconnect = told.reconnect.get().filter(|_| session.is_none());
    let heartbeat = session.as_ref().map(|s| s.heartbeat_at.get());
    let confirm = session.as_ref().is_some_and(|s| s.orders.unconfirmed.get());
    let _ = writeln!(
        out,
        "        reconnect={} heartbeat={} confirm={} tx_hbt={} rx_hbt={} no_hbt={} new_conn={} proto_err={} coll={}",
        time(reconnect, now),
        time(heartbeat, now),
        confirm as u8,
        told.heartbeats_sent.get(),
        told.heartbeats_received.get(),
        told.heartbeats_missed.get(),
        told.connections.get(),
        told.faults.get(),
        told.collisions.get(),
    );
    match &session {
        None => out.push_str("        flags=0x0\n"),
        Some(session) => write_session(section, session, out),
    }
    out.push_str("        shared tables:\n");
    for table in section.tables.iter().rev() {
        write_table(section, session.as_deref(), table, out);
        match dict {
            true => write_dictionaries(session.as_deref(), out),
            false => out.push_str("        Dictionary cache not dumped (use \"show peers dict\")\n"),
        }
    }
}

fn write_session(section: &Section, session: &Rc<Session>, out: &mut String) {
    let id = number(&**session);
    let _ = writeln!(out, "        flags=0x0 appctx:{id:#x} st0=7 st1=0 task_calls=0 state=EST");
    let (from, to) = (session.line.conn.local().ok(), session.line.conn.peer().ok());
    let xprt = if session.line.is_tls() { "SSL" } else { "RAW" };
    let _ = writeln!(out, "        xprt={xprt} src={} addr={}", address(to.as_ref()), address(from.as_ref()));
    for (word, table) in [("remote_table", &session.remote_table), ("last_local_table", &session.local_table)] {
        let Some(table) = table.get().and_then(|t| section.tables.get(t)) else { continue };
        let remote = session.tables.borrow()[table.wire_id() as usize - 1].remote_id;
        let (id, local) = (number(table), table.wire_id());
        let _ = writeln!(out, "        {word}:{id:#x} id={} local_id={local} remote_id={remote}", table.name);
    }
}

fn write_table(section: &Section, session: Option<&Session>, table: &Shared, out: &mut String) {
    let (id, local) = (number(table), table.wire_id());
    let tables = session.map(|s| s.tables.borrow());
    let state = tables.as_ref().and_then(|t| t.get(local as usize - 1));
    let (remote, data) = state.map_or((0, 0), |s| (s.remote_id, s.remote_data));
    let _ = writeln!(out, "          {id:#x} local_id={local} remote_id={remote} flags=0x0 remote_data={data:#x}");
    let (acked, pushed, got) = state.map_or((0, 0, 0), |s| (s.acked_number, s.number, s.got));
    let _ = writeln!(
        out,
        "              last_acked={acked} last_pushed={pushed} last_get={got} teaching_origin=0 update={pushed}"
    );
    // What any connection has been told of the table's own changes.
    let sum = |homes: &[(u64, bool)]| homes.iter().map(|(change, _)| *change).sum::<u64>();
    let sessions = section.peers.iter().filter_map(|p| p.session.borrow().clone());
    let updates = sessions.map(|s| sum(&s.tables.borrow()[local as usize - 1].pushed)).max().unwrap_or(0);
    let name = &table.name;
    let _ = writeln!(out, "              table:{id:#x} id={name} update={updates} localupdate={updates} refcnt=1");
}

fn write_dictionaries(session: Option<&Session>, out: &mut String) {
    out.push_str("        TX dictionary cache:\n");
    if let Some(session) = session {
        for (number, word) in session.sent.borrow().words() {
            let _ = writeln!(out, "        {:>5} -> {}", number - 1, String::from_utf8_lossy(word));
        }
    }
    out.push_str("        RX dictionary cache:\n");
    let received = session.map(|s| s.received.borrow());
    let mut words = vec![None; WORDS];
    for (number, word) in received.iter().flat_map(|r| r.words()) {
        words[number - 1] = Some(String::from_utf8_lossy(word));
    }
    for (line, four) in words.chunks(4).enumerate() {
        out.push_str("        ");
        for (i, word) in four.iter().enumerate() {
            let _ = write!(out, "{:>5} -> {}", line * 4 + i, word.as_deref().unwrap_or("-"));
        }
        out.push('\n');
    }
}
