//! Clients' certificates, and handshakes that fail: what clients are told, what is logged and how it is counted.

use crate::common::client::Client;
use crate::common::origin::Step;
use crate::common::tls::{Issued, Settings};
use crate::run::Run;
use crate::tls::{GET, HOUSE, OK, anyone, files, front, start};
use rustls::version::{TLS12, TLS13};

/// What is told of a client's certificate, good or not.
const VERDICT: &str = "http-request set-header x-verdict \"%[ssl_c_used]/%[ssl_c_verify]/%[ssl_c_err]/%[ssl_c_ca_err]/\
                       %[ssl_c_ca_err_depth]/%[ssl_fc_has_crt]/%[ssl_c_s_dn(CN)]/%[ssl_c_i_dn(CN)]\"";

/// All that a line may say of a connection that failed.
const ERROR_FORMAT: &str = "error-log-format \"%ci:%cp %ft fc %[fc_err] {%[fc_err_str]} ssl %[ssl_fc_err,hex] \
                            {%[ssl_fc_err_str]} verdict %[ssl_c_used] %[ssl_c_verify] %[ssl_c_err] %[ssl_c_ca_err] \
                            %[ssl_c_ca_err_depth] {%[ssl_c_s_dn(CN)]} of %[ssl_fc] %[ssl_fc_is_resumed] %[ssl_fc_has_crt] \
                            {%[ssl_fc_sni]} %sslv %sslc %[ssl_fc_protocol] %[ssl_fc_cipher]\"";

/// Two frontends with these words: `fe` with the usual line of an error, `fx` with its own.
fn two(run: &mut Run, words: &str) {
    run.listen("fe");
    run.listen("fx");
    run.origin("s1", vec![Step::Serve(OK.into())]);
    let frontend = |name: &str, more: &str| {
        format!("frontend {name}\n bind 127.0.0.1:{{{name}}} ssl {words}\n {VERDICT}\n {more}\n default_backend be\n")
    };
    let sections =
        format!("{}{}backend be\n server s1 127.0.0.1:{{s1}}\n", frontend("fe", ""), frontend("fx", ERROR_FORMAT));
    start(run, "", &sections);
}

/// A client of each version asks at both.
fn ask(run: &mut Run, client: Settings) {
    for version in [&TLS12, &TLS13] {
        for port in ["fe", "fx"] {
            let config = client.clone().version(version).build();
            if let Some(mut c) = run.tls_to(port, &config, "localhost", b"") {
                c.ask(GET);
            }
            run.logs(1);
        }
    }
}

/// The same with a certificate.
fn shown(run: &mut Run, words: &str, issued: &Issued) {
    two(run, words);
    ask(run, anyone().identity(issued));
}

scenario!(required_and_good, |run| shown(run, "crt server.pem ca-file ca.pem verify required", &HOUSE.alice));

scenario!(required_and_absent, |run| {
    two(run, "crt server.pem ca-file ca.pem verify required");
    ask(run, anyone());
});

scenario!(required_and_of_an_unknown_authority, |run| {
    shown(run, "crt server.pem ca-file ca.pem verify required", &HOUSE.mallory);
});

scenario!(required_and_sent_with_an_unknown_authority, |run| {
    shown(run, "crt server.pem ca-file ca.pem verify required", &HOUSE.mallory_and_authority);
});

scenario!(required_and_self_signed, |run| {
    shown(run, "crt server.pem ca-file ca.pem verify required", &HOUSE.hermit);
});

scenario!(required_and_expired, |run| {
    shown(run, "crt server.pem ca-file ca.pem verify required", &HOUSE.expired);
});

scenario!(required_and_not_yet_valid, |run| {
    shown(run, "crt server.pem ca-file ca.pem verify required", &HOUSE.early);
});

scenario!(required_and_revoked, |run| {
    shown(run, "crt server.pem ca-file ca.pem crl-file crl.pem verify required", &HOUSE.eve);
});

scenario!(required_and_not_revoked, |run| {
    shown(run, "crt server.pem ca-file ca.pem crl-file crl.pem verify required", &HOUSE.alice);
});

scenario!(required_and_by_an_authority_between, |run| {
    shown(run, "crt server.pem ca-file ca.pem verify required", &HOUSE.carol);
});

scenario!(required_and_what_is_between_is_missing, |run| {
    shown(run, "crt server.pem ca-file ca.pem verify required", &HOUSE.lone_carol);
});

scenario!(optional_and_absent, |run| {
    two(run, "crt server.pem ca-file ca.pem verify optional");
    ask(run, anyone());
});

scenario!(optional_and_good, |run| shown(run, "crt server.pem ca-file ca.pem verify optional", &HOUSE.alice));

scenario!(optional_and_of_an_unknown_authority, |run| {
    shown(run, "crt server.pem ca-file ca.pem verify optional", &HOUSE.mallory);
});

