//! Log formats, targets and options.

use crate::common::origin::{Gate, Step};
use crate::common::syslog::Syslog;
use crate::run::Run;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

/// The usual configuration with another `log` line, other options and another global section.
fn logging(run: &mut Run, log: &str, global: &str, options: &str) {
    run.listen("fe");
    run.origin("s1", vec![Step::Serve(OK.into())]);
    run.start(&format!(
        "global\n log {log}\n maxconn 100\n nbthread 1\n {global}\ndefaults\n log global\n mode http\n \
         timeout connect 2s\n timeout client 5s\n timeout server 5s\n {options}\n\
         frontend fe\n bind 127.0.0.1:{{fe}}\n \
         default_backend be\nbackend be\n server s1 127.0.0.1:{{s1}}\n"
    ));
}

scenario!(default_format_http, |run| {
    logging(run, "{log} local0", "", "");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(default_format_tcp, |run| {
    logging(run, "{log} local0", "", "mode tcp");
    let mut c = run.client();
    c.send("GET / HTTP/1.0\r\n\r\n");
    c.response();
    run.logs(1);
});

scenario!(httplog_clf, |run| {
    logging(run, "{log} local0", "", "option httplog clf");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(tcplog_on_an_http_frontend, |run| {
    logging(run, "{log} local0", "", "option tcplog");
    let mut c = run.client();
    c.send("GET / HTTP/1.0\r\n\r\n");
    c.closed();
    run.logs(1);
});

scenario!(facility_and_tag, |run| {
    logging(run, "{log} daemon notice", "log-tag edge", "option httplog\n option log-separate-errors");
    // At level notice only what is worse than info is sent: errors under log-separate-errors.
    let mut c = run.client();
    c.ask(GET);
    c.send("bad\r\n\r\n");
    c.closed();
    run.logs(1);
});

scenario!(log_tag_of_a_proxy, |run| {
    logging(run, "{log} local3", "", "option httplog\n log-tag own");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(log_send_hostname, |run| {
    logging(run, "{log} local0", "log-send-hostname lb1", "option httplog");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(dontlognull, |run| {
    logging(run, "{log} local0", "", "option httplog\n option dontlognull");
    let mut c = run.client();
    c.half_close();
    c.closed();
    run.client().ask(GET);
    run.logs(1);
});

scenario!(without_dontlognull, |run| {
    logging(run, "{log} local0", "", "option httplog");
    let mut c = run.client();
    c.half_close();
    c.closed();
    run.logs(1);
});

scenario!(dontlog_normal, |run| {
    logging(run, "{log} local0", "", "option httplog\n option dontlog-normal");
    let mut c = run.client();
    c.ask(GET);
    c.send("bad\r\n\r\n");
    c.closed();
    run.logs(1);
});

scenario!(logasap, |run| {
    let gate = Gate::new();
    run.origin(
        "s1",
        vec![
            Step::Request,
            Step::Send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n".into()),
            Step::Gate(gate.clone()),
            Step::Send("body".into()),
        ],
    );
    run.http("option logasap", "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send(GET);
    // The line comes although the body has not.
    run.logs(1);
    gate.open();
    c.response();
});

scenario!(log_separate_errors_raises_the_level, |run| {
    run.origin("s1", vec![Step::Request, Step::Send("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".into())]);
    run.http("option log-separate-errors", "server s1 127.0.0.1:{s1}");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(two_targets_and_levels, |run| {
    let second = Syslog::unix(&run.path("second"));
    logging(run, "{log} local0\n log {dir}second local1 err", "", "option httplog");
    run.client().ask(GET);
    run.logs(1);
    let early = second.next(std::time::Duration::from_millis(50));
    run.note("second", if early.is_none() { "nothing at level err" } else { "a line it should not have" });
});

scenario!(format_rfc5424, |run| {
    logging(run, "{log} format rfc5424 local0", "", "option httplog");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(format_raw, |run| {
    logging(run, "{log} format raw local0", "", "option httplog");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(format_short, |run| {
    logging(run, "{log} format short local0", "", "option httplog");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(format_priority, |run| {
    logging(run, "{log} format priority local0", "", "option httplog");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(length_limit, |run| {
    logging(run, "{log} len 80 format raw local0", "", "option httplog");
    run.client().ask(&format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "long".repeat(50)));
    let line = run.log_line();
    run.note("log", &format!("{} bytes, newline {}", line.len(), line.ends_with('\n')));
});

scenario!(sampled_log, |run| {
    logging(run, "{log} sample 2:3 local0", "", "option httplog");
    let mut c = run.client();
    for n in 0..6 {
        c.ask(&format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    run.logs(2);
});

scenario!(udp_target, |run| {
    let sink = Syslog::udp();
    logging(run, &format!("{} local0", sink.address), "", "option httplog");
    run.client().ask(GET);
    let line = sink.line();
    run.note_log_line(&line);
});

scenario!(no_log_in_a_frontend, |run| {
    run.origin("s1", vec![Step::Serve(OK.into())]);
    run.http("no log", "server s1 127.0.0.1:{s1}");
    run.client().ask(GET);
});

scenario!(odd_bytes_are_escaped, |run| {
    logging(run, "{log} local0", "", "option httplog");
    run.client().ask("GET /a\"b%22 HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(1);
});

scenario!(long_uris_are_cut, |run| {
    logging(run, "{log} local0", "", "option httplog");
    run.client().ask(&format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "0123456789".repeat(200)));
    // Where it is cut depends on the digits of the pid and the timers: the length of the whole is what is agreed on.
    let line = run.log_line();
    run.note("log", &format!("{} bytes, newline {}", line.len(), line.ends_with('\n')));
});

scenario!(byte_counts_of_a_post, |run| {
    logging(run, "{log} local0", "", "option httplog");
    run.client().ask(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n{}", "b".repeat(3000)));
    run.logs(1);
});

scenario!(check_state_changes, |run| {
    run.listen("fe");
    run.refusing("s1");
    run.start(
        "global\n log {log} local0\n maxconn 100\n nbthread 1\ndefaults\n log global\n mode http\n option httplog\n \
         timeout connect 2s\n timeout client 5s\n timeout server 5s\nfrontend fe\n bind 127.0.0.1:{fe}\n \
         default_backend be\nbackend be\n server s1 127.0.0.1:{s1} check inter 100\n",
    );
    run.logs(2);
    run.client().ask(GET);
    run.logs(1);
});

scenario!(rules_that_answer_or_refuse, |run| {
    run.http(
        "http-request auth if { path /auth }\n http-request deny if { path /deny }\n http-request silent-drop if { path \
         /silent }\n http-request reject if { path /reject }",
        "",
    );
    for path in ["auth", "deny", "reject", "silent"] {
        run.client().send(format!("GET /{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        run.logs(1);
    }
});
