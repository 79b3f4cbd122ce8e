//! `url_param`: the value of a parameter in the query string, or in a form that was posted.

/// The value of the first `name=value` between `&` or `;`; empty values do not count.
pub fn key<'a>(query: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    query
        .split(|b| matches!(b, b'&' | b';'))
        .filter_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
        .find(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn whole_names_only() {
        assert_eq!(key(b"xid=1&id=2&id=3", b"id"), Some(&b"2"[..]));
        assert_eq!(key(b"id=&a=b", b"id"), None);
        assert_eq!(key(b"a=1;id=7", b"id"), Some(&b"7"[..]));
    }
}
