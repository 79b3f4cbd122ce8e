//! How a client is brought back to its server: `cookie`, `dynamic-cookie-key`, `persist` (manual 4.2, 5.1 "cookie").
//! Stick tables are `model::stick_table`.

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
