//! What is compressed and what compression does to heads. Bodies are compared as a client decodes them: two
//! compressors rarely write the same bytes.

use crate::common::http::{head_length, header_values, without_chunk_boundaries};
use crate::common::origin::{Gate, Step};
use crate::common::show;
use crate::run::{Peer, Run};
use std::ops::DerefMut;
use zlib_rs::{Inflate, InflateFlush};

const BODY: &str = "hello compressible world, hello compressible world, hello compressible world, hello again";

fn answer(fields: &str) -> Step {
    Step::Serve(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{BODY}", BODY.len()).into())
}

/// The data of a chunked body that may still be incomplete, and what follows its last chunk.
fn dechunked(mut bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut data = Vec::new();
    loop {
        let Some(end) = bytes.windows(2).position(|w| w == b"\r\n") else { return (data, Vec::new()) };
        let line = std::str::from_utf8(&bytes[..end]).expect("a size");
        let size = usize::from_str_radix(line, 16).expect("a size");
        bytes = &bytes[end + 2..];
        if size == 0 {
            return (data, bytes.to_vec());
        }
        data.extend_from_slice(&bytes[..size]);
        bytes = &bytes[size + 2..];
    }
}

fn inflated(coding: &str, bytes: &[u8]) -> Vec<u8> {
    // zlib streams begin with 0x78; else it is raw deflate.
    let (header, bits) = match (coding, bytes.first()) {
        ("gzip", _) => (true, 31),
        (_, Some(0x78)) => (true, 15),
        _ => (false, 15),
    };
    let mut out = vec![0; 1 << 20];
    let mut inflate = Inflate::new(header, bits);
    inflate.decompress(bytes, &mut out, InflateFlush::SyncFlush).expect("a good stream");
    out.truncate(inflate.total_out() as usize);
    out
}

/// A message as its reader understands it; Vary, which 2.6 always writes on a line of its own, as a list.
fn decoded(bytes: &[u8]) -> String {
    let head = head_length(bytes).expect("a head");
    let coding = header_values(&bytes[..head], "content-encoding");
    let chunked = !header_values(&bytes[..head], "transfer-encoding").is_empty();
    let (data, trailers) = if chunked { dechunked(&bytes[head..]) } else { (bytes[head..].to_vec(), Vec::new()) };
    let is_stream = !data.is_empty();
    let data = match coding.first() {
        Some(coding) if is_stream && *coding != "identity" => inflated(coding, &data),
        _ => data,
    };
    let mut lines: Vec<String> = String::from_utf8_lossy(&bytes[..head]).lines().map(str::to_owned).collect();
    let vary =
        header_values(&bytes[..head], "vary").iter().flat_map(|v| v.split(',')).map(str::trim).collect::<Vec<_>>();
    lines.retain(|l| !l.starts_with("vary:"));
    lines.push(format!("(vary {})", vary.join("+")));
    lines.push(format!("{} (of something: {is_stream})", show(&data)));
    lines.push(show(&trailers));
    lines.join("\n")
}

fn ask(run: &Run, client: &mut Peer, fields: &str) {
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    let response = client.deref_mut().response();
    run.note("decoded", &decoded(&response));
}

/// One configuration and response for requests with these fields, each.
fn asked(run: &mut Run, settings: &str, response: Step, requests: &[&str]) {
    run.origin("s1", vec![response]);
    run.http("", &format!("{settings}\n server s1 127.0.0.1:{{s1}}"));
    let mut client = run.client();
    for fields in requests {
        ask(run, &mut client, fields);
        run.logs(1);
    }
}

const GZIP: &str = "Accept-Encoding: gzip\r\n";

scenario!(gzip_for_who_asks, |run| {
    asked(
        run,
        "compression algo gzip",
        answer(""),
        &[GZIP, "", "Accept-Encoding: br, *;q=0.1\r\n", "Accept-Encoding: gzip;q=0\r\n"],
    );
});

scenario!(deflate_with_a_header, |run| {
    asked(run, "compression algo deflate", answer(""), &["Accept-Encoding: deflate\r\n", GZIP]);
});

scenario!(deflate_without_a_header, |run| {
    asked(run, "compression algo raw-deflate", answer(""), &["Accept-Encoding: deflate\r\n"]);
});

scenario!(preferences_among_several, |run| {
    let accepts = ["gzip, deflate", "deflate, gzip", "*", "deflate;q=0.5, gzip;q=0.6", "br"];
    let requests = accepts.map(|a| format!("Accept-Encoding: {a}\r\n"));
    asked(run, "compression algo gzip deflate identity", answer(""), &requests.each_ref().map(String::as_str));
});

scenario!(identity, |run| {
    asked(run, "compression algo identity", answer("ETag: \"a\"\r\n"), &["", GZIP]);
});

scenario!(offload_hides_accept_encoding, |run| {
    asked(run, "compression algo gzip\n compression offload", answer(""), &[GZIP, "Accept-Encoding: br\r\n"]);
});

scenario!(old_browsers, |run| {
    let with = |agent: &str| format!("{GZIP}User-Agent: Mozilla/4.0 (compatible; MSIE {agent})\r\n");
    let requests = [with("6.0; Windows NT 5.1"), with("6.0; Windows NT 5.1; SV1"), with("7.0; X")];
    asked(run, "compression algo gzip", answer(""), &requests.each_ref().map(String::as_str));
});

scenario!(weak_etag_and_vary, |run| {
    asked(run, "compression algo gzip", answer("ETag: \"a\"\r\nVary: Cookie\r\nX: 1\r\n"), &[GZIP]);
});

scenario!(weak_etag_stays, |run| {
    asked(run, "compression algo gzip", answer("ETag: W/\"a\"\r\nVary: accept-encoding\r\n"), &[GZIP]);
});

scenario!(two_etags_forbid, |run| {
    asked(run, "compression algo gzip", answer("ETag: \"a\"\r\nETag: \"b\"\r\n"), &[GZIP]);
});

scenario!(no_transform, |run| {
    asked(run, "compression algo gzip", answer("Cache-Control: max-age=1, no-transform\r\n"), &[GZIP]);
});

scenario!(encoded_by_the_server, |run| {
    asked(run, "compression algo gzip", answer("Content-Encoding: identity\r\n"), &[GZIP]);
});

scenario!(multipart, |run| {
    asked(run, "compression algo gzip", answer("Content-Type: multipart/mixed\r\n"), &[GZIP]);
});

scenario!(types, |run| {
    let types = "compression algo gzip\n compression type text/html text/pl";
    asked(run, types, answer("Content-Type: TEXT/plain; x\r\n"), &[GZIP]);
});

scenario!(other_types, |run| {
    asked(run, "compression algo gzip\n compression type text/html", answer("Content-Type: image/png\r\n"), &[GZIP]);
});

scenario!(statuses_outside_of_200_to_203, |run| {
    run.origin("s1", vec![Step::Serve("HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello".into())]);
    run.http("compression algo gzip", "server s1 127.0.0.1:{s1}");
    let mut client = run.client();
    ask(run, &mut client, GZIP);
    run.logs(1);
});

scenario!(responses_to_head_and_old_clients, |run| {
    run.origin(
        "s1",
        vec![
            Step::Request,
            Step::Send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".into()),
            Step::Serve("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".into()),
        ],
    );
    run.http("compression algo gzip", "server s1 127.0.0.1:{s1}");
    let mut client = run.client();
    client.send(format!("HEAD / HTTP/1.1\r\nHost: a\r\n{GZIP}\r\n"));
    client.response_to_head();
    client.send(format!("GET / HTTP/1.0\r\nHost: a\r\n{GZIP}\r\n"));
    client.closed();
    run.logs(2);
});

scenario!(rules_come_after_the_decision, |run| {
    let rules = "compression algo gzip\n http-response set-header Cache-Control no-transform\n http-response set-status 404\n \
                 http-response set-header x-comp %[res.comp]-%[res.comp_algo]";
    asked(run, rules, answer(""), &[GZIP, ""]);
});

scenario!(frontend_and_backend, |run| {
    run.origin("s1", vec![answer("")]);
    run.http("compression algo gzip", "compression algo deflate\n server s1 127.0.0.1:{s1}");
    let mut client = run.client();
    ask(run, &mut client, "Accept-Encoding: gzip, deflate\r\n");
    ask(run, &mut client, GZIP);
    run.logs(2);
});

scenario!(trailers_are_kept, |run| {
    let response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nX-T: 1\r\n\r\n";
    asked(run, "compression algo gzip", Step::Serve(response.into()), &[GZIP]);
});

scenario!(empty_chunked_body, |run| {
    let response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    asked(run, "compression algo gzip", Step::Serve(response.into()), &[GZIP]);
});

scenario!(body_of_unknown_length_is_left_alone, |run| {
    run.origin("s1", vec![Step::Request, Step::Send("HTTP/1.1 200 OK\r\n\r\nhello".into()), Step::Close]);
    run.http("compression algo gzip", "server s1 127.0.0.1:{s1}");
    let mut client = run.client();
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{GZIP}\r\n"));
    client.closed();
    run.logs(1);
});

scenario!(large_body, |run| {
    let body: String = (0..40_000u64).map(|i| format!("{{\"key\": {}}},", i * i % 1013)).collect();
    let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    run.origin("s1", vec![Step::Serve(response.into())]);
    run.http("compression algo gzip", "server s1 127.0.0.1:{s1}");
    let mut client = run.client();
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{GZIP}\r\n"));
    let bytes = client.deref_mut().response();
    let head = head_length(&bytes).expect("a head");
    run.note("body", &(inflated("gzip", &dechunked(&bytes[head..]).0) == body.as_bytes()).to_string());
    run.logs(1);
});

scenario!(streaming_origin_is_not_held, |run| {
    let gate = Gate::new();
    run.origin(
        "s1",
        vec![
            Step::Request,
            Step::Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n".into()),
            Step::Gate(gate.clone()),
            Step::Send("6\r\n third\r\n0\r\n\r\n".into()),
        ],
    );
    run.http("compression algo gzip", "server s1 127.0.0.1:{s1}");
    let mut client = run.client();
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{GZIP}\r\n"));
    // Some of the body must come while the origin waits.
    let head = client.deref_mut().until(b"\r\n\r\n");
    let mut bytes = client.deref_mut().until(b"\r\n");
    gate.open();
    bytes.extend(client.deref_mut().until(b"\r\n0\r\n\r\n"));
    run.note("head", &show(&without_chunk_boundaries(&head)));
    run.note("body", &show(&inflated("gzip", &dechunked(&bytes).0)));
    run.logs(1);
});
