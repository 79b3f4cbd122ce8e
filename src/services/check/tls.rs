//! TLS of checks (manual 5.2 "check-ssl", "check-alpn"; 4.2 "http-check connect"): the contexts of the servers' check
//! settings, kept so that sessions are resumed.

use crate::dataplane::tls::Clients;
use crate::model::server::Server;
use crate::proto::tls::client::ClientContext;
use std::sync::Arc;

#[derive(Default)]
pub struct Tls(Clients);

impl Tls {
    /// The context for checks of `server`; `alpn` is offered in place of the line's protocols. `None` where the configuration made no
    /// settings, or the library refuses them.
    pub fn context(&self, server: &Server, alpn: Option<&str>) -> Option<Arc<ClientContext>> {
        let settings = server.tls_check.as_ref()?;
        self.0.context(settings, alpn)
    }
}
