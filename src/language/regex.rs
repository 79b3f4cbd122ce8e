//! Regular expressions as HAProxy's users write them (PCRE2, with JIT), and replacement strings with `\0` to `\9`.
//! Bounded: pcre2's own limits on backtracking end a hostile match as "no match".

use pcre2::bytes::{CaptureLocations, Regex as Pcre, RegexBuilder};
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

/// A compiled expression.
pub struct Regex {
    pcre: Pcre,
    /// Names this expression in the threads' caches of capture positions.
    id: u64,
}

impl std::fmt::Debug for Regex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Regex").field(&self.pcre.as_str()).finish()
    }
}

thread_local! {
    /// Capture positions by expression, so that a match allocates nothing after a thread's first one.
    static LOCATIONS: RefCell<Vec<(u64, CaptureLocations)>> = const { RefCell::new(Vec::new()) };
}
/// Expressions whose positions a thread keeps; past this they are made anew.
const CACHED_MAX: usize = 256;

impl Regex {
    /// Compiles. The error is HAProxy's text.
    pub fn new(pattern: &str, ignore_case: bool) -> Result<Regex, String> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let pcre = RegexBuilder::new()
            .caseless(ignore_case)
            .jit_if_available(true)
            .max_jit_stack_size(Some(256 * 1024))
            .build(pattern)
            .map_err(|e| {
                let at = e.offset().unwrap_or(0);
                let text = e.to_string();
                let text = text.rsplit(": ").next().unwrap_or_default();
                format!("regex '{pattern}' is invalid (error={text}, erroffset={at})")
            })?;
        Ok(Regex { pcre, id: NEXT.fetch_add(1, Ordering::Relaxed) })
    }

    pub fn as_str(&self) -> &str {
        self.pcre.as_str()
    }

    pub fn is_match(&self, subject: &[u8]) -> bool {
        self.pcre.is_match(subject).unwrap_or(false)
    }

    /// Runs `then` with the positions of the groups of the first match at or after `from`.
    pub fn captures_at<T>(
        &self,
        subject: &[u8],
        from: usize,
        then: impl FnOnce(&CaptureLocations) -> T,
    ) -> Option<T> {
        let mut locations = LOCATIONS
            .with_borrow_mut(|cache| {
                let at = cache.iter().position(|(id, _)| *id == self.id)?;
                Some(cache.swap_remove(at).1)
            })
            .unwrap_or_else(|| self.pcre.capture_locations());
        let found = matches!(self.pcre.captures_read_at(&mut locations, subject, from), Ok(Some(_)));
        let result = found.then(|| then(&locations));
        LOCATIONS.with_borrow_mut(|cache| {
            if cache.len() < CACHED_MAX {
                cache.push((self.id, locations));
            }
        });
        result
    }

    /// Appends what the first match makes of the replacement, without what stands around the match: `replace-header` and
    /// its kin put that in place of the whole. False when nothing matched. What would make it more than `most` bytes is left
    /// out.
    pub fn rewrite(&self, subject: &[u8], with: &Replacement, most: usize, out: &mut Vec<u8>) -> bool {
        let most = out.len().saturating_add(most);
        let matched = self.captures_at(subject, 0, |groups| with.expand(subject, groups, out)).is_some();
        out.truncate(most);
        matched
    }

    /// Appends `subject` with its first match, or every match, replaced; false when nothing matched (and nothing was
    /// appended). What would make it more than `most` bytes is left out.
    pub fn replace(&self, subject: &[u8], with: &Replacement, all: bool, most: usize, out: &mut Vec<u8>) -> bool {
        let most = out.len().saturating_add(most);
        let mut at = 0;
        let mut copied = 0;
        let mut any = false;
        while at <= subject.len() {
            let span = self.captures_at(subject, at, |groups| {
                let (from, to) = groups.get(0).unwrap_or((at, at));
                out.extend_from_slice(&subject[copied..from]);
                with.expand(subject, groups, out);
                (from, to)
            });
            let Some((from, to)) = span else { break };
            any = true;
            if out.len() >= most {
                out.truncate(most);
                return true;
            }
            copied = to;
            // An empty match moves on by a byte, which is kept.
            at = if to > from { to } else { to + 1 };
            if !all {
                break;
            }
        }
        if any {
            out.extend_from_slice(&subject[copied.min(subject.len())..]);
            out.truncate(most);
        }
        any
    }
}

/// A replacement string: literal parts and group numbers.
#[derive(Debug, Clone, Default)]
pub struct Replacement {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(Vec<u8>),
    Group(usize),
}

impl Replacement {
    /// Reads `\0` to `\9`, `\xHH` and `\` before any other character (manual 4.2, "http-request replace-header").
    pub fn parse(text: &[u8]) -> Result<Replacement, String> {
        let mut parts = Vec::new();
        let mut literal = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let b = text[at];
            at += 1;
            if b != b'\\' {
                literal.push(b);
                continue;
            }
            match text.get(at) {
                Some(d) if d.is_ascii_digit() => {
                    if !literal.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut literal)));
                    }
                    parts.push(Part::Group((d - b'0') as usize));
                    at += 1;
                }
                Some(b'x') => {
                    let digits = text.get(at + 1..at + 3).and_then(|d| std::str::from_utf8(d).ok());
                    match digits.and_then(|d| u8::from_str_radix(d, 16).ok()) {
                        Some(byte) => literal.push(byte),
                        None => return Err("invalid \\x sequence in the replacement".into()),
                    }
                    at += 3;
                }
                Some(other) => {
                    literal.push(*other);
                    at += 1;
                }
                None => literal.push(b'\\'),
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Replacement { parts })
    }

    /// Appends the replacement with groups filled from `subject`.
    pub fn expand(&self, subject: &[u8], groups: &CaptureLocations, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(t) => out.extend_from_slice(t),
                Part::Group(n) => {
                    if let Some((from, to)) = groups.get(*n) {
                        out.extend_from_slice(&subject[from..to]);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(regex: &str, with: &str, subject: &str, all: bool) -> Option<String> {
        let mut out = Vec::new();
        let done = Regex::new(regex, false).unwrap().replace(
            subject.as_bytes(),
            &Replacement::parse(with.as_bytes()).unwrap(),
            all,
            100,
            &mut out,
        );
        done.then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn groups_and_literals_are_put_in() {
        assert_eq!(replaced("(a)(b)", r"\2\1\\\x41", "xaby", false).unwrap(), r"xba\Ay");
        assert_eq!(replaced("a", "b", "aaa", false).unwrap(), "baa");
        assert_eq!(replaced("a", "b", "aaa", true).unwrap(), "bbb");
        assert_eq!(replaced("a", &"b".repeat(30), "aaaaaaaa", true).unwrap(), "b".repeat(100));
        assert_eq!(replaced("x*", "-", "ab", true).unwrap(), "-a-b-");
        assert_eq!(replaced("z", "b", "aaa", true), None);
    }

    #[test]
    fn a_bad_expression_has_haproxys_text() {
        let text = Regex::new("(", false).unwrap_err();
        assert_eq!(text, "regex '(' is invalid (error=missing closing parenthesis, erroffset=1)");
    }
}
