//! Which server is chosen: algorithms, weights, backups, disabled servers, limits.

use crate::common::client::Client;
use crate::common::http::header_values;
use crate::common::origin::{Gate, Step};
use crate::run::Run;
use std::collections::BTreeSet;

fn answer(name: &str) -> Step {
    Step::Serve(format!("HTTP/1.1 200 OK\r\nX-Server: {name}\r\nContent-Length: 0\r\n\r\n").into())
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Three servers with their options and `requests` connections one after the other; the log names the servers.
fn three(run: &mut Run, backend: &str, options: [&str; 3], requests: usize) {
    let mut lines = backend.to_string();
    for (name, options) in ["s1", "s2", "s3"].into_iter().zip(options) {
        run.origin(name, vec![answer(name)]);
        lines.push_str(&format!("\n server {name} 127.0.0.1:{{{name}}} {options}"));
    }
    run.http("", &lines);
    for _ in 0..requests {
        let mut c = run.client();
        c.send(GET);
        c.closed();
        run.logs(1);
    }
}

/// The server that answers one request on a connection of its own.
fn server_of(run: &Run, request: &str) -> String {
    let mut client = Client::connect(run.port("fe"));
    client.send(request);
    let (answer, _) = client.closed();
    header_values(&answer, "x-server").join(" ")
}

scenario!(roundrobin, |run| {
    three(run, "balance roundrobin", ["", "", ""], 7);
});

scenario!(roundrobin_with_weights, |run| {
    three(run, "balance roundrobin", ["weight 1", "weight 3", "weight 2"], 13);
});

scenario!(roundrobin_with_large_weights, |run| {
    three(run, "balance roundrobin", ["weight 100", "weight 50", "weight 0"], 9);
});

scenario!(backup_is_not_used_while_another_is_up, |run| {
    three(run, "balance roundrobin", ["backup", "", ""], 4);
});

scenario!(only_backups_left_the_first_serves, |run| {
    three(run, "balance roundrobin", ["disabled", "backup", "backup"], 4);
});

scenario!(allbackups_share, |run| {
    three(run, "balance roundrobin\n option allbackups", ["disabled", "backup", "backup"], 4);
});

scenario!(disabled_is_never_used, |run| {
    three(run, "balance roundrobin", ["", "disabled", ""], 4);
});

scenario!(all_disabled_503, |run| {
    three(run, "balance roundrobin", ["disabled", "disabled", "disabled"], 2);
});

scenario!(leastconn_idle_uses_all, |run| {
    for name in ["s1", "s2", "s3"] {
        run.origin(name, vec![answer(name)]);
    }
    run.http(
        "",
        "balance leastconn\n server s1 127.0.0.1:{s1}\n server s2 127.0.0.1:{s2}\n server s3 127.0.0.1:{s3}",
    );
    let mut chosen = BTreeSet::new();
    for _ in 0..12 {
        chosen.insert(server_of(run, GET));
    }
    // Which of equals comes next depends on when the last one was released.
    run.forget();
    run.note("servers", &format!("{chosen:?}"));
});

scenario!(leastconn_avoids_the_busy, |run| {
    run.origin("s1", vec![answer("s1")]);
    run.origin("s2", vec![answer("s2")]);
    run.http("", "balance leastconn\n server s1 127.0.0.1:{s1}\n server s2 127.0.0.1:{s2}");
    let mut busy = Client::connect(run.port("fe"));
    busy.send("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbo");
    while run.origin_named("s1").connections() + run.origin_named("s2").connections() == 0 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let others: BTreeSet<String> = (0..4).map(|_| server_of(run, GET)).collect();
    busy.send("dy");
    let its = header_values(&busy.response(), "x-server").join(" ");
    run.forget();
    run.note(
        "servers",
        &format!("{} for the idle ones, which is the busy one: {}", others.len(), others.contains(&its)),
    );
});

scenario!(first_fills_one_server, |run| {
    three(run, "balance first", ["maxconn 10", "maxconn 10", ""], 4);
});

scenario!(source_is_the_same_server_each_time, |run| {
    three(run, "balance source", ["", "", ""], 4);
});

scenario!(source_consistent_is_the_same_server_each_time, |run| {
    three(run, "balance source\n hash-type consistent", ["id 1", "id 2", "id 3"], 3);
});

scenario!(static_rr, |run| {
    three(run, "balance static-rr", ["weight 2", "weight 1", "weight 1"], 8);
});

scenario!(first_moves_on_when_a_server_is_full, |run| {
    let gate = Gate::new();
    let ok = Step::Send("HTTP/1.1 200 OK\r\nX-Server: s1\r\nContent-Length: 0\r\n\r\n".into());
    run.origin("s1", vec![Step::Request, Step::Gate(gate.clone()), ok]);
    run.origin("s2", vec![answer("s2")]);
    run.http("", "balance first\n server s1 127.0.0.1:{s1} maxconn 1\n server s2 127.0.0.1:{s2} maxconn 1");
    let mut busy = run.client();
    busy.send(GET);
    run.origin_received("s1", 0, b"\r\n\r\n");
    let mut c = run.client();
    c.send(GET);
    c.closed();
    run.logs(1);
    gate.open();
    busy.closed();
    run.logs(1);
});

scenario!(queued_request_is_served_when_a_slot_is_free, |run| {
    let gate = Gate::new();
    let ok = Step::Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into());
    run.origin_with("s1", vec![vec![Step::Request, Step::Gate(gate.clone()), ok], vec![answer("s1")]]);
    run.http("", "option http-server-close\n server s1 127.0.0.1:{s1} maxconn 1");
    let mut first = run.client();
    first.send("GET /first HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    run.origin_received("s1", 0, b"\r\n\r\n");
    let mut second = run.client();
    second.send(GET);
    // Long enough for the second to be queued before the first is answered.
    std::thread::sleep(std::time::Duration::from_millis(100));
    gate.open();
    first.closed();
    second.closed();
    run.logs(2);
});

scenario!(frontend_maxconn_holds_the_next_client, |run| {
    run.origin("s1", vec![answer("s1")]);
    run.http("maxconn 1", "server s1 127.0.0.1:{s1}");
    let mut first = run.client();
    first.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    run.logs(1);
    let mut second = run.client();
    second.send(GET);
    let (early, _) = second.drain(std::time::Duration::from_millis(150));
    run.note("C2", if early.is_empty() { "waits" } else { "was served too early" });
    drop(first);
    second.closed();
    run.logs(1);
});
