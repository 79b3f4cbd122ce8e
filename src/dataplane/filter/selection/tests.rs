//! Each verdict here is what HAProxy 3.4 was seen to do with the same heads.

use super::*;
use CompressionAlgorithm::{Deflate, Gzip, Identity, RawDeflate};

fn request(fields: &[(&str, &str)]) -> Head {
    let mut head = Head::request(b"GET", b"/", Version::Http11);
    fields.iter().for_each(|(name, value)| head.append(name.as_bytes(), value.as_bytes()));
    head
}

fn response(fields: &[(&str, &str)]) -> Head {
    let mut head = Head::response(200, b"OK", Version::Http11);
    fields.iter().for_each(|(name, value)| head.append(name.as_bytes(), value.as_bytes()));
    head
}

fn with(algorithms: &[CompressionAlgorithm]) -> Compression {
    Compression { algorithms: algorithms.to_vec(), ..Compression::default() }
}

fn negotiated(algorithms: &[CompressionAlgorithm], accept: &str) -> Option<CompressionAlgorithm> {
    let c = with(algorithms);
    negotiate(&Settings::of(Some(&c), Some(&c)).expect("settings"), &mut request(&[("accept-encoding", accept)]))
}

#[test]
fn accept_encoding_with_qualities() {
    for accepted in [
        "gzip",
        "GZIP",
        "*",
        "gzip, deflate",
        "deflate, gzip;q=0.5",
        "gzip ; q=1",
        "br, *;q=0.1",
        "gzip;q=0.001",
        "gzip;q=0, *",
        "gzip;Q=0",
        "gzip;q=abc",
        "gzip;q=",
        "gzip;q=2",
        ",,gzip",
        "gzip;q=0.1x",
        "gzip;q=\"0\"",
        "gzip;q=.5",
    ] {
        assert_eq!(negotiated(&[Gzip], accepted), Some(Gzip), "{accepted}");
    }
    for refused in [
        "",
        "identity",
        "deflate",
        "x-gzip",
        "gzipp",
        "gzip;q=0",
        "gzip;q=0.0",
        "gzip; q=0",
        "*;q=0",
        "gzip;x=1;q=0",
        "gzip;q=0;x",
        "br,gzip;q=0.000",
        "gzip;q=0.0001",
        "gzip;q=00",
    ] {
        assert_eq!(negotiated(&[Gzip], refused), None, "{refused}");
    }
}

#[test]
fn the_client_orders_and_the_last_named_algorithm_serves_its_token() {
    let both = [Gzip, Deflate];
    for (accept, chosen) in [
        ("gzip, deflate", Gzip),
        ("deflate,gzip", Deflate),
        ("*", Deflate),
        ("deflate;q=0.5, gzip", Gzip),
        ("*;q=0.5, gzip;q=0.6", Gzip),
        ("*;q=0.5, gzip;q=0.4", Deflate),
        ("deflate;q=0.1x, gzip;q=0.2", Gzip),
    ] {
        assert_eq!(negotiated(&both, accept), Some(chosen), "{accept}");
    }
    assert_eq!(negotiated(&[RawDeflate, Deflate, Gzip], "deflate"), Some(Deflate));
}

#[test]
fn identity_needs_no_client_that_asks() {
    assert_eq!(negotiated(&[Gzip, Identity], "br"), Some(Identity));
    assert_eq!(negotiated(&[Gzip, Identity], "gzip"), Some(Gzip));
    assert_eq!(negotiated(&[Gzip, Identity], "gzip;q=0.5, identity"), Some(Identity));
}

#[test]
fn old_browsers_get_no_compression() {
    let sp2 = "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)";
    for good in [
        sp2,
        "Mozilla/4.0 (compatible; MSIE 7.0; X)",
        "Mozilla/4.0 (compatible; MSIE 8)",
        "Mozilla/5.0",
        "mozilla/4.0",
    ] {
        assert!(!is_old_browser(good.as_bytes()), "{good}");
    }
    for old in [
        "Mozilla/4.0",
        "Mozilla/40",
        "Mozilla/4.0 (compatible; MSIE",
        "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)",
        "Mozilla/4.0 (compatible; MSIE 5.0; SV1)",
        "Mozilla/4.0 (compatible; MSIE 10.0)",
        "Mozilla/4.0 (compatible; foo; MSIE 7.0)",
    ] {
        assert!(is_old_browser(old.as_bytes()), "{old}");
    }
}

#[test]
fn offload_hides_the_preference_only_where_it_is_met() {
    let c = Compression { offload: true, ..with(&[Gzip]) };
    let settings = Settings::of(Some(&c), None).expect("settings");
    let (mut met, mut other) = (request(&[("accept-encoding", "gzip")]), request(&[("accept-encoding", "br")]));
    negotiate(&settings, &mut met);
    negotiate(&settings, &mut other);
    assert!(!met.contains(b"accept-encoding") && other.contains(b"accept-encoding"));
}

