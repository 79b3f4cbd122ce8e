//! Indexes over entries, one kind a method: hashing for `str`, `bin`, `beg`, `end`, `dir` and `dom`, a prefix trie
//! for `ip`, an automaton for `sub`, pcre2 for `reg`. Where several entries match, the one HAProxy would take is
//! found: the longest for `beg` and `ip`, else the first written.

use super::{Entries, Method};
use crate::language::regex::Regex;
use crate::language::sample::Sample;
use crate::language::scratch::Pool;
use hashbrown::HashTable;
use prefix_trie::PrefixMap;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Needles from which on the automaton pays.
const AUTOMATON_FROM: usize = 4;

#[derive(Debug)]
pub enum Index {
    /// `found` and `bool`: patterns play no part.
    Value,
    Exact(Exact),
    Prefix(Exact, Vec<usize>),
    Suffix(Exact, Vec<usize>),
    /// `dir` or `dom`: the delimiters, the lengths of patterns.
    Delimited(Exact, Vec<usize>, &'static [u8]),
    Needles(Vec<(Box<[u8]>, u32)>, bool),
    Automaton(Box<aho_corasick::AhoCorasick>),
    Ranges(Vec<(i64, i64)>, bool),
    Ip(Box<Tries>),
    Regexes(Vec<Regex>),
}

#[derive(Debug, Default)]
pub struct Tries {
    v4: PrefixMap<(u32, u8), u32>,
    v6: PrefixMap<(u128, u8), u32>,
    /// IPv4 masks with holes, which no trie holds: address, mask, entry.
    masks: Vec<(u32, u32, u32)>,
}

/// Entries by their whole (or trimmed) text.
#[derive(Debug)]
pub struct Exact {
    table: HashTable<u32>,
    hasher: foldhash::fast::FixedState,
    ignore_case: bool,
    trim: &'static [u8],
    /// Decoded patterns of `bin`; empty otherwise.
    decoded: Vec<Vec<u8>>,
}

impl Exact {
    fn build(
        entries: &Entries,
        ignore_case: bool,
        trim: &'static [u8],
        decoded: Vec<Vec<u8>>,
    ) -> (Exact, Vec<usize>) {
        let hasher = foldhash::fast::FixedState::with_seed(0x7269_6e67);
        let mut exact = Exact { table: HashTable::with_capacity(entries.len()), hasher, ignore_case, trim, decoded };
        let mut lengths = Vec::new();
        for i in 0..entries.len() {
            let key = exact.key(entries, i as u32);
            if !lengths.contains(&key.len()) {
                lengths.push(key.len());
            }
            // The first of equal entries counts.
            if exact.find(entries, key).is_none() {
                let hash = exact.hash(key);
                let (hasher, decoded) = (&exact.hasher, &exact.decoded);
                let rehash = |j: &u32| hash_of(hasher, ignore_case, key_of(entries, decoded, trim, *j));
                exact.table.insert_unique(hash, i as u32, rehash);
            }
        }
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        (exact, lengths)
    }

    fn key<'e>(&'e self, entries: &'e Entries, i: u32) -> &'e [u8] {
        key_of(entries, &self.decoded, self.trim, i)
    }

    fn hash(&self, key: &[u8]) -> u64 {
        hash_of(&self.hasher, self.ignore_case, key)
    }

