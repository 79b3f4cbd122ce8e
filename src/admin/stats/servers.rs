//! Lines of `show servers state`, also the content of a server-state file, and of `show servers conn` (management guide
//! 9.3).

use super::Scene;
use crate::{
    base::address::Address,
    model::{
        plan::{ProxyIndex, ServerIndex},
        state::counters::ServerCounter,
    },
};
use std::io::Write;

pub fn state_head(out: &mut Vec<u8>) {
    out.extend_from_slice(
        b"1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight \
          srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state \
          srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl \
          srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n",
    );
}

pub fn state_line(scene: &Scene<'_>, proxy: ProxyIndex, server: ServerIndex, out: &mut Vec<u8>) {
    let plan = &scene.plan.proxies[proxy];
    let Some(s) = scene.board.live.server(proxy, server) else { return };
    let d = s.detail();
    let settings = &*s.settings;
    let (address, port) = split(s.address().as_deref(), d.port);
    let (fqdn, srv) = (d.name.as_deref().unwrap_or("-"), settings.srv_label().unwrap_or("-"));
    // Bits of the check's state: 2 configured, 4 enabled, 8 paused.
    let check_state = if settings.check.is_none() {
        0
    } else if s.in_maintenance() {
        0x0A | (d.check_enabled as u32) << 2
    } else {
        0x02 | (d.check_enabled as u32) << 2
    };
    let check_state = if settings.check.is_none() && s.admin() & 4 != 0 { 8 } else { check_state };
    let agent_state = d.agent.as_ref().map_or(0, |a| 0x12 | (a.enabled as u32) << 2);
    let health = if settings.check.is_some() || d.health_forced { d.health.value } else { 0 };
    let since = scene.now.mono.since(d.last_change.max(scene.process.started.mono)) / 1000;
    let check_address = d.check_address.map_or("-".into(), |a| a.to_string());
    let agent = d.agent.as_ref();
    let agent_address = agent.and_then(|a| a.address).map_or("-".into(), |a| a.to_string());
    // Writing to a Vec cannot fail.
    let _ = writeln!(
        out,
        "{} {} {} {} {address} {} {} {} {} {since} {} {} {health} {check_state} {agent_state} {} 0 {fqdn} {port} {srv} {} \
         {} {check_address} {agent_address} {}",
        plan.id,
        plan.name,
        settings.id,
        settings.name,
        s.operation() as u32,
        s.admin(),
        s.user_weight(),
        settings.weight,
        d.check.status.number(),
        d.check.status.result(),
        plan.id_forced as u32,
        settings.ssl as u32,
        d.check_port.unwrap_or(0),
        agent.map_or(0, |a| a.port),
    );
}

pub fn conn_head(scene: &Scene<'_>, out: &mut Vec<u8>) {
    let workers = scene.board.workers();
    let _ = writeln!(
        out,
        "# bkname/svname bkid/svid addr port - purge_delay served used_cur used_max need_est idle_sess unsafe_nb safe_nb \
         idle_lim idle_cur idle_per_thr[{workers}]"
    );
}

pub fn conn_line(scene: &Scene<'_>, proxy: ProxyIndex, server: ServerIndex, out: &mut Vec<u8>) {
    use ServerCounter::*;
    let (plan, board) = (&scene.plan.proxies[proxy], scene.board);
    let Some(s) = board.live.server(proxy, server) else { return };
    let read = |id| board.server(proxy, server, id);
    let (address, port) = split(s.address().as_deref(), s.detail().port);
    let limit = s.settings.pool_max_conn.map_or("-1".into(), |n| n.to_string());
    let _ = write!(
        out,
        "{}/{} {}/{} {address} {port} - {} {} {} {} {} {} {} {} {limit} {}",
        plan.name,
        s.settings.name,
        plan.id,
        s.settings.id,
        s.settings.pool_purge_delay_ms,
        read(Scur),
        read(UsedConnCur),
        read(NeedConnEst),
        read(NeedConnEst),
        read(PrivIdleCur),
        read(IdleConnCur),
        read(SafeConnCur),
        read(SrvIcur),
    );
    for worker in 0..board.workers() {
        let _ = write!(out, " {}", board.server_of(worker, proxy, server, SrvIcur));
    }
    out.push(b'\n');
}

/// Address and port as two words.
fn split(address: Option<&Address>, port: u16) -> (String, u16) {
    match address {
        Some(Address::Ip(a)) => (a.ip().to_string(), a.port()),
        Some(other) => (other.to_string(), 0),
        None => ("-".into(), port),
    }
}
