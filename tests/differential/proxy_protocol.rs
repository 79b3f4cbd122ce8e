//! The PROXY protocol, both versions, in and out.

use crate::common::origin::Step;
use crate::common::show;
use crate::run::Run;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const SIGNATURE: &[u8] = b"\r\n\r\n\x00\r\nQUIT\n";

fn accepting(run: &mut Run) {
    run.listen("fe");
    run.origin("s1", vec![Step::Serve(OK.into())]);
    run.http("bind 127.0.0.1:{fe} accept-proxy\n option forwardfor\n option originalto", "server s1 127.0.0.1:{s1}");
}

fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend([0x20 | command, family]);
    header.extend((addresses.len() as u16).to_be_bytes());
    header.extend(addresses);
    header
}

/// A received v2 header as text; addresses in dots, so that ports are masked as elsewhere.
pub fn described(bytes: &[u8]) -> String {
    if !bytes.starts_with(SIGNATURE) || bytes.len() < 16 {
        return format!("not a v2 header: {}", show(bytes));
    }
    let length = usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    let body = &bytes[16..16 + length];
    let mut text = format!("v2 command {:02x} family {:02x}", bytes[12], bytes[13]);
    let mut rest = body;
    if bytes[13] == 0x11 && body.len() >= 12 {
        let port = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
        let dots = |at: usize| format!("{}.{}.{}.{}", body[at], body[at + 1], body[at + 2], body[at + 3]);
        text.push_str(&format!(" {}:{} {}:{}", dots(0), port(8), dots(4), port(10)));
        rest = &body[12..];
    }
    while rest.len() >= 3 {
        let length = usize::from(u16::from_be_bytes([rest[1], rest[2]]));
        // A checksum covers ports that differ.
        let value = if rest[0] == 0x03 { "CRC".to_string() } else { show(&rest[3..3 + length]) };
        text.push_str(&format!(" tlv {:02x} {value}", rest[0]));
        rest = &rest[3 + length..];
    }
    format!("{text} then {}", show(&bytes[16 + length..]))
}

/// Sends through a server with these options and notes the header that the origin received.
fn sending_v2(run: &mut Run, options: &str) {
    let script = vec![Step::Until(b"ping".to_vec()), Step::Send("pong".into()), Step::Close];
    let origin = crate::common::origin::Origin::start(script);
    run.adopt_origin("s1", origin);
    run.tcp("", &format!("server s1 127.0.0.1:{{s1}} {options}"));
    let mut c = run.client();
    c.send("ping");
    c.closed();
    run.logs(1);
    let record = run.forget_origin("s1").ended(0);
    run.note("s1.0", &described(&record.bytes));
}

scenario!(accept_v1_tcp4, |run| {
    accepting(run);
    let mut c = run.client();
    c.ask("PROXY TCP4 192.0.2.7 198.51.100.9 1111 2222\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    c.ask("GET /second HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(2);
});

scenario!(accept_v1_tcp6, |run| {
    accepting(run);
    run.client().ask("PROXY TCP6 2001:db8::1 2001:db8::2 1111 2222\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(1);
});

scenario!(accept_v1_unknown, |run| {
    accepting(run);
    run.client().ask("PROXY UNKNOWN\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(1);
});

scenario!(accept_v2_tcp4, |run| {
    accepting(run);
    let mut c = run.client();
    let mut bytes = v2(1, 0x11, &[192, 0, 2, 7, 198, 51, 100, 9, 0x04, 0x57, 0x08, 0xae]);
    bytes.extend(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    c.send(bytes);
    c.response();
    run.logs(1);
});

scenario!(accept_v2_tcp6_with_tlv, |run| {
    accepting(run);
    let mut addresses = vec![0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    addresses.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0x04, 0x57, 0x08, 0xae]);
    addresses.extend(b"\x02\x00\x04host");
    let mut c = run.client();
    let mut bytes = v2(1, 0x21, &addresses);
    bytes.extend(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    c.send(bytes);
    c.response();
    run.logs(1);
});

scenario!(accept_v2_local, |run| {
    accepting(run);
    let mut c = run.client();
    let mut bytes = v2(0, 0x00, &[]);
    bytes.extend(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    c.send(bytes);
    c.response();
    run.logs(1);
});

scenario!(accept_proxy_refuses_what_is_no_header, |run| {
    accepting(run);
    let mut c = run.client();
    c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    c.closed();
    run.logs(1);
});

scenario!(accept_proxy_refuses_a_bad_line, |run| {
    accepting(run);
    let mut c = run.client();
    c.send("PROXY TCP4 nonsense 198.51.100.9 1111 2222\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    c.closed();
    run.logs(1);
});

scenario!(accept_proxy_and_the_client_leaves, |run| {
    accepting(run);
    let mut c = run.client();
    c.send("PROXY TCP4 192.0");
    c.half_close();
    c.closed();
    run.logs(1);
});

scenario!(send_proxy_v1, |run| {
    run.origin("s1", vec![Step::Until(b"ping".to_vec()), Step::Send("pong".into()), Step::Close]);
    run.tcp("", "server s1 127.0.0.1:{s1} send-proxy");
    let mut c = run.client();
    c.send("ping");
    c.closed();
    run.logs(1);
});

scenario!(send_proxy_v1_in_http_mode, |run| {
    run.origin("s1", vec![Step::Until(b"\r\n".to_vec()), Step::Serve(OK.into())]);
    run.http("", "server s1 127.0.0.1:{s1} send-proxy");
    let mut c = run.client();
    c.ask("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
    c.ask("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(2);
});

scenario!(send_proxy_v1_passes_what_was_accepted, |run| {
    run.listen("fe");
    run.origin("s1", vec![Step::Until(b"ping".to_vec()), Step::Send("pong".into()), Step::Close]);
    run.tcp("bind 127.0.0.1:{fe} accept-proxy", "server s1 127.0.0.1:{s1} send-proxy");
    let mut c = run.client();
    c.send("PROXY TCP4 192.0.2.7 198.51.100.9 1111 2222\r\nping");
    c.closed();
    run.logs(1);
});

scenario!(send_proxy_v2, |run| sending_v2(run, "send-proxy-v2"));

scenario!(send_proxy_v2_with_checksum, |run| {
    sending_v2(run, "send-proxy-v2 proxy-v2-options crc32c");
});

scenario!(a_connection_that_told_of_one_client_serves_no_other, |run| {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let (next, answer) = (Step::Until(b"\r\n\r\n".to_vec()), Step::Send(ok.into()));
    run.origin("s1", vec![next.clone(), answer.clone(), next, answer]);
    run.http("", "http-reuse always\n server s1 127.0.0.1:{s1} send-proxy");
    let mut first = run.client();
    first.ask("GET /first HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(1);
    let mut second = run.client();
    second.ask("GET /second HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(1);
    run.keep(first);
    run.keep(second);
});
