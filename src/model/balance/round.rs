//! Turns according to weights, as HAProxy takes them: observed of HAProxy 3.4 over some 2,000 scripts of weights that
//! change and servers that leave and come back, whose every choice these rules give.
//!
//! Turns are counted in a round, which has as many as the sum of all weights (in sixteenths). Who had no turn yet in this
//! round is a beginner. A server of weight `w` is due again `total / w` turns after it was due last, whole turns and the
//! rest apart. The earliest due goes next; while nobody is due, the heaviest beginner; and who would be due after the
//! round's end is a beginner of the next one, which starts when nobody is left in this.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
};

/// What one turn weighs beside the rest of one: the greatest weight.
const TURN: i64 = 256 * 16;

#[derive(Debug, Default, Clone)]
pub struct Round {
    /// By index.
    servers: Vec<Server>,
    due: BinaryHeap<Reverse<Due>>,
    beginners: BinaryHeap<Beginner>,
    /// Of the next round.
    later: Vec<Beginner>,
    /// Turns taken in this round.
    now: u64,
    /// The sum of the weights.
    total: u64,
    /// What it was when the round began.
    length: u64,
    arrivals: u64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Server {
    /// In sixteenths; 0: takes no turns.
    weight: u64,
    /// How much later than the turn it is due at, in parts of a turn of which `weight` make a whole. Stays when the
    /// weight changes, even if it is more than a turn then.
    rest: u64,
}

/// In the order of turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    /// [`TURN`] for each turn, and the rest less the weight: of those of one turn goes first who has the most left of it.
    at: i64,
    arrival: u64,
    turn: u64,
    server: u32,
}

/// The greatest begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Beginner {
    weight: u64,
    arrival: Reverse<u64>,
    server: u32,
}

impl Round {
    /// All begin together, in this order.
    pub fn new(servers: impl Iterator<Item = (u32, u32)>) -> Round {
        let mut round = Round::default();
        for (server, weight) in servers.filter(|(_, weight)| *weight > 0) {
            round.at(server).weight = weight.into();
            round.total += u64::from(weight);
            let beginner = round.beginner(server);
            round.beginners.push(beginner);
        }
        round.length = round.total;
        round
    }

    /// Servers have indices below this one here.
    pub fn known(&self) -> usize {
        self.servers.len()
    }

    /// The weight of a server; 0: it takes no turns.
    pub fn weight(&self, server: u32) -> u32 {
        self.servers.get(server as usize).map_or(0, |s| s.weight as u32)
    }

    /// The server comes, goes (0) or has another weight. Who comes has its first turn where what is left of the round is
    /// dealt out by weight.
    pub fn change(&mut self, server: u32, weight: u32) {
        let before = u64::from(self.weight(server));
        let weight = u64::from(weight);
        if weight == before {
            return;
        }
        if before > 0 {
            if weight > 0 && self.beginners.iter().any(|b| b.server == server) {
                self.at(server).rest = 0;
            }
            self.due.retain(|Reverse(due)| due.server != server);
            self.beginners.retain(|b| b.server != server);
            self.later.retain(|b| b.server != server);
        }
        self.total = self.total - before + weight;
        self.at(server).weight = weight;
        if let Some(wait) = self.total.saturating_sub(self.now).checked_div(weight) {
            self.place(server, self.now + wait);
        }
    }

    /// Takes a turn.
    pub fn take(&mut self) -> Option<u32> {
        if self.due.is_empty() && self.beginners.is_empty() {
            self.beginners.extend(self.later.drain(..));
            (self.now, self.length) = (0, self.total);
        }
        let first = self.due.peek_mut();
        let is_due = first.as_ref().is_some_and(|first| first.0.turn <= self.now);
        let beginner = if is_due { None } else { self.beginners.pop() };
        let (server, turn) = match (beginner, first) {
            (Some(beginner), _) => {
                self.servers[beginner.server as usize].rest = 0;
                (beginner.server, self.now)
            }
            (None, Some(first)) => {
                let Reverse(first) = PeekMut::pop(first);
                (first.server, first.turn)
            }
            (None, None) => return None,
        };
        let total = self.total;
        let s = self.at(server);
        let (whole, rest) = (total / s.weight, s.rest + total % s.weight);
        let carried = rest >= s.weight;
        s.rest = if carried { rest - s.weight } else { rest };
        self.place(server, turn + whole + u64::from(carried));
        self.now += 1;
        Some(server)
    }

    fn place(&mut self, server: u32, turn: u64) {
        if turn >= self.total.min(self.length) {
            let beginner = self.beginner(server);
            self.later.push(beginner);
            return;
        }
        let s = *self.at(server);
        let arrival = self.arrival();
        let at = turn as i64 * TURN + s.rest as i64 - s.weight as i64;
        self.due.push(Reverse(Due { at, arrival, turn, server }));
    }

    fn beginner(&mut self, server: u32) -> Beginner {
        let arrival = Reverse(self.arrival());
        Beginner { weight: self.at(server).weight, arrival, server }
    }

    fn arrival(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    fn at(&mut self, server: u32) -> &mut Server {
        let index = server as usize;
        if index >= self.servers.len() {
            self.servers.resize(index + 1, Server::default());
        }
        &mut self.servers[index]
    }
}
