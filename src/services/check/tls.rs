//! TLS of checks (manual 5.2 "check-ssl", "check-alpn"; 4.2 "http-check connect"): the contexts of the servers' check
//! settings, kept so that sessions are resumed.

use crate::dataplane::tls::Clients;
use crate::model::server::Server;
use crate::proto::tls::client::ClientContext;
use std::sync::Arc;

#[derive(Default)]
pub struct Tls(Clients);

impl Tls {
    /// The context for checks of `server`; `alpn` is a rule's list of protocols. `None` where the configuration made no
    /// settings, or the library refuses them.
    pub fn context(&self, server: &Server, alpn: Option<&str>) -> Option<Arc<ClientContext>> {
        let settings = server.tls_check.as_ref()?;
        // HTTP/2 is not spoken by checks: offering it would end in a protocol that nobody follows.
        let offered = alpn.map(|list| {
            let names = list.split(',').map(str::trim).filter(|p| !p.is_empty() && *p != "h2");
            names.collect::<Vec<_>>().join(",")
        });
        self.0.context(settings, offered.as_deref())
    }
}
