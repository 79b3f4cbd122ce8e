//! Wire formats and small texts.

use ringway::{
    model::certificates::{crt_list, pem as pem_text},
    proto::{
        dns as dns_wire,
        h1::{self, Asked, Limits, Parsed, Side, chunked},
        http::{cookie, head::Head, uri as http_uri},
        peers as peers_wire, proxy_protocol as proxy_wire,
        syslog::{Format, Framer, Header},
        tls::hello,
    },
};

type Fields = (Vec<u8>, Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>);

fn of(head: &Head) -> Fields {
    let start = if head.is_request() { (head.method(), head.uri()) } else { (&[][..], head.reason()) };
    (start.0.to_vec(), start.1.to_vec(), head.fields().map(|(n, v)| (n.to_vec(), v.to_vec())).collect())
}

/// A head that grows byte by byte gives the same as the whole: nothing until it is complete, the same fault or fields.
pub fn h1_head(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let limits =
        Limits { head_bytes: 2000, unsafe_violations: first & 4 != 0, bare_lf: first & 2 != 0, ..Limits::REQUEST };
    let asked = [Asked::Other, Asked::Head, Asked::Connect, Asked::Upgrade][(first >> 4) as usize % 4];
    let read = |bytes: &[u8], head: &mut Head| match first & 1 == 0 {
        true => h1::parse_request(bytes, &limits, head),
        false => h1::parse_response(bytes, &limits, asked, head),
    };
    let mut head = Head::new();
    let whole = read(data, &mut head);
    let fields = of(&head);
    for cut in 0..data.len().min(400) {
        let mut part = Head::new();
        match read(&data[..cut], &mut part) {
            Ok(Parsed::Partial) => {
                assert!(
                    !matches!(whole, Ok(Parsed::Complete(m)) if m.consumed <= cut),
                    "{} at {cut}",
                    data.escape_ascii()
                );
            }
            Ok(complete @ Parsed::Complete(_)) => {
                assert_eq!(whole, Ok(complete), "{} at {cut}", data.escape_ascii());
                assert_eq!(of(&part), fields);
            }
            Ok(preface) => assert_eq!(whole, Ok(preface)),
            Err(fault) => assert!(whole.is_err(), "{fault:?} at {cut}, {whole:?} for {}", data.escape_ascii()),
        }
    }
    if let Ok(Parsed::Complete(message)) = whole {
        assert!(message.consumed <= data.len());
        let mut out = Vec::new();
        h1::encode::head(&head, &mut out);
        assert_eq!(out.len(), head.wire_len());
    }
}

type Body = Result<(Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>, usize), h1::Fault>;

fn body(pieces: &[&[u8]]) -> Option<Body> {
    let mut decoder = chunked::Decoder::new(Side::Client, &Limits { head_bytes: 500, ..Limits::REQUEST });
    let (mut data, mut consumed) = (Vec::new(), 0);
    for piece in pieces {
        let mut rest = *piece;
        loop {
            match decoder.next(rest) {
                Err(error) => return Some(Err(error.fault)),
                Ok((used, event)) => {
                    consumed += used;
                    match event {
                        chunked::Event::NeedMore => {
                            assert_eq!(used, rest.len());
                            break;
                        }
                        chunked::Event::Data(range) => {
                            assert!(!range.is_empty() && range.end == used);
                            data.extend_from_slice(&rest[range]);
                            rest = &rest[used..];
                        }
                        chunked::Event::End => {
                            let trailers = decoder.trailers().fields().map(|(n, v)| (n.to_vec(), v.to_vec()));
                            return Some(Ok((data, trailers.collect(), consumed)));
                        }
                    }
                }
            }
        }
    }
    None
}

/// A chunked body split at the first byte's place, and at every byte, is the same body.
pub fn h1_chunked(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let whole = body(&[data]);
    let (a, b) = data.split_at(data.len() * *first as usize / 256);
    assert_eq!(body(&[a, b]), whole, "{}", data.escape_ascii());
    assert_eq!(body(&data.chunks(1).collect::<Vec<_>>()), whole, "{}", data.escape_ascii());
}