scenario!(optional_and_expired, |run| shown(run, "crt server.pem ca-file ca.pem verify optional", &HOUSE.expired));

scenario!(nobody_asks_for_certificates, |run| shown(run, "crt server.pem verify none", &HOUSE.alice));

const IGNORING: &str =
    "crt server.pem ca-file ca.pem crl-file crl.pem verify optional crt-ignore-err all ca-ignore-err all";

scenario!(ignored_and_of_an_unknown_authority, |run| shown(run, IGNORING, &HOUSE.mallory));

scenario!(ignored_and_sent_with_an_unknown_authority, |run| shown(run, IGNORING, &HOUSE.mallory_and_authority));

scenario!(ignored_and_self_signed, |run| shown(run, IGNORING, &HOUSE.hermit));

scenario!(ignored_and_expired, |run| shown(run, IGNORING, &HOUSE.expired));

scenario!(ignored_and_not_yet_valid, |run| shown(run, IGNORING, &HOUSE.early));

scenario!(ignored_and_revoked, |run| shown(run, IGNORING, &HOUSE.eve));

scenario!(ignored_and_good, |run| shown(run, IGNORING, &HOUSE.alice));

scenario!(ignored_without_a_list_of_the_revoked, |run| {
    shown(run, "crt server.pem ca-file ca.pem verify required crt-ignore-err all", &HOUSE.mallory);
});

scenario!(numbers_that_are_ignored_and_others, |run| {
    two(run, "crt server.pem ca-file ca.pem crl-file crl.pem verify required crt-ignore-err 10,23");
    for issued in [&HOUSE.expired, &HOUSE.eve, &HOUSE.early] {
        ask(run, anyone().identity(issued));
    }
});

scenario!(authorities_errors_alone_are_ignored, |run| {
    two(run, "crt server.pem ca-file ca.pem verify required ca-ignore-err all");
    for issued in [&HOUSE.mallory, &HOUSE.mallory_and_authority] {
        ask(run, anyone().identity(issued));
    }
});

scenario!(rules_decide_by_the_verdict, |run| {
    front(
        run,
        "crt server.pem ca-file ca.pem verify optional crt-ignore-err all ca-ignore-err all",
        "http-request deny deny_status 401 if !{ ssl_c_used }\n http-request deny if ! { ssl_c_verify 0 }\n \
         http-request redirect location /welcome if { ssl_c_s_dn(OU) -m sub first } { path /x }",
    );
    for client in [anyone(), anyone().identity(&HOUSE.mallory), anyone().identity(&HOUSE.alice)] {
        run.tls_ask(&client.build(), "localhost", GET);
        run.logs(1);
    }
});

scenario!(another_file_tells_clients_whom_to_name, |run| {
    two(run, "crt server.pem ca-file ca.pem ca-verify-file other.pem verify required");
    for issued in [&HOUSE.alice, &HOUSE.mallory] {
        ask(run, anyone().identity(issued));
    }
});

scenario!(names_of_authorities_are_kept_back, |run| {
    shown(run, "crt server.pem ca-file ca.pem verify required no-ca-names", &HOUSE.alice);
});

/// Connections before may not have ended yet: their numbers stand behind the timers, and have as many parts.
fn without_numbers_of_connections(line: &str) -> String {
    let mut seen = 0;
    let words = line.split(' ').map(|word| {
        seen += usize::from(word.split('/').count() == 5);
        if seen == 2 && word.split('/').count() == 5 { "NUMBERS" } else { word }
    });
    words.collect::<Vec<_>>().join(" ")
}

scenario!(httpslog_of_every_kind, |run| {
    front(
        run,
        "crt server.pem ca-file ca.pem verify optional crt-ignore-err all ca-ignore-err all",
        "option httpslog\n capture request header host len 20",
    );
    for issued in [None, Some(&HOUSE.alice), Some(&HOUSE.mallory), Some(&HOUSE.mallory_and_authority)] {
        for version in [&TLS12, &TLS13] {
            let client = anyone().version(version);
            let client = issued.map_or(client.clone(), |issued| client.identity(issued)).build();
            for name in ["localhost", "127.0.0.1"] {
                run.tls_ask(&client, name, GET);
                let line = run.log_line();
                run.note_log_line(&without_numbers_of_connections(&line));
            }
        }
    }
});

scenario!(httpslog_of_failed_handshakes, |run| {
    front(run, "crt server.pem ca-file ca.pem verify required strict-sni", "option httpslog");
    run.tls_ask(&anyone().version(&TLS12).build(), "localhost", GET);
    run.tls_ask(&anyone().version(&TLS12).identity(&HOUSE.mallory).build(), "localhost", GET);
    run.tls_ask(&anyone().version(&TLS12).identity(&HOUSE.alice).build(), "unknown.example", GET);
    run.logs(3);
});

