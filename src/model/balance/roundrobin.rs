//! `roundrobin`: each in turn, according to weights. The position is the process's, so that one client's connections go
//! round although they land on different workers, and so is the order: a [`Round`] lays the turns out some way ahead, and
//! workers take theirs by ticket. Whoever meets the end of what is laid out makes more. A change of a server takes back what
//! nobody has drawn and lays it out anew.

use super::{View, position::Position, present_weight, round::Round, takes, tickets::Tickets};
use crate::{
    base::clock::Now,
    model::{
        plan::ServerIndex,
        state::{live::BackendLive, server::ServerLive},
    },
};
use arc_swap::ArcSwap;
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Turns laid out at once: few after a change, more while nothing changes.
const STRETCH_MIN: usize = 32;
const STRETCH_MAX: usize = 1024;

/// Where the process stands in the round; lives in the backend's live state.
#[derive(Debug)]
pub struct Order {
    allbackups: bool,
    current: ArcSwap<Stretch>,
    /// Taken to lay out turns: once in so many, and when a server has changed.
    making: Mutex<Making>,
}

/// Turns of the tickets from `base` on.
#[derive(Debug, Default)]
struct Stretch {
    base: u64,
    servers: Vec<u32>,
}

impl Stretch {
    fn end(&self) -> u64 {
        self.base + self.servers.len() as u64
    }
}

#[derive(Debug, Default)]
struct Making {
    /// Before the first turn of the current stretch, and behind its last.
    start: Turns,
    end: Turns,
    /// Their tickets.
    base: u64,
    behind: u64,
    length: usize,
}

/// The rounds of active and of backup servers, and which of them are served.
#[derive(Debug, Default, Clone)]
struct Turns {
    active: Round,
    backups: Round,
    served: Served,
}

#[derive(Debug, Default, Clone, Copy)]
enum Served {
    #[default]
    Active,
    Backups,
    /// The first backup server, without `option allbackups`.
    Backup(u32),
}

impl Turns {
    fn take(&mut self) -> Option<u32> {
        match self.served {
            Served::Active => self.active.take(),
            Served::Backups => self.backups.take(),
            Served::Backup(server) => Some(server),
        }
    }

    fn round(&mut self, server: &ServerLive) -> &mut Round {
        if server.settings.backup { &mut self.backups } else { &mut self.active }
    }
}

fn served(live: &BackendLive, allbackups: bool) -> Served {
    let usable = |backup: bool| live.servers().filter(move |(_, s)| s.settings.backup == backup && s.is_usable());
    match usable(true).next() {
        _ if usable(false).next().is_some() => Served::Active,
        Some(_) if allbackups => Served::Backups,
        Some((index, _)) => Served::Backup(index as u32),
        None => Served::Active,
    }
}

impl Order {
    pub fn new(allbackups: bool) -> Order {
        Order { allbackups, current: ArcSwap::default(), making: Mutex::default() }
    }

    /// The servers are as the process starts with them.
    pub fn begin(&self, live: &BackendLive, ticket: u64) {
        let round = |backup: bool| {
            let servers = live.servers().filter(|(_, s)| s.settings.backup == backup);
            Round::new(servers.map(|(index, s)| (index as u32, present_weight(s))))
        };
        let turns = Turns { active: round(false), backups: round(true), served: served(live, self.allbackups) };
        self.restart(&mut self.making(), turns, ticket);
    }

    /// A server may have changed.
    pub fn follow(&self, live: &BackendLive, tickets: &AtomicU64) {
        let mut making = self.making();
        // Nobody lays out more from here on.
        let ticket = tickets.load(Relaxed);
        let mut turns = None;
        for index in 0..live.len() {
            let Some(server) = live.server(index) else { continue };
            let (index, weight) = (index as u32, present_weight(server));
            if making.end.round(server).weight(index) != weight {
                turns.get_or_insert_with(|| making.at(ticket)).round(server).change(index, weight);
            }
        }
        let Some(mut turns) = turns else { return };
        turns.served = served(live, self.allbackups);
        self.restart(&mut making, turns, ticket);
    }

    /// The stretch in which a ticket lies, or one behind it.
    fn stretch(&self, ticket: u64) -> Option<Arc<Stretch>> {
        let current = self.current.load_full();
        if ticket < current.end() {
            return Some(current);
        }
        let mut making = self.making();
        let mut current = self.current.load_full();
        while ticket >= current.end() {
            let more = making.lay_out();
            if more.servers.is_empty() {
                return None;
            }
            current = Arc::new(more);
        }
        self.current.store(current.clone());
        Some(current)
    }

    fn making(&self) -> MutexGuard<'_, Making> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on from this ticket so; whoever draws it lays out the first turns.
    fn restart(&self, making: &mut Making, turns: Turns, ticket: u64) {
        let length = (turns.active.known() / 8).clamp(STRETCH_MIN, STRETCH_MAX);
        *making = Making { start: turns.clone(), end: turns, base: ticket, behind: ticket, length };
        self.current.store(Arc::new(Stretch { base: ticket, servers: Vec::new() }));
    }
}

impl Making {
    /// How things stood when this ticket was the next to be drawn.
    fn at(&self, ticket: u64) -> Turns {
        let mut turns = self.start.clone();
        let taken = (self.base..ticket).map_while(|_| turns.take());
        taken.for_each(drop);
        turns
    }

    /// The turns behind those laid out; none where nobody takes any.
    fn lay_out(&mut self) -> Stretch {
        self.start.clone_from(&self.end);
        self.base = self.behind;
        let servers: Vec<u32> = (0..self.length).map_while(|_| self.end.take()).collect();
        self.behind += servers.len() as u64;
        self.length = (self.length * 2).min(STRETCH_MAX);
        Stretch { base: self.base, servers }
    }
}

/// One worker's share.
#[derive(Debug, Default)]
pub struct Roundrobin {
    stretch: Option<Arc<Stretch>>,
    tickets: Tickets,
}

/// Turns that one choice may pass over beside one for each server.
const PASSED_OVER_MAX: usize = 64;

impl Roundrobin {
    /// A server has changed.
    pub fn refresh(&mut self) {
        self.stretch = None;
    }

    pub fn pick(
        &mut self,
        view: &View,
        excluding: Option<ServerIndex>,
        live: &BackendLive,
        now: Now,
    ) -> Option<ServerIndex> {
        self.tickets.note_turn(now);
        // Turns of those who cannot are used up for those after them, so that the next choice goes on behind this one's.
        for _ in 0..view.candidates.len() + PASSED_OVER_MAX {
            let server = self.turn(&live.position)?;
            if takes(view, live, server, excluding) {
                return Some(server);
            }
        }
        // Only servers of little weight are left: any of them, then the excluded one.
        view.any(self.tickets.last() as usize, excluding, live)
    }

    fn turn(&mut self, position: &Position) -> Option<ServerIndex> {
        loop {
            let ticket = self.tickets.draw(&position.ticket);
            if self.stretch.as_ref().is_none_or(|s| ticket >= s.end()) {
                self.stretch = position.order.as_ref()?.stretch(ticket);
            }
            let stretch = self.stretch.as_ref()?;
            // A ticket drawn before a change is void.
            if let Some(at) = ticket.checked_sub(stretch.base) {
                return stretch.servers.get(at as usize).map(|server| *server as ServerIndex);
            }
        }
    }
}
