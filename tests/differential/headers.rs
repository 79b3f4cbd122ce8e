//! What the proxy adds to messages and answers by itself: forwardfor, originalto, monitor-uri, errorfile, return,
//! redirect, deny.

use crate::common::origin::Step;
use crate::run::Run;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn serving(run: &mut Run, frontend: &str, backend: &str) {
    run.origin("s1", vec![Step::Serve(OK.into())]);
    run.http(frontend, &format!("{backend}\n server s1 127.0.0.1:{{s1}}"));
}

scenario!(forwardfor_appends, |run| {
    serving(run, "option forwardfor", "");
    let mut c = run.client();
    c.ask("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.1\r\nX-Z: last\r\n\r\n");
    run.logs(1);
});

scenario!(forwardfor_with_another_header, |run| {
    serving(run, "option forwardfor header X-Client", "");
    run.client().ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(1);
});

scenario!(forwardfor_if_none, |run| {
    serving(run, "option forwardfor if-none", "");
    let mut c = run.client();
    c.ask("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n");
    c.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(2);
});

scenario!(forwardfor_except_of_the_frontend_wins, |run| {
    serving(run, "option forwardfor except 127.0.0.0/8", "option forwardfor");
    run.client().ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(1);
});

scenario!(forwardfor_except_elsewhere, |run| {
    serving(run, "option forwardfor except 10.0.0.0/8", "");
    run.client().ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(1);
});

scenario!(originalto_in_both_sides, |run| {
    serving(run, "option originalto", "option originalto header X-Dst except 10.0.0.0/8");
    run.client().ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(1);
});

scenario!(all_added_headers_in_order, |run| {
    serving(run, "option forwardfor\n option originalto", "option http-server-close");
    run.client().ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nUser-Agent: t\r\n\r\n");
    run.logs(1);
});

scenario!(hop_by_hop_headers, |run| {
    serving(run, "", "");
    let mut c = run.client();
    c.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Hop, keep-alive\r\nKeep-Alive: 5\r\nX-Hop: 1\r\n\r\n");
    c.ask("GET / HTTP/1.1\r\nHost: a\r\nProxy-Connection: keep-alive\r\nUpgrade-Insecure-Requests: 1\r\n\r\n");
    run.logs(2);
});

scenario!(repeated_and_empty_headers_are_kept, |run| {
    run.origin(
        "s1",
        vec![Step::Serve(
            "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\nX-E:\r\n\r\n".into(),
        )],
    );
    run.http("", "server s1 127.0.0.1:{s1}");
    run.client()
        .ask("GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nX-B:\r\nX-A: 2\r\nCookie: c=1; d=2\r\nCookie: e\r\n\r\n");
    run.logs(1);
});

scenario!(response_reasons_and_versions, |run| {
    run.origin(
        "s1",
        vec![
            Step::Request,
            Step::Send("HTTP/1.1 299 Very Special Reason\r\nContent-Length: 0\r\n\r\n".into()),
            Step::Request,
            Step::Send("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n".into()),
            Step::Request,
            Step::Send("HTTP/1.0 404 Gone Fishing\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n".into()),
        ],
    );
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.ask("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
    c.ask("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    c.ask("GET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(3);
});

scenario!(monitor_uri, |run| {
    serving(run, "monitor-uri /alive", "");
    let mut c = run.client();
    c.ask("GET /alive HTTP/1.1\r\nHost: a\r\n\r\n");
    c.ask("GET /alive?x HTTP/1.1\r\nHost: a\r\n\r\n");
    c.ask("GET /other HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(2);
});

scenario!(errorfile_replaces_a_page, |run| {
    run.write("503.http", "HTTP/1.1 503 Sorry\r\nX-Page: own\r\nContent-Type: text/plain\r\n\r\ncome back later\n");
    run.http("errorfile 503 {dir}503.http", "");
    let mut c = run.client();
    c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    c.closed();
    run.logs(1);
});

scenario!(errorfile_of_a_backend, |run| {
    run.write("503.http", "HTTP/1.0 503 Down\r\nContent-Length: 5\r\n\r\ndown\n");
    run.http("", "errorfile 503 {dir}503.http");
    run.client().ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(1);
});

scenario!(deny_answers_403, |run| {
    serving(run, "http-request deny", "");
    let mut c = run.client();
    c.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    c.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    run.logs(2);
});

scenario!(deny_with_another_status, |run| {
    serving(run, "http-request deny deny_status 429", "");
    run.client().ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(1);
});

scenario!(return_answers_without_a_server, |run| {
    serving(run, "http-request return status 200 content-type text/plain string \"hello you\" hdr X-By proxy", "");
    let mut c = run.client();
    c.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    c.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    c.response_to_head();
    c.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(3);
});

scenario!(return_without_body, |run| {
    serving(run, "http-request return status 204", "");
    run.client().ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(1);
});

scenario!(redirect_location, |run| {
    serving(run, "http-request redirect location /elsewhere code 301", "");
    let mut c = run.client();
    c.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    c.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    run.logs(2);
});

scenario!(redirect_prefix_and_scheme, |run| {
    run.listen("fe2");
    run.origin("s1", vec![Step::Serve(OK.into())]);
    run.listen("fe");
    run.start(
        "global\n log {log} local0\n nbthread 1\n maxconn 100\ndefaults\n log global\n mode http\n option httplog\n \
         timeout client 5s\n timeout server 5s\n timeout connect 2s\n\
         frontend fe\n bind 127.0.0.1:{fe}\n http-request redirect prefix http://other.example\n\
         frontend fe2\n bind 127.0.0.1:{fe2}\n http-request redirect scheme https code 308\n",
    );
    let mut one = run.client();
    one.ask("GET /a/b?c=d HTTP/1.1\r\nHost: a\r\n\r\n");
    run.client_to("fe2").ask("GET /a/b?c=d HTTP/1.1\r\nHost: example.org\r\n\r\n");
    run.logs(2);
});

scenario!(header_that_does_not_fit_a_buffer_500, |run| {
    run.origin("s1", vec![Step::Serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".into())]);
    run.http(
        "http-request set-header x-large \"%[req.hdr(y)]%[req.hdr(y)]\" if { path /large }\n http-request set-header \
         x-length \"%[req.hdr(y),regsub(y,zzzz,g),length]\"",
        "server s1 127.0.0.1:{s1}",
    );
    let mut c = run.client();
    c.ask(&format!("GET /large HTTP/1.1\r\nHost: a\r\nY: {}\r\n\r\n", "y".repeat(9000)));
    run.logs(1);
    c.ask(&format!("GET / HTTP/1.1\r\nHost: a\r\nY: {}\r\n\r\n", "y".repeat(9000)));
    run.logs(1);
});