    fn find(&self, entries: &Entries, text: &[u8]) -> Option<usize> {
        let same = |i: &u32| {
            let key = self.key(entries, *i);
            key.len() == text.len() && if self.ignore_case { key.eq_ignore_ascii_case(text) } else { key == text }
        };
        self.table.find(self.hash(text), same).map(|i| *i as usize)
    }
}

fn key_of<'e>(entries: &'e Entries, decoded: &'e [Vec<u8>], trim: &[u8], i: u32) -> &'e [u8] {
    if let Some(d) = decoded.get(i as usize) {
        return d;
    }
    let mut key = entries.pattern(i as usize);
    while let [first, rest @ ..] = key
        && trim.contains(first)
    {
        key = rest;
    }
    while let [rest @ .., last] = key
        && trim.contains(last)
    {
        key = rest;
    }
    key
}

fn hash_of(hasher: &foldhash::fast::FixedState, ignore_case: bool, key: &[u8]) -> u64 {
    if !ignore_case {
        return hasher.hash_one(key);
    }
    // Case is folded in blocks on the stack: no buffer is needed for any length.
    use std::hash::Hasher;
    let mut state = hasher.build_hasher();
    for chunk in key.chunks(64) {
        let mut folded = [0u8; 64];
        for (to, from) in folded.iter_mut().zip(chunk) {
            *to = from.to_ascii_lowercase();
        }
        state.write(&folded[..chunk.len()]);
    }
    state.write_usize(key.len());
    state.finish()
}

impl Index {
    /// Builds the index of a method. The error is HAProxy's text for the first bad pattern.
    pub fn build(entries: &Entries, method: Method, ignore_case: bool) -> Result<Index, String> {
        let texts = || entries.iter().map(|e| e.pattern);
        Ok(match method {
            Method::Found | Method::Bool => Index::Value,
            Method::Str => Index::Exact(Exact::build(entries, ignore_case, b"", Vec::new()).0),
            Method::Bin => {
                let decoded = texts().map(unhex).collect::<Result<Vec<_>, _>>()?;
                Index::Exact(Exact::build(entries, false, b"", decoded).0)
            }
            Method::Beg => {
                let (exact, lengths) = Exact::build(entries, ignore_case, b"", Vec::new());
                Index::Prefix(exact, lengths)
            }
            Method::End => {
                let (exact, lengths) = Exact::build(entries, ignore_case, b"", Vec::new());
                Index::Suffix(exact, lengths)
            }
            Method::Dir => Self::delimited(entries, ignore_case, b"/?"),
            Method::Dom => Self::delimited(entries, ignore_case, b"/?.:"),
            Method::Sub if entries.len() < AUTOMATON_FROM => {
                let needles = texts().enumerate().map(|(i, t)| (folded(t, ignore_case), i as u32)).collect();
                Index::Needles(needles, ignore_case)
            }
            Method::Sub => aho_corasick::AhoCorasick::builder()
                .ascii_case_insensitive(ignore_case)
                .build(texts())
                .map(|a| Index::Automaton(Box::new(a)))
                .map_err(|e| e.to_string())?,
            Method::Int | Method::Len => {
                let ranges = texts().map(parse_range).collect::<Result<Vec<_>, _>>()?;
                Index::Ranges(ranges, method == Method::Len)
            }
            Method::Ip => Index::Ip(Box::new(Self::tries(entries)?)),
            Method::Reg | Method::Regm => {
                let all = texts().map(|t| Regex::new(&String::from_utf8_lossy(t), ignore_case));
                Index::Regexes(all.collect::<Result<Vec<_>, _>>()?)
            }
        })
    }

    fn delimited(entries: &Entries, ignore_case: bool, delimiters: &'static [u8]) -> Index {
        let (exact, lengths) = Exact::build(entries, ignore_case, delimiters, Vec::new());
        Index::Delimited(exact, lengths, delimiters)
    }

    fn tries(entries: &Entries) -> Result<Tries, String> {
        let mut tries = Tries::default();
        for (i, entry) in entries.iter().enumerate() {
            let network = Network::parse(entry.pattern).ok_or_else(|| {
                format!("'{}' is not a valid IPv4 or IPv6 address", String::from_utf8_lossy(entry.pattern))
            })?;
            match network {
                Network::V4(a, len) => {
                    let key = (a, len);
                    if tries.v4.get(&key).is_none() {
                        tries.v4.insert(key, i as u32);
                    }
                }
                Network::V6(a, len) => {
                    let key = (a, len);
                    if tries.v6.get(&key).is_none() {
                        tries.v6.insert(key, i as u32);
                    }
                }
                Network::Masked(a, mask) => tries.masks.push((a, mask, i as u32)),
            }
        }
        Ok(tries)
    }

