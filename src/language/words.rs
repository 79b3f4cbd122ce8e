//! The words that HAProxy 3.4 knows, whether we have them or not: what is known and missing gets an error of its
//! own, and what is unknown gets a suggestion.

use std::collections::HashSet;
use std::sync::OnceLock;

/// Kinds of words of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Fetch,
    Converter,
    AclAlias,
    Action,
}

/// One word a line: kind, name, and for fetches and converters HAProxy's arguments, types and places, between tabs.
const KNOWN: &str = include_str!("known_words.tsv");

fn known() -> &'static HashSet<(Kind, &'static str)> {
    static SET: OnceLock<HashSet<(Kind, &'static str)>> = OnceLock::new();
    SET.get_or_init(|| {
        KNOWN
            .lines()
            .filter_map(|line| {
                let mut columns = line.split('\t');
                let (kind, word) = (columns.next()?, columns.next()?);
                let kind = match kind {
                    "fetch" => Kind::Fetch,
                    "converter" => Kind::Converter,
                    "acl-alias" => Kind::AclAlias,
                    _ => Kind::Action,
                };
                Some((kind, word))
            })
            .collect()
    })
}

/// Whether HAProxy 3.4 knows this word.
pub fn is_known(kind: Kind, word: &str) -> bool {
    known().contains(&(kind, word))
}

/// All known words of a kind, in the file's order.
pub fn all(kind: &'static str) -> impl Iterator<Item = &'static str> {
    KNOWN.lines().filter_map(move |line| {
        let mut columns = line.split('\t');
        if columns.next()? == kind { columns.next() } else { None }
    })
}

/// The error for a word that HAProxy has and we don't.
pub fn unsupported(word: &str) -> String {
    format!("'{word}' exists in HAProxy 3.4 and is not supported by ringway yet")
}

/// The known word nearest to a mistyped one, if any is near enough.
pub fn nearest<'w>(word: &str, candidates: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let limit = word.len().div_ceil(3).max(1);
    candidates
        .map(|c| (distance(word.as_bytes(), c.as_bytes()), c))
        .min_by_key(|(d, _)| *d)
        .filter(|(d, _)| *d <= limit)
        .map(|(_, c)| c)
}

/// Edits between two words, a swap of neighbours being one.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut rows = [vec![0; b.len() + 1], (0..=b.len()).collect::<Vec<_>>(), vec![0; b.len() + 1]];
    for i in 1..=a.len() {
        rows[2][0] = i;
        for j in 1..=b.len() {
            let mut best = rows[1][j - 1] + (a[i - 1] != b[j - 1]) as usize;
            best = best.min(rows[1][j] + 1).min(rows[2][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[0][j - 2] + 1);
            }
            rows[2][j] = best;
        }
        rows.rotate_left(1);
    }
    rows[1][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swapped_letter_finds_its_word() {
        assert_eq!(nearest("set-heder", ["set-map", "set-header", "deny"].into_iter()), Some("set-header"));
        assert_eq!(nearest("foo", ["set-map", "deny"].into_iter()), None);
    }

    #[test]
    fn words_of_haproxy_are_known() {
        assert!(is_known(Kind::Fetch, "req.hdr") && is_known(Kind::Converter, "lower"));
        assert!(!is_known(Kind::Fetch, "foo"));
    }
}
