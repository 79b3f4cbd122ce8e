//! Headers of both versions, good and bad, split anywhere, and encoders against the parser.

use super::encode::{Ends, Options, Ssl, v1, v2};
use super::parse::{SIGNATURE, V1_LEN_MAX};
use super::*;

fn complete(input: &[u8]) -> Result<Header<'_>, Error> {
    match parse(input)? {
        Parsed::Complete(header) => Ok(header),
        Parsed::Partial => panic!("partial: {}", input.escape_ascii()),
    }
}

fn header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16).to_be_bytes();
    [SIGNATURE, &[command, family][..], &length, body].concat()
}

const INET: &[u8] = b"\x01\x02\x03\x04\x05\x06\x07\x08\x00\x50\x01\xbb";

fn ends(source: &str, destination: &str) -> Ends<'static> {
    Ends::Ip { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

fn ip<'a>(source: &str, destination: &str) -> Addresses<'a> {
    let transport = Transport::Stream;
    Addresses::Ip { source: source.parse().unwrap(), destination: destination.parse().unwrap(), transport }
}

#[test]
fn version_1_lines_are_read() {
    for (line, addresses) in [
        ("PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\n", ip("1.2.3.4:80", "5.6.7.8:443")),
        ("PROXY TCP6 ::1 1:2::3 0 65535\r\n", ip("[::1]:0", "[1:2::3]:65535")),
        ("PROXY UNKNOWN\r\n", Addresses::Own),
        ("PROXY UNKNOWN ff:f::1 what ever\r\n", Addresses::Own),
    ] {
        let input = format!("{line}GET");
        let header = complete(input.as_bytes()).unwrap();
        assert_eq!((header.version, header.addresses, header.consumed), (1, addresses, line.len()));
        for split in 0..line.len() {
            assert_eq!(parse(&line.as_bytes()[..split]), Ok(Parsed::Partial), "{split} of {line:?}");
        }
    }
}

#[test]
fn version_1_lines_that_do_not_match_exactly_are_refused() {
    for line in [
        "PROXY TCP4 1.2.3.4 5.6.7.8 80 443\n",
        "PROXY TCP4 1.2.3.4  5.6.7.8 80 443\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 80 443 \r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 80\r\n",
        "PROXY TCP4 01.2.3.4 5.6.7.8 80 443\r\n",
        "PROXY TCP4 1.2.3.256 5.6.7.8 80 443\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 080 443\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 +80 443\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 65536 443\r\n",
        "PROXY TCP4 ::1 ::2 80 443\r\n",
        "PROXY TCP6 1.2.3.4 5.6.7.8 80 443\r\n",
        "PROXY UDP4 1.2.3.4 5.6.7.8 80 443\r\n",
        "PROXY UNKNOWNx\r\n",
        "PROXY \r\n",
    ] {
        assert_eq!(parse(line.as_bytes()), Err(Error::BadLine), "{line:?}");
    }
    for start in ["proxy", "PROXYTCP4", "POST / HTTP/1.1", "GET /", "\r\n\r\nX"] {
        assert_eq!(parse(start.as_bytes()), Err(Error::NotProxyProtocol), "{start:?}");
    }
    let long = [b"PROXY UNKNOWN ".to_vec(), vec![b'a'; V1_LEN_MAX]].concat();
    assert_eq!(parse(&long), Err(Error::TooLong));
}

#[test]
fn version_2_headers_are_read_split_anywhere() {
    let unix = [&b"/a"[..], &[0; 106], b"\0b", &[0; 106]].concat();
    let datagram = Addresses::Ip {
        source: "1.2.3.4:80".parse().unwrap(),
        destination: "5.6.7.8:443".parse().unwrap(),
        transport: Transport::Datagram,
    };
    let cases = [
        (header(0x21, 0x11, INET), ip("1.2.3.4:80", "5.6.7.8:443")),
        (header(0x21, 0x12, INET), datagram),
        (header(0x21, 0x21, &[&[0; 31][..], &[1, 0, 80, 1, 187]].concat()), ip("[::]:80", "[::1]:443")),
        (
            header(0x21, 0x31, &unix),
            Addresses::Unix { source: b"/a", destination: b"\0b", transport: Transport::Stream },
        ),
        (header(0x20, 0x00, b""), Addresses::Own),
        (header(0x20, 0x11, INET), Addresses::Own),
        (header(0x20, 0xff, b"garbage"), Addresses::Own),
        (header(0x21, 0x00, b"abc"), Addresses::Own),
        (header(0x21, 0x10, INET), Addresses::Own),
    ];
    for (bytes, addresses) in cases {
        for split in 0..bytes.len() {
            assert_eq!(parse(&bytes[..split]), Ok(Parsed::Partial), "{split} of {}", bytes.escape_ascii());
        }
        let input = [&bytes[..], b"GET"].concat();
        let header = complete(&input).unwrap();
        assert_eq!((header.version, header.addresses, header.consumed), (2, addresses, bytes.len()));
        assert_eq!(header.local, bytes[12] == 0x20);
    }
}

#[test]
fn version_2_headers_that_are_malformed_are_refused() {
    let with_tlv = |bytes: &[u8]| header(0x21, 0x11, &[INET, bytes].concat());
    let long = |kind: u8, len: u16| [&[kind][..], &len.to_be_bytes(), &vec![b'a'; len.into()]].concat();
    for (bytes, error) in [
        (header(0x11, 0x11, INET), Error::BadCommand),
        (header(0x22, 0x11, INET), Error::BadCommand),
        (header(0x21, 0x41, INET), Error::BadFamily),
        (header(0x21, 0x13, INET), Error::BadFamily),
        (header(0x21, 0x40, INET), Error::BadFamily),
        (header(0x21, 0x11, &INET[..8]), Error::BadAddresses),
        (header(0x21, 0x21, INET), Error::BadAddresses),
        (header(0x21, 0x31, &[0; 200]), Error::BadAddresses),
        (with_tlv(b"\x01"), Error::BadTlv),
        (with_tlv(b"\x01\x00\x09h2"), Error::BadTlv),
        (with_tlv(b"\x03\x00\x03abc"), Error::BadTlv),
        (with_tlv(b"\x03\x00\x04abcd"), Error::BadChecksum),
        (with_tlv(&long(tlv::UNIQUE_ID, 129)), Error::BadTlv),
        (with_tlv(&long(tlv::AUTHORITY, 256)), Error::BadTlv),
        (header(0x21, 0x11, &vec![0; 20_000])[..20].to_vec(), Error::TooLong),
    ] {
        assert_eq!(parse(&bytes), Err(error), "{}", bytes[..bytes.len().min(60)].escape_ascii());
    }
}

#[test]
fn version_1_is_written_as_haproxy_does() {
    let line = |ends: Ends<'_>| {
        let mut out = Vec::new();
        v1(&ends, &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(line(ends("1.2.3.4:80", "5.6.7.8:443")), "PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\n");
    assert_eq!(line(ends("[::1]:80", "[1:2::3]:443")), "PROXY TCP6 ::1 1:2::3 80 443\r\n");
    assert_eq!(line(ends("1.2.3.4:80", "[::1]:443")), "PROXY TCP6 ::ffff:1.2.3.4 ::1 80 443\r\n");
    assert_eq!(line(Ends::Local), "PROXY UNKNOWN\r\n");
    assert_eq!(line(Ends::Unix { source: b"/a", destination: b"/b" }), "PROXY UNKNOWN\r\n");
}

#[test]
fn version_2_is_written_as_haproxy_does() {
    let mut out = Vec::new();
    let options = Options { crc32c: true, ssl: Some(Ssl::default()), ..Options::default() };
    v2(&ends("1.2.3.4:80", "5.6.7.8:443"), &options, &mut out);
    // What haproxy 3.4 sends with `proxy-v2-options ssl,crc32c` for a client without TLS.
    let expected: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x1b\x01\x02\x03\x04\x05\x06\x07\x08\0P\x01\xbb\
        \x03\0\x04\x16\x0c\xa0J \0\x05\0\0\0\0\0";
    assert_eq!(out.escape_ascii().to_string(), expected.escape_ascii().to_string());
    out.clear();
    v2(&Ends::Local, &Options::default(), &mut out);
    assert_eq!(out, header(0x20, 0, b""));
}

#[test]
fn vectors_are_read_as_they_were_written() {
    let ssl = Ssl {
        client: tlv::CLIENT_SSL | tlv::CLIENT_CERT_CONN,
        verify: 7,
        version: Some(b"TLSv1.3"),
        cn: Some(b"example.com"),
        cipher: Some(b"TLS_AES_256_GCM_SHA384"),
        sig_alg: Some(b"SHA256"),
        key_alg: Some(b"RSA2048"),
    };
    let options = Options {
        alpn: Some(b"h2"),
        authority: Some(b"sni.example"),
        unique_id: Some(b"id-1"),
        ssl: Some(ssl),
        netns: Some(b"blue"),
        crc32c: true,
        custom: &[(0xe0, b"own")],
    };
    let mut out = b"before".to_vec();
    v2(&ends("[::1]:80", "[::2]:443"), &options, &mut out);
    let header = complete(&out[6..]).unwrap();
    assert_eq!(header.addresses, ip("[::1]:80", "[::2]:443"));
    for (kind, value) in [
        (tlv::ALPN, &b"h2"[..]),
        (tlv::AUTHORITY, b"sni.example"),
        (tlv::UNIQUE_ID, b"id-1"),
        (tlv::NETNS, b"blue"),
        (0xe0, b"own"),
    ] {
        assert_eq!(header.tlvs.find(kind), Some(value));
    }
    let read = tlv::Ssl::read(header.tlvs.find(tlv::SSL).unwrap()).unwrap();
    assert_eq!((read.client, read.verify), (3, 7));
    assert_eq!(read.tlvs.find(tlv::SSL_CN), Some(&b"example.com"[..]));
    assert_eq!(read.tlvs.find(tlv::SSL_CIPHER), Some(&b"TLS_AES_256_GCM_SHA384"[..]));
    assert_eq!(read.tlvs.into_iter().count(), 5);
    // One flipped bit anywhere is noticed.
    for at in 16..header.consumed {
        let mut broken = out[6..].to_vec();
        broken[at] ^= 1;
        assert!(!matches!(parse(&broken), Ok(Parsed::Complete(h)) if h.tlvs.find(tlv::CRC32C).is_some()), "{at}");
    }
}

#[test]
fn vectors_that_do_not_fit_are_all_left_out() {
    let huge = vec![b'a'; 40_000];
    let options = Options { custom: &[(0xe0, &huge), (0xe1, &huge)], crc32c: true, ..Options::default() };
    let mut out = Vec::new();
    v2(&ends("1.2.3.4:80", "5.6.7.8:443"), &options, &mut out);
    assert_eq!(out, header(0x21, 0x11, INET));
}
