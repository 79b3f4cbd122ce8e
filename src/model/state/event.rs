//! What a change of state has to tell: a log sentence with its level, and what the data plane must do. The sentences
//! are HAProxy's; the numbers of sessions and queue entries are the caller's, since only workers know them.

use crate::model::plan::{ProxyIndex, ServerIndex};

/// Levels of syslog that state changes use.
pub const EMERG: u8 = 0;
pub const ALERT: u8 = 1;
pub const WARNING: u8 = 4;
pub const NOTICE: u8 = 5;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub proxy: ProxyIndex,
    /// `None`: of the backend as a whole.
    pub server: Option<ServerIndex>,
    pub level: u8,
    pub effect: Effect,
    head: String,
    tail: Tail,
}

/// What follows for the data plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    None,
    /// The server takes traffic again: queued streams may move to it, `on-marked-up` applies.
    Up,
    /// No new traffic; its queue is to be redistributed; `on-marked-down` applies.
    Down,
    /// No new traffic but persistent; its queue is to be redistributed.
    Drained,
    /// A whole backend has no usable server: its queue is to be emptied.
    NoServer,
    /// The server takes more than before, or leaves all to others: queued streams may find room. Nothing is said of it.
    Room,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    None,
    Left { active: usize, backup: usize },
    Online { active: usize, backup: usize },
}

/// What the caller knows when it logs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Load {
    /// Sessions on the server.
    pub sessions: u64,
    /// Streams moved from the server's queue to the backend's.
    pub requeued: u64,
    /// Streams in the backend's queue.
    pub queued: u64,
}

impl Event {
    pub(super) fn new(
        proxy: ProxyIndex,
        server: Option<ServerIndex>,
        level: u8,
        effect: Effect,
        head: String,
    ) -> Event {
        Event { proxy, server, level, effect, head, tail: Tail::None }
    }

    pub(super) fn room(proxy: ProxyIndex, server: ServerIndex) -> Event {
        Event::new(proxy, Some(server), NOTICE, Effect::Room, String::new())
    }

    pub(super) fn left(mut self, (active, backup): (usize, usize)) -> Event {
        self.tail = Tail::Left { active, backup };
        self
    }

    pub(super) fn online(mut self, (active, backup): (usize, usize)) -> Event {
        self.tail = Tail::Online { active, backup };
        self
    }

    /// The log sentence, where something is said.
    pub fn text(&self, load: Load) -> Option<String> {
        if self.effect == Effect::Room {
            return None;
        }
        let Load { sessions, requeued, queued } = load;
        let running = |active, backup| if active == 0 && backup > 0 { " Running on backup." } else { "" };
        Some(match self.tail {
            Tail::None => self.head.clone(),
            Tail::Left { active, backup } => format!(
                "{} {active} active and {backup} backup servers left.{} {sessions} sessions active, {requeued} requeued, \
                 {queued} remaining in queue.",
                self.head,
                running(active, backup)
            ),
            Tail::Online { active, backup } => format!(
                "{} {active} active and {backup} backup servers online.{} {requeued} sessions requeued, {queued} total in \
                 queue.",
                self.head,
                running(active, backup)
            ),
        })
    }
}