/// A header is read the same however much follows; a beginning of it asks for more.
pub fn proxy_protocol(data: &[u8]) {
    if let Ok(proxy_wire::Parsed::Complete(header)) = proxy_wire::parse(data) {
        assert!(header.consumed <= data.len());
        for tlv in header.tlvs {
            let _ = proxy_wire::tlv::Ssl::read(tlv.value).map(|ssl| ssl.tlvs.is_well_formed());
        }
        for cut in 0..header.consumed.min(300) {
            let part = proxy_wire::parse(&data[..cut]);
            assert!(matches!(part, Ok(proxy_wire::Parsed::Partial)), "{part:?} at {cut}: {}", data.escape_ascii());
        }
    }
}

pub fn dns(data: &[u8]) {
    if let Ok(answer) = dns_wire::answer(data) {
        assert!(answer.answers.len() + answer.additional.len() <= data.len());
    }
}

/// Handshakes, then messages with definitions and updates.
pub fn peers(data: &[u8]) {
    use peers_wire::{definition::Definition, dictionary::Received, entry, handshake, message::Message};
    let _ = handshake::Status::read(data);
    let mut rest = match handshake::Hello::read(data) {
        Ok(Some((hello, used))) => {
            let mut out = Vec::new();
            hello.write(&mut out);
            assert_eq!(handshake::Hello::read(&out).map(|h| h.map(|h| h.0)), Ok(Some(hello)));
            &data[used..]
        }
        _ => data,
    };
    let (mut known, mut words) = (None, Received::default());
    while let Ok(Some((message, used))) = Message::read(rest) {
        assert!(used > 0);
        rest = &rest[used..];
        match message {
            Message::Definition(bytes) => {
                known = Definition::read(bytes).ok();
                if let Some(definition) = &known {
                    let mut out = Vec::new();
                    definition.write(&mut out);
                    assert_eq!(Definition::read(&out).as_ref(), Ok(definition));
                }
            }
            Message::Update(kind, bytes) => {
                if let Some(definition) = &known {
                    let _ = entry::read(definition, kind, bytes, &mut words, |_, _, _| {});
                }
            }
            _ => {}
        }
    }
}

/// Everything that `req.ssl_*` asks of a ClientHello.
pub fn client_hello(data: &[u8]) {
    if let hello::Peek::Complete(found) = hello::peek(data)
        && let Some(client) = found.parse()
    {
        let mut out = Vec::new();
        client.key_share_groups(&mut out);
        client.extension_types(&mut out);
        let _ = (client.alpn_names().count(), client.highest_version(), client.session_ticket_extension());
        assert!(out.len() <= 4 * data.len());
    }
}

pub fn cookies(data: &[u8]) {
    let within = |part: &[u8]| part.is_empty() || data.as_ptr_range().contains(&part.as_ptr());
    assert!(cookie::request(data).all(|(name, value)| within(name) && within(value)));
    assert!(cookie::attributes(data).all(|(name, value)| within(name) && within(value)));
    assert!(cookie::response(data).is_none_or(|(name, value)| within(name) && within(value)));
}

pub fn uri(data: &[u8]) {
    let parts = http_uri::Uri::split(data);
    assert!(parts.path().len() + parts.query().len() <= data.len());
    let _ = (parts.host_and_port(), parts.default_port(), http_uri::host_port(data));
}

pub fn pem(data: &[u8]) {
    let _ = pem_text::read(data);
    let _ = ringway::model::certificates::certificate::Certificate::from_text(data, "fuzz.pem", None);
    if let Some(certificate) = ringway::proto::tls::x509::Certificate::parse(data) {
        let _ = (
            certificate.validity_text(),
            certificate.san(),
            certificate.san_of_show(),
            certificate.key_description(),
        );
        let _ = (certificate.dns_names().len(), certificate.matches_host("a.example"), certificate.not_after_s());
    }
    let _ = ringway::proto::tls::ocsp::certificate_id(data);
    let _ = ringway::proto::tls::crl::show(data);
}

