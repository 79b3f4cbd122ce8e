//! Replies of the proxy's own when something is wrong, and the logs that say so.

use crate::common::origin::{Gate, Step};
use crate::run::Run;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn bad_request(run: &mut Run, request: &[u8]) {
    run.origin("s1", vec![Step::Serve("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into())]);
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send(request);
    c.closed();
    run.logs(1);
}

scenario!(no_server_503, |run| {
    run.http("", "");
    let mut c = run.client();
    c.ask(GET);
    c.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
    c.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    c.closed();
    run.logs(3);
});

scenario!(no_server_503_to_head, |run| {
    run.http("", "");
    let mut c = run.client();
    c.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    c.response_to_head();
    c.ask(GET);
    run.logs(2);
});

scenario!(no_backend_503, |run| {
    run.listen("fe");
    run.start(
        "global\n log {log} local0\n nbthread 1\n maxconn 100\ndefaults\n log global\n mode http\n option httplog\n \
         timeout client 5s\nfrontend fe\n bind 127.0.0.1:{fe}\n",
    );
    run.client().ask(GET);
    run.logs(1);
});

scenario!(refused_connection_503, |run| {
    run.refusing("s1");
    run.http("", "retries 0\n server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.ask(GET);
    run.logs(1);
});

scenario!(server_closes_without_answering_502, |run| {
    run.origin("s1", vec![Step::Request, Step::Close]);
    run.http("", "retries 0\n server s1 127.0.0.1:{s1}");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(server_resets_502, |run| {
    run.origin("s1", vec![Step::Request, Step::Reset]);
    run.http("", "retries 0\n server s1 127.0.0.1:{s1}");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(server_stops_in_its_head_502, |run| {
    run.origin("s1", vec![Step::Request, Step::Send("HTTP/1.1 200 OK\r\nContent-Le".into()), Step::Close]);
    run.http("", "retries 0\n server s1 127.0.0.1:{s1}");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(answer_that_is_not_http_502, |run| {
    run.origin("s1", vec![Step::Request, Step::Send("SSH-2.0-OpenSSH_9.2\r\n\r\n".into())]);
    run.http("", "retries 0\n server s1 127.0.0.1:{s1}");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(answer_with_a_bad_header_502, |run| {
    run.origin("s1", vec![Step::Request, Step::Send("HTTP/1.1 200 OK\r\nBad Header: x\r\n\r\n".into())]);
    run.http("", "retries 0\n server s1 127.0.0.1:{s1}");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(answer_with_two_lengths_502, |run| {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc";
    run.origin("s1", vec![Step::Request, Step::Send(answer.into())]);
    run.http("", "retries 0\n server s1 127.0.0.1:{s1}");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(oversized_answer_head_502, |run| {
    let answer = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\nContent-Length: 0\r\n\r\n", "y".repeat(20_000));
    run.origin("s1", vec![Step::Request, Step::Send(answer.into())]);
    run.http("", "retries 0\n server s1 127.0.0.1:{s1}");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(garbage_400, |run| bad_request(run, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"));

scenario!(bad_method_400, |run| bad_request(run, b"G@T{ / HTTP/1.1\r\nHost: a\r\n\r\n"));

scenario!(space_before_colon_400, |run| bad_request(run, b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"));

scenario!(control_byte_in_uri_400, |run| bad_request(run, b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n"));

scenario!(nul_in_header_400, |run| bad_request(
    run,
    b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\nConnection: close\r\n\r\n"
));

scenario!(bad_version_400, |run| bad_request(run, b"GET / HTTP/x.1\r\nHost: a\r\n\r\n"));

scenario!(differing_lengths_400, |run| {
    bad_request(run, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc");
});

scenario!(bad_length_400, |run| {
    bad_request(run, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2x\r\n\r\nabc");
});

scenario!(bad_chunk_size_400, |run| {
    bad_request(run, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n");
});

scenario!(oversized_request_head_431, |run| {
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "y".repeat(20_000));
    bad_request(run, request.as_bytes());
});

scenario!(oversized_uri, |run| {
    let request = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "y".repeat(20_000));
    bad_request(run, request.as_bytes());
});

scenario!(too_many_headers_400, |run| {
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(150));
    bad_request(run, request.as_bytes());
});

scenario!(client_leaves_before_the_answer, |run| {
    let gate = Gate::new();
    run.origin("s1", vec![Step::Request, Step::Gate(gate)]);
    run.http("", "option abortonclose\n timeout server 300ms\n server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send(GET);
    run.origin_received("s1", 0, b"\r\n\r\n");
    drop(c);
    run.logs(1);
});

scenario!(client_leaves_in_the_middle_of_its_head, |run| {
    run.http("", "");
    let mut c = run.client();
    c.send("GET / HTTP/1.1\r\nHos");
    c.half_close();
    c.closed();
    run.logs(1);
});

scenario!(second_request_is_bad, |run| {
    run.origin("s1", vec![Step::Serve("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into())]);
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.ask(GET);
    c.send("nonsense\r\n\r\n");
    c.closed();
    run.logs(2);
});

scenario!(deny_of_a_backend_rule, |run| {
    run.http("", "http-request deny deny_status 401");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(pipelined_request_is_read_behind_a_503, |run| {
    run.refusing("s1");
    run.origin("s2", vec![Step::Serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".into())]);
    run.http(
        "use_backend other if { path /other }",
        "retries 0\n server s1 127.0.0.1:{s1}\nbackend other\n server s2 127.0.0.1:{s2}",
    );
    let mut c = run.client();
    c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST /other HTTP/1.1\r\nHost: a\r\nContent-Length: 36\r\n\r\n");
    c.response();
    run.logs(1);
    // Read as a request it would be a smuggled one.
    c.send("GET /smuggled HTTP/1.1\r\nHost: aaa\r\n\r\n");
    c.response();
    run.logs(1);
});

scenario!(pipelined_request_is_read_behind_a_502, |run| {
    run.origin("s1", vec![Step::Request, Step::Close]);
    run.http("http-request return status 200 if { path /second }", "retries 0\n server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n");
    c.response();
    c.response();
    run.logs(2);
});

scenario!(answer_with_a_bad_chunk_502, |run| {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n";
    run.origin("s1", vec![Step::Request, Step::Send(answer.into())]);
    run.http("", "retries 0\n server s1 127.0.0.1:{s1}");
    run.client().ask(GET);
    run.logs(1);
});
