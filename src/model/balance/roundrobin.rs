//! `roundrobin`: each in turn, according to weights. The position is the process's, so that one client's connections go
//! round although they land on different workers. To keep the shared line quiet under load, a worker draws tickets in
//! batches: one while it is quiet, up to sixteen when it chooses several times within one turn of its loop. A
//! sequential client never makes a worker choose twice in a turn, so it sees the exact order; under concurrency order
//! means little and evenness is kept, since every ticket is used or given up with at most fifteen others.

use super::{View, smooth, takes};
use crate::{
    base::clock::Now,
    model::{plan::ServerIndex, state::live::BackendLive},
};
use arc_swap::ArcSwapOption;
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

const BATCH_MAX: u64 = 16;

/// Where the process stands in the round; lives in the backend's live state.
#[derive(Debug, Default)]
pub struct Position {
    /// Tickets given out.
    ticket: AtomicU64,
    schedule: ArcSwapOption<Schedule>,
    /// Taken only to make a new schedule, when a server came, went or changed.
    making: Mutex<()>,
}

/// The order as of one version of the backend.
#[derive(Debug)]
struct Schedule {
    version: u64,
    /// The ticket that means the first turn.
    base: u64,
    /// What comes once, before the first round.
    lead: Vec<u32>,
    order: Vec<u32>,
}

impl Position {
    /// The schedule for this view: made by the first worker that sees the change, going on where the last one stood.
    fn schedule(&self, view: &View) -> Arc<Schedule> {
        if let Some(schedule) = self.schedule.load_full()
            && schedule.version >= view.version
        {
            return schedule;
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.schedule.load_full();
        if let Some(schedule) = &old
            && schedule.version >= view.version
        {
            return schedule.clone();
        }
        let weights: Vec<u32> = view.candidates.iter().map(|c| c.weight).collect();
        let turns = smooth::turns(&weights);
        let servers = |turns: Vec<u32>| -> Vec<u32> {
            turns.into_iter().map(|turn| view.candidates[turn as usize].index as u32).collect()
        };
        let (lead, order) = (servers(turns.lead), servers(turns.round));
        let ticket = self.ticket.load(Relaxed);
        let base = match old {
            Some(old) if old.order == order => old.base,
            Some(old) => ticket.wrapping_sub(lead.len() as u64 + old.following(ticket, &order)),
            None => 0,
        };
        let schedule = Arc::new(Schedule { version: view.version, base, lead, order });
        self.schedule.store(Some(schedule.clone()));
        schedule
    }
}

impl Schedule {
    fn at(&self, ticket: u64) -> Option<ServerIndex> {
        let turn = ticket.wrapping_sub(self.base);
        if let Some(server) = self.lead.get(turn as usize) {
            return Some(*server as ServerIndex);
        }
        let (turn, len) = (turn - self.lead.len() as u64, self.order.len() as u64);
        (len > 0).then(|| self.order[(turn % len) as usize] as ServerIndex)
    }

    /// The turn in `order` with which to go on: the next server of this schedule that is still there.
    fn following(&self, ticket: u64, order: &[u32]) -> u64 {
        (0..self.order.len() as u64)
            .filter_map(|ahead| self.at(ticket.wrapping_add(ahead)))
            .find_map(|next| order.iter().position(|server| *server as ServerIndex == next))
            .unwrap_or(0) as u64
    }
}

/// One worker's share.
#[derive(Debug, Default)]
pub struct Roundrobin {
    schedule: Option<Arc<Schedule>>,
    next: u64,
    left: u64,
    batch: u64,
    /// The loop turn of the last choice, and how many choices it saw.
    turn: u64,
    choices: u64,
}

impl Roundrobin {
    pub fn pick(
        &mut self,
        view: &View,
        excluding: Option<ServerIndex>,
        live: &BackendLive,
        now: Now,
    ) -> Option<ServerIndex> {
        if self.schedule.as_ref().is_none_or(|s| s.version < view.version) {
            self.schedule = Some(live.position.schedule(view));
        }
        self.note_turn(now);
        // Taken out and put back: a clone would write the count that all workers share.
        let schedule = self.schedule.take()?;
        let picked = self.next_able(&schedule, excluding, live);
        self.schedule = Some(schedule);
        picked
    }

    fn next_able(
        &mut self,
        schedule: &Schedule,
        excluding: Option<ServerIndex>,
        live: &BackendLive,
    ) -> Option<ServerIndex> {
        // Turns of those who cannot are used up for those after them, so that the next choice goes on behind this one's.
        for _ in 0..schedule.order.len() {
            let server = schedule.at(self.ticket(&live.position))?;
            if takes(live, server, excluding) {
                return Some(server);
            }
        }
        // Nobody else: the excluded one, if it can.
        excluding.filter(|index| schedule.order.contains(&(*index as u32)) && takes(live, *index, None))
    }

    pub(super) fn note_turn(&mut self, now: Now) {
        if now.nanos == self.turn {
            self.choices += 1;
            return;
        }
        if self.choices <= 1 {
            // A quiet turn: give up what is left, so that the next choice follows the process's order.
            self.batch = 1;
            self.left = 0;
        }
        self.turn = now.nanos;
        self.choices = 1;
    }

    pub(super) fn ticket(&mut self, position: &Position) -> u64 {
        if self.left == 0 {
            if self.choices > 1 {
                self.batch = (self.batch * 2).clamp(1, BATCH_MAX);
            }
            let batch = self.batch.max(1);
            self.next = position.ticket.fetch_add(batch, Relaxed);
            self.left = batch;
        }
        self.left -= 1;
        self.next += 1;
        self.next - 1
    }
}
