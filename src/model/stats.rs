//! The statistics page of a proxy (`stats ...`, manual 4.2) and who may see it.

use crate::base::origin::Origin;

/// Settings of `stats` lines; present once any of them was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatsPage {
    /// The first `stats` line, for messages.
    pub origin: Origin,
    pub uri: String,
    pub realm: Option<String>,
    /// `stats auth user:password` pairs in the order of the lines.
    pub auth: Vec<(String, String)>,
    /// `stats scope`: proxies that are shown; empty: all; `.` is the proxy itself.
    pub scope: Vec<String>,
    /// Seconds between reloads of the page; `None`: it does not reload itself.
    pub refresh_s: Option<u32>,
    pub show_version: bool,
    /// `stats show-node`: the name shown (the given one, or the global node's).
    pub show_node: Option<Option<String>>,
    pub show_desc: Option<Option<String>>,
    pub show_legends: bool,
    pub show_modules: bool,
    /// `stats admin if ...`: the words of each condition, `if` or `unless` first.
    pub admin: Vec<Vec<String>>,
    /// `stats http-request ...`: the words of each rule.
    pub rules: Vec<Vec<String>>,
}

impl StatsPage {
    pub fn new(origin: Origin) -> Self {
        StatsPage {
            origin,
            uri: "/haproxy?stats".to_owned(),
            realm: None,
            auth: Vec::new(),
            scope: Vec::new(),
            refresh_s: None,
            show_version: false,
            show_node: None,
            show_desc: None,
            show_legends: false,
            show_modules: false,
            admin: Vec::new(),
            rules: Vec::new(),
        }
    }
}
