//! Message framing: lengths, chunks, trailers, interim responses, bodiless messages, tunnels, pipelines.

use crate::common::origin::{Gate, Step};
use crate::run::Run;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An origin `s1` that serves one answer, behind the usual configuration.
fn serving(run: &mut Run, answer: &str) {
    run.origin("s1", vec![Step::Serve(answer.into())]);
    run.http("", "server s1 127.0.0.1:{s1}");
}

scenario!(get_without_body, |run| {
    serving(run, OK);
    let mut c = run.client();
    c.ask("GET /a%20b?x=1#f HTTP/1.1\r\nHost: example.org\r\nX-MiXed: Value  \r\naccept:*/*\r\n\r\n");
    run.logs(1);
});

scenario!(content_length_both_ways, |run| {
    serving(run, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nX-A: 1\r\n\r\n0123456789");
    let mut c = run.client();
    c.ask("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    c.ask("PUT /p HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    run.logs(2);
});

scenario!(body_arriving_in_pieces, |run| {
    run.origin("s1", vec![Step::Request, Step::Split(OK.into(), 3)]);
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send_split("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\nhello, world", 7);
    c.response();
    run.logs(1);
});

scenario!(chunked_response, |run| {
    serving(run, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
    let mut c = run.client();
    c.ask("GET /c HTTP/1.1\r\nHost: a\r\n\r\n");
    c.ask("GET /c HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(2);
});

scenario!(chunked_response_with_trailers, |run| {
    serving(
        run,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
    );
    let mut c = run.client();
    c.ask("GET /t HTTP/1.1\r\nHost: a\r\n\r\n");
    c.ask("GET /again HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(2);
});

scenario!(chunked_response_to_http10_client, |run| {
    serving(run, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let mut c = run.client();
    c.send("GET /c HTTP/1.0\r\nHost: a\r\n\r\n");
    c.closed();
    run.logs(1);
});

scenario!(chunked_request, |run| {
    serving(run, OK);
    let mut c = run.client();
    c.ask("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    c.ask("GET /after HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(2);
});

scenario!(chunked_request_with_trailers, |run| {
    serving(run, OK);
    let mut c = run.client();
    c.ask("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n0\r\nX-T: v\r\nX-U: w\r\n\r\n");
    run.logs(1);
});

scenario!(response_until_close, |run| {
    run.origin(
        "s1",
        vec![Step::Request, Step::Send("HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nuntil the end".into()), Step::Close],
    );
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    c.closed();
    run.logs(1);
});

scenario!(http10_response_until_close, |run| {
    run.origin("s1", vec![Step::Request, Step::Send("HTTP/1.0 200 OK\r\n\r\nold".into()), Step::Close]);
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    c.closed();
    run.logs(1);
});

scenario!(head_has_no_body, |run| {
    run.origin("s1", vec![Step::Serve("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".into())]);
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send("HEAD /h HTTP/1.1\r\nHost: a\r\n\r\n");
    c.response_to_head();
    c.send("HEAD /h2 HTTP/1.1\r\nHost: a\r\n\r\n");
    c.response_to_head();
    run.logs(2);
});

scenario!(no_content_and_not_modified_have_no_body, |run| {
    let second = "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: \"x\"\r\n\r\n";
    run.origin(
        "s1",
        vec![
            Step::Request,
            Step::Send("HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n".into()),
            Step::Request,
            Step::Send(second.into()),
            Step::Request,
            Step::Send(OK.into()),
        ],
    );
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.ask("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
    c.ask("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    c.ask("GET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(3);
});

scenario!(expect_100_continue, |run| {
    run.origin(
        "s1",
        vec![
            Step::Until(b"\r\n\r\n".to_vec()),
            Step::Send("HTTP/1.1 100 Continue\r\n\r\n".into()),
            Step::Bytes(4),
            Step::Send(OK.into()),
        ],
    );
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.ask("POST /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    c.ask("body");
    run.logs(1);
});

scenario!(expect_refused_by_final_status, |run| {
    let no = "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    run.origin_with(
        "s1",
        vec![
            vec![Step::Until(b"\r\n\r\n".to_vec()), Step::Send(no.into()), Step::Close],
            vec![Step::Serve(OK.into())],
        ],
    );
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.ask("POST /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    c.send("body");
    run.logs(1);
    c.ask("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(1);
});

scenario!(interim_responses_are_passed_on, |run| {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\n";
    run.origin("s1", vec![Step::Request, Step::Send(hints.into()), Step::Send(format!("{hints}{OK}").into())]);
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.ask("GET /h HTTP/1.1\r\nHost: a\r\n\r\n");
    c.response();
    c.response();
    run.logs(1);
});

scenario!(early_response_while_the_body_is_sent, |run| {
    run.origin("s1", vec![Step::Until(b"begin".to_vec()), Step::Send(OK.into())]);
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.ask("POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nbegin");
    c.send("later");
    run.origin_received("s1", 0, b"beginlater");
    run.logs(1);
});

scenario!(pipelined_requests_are_answered_in_order, |run| {
    run.origin(
        "s1",
        vec![
            Step::Request,
            Step::Send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none".into()),
            Step::Request,
            Step::Send("HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\ntwo".into()),
            Step::Request,
            Step::Send("HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\nthree".into()),
        ],
    );
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send(concat!(
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        "GET /3 HTTP/1.1\r\nHost: a\r\n\r\n"
    ));
    c.response();
    c.response();
    c.response();
    run.logs(3);
});

scenario!(absolute_form_is_passed_on, |run| {
    serving(run, OK);
    let mut c = run.client();
    c.ask("GET http://example.org/p?q HTTP/1.1\r\nHost: example.org\r\n\r\n");
    c.ask("OPTIONS * HTTP/1.1\r\nHost: example.org\r\n\r\n");
    run.logs(2);
});

scenario!(absolute_form_without_host, |run| {
    serving(run, OK);
    let mut c = run.client();
    c.ask("GET http://example.org:81/p HTTP/1.1\r\n\r\n");
    run.logs(1);
});

scenario!(absolute_form_against_host, |run| {
    serving(run, OK);
    let mut c = run.client();
    c.send("GET http://example.org/p HTTP/1.1\r\nHost: other.example\r\n\r\n");
    c.response();
    run.logs(1);
});

scenario!(connect_opens_a_tunnel, |run| {
    let yes = "HTTP/1.1 200 Connection established\r\n\r\n";
    run.origin(
        "s1",
        vec![Step::Request, Step::Send(yes.into()), Step::Bytes(4), Step::Send("pong".into()), Step::Close],
    );
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n");
    c.response_to_head();
    c.send("ping");
    c.closed();
    run.logs(1);
});

scenario!(a_reset_in_a_tunnel_goes_on_to_the_server, |run| {
    let yes = "HTTP/1.1 200 Connection established\r\n\r\n";
    run.origin("s1", vec![Step::Request, Step::Send(yes.into()), Step::Eof]);
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n");
    c.response_to_head();
    c.send("ping");
    run.origin_received("s1", 0, b"ping");
    c.reset();
    run.origin_ended_how("s1", 0);
    run.logs(1);
});

scenario!(connect_that_is_refused_leaves_the_connection_usable, |run| {
    let no = "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 2\r\n\r\nno";
    run.origin("s1", vec![Step::Request, Step::Send(no.into()), Step::Request, Step::Send(OK.into())]);
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.ask("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n");
    c.ask("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(2);
});

scenario!(upgrade_becomes_a_tunnel_after_101, |run| {
    let yes = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\nhello";
    run.origin(
        "s1",
        vec![Step::Request, Step::Send(yes.into()), Step::Bytes(4), Step::Send("pong".into()), Step::Close],
    );
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.ask("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n");
    c.until(b"hello");
    c.send("ping");
    c.closed();
    run.logs(1);
});

scenario!(websocket_upgrade, |run| {
    let yes = concat!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
    run.origin(
        "s1",
        vec![Step::Request, Step::Send(yes.into()), Step::Bytes(4), Step::Send("pong".into()), Step::Close],
    );
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.ask(concat!(
        "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ));
    c.send("ping");
    c.closed();
    run.logs(1);
});

scenario!(upgrade_that_the_server_ignores, |run| {
    serving(run, OK);
    let mut c = run.client();
    c.ask("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n");
    c.ask("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(2);
});

scenario!(server_that_stops_in_the_middle_of_a_body, |run| {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    run.origin("s1", vec![Step::Request, Step::Send(half.into()), Step::Close]);
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    c.closed();
    run.logs(1);
});

scenario!(server_that_stops_in_the_middle_of_a_chunk, |run| {
    let half = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n5\r\nde";
    run.origin("s1", vec![Step::Request, Step::Send(half.into()), Step::Close]);
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    c.closed();
    run.logs(1);
});

scenario!(large_bodies_both_ways, |run| {
    let body: String = (0..20_000).map(|n| format!("{n:09}\n")).collect();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    run.origin("s1", vec![Step::Request, Step::Send(answer.into()), Step::Eof]);
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.ask(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    run.logs(1);
});

scenario!(leading_empty_line_is_skipped, |run| {
    serving(run, OK);
    let mut c = run.client();
    c.ask("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(1);
});

scenario!(client_that_leaves_in_the_middle_of_its_body, |run| {
    let gate = Gate::new();
    run.origin("s1", vec![Step::Until(b"begin".to_vec()), Step::Gate(gate)]);
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nbegin");
    run.origin_received("s1", 0, b"begin");
    c.reset();
    run.logs(1);
});

/// A message whose rules touch what says where it ends, and another one behind it on the same connection.
fn edited(run: &mut Run, rule: &str, request: &str, answer: &str) {
    run.origin("s1", vec![Step::Serve(answer.into())]);
    run.http(&format!("{rule} if {{ var(txn.case) -m found }}"), "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.ask(request);
    run.logs(1);
    c.ask("GET /after HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(1);
}

const CASE: &str = "http-request set-var(txn.case) int(1) if { path /case }\n";
const FIVE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const CHUNKS: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
const GET_CASE: &str = "GET /case HTTP/1.1\r\nHost: a\r\n\r\n";

scenario!(rule_that_closes_the_clients_connection, |run| {
    run.origin("s1", vec![Step::Serve(FIVE.into())]);
    run.http("http-response set-header connection close", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send(GET_CASE);
    c.closed();
    run.logs(1);
});

scenario!(reply_that_would_set_its_own_length, |run| {
    let reply = "http-request return status 200 content-type text/plain string hello hdr content-length 99";
    edited(run, &format!("{CASE} {reply}"), GET_CASE, OK);
});

scenario!(head_that_a_rule_made_a_get_is_answered_without_body, |run| {
    run.origin("s1", vec![Step::Serve(FIVE.into())]);
    run.http("http-request set-method GET", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send("HEAD /case HTTP/1.1\r\nHost: a\r\n\r\n");
    c.response_to_head();
    c.ask("GET /after HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(2);
});

scenario!(status_without_body_that_a_rule_has_set_drops_it, |run| {
    edited(run, &format!("{CASE} http-response set-status 204"), GET_CASE, FIVE);
});

scenario!(status_not_modified_that_a_rule_has_set_drops_the_body, |run| {
    edited(run, &format!("{CASE} http-response set-status 304"), GET_CASE, CHUNKS);
});
