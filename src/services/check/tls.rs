//! TLS of checks (manual 5.2 "check-ssl", "check-alpn"; 4.2 "http-check connect"): the contexts of the servers' check
//! settings, kept so that sessions are resumed, and of rules that name protocols of their own.

use crate::dataplane::tls::Clients;
use crate::model::server::Server;
use crate::proto::tls::client::{ClientContext, ClientSettings};
use std::cell::RefCell;
use std::sync::Arc;

#[derive(Default)]
pub struct Tls {
    clients: Clients,
    /// Settings with the protocols of a rule in place of the line's.
    changed: RefCell<Vec<Changed>>,
}

struct Changed {
    from: Arc<ClientSettings>,
    alpn: String,
    settings: Arc<ClientSettings>,
}

impl Tls {
    /// The context for checks of `server`; `alpn` is a rule's list of protocols. `None` where the configuration made no
    /// settings, or the library refuses them.
    pub fn context(&self, server: &Server, alpn: Option<&str>) -> Option<Arc<ClientContext>> {
        let settings = server.tls_check.as_ref()?;
        match alpn {
            None => self.clients.context(settings),
            Some(alpn) => self.clients.context(&self.with_alpn(settings, alpn)),
        }
    }

    fn with_alpn(&self, from: &Arc<ClientSettings>, alpn: &str) -> Arc<ClientSettings> {
        let mut changed = self.changed.borrow_mut();
        if let Some(known) = changed.iter().find(|c| Arc::ptr_eq(&c.from, from) && c.alpn == alpn) {
            return known.settings.clone();
        }
        // HTTP/2 is not spoken by checks: offering it would end in a protocol that nobody follows.
        let protocols = alpn.split(',').map(str::trim).filter(|p| !p.is_empty() && *p != "h2");
        let settings = Arc::new(ClientSettings {
            policy: from.policy.clone(),
            alpn: protocols.map(|p| p.as_bytes().to_vec()).collect(),
            verifier: from.verifier.clone(),
            certificate: from.certificate.clone(),
            reuse: from.reuse,
            tickets: from.tickets,
        });
        changed.push(Changed { from: from.clone(), alpn: alpn.to_owned(), settings: settings.clone() });
        settings
    }
}
