//! Cookies of a request and of a response (RFC 6265), found as HAProxy's `req.cook` and `res.cook` find them: names in
//! their case, values with their quotes, pairs without `=` passed over.

/// The cookies of one Cookie value. HAProxy parts them at commas too, and at neither inside quotes.
pub fn request(value: &[u8]) -> Request<'_> {
    Request { rest: value }
}

/// The cookie that one Set-Cookie value sets: what stands before its attributes.
pub fn response(value: &[u8]) -> Option<(&[u8], &[u8])> {
    pair(&value[..end_of_pair(value, b";")])
}

/// The attributes of one Set-Cookie value: name and value, the latter empty if there is none.
pub fn attributes(value: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let start = end_of_pair(value, b";");
    value[start..]
        .split(|&b| b == b';')
        .map(|part| pair(part).unwrap_or((part.trim_ascii(), &[])))
        .filter(|(name, _)| !name.is_empty())
}

/// Iterator of [`request`].
#[derive(Clone, Debug)]
pub struct Request<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Request<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let end = end_of_pair(self.rest, b";,");
            let part = &self.rest[..end];
            self.rest = self.rest.get(end + 1..).unwrap_or(&[]);
            // RFC 2109's `$Version`, `$Path` speak of cookies and are none.
            if let Some(found) = pair(part).filter(|(name, _)| !name.starts_with(b"$")) {
                return Some(found);
            }
        }
        None
    }
}

/// Where the first of `delimiters` stands outside of quotes.
fn end_of_pair(bytes: &[u8], delimiters: &[u8]) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b if !quoted && delimiters.contains(b) => return at,
            _ => {}
        }
    }
    bytes.len()
}

fn pair(part: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = memchr::memchr(b'=', part)?;
    Some((part[..equals].trim_ascii(), part[equals + 1..].trim_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(value: &str) -> Vec<(String, String)> {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        request(value.as_bytes()).map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn cookies_of_a_request_are_found_as_by_haproxy() {
        for (value, pairs) in [
            ("a=1; b=2", &[("a", "1"), ("b", "2")][..]),
            ("a=1, b=2", &[("a", "1"), ("b", "2")]),
            ("a=\"1;2\"; b=3", &[("a", "\"1;2\""), ("b", "3")]),
            (" a = 1 ;b=2", &[("a", "1"), ("b", "2")]),
            ("a; b=2", &[("b", "2")]),
            ("a=1=2", &[("a", "1=2")]),
            ("$Version=1; a=1; $Path=/", &[("a", "1")]),
            ("a=1;;b=x y", &[("a", "1"), ("b", "x y")]),
            ("a=", &[("a", "")]),
            ("A=1; a=2", &[("A", "1"), ("a", "2")]),
            ("a=\"open; b=2", &[("a", "\"open; b=2")]),
            ("", &[]),
        ] {
            let expected: Vec<_> = pairs.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            assert_eq!(all(value), expected, "{value}");
        }
    }

    #[test]
    fn a_set_cookie_is_one_cookie_with_attributes() {
        let value = b"SRV=s1; Path=/; Expires=Wed, 21 Oct 2026 07:28:00 GMT; HttpOnly";
        assert_eq!(response(value), Some((&b"SRV"[..], &b"s1"[..])));
        let names: Vec<_> = attributes(value).map(|(name, _)| name).collect();
        assert_eq!(names, [&b"Path"[..], b"Expires", b"HttpOnly"]);
        assert_eq!(response(b"nothing"), None);
    }
}
