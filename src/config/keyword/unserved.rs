//! What is read into the model but not served by the data plane yet: kind, name, and what it waits for. The load refuses
//! these by name, so that nothing is accepted and ignored in silence. An entry goes when its feature lands.
//!
//! Kinds: `section`, `global`, `proxy`, `option`, `stats`, `filter`, `bind`, `server`, `source`, `balance`, and a rule phase
//! (`http-request`) for an action. A name may be a keyword with its value (`proto h2`).

pub static UNSERVED: &[(&str, &str, &str)] = &[
    ("proxy", "dispatch", "a server without a name"),
    ("proxy", "transparent", "servers at the client's destination"),
    ("proxy", "log-steps", "log lines before the end"),
    ("option", "checkcache", "blocking of cacheable cookies"),
    ("option", "transparent", "servers at the client's destination"),
    ("stats", "show-modules", "a page of what modules count"),
    ("server", "check-reuse-pool", "checks over connections of the traffic"),
    ("server", "strict-maxconn", "a limit that counts idle connections"),
];

/// Why a keyword is refused, if it is.
pub fn reason(kind: &str, name: &str) -> Option<&'static str> {
    UNSERVED.iter().find(|(k, n, _)| *k == kind && *n == name).map(|(.., why)| *why)
}

/// [`reason`] for a keyword or for the keyword with its value.
pub fn reason_of(kind: &str, name: &str, value: &str) -> Option<&'static str> {
    reason(kind, name).or_else(|| reason(kind, &format!("{name} {value}")))
}
