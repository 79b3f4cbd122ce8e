//! Connection modes and the reuse of server connections.

use crate::common::origin::Step;
use crate::run::Run;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn serving(run: &mut Run, frontend: &str, backend: &str) {
    run.origin("s1", vec![Step::Serve(OK.into())]);
    run.http(frontend, &format!("{backend}\n server s1 127.0.0.1:{{s1}}"));
}

scenario!(keep_alive_by_default, |run| {
    serving(run, "", "");
    let mut c = run.client();
    for _ in 0..3 {
        c.ask(GET);
    }
    run.logs(3);
});

scenario!(client_asks_to_close, |run| {
    serving(run, "", "");
    let mut c = run.client();
    c.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    c.closed();
    run.logs(1);
});

scenario!(http10_client_without_keep_alive, |run| {
    serving(run, "", "");
    let mut c = run.client();
    c.send("GET / HTTP/1.0\r\n\r\n");
    c.closed();
    run.logs(1);
});

scenario!(http10_client_with_keep_alive, |run| {
    serving(run, "", "");
    let mut c = run.client();
    c.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    c.send("GET / HTTP/1.0\r\n\r\n");
    c.closed();
    run.logs(2);
});

scenario!(server_asks_to_close, |run| {
    run.origin_with(
        "s1",
        vec![
            vec![
                Step::Request,
                Step::Send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok".into()),
                Step::Close,
            ],
            vec![Step::Serve(OK.into())],
        ],
    );
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.ask(GET);
    c.ask(GET);
    run.logs(2);
});

scenario!(http_server_close, |run| {
    serving(run, "", "option http-server-close");
    let mut c = run.client();
    c.ask(GET);
    c.ask(GET);
    run.origin_ended("s1", 0);
    run.logs(2);
});

scenario!(httpclose, |run| {
    serving(run, "option httpclose", "");
    let mut c = run.client();
    c.send(GET);
    c.closed();
    run.logs(1);
});

scenario!(httpclose_of_a_backend_closes_the_server_side, |run| {
    serving(run, "option http-keep-alive", "option httpclose");
    let mut c = run.client();
    c.ask(GET);
    c.ask(GET);
    run.logs(2);
});

scenario!(http_pretend_keepalive, |run| {
    serving(run, "", "option http-server-close\n option http-pretend-keepalive");
    let mut c = run.client();
    c.ask(GET);
    c.ask(GET);
    run.logs(2);
});

scenario!(reuse_never, |run| {
    serving(run, "", "http-reuse never");
    let mut c = run.client();
    c.ask(GET);
    c.ask(GET);
    let mut d = run.client();
    d.ask(GET);
    run.logs(3);
});

scenario!(reuse_safe_starts_with_a_connection_of_its_own, |run| {
    serving(run, "", "http-reuse safe");
    let mut c = run.client();
    c.ask(GET);
    c.ask(GET);
    let mut d = run.client();
    d.ask(GET);
    d.ask(GET);
    run.logs(4);
});

scenario!(reuse_always, |run| {
    serving(run, "", "http-reuse always");
    let mut c = run.client();
    c.ask(GET);
    run.logs(1);
    let mut d = run.client();
    d.ask(GET);
    run.logs(1);
});

scenario!(reuse_aggressive, |run| {
    serving(run, "", "http-reuse aggressive");
    let mut c = run.client();
    c.ask(GET);
    c.ask(GET);
    run.logs(2);
    let mut d = run.client();
    d.ask(GET);
    run.logs(1);
});

scenario!(pool_max_conn_0_keeps_no_idle_connection, |run| {
    run.origin("s1", vec![Step::Serve(OK.into())]);
    run.http("", "http-reuse always\n server s1 127.0.0.1:{s1} pool-max-conn 0");
    let mut c = run.client();
    c.ask(GET);
    c.ask(GET);
    run.logs(2);
});

scenario!(max_reuse, |run| {
    run.origin("s1", vec![Step::Serve(OK.into())]);
    run.http("", "http-reuse always\n server s1 127.0.0.1:{s1} max-reuse 1");
    let mut c = run.client();
    for _ in 0..4 {
        c.ask(GET);
    }
    run.logs(4);
});

scenario!(idle_server_connection_that_was_closed_is_replaced, |run| {
    run.origin("s1", vec![Step::Request, Step::Send(OK.into()), Step::Close]);
    run.http("", "http-reuse always\n server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.ask(GET);
    run.origin_ended("s1", 0);
    // The FIN must have been seen by the proxy before the next request.
    run.logs(1);
    std::thread::sleep(std::time::Duration::from_millis(100));
    c.ask(GET);
    run.logs(1);
});

scenario!(client_leaves_and_the_server_connection_stays_for_others, |run| {
    serving(run, "", "http-reuse always");
    let mut c = run.client();
    c.ask(GET);
    run.logs(1);
    drop(c);
    // The proxy must have seen it leave, or its log counts one connection more.
    std::thread::sleep(std::time::Duration::from_millis(50));
    let mut d = run.client();
    d.ask(GET);
    run.logs(1);
});

scenario!(a_server_that_knows_its_client_by_the_connection_keeps_it, |run| {
    let challenge = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM abc\r\nContent-Length: 0\r\n\r\n";
    run.origin("s1", vec![Step::Request, Step::Send(challenge.into()), Step::Serve(OK.into())]);
    run.http("", "http-reuse always\n server s1 127.0.0.1:{s1}");
    let mut known = run.client();
    known.ask("GET /1 HTTP/1.1\r\nHost: a\r\nAuthorization: NTLM x\r\n\r\n");
    known.ask("GET /2 HTTP/1.1\r\nHost: a\r\nAuthorization: NTLM y\r\n\r\n");
    run.logs(2);
    let mut other = run.client();
    other.ask("GET /other HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(1);
    known.ask("GET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(1);
});
