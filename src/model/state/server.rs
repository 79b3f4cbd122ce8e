//! The live state of one server, read by all workers: atomics for what balancing and connecting need, a lock around
//! what only checks, the runtime API and statistics touch. Changes go through `live::Live`, which tells what follows.

use super::health::{CheckReport, CheckStatus, Health};
use super::waiting::Waiting;
use crate::model::server::InitState;
use crate::{
    base::{
        address::Address,
        clock::Millis,
        sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*},
    },
    model::server::Server,
};
use arc_swap::ArcSwapOption;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Weights are shown in units of 1, kept in sixteenths so that a slow start has steps.
pub const WEIGHT_SCALE: u32 = 16;

/// `srv_op_state` (management guide, "show servers state").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Operation {
    Stopped = 0,
    Starting = 1,
    Running = 2,
    Stopping = 3,
}

/// `srv_admin_state`: a mask of these.
pub mod admin {
    /// Forced into maintenance by the runtime API, or by `disabled`.
    pub const FORCED_MAINT: u32 = 0x01;
    /// In maintenance since a server it tracks is.
    pub const INHERITED_MAINT: u32 = 0x02;
    /// `disabled` in the configuration; stays as a memory after the server was enabled.
    pub const CONFIG_MAINT: u32 = 0x04;
    pub const FORCED_DRAIN: u32 = 0x08;
    pub const INHERITED_DRAIN: u32 = 0x10;
    /// No address: its name does not resolve.
    pub const RESOLUTION_MAINT: u32 = 0x20;
    /// Its name was given by an SRV record or the runtime API.
    pub const NAME_CHANGED: u32 = 0x40;
    pub const MAINT: u32 = FORCED_MAINT | INHERITED_MAINT | RESOLUTION_MAINT;
    pub const DRAIN: u32 = FORCED_DRAIN | INHERITED_DRAIN;
}

/// One server as it is now.
#[derive(Debug)]
pub struct ServerLive {
    /// The `server` line it came from, or `add server`'s.
    pub settings: Arc<Server>,
    /// Added at run time.
    pub dynamic: bool,
    operation: AtomicU32,
    admin: AtomicU32,
    user_weight: AtomicU32,
    effective_weight: AtomicU32,
    maxconn: AtomicU32,
    served: AtomicU32,
    /// Streams that wait for this server alone.
    pub waiting: Waiting,
    /// When it last took or gave back a slot: the order of equally loaded servers in `leastconn`.
    stamp: AtomicU64,
    deleted: AtomicBool,
    address: ArcSwapOption<Address>,
    moves: AtomicU32,
    /// The port is the server's own, whatever relation to the client's port the line says.
    own_port: AtomicBool,
    pub(super) detail: Mutex<Detail>,
}

/// What the data plane does not read.
#[derive(Debug, Clone)]
pub struct Detail {
    pub health: Health,
    /// `set server … health` has said what it is.
    pub health_forced: bool,
    pub checked: bool,
    pub check_enabled: bool,
    /// A check runs just now.
    pub check_running: bool,
    pub check: CheckReport,
    pub agent: Option<Agent>,
    /// Changed by `set server … check-addr|check-port`.
    pub check_address: Option<std::net::IpAddr>,
    pub check_port: Option<u16>,
    pub last_change: Millis,
    /// Milliseconds spent down before `last_change`.
    pub down_ms: u64,
    pub failed_checks: u64,
    pub down_transitions: u64,
    /// Consecutive errors seen by `observe`.
    pub consecutive_errors: u32,
    pub slowstart_since: Option<Millis>,
    /// The name its address comes from; `None`: it has none, or an SRV record has yet to give it.
    pub name: Option<Arc<str>>,
    /// The port it has, or will have when its address is known.
    pub port: u16,
}

/// `agent-check`'s side of the state.
#[derive(Debug, Clone)]
pub struct Agent {
    pub enabled: bool,
    pub health: Health,
    pub report: CheckReport,
    /// Of the line, or of `set server … agent-addr|agent-port|agent-send`. No address: the server's.
    pub address: Option<std::net::IpAddr>,
    pub port: u16,
    pub send: Option<Arc<str>>,
}

impl Agent {
    /// What it said last keeps the server down.
    pub fn is_down(&self) -> bool {
        self.enabled && !self.health.is_up()
    }
}

