//! Which certificates are for a name (manual 5.1 "crt-list", snifilter): exact names first, then wildcards for one label,
//! less the names a line excludes, then the defaults.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// Number of a line of the bind's list.
pub type LineIndex = u32;

/// An index from names to lines.
#[derive(Debug, Clone, Default)]
pub struct Names {
    exact: HashMap<Box<str>, Vec<LineIndex>, RandomState>,
    /// Under what follows the `*`, with its dot.
    wildcard: HashMap<Box<str>, Vec<LineIndex>, RandomState>,
    /// `!name` filters.
    excluded: HashMap<Box<str>, Vec<LineIndex>, RandomState>,
    defaults: Vec<LineIndex>,
}

/// Longer names are no DNS names.
const NAME_MAX: usize = 255;

impl Names {
    /// Adds a filter, or a name of a certificate: `name`, `*.name`, `!name` or `*`.
    pub fn add(&mut self, filter: &str, line: LineIndex) {
        let filter = filter.to_ascii_lowercase();
        let list = if filter == "*" {
            &mut self.defaults
        } else if let Some(name) = filter.strip_prefix('!') {
            // A negated wildcard is ignored, as the manual says.
            if name.starts_with('*') {
                return;
            }
            self.excluded.entry(name.into()).or_default()
        } else if let Some(rest) = filter.strip_prefix('*') {
            self.wildcard.entry(rest.into()).or_default()
        } else {
            self.exact.entry(filter.into()).or_default()
        };
        if !list.contains(&line) {
            list.push(line);
        }
    }

    /// Makes a line a default.
    pub fn add_default(&mut self, line: LineIndex) {
        self.add("*", line);
    }

    pub fn defaults(&self) -> &[LineIndex] {
        &self.defaults
    }

    /// Lines for this name in the order they were written; not the defaults. `visit` says whether to go on.
    pub fn find(&self, name: &[u8], mut visit: impl FnMut(LineIndex) -> bool) {
        let mut lower = [0; NAME_MAX];
        let Some(lower) = lower.get_mut(..name.len()) else { return };
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        let Ok(name) = std::str::from_utf8(lower) else { return };
        let name = name.strip_suffix('.').unwrap_or(name);
        if let Some(lines) = self.exact.get(name) {
            lines.iter().all(|l| visit(*l));
            return;
        }
        let Some(dot) = name.find('.') else { return };
        let excluded = self.excluded.get(name);
        for line in self.wildcard.get(&name[dot..]).into_iter().flatten() {
            if excluded.is_none_or(|lines| !lines.contains(line)) && !visit(*line) {
                return;
            }
        }
    }

    /// All exact and wildcard names with their lines; for `show ssl sni`.
    pub fn all(&self) -> impl Iterator<Item = (String, &[LineIndex])> {
        let exact = self.exact.iter().map(|(name, lines)| (name.to_string(), lines.as_slice()));
        exact.chain(self.wildcard.iter().map(|(rest, lines)| (format!("*{rest}"), lines.as_slice())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &Names, name: &str) -> Vec<LineIndex> {
        let mut lines = Vec::new();
        names.find(name.as_bytes(), |l| {
            lines.push(l);
            true
        });
        lines
    }

    #[test]
    fn exact_before_wildcard_less_the_excluded() {
        let mut names = Names::default();
        for (filter, line) in [
            ("*.a.example", 0),
            ("!no.a.example", 0),
            ("www.a.example", 1),
            ("www.a.example", 2),
            ("*.a.example", 3),
            ("*", 4),
        ] {
            names.add(filter, line);
        }
        assert_eq!(found(&names, "WWW.a.Example."), [1, 2]);
        assert_eq!(found(&names, "x.a.example"), [0, 3]);
        assert_eq!(found(&names, "no.a.example"), [3]);
        assert!(found(&names, "y.x.a.example").is_empty());
        assert!(found(&names, "a.example").is_empty());
        assert!(found(&names, &"a".repeat(300)).is_empty());
        assert_eq!(names.defaults(), [4]);
    }
}
