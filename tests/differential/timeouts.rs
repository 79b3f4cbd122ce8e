//! Every timeout by its outcome (reply, log, closing), never by its exact duration.

use crate::common::origin::Step;
use crate::run::Run;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn silent(run: &mut Run) {
    run.origin("s1", vec![Step::Request, Step::Eof]);
}

scenario!(http_request_408, |run| {
    run.http("timeout http-request 150ms", "");
    let mut c = run.client();
    c.send("GET / HTTP/1.1\r\nHo");
    c.closed();
    run.logs(1);
});

scenario!(http_request_408_without_a_byte, |run| {
    run.http("timeout http-request 150ms", "");
    let mut c = run.client();
    c.closed();
    run.logs(1);
});

scenario!(client_timeout_stands_in_for_http_request, |run| {
    run.http("timeout client 150ms", "");
    let mut c = run.client();
    c.send("GET / HTTP/1.1\r\nHo");
    c.closed();
    run.logs(1);
});

scenario!(client_timeout_in_the_body, |run| {
    run.origin("s1", vec![Step::Request, Step::Eof]);
    run.http("timeout client 150ms", "timeout server 600ms\n server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    c.closed();
    run.logs(1);
});

scenario!(keep_alive_timeout_is_silent, |run| {
    run.origin("s1", vec![Step::Serve(OK.into())]);
    run.http("timeout http-keep-alive 150ms", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.ask(GET);
    c.closed();
    run.logs(1);
});

scenario!(keep_alive_timeout_ends_with_the_first_byte, |run| {
    run.origin("s1", vec![Step::Serve(OK.into())]);
    run.http("timeout http-keep-alive 2s\n timeout http-request 150ms", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.ask(GET);
    c.send("GET / HT");
    c.closed();
    run.logs(2);
});

scenario!(server_timeout_504, |run| {
    silent(run);
    run.http("", "timeout server 150ms\n retries 0\n server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.ask(GET);
    run.origin_ended("s1", 0);
    run.logs(1);
});

scenario!(server_timeout_in_the_body, |run| {
    run.origin(
        "s1",
        vec![Step::Request, Step::Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".into()), Step::Eof],
    );
    run.http("", "timeout server 150ms\n server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send(GET);
    c.closed();
    run.logs(1);
});

scenario!(connect_timeout_503, |run| {
    run.black_hole("s1");
    run.http("", "timeout connect 100ms\n retries 0\n server s1 127.0.0.1:{s1}");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(connect_timeout_is_retried, |run| {
    run.black_hole("s1");
    run.http("", "timeout connect 100ms\n retries 1\n server s1 127.0.0.1:{s1}");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(queue_timeout_503, |run| {
    silent(run);
    run.http("", "timeout queue 150ms\n server s1 127.0.0.1:{s1} maxconn 1");
    let mut first = run.client();
    first.send(GET);
    run.origin_received("s1", 0, b"\r\n\r\n");
    let mut second = run.client();
    second.ask("GET /second HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(1);
    run.keep(first);
});

scenario!(tunnel_timeout, |run| {
    let yes = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n";
    run.origin("s1", vec![Step::Request, Step::Send(yes.into()), Step::Eof]);
    run.http("", "timeout tunnel 150ms\n server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.ask("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n");
    c.send("ping");
    c.closed();
    run.origin_ended("s1", 0);
    run.logs(1);
});

scenario!(tunnel_timeout_replaces_client_and_server, |run| {
    let yes = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n";
    run.origin(
        "s1",
        vec![Step::Request, Step::Send(yes.into()), Step::Pause(400), Step::Send("late".into()), Step::Close],
    );
    run.http("timeout client 200ms", "timeout server 200ms\n timeout tunnel 5s\n server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.ask("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n");
    c.closed();
    run.logs(1);
});

scenario!(tcp_client_timeout, |run| {
    run.origin("s1", vec![Step::Eof]);
    run.tcp("timeout client 150ms", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send("hello");
    c.closed();
    run.origin_ended("s1", 0);
    run.logs(1);
});

scenario!(tcp_server_timeout, |run| {
    run.origin("s1", vec![Step::Eof]);
    run.tcp("", "timeout server 150ms\n server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send("hello");
    c.closed();
    run.logs(1);
});

scenario!(tcp_tunnel_timeout, |run| {
    run.origin("s1", vec![Step::Bytes(5), Step::Send("world".into()), Step::Eof]);
    run.tcp("", "timeout tunnel 150ms\n server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send("hello");
    c.closed();
    run.logs(1);
});

scenario!(client_fin_ends_a_half_closed_client, |run| {
    run.origin("s1", vec![Step::Bytes(5), Step::Send("world".into()), Step::Eof]);
    run.tcp("timeout client-fin 150ms", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send("hello");
    c.until(b"world");
    // The origin keeps its side open after our FIN only as long as it reads.
    c.half_close();
    c.closed();
    run.origin_ended("s1", 0);
    run.logs(1);
});

scenario!(server_fin_ends_a_half_closed_server, |run| {
    run.origin("s1", vec![Step::Bytes(5), Step::Send("world".into()), Step::HalfClose, Step::Eof]);
    run.tcp("", "timeout server-fin 150ms\n server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send("hello");
    c.until(b"world");
    c.closed();
    run.logs(1);
});

scenario!(tarpit_500_after_its_timeout, |run| {
    run.http("timeout tarpit 150ms\n http-request tarpit", "");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(slow_but_steady_is_no_timeout, |run| {
    let mut script = vec![Step::Request, Step::Send("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n".into())];
    // 750 ms in all, never 600 without a byte.
    for _ in 0..4 {
        script.extend([Step::Pause(190), Step::Send("abc".into())]);
    }
    run.origin("s1", script);
    run.http("timeout client 600ms", "timeout server 600ms\n server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.ask(GET);
    run.logs(1);
});

scenario!(wait_for_body_408_when_its_time_is_over, |run| {
    run.origin("s1", vec![Step::Serve(OK.into())]);
    run.http("http-request wait-for-body time 150ms if METH_POST", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    c.closed();
    run.logs(1);
});

scenario!(wait_for_body_of_a_response_504_when_its_time_is_over, |run| {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    run.origin("s1", vec![Step::Request, Step::Send(half.into()), Step::Eof]);
    run.http("", "http-response wait-for-body time 150ms\n server s1 127.0.0.1:{s1}");
    run.client().ask(GET);
    run.origin_ended("s1", 0);
    run.logs(1);
});

scenario!(wait_for_body_of_a_response_sees_it_whole, |run| {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
    run.origin("s1", vec![Step::Request, Step::Send(head.into()), Step::Pause(50), Step::Send("world".into())]);
    run.http(
        "",
        "http-response wait-for-body time 3s\n http-response set-header x-length %[res.body_len]\n \
         server s1 127.0.0.1:{s1}",
    );
    run.client().ask(GET);
    run.logs(1);
});

fn buffering(run: &mut Run, frontend: &str, backend: &str) {
    run.origin("s1", vec![Step::Serve(OK.into())]);
    run.http(&format!("timeout http-request 150ms\n {frontend}"), &format!("{backend}\n server s1 127.0.0.1:{{s1}}"));
    let mut c = run.client();
    c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    c.closed();
    run.logs(1);
}

scenario!(buffered_request_408_when_its_body_is_late, |run| buffering(run, "option http-buffer-request", ""));

scenario!(buffered_request_of_a_backend_408, |run| buffering(run, "", "option http-buffer-request"));

scenario!(who_waits_for_a_body_asks_for_it, |run| {
    run.origin("s1", vec![Step::Serve(OK.into())]);
    run.http("option http-buffer-request", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    c.response();
    c.send("body");
    c.response();
    run.logs(1);
});

scenario!(wait_for_body_408_when_the_client_is_silent_for_its_timeout, |run| {
    run.origin("s1", vec![Step::Serve(OK.into())]);
    run.http("timeout client 150ms\n http-request wait-for-body time 20s", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    c.closed();
    run.logs(1);
});

scenario!(content_rules_of_http_mode_that_a_body_cannot_decide_pass, |run| {
    run.origin("s1", vec![Step::Serve(OK.into())]);
    run.http(
        "tcp-request inspect-delay 20s\n tcp-request content reject if { req.ssl_hello_type 1 } || { payload(0,9) -m found }\n \
         tcp-request content reject if { req.ssl_sni -m found } || { req.rdp_cookie -m found }\n \
         tcp-request content reject if { req.body_len ge 9 } || !{ req.len gt 40 } || !HTTP\n \
         tcp-request content accept if { req.body -m beg abc }\n tcp-request content reject",
        "server s1 127.0.0.1:{s1}",
    );
    let mut c = run.client();
    c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    run.origin_received("s1", 0, b"abc");
    c.send("defghij");
    c.response();
    run.logs(1);
});

scenario!(rules_see_what_came_of_a_body_with_its_head, |run| {
    run.origin("s1", vec![Step::Serve(OK.into())]);
    run.http(
        "http-request set-header x-body \"%[req.body] %[req.body_len] %[req.body_param(b)] %[req.len]\"",
        "http-response set-header x-body \"%[res.body] %[res.body_len] %[res.len]\"\n server s1 127.0.0.1:{s1}",
    );
    let mut c = run.client();
    for (length, rest) in [(7, ""), (10, "xyz")] {
        c.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\na=1&b=2{rest}"));
        c.response();
    }
    run.logs(2);
});

/// `tcp-response content` rules of HTTP mode: without `inspect-delay` they see nothing of the response.
fn response_content(run: &mut Run, rules: &str) {
    run.origin("s1", vec![Step::Serve(OK.into())]);
    run.http("", &format!("{rules}\n http-response set-header x-seen %[var(txn.seen)]\n server s1 127.0.0.1:{{s1}}"));
    let mut c = run.client();
    c.send(GET);
    match rules.ends_with("reject") {
        true => drop(c.closed()),
        false => drop(c.response()),
    }
}

scenario!(response_content_rules_of_http_mode_set_variables, |run| {
    response_content(run, "tcp-response content set-var(txn.seen) int(7)");
    run.logs(1);
});

scenario!(response_content_rules_of_http_mode_reject, |run| {
    response_content(run, "tcp-response content reject");
    run.logs(1);
    // Whether the server still read the request is not certain.
    run.forget();
});

scenario!(response_content_rules_of_http_mode_see_nothing_at_once, |run| {
    response_content(run, "tcp-response content reject if { status 200 } || { res.len gt 0 }");
    run.logs(1);
});

scenario!(response_content_rules_of_http_mode_see_the_response_within_their_delay, |run| {
    response_content(
        run,
        "tcp-response inspect-delay 5s\n tcp-response content accept if { status 404 }\n \
         tcp-response content reject if { res.hdr(content-length) 3 }\n \
         tcp-response content accept if { status 200 } { res.hdr(content-length) 2 }\n tcp-response content reject\n ",
    );
    run.logs(1);
});
