//! `uri`: the part of the request's URI that is hashed.

/// The left part of the URI up to the question mark, all of it with `whole`, without scheme and host with `path-only`;
/// then at most `len` bytes and at most `depth` slashes below the first.
pub fn key(uri: &[u8], whole: bool, len: Option<u32>, depth: Option<u32>, path_only: bool) -> &[u8] {
    let uri = if path_only { path_of(uri) } else { uri };
    let uri = &uri[..uri.len().min(len.map_or(usize::MAX, |l| l as usize))];
    let mut slashes = 0;
    for (i, byte) in uri.iter().enumerate() {
        match byte {
            b'/' => {
                slashes += 1;
                if depth.is_some_and(|depth| slashes > depth) {
                    return &uri[..i];
                }
            }
            b'?' if !whole => return &uri[..i],
            _ => {}
        }
    }
    uri
}

fn path_of(uri: &[u8]) -> &[u8] {
    let Some(scheme) = uri.windows(3).position(|w| w == b"://") else { return uri };
    match uri[scheme + 3..].iter().position(|b| *b == b'/') {
        Some(slash) => &uri[scheme + 3 + slash..],
        None => b"/",
    }
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn the_query_counts_only_with_whole() {
        assert_eq!(key(b"/a/b?c", false, None, None, false), b"/a/b");
        assert_eq!(key(b"/a/b?c", true, None, None, false), b"/a/b?c");
    }

    #[test]
    fn length_depth_and_path_only() {
        assert_eq!(key(b"/abc/d", false, Some(3), None, false), b"/ab");
        assert_eq!(key(b"/a/b/c", false, None, Some(1), false), b"/a");
        assert_eq!(key(b"http://h/a/b?x", false, None, None, true), b"/a/b");
        assert_eq!(key(b"http://h", false, None, None, true), b"/");
    }
}