    /// The entry that a sample, cast to the method's input type, matches first.
    pub fn find(&self, entries: &Entries, sample: &Sample<'_>, pool: &Pool) -> Option<usize> {
        match self {
            Index::Value => sample.to_bool().unwrap_or(true).then_some(0),
            Index::Ranges(ranges, false) => {
                let n = sample.to_sint()?;
                ranges.iter().position(|(low, high)| *low <= n && n <= *high)
            }
            Index::Ip(tries) => tries.find(sample.to_ip()?),
            Index::Ranges(ranges, true) => {
                let n = sample.bytes()?.len() as i64;
                ranges.iter().position(|(low, high)| *low <= n && n <= *high)
            }
            _ => self.find_text(entries, sample.bytes()?, pool),
        }
    }

    fn find_text(&self, entries: &Entries, text: &[u8], pool: &Pool) -> Option<usize> {
        match self {
            Index::Exact(exact) => exact.find(entries, text),
            Index::Prefix(exact, lengths) => {
                lengths.iter().filter(|n| **n <= text.len()).find_map(|n| exact.find(entries, &text[..*n]))
            }
            Index::Suffix(exact, lengths) => lengths
                .iter()
                .filter(|n| **n <= text.len())
                .filter_map(|n| exact.find(entries, &text[text.len() - n..]))
                .min(),
            Index::Delimited(exact, lengths, delimiters) => find_delimited(entries, exact, lengths, delimiters, text),
            Index::Needles(needles, false) => {
                let hit = needles.iter().find(|(n, _)| memchr::memmem::find(text, n).is_some());
                hit.map(|(_, i)| *i as usize)
            }
            Index::Needles(needles, true) => {
                let mut lower = pool.buf();
                lower.extend_from_slice(text);
                lower.make_ascii_lowercase();
                let hit = needles.iter().find(|(n, _)| memchr::memmem::find(&lower, n).is_some());
                hit.map(|(_, i)| *i as usize)
            }
            Index::Automaton(automaton) => {
                automaton.find_overlapping_iter(text).map(|m| m.pattern().as_usize()).min()
            }
            Index::Regexes(all) => all.iter().position(|r| r.is_match(text)),
            Index::Value | Index::Ranges(..) | Index::Ip(_) => None,
        }
    }

    /// The first regular expression that matches.
    pub fn find_regex(&self, text: &[u8]) -> Option<(usize, &Regex)> {
        match self {
            Index::Regexes(all) => all.iter().enumerate().find(|(_, r)| r.is_match(text)),
            _ => None,
        }
    }
}

/// `dir` and `dom`: the pattern stands between delimiters or ends of the text.
fn find_delimited(
    entries: &Entries,
    exact: &Exact,
    lengths: &[usize],
    delimiters: &[u8],
    text: &[u8],
) -> Option<usize> {
    let mut best: Option<usize> = None;
    for start in 0..text.len() {
        if start > 0 && !delimiters.contains(&text[start - 1]) {
            continue;
        }
        for len in lengths {
            let end = start + len;
            if *len == 0 || end > text.len() || text.get(end).is_some_and(|b| !delimiters.contains(b)) {
                continue;
            }
            if let Some(i) = exact.find(entries, &text[start..end]) {
                best = Some(best.map_or(i, |b| b.min(i)));
            }
        }
    }
    best
}

impl Tries {
    /// The longest prefix; IPv4 addresses are also looked for among IPv6 ones in their mapped form, and the other
    /// way round.
    fn find(&self, ip: IpAddr) -> Option<usize> {
        match ip {
            IpAddr::V4(a) => self.find_v4(u32::from(a)).or_else(|| self.find_v6(u128::from(a.to_ipv6_mapped()))),
            IpAddr::V6(a) => {
                self.find_v6(u128::from(a)).or_else(|| a.to_ipv4_mapped().and_then(|a| self.find_v4(u32::from(a))))
            }
        }
    }

    fn find_v4(&self, a: u32) -> Option<usize> {
        let found = self.v4.get_lpm(&(a, 32)).map(|(_, i)| *i as usize);
        found.or_else(|| self.masks.iter().find(|(net, mask, _)| a & mask == *net).map(|(_, _, i)| *i as usize))
    }