impl ServerLive {
    pub fn new(settings: Arc<Server>, dynamic: bool) -> ServerLive {
        let s = &*settings;
        let disabled = s.disabled;
        let admin = if disabled { admin::FORCED_MAINT | admin::CONFIG_MAINT } else { 0 };
        let lost = s.address.is_none() && s.host_name().is_some();
        let admin = if lost { admin | admin::RESOLUTION_MAINT } else { admin };
        let admin = if dynamic { admin::FORCED_MAINT } else { admin };
        let stopped = admin & admin::MAINT != 0 || s.init_state.is_down();
        let operation = if stopped { Operation::Stopped } else { Operation::Running };
        let (rise, fall) = s.check.as_ref().map_or((2, 3), |c| (c.rise, c.fall));
        let checked = s.check.is_some();
        let health = Health::starting(rise, fall);
        let health = if s.init_state == InitState::None { health } else { health.initial(s.init_state) };
        let detail = Detail {
            health: if dynamic { health.just_up() } else { health },
            health_forced: false,
            checked,
            check_enabled: checked && !dynamic,
            check_running: false,
            check: CheckReport { status: CheckStatus::Initialized, ..CheckReport::default() },
            agent: s.agent.as_ref().map(|a| Agent {
                address: a.address,
                port: a.port,
                send: a.send.as_deref().map(Arc::from),
                enabled: !dynamic,
                health: Health::starting(1, 1).just_up(),
                report: CheckReport { status: CheckStatus::Initialized, ..CheckReport::default() },
            }),
            check_address: s.check.as_ref().and_then(|c| c.address),
            check_port: s.check.as_ref().and_then(|c| c.port),
            last_change: Millis(0),
            down_ms: 0,
            failed_checks: 0,
            // Without an address it goes down as it begins.
            down_transitions: (checked && lost && !disabled && !dynamic) as u64,
            consecutive_errors: 0,
            slowstart_since: None,
            name: s.host_name().filter(|_| s.srv_label().is_none()).map(Arc::from),
            port: s.port,
        };
        ServerLive {
            dynamic,
            operation: AtomicU32::new(operation as u32),
            admin: AtomicU32::new(admin),
            user_weight: AtomicU32::new(s.weight),
            effective_weight: AtomicU32::new(s.weight * WEIGHT_SCALE),
            maxconn: AtomicU32::new(s.maxconn),
            served: AtomicU32::new(0),
            waiting: Waiting::default(),
            stamp: AtomicU64::new(0),
            deleted: AtomicBool::new(false),
            address: ArcSwapOption::from(s.address.clone().map(Arc::new)),
            moves: AtomicU32::new(0),
            own_port: AtomicBool::new(s.port_map.is_none()),
            detail: Mutex::new(detail),
            settings,
        }
    }

    pub fn operation(&self) -> Operation {
        match self.operation.load(Acquire) {
            0 => Operation::Stopped,
            1 => Operation::Starting,
            3 => Operation::Stopping,
            _ => Operation::Running,
        }
    }

    pub(super) fn set_operation(&self, operation: Operation) {
        self.operation.store(operation as u32, Release);
    }

    /// The mask of [`admin`] bits.
    pub fn admin(&self) -> u32 {
        self.admin.load(Acquire)
    }

    pub(super) fn set_admin(&self, mask: u32) {
        self.admin.store(mask, Release);
    }

    pub fn in_maintenance(&self) -> bool {
        self.admin() & admin::MAINT != 0
    }

    /// Drained by an administrator. A weight of 0 has the same effect on balancing and is shown by the weight alone.
    pub fn in_drain(&self) -> bool {
        self.admin() & admin::MAINT == 0 && self.admin() & admin::DRAIN != 0
    }

    /// May be chosen by balancing.
    pub fn is_usable(&self) -> bool {
        !self.is_deleted()
            && self.admin() & (admin::MAINT | admin::DRAIN) == 0
            && matches!(self.operation(), Operation::Running | Operation::Starting)
            && self.effective_weight() > 0
    }

    /// May serve a session that belongs to it (cookie, stick entry): drained and stopping servers still do.
    pub fn takes_persistent(&self) -> bool {
        !self.is_deleted() && !self.in_maintenance() && self.operation() != Operation::Stopped
    }

    /// Weight as the administrator or agent set it.
    pub fn user_weight(&self) -> u32 {
        self.user_weight.load(Relaxed)
    }

    pub(super) fn set_user_weight(&self, weight: u32) {
        self.user_weight.store(weight, Relaxed);
    }

    /// Weight with slow start, in sixteenths.
    pub fn effective_weight(&self) -> u32 {
        self.effective_weight.load(Relaxed)
    }

    pub(super) fn set_effective_weight(&self, weight: u32) {
        self.effective_weight.store(weight, Relaxed);
    }

    /// Weight as `show stat` shows it.
    pub fn shown_weight(&self) -> u32 {
        self.effective_weight().div_ceil(WEIGHT_SCALE)
    }

    /// 0: unlimited.
    pub fn maxconn(&self) -> u32 {
        self.maxconn.load(Relaxed)
    }

    /// From now on at most this many streams at once; those above it finish.
    pub fn set_maxconn(&self, maxconn: u32) {
        self.maxconn.store(maxconn, Relaxed);
    }

