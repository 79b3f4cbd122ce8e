//! A proxy while it is being read: the model's type and what only the loader needs to know about how it was written.

use crate::{
    base::origin::Origin,
    model::{
        proxy::Proxy,
        server::{CheckSettings, Server},
    },
};

#[derive(Debug, Clone)]
pub struct Draft {
    pub proxy: Proxy,
    /// The section's word (`defaults`, `frontend`, `backend`, `listen`).
    pub section: &'static str,
    /// `default-server` so far; servers below start from it.
    pub default_server: ServerDraft,
    pub servers: Vec<ServerDraft>,
    /// The `option httplog` (or other) line that chose the log format, and its words.
    pub log_option: Option<(Origin, String)>,
    /// `log global` was written: the global targets are put in place when all lines are read.
    pub log_global: bool,
    /// `mode` was written here or in the defaults.
    pub errorfiles_sections: Vec<(Origin, String, Vec<u16>)>,
    /// `use-server` lines: the name, and where.
    pub use_servers: Vec<(Origin, String)>,
    /// `option http-use-*` rule families that need HTTP mode, in the order in which HAProxy warns about them.
    pub http_rules: Vec<&'static str>,
    /// A `compression`, `cookie` and others were inherited, not written: no warning about their mode.
    pub timeouts_written: bool,
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
            errorfiles_sections: Vec::new(),
            use_servers: Vec::new(),
            http_rules: Vec::new(),
            timeouts_written: false,
        }
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
    /// `weight` and others may come after what depends on them.
    pub use_ssl_check: bool,
    /// Expanded by `server-template`.
    pub template: bool,
    pub id_written: bool,
    pub disabled_by_address: bool,
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
            use_ssl_check: false,
            template: false,
            id_written: false,
            disabled_by_address: false,
        }
    }
}