pub fn crt_list(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(lines) = crt_list::parse(&text, "fuzz.list", crt_list::Bases::default()) {
        for line in &lines {
            let said = crt_list::said(line);
            assert!(!said.contains('\n'));
        }
    }
}

/// One line, one frame: it is cut to its length, and what is in it cannot begin another.
pub fn syslog(data: &[u8]) {
    let [format, len, level, line @ ..] = data else { return };
    let names = ["local", "rfc3164", "rfc5424", "priority", "short", "timed", "iso", "raw"];
    let Some(format) = Format::from_name(names[*format as usize % names.len()]) else { return };
    let (tag, line) = line.split_at(line.len().min(*level as usize / 8));
    let header = Header {
        format,
        facility: level % 24,
        level: level % 8,
        hostname: (len % 2 == 0).then_some(&b"box"[..]),
        tag,
        pid: 7,
        structured_data: b"",
        len_max: 80 + *len as usize,
    };
    let mut out = Vec::new();
    Framer::new().frame(&header, 1_795_345_438_727_000, 3600, line, &mut out);
    assert!(out.len() <= header.len_max && out.last() == Some(&b'\n'), "{}", out.escape_ascii());
}

fn texts(texts: &[&[u8]]) -> Vec<Vec<u8>> {
    texts.iter().map(|t| t.to_vec()).collect()
}

pub fn h1_heads() -> Vec<Vec<u8>> {
    texts(&[
        b"\x00GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close, upgrade\r\n\r\nhello",
        b"\x04POST http://a:80/x?y HTTP/1.0\r\nTransfer-Encoding: chunked\r\nX: a\r\n b\r\n\r\n",
        b"\x02OPTIONS * HTTP/1.1\nhost: [::1]:80\ncookie: a=b\nexpect: 100-continue\n\n",
        b"\x00CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nUpgrade: websocket\r\n\r\n",
        b"\x01HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\nConnection: keep-alive\r\n\r\nhello",
        b"\x31HTTP/1.1 101\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"\x00PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ])
}

pub fn h1_bodies() -> Vec<Vec<u8>> {
    texts(&[
        b"\x405\r\nhello\r\n0\r\n\r\n",
        b"\x80a ;x=\"y\"\r\n0123456789\r\n000\r\nA: b\r\nC:d\r\n\r\nrest",
        b"\x101\r\nx\r\nFFFFFFFFFFFFFFF\r\n",
    ])
}

pub fn proxy_headers() -> Vec<Vec<u8>> {
    let v2 = |rest: &[u8]| [&b"\r\n\r\n\0\r\nQUIT\n"[..], rest].concat();
    let mut seeds = texts(&[
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\n",
        b"PROXY TCP6 2001:db8::1 ::1 1000 80\r\nGET",
        b"PROXY UNKNOWN anything\r\n",
    ]);
    seeds.push(v2(&[0x21, 0x11, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 0, 2]));
    seeds.push(v2(&[
        0x21, 0x11, 0, 28, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 0, 2, 2, 0, 1, b'a', 0x20, 0, 9, 1, 0, 0, 0, 0, 0x21, 0, 1,
        b'T',
    ]));
    seeds.push(v2(&[0x20, 0, 0, 0]));
    seeds.push(v2(&[&[0x21, 0x21, 0, 36][..], &[9; 36]].concat()));
    seeds
}

pub fn dns_answers() -> Vec<Vec<u8>> {
    let question = b"\x12\x34\x81\x80\0\x01\0\x02\0\0\0\x01\x01a\x07example\0\0\x01\0\x01";
    let records = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x01\x02\x03\x04\xc0\x0c\0\x21\0\x01\0\0\0\x3c\0\x09\0\x01\0\x02\0\x50\xc0\x0c\0\0\0\x29\x10\0\0\0\0\0\0\0";
    vec![[&question[..], records].concat()]
}