scenario!(error_log_format_of_a_good_connection, |run| {
    front(
        run,
        "crt server.pem",
        &format!("{ERROR_FORMAT}\n timeout http-request 300ms\n http-request deny if {{ path /no }}"),
    );
    let mut c = run.tls(&anyone().build(), "localhost").expect("a connection");
    c.ask(GET);
    c.ask("GET /no HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(2);
    c.send("rubbish\r\n\r\n");
    c.response();
    c.closed();
    run.logs(1);
    let mut c = run.tls(&anyone().build(), "localhost").expect("a connection");
    c.send("GET / HTTP/1.1\r\n");
    c.response();
    c.closed();
    run.logs(1);
    let mut c = run.tls(&anyone().build(), "localhost").expect("a connection");
    c.ask(GET);
    c.send("GET / HTTP/1.1\r\n");
    drop(c);
    run.logs(2);
});

scenario!(error_log_format_of_streams, |run| {
    run.listen("fe");
    run.refusing("s1");
    run.origin("s2", vec![Step::Serve(OK.into())]);
    run.origin("s3", vec![Step::Serve("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".into())]);
    let sections = "frontend fe\n bind 127.0.0.1:{fe} ssl crt server.pem\n log-format \"usual %b/%s %ST %ts\"\n \
                    error-log-format \"error %b/%s %ST %ts %rc\"\n http-request return status 404 if { path /404 }\n \
                    http-request return status 500 if { path /own }\n http-request redirect location / if { path /r }\n \
                    use_backend bad if { path /bad }\n use_backend again if { path /again }\n \
                    use_backend none if { path /none }\n default_backend be\nbackend be\n server s1 127.0.0.1:{s1}\n\
                    backend bad\n server s3 127.0.0.1:{s3}\nbackend none\n\
                    backend again\n retries 1\n option redispatch 1\n balance first\n server s1 127.0.0.1:{s1}\n \
                    server s2 127.0.0.1:{s2}\n";
    start(run, "", sections);
    let mut c = run.tls(&anyone().build(), "localhost").expect("a connection");
    for path in ["/", "/404", "/own", "/r", "/bad", "/again", "/none"] {
        c.ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        run.logs(1);
    }
});

/// What a client sends in the clear to both, and how it leaves.
fn raw(run: &mut Run, words: &str, act: impl Fn(&mut crate::run::Peer)) {
    two(run, words);
    for port in ["fe", "fx"] {
        let mut c = run.client_to(port);
        act(&mut c);
        run.logs(1);
    }
}

/// A ClientHello of TLS 1.0 (or another version) that names `a.example`.
pub fn hello(version: u8) -> Vec<u8> {
    let mut body = vec![3, version];
    body.extend([7; 32]);
    body.push(0);
    // Suites of each version's kind, and no compression.
    body.extend([0, 8, 0xc0, 0x2b, 0xc0, 0x09, 0xc0, 0x13, 0x00, 0x2f, 1, 0]);
    let name = b"\x00\x00\x00\x0e\x00\x0c\x00\x00\x09a.example";
    let groups = b"\x00\x0a\x00\x04\x00\x02\x00\x17\x00\x0b\x00\x02\x01\x00";
    let signatures = b"\x00\x0d\x00\x06\x00\x04\x04\x03\x04\x01";
    let extensions = [&name[..], groups, signatures].concat();
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut message = vec![1, 0];
    message.extend((body.len() as u16).to_be_bytes());
    message.extend(body);
    let mut record = vec![22, 3, 1];
    record.extend((message.len() as u16).to_be_bytes());
    record.extend(message);
    record
}

scenario!(http_in_the_clear, |run| {
    raw(run, "crt server.pem", |c| {
        c.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        c.closed();
    });
});

scenario!(other_bytes_in_the_clear, |run| {
    raw(run, "crt server.pem", |c| {
        c.send("EHLO client.example\r\n");
        c.closed();
    });
});

scenario!(a_client_that_leaves_at_once, |run| {
    raw(run, "crt server.pem", |c| {
        c.half_close();
        c.closed();
    });
});

scenario!(a_client_that_leaves_in_its_hello, |run| {
    raw(run, "crt server.pem", |c| {
        c.send(&hello(3)[..20]);
        c.half_close();
        c.closed();
    });
});

scenario!(a_client_that_leaves_after_its_hello, |run| {
    two(run, "crt server.pem");
    for port in ["fe", "fx"] {
        let mut c = Client::connect(run.port(port));
        c.send(hello(3));
        // Our flight comes before it leaves.
        c.until(b"\x16\x03\x03");
        c.half_close();
        run.adopt(c);
        run.logs(1);
    }
});

scenario!(a_client_that_leaves_at_once_is_nothing_under_dontlognull, |run| {
    front(run, "crt server.pem", "option dontlognull");
    let mut c = run.client();
    c.half_close();
    c.closed();
    let mut c = run.client();
    c.send(&hello(3)[..20]);
    c.half_close();
    c.closed();
    let mut c = Client::connect(run.port("fe"));
    c.send(hello(3));
    c.until(b"\x16\x03\x03");
    c.half_close();
    c.closed();
    run.adopt(c);
    run.logs(1);
    run.tls_ask(&anyone().build(), "localhost", GET);
    run.logs(1);
});

scenario!(a_client_that_says_nothing_in_time, |run| {
    raw(run, "crt server.pem\n timeout client 300ms", |c| {
        c.send(&hello(3)[..20]);
        c.closed();
    });
});

scenario!(tls_10_is_not_spoken, |run| {
    raw(run, "crt server.pem ssl-min-ver TLSv1.2", |c| {
        c.send(hello(1));
        c.closed();
    });
});

scenario!(tls_11_is_not_spoken, |run| {
    raw(run, "crt server.pem ssl-min-ver TLSv1.2", |c| {
        c.send(hello(2));
        c.closed();
    });
});

scenario!(a_hello_that_does_not_fit, |run| {
    raw(run, "crt server.pem", |c| {
        let mut bytes = hello(3);
        // The length of the extensions says one too many.
        bytes[57] += 1;
        c.send(bytes);
        c.closed();
    });
});

scenario!(no_version_in_common, |run| {
    two(run, "crt server.pem ssl-min-ver TLSv1.3");
    for port in ["fe", "fx"] {
        run.tls_to(port, &anyone().version(&TLS12).build(), "localhost", b"");
        run.logs(1);
    }
});

scenario!(no_version_in_common_the_other_way, |run| {
    two(run, "crt server.pem ssl-max-ver TLSv1.2");
    for port in ["fe", "fx"] {
        run.tls_to(port, &anyone().version(&TLS13).build(), "localhost", b"");
        run.logs(1);
    }
});

scenario!(no_cipher_in_common, |run| {
    two(run, "crt server.pem");
    for port in ["fe", "fx"] {
        run.tls_to(port, &anyone().version(&TLS12).rsa_only().build(), "localhost", b"");
        run.logs(1);
    }
});

scenario!(no_name_in_common, |run| {
    two(run, "crt a.pem strict-sni");
    for name in ["unknown.example", "127.0.0.1"] {
        for version in [&TLS12, &TLS13] {
            for port in ["fe", "fx"] {
                run.tls_to(port, &anyone().version(version).build(), name, b"");
                run.logs(1);
            }
        }
    }
});

scenario!(a_client_that_does_not_trust_us, |run| {
    two(run, "crt server.pem");
    for version in [&TLS12, &TLS13] {
        for port in ["fe", "fx"] {
            run.tls_to(port, &HOUSE.other.client().version(version).build(), "localhost", b"");
            run.logs(1);
        }
    }
});

scenario!(a_header_of_the_proxy_protocol_comes_before, |run| {
    two(run, "crt server.pem accept-proxy");
    let header = b"PROXY TCP4 192.0.2.7 198.51.100.9 1111 2222\r\n";
    for port in ["fe", "fx"] {
        let mut c = run.tls_to(port, &anyone().build(), "localhost", header).expect("a connection");
        c.ask(GET);
        run.logs(1);
        let mut c = run.client_to(port);
        c.send(header);
        c.send("GET / HTTP/1.1\r\n\r\n");
        c.closed();
        run.logs(1);
        run.tls_to(port, &anyone().build(), "localhost", b"");
        run.logs(1);
    }
});

scenario!(failed_handshakes_are_counted, |run| {
    run.listen("fe");
    files(run);
    let sections = "frontend fe\n bind 127.0.0.1:{fe} ssl crt server.pem ca-file ca.pem verify required\n \
                    http-request return status 200\n";
    start(run, "stats socket {dir}admin level admin", sections);
    run.tls(&anyone().version(&TLS12).build(), "localhost");
    run.logs(1);
    run.tls_ask(&anyone().version(&TLS12).identity(&HOUSE.alice).build(), "localhost", GET);
    run.logs(1);
    let csv = crate::common::cli::ask(&run.path("admin"), "show stat");
    let mut rows = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let names = rows.next().expect("a head");
    let row = rows.find(|row| row[1] == "FRONTEND").expect("the frontend");
    let wanted =
        ["req_tot", "conn_tot", "ereq", "dcon", "dses", "ssl_sess", "ssl_reused_sess", "ssl_failed_handshake"];
    for name in wanted {
        let value = names.iter().position(|n| *n == name).map_or("-", |at| row[at]);
        run.note("stat", &format!("{name} {value}"));
    }
});
