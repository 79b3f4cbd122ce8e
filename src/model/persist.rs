//! How a client is brought back to its server: `cookie`, `dynamic-cookie-key`, `persist` (manual 4.2, 5.1 "cookie").
//! Stick tables are `model::stick_table`.

use super::backend::Backend;
use arc_swap::{ArcSwapOption, Guard};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// `cookie <name> ...` of a backend.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cookie {
    pub name: String,
    pub mode: CookieMode,
    pub indirect: bool,
    pub nocache: bool,
    pub postonly: bool,
    pub preserve: bool,
    pub httponly: bool,
    pub secure: bool,
    /// `domain`, in the order written.
    pub domains: Vec<String>,
    /// Seconds without use after which the cookie is ignored.
    pub maxidle_s: Option<u32>,
    /// Seconds since it was set after which the cookie is ignored.
    pub maxlife_s: Option<u32>,
    /// `dynamic`: values are computed from address, port and `dynamic-cookie-key`.
    pub dynamic: bool,
    /// `attr`: appended to Set-Cookie, in the order written.
    pub attrs: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CookieMode {
    /// Neither of the three: the server's cookie is only read.
    #[default]
    Passive,
    Rewrite,
    Insert,
    Prefix,
}

/// `load-server-state-from-file`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServerState {
    #[default]
    None,
    Global,
    Local,
}

/// `cookie … dynamic` and `dynamic-cookie-key`, as the runtime API may change them.
#[derive(Debug, Default)]
pub struct DynamicCookie {
    enabled: AtomicBool,
    key: ArcSwapOption<String>,
}

impl DynamicCookie {
    /// As the configuration has it.
    pub fn of(settings: &Backend) -> DynamicCookie {
        DynamicCookie {
            enabled: AtomicBool::new(settings.cookie.as_ref().is_some_and(|c| c.dynamic)),
            key: ArcSwapOption::from(settings.dynamic_cookie_key.clone().map(Arc::new)),
        }
    }

    /// `enable dynamic-cookie`, `disable dynamic-cookie`.
    pub fn enable(&self, enabled: bool) {
        self.enabled.store(enabled, Ordering::Relaxed);
    }

    /// `set dynamic-cookie-key`.
    pub fn set_key(&self, key: String) {
        self.key.store(Some(Arc::new(key)));
    }

    /// The key, while values are to be computed.
    pub fn key(&self) -> Option<Guard<Option<Arc<String>>>> {
        self.enabled.load(Ordering::Relaxed).then(|| self.key.load())
    }
}
