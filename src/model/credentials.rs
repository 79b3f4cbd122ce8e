//! What TLS needs beyond settings and certificates: ticket keys and sessions of the process. Shared by all workers, as are
//! the contexts that `config` builds for listeners and servers; never shown by `Debug`.

use crate::proto::tls::{session_cache::SessionCache, tickets::TicketKeys};
use std::{fmt, ops::Deref, sync::Arc};

/// A shared value that stays out of debug output.
pub struct Shared<T>(pub Arc<T>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Shared(self.0.clone())
    }
}

impl<T: Default> Default for Shared<T> {
    fn default() -> Self {
        Shared(Arc::default())
    }
}

impl<T> Deref for Shared<T> {
    type Target = Arc<T>;

    fn deref(&self) -> &Arc<T> {
        &self.0
    }
}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<T>())
    }
}

/// The process's own, made when any line uses TLS.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Keys for lines without `tls-ticket-keys`.
    pub tickets: Shared<TicketKeys>,
    pub sessions: Shared<SessionCache>,
}
