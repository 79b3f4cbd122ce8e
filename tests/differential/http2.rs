//! HTTP/2 clients before HTTP/1.1 servers, and the other pairs: what each side receives and what is logged.

use crate::common::h2::{get, request};
use crate::common::origin::Step;
use crate::common::pattern;
use crate::run::Run;
use ringway::proto::h2::ErrorCode;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A server that gives one answer again and again.
fn answering(run: &mut Run, answer: &str, frontend: &str, backend: &str) {
    run.origin("s1", vec![Step::Serve(answer.into())]);
    run.http(frontend, &format!("{backend}\n server s1 127.0.0.1:{{s1}}"));
}

/// One request, one answer, one log line.
fn one(run: &mut Run, answer: &str, method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) {
    answering(run, answer, "", "");
    run.h2().ask(&request(method, path, fields), body);
    run.logs(1);
}

scenario!(get_of_a_short_answer, |run| one(run, OK, "GET", "/a?b=c", &[], b""));

scenario!(post_with_a_length, |run| {
    one(run, OK, "POST", "/p", &[("content-length", "5"), ("content-type", "text/plain")], b"hello");
});

scenario!(post_without_a_length, |run| one(run, OK, "POST", "/p", &[], b"hello"));

scenario!(post_of_nothing, |run| one(run, OK, "POST", "/p", &[("content-length", "0")], b""));

