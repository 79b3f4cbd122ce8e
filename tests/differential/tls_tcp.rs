//! TLS in TCP mode: passed on by what its hello says, and terminated on either side.

use crate::common::client::Client;
use crate::common::origin::Step;
use crate::common::tls_origin::{After, Settings};
use crate::run::Run;
use crate::tls::{GET, HOUSE, OK, anyone, both, files, start};
use crate::tls_clients::hello;
use rustls::version::TLS12;

/// Frontend `fe` passes connections on by their hello, to `a` or `be`.
fn passing(run: &mut Run, rules: &str) {
    run.listen("fe");
    run.tls_origin("a", Settings::new(&HOUSE.server, OK));
    run.tls_origin("b", Settings::new(&HOUSE.stranger, OK));
    let sections = format!(
        "frontend fe\n mode tcp\n bind 127.0.0.1:{{fe}}\n tcp-request inspect-delay 3s\n {rules}\n default_backend be\n\
         backend a\n mode tcp\n server a 127.0.0.1:{{a}}\nbackend be\n mode tcp\n server b 127.0.0.1:{{b}}\n"
    );
    start(run, "", &sections);
}

/// What a hello says, in the log.
const HELLO: &str = "tcp-request content set-var(sess.sni) req.ssl_sni\n \
                     tcp-request content set-var(sess.type) req.ssl_hello_type\n \
                     tcp-request content set-var(sess.ver) req.ssl_ver\n \
                     tcp-request content set-var(sess.alpn) req.ssl_alpn\n \
                     tcp-request content set-var(sess.ec) req.ssl_ec_ext\n \
                     tcp-request content set-var(sess.ticket) req.ssl_st_ext\n \
                     log-format \"%ft %b/%s %ts <%[var(sess.sni)]> %[var(sess.type)] %[var(sess.ver)] \
                     <%[var(sess.alpn)]> %[var(sess.ec)] %[var(sess.ticket)]\"";

scenario!(passed_on_by_name, |run| {
    let rules = format!(
        "tcp-request content accept if {{ req.ssl_hello_type 1 }}\n use_backend a if {{ req.ssl_sni -i a.example }}\n {HELLO}"
    );
    passing(run, &rules);
    for name in ["a.example", "A.Example", "b.example", "127.0.0.1"] {
        for client in both() {
            let mut c = run.tls_ask(&client, name, GET).expect("a connection");
            c.close_notify();
            drop(c);
            run.logs(1);
        }
    }
});

scenario!(passed_on_by_the_old_names_of_fetches, |run| {
    let rules = "tcp-request content accept if { req_ssl_hello_type 1 }\n use_backend a if { req_ssl_sni -m end .example }\n \
                 use_backend a if { req_ssl_ver 3.3 } { req.ssl_sni localhost }\n log-format \"%b/%s %ts\"";
    passing(run, rules);
    for name in ["x.example", "localhost", "other"] {
        drop(run.tls_ask(&anyone().build(), name, GET));
        run.logs(1);
    }
});

scenario!(passed_on_by_protocol, |run| {
    let rules = format!(
        "{HELLO}\n tcp-request content accept if {{ req.ssl_hello_type 1 }}\n use_backend a if {{ req.ssl_alpn h2 }}"
    );
    passing(run, &rules);
    for offer in [&["h2", "http/1.1"][..], &["http/1.1"]] {
        drop(run.tls_ask(&anyone().alpn(offer).build(), "x.example", GET));
        run.logs(1);
    }
});

scenario!(what_is_no_hello_is_refused, |run| {
    let rules =
        format!("tcp-request content accept if {{ req.ssl_hello_type 1 }}\n tcp-request content reject\n {HELLO}");
    passing(run, &rules);
    let mut c = run.client();
    c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    c.closed();
    run.logs(1);
});

scenario!(half_a_hello_is_waited_for, |run| {
    let rules = format!(
        "tcp-request inspect-delay 300ms\n tcp-request content accept if {{ req.ssl_hello_type 1 }}\n \
         tcp-request content reject if WAIT_END\n {HELLO}"
    );
    passing(run, &rules);
    let mut c = run.client();
    c.send(b"\x16\x03\x01\x00\x80\x01\x00\x00\x7c\x03\x03");
    c.closed();
    run.logs(1);
});

scenario!(a_hello_in_pieces_is_passed_on_by_its_name, |run| {
    let rules = "tcp-request content accept if { req.ssl_hello_type 1 }\n use_backend a if { req.ssl_sni a.example }\n \
                 log-format \"%b/%s %ts\"";
    passing(run, rules);
    let mut c = Client::connect(run.port("fe"));
    c.send_split(hello(3), 25);
    // The origin's flight, of which every byte is random.
    c.until(b"\x16\x03\x03");
    drop(c);
    run.logs(1);
});

/// The manual's example (chapter of `stick store-response`): sessions stay with the server that made them.
const BY_SESSION: &str = "balance roundrobin\n stick-table type binary len 32 size 30k expire 30m\n \
                          acl clienthello req.ssl_hello_type 1\n acl serverhello res.ssl_hello_type 2\n \
                          tcp-request inspect-delay 5s\n tcp-request content accept if clienthello\n \
                          tcp-response content accept if serverhello\n stick on payload_lv(43,1) if clienthello\n \
                          stick store-response payload_lv(43,1) if serverhello";

