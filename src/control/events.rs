//! What changes of server state bring about, whoever made them (runtime API, checks, statistics page): the log sentence to
//! the backend's targets and to the terminal, and the messages by which workers act on it.

use super::supervise::Control;
use crate::dataplane::stream::termination::Failure;
use crate::dataplane::worker::{Acted, Mail};
use crate::model::plan::{ProxyIndex, ServerIndex};
use crate::model::state::counters::{BackendCounter, ServerCounter};
use crate::model::state::event::{EMERG, Effect, Event, Load};

impl Control {
    /// Logs what happened and lets the workers act on it.
    pub fn happened(&self, events: Vec<Event>) {
        for event in events {
            self.tell_log(&event);
            self.carry_out(&event);
        }
    }

    /// An action on the statistics page.
    pub fn acted(&self, acted: Acted) {
        self.happened(acted.events);
        for (proxy, server) in acted.shutdown {
            self.tell_all(|| Mail::ShutdownSessions(proxy, server, Failure::Killed));
        }
        for (proxy, server) in acted.checks {
            self.checks_changed(proxy, server);
        }
    }

    /// Checks of this server were switched, moved or come to life with it: whoever runs them looks at its live state at
    /// each step, so that there is nothing to tell.
    pub fn checks_changed(&self, proxy: ProxyIndex, server: ServerIndex) {
        let _ = (proxy, server);
    }

    fn tell_log(&self, event: &Event) {
        let board = &self.shared.board;
        let sessions = event.server.map_or(0, |s| board.server(event.proxy, s, ServerCounter::Scur));
        let queued = board.backend(event.proxy, BackendCounter::Qcur);
        let text = event.text(Load { sessions, requeued: 0, queued });
        let plan = &self.shared.plan;
        let settings = &plan.proxies[event.proxy];
        self.log.send(&settings.log.targets, settings.log.tag.as_deref(), event.level, &[], text.as_bytes());
        if !plan.global.quiet && !plan.global.daemon {
            let word = if event.level == EMERG { "[ALERT]   " } else { "[WARNING] " };
            eprintln!("{word} ({}) : {text}", self.shared.pid);
        }
    }

    fn carry_out(&self, event: &Event) {
        let proxy = event.proxy;
        if event.effect == Effect::None {
            return;
        }
        if let Some(server) = event.server {
            self.end_sessions(proxy, server, event.effect);
        }
        self.tell_all(|| Mail::ServersChanged(proxy));
    }

    /// `on-marked-down shutdown-sessions`, `on-marked-up shutdown-backup-sessions`.
    fn end_sessions(&self, proxy: ProxyIndex, server: ServerIndex, effect: Effect) {
        let live = self.shared.board.live.backend(proxy);
        let Some(s) = live.server(server) else { return };
        match effect {
            Effect::Down if s.settings.on_marked_down_shutdown => {
                self.tell_all(|| Mail::ShutdownSessions(proxy, server, Failure::ServerDown));
            }
            Effect::Up if s.settings.on_marked_up_shutdown_backup && !s.settings.backup && s.is_usable() => {
                for (backup, _) in live.servers().filter(|(_, b)| b.settings.backup) {
                    self.tell_all(|| Mail::ShutdownSessions(proxy, backup, Failure::ServerUp));
                }
            }
            _ => {}
        }
    }
}
