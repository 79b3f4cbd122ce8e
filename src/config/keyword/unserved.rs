//! What is read into the model but not served by the data plane yet: kind, name, and what it waits for. The load refuses
//! these by name, so that nothing is accepted and ignored in silence. An entry goes when its feature lands.

/// Kind (`section`, `global`, `proxy`, `option`, `bind`, `server`, `balance`), name, and why.
pub static UNSERVED: &[(&str, &str, &str)] = &[];

/// Why a keyword is refused, if it is.
pub fn reason(kind: &str, name: &str) -> Option<&'static str> {
    UNSERVED.iter().find(|(k, n, _)| *k == kind && *n == name).map(|(.., why)| *why)
}