    /// `None` while a name is unresolved.
    pub fn address(&self) -> Option<Arc<Address>> {
        self.address.load_full()
    }

    pub(super) fn set_address(&self, address: Option<Address>) {
        if let Some(Address::Ip(a)) = &address {
            self.lock().port = a.port();
        }
        self.address.store(address.map(Arc::new));
        self.moves.fetch_add(1, Release);
    }

    /// How often its address was changed.
    #[inline]
    pub fn moves(&self) -> u32 {
        self.moves.load(Acquire)
    }

    /// Relation of its port to the port the client connected to.
    pub fn port_map(&self) -> Option<i32> {
        if self.own_port.load(Relaxed) { None } else { self.settings.port_map }
    }

    pub(super) fn set_own_port(&self) {
        self.own_port.store(true, Relaxed);
    }

    /// Gone by `del server`; its index is not given again.
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Acquire)
    }

    pub(super) fn mark_deleted(&self) {
        self.deleted.store(true, Release);
    }

    // ---- slots: how many streams it serves over all workers, counted only where `maxconn` or `leastconn` needs it ----

    /// Takes a slot if fewer than `limit` are taken (0: no limit). Exact over all workers. `stamp` is the moment, for
    /// [`ServerLive::stamp`].
    pub fn take_slot(&self, limit: u32, stamp: u64) -> bool {
        let taken = self
            .served
            .fetch_update(AcqRel, Acquire, |served| (limit == 0 || served < limit).then_some(served + 1))
            .is_ok();
        if taken {
            self.stamp.store(stamp, Relaxed);
        }
        taken
    }

    /// Gives a slot back; returns how many are still taken.
    pub fn release_slot(&self, stamp: u64) -> u32 {
        let before = self.served.fetch_update(AcqRel, Acquire, |served| Some(served.saturating_sub(1)));
        self.stamp.store(stamp, Relaxed);
        before.unwrap_or(0).saturating_sub(1)
    }

    #[inline]
    pub fn served(&self) -> u32 {
        self.served.load(Relaxed)
    }

    #[inline]
    pub fn stamp(&self) -> u64 {
        self.stamp.load(Relaxed)
    }

    pub fn set_stamp(&self, stamp: u64) {
        self.stamp.store(stamp, Relaxed);
    }

    /// The limit that holds at `backend_sessions` streams in the backend (manual 5.2 "minconn").
    pub fn limit(&self, backend_sessions: u64, fullconn: u32) -> u32 {
        let (max, min) = (self.maxconn(), self.settings.minconn);
        if max == 0 || min == 0 || min >= max || fullconn == 0 || backend_sessions >= fullconn as u64 {
            return max;
        }
        min.max((max as u64 * backend_sessions / fullconn as u64) as u32)
    }

    /// As many wait as may (`maxqueue`).
    pub fn queue_is_full(&self) -> bool {
        self.settings.maxqueue > 0 && self.waiting.count() >= self.settings.maxqueue
    }

    /// All slots taken: balancing looks further.
    #[inline]
    pub fn is_full(&self) -> bool {
        let maxconn = self.maxconn();
        maxconn != 0 && self.served() >= maxconn
    }

    /// The same, at the limit that holds for the backend's load.
    #[inline]
    pub fn is_full_at(&self, backend_sessions: u64, fullconn: u32) -> bool {
        let limit = self.limit(backend_sessions, fullconn);
        limit != 0 && self.served() >= limit
    }

    /// A copy of what checks and statistics know.
    pub fn detail(&self) -> Detail {
        self.lock().clone()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Detail> {
        // A panic elsewhere must not take statistics down: the values are plain and always whole.
        self.detail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, loom))]
mod tests {
    use super::*;
    use crate::base::{counter::Counter, origin::Origin, sync::tell_then_look};

    /// As `dataplane/queue` does: who finds no slot counts himself as waiting and looks again; who gives a slot back looks
    /// whether somebody waits.
    #[test]
    fn under_loom_a_freed_slot_is_found_or_its_taker_is_told() {
        loom::model(|| {
            let server = ServerLive::new(Arc::new(Server::new(Origin::none())), false);
            assert!(server.take_slot(1, 0));
            let shared = loom::sync::Arc::new((server, Counter::default()));
            let waiter = {
                let shared = shared.clone();
                loom::thread::spawn(move || {
                    let (server, waiting) = &*shared;
                    waiting.add(1);
                    tell_then_look();
                    server.take_slot(1, 0)
                })
            };
            let (server, waiting) = &*shared;
            server.release_slot(0);
            tell_then_look();
            let told = waiting.get() > 0;
            assert!(waiter.join().unwrap() || told, "it waits for nobody");
        });
    }
}
