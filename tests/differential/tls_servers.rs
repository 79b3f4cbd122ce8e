//! Servers that are spoken to over TLS: what they see of us, whether they are trusted, what is told of them, and what
//! clients get when there is no connection with them.

use crate::common::h2::get;
use crate::common::origin::{Origin, Step};
use crate::common::tls_origin::{After, Settings};
use crate::proxy_protocol::described;
use crate::run::Run;
use crate::tls::{GET, HOUSE, OK, anyone, files, start};
use rustls::version::{TLS12, TLS13};

/// What is told of a server's connection and certificate, to the client and in the log.
const SERVER: &str = "http-response set-header x-bc \"%[ssl_bc]/%[ssl_bc_protocol]/%[ssl_bc_cipher]/%[ssl_bc_use_keysize]/\
                      %[ssl_bc_alg_keysize]/%[ssl_bc_alpn]/%[ssl_bc_is_resumed]\"\n \
                      http-response set-header x-name \"%[ssl_s_s_dn]|%[ssl_s_i_dn(CN)]|%[ssl_s_serial,hex]\"\n \
                      http-response set-header x-cert \"%[ssl_s_sha1,hex]/%[ssl_s_notbefore]/%[ssl_s_notafter]/\
                      %[ssl_s_version]/%[ssl_s_key_alg]/%[ssl_s_sig_alg]/%[ssl_s_der,hex,length]/%[ssl_s_chain_der,hex,length]\"";

/// What is logged of a connection with a server, made or not.
const LINE: &str = "log-format \"%b/%s %ST %ts %rc %[bc_err]/%[bc_err_str] %[ssl_bc_err,hex]/%[ssl_bc_err_str]\"";

/// `s1` over TLS, as the origin has it, with more words on its line; and one request in the clear.
fn one(run: &mut Run, settings: Settings<'_>, words: &str) {
    with(run, settings, words, "", SERVER);
    run.client().ask(GET);
    run.logs(1);
}

fn with(run: &mut Run, settings: Settings<'_>, words: &str, frontend: &str, backend: &str) {
    files(run);
    run.tls_origin("s1", settings);
    run.http(frontend, &format!("retries 0\n {backend}\n server s1 127.0.0.1:{{s1}} ssl {words}"));
}

fn ours() -> Settings<'static> {
    Settings::new(&HOUSE.server, OK)
}

scenario!(an_unverified_server, |run| {
    one(run, Settings::new(&HOUSE.stranger, OK), "verify none sni str(localhost)");
});

scenario!(a_verified_server, |run| one(run, ours(), "verify required ca-file ca.pem sni str(localhost)"));

scenario!(a_verified_server_of_tls_12, |run| {
    one(run, Settings { versions: &[&TLS12], ..ours() }, "verify required ca-file ca.pem sni str(localhost)");
});

scenario!(without_the_word_sni, |run| one(run, ours(), "verify none"));

scenario!(protocols_that_are_offered, |run| {
    let settings = Settings { alpn: &["http/1.1"], ..ours() };
    one(run, settings, "verify none sni str(localhost) alpn h2,http/1.1");
});

scenario!(versions_and_ciphers_that_are_offered, |run| {
    let words = "verify none sni str(localhost) ssl-max-ver TLSv1.2 ciphers ECDHE-ECDSA-AES256-GCM-SHA384";
    one(run, ours(), words);
});

scenario!(ciphersuites_that_are_offered, |run| {
    one(run, ours(), "verify none sni str(localhost) force-tlsv13 ciphersuites TLS_CHACHA20_POLY1305_SHA256");
});

scenario!(defaults_of_the_global_section_for_servers, |run| {
    run.listen("fe");
    run.tls_origin("s1", ours());
    start(
        run,
        "ssl-default-server-options ssl-max-ver TLSv1.2\n ssl-default-server-ciphers ECDHE-ECDSA-AES128-GCM-SHA256\n \
         ca-base {dir}",
        "frontend fe\n bind 127.0.0.1:{fe}\n default_backend be\nbackend be\n \
         server s1 127.0.0.1:{s1} ssl verify required ca-file ca.pem sni str(localhost)\n",
    );
    run.client().ask(GET);
    run.logs(1);
});