pub fn peer_messages() -> Vec<Vec<u8>> {
    use peers_wire::{
        definition::{Column, Definition, Key},
        handshake::Hello,
        message::{self, Control, Kind},
    };
    let mut out = Vec::new();
    Hello { to: "a".into(), from: "b".into(), pid: 7 }.write(&mut out);
    message::control(Control::ResyncRequest, &mut out);
    let columns =
        vec![Column { data: 1, elements: 1, period_ms: 0 }, Column { data: 11, elements: 1, period_ms: 1000 }];
    let mut data = Vec::new();
    Definition { id: 1, name: b"t".to_vec(), key: Key::String(32), expire_ms: 1000, columns }.write(&mut data);
    message::definition(&data, &mut out);
    message::update(
        Kind { incremental: false, timed: true },
        &[0, 0, 0, 1, 0, 0, 1, 0, 1, b'k', 5, 9, 8, 7],
        &mut out,
    );
    message::ack(1, 2, &mut out);
    vec![out]
}

pub fn client_hellos() -> Vec<Vec<u8>> {
    let extensions = [
        &[0, 0, 0, 14, 0, 12, 0, 0, 9][..],
        b"a.example",
        &[0, 16, 0, 5, 0, 3, 2, b'h', b'2', 0, 43, 0, 3, 2, 3, 4, 0, 10, 0, 4, 0, 2, 0, 29],
        &[0, 51, 0, 8, 0, 6, 0, 29, 0, 2, 1, 1, 0, 35, 0, 0, 0, 13, 0, 4, 0, 2, 4, 3, 0, 11, 0, 2, 1, 0],
    ]
    .concat();
    let mut hello = [&[3, 3][..], &[7; 32], &[0, 0, 4, 0x13, 1, 0x13, 2, 1, 0]].concat();
    hello.extend((extensions.len() as u16).to_be_bytes());
    hello.extend(extensions);
    let mut record = vec![1, 0];
    record.extend((hello.len() as u16).to_be_bytes());
    record.extend(hello);
    let mut seed = vec![22, 3, 1];
    seed.extend((record.len() as u16).to_be_bytes());
    seed.extend(record);
    vec![seed, b"\x80\x2e\x01\x03\x01".to_vec()]
}

pub fn cookie_values() -> Vec<Vec<u8>> {
    texts(&[b"a=b; c=\"d;e\", f = g;h", b"s=1; path=/; HttpOnly; expires=Mon, 1 Jan", b"$Version=1; a=\"\\\"b\""])
}

pub fn uris() -> Vec<Vec<u8>> {
    texts(&[b"/a/b?c=d#e", b"http://u@a.example:80/x?y", b"*", b"[::1]:80", b"https://[::1]/"])
}

pub fn pems() -> Vec<Vec<u8>> {
    texts(&[
        b"-----BEGIN CERTIFICATE-----\nMIIBAjCBqQ==\n-----END CERTIFICATE-----\n",
        b"-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END EC PRIVATE KEY-----\nx",
        b"\x30\x82\x01\x02\x30\x81\xa9\xa0\x03\x02\x01\x02\x02\x01\x01\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02\x30\x00",
    ])
}

pub fn crt_lists() -> Vec<Vec<u8>> {
    texts(&[b"a.pem\nb.pem [alpn h2,http/1.1 ssl-min-ver TLSv1.2 verify required ca-file c] *.a.example !b.a.example\n# c\n", b"x.pem [ocsp-update on curves X25519:P-256] \n"])
}

pub fn log_lines() -> Vec<Vec<u8>> {
    (0..8u8).map(|f| [&[f, 20, 9 + f * 17][..], b"tag a line of a log\nwith another\0"].concat()).collect()
}
