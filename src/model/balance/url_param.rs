//! `url_param`: the value of a parameter in the query string, or in a form that was posted.

/// The value of the first `name=value` in the query string of a URI; it may be empty.
pub fn key<'a>(uri: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let start = memchr::memchr(b'?', uri)? + 1;
    posted(&uri[start..], name)
}

/// The same in a form.
pub fn posted<'a>(form: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    form.split(|b| *b == b'&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::{key, posted};

    #[test]
    fn whole_names_behind_the_question_mark_only() {
        assert_eq!(key(b"/?id=2", b"id"), Some(&b"2"[..]));
        assert_eq!(key(b"/?xid=1&id=2&id=3", b"id"), Some(&b"2"[..]));
        assert_eq!(key(b"/?id&id=2", b"id"), Some(&b"2"[..]));
        assert_eq!(key(b"/?id=&id=2", b"id"), Some(&b""[..]));
        assert_eq!(key(b"/?a=1;id=7", b"id"), None);
        assert_eq!(key(b"/&id=7", b"id"), None);
        assert_eq!(posted(b"a=1&id=7", b"id"), Some(&b"7"[..]));
    }
}
