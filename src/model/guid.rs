//! `guid`: identifiers that are unique over proxies, servers and listeners (manual 4.2, 5.1 "guid-prefix", 5.2).

use super::plan::Plan;
use std::collections::BTreeMap;

/// Bytes of an identifier at most.
const LENGTH_MAX: usize = 127;

/// Identifiers that are taken, each with its owner as messages name it: `server b/s`.
#[derive(Debug, Default)]
pub struct Guids {
    owners: BTreeMap<String, String>,
}

impl Guids {
    /// What proxies and listeners of a plan have.
    pub fn of_plan(plan: &Plan) -> Guids {
        let mut guids = Guids::default();
        for proxy in &plan.proxies {
            if let Some(guid) = &proxy.guid {
                guids.owners.insert(guid.clone(), format!("{} {}", proxy.kind(), proxy.name));
            }
            for bind in &proxy.frontend.binds {
                for guid in bind.guids() {
                    guids.owners.insert(guid, format!("listener {} ({})", proxy.name, bind.origin));
                }
            }
        }
        guids
    }

    /// Gives `guid` to `owner`.
    ///
    /// # Errors
    /// HAProxy's text, where it is too long, has a character that is not allowed or is taken.
    pub fn take(&mut self, guid: &str, owner: impl Into<String>) -> Result<(), String> {
        if guid.len() > LENGTH_MAX {
            return Err("invalid length".to_owned());
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '_');
        if let Some(c) = guid.chars().find(|c| !allowed(*c)) {
            return Err(format!("invalid character '{c}'"));
        }
        if let Some(other) = self.owners.get(guid) {
            return Err(format!("duplicate entry with {other}"));
        }
        self.owners.insert(guid.to_owned(), owner.into());
        Ok(())
    }

    /// Its owner is given another.
    pub fn release(&mut self, guid: &str) {
        self.owners.remove(guid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_has_one_owner_and_a_form() {
        let mut guids = Guids::default();
        let mut take = |guid: &str| guids.take(guid, "server b/s").err().unwrap_or_default();
        assert_eq!([take("a.1:-_"), take(&"a".repeat(127))], ["", ""]);
        assert_eq!(take(&"a".repeat(128)), "invalid length");
        assert_eq!([take("a b"), take("a/ß")], ["invalid character ' '", "invalid character '/'"]);
        assert_eq!(take("a.1:-_"), "duplicate entry with server b/s");
        guids.release("a.1:-_");
        assert_eq!(guids.take("a.1:-_", "frontend f"), Ok(()));
    }
}
