//! HTTP/2 servers behind clients of both protocols, in the clear and over TLS; what connections carry besides requests and
//! responses: upgrades, resets, GOAWAY.

use crate::common::client::Client;
use crate::common::h2::{get, request};
use crate::common::h2_origin::{Asked, Reply, When};
use crate::common::origin::Step;
use crate::common::pattern;
use crate::common::tls::Authority;
use crate::run::Run;
use ringway::proto::h2::ErrorCode;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET /a?b=c HTTP/1.1\r\nHost: a.example\r\n\r\n";
/// With one rule of sharing: HAProxy takes another session's connection for a first request too, whatever `http-reuse` says.
const SERVER: &str = "http-reuse always\n server s1 127.0.0.1:{s1} proto h2";

/// An HTTP/2 server whose answers are made by `answer`.
fn answering(run: &mut Run, backend: &str, answer: fn(&Asked, &mut Reply<'_>)) {
    run.h2_origin("s1", When::Complete, answer);
    run.http("", backend);
}

fn ok(_: &Asked, reply: &mut Reply<'_>) {
    reply.ok();
}

/// The same request of an HTTP/1.1 client and of an HTTP/2 client.
fn both(run: &mut Run, answer: fn(&Asked, &mut Reply<'_>)) {
    answering(run, SERVER, answer);
    let mut c = run.client();
    c.ask(GET);
    run.logs(1);
    let mut c = run.h2();
    c.ask(&get("/a?b=c"), b"");
    run.logs(1);
}

scenario!(get_of_a_short_answer, |run| both(run, ok));

scenario!(answer_without_a_length, |run| {
    both(run, |_, reply| {
        reply.head(200, &[("x-a", "b")], false).data(b"hello", true);
    });
});

scenario!(answer_of_nothing, |run| {
    both(run, |_, reply| {
        reply.head(200, &[("content-length", "0")], true);
    });
});

scenario!(no_content_204, |run| {
    both(run, |_, reply| {
        reply.head(204, &[("x-a", "b")], true);
    });
});

scenario!(not_modified_304, |run| {
    both(run, |_, reply| {
        reply.head(304, &[("etag", "\"x\"")], true);
    });
});

scenario!(trailers_of_an_answer, |run| {
    both(run, |_, reply| {
        reply.head(200, &[], false).data(b"abc", false).trailers(&[("x-sum", "7")]);
    });
});

scenario!(several_set_cookies, |run| {
    both(run, |_, reply| {
        reply.head(200, &[("set-cookie", "a=1"), ("set-cookie", "b=2"), ("content-length", "0")], true);
    });
});

scenario!(early_hints_pass, |run| {
    answering(run, SERVER, |_, reply| {
        reply.head(103, &[("link", "</s.css>")], false).ok();
    });
    let mut c = run.client();
    c.send(GET);
    c.until(b"\r\n\r\n");
    c.response();
    run.logs(1);
    run.h2().ask(&get("/"), b"");
    run.logs(1);
});

// They come in one piece, before anything of them can have gone on.
scenario!(many_early_hints_at_once_pass, |run| {
    answering(run, SERVER, |_, reply| {
        for n in 0..20 {
            reply.head(103, &[("link", &format!("</{n}.css>"))], false);
        }
        reply.ok();
    });
    let mut c = run.client();
    c.send(GET);
    c.until(b"</19.css>\r\n\r\n");
    c.response();
    run.logs(1);
    run.h2().ask(&get("/"), b"");
    run.logs(1);
});

scenario!(head_has_no_body, |run| {
    answering(run, SERVER, |_, reply| {
        reply.head(200, &[("content-length", "12")], true);
    });
    let mut c = run.client();
    c.send("HEAD /h HTTP/1.1\r\nHost: a.example\r\n\r\n");
    c.response_to_head();
    run.logs(1);
    run.h2().ask(&request("HEAD", "/h", &[]), b"");
    run.logs(1);
});

scenario!(post_with_a_length, |run| {
    answering(run, SERVER, ok);
    run.client().ask("POST /p HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello");
    run.logs(1);
    run.h2().ask(&request("POST", "/p", &[("content-length", "5")]), b"hello");
    run.logs(1);
});

scenario!(post_in_chunks, |run| {
    answering(run, SERVER, ok);
    run.client().ask(
        "POST /p HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    );
    run.logs(1);
    run.h2().ask(&request("POST", "/p", &[]), b"abcde");
    run.logs(1);
});

scenario!(post_of_nothing, |run| {
    answering(run, SERVER, ok);
    run.client().ask("POST /p HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n");
    run.logs(1);
});

scenario!(who_expects_is_told_to_continue, |run| {
    answering(run, SERVER, |_, reply| {
        reply.head(200, &[("content-length", "2")], false).data(b"ok", true);
    });
    let mut c = run.client();
    c.send("POST /p HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\n");
    c.send("hello");
    c.response();
    run.logs(1);
});

scenario!(hop_by_hop_fields_stay_here, |run| {
    answering(run, SERVER, ok);
    run.client().ask(
        "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n\
         Proxy-Connection: x\r\nX-Kept: y\r\n\r\n",
    );
    run.logs(1);
});

scenario!(absolute_uri_of_a_client, |run| {
    answering(run, SERVER, ok);
    run.client().ask("GET http://a.example/x?y HTTP/1.1\r\nHost: a.example\r\n\r\n");
    run.logs(1);
});

scenario!(request_without_host, |run| {
    answering(run, SERVER, ok);
    run.client().ask("GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    run.logs(1);
});

scenario!(fields_that_rules_make, |run| {
    run.h2_origin("s1", When::Complete, ok);
    run.http(
        "option forwardfor\n http-request set-header X-Upper \"%[method] %[req.ver] %[fc_http_major]\"\n \
         http-response set-header X-Back \"%[bc_http_major] %[status] %[res.ver]\"",
        SERVER,
    );
    run.client().ask(GET);
    run.logs(1);
    run.h2().ask(&get("/"), b"");
    run.logs(1);
});

scenario!(requests_share_a_connection, |run| {
    answering(run, SERVER, ok);
    let mut c = run.client();
    for _ in 0..3 {
        c.ask(GET);
        run.logs(1);
    }
    run.h2().ask(&get("/4"), b"");
    run.logs(1);
});

scenario!(cookie_persistence, |run| {
    answering(run, &format!("cookie SRV insert indirect nocache\n {SERVER} cookie one"), ok);
    run.client().ask(GET);
    run.logs(1);
    run.h2().ask(&request("GET", "/", &[("cookie", "a=b; SRV=one")]), b"");
    run.logs(1);
});

scenario!(a_large_body_comes_whole, |run| {
    answering(run, SERVER, |_, reply| {
        reply.head(200, &[("content-length", "300000")], false).data(&pattern(300_000, 7), true);
    });
    let mut c = run.client();
    c.send(GET);
    let whole = Client::response(&mut c).ends_with(&pattern(300_000, 7));
    run.note("C1", &format!("{whole}"));
    run.logs(1);
    let got = run.h2().client_answer(&get("/"));
    run.note("C2", &format!("{} {}", got.status, got.body == pattern(300_000, 7)));
    run.logs(1);
});

scenario!(a_large_request_goes_whole, |run| {
    run.h2_origin("s1", When::Complete, |asked, reply| {
        let whole = (asked.body == pattern(300_000, 8)).to_string();
        reply.head(200, &[("x-whole", &whole), ("content-length", "0")], true);
    });
    run.http("", SERVER);
    run.forget();
    let mut text = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n".to_vec();
    text.extend_from_slice(&pattern(300_000, 8));
    let mut c = run.client();
    c.send(&text);
    c.response();
    run.h2().ask(&request("POST", "/", &[("content-length", "300000")]), &pattern(300_000, 8));
});

scenario!(server_resets_before_its_head, |run| {
    answering(run, &format!("retries 0\n {SERVER}"), |_, reply| reply.reset(ErrorCode::INTERNAL_ERROR));
    run.client().ask(GET);
    run.logs(1);
});

scenario!(server_refuses_every_stream, |run| {
    answering(run, &format!("retries 0\n {SERVER}"), |_, reply| reply.reset(ErrorCode::REFUSED_STREAM));
    run.client().ask(GET);
    run.logs(1);
});

scenario!(server_resets_in_its_body, |run| {
    answering(run, SERVER, |_, reply| {
        reply.head(200, &[("content-length", "10")], false).data(b"abc", false).reset(ErrorCode::INTERNAL_ERROR);
    });
    let mut c = run.client();
    c.send(GET);
    c.closed();
    run.logs(1);
});

scenario!(server_closes_before_its_head, |run| {
    answering(run, &format!("retries 0\n {SERVER}"), |_, reply| reply.close = true);
    run.client().ask(GET);
    run.logs(1);
});

scenario!(server_goes_away_and_the_next_request_finds_another_connection, |run| {
    answering(run, SERVER, |asked, reply| {
        reply.ok();
        reply.go_away(asked.stream);
    });
    let mut c = run.client();
    c.ask(GET);
    c.ask(GET);
    run.logs(2);
});

scenario!(server_times_out_504, |run| {
    answering(run, &format!("timeout server 300ms\n {SERVER}"), |_, _| {});
    run.client().ask(GET);
    run.logs(1);
    run.h2_origin_named("s1").wait_for("its end", |asked| asked[0].end != "complete");
});

scenario!(answer_comes_before_the_body, |run| {
    run.h2_origin("s1", When::Head, |_, reply| {
        reply.head(413, &[("content-length", "3")], false).data(b"big", true);
    });
    run.http("", SERVER);
    run.forget();
    let mut c = run.h2();
    let id = c.begin(&request("POST", "/", &[("content-length", "100000")]));
    c.answer(id);
});

scenario!(client_resets_its_request, |run| {
    answering(run, SERVER, |_, _| {});
    let mut c = run.h2();
    let id = c.send(&get("/"), b"");
    run.h2_origin_named("s1").wait_for("a request", |asked| !asked.is_empty());
    let c = &mut *c;
    c.codec.reset(id, ErrorCode::CANCEL, &mut c.out);
    c.flush();
    run.logs(1);
    run.h2_origin_named("s1").wait_for("its end", |asked| asked[0].end != "complete");
});

scenario!(connection_refused_503, |run| {
    run.refusing("s1");
    run.http("", &format!("retries 0\n {SERVER}"));
    run.client().ask(GET);
    run.logs(1);
});

scenario!(tls_client_of_an_http1_server, |run| {
    let authority = Authority::new("Test");
    run.write("server.pem", &authority.issue(&["localhost"], false, 7).pem);
    run.origin("s1", vec![Step::Serve(OK.into())]);
    run.listen("fe");
    run.http(
        "bind 127.0.0.1:{fe} ssl crt {dir}server.pem alpn h2,http/1.1\n http-request set-header x-tls \"%[ssl_fc] %[ssl_fc_alpn] \
         %[fc_http_major]\"",
        "server s1 127.0.0.1:{s1}",
    );
    let mut c = run.h2_tls(&authority);
    c.ask(&get("/"), b"");
    c.ask(&request("POST", "/p", &[]), b"hello");
    run.logs(2);
});

scenario!(tls_client_of_an_http2_server, |run| {
    let authority = Authority::new("Test");
    run.write("server.pem", &authority.issue(&["localhost"], false, 7).pem);
    run.h2_origin("s1", When::Complete, ok);
    run.listen("fe");
    run.http("bind 127.0.0.1:{fe} ssl crt {dir}server.pem alpn h2", SERVER);
    let mut c = run.h2_tls(&authority);
    c.ask(&get("/x"), b"");
    run.logs(1);
});

scenario!(websocket_that_the_server_refuses, |run| {
    let no = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
    run.origin("s1", vec![Step::Until(b"\r\n\r\n".to_vec()), Step::Send(no.into())]);
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.h2();
    let mut head = request("CONNECT", "http://a.example/chat", &[]);
    head.append(b"sec-websocket-version", b"13");
    let id = c.begin_upgrade(&head, b"websocket");
    c.answer(id);
    // The key is random.
    run.forget();
});

scenario!(h1_case_adjust_of_what_an_http2_client_sends, |run| {
    run.origin("s1", vec![Step::Serve(OK.into())]);
    run.listen("fe");
    run.start(
        "global\n log {log} local0\n nbthread 1\n h1-case-adjust x-some-field X-Some-FIELD\ndefaults\n log global\n mode http\n \
         option httplog\n timeout connect 3s\n timeout client 5s\n timeout server 5s\nfrontend fe\n bind 127.0.0.1:{fe}\n \
         default_backend be\nbackend be\n option h1-case-adjust-bogus-server\n server s1 127.0.0.1:{s1}\n",
    );
    run.h2().ask(&request("GET", "/", &[("x-some-field", "v")]), b"");
    run.logs(1);
});

scenario!(a_head_that_is_too_large_is_reset, |run| {
    run.origin("s1", vec![Step::Serve(OK.into())]);
    run.http("", "server s1 127.0.0.1:{s1}");
    run.forget();
    let large = "x".repeat(20_000);
    let mut c = run.h2();
    let answer = c.client_answer(&request("GET", "/", &[("x-large", &large)]));
    run.note("C1", &format!("{} {}", answer.status, answer.end.unwrap_or_default()));
});

scenario!(host_and_authority_that_differ, |run| {
    run.origin("s1", vec![Step::Serve(OK.into())]);
    run.http("", "server s1 127.0.0.1:{s1}");
    let mut c = run.h2();
    let mut head = request("GET", "http://authority.example/x", &[]);
    head.set(b"host", b"other.example");
    c.ask(&head, b"");
    run.logs(1);
});