scenario!(sessions_stay_with_the_server_that_made_them, |run| {
    run.listen("fe");
    run.tls_origin("a", ours());
    run.tls_origin("b", ours());
    let sections = format!(
        "frontend fe\n mode tcp\n bind 127.0.0.1:{{fe}}\n log-format \"%b/%s %ts\"\n default_backend be\n\
         backend be\n mode tcp\n {BY_SESSION}\n server a 127.0.0.1:{{a}}\n server b 127.0.0.1:{{b}}\n"
    );
    start(run, "", &sections);
    let client = anyone().version(&TLS12).build();
    for _ in 0..3 {
        let mut c = run.tls_ask(&client, "localhost", GET).expect("a connection");
        c.close_notify();
        drop(c);
        run.logs(1);
    }
});

scenario!(half_a_hello_and_the_client_leaves, |run| {
    passing(run, &format!("tcp-request content accept if {{ req.ssl_hello_type 1 }}\n {HELLO}"));
    let mut c = run.client();
    c.send(b"\x16\x03\x01\x00\x80\x01\x00\x00\x7c\x03\x03");
    c.half_close();
    c.closed();
    run.logs(1);
});

/// TCP mode with these words on both lines.
fn terminated(run: &mut Run, bind: &str, settings: Settings<'_>, server: &str) {
    files(run);
    run.listen("fe");
    run.tls_origin("s1", settings);
    // The usual line without the numbers of connections.
    let log = "log-format \"%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %rc %sq/%bq\"";
    run.tcp(
        &format!("bind 127.0.0.1:{{fe}} {bind}\n {log}"),
        &format!("retries 0\n server s1 127.0.0.1:{{s1}} ssl {server}"),
    );
}

fn ours() -> Settings<'static> {
    Settings::new(&HOUSE.server, OK)
}

scenario!(terminated_on_both_sides, |run| {
    terminated(run, "ssl crt server.pem", ours(), "verify required ca-file ca.pem sni ssl_fc_sni");
    for client in both() {
        let mut c = run.tls(&client, "localhost").expect("a connection");
        c.ask(GET);
        c.ask(GET);
        c.close_notify();
        c.closed();
        run.logs(1);
    }
});

scenario!(terminated_and_the_server_ends_first, |run| {
    let settings = Settings { after: After::Close, ..ours() };
    terminated(run, "ssl crt server.pem", settings, "verify none sni str(localhost)");
    for client in both() {
        let mut c = run.tls(&client, "localhost").expect("a connection");
        c.ask(GET);
        c.closed();
        drop(c);
        run.logs(1);
    }
});

scenario!(terminated_and_the_server_breaks_off, |run| {
    let settings = Settings { after: After::Cut, ..ours() };
    terminated(run, "ssl crt server.pem", settings, "verify none sni str(localhost)");
    let mut c = run.tls(&anyone().build(), "localhost").expect("a connection");
    c.ask(GET);
    c.closed();
    drop(c);
    run.logs(1);
});

scenario!(terminated_and_the_client_breaks_off, |run| {
    terminated(run, "ssl crt server.pem", ours(), "verify none sni str(localhost)");
    let c = run.tls_ask(&anyone().build(), "localhost", GET);
    drop(c);
    run.logs(1);
});

scenario!(terminated_and_the_client_is_silent, |run| {
    terminated(run, "ssl crt server.pem\n timeout client 300ms", ours(), "verify none sni str(localhost)");
    let mut c = run.tls_ask(&anyone().build(), "localhost", GET).expect("a connection");
    c.closed();
    run.logs(1);
});

scenario!(terminated_and_the_server_is_not_trusted, |run| {
    let settings = Settings::new(&HOUSE.stranger, OK);
    terminated(run, "ssl crt server.pem", settings, "verify required ca-file ca.pem sni str(elsewhere.example)");
    let mut c = run.tls(&anyone().version(&TLS12).build(), "localhost").expect("a connection");
    c.send(GET);
    c.closed();
    run.logs(1);
});

scenario!(terminated_on_the_servers_side_alone, |run| {
    terminated(run, "", ours(), "verify required ca-file ca.pem sni str(localhost)");
    let mut c = run.client();
    c.ask(GET);
    c.half_close();
    c.closed();
    run.logs(1);
});

scenario!(rules_of_a_terminated_connection, |run| {
    files(run);
    run.listen("fe");
    run.origin("s1", vec![Step::Until(b"ping".to_vec()), Step::Send("pong".into()), Step::Close]);
    run.tcp(
        "bind 127.0.0.1:{fe} ssl crt server.pem ca-file ca.pem verify optional\n \
         tcp-request session set-var(sess.dn) ssl_c_s_dn(CN)\n \
         tcp-request content reject unless { ssl_fc_protocol TLSv1.3 }\n \
         log-format \"%ft %b/%s %ts %sslv %sslc <%[var(sess.dn)]> %[ssl_fc_sni] %[ssl_c_used]\"",
        "server s1 127.0.0.1:{s1}",
    );
    for client in both().into_iter().chain([anyone().identity(&HOUSE.carol).build()]) {
        let mut c = run.tls(&client, "localhost").expect("a connection");
        c.send("ping");
        c.closed();
        drop(c);
        run.logs(1);
    }
});
