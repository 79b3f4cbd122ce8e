//! Field names in other cases, for peers that take names literally (HAProxy 3.4 manual 3.1 "h1-case-adjust"). Heads are
//! written with names in lower case; a message to such a peer is gone over once more when it is written.

use std::collections::BTreeMap;

/// How fields are spelt, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CaseMap(BTreeMap<Box<[u8]>, Box<[u8]>>);

impl CaseMap {
    /// Adds a spelling; false when the name has one already. One of another length is never used.
    pub fn insert(&mut self, name: &[u8], spelt: &[u8]) -> bool {
        self.0.insert(name.into(), spelt.into()).is_none()
    }

    /// Respells the field names of the encoded head that `wire` begins with.
    pub fn respell(&self, wire: &mut [u8]) {
        let mut line = next_line(wire, 0);
        while line < wire.len() && wire[line] != b'\r' {
            let after = next_line(wire, line);
            if let Some(colon) = memchr::memchr(b':', &wire[line..after])
                && let Some(spelt) = self.0.get(&wire[line..line + colon]).filter(|s| s.len() == colon)
            {
                wire[line..line + colon].copy_from_slice(spelt);
            }
            line = after;
        }
    }
}

/// Where the line after the one at `from` begins.
fn next_line(wire: &[u8], from: usize) -> usize {
    memchr::memchr(b'\n', &wire[from..]).map_or(wire.len(), |n| from + n + 1)
}

#[cfg(test)]
mod tests {
    use super::CaseMap;

    #[test]
    fn names_of_the_head_are_respelt_and_nothing_else() {
        let mut map = CaseMap::default();
        assert!(map.insert(b"host", b"HoSt") && map.insert(b"x-a", b"X-A") && map.insert(b"long", b"longer"));
        assert!(!map.insert(b"host", b"HOST"));
        map.insert(b"host", b"HoSt");
        let mut wire =
            b"GET /host:1 HTTP/1.1\r\nhost: x-a: 1\r\nlong: 1\r\nx-ab: 2\r\nx-a: 3\r\n\r\nhost: body\r\n".to_vec();
        map.respell(&mut wire);
        let expected = b"GET /host:1 HTTP/1.1\r\nHoSt: x-a: 1\r\nlong: 1\r\nx-ab: 2\r\nX-A: 3\r\n\r\nhost: body\r\n";
        assert_eq!(wire, expected);
        for cut in 0..wire.len() {
            map.respell(&mut wire[..cut].to_vec());
        }
    }
}
