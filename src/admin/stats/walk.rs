//! The objects that statistics are about, one after the other as HAProxy lists them: for each proxy its frontend, listeners
//! (with `option socket-stats`), servers, backend; and the selections of `show stat` (management guide 9.3). A walk borrows
//! nothing and knows its place, so that it goes on where it was however many servers have come and gone meanwhile: an index
//! is given once.

use super::{Scene, fields::Object};
use crate::model::{
    plan::{ProxyIndex, ServerIndex},
    proxy::Proxy,
    state::server::{Operation, ServerLive},
};

/// Kinds of objects in [`Selection::kinds`].
pub const FRONTENDS: u32 = 1;
pub const BACKENDS: u32 = 2;
pub const SERVERS: u32 = 4;
pub const LISTENERS: u32 = 8;

/// `show stat <iid> <type> <sid>` and its words `up` and `no-maint`; the page's scopes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// `None`: all proxies.
    pub proxy: Option<ProxyIndex>,
    /// Proxies that are disabled too.
    pub disabled: bool,
    /// [`FRONTENDS`] and its like; 0 means all.
    pub kinds: u32,
    /// Server or listener id.
    pub sid: Option<u32>,
    /// Only what is up.
    pub up: bool,
    /// No servers in maintenance.
    pub no_maint: bool,
    /// `stats scope`: names of proxies; empty: all.
    pub scope: Vec<String>,
    /// Part of the names of proxies.
    pub part: String,
}

impl Selection {
    fn has_kind(&self, kind: u32) -> bool {
        self.kinds == 0 || self.kinds & kind != 0
    }

    fn has_proxy(&self, index: ProxyIndex, proxy: &Proxy) -> bool {
        self.proxy.is_none_or(|only| only == index)
            && (self.disabled || !proxy.disabled)
            && (self.scope.is_empty() || self.scope.contains(&proxy.name))
            && proxy.name.contains(&self.part)
    }

    fn has_server(&self, server: &ServerLive) -> bool {
        self.sid.is_none_or(|sid| sid == server.settings.id)
            && !(self.no_maint && server.in_maintenance())
            && (!self.up || server.operation() != Operation::Stopped)
    }

    /// Whether it has servers of this proxy.
    pub fn has_servers_of(&self, scene: &Scene<'_>, proxy: ProxyIndex) -> bool {
        self.has_kind(SERVERS) && scene.board.live.backend(proxy).servers().any(|(_, s)| self.has_server(s))
    }
}

/// A way through the selected objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    selection: Selection,
    proxy: ProxyIndex,
    next: Next,
}

/// What a walk looks at next in its proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Frontend,
    Listener(usize),
    Server(ServerIndex),
    Backend,
}

/// What there was at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Object(Object),
    /// Nothing that is selected.
    Nothing,
    /// The walk is over.
    End,
}

impl Walk {
    pub fn new(selection: Selection) -> Walk {
        Walk { selection, proxy: 0, next: Next::Frontend }
    }

    /// A walk that is over.
    pub fn over() -> Walk {
        Walk { proxy: ProxyIndex::MAX, ..Walk::new(Selection::default()) }
    }

    /// Looks at the next place: no more than one, for there may be thousands that are not selected.
    pub fn step(&mut self, scene: &Scene<'_>) -> Step {
        let Some(proxy) = scene.plan.proxies.get(self.proxy) else { return Step::End };
        let (index, selection) = (self.proxy, &self.selection);
        let live = scene.board.live.backend(index);
        // HAProxy's frontends and backends have the id 0.
        let proxy_itself = selection.sid.unwrap_or(0) == 0;
        let object = match self.next {
            Next::Frontend if !selection.has_proxy(index, proxy) => {
                self.next_proxy();
                None
            }
            Next::Frontend => {
                self.next = Next::Listener(0);
                let shown = proxy.has_frontend && selection.has_kind(FRONTENDS) && proxy_itself;
                shown.then_some(Object::Frontend(index))
            }
            Next::Listener(bind) if bind < proxy.frontend.binds.len() && shows_listeners(proxy, selection) => {
                self.next = Next::Listener(bind + 1);
                let shown = selection.sid.is_none_or(|sid| sid == bind as u32 + 1);
                shown.then_some(Object::Listener(index, bind))
            }
            Next::Listener(_) => {
                self.next = Next::Server(0);
                None
            }
            Next::Server(server) if proxy.has_backend && selection.has_kind(SERVERS) && server < live.len() => {
                self.next = Next::Server(server + 1);
                let found = live.server(server).filter(|s| !s.is_deleted() && selection.has_server(s));
                found.map(|_| Object::Server(index, server))
            }
            Next::Server(_) => {
                self.next = Next::Backend;
                None
            }
            Next::Backend => {
                let up = || !selection.up || live.is_empty() || live.usable() != (0, 0);
                let shown = proxy.has_backend && selection.has_kind(BACKENDS) && proxy_itself && up();
                self.next_proxy();
                shown.then_some(Object::Backend(index))
            }
        };
        object.map_or(Step::Nothing, Step::Object)
    }

    fn next_proxy(&mut self) {
        (self.proxy, self.next) = (self.proxy + 1, Next::Frontend);
    }
}

fn shows_listeners(proxy: &Proxy, selection: &Selection) -> bool {
    proxy.has_frontend && proxy.options.socket_stats && selection.has_kind(LISTENERS)
}
