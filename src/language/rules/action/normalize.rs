//! `normalize-uri` (manual 4.4): one equivalent form for many spellings of a target (RFC 3986 §6.2.2). Experimental
//! in HAProxy, and so here.

use super::{Action, At, REQUEST, Run, row};
use crate::language::parse::{Error, Parse, Words};
use crate::language::rules::Flow;
use crate::language::sample::cast::push_hex;

pub const ROWS: &[Action] = &[row("normalize-uri", REQUEST, normalize)];

/// Appends the new target; false when the target is broken and the normalizer is strict about it.
type Normalizer = fn(&[u8], &mut Vec<u8>) -> bool;

fn normalize(_: &At<'_>, w: &mut Words<'_>, p: &mut Parse<'_>) -> Result<Run, Error> {
    if !p.experimental {
        return Err(w.error_before(
            "'normalize-uri' action is experimental, must be allowed via a global 'expose-experimental-directives'",
        ));
    }
    p.experimental_used = true;
    let index = w.index();
    let run: Normalizer = match w.next().unwrap_or_default() {
        "fragment-encode" => fragment_encode,
        "fragment-strip" => |uri, out| {
            out.extend_from_slice(&uri[..memchr::memchr(b'#', uri).unwrap_or(uri.len())]);
            true
        },
        "path-merge-slashes" => |uri, out| on_path(uri, out, merge_slashes),
        "path-strip-dot" => |uri, out| on_path(uri, out, strip_dot),
        "path-strip-dotdot" => match w.take("full") {
            true => |uri, out| on_path(uri, out, |p, o| strip_dotdot(p, o, true)),
            false => |uri, out| on_path(uri, out, |p, o| strip_dotdot(p, o, false)),
        },
        "percent-decode-unreserved" => match w.take("strict") {
            true => |uri, out| percent(uri, out, decode_unreserved, true),
            false => |uri, out| percent(uri, out, decode_unreserved, false),
        },
        "percent-to-uppercase" => match w.take("strict") {
            true => |uri, out| percent(uri, out, to_uppercase, true),
            false => |uri, out| percent(uri, out, to_uppercase, false),
        },
        "query-sort-by-name" => sort_query,
        other => return Err(Error::new(index, format!("unknown normalizer '{other}'"))),
    };
    Ok(Box::new(move |cx| {
        let mut out = cx.pool.take();
        if let Some(head) = cx.request.as_deref_mut()
            && run(head.uri(), &mut out)
            && out != head.uri()
        {
            head.set_uri(&out);
        }
        cx.pool.give(out);
        Flow::Next
    }))
}

/// Runs `edit` on the path alone.
fn on_path(uri: &[u8], out: &mut Vec<u8>, edit: fn(&[u8], &mut Vec<u8>)) -> bool {
    let start = match uri.first() {
        Some(b'/') => 0,
        _ => match memchr::memmem::find(uri, b"://") {
            Some(at) => memchr::memchr(b'/', &uri[at + 3..]).map_or(uri.len(), |i| at + 3 + i),
            None => uri.len(),
        },
    };
    let end = memchr::memchr2(b'?', b'#', &uri[start..]).map_or(uri.len(), |i| start + i);
    out.extend_from_slice(&uri[..start]);
    edit(&uri[start..end], out);
    out.extend_from_slice(&uri[end..]);
    true
}

fn fragment_encode(uri: &[u8], out: &mut Vec<u8>) -> bool {
    for b in uri {
        match b {
            b'#' => out.extend_from_slice(b"%23"),
            b => out.push(*b),
        }
    }
    true
}

fn merge_slashes(path: &[u8], out: &mut Vec<u8>) {
    for (i, b) in path.iter().enumerate() {
        if *b != b'/' || i == 0 || path[i - 1] != b'/' {
            out.push(*b);
        }
    }
}

fn strip_dot(path: &[u8], out: &mut Vec<u8>) {
    segments(path, out, |_, segment| if segment == b"." { Keep::Drop } else { Keep::Push });
}