scenario!(servers_are_not_verified_by_a_global_word, |run| {
    run.listen("fe");
    run.tls_origin("s1", Settings::new(&HOUSE.stranger, OK));
    run.origin("s2", vec![Step::Serve(OK.into())]);
    start(
        run,
        "ssl-server-verify none",
        "frontend fe\n bind 127.0.0.1:{fe}\n use_backend clear if { path /clear }\n default_backend be\n\
         backend be\n default-server ssl sni str(localhost)\n server s1 127.0.0.1:{s1}\n\
         backend clear\n default-server ssl sni str(localhost)\n server s2 127.0.0.1:{s2} no-ssl\n",
    );
    let mut c = run.client();
    c.ask(GET);
    c.ask("GET /clear HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(2);
});

scenario!(the_name_is_the_requests_host, |run| {
    with(run, ours(), "verify none sni req.hdr(host)", "", "");
    let mut c = run.client();
    for host in ["a.example", "a.example", "b.example"] {
        c.ask(&format!("GET /{host} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        run.logs(1);
    }
});

scenario!(the_name_is_the_clients, |run| {
    run.listen("fe");
    with(
        run,
        ours(),
        "verify none sni ssl_fc_sni",
        "bind 127.0.0.1:{fe} ssl crt server.pem",
        "http-request set-header x-forwarded-proto https if { ssl_fc }",
    );
    let mut kept = Vec::new();
    for name in ["a.example", "b.example"] {
        kept.push(run.tls_ask(&anyone().build(), name, GET));
        run.logs(1);
    }
});

scenario!(sessions_with_servers_resume, |run| {
    let settings = Settings { after: After::Close, ..ours() };
    with(run, settings, "verify required ca-file ca.pem sni str(localhost)", "option http-server-close", SERVER);
    let mut c = run.client();
    for _ in 0..3 {
        c.ask(GET);
        run.logs(1);
    }
});

scenario!(sessions_with_servers_of_tls_12_resume, |run| {
    let settings = Settings { after: After::Close, versions: &[&TLS12], ..ours() };
    with(run, settings, "verify required ca-file ca.pem sni str(localhost)", "option http-server-close", SERVER);
    let mut c = run.client();
    for _ in 0..3 {
        c.ask(GET);
        run.logs(1);
    }
});

scenario!(no_ssl_reuse, |run| {
    let settings = Settings { after: After::Close, ..ours() };
    with(run, settings, "verify none sni str(localhost) no-ssl-reuse", "option http-server-close", SERVER);
    let mut c = run.client();
    for _ in 0..2 {
        c.ask(GET);
        run.logs(1);
    }
});

scenario!(our_certificate_is_shown_to_a_server_that_asks, |run| {
    for (name, settings) in [
        ("s1", Settings { clients: Some((&HOUSE.ca, true)), ..ours() }),
        ("s2", Settings { clients: Some((&HOUSE.ca, true)), versions: &[&TLS12], ..ours() }),
        ("s3", Settings { clients: Some((&HOUSE.ca, false)), ..ours() }),
    ] {
        run.tls_origin(name, settings);
    }
    files(run);
    run.http(
        "use_backend be2 if { path /2 }\n use_backend be3 if { path /3 }",
        "server s1 127.0.0.1:{s1} ssl verify none sni str(localhost) crt alice.pem\n\
         backend be2\n server s2 127.0.0.1:{s2} ssl verify none sni str(localhost) crt alice.pem\n\
         backend be3\n server s3 127.0.0.1:{s3} ssl verify none sni str(localhost)",
    );
    for path in ["/1", "/2", "/3"] {
        let mut c = run.client();
        c.ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        run.logs(1);
        run.keep(c);
    }
});

// ---- servers that are not trusted ----

/// As [`one`], with the log line of errors.
fn failing(run: &mut Run, settings: Settings<'_>, words: &str) {
    with(run, settings, words, LINE, "");
    run.client().ask(GET);
    run.logs(1);
}

scenario!(a_server_of_an_unknown_authority, |run| {
    failing(run, Settings::new(&HOUSE.stranger, OK), "verify required ca-file ca.pem sni str(elsewhere.example)");
});

scenario!(a_server_of_an_unknown_authority_in_httplog, |run| {
    one(run, Settings::new(&HOUSE.stranger, OK), "verify required ca-file ca.pem sni str(elsewhere.example)");
});

scenario!(a_server_under_another_name, |run| {
    failing(run, ours(), "verify required ca-file ca.pem sni str(elsewhere.example)");
});

scenario!(a_server_under_a_wildcard, |run| {
    with(
        run,
        Settings::new(&HOUSE.wild, OK),
        "verify required ca-file ca.pem sni req.hdr(host)",
        LINE,
        "http-reuse never",
    );
    let mut c = run.client();
    for host in ["x.wild.example", "z.wild.example", "wild.example", "x.y.wild.example"] {
        c.ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        run.logs(1);
    }
});

/// A request without a host, of which no SNI is made.
fn verified_as(run: &mut Run, name: &str) {
    with(run, ours(), &format!("verify required ca-file ca.pem verifyhost {name}"), LINE, "");
    run.client().ask("GET /x HTTP/1.0\r\n\r\n");
    run.logs(1);
}

scenario!(a_server_under_another_name_than_verifyhost, |run| verified_as(run, "elsewhere.example"));

scenario!(a_server_under_the_name_of_verifyhost, |run| verified_as(run, "LocalHost"));

scenario!(a_server_whose_certificate_has_expired, |run| {
    failing(run, Settings::new(&HOUSE.outdated, OK), "verify required ca-file ca.pem sni str(localhost)");
});

scenario!(a_server_whose_certificate_is_revoked, |run| {
    let settings = Settings::new(&HOUSE.eve, OK);
    failing(run, settings, "verify required ca-file ca.pem crl-file crl.pem sni str(eve)");
});

scenario!(no_version_in_common_with_a_server, |run| {
    failing(run, Settings { versions: &[&TLS13], ..ours() }, "verify none sni str(localhost) ssl-max-ver TLSv1.2");
});

scenario!(a_server_that_wants_a_certificate_of_tls_12, |run| {
    let settings = Settings { versions: &[&TLS12], clients: Some((&HOUSE.ca, true)), ..ours() };
    failing(run, settings, "verify none sni str(localhost)");
});

scenario!(a_server_that_does_not_trust_our_certificate, |run| {
    let settings = Settings { versions: &[&TLS12], clients: Some((&HOUSE.ca, true)), ..ours() };
    failing(run, settings, "verify none sni str(localhost) crt mallory.pem");
});

/// A server that is no server of TLS.
fn no_server(run: &mut Run, script: Vec<Step>, backend: &str) {
    files(run);
    let origin = Origin::start(script);
    run.adopt_origin("s1", origin);
    run.http(LINE, &format!("{backend}\n server s1 127.0.0.1:{{s1}} ssl verify none sni str(localhost)"));
    run.client().ask(GET);
    run.logs(1);
    // Our hello is random; how many there are is not.
    let connections = run.forget_origin("s1").connections();
    run.note("s1", &format!("{connections} connections"));
}

scenario!(a_server_in_the_clear, |run| {
    let script = vec![Step::Bytes(1), Step::Send("HTTP/1.1 400 Bad Request\r\n\r\n".into()), Step::Close];
    no_server(run, script, "retries 0");
});

scenario!(a_server_that_leaves_in_the_handshake, |run| {
    no_server(run, vec![Step::Bytes(1), Step::Close], "retries 0");
});

scenario!(a_server_that_resets_in_the_handshake, |run| {
    no_server(run, vec![Step::Bytes(1), Step::Reset], "retries 0");
});

scenario!(a_server_that_says_nothing_in_the_handshake, |run| {
    no_server(run, vec![Step::Eof], "retries 0\n timeout connect 300ms");
});

scenario!(handshakes_with_servers_are_tried_again, |run| {
    no_server(run, vec![Step::Bytes(1), Step::Close], "retries 2\n timeout connect 200ms");
});

scenario!(another_server_is_tried, |run| {
    files(run);
    run.tls_origin("s1", Settings::new(&HOUSE.stranger, OK));
    run.tls_origin("s2", ours());
    run.http(
        LINE,
        "retries 1\n option redispatch 1\n balance first\n default-server ssl verify required ca-file ca.pem sni str(localhost)\n \
         server s1 127.0.0.1:{s1}\n server s2 127.0.0.1:{s2}",
    );
    run.client().ask(GET);
    run.logs(1);
});

scenario!(a_refused_connection_over_tls, |run| {
    run.refusing("s1");
    run.http(
        "log-format \"%b/%s %ST %ts %rc %[bc_err]/%[bc_err_str]\"",
        "retries 0\n server s1 127.0.0.1:{s1} ssl verify none",
    );
    run.client().ask(GET);
    run.logs(1);
});

// ---- how answers end ----

scenario!(a_server_that_ends_after_its_answer, |run| {
    one(run, Settings { after: After::Close, ..ours() }, "verify none sni str(localhost)");
});

scenario!(an_answer_that_ends_with_close_notify, |run| {
    let settings = Settings { after: After::Close, answer: "HTTP/1.1 200 OK\r\n\r\nuntil the end", ..ours() };
    with(run, settings, "verify none sni str(localhost)", "", "");
    let mut c = run.client();
    c.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    c.closed();
    run.logs(1);
});

scenario!(an_answer_that_is_cut_off, |run| {
    let settings =
        Settings { after: After::Cut, answer: "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", ..ours() };
    with(run, settings, "verify none sni str(localhost)", "", "");
    let mut c = run.client();
    c.send(GET);
    c.closed();
    run.logs(1);
});

scenario!(no_answer_but_close_notify, |run| {
    let settings = Settings { after: After::Close, answer: "", ..ours() };
    with(run, settings, "verify none sni str(localhost)", LINE, "");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(http2_to_a_server_of_http1, |run| {
    run.listen("fe");
    with(
        run,
        Settings { alpn: &["http/1.1"], ..ours() },
        "verify required ca-file ca.pem sni str(localhost) alpn h2,http/1.1",
        "bind 127.0.0.1:{fe} ssl crt server.pem alpn h2",
        SERVER,
    );
    run.h2_tls(&HOUSE.ca).ask(&get("/"), b"");
    run.logs(1);
});

// ---- the PROXY protocol ----

scenario!(a_header_precedes_the_handshake, |run| {
    one(run, Settings { proxy_line: true, ..ours() }, "verify none sni str(localhost) send-proxy");
});

/// What a server in TCP mode is told of a client that is served over TLS (or in the clear), by version 2.
fn told(run: &mut Run, bind: &str, words: &str, client: Option<crate::common::tls::Settings>) {
    files(run);
    run.listen("fe");
    let script = vec![Step::Until(b"ping".to_vec()), Step::Send("pong".into()), Step::Close];
    run.adopt_origin("s1", Origin::start(script));
    run.tcp(&format!("bind 127.0.0.1:{{fe}} {bind}"), &format!("server s1 127.0.0.1:{{s1}} {words}"));
    match client {
        Some(client) => {
            let mut c = run.tls(&client.build(), "localhost").expect("a connection");
            c.send("ping");
            c.closed();
        }
        None => {
            let mut c = run.client();
            c.send("ping");
            c.closed();
        }
    }
    run.logs(1);
    let record = run.forget_origin("s1").ended(0);
    run.note("s1.0", &described(&record.bytes));
}

const VERIFYING: &str = "ssl crt server.pem ca-file ca.pem verify optional";

scenario!(send_proxy_v2_ssl, |run| {
    told(run, VERIFYING, "send-proxy-v2-ssl", Some(anyone().identity(&HOUSE.alice)));
});

scenario!(send_proxy_v2_ssl_cn, |run| {
    told(run, VERIFYING, "send-proxy-v2-ssl-cn", Some(anyone().identity(&HOUSE.carol)));
});

scenario!(send_proxy_v2_ssl_cn_of_tls_12, |run| {
    told(run, VERIFYING, "send-proxy-v2-ssl-cn", Some(anyone().version(&TLS12).identity(&HOUSE.carol)));
});

scenario!(send_proxy_v2_ssl_cn_without_a_certificate, |run| {
    told(run, VERIFYING, "send-proxy-v2-ssl-cn", Some(anyone()));
});

scenario!(send_proxy_v2_ssl_of_a_certificate_that_is_not_trusted, |run| {
    let bind = format!("{VERIFYING} crt-ignore-err all");
    told(run, &bind, "send-proxy-v2-ssl-cn", Some(anyone().identity(&HOUSE.mallory)));
});

scenario!(send_proxy_v2_ssl_in_the_clear, |run| told(run, "", "send-proxy-v2-ssl-cn", None));

scenario!(proxy_v2_options, |run| {
    let words = "send-proxy-v2 proxy-v2-options ssl,cert-cn,ssl-cipher,cert-sig,cert-key,authority";
    told(
        run,
        &format!("{VERIFYING} alpn http/1.1"),
        words,
        Some(anyone().alpn(&["http/1.1"]).identity(&HOUSE.carol)),
    );
});

// ---- checks ----

/// The next lines about a server that is checked.
fn checked(run: &mut Run, settings: Settings<'_>, words: &str, lines: usize) {
    files(run);
    run.listen("fe");
    run.tls_origin("s1", settings);
    let sections = format!(
        "frontend fe\n bind 127.0.0.1:{{fe}}\n default_backend be\nbackend be\n option log-health-checks\n \
         server s1 127.0.0.1:{{s1}} check inter 1000 rise 1 fall 1 {words}\n"
    );
    start(run, "", &sections);
    run.logs(lines);
    run.forget();
}

scenario!(checks_over_tls, |run| checked(run, ours(), "ssl verify required ca-file ca.pem sni str(localhost)", 1));

scenario!(checks_over_tls_of_a_server_that_is_not_trusted, |run| {
    checked(run, Settings::new(&HOUSE.stranger, OK), "ssl verify required ca-file ca.pem", 3);
});

scenario!(checks_over_tls_of_a_server_in_the_clear, |run| {
    checked(run, ours(), "check-ssl verify none", 1);
});

scenario!(checks_of_http_over_tls, |run| {
    files(run);
    run.listen("fe");
    run.tls_origin("s1", ours());
    let sections = "frontend fe\n bind 127.0.0.1:{fe}\n default_backend be\nbackend be\n option log-health-checks\n \
                    option httpchk\n http-check send meth GET uri /check ver HTTP/1.1 hdr host localhost\n \
                    server s1 127.0.0.1:{s1} check inter 1000 rise 1 fall 1 check-ssl verify none check-sni name.example \
                    check-alpn http/1.1\n";
    start(run, "", sections);
    run.logs(1);
    run.forget();
});