    fn find_v6(&self, a: u128) -> Option<usize> {
        self.v6.get_lpm(&(a, 128)).map(|(_, i)| *i as usize)
    }
}

/// A network in text: `10.0.0.0/8`, `10.0.0.0/255.0.0.0`, `::1`, `2001:db8::/32`.
#[derive(Debug, PartialEq, Eq)]
pub enum Network {
    V4(u32, u8),
    V6(u128, u8),
    Masked(u32, u32),
}

impl Network {
    pub fn parse(text: &[u8]) -> Option<Network> {
        let text = std::str::from_utf8(text).ok()?;
        let (address, mask) = match text.split_once('/') {
            Some((a, m)) => (a, Some(m)),
            None => (text, None),
        };
        if address.contains(':') {
            let a = u128::from(address.parse::<Ipv6Addr>().ok()?);
            let len = mask.map_or(Some(128), |m| m.parse::<u8>().ok().filter(|n| *n <= 128))?;
            return Some(Network::V6(a & u128::MAX.checked_shl(128 - len as u32).unwrap_or(0), len));
        }
        let a = u32::from(short_v4(address)?);
        let mask = match mask {
            None => u32::MAX,
            Some(m) if m.contains('.') => u32::from(m.parse::<Ipv4Addr>().ok()?),
            Some(m) => {
                let len = m.parse::<u32>().ok().filter(|n| *n <= 32)?;
                u32::MAX.checked_shl(32 - len).unwrap_or(0)
            }
        };
        let ones = mask.leading_ones();
        match mask.count_ones() == ones {
            true => Some(Network::V4(a & mask, ones as u8)),
            false => Some(Network::Masked(a & mask, mask)),
        }
    }
}

/// An IPv4 address as inet_aton(3) reads it: the last number fills what is left (`127.1`, and `10` is 0.0.0.10).
fn short_v4(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u32> = text.split('.').map(|p| p.parse().ok()).collect::<Option<_>>()?;
    let (last, first) = parts.split_last()?;
    if first.len() > 3 || first.iter().any(|p| *p > 255) {
        return None;
    }
    let left = 32 - 8 * first.len() as u32;
    if left < 32 && *last >= 1 << left {
        return None;
    }
    let high = first.iter().enumerate().fold(0u32, |a, (i, p)| a | p << (24 - 8 * i));
    Some(Ipv4Addr::from(high | last))
}

/// `5`, `1:5`, `:5`, `5:`.
pub fn parse_range(text: &[u8]) -> Result<(i64, i64), String> {
    let shown = || String::from_utf8_lossy(text).into_owned();
    let word = std::str::from_utf8(text).map_err(|_| format!("'{}' is not a number", shown()))?;
    let number = |w: &str| -> Result<i64, String> { w.parse().map_err(|_| format!("'{}' is not a number", shown())) };
    let (low, high) = match word.split_once(':') {
        None => {
            let n = number(word)?;
            (n, n)
        }
        Some((low, high)) => (
            if low.is_empty() { i64::MIN } else { number(low)? },
            if high.is_empty() { i64::MAX } else { number(high)? },
        ),
    };
    if low > high {
        return Err(format!("'{}' is not a valid number range", shown()));
    }
    Ok((low, high))
}

fn unhex(text: &[u8]) -> Result<Vec<u8>, String> {
    let digit = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
    let pairs = text.chunks(2).map(|p| match p {
        [a, b] => Some(digit(*a)? << 4 | digit(*b)?),
        _ => None,
    });
    pairs.collect::<Option<Vec<u8>>>().ok_or_else(|| match text.len() % 2 {
        0 => "an hexadecimal digit is expected".to_owned(),
        _ => "an even number of hexadecimal digit is expected".to_owned(),
    })
}

fn folded(text: &[u8], ignore_case: bool) -> Box<[u8]> {
    if ignore_case { text.to_ascii_lowercase().into() } else { text.into() }
}
