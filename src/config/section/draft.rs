//! A proxy while it is being read: the model's type and what only the loader needs to know about how it was written.

use crate::{
    base::origin::Origin,
    config::lexer::Line,
    language::{acl::AclSet, parse::Captures, sample::args::Reference},
    model::{
        proxy::Proxy,
        rules::Rules,
        server::{CheckSettings, Server},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

#[derive(Debug)]
pub struct Draft {
    pub proxy: Proxy,
    /// The section's word (`defaults`, `frontend`, `backend`, `listen`).
    pub section: &'static str,
    /// `default-server` so far; servers below start from it.
    pub default_server: ServerDraft,
    pub servers: Vec<ServerDraft>,
    /// The `option httplog` (or other) line that chose the log format, and its words.
    pub log_option: Option<(Origin, String)>,
    /// Where other formats were written, by keyword.
    pub format_origins: BTreeMap<&'static str, Origin>,
    /// `log global` was written: the global targets are put in place when all lines are read.
    pub log_global: bool,
    /// `errorfiles` lines: where, the section's name and the statuses (none: all).
    pub errorfiles_sections: Vec<(Origin, String, Vec<u16>)>,
    /// `use-server` lines: the name, and where.
    pub use_servers: Vec<(Origin, String)>,
    /// Rule families that need HTTP mode, in the order in which HAProxy warns about them.
    pub http_rules: Vec<&'static str>,
    /// Rules compiled so far, the ACLs they may name, and the captures they may fill.
    pub rules: Rules,
    pub acls: AclSet,
    pub captures: Captures,
    /// Names of proxies, tables and lists that expressions hold, to be resolved when all is read.
    pub references: Vec<Arc<Reference>>,
    /// A `defaults` section that a proxy named with `from`.
    pub used_by_name: bool,
    /// The last rule of a phase ends it without a condition: rules below it do nothing.
    pub final_rules: BTreeSet<&'static str>,
    /// Rule lines of a `defaults` section, for those that inherit.
    pub rule_lines: Vec<Line>,
    /// Families of rules that were written, to warn about those below one that is evaluated later.
    pub placed: BTreeSet<Placed>,
}

/// Families of rules in the order in which they are evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Placed {
    TcpRequestConnection,
    TcpRequestSession,
    TcpRequestContent,
    HttpRequest,
    Redirect,
    UseBackend,
    UseServer,
    TcpResponseContent,
    HttpResponse,
    HttpAfterResponse,
}

impl Placed {
    pub fn words(self) -> &'static str {
        match self {
            Placed::TcpRequestConnection => "tcp-request connection",
            Placed::TcpRequestSession => "tcp-request session",
            Placed::TcpRequestContent => "tcp-request content",
            Placed::HttpRequest => "http-request",
            Placed::Redirect => "redirect",
            Placed::UseBackend => "use_backend",
            Placed::UseServer => "use-server",
            Placed::TcpResponseContent => "tcp-response content",
            Placed::HttpResponse => "http-response",
            Placed::HttpAfterResponse => "http-after-response",
        }
    }

    /// The article that HAProxy writes before [`Placed::words`] of the later rule.
    pub fn article(self) -> &'static str {
        match self {
            Placed::HttpRequest | Placed::HttpResponse | Placed::HttpAfterResponse => "an",
            _ => "a",
        }
    }

    /// Whether it is evaluated after `other` although it may stand above it. Requests and responses are apart.
    pub fn follows(self, other: Placed) -> bool {
        let response = |p: Placed| p >= Placed::TcpResponseContent;
        self > other && response(self) == response(other) && self != Placed::HttpAfterResponse
    }
}

impl Draft {
    pub fn new(proxy: Proxy, section: &'static str) -> Self {
        let origin = proxy.origin.clone();
        Draft {
            proxy,
            section,
            default_server: ServerDraft::new(origin),
            servers: Vec::new(),
            log_option: None,
            log_global: false,
            format_origins: BTreeMap::new(),
            errorfiles_sections: Vec::new(),
            use_servers: Vec::new(),
            http_rules: Vec::new(),
            rules: Rules::default(),
            acls: AclSet::new(),
            captures: Captures::default(),
            references: Vec::new(),
            used_by_name: false,
            final_rules: BTreeSet::new(),
            rule_lines: Vec::new(),
            placed: BTreeSet::new(),
        }
    }

    /// A draft that starts as a copy of this one, without the rules: those are compiled again from [`Draft::rule_lines`].
    pub fn inherited(&self) -> Draft {
        let mut draft = Draft::new(self.proxy.clone(), self.section);
        draft.default_server = self.default_server.clone();
        draft.log_option = self.log_option.clone();
        draft.log_global = self.log_global;
        draft.format_origins = self.format_origins.clone();
        draft.errorfiles_sections = self.errorfiles_sections.clone();
        draft
    }

    /// `frontend 'f'`, `backend 'b'` or `proxy 'l'`.
    pub fn title(&self) -> String {
        format!("{} '{}'", self.proxy.kind(), self.proxy.name)
    }
}

/// A `server` line while its words are read. Check and agent settings accumulate whether or not they are enabled.
#[derive(Debug, Clone)]
pub struct ServerDraft {
    pub server: Server,
    pub check: CheckSettings,
    pub check_enabled: bool,
    pub agent_enabled: bool,
    pub agent: crate::model::server::AgentSettings,
    pub agent_inter_written: bool,
    /// `verify` was written: the global default does not apply.
    pub verify_written: bool,
    pub check_proto_written: bool,
    /// Expanded by `server-template`.
    pub template: bool,
    pub id_written: bool,
}

impl ServerDraft {
    pub fn new(origin: Origin) -> Self {
        ServerDraft {
            server: Server::new(origin),
            check: CheckSettings::default(),
            check_enabled: false,
            agent_enabled: false,
            agent: crate::model::server::AgentSettings::default(),
            agent_inter_written: false,
            verify_written: false,
            check_proto_written: false,
            template: false,
            id_written: false,
        }
    }
}
