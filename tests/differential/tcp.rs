//! TCP mode: bytes, half-closes, resets, and how sessions end.

use crate::common::origin::{Gate, Step};
use crate::common::pattern;
use crate::run::Run;

fn echo(run: &mut Run, options: &str) {
    run.origin("s1", vec![Step::Echo]);
    run.tcp(options, "server s1 127.0.0.1:{s1}");
}

scenario!(echo_and_half_close, |run| {
    echo(run, "");
    let mut c = run.client();
    c.send("some bytes \x00\x01\x02 and more");
    c.half_close();
    c.closed();
    run.origin_ended("s1", 0);
    run.logs(1);
});

scenario!(server_speaks_first, |run| {
    run.origin(
        "s1",
        vec![
            Step::Send("220 hello\r\n".into()),
            Step::Until(b"QUIT\r\n".to_vec()),
            Step::Send("221 bye\r\n".into()),
            Step::Close,
        ],
    );
    run.tcp("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.until(b"hello\r\n");
    c.send("QUIT\r\n");
    c.closed();
    run.logs(1);
});

scenario!(answer_after_the_client_half_closed, |run| {
    run.origin("s1", vec![Step::Eof, Step::Send("late answer".into()), Step::Close]);
    run.tcp("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send("question");
    c.half_close();
    c.closed();
    run.logs(1);
});

scenario!(client_goes_on_after_the_server_half_closed, |run| {
    run.origin("s1", vec![Step::Send("bye".into()), Step::HalfClose, Step::Eof]);
    run.tcp("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.until(b"bye");
    c.send("still talking");
    run.origin_received("s1", 0, b"still talking");
    c.half_close();
    run.origin_ended("s1", 0);
    c.closed();
    run.logs(1);
});

scenario!(one_megabyte_through_both_ways, |run| {
    echo(run, "");
    let mut c = run.client();
    let data = pattern(1 << 20, 7);
    let mut writer = c.stream().try_clone().expect("a second handle");
    let sent = data.clone();
    let pusher = std::thread::spawn(move || {
        use std::io::Write;
        writer.write_all(&sent).expect("sending");
        writer.shutdown(std::net::Shutdown::Write).expect("half-close");
    });
    let (received, _) = std::ops::DerefMut::deref_mut(&mut c).closed();
    pusher.join().expect("the sender");
    run.note("C1", if received == data { "all bytes came back" } else { "bytes differ" });
    run.logs(1);
});

scenario!(one_megabyte_with_splice, |run| {
    echo(run, "option splice-auto\n option splice-request\n option splice-response");
    let mut c = run.client();
    let data = pattern(1 << 20, 8);
    let mut writer = c.stream().try_clone().expect("a second handle");
    let sent = data.clone();
    let pusher = std::thread::spawn(move || {
        use std::io::Write;
        writer.write_all(&sent).expect("sending");
        writer.shutdown(std::net::Shutdown::Write).expect("half-close");
    });
    let (received, _) = std::ops::DerefMut::deref_mut(&mut c).closed();
    pusher.join().expect("the sender");
    run.note("C1", if received == data { "all bytes came back" } else { "bytes differ" });
    run.logs(1);
});

scenario!(client_resets, |run| {
    run.origin("s1", vec![Step::Bytes(5), Step::Send("world".into()), Step::Eof]);
    run.tcp("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send("hello");
    c.until(b"world");
    c.reset();
    // An end would say that all has come.
    run.origin_ended_how("s1", 0);
    run.logs(1);
});

scenario!(server_resets, |run| {
    run.origin("s1", vec![Step::Bytes(5), Step::Reset]);
    run.tcp("", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send("hello");
    c.closed_how();
    run.logs(1);
});

scenario!(refused_server, |run| {
    run.refusing("s1");
    run.tcp("", "retries 0\n server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.closed();
    run.logs(1);
});

scenario!(no_server, |run| {
    run.tcp("", "");
    let mut c = run.client();
    c.closed();
    run.logs(1);
});

scenario!(redispatch_in_tcp_mode, |run| {
    run.refusing("s1");
    run.origin("s2", vec![Step::Echo]);
    run.tcp("", "balance roundrobin\n option redispatch 1\n server s1 127.0.0.1:{s1}\n server s2 127.0.0.1:{s2}");
    let mut c = run.client();
    c.send("hello").half_close();
    c.closed();
    run.logs(1);
});

scenario!(connection_without_a_byte, |run| {
    echo(run, "");
    let mut c = run.client();
    c.half_close();
    c.closed();
    run.logs(1);
});

scenario!(smart_accept_and_connect, |run| {
    run.origin("s1", vec![Step::Echo]);
    run.tcp(
        "option tcp-smart-accept\n option tcpka\n option nolinger",
        "option tcp-smart-connect\n option tcpka\n server s1 127.0.0.1:{s1}",
    );
    let mut c = run.client();
    c.send("hello");
    c.until(b"hello");
    c.half_close();
    c.closed();
    run.logs(1);
});

scenario!(maxconn_of_a_server_queues_and_serves, |run| {
    let gate = Gate::new();
    run.origin("s1", vec![Step::Bytes(1), Step::Gate(gate.clone()), Step::Send("x".into()), Step::Close]);
    run.tcp("", "server s1 127.0.0.1:{s1} maxconn 1");
    let mut first = run.client();
    first.send("1");
    run.origin_received("s1", 0, b"1");
    let mut second = run.client();
    second.send("2");
    gate.open();
    first.closed();
    second.closed();
    run.logs(2);
});

scenario!(a_listen_section, |run| {
    run.listen("fe");
    run.origin("s1", vec![Step::Echo]);
    run.start(
        "global\n log {log} local0\n nbthread 1\n maxconn 100\ndefaults\n log global\n mode tcp\n option tcplog\n \
         timeout client 5s\n timeout server 5s\n timeout connect 2s\nlisten l\n bind 127.0.0.1:{fe}\n \
         server s1 127.0.0.1:{s1}\n",
    );
    let mut c = run.client();
    c.send("hello").half_close();
    c.closed();
    run.logs(1);
});

const RESPONSE_RULES: &str = "tcp-response inspect-delay 2s\n tcp-response content accept if { res.payload(0,3) -m str abc }\n \
                              tcp-response content reject if { res.payload(0,3) -m found }";

fn says(run: &mut Run, first: &str, then: &str) {
    let steps = [Step::Send(first.into()), Step::Pause(50), Step::Send(then.into()), Step::Eof, Step::Close];
    run.origin("s1", steps.to_vec());
    run.tcp("", &format!("{RESPONSE_RULES}\n server s1 127.0.0.1:{{s1}}"));
    let mut c = run.client();
    if format!("{first}{then}").starts_with("abc") {
        c.until(b"rest");
        c.half_close();
    }
    c.closed();
    run.logs(1);
}

scenario!(what_a_server_says_passes_once_rules_accept_it, |run| {
    says(run, "ab", "c and the rest");
});

scenario!(what_a_server_says_is_rejected, |run| {
    says(run, "de", "f and the rest");
});

/// Rules that read a request's head in what came, and servers that are chosen by it.
const HEAD_RULES: &str = "tcp-request inspect-delay 400ms\n tcp-request content set-var(sess.kind) method\n \
                          tcp-request content set-var(sess.last) req.hdr(x-list)\n \
                          tcp-request content reject if { path_beg /no }\n \
                          tcp-request content reject if { req.cook(go) away } { url_param(a) 1 }\n \
                          tcp-request content accept if { req.ver -m found }";

/// `pieces` come one after the other; `answered`: an end is not what follows.
fn head_in_tcp(run: &mut Run, pieces: &[&str], answered: bool) {
    let steps = |name: &str| vec![Step::Pause(1), Step::Send(name.into()), Step::Eof, Step::Close];
    for (server, says) in [("s1", "first"), ("s2", "second"), ("s3", "third")] {
        run.origin(server, steps(says));
    }
    run.tcp(
        HEAD_RULES,
        "use-server s2 if { req.hdr(host) -i b.example }\n use-server s3 if { var(sess.kind) -m str POST } { var(sess.last) -m str two }\n \
         server s1 127.0.0.1:{s1}\n server s2 127.0.0.1:{s2} weight 0\n server s3 127.0.0.1:{s3} weight 0",
    );
    let mut c = run.client();
    for (n, piece) in pieces.iter().enumerate() {
        if n > 0 {
            std::thread::sleep(std::time::Duration::from_millis(60));
        }
        c.send(*piece);
    }
    if answered {
        let head = pieces.concat();
        // The first and the third have these letters in common.
        c.until(if head.contains("b.example") && head.contains("\r\n\r\n") { b"second" } else { b"ir" });
        c.half_close();
    }
    c.closed();
    run.logs(1);
}

scenario!(a_host_in_tcp_mode_chooses_a_server, |run| {
    head_in_tcp(run, &["GET /a?b HTTP/1.1\r\nHost: b.example\r\n\r\n"], true);
});

scenario!(method_and_list_in_tcp_mode_choose_a_server, |run| {
    head_in_tcp(
        run,
        &["POST /a HTTP/1.1\r\nHost: a.example\r\nX-List: one, two\r\nContent-Length: 2\r\n\r\nhi"],
        true,
    );
});

scenario!(a_head_in_pieces_in_tcp_mode_is_waited_for, |run| {
    head_in_tcp(run, &["GET /a HTT", "P/1.1\r\nHost: b.exa", "mple\r\n\r\n"], true);
});

scenario!(a_path_in_tcp_mode_is_rejected, |run| {
    head_in_tcp(run, &["GET /no", "/thing HTTP/1.1\r\n\r\n"], false);
});

scenario!(a_cookie_and_a_parameter_in_tcp_mode_are_rejected, |run| {
    head_in_tcp(run, &["GET /yes?a=1 HTTP/1.1\r\nCookie: x=y; go=away\r\n\r\n"], false);
});

scenario!(what_is_no_http_in_tcp_mode_matches_nothing, |run| {
    head_in_tcp(run, &["\x16\x03\x01 hello\r\n\r\n"], true);
});

scenario!(a_head_that_never_ends_in_tcp_mode_matches_nothing, |run| {
    head_in_tcp(run, &["GET /no HTTP/1.1\r\nHost: b.example\r\n"], true);
});