#[test]
fn the_backend_overrides_the_frontend() {
    let front = Compression { types: vec!["text/html".into()], ..with(&[Gzip]) };
    let back = with(&[Deflate]);
    let settings = Settings::of(Some(&front), Some(&back)).expect("settings");
    assert_eq!(settings.algorithms(), [Deflate]);
    assert_eq!(settings.types(), ["text/html"]);
}

fn qualifies(c: &Compression, head: &Head) -> bool {
    response_qualifies(&Settings::of(Some(c), None).expect("settings"), Version::Http11, head, Framing::Length(1200))
}

#[test]
fn responses_that_qualify_and_that_do_not() {
    let c = with(&[Gzip]);
    for good in [
        ("x", ""),
        ("etag", "\"a\""),
        ("etag", "W/\"a\""),
        ("etag", "\"\""),
        ("etag", "\"a\"b\""),
        ("content-type", ""),
        ("cache-control", "no-transformers"),
    ] {
        assert!(qualifies(&c, &response(&[good])), "{good:?}");
    }
    for bad in [
        ("content-encoding", "br"),
        ("content-encoding", ""),
        ("etag", "w/\"a\""),
        ("etag", "a"),
        ("etag", "\""),
        ("etag", ""),
        ("content-type", "Multipart/mixed"),
        ("content-type", "multipartx/y"),
        ("cache-control", "public, No-Transform"),
    ] {
        assert!(!qualifies(&c, &response(&[bad])), "{bad:?}");
    }
    assert!(!qualifies(&c, &response(&[("etag", "\"a\""), ("etag", "\"b\"")])));
    for (status, good) in [(200, true), (203, true), (204, false), (206, false), (301, false), (404, false)] {
        let mut head = response(&[]);
        head.set_status(status, b"");
        assert_eq!(qualifies(&c, &head), good, "{status}");
    }
    let settings = Settings::of(Some(&c), None).expect("settings");
    let head = response(&[]);
    assert!(!response_qualifies(&settings, Version::Http10, &head, Framing::Length(1)));
    for framing in [Framing::None, Framing::Length(0), Framing::UntilClose] {
        assert!(!response_qualifies(&settings, Version::Http11, &head, framing), "{framing:?}");
    }
    assert!(response_qualifies(&settings, Version::Http11, &head, Framing::Chunked));
}

#[test]
fn types_are_prefixes_of_the_first_content_type() {
    let c = Compression { types: vec!["text/pl".into(), "application/json".into()], ..with(&[Gzip]) };
    for (kind, good) in [
        ("TEXT/PLAIN; charset=x", true),
        ("application/json-seq", true),
        ("text/html", false),
        ("text/html, text/plain", false),
    ] {
        assert_eq!(qualifies(&c, &response(&[("content-type", kind)])), good, "{kind}");
    }
    assert!(!qualifies(&c, &response(&[])));
    assert!(!qualifies(&c, &response(&[("content-type", "text/html"), ("content-type", "text/plain")])));
}

#[test]
fn edits_of_the_head() {
    let edited = |fields: &[(&str, &str)]| {
        let mut head = response(fields);
        edit(&mut head, Gzip);
        let line = |(n, v): (&[u8], &[u8])| format!("{}: {}", String::from_utf8_lossy(n), String::from_utf8_lossy(v));
        head.fields().map(line).collect::<Vec<_>>().join(" | ")
    };
    let end = "content-encoding: gzip";
    for (fields, wanted) in [
        (&[("content-length", "9"), ("x", "1")][..], "x: 1 | transfer-encoding: chunked | vary: Accept-Encoding"),
        (
            &[("transfer-encoding", "chunked"), ("x", "1")],
            "transfer-encoding: chunked | x: 1 | vary: Accept-Encoding",
        ),
        (
            &[("vary", "A"), ("vary", "B"), ("etag", "\"q\"")],
            "vary: A | vary: B,Accept-Encoding | etag: W/\"q\" | transfer-encoding: chunked",
        ),
        (
            &[("vary", "A, accept-encoding"), ("etag", "W/\"q\"")],
            "vary: A, accept-encoding | etag: W/\"q\" | transfer-encoding: chunked",
        ),
        (&[("vary", "")], "vary: Accept-Encoding | transfer-encoding: chunked"),
        (&[("vary", "*")], "vary: *,Accept-Encoding | transfer-encoding: chunked"),
    ] {
        assert_eq!(edited(fields), format!("{wanted} | {end}"));
    }
}