/// `/a/../b` becomes `/b`; with `full`, `..` at the root goes too.
fn strip_dotdot(path: &[u8], out: &mut Vec<u8>, full: bool) {
    let mut depth = 0;
    segments(path, out, |_, segment| match segment {
        b".." if depth > 0 => {
            depth -= 1;
            Keep::Pop
        }
        b".." if full => Keep::Drop,
        b".." => Keep::Push,
        _ => {
            depth += 1;
            Keep::Push
        }
    });
}

enum Keep {
    Push,
    Drop,
    Pop,
}

/// Walks the segments of a path; a dropped last one leaves its slash.
fn segments(path: &[u8], out: &mut Vec<u8>, mut keep: impl FnMut(usize, &[u8]) -> Keep) {
    let start = out.len();
    let body = path.strip_prefix(b"/").unwrap_or(path);
    let count = body.split(|b| *b == b'/').count();
    if body.len() == path.len() && path.is_empty() {
        return;
    }
    for (i, segment) in body.split(|b| *b == b'/').enumerate() {
        let last = i + 1 == count;
        match keep(i, segment) {
            Keep::Push => {
                out.push(b'/');
                out.extend_from_slice(segment);
                continue;
            }
            Keep::Drop => {}
            Keep::Pop => {
                let at = memchr::memrchr(b'/', &out[start..]).map_or(start, |i| start + i);
                out.truncate(at);
            }
        }
        if last {
            out.push(b'/');
        }
    }
}

/// Walks `%XX`; a broken one is kept, or refused when strict.
fn percent(uri: &[u8], out: &mut Vec<u8>, each: fn(u8, &[u8], &mut Vec<u8>), strict: bool) -> bool {
    let mut at = 0;
    while at < uri.len() {
        let code = uri.get(at + 1..at + 3).and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 16).ok());
        match (uri[at], code) {
            (b'%', Some(code)) => {
                each(code, &uri[at..at + 3], out);
                at += 3;
            }
            (b'%', None) if strict => return false,
            (b, _) => {
                out.push(b);
                at += 1;
            }
        }
    }
    true
}

fn decode_unreserved(code: u8, written: &[u8], out: &mut Vec<u8>) {
    match code {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(code),
        _ => out.extend_from_slice(written),
    }
}

fn to_uppercase(code: u8, _: &[u8], out: &mut Vec<u8>) {
    out.push(b'%');
    push_hex(out, &[code]);
}

/// Sorts the query's parts by name; equal names keep their order.
fn sort_query(uri: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(start) = memchr::memchr(b'?', uri) else { return false };
    let end = memchr::memchr(b'#', &uri[start..]).map_or(uri.len(), |i| start + i);
    let mut parts: Vec<&[u8]> = uri[start + 1..end].split(|b| *b == b'&').collect();
    parts.sort_by_key(|p| p.split(|b| *b == b'=').next().unwrap_or_default());
    out.extend_from_slice(&uri[..=start]);
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(part);
    }
    out.extend_from_slice(&uri[end..]);
    true
}

#[cfg(test)]
mod tests {
    use crate::language::rules::Phase;
    use crate::language::testing::Bench;

    #[test]
    fn targets_get_one_form() {
        for (normalizer, uri, expected) in [
            ("path-merge-slashes", "/a//b///c?x=//", "/a/b/c?x=//"),
            ("path-strip-dot", "/a/./b/.", "/a/b/"),
            ("path-strip-dotdot", "/a/b/../c/..", "/a/"),
            ("path-strip-dotdot", "/../a", "/../a"),
            ("path-strip-dotdot full", "/../a", "/a"),
            ("percent-decode-unreserved", "/%61%2f%zz", "/a%2f%zz"),
            ("percent-to-uppercase", "/%2f", "/%2F"),
            ("query-sort-by-name", "/?b=2&a=1&b=1", "/?a=1&b=2&b=1"),
            ("fragment-strip", "/a#b", "/a"),
            ("fragment-encode", "/a#b", "/a%23b"),
        ] {
            let mut bench = Bench { experimental: true, ..Bench::default() };
            bench.request.set_uri(uri.as_bytes());
            bench.rules(Phase::HttpRequest, &[&format!("normalize-uri {normalizer}")]).unwrap();
            assert_eq!(String::from_utf8_lossy(bench.request.uri()), expected, "{normalizer} {uri}");
        }
    }
}
