//! The static table (RFC 7541 appendix A) and the search in it.

/// How a field line is best written by us (RFC 7541 §6.2, §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indexing {
    /// Into the dynamic table when it repeats.
    Repeating,
    /// Never into the table: hardly ever the same twice, or a secret that a table would let others guess.
    Without,
    /// As the last, and no later hop may put it into a table either.
    Never,
}

use Indexing::{Never, Repeating, Without};

/// Name, value and how we write a field of that name. Index 1 is at 0.
#[rustfmt::skip]
pub const TABLE: [(&[u8], &[u8], Indexing); 61] = [
    (b":authority", b"", Repeating),
    (b":method", b"GET", Repeating),
    (b":method", b"POST", Repeating),
    (b":path", b"/", Without),
    (b":path", b"/index.html", Without),
    (b":scheme", b"http", Repeating),
    (b":scheme", b"https", Repeating),
    (b":status", b"200", Repeating),
    (b":status", b"204", Repeating),
    (b":status", b"206", Repeating),
    (b":status", b"304", Repeating),
    (b":status", b"400", Repeating),
    (b":status", b"404", Repeating),
    (b":status", b"500", Repeating),
    (b"accept-charset", b"", Repeating),
    (b"accept-encoding", b"gzip, deflate", Repeating),
    (b"accept-language", b"", Repeating),
    (b"accept-ranges", b"", Repeating),
    (b"accept", b"", Repeating),
    (b"access-control-allow-origin", b"", Repeating),
    (b"age", b"", Without),
    (b"allow", b"", Repeating),
    (b"authorization", b"", Never),
    (b"cache-control", b"", Repeating),
    (b"content-disposition", b"", Repeating),
    (b"content-encoding", b"", Repeating),
    (b"content-language", b"", Repeating),
    (b"content-length", b"", Without),
    (b"content-location", b"", Without),
    (b"content-range", b"", Without),
    (b"content-type", b"", Repeating),
    (b"cookie", b"", Without),
    (b"date", b"", Repeating),
    (b"etag", b"", Without),
    (b"expect", b"", Repeating),
    (b"expires", b"", Without),
    (b"from", b"", Repeating),
    (b"host", b"", Repeating),
    (b"if-match", b"", Without),
    (b"if-modified-since", b"", Without),
    (b"if-none-match", b"", Without),
    (b"if-range", b"", Without),
    (b"if-unmodified-since", b"", Without),
    (b"last-modified", b"", Without),
    (b"link", b"", Repeating),
    (b"location", b"", Without),
    (b"max-forwards", b"", Repeating),
    (b"proxy-authenticate", b"", Repeating),
    (b"proxy-authorization", b"", Never),
    (b"range", b"", Without),
    (b"referer", b"", Without),
    (b"refresh", b"", Repeating),
    (b"retry-after", b"", Without),
    (b"server", b"", Repeating),
    (b"set-cookie", b"", Without),
    (b"strict-transport-security", b"", Repeating),
    (b"transfer-encoding", b"", Repeating),
    (b"user-agent", b"", Repeating),
    (b"vary", b"", Repeating),
    (b"via", b"", Repeating),
    (b"www-authenticate", b"", Repeating),
];

/// A name that the table holds: its first index, and whether that entry or a later one of the name has the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub index: usize,
    pub with_value: bool,
    pub indexing: Indexing,
}

/// Looks a field line up; None if the table has no such name.
#[inline]
pub fn find(name: &[u8], value: &[u8]) -> Option<Found> {
    let mut slot = slot_of(name);
    let first = loop {
        let at = usize::from(SLOTS[slot]);
        if at == 0 {
            return None;
        }
        if TABLE[at - 1].0 == name {
            break at;
        }
        slot = (slot + 1) % SLOTS.len();
    };
    // Entries of one name stand together; only those with values can match.
    let (_, mut known, indexing) = TABLE[first - 1];
    let mut index = first;
    while !known.is_empty() {
        if known == value {
            return Some(Found { index, with_value: true, indexing });
        }
        index += 1;
        known = if TABLE[index - 1].0.len() == name.len() && TABLE[index - 1].0 == name {
            TABLE[index - 1].1
        } else {
            b""
        };
    }
    Some(Found { index: first, with_value: false, indexing })
}

/// First index of each name by [`slot_of`], 0 for none; clashes go to the next slots.
const SLOTS: [u8; 256] = {
    let mut slots = [0u8; 256];
    let mut at = 0;
    while at < TABLE.len() {
        if at == 0 || !same(TABLE[at].0, TABLE[at - 1].0) {
            let mut slot = slot_of(TABLE[at].0);
            while slots[slot] != 0 {
                slot = (slot + 1) % slots.len();
            }
            slots[slot] = at as u8 + 1;
        }
        at += 1;
    }
    slots
};

/// Length, two bytes within and the last tell the names of the table apart well enough.
const fn slot_of(name: &[u8]) -> usize {
    let len = name.len();
    if len == 0 {
        return 0;
    }
    let mixed = name[len - 1] as usize * 5 + name[len / 2] as usize * 31 + name[0] as usize * 7 + len * 11;
    mixed & 255
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_found() {
        for (at, (name, value, indexing)) in TABLE.into_iter().enumerate() {
            let found = find(name, value).unwrap();
            assert_eq!(found.indexing, indexing);
            if value.is_empty() {
                assert_eq!((found.index, found.with_value), (at + 1, false));
            } else {
                assert_eq!((found.index, found.with_value), (at + 1, true));
            }
        }
        assert_eq!(find(b":status", b"403").map(|f| (f.index, f.with_value)), Some((8, false)));
        assert_eq!(find(b"x-other", b""), None);
        assert_eq!(find(b"", b""), None);
    }
}