scenario!(head_has_no_body, |run| {
    answering(run, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", "", "");
    run.h2().ask(&request("HEAD", "/h", &[]), b"");
    run.logs(1);
});

scenario!(no_content_204, |run| one(run, "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n", "GET", "/", &[], b""));

scenario!(not_modified_304, |run| {
    one(run, "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", "GET", "/", &[("if-none-match", "\"x\"")], b"");
});

scenario!(chunked_answer, |run| {
    one(
        run,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        "GET",
        "/",
        &[],
        b"",
    );
});

scenario!(chunked_answer_with_trailers, |run| {
    let answer =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n";
    one(run, answer, "GET", "/", &[("te", "trailers")], b"");
});

scenario!(empty_chunked_answer, |run| {
    one(run, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "GET", "/", &[], b"");
});

scenario!(answer_that_ends_with_its_connection, |run| {
    run.origin("s1", vec![Step::Request, Step::Send(b"HTTP/1.1 200 OK\r\n\r\nuntil the end".to_vec()), Step::Close]);
    run.http("", "server s1 127.0.0.1:{s1}");
    run.h2().ask(&get("/"), b"");
    run.logs(1);
});

scenario!(hop_by_hop_fields_of_an_answer, |run| {
    let answer = "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\n\
                  Content-Length: 2\r\n\r\nok";
    one(run, answer, "GET", "/", &[], b"");
});

scenario!(cookies_are_joined, |run| {
    one(run, OK, "GET", "/", &[("cookie", "a=1"), ("x-between", "y"), ("cookie", "b=2")], b"");
});

scenario!(a_cookie_in_many_parts, |run| {
    let parts: Vec<String> = (0..150).map(|n| format!("name{n}=value{n}")).collect();
    let fields: Vec<(&str, &str)> = parts.iter().map(|part| ("cookie", &part[..])).collect();
    one(run, OK, "GET", "/", &fields, b"")
});

scenario!(a_head_that_nearly_fills_the_buffer, |run| {
    let names: Vec<String> = (0..60).map(|n| format!("x-{n}")).collect();
    let value = "v".repeat(230);
    let fields: Vec<(&str, &str)> = names.iter().map(|name| (&name[..], &value[..])).collect();
    one(run, OK, "GET", "/", &fields, b"")
});

scenario!(several_set_cookies, |run| {
    one(
        run,
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n",
        "GET",
        "/",
        &[],
        b"",
    );
});

scenario!(te_other_than_trailers, |run| one(run, OK, "GET", "/", &[("te", "gzip, trailers")], b""));

scenario!(options_asterisk, |run| one(run, OK, "OPTIONS", "*", &[], b""));

scenario!(several_requests_on_a_connection, |run| {
    answering(run, OK, "", "");
    let mut c = run.h2();
    for path in ["/1", "/2", "/3"] {
        c.ask(&get(path), b"");
        run.logs(1);
    }
});

scenario!(deny_and_return, |run| {
    answering(
        run,
        OK,
        "http-request deny if { path /no }\n http-request return status 200 content-type text/plain string hi if { path /hi }",
        "",
    );
    let mut c = run.h2();
    c.ask(&get("/no"), b"");
    c.ask(&get("/hi"), b"");
    c.ask(&request("HEAD", "/hi", &[]), b"");
    run.logs(3);
});

scenario!(redirect, |run| {
    answering(run, OK, "redirect scheme https if { path /s }\n redirect prefix /p if { path /x }", "");
    let mut c = run.h2();
    c.ask(&get("/s"), b"");
    c.ask(&get("/x"), b"");
    run.logs(2);
});

scenario!(what_fetches_see, |run| {
    let show = "http-request set-header x-seen \"%[method] %[path] %[pathq] %[url] %[query] %[base] %[req.ver] %[fc_http_major] \
                %[req.hdr(host)] %[req.hdr_cnt]\"";
    answering(run, OK, show, "");
    run.h2().ask(&request("GET", "/a/b?c=d", &[("x-a", "1")]), b"");
    run.logs(1);
});

scenario!(edits_of_the_target, |run| {
    let rules = "http-request set-path /new%[path] if { path_beg /a }\n http-request set-query x=y if { path_beg /new/a }\n \
                 http-request set-uri /whole?u=1 if { path /u }\n http-request set-method PUT if { path /m }\n \
                 http-request replace-path (.*) /r\\1 if { path /e }";
    answering(run, OK, rules, "");
    let mut c = run.h2();
    for path in ["/a?q=1", "/u", "/m", "/e"] {
        c.ask(&get(path), b"");
    }
    run.logs(4);
});

scenario!(forwardfor_and_unique_id, |run| {
    answering(run, OK, "option forwardfor\n unique-id-format %{+X}o-%rt\n http-request set-header x-rt %rt", "");
    run.h2().ask(&get("/"), b"");
    run.logs(1);
});

scenario!(custom_log_format, |run| {
    let format = "log-format \"%HM %HP %HPO %HQ %HU %HV %{+Q}r %ST %tsc %B %U\"";
    answering(run, OK, format, "");
    run.h2().ask(&request("GET", "/p/q?r=s", &[]), b"");
    run.logs(1);
});

scenario!(no_server_503, |run| {
    run.http("", "");
    run.h2().ask(&get("/"), b"");
    run.logs(1);
});

scenario!(refused_connection_503, |run| {
    run.refusing("s1");
    run.http("", "retries 0\n server s1 127.0.0.1:{s1}");
    run.h2().ask(&get("/"), b"");
    run.logs(1);
});

scenario!(answer_that_is_not_http_502, |run| {
    run.origin("s1", vec![Step::Request, Step::Send(b"rubbish\r\n\r\n".to_vec())]);
    run.http("", "server s1 127.0.0.1:{s1}");
    run.h2().ask(&get("/"), b"");
    run.logs(1);
});

scenario!(server_breaks_off_its_body, |run| {
    run.origin("s1", vec![Step::Request, Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc".to_vec())]);
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.h2();
    let answer = c.client_answer(&get("/"));
    run.note("C1", &format!("{} {}", answer.status, answer.end.unwrap_or_default().starts_with("reset")));
    run.logs(1);
});

scenario!(server_times_out_504, |run| {
    run.origin("s1", vec![Step::Request, Step::Eof]);
    run.http("", "timeout server 300ms\n server s1 127.0.0.1:{s1}");
    run.h2().ask(&get("/"), b"");
    run.logs(1);
});

scenario!(interim_answer_passes, |run| {
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    one(run, answer, "GET", "/", &[], b"");
});

scenario!(a_large_body_comes_whole, |run| {
    let body = pattern(300_000, 7);
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(&body);
    run.origin("s1", vec![Step::Request, Step::Send(answer)]);
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.h2();
    let got = c.client_answer(&get("/"));
    run.note("C1", &format!("{} {} {}", got.status, got.body == body, got.end.unwrap_or_default()));
    run.logs(1);
});

scenario!(a_large_request_goes_whole, |run| {
    run.forget();
    run.origin("s1", vec![Step::Serve(OK.into())]);
    run.http("", "server s1 127.0.0.1:{s1}");
    let body = pattern(300_000, 8);
    let length = body.len().to_string();
    let mut c = run.h2();
    c.ask(&request("POST", "/", &[("content-length", &length)]), &body);
    let received = run.origin_named("s1").records()[0].bytes.clone();
    run.note("s1", &format!("{}", received.ends_with(&body)));
});

scenario!(compressed_answer, |run| {
    let text = "compress me ".repeat(50);
    let answer =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    answering(run, &answer, "", "compression algo gzip\n compression type text/plain");
    let mut c = run.h2();
    let got = c.client_answer(&request("GET", "/", &[("accept-encoding", "gzip")]));
    run.note("C1", &got.text);
    run.logs(1);
});

scenario!(cookie_persistence, |run| {
    answering(run, OK, "", "cookie SRV insert indirect nocache\n server s2 127.0.0.1:{s1} cookie two");
    let mut c = run.h2();
    c.ask(&request("GET", "/", &[("cookie", "a=b; SRV=two")]), b"");
    run.logs(1);
});

// Manual, "reject": an immediate closure of HTTP/2 connections, with the other streams on them.
scenario!(a_rule_that_rejects_ends_the_connection, |run| {
    run.origin("s1", vec![Step::Request, Step::Eof]);
    run.http(
        "http-request set-log-level silent if { path /held }\n http-request reject if { path /no }",
        "server s1 127.0.0.1:{s1}",
    );
    let mut c = run.h2();
    c.begin(&get("/held"));
    run.origin_named("s1").wait_for("the first request", |records| records.iter().any(|r| !r.bytes.is_empty()));
    let id = c.send(&get("/no"), b"");
    c.answer(id);
    let end = c.closed();
    run.note("C1", &end);
    run.logs(1);
});

// RFC 9113 §8.5: the server is told of it by RST.
scenario!(a_tunnel_whose_stream_is_reset, |run| {
    let yes = "HTTP/1.1 200 OK\r\n\r\n";
    run.origin("s1", vec![Step::Request, Step::Send(yes.into()), Step::Bytes(4), Step::Eof]);
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.h2();
    let c = &mut *c;
    let id = c.begin(&request("CONNECT", "example.org:443", &[]));
    c.data(id, b"ping", false);
    run.origin_received("s1", 0, b"ping");
    c.codec.reset(id, ErrorCode::CANCEL, &mut c.out);
    c.flush();
    run.origin_ended_how("s1", 0);
    run.logs(1);
});

scenario!(captures_and_sticky_counters, |run| {
    let rules = "declare capture request len 20\n capture request header user-agent len 10\n \
                 stick-table type ip size 10 store http_req_cnt\n http-request track-sc0 src\n \
                 http-request set-header x-count %[sc_http_req_cnt(0)]";
    answering(run, OK, rules, "");
    let mut c = run.h2();
    c.ask(&request("GET", "/1", &[("user-agent", "tester")]), b"");
    c.ask(&request("GET", "/2", &[("user-agent", "tester")]), b"");
    run.logs(2);
});
