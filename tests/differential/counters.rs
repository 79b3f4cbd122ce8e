//! Figures of `show stat` after the same traffic: what balancing has chosen, errors that are nobody's but the proxy's, what
//! traffic told of a server's health, and HTTP/1 connections.

use crate::common::cli::ask;
use crate::common::client::Client;
use crate::common::http::status;
use crate::common::origin::{Gate, Step};
use crate::common::wait_until;
use crate::run::Run;
use std::os::unix::net::UnixStream;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A frontend `fe` with these lines and this rest, and a socket for the figures.
fn start(run: &mut Run, frontend: &str, rest: &str) {
    run.listen("fe");
    run.start(&format!(
        "global\n stats socket {{dir}}sock level admin\n maxconn 500\n nbthread 1\ndefaults\n mode http\n \
         timeout connect 3s\n timeout client 5s\n timeout server 5s\nfrontend fe\n bind 127.0.0.1:{{fe}}\n {frontend}\n\
         {rest}\n"
    ));
    // The port listens a moment before the socket does.
    let socket = run.path("sock");
    wait_until("the socket is there", || UnixStream::connect(&socket).is_ok());
}

/// The lines of `show stat`, each value under its column's name.
fn lines(run: &Run) -> Vec<Vec<(String, String)>> {
    let text = ask(&run.path("sock"), "show stat");
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().expect("a header").trim_start_matches("# ").split(',').collect();
    let pairs = |line: &str| names.iter().zip(line.split(',')).map(|(n, v)| (n.to_string(), v.to_string())).collect();
    lines.filter(|line| !line.is_empty()).map(pairs).collect()
}

fn value<'a>(line: &'a [(String, String)], name: &str) -> &'a str {
    &line.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("a column {name}")).1
}

/// Notes these columns of all lines, once no session is left.
fn figures(run: &Run, columns: &[&str]) {
    wait_until("all sessions have ended", || lines(run).iter().all(|line| value(line, "scur") == "0"));
    for line in lines(run) {
        let shown: Vec<String> = columns.iter().map(|c| format!("{c}={}", value(&line, c))).collect();
        run.note(&format!("{}/{}", value(&line, "pxname"), value(&line, "svname")), &shown.join(" "));
    }
}

/// One request on a connection of its own, and its status.
fn get(run: &Run, path: &str, fields: &str) {
    let mut client = Client::connect(run.port("fe"));
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    run.note(path, &format!("{:?}", status(&client.response())));
}

/// Three requests at once for a server that takes one at a time.
fn through_a_queue(run: &mut Run, backend: &str) {
    let gate = Gate::new();
    run.origin("s1", vec![Step::Request, Step::Gate(gate.clone()), Step::Send(OK.into()), Step::Serve(OK.into())]);
    start(run, "default_backend be", &format!("backend be\n {backend}\n server s1 127.0.0.1:{{s1}} maxconn 1"));
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(run.port("fe"))).collect();
    for client in &mut clients {
        client.send(GET);
    }
    let waiting = || lines(run).iter().map(|l| value(l, "qcur").parse().unwrap_or(0)).sum::<u32>();
    wait_until("two requests wait", || waiting() == 2);
    run.note("lbtot", "while they wait");
    let chosen: Vec<String> = lines(run).iter().map(|l| value(l, "lbtot").to_string()).collect();
    run.note("lbtot", &chosen.join(" "));
    gate.open();
    for client in &mut clients {
        client.response();
    }
    drop(clients);
    figures(run, &["lbtot", "stot", "qmax"]);
    run.forget();
}

scenario!(who_waited_for_any_server_was_not_balanced, |run| through_a_queue(run, "balance roundrobin"));
scenario!(who_waits_for_the_server_of_a_hash_was_balanced, |run| through_a_queue(run, "balance source"));

scenario!(whose_wait_is_over_has_not_reached_the_server_of_its_hash, |run| {
    let gate = Gate::new();
    run.origin("s1", vec![Step::Request, Step::Gate(gate.clone()), Step::Send(OK.into())]);
    start(
        run,
        "default_backend be",
        "backend be\n timeout queue 100ms\n balance source\n server s1 127.0.0.1:{s1} maxconn 1",
    );
    let mut served = Client::connect(run.port("fe"));
    served.send(GET);
    wait_until("it is served", || lines(run).iter().any(|l| value(l, "svname") == "s1" && value(l, "scur") == "1"));
    get(run, "/", "");
    gate.open();
    served.response();
    drop(served);
    figures(run, &["lbtot", "econ", "req_tot"]);
    run.forget();
});

scenario!(persistence_is_no_balancing, |run| {
    run.origin("s1", vec![Step::Serve(OK.into())]);
    start(
        run,
        "use_backend %[path,field(2,/)]",
        "backend cookie\n cookie C insert\n server s1 127.0.0.1:{s1} cookie one\n\
         backend use\n use-server s1 if TRUE\n server s1 127.0.0.1:{s1}\n\
         backend stick\n stick-table type ip size 10\n stick on src\n server s1 127.0.0.1:{s1}",
    );
    get(run, "/cookie/", "");
    get(run, "/cookie/", "Cookie: C=one\r\n");
    get(run, "/use/", "");
    get(run, "/stick/", "");
    get(run, "/stick/", "");
    figures(run, &["lbtot", "stot"]);
    run.forget();
});

scenario!(another_server_is_another_choice_and_the_same_one_is_not, |run| {
    run.origin("s2", vec![Step::Serve(OK.into())]);
    run.refusing("s1");
    start(
        run,
        "use_backend %[path,field(2,/)]",
        "defaults\n mode http\n timeout connect 100ms\n timeout client 5s\n timeout server 5s\n retries 2\n\
         backend same\n server s1 127.0.0.1:{s1}\n\
         backend alone\n option redispatch 1\n server s1 127.0.0.1:{s1}\n\
         backend other\n option redispatch 1\n balance static-rr\n server s1 127.0.0.1:{s1}\n server s2 127.0.0.1:{s2}\n\
         backend cookie\n option redispatch 1\n cookie C insert\n server s1 127.0.0.1:{s1} cookie one\n \
         server s2 127.0.0.1:{s2} cookie two\n\
         backend none\n server s1 127.0.0.1:{s1} disabled",
    );
    for backend in ["same", "alone", "other", "none"] {
        get(run, &format!("/{backend}/"), "");
    }
    get(run, "/cookie/", "Cookie: C=one\r\n");
    figures(run, &["stot", "lbtot", "req_tot", "econ", "wretr", "wredis", "connect"]);
    run.forget();
});

scenario!(sessions_that_rules_refuse_are_none, |run| {
    start(
        run,
        "tcp-request connection reject if { src 127.0.0.2 }\n tcp-request session reject if { src 127.0.0.1 }",
        "",
    );
    let mut client = Client::connect(run.port("fe"));
    client.closed();
    figures(run, &["conn_tot", "stot", "dcon", "dses"]);
});

scenario!(edits_that_do_not_fit_are_errors_of_ours, |run| {
    run.origin("s1", vec![Step::Serve(OK.into())]);
    let long = "y".repeat(8000);
    let edit = |set: &str| format!(" {set} a {long}\n {set} b {long}\n {set} c {long}\n");
    let frontend = format!(
        "http-request set-header a {long} if {{ path /front }}\n http-request set-header b {long} if {{ path /front }}\n \
         http-request set-header c {long} if {{ path /front }}\n use_backend %[path,field(2,/)]"
    );
    let rest = format!(
        "backend request\n{} server s1 127.0.0.1:{{s1}}\nbackend response\n{} server s1 127.0.0.1:{{s1}}",
        edit("http-request set-header"),
        edit("http-response set-header")
    );
    start(run, &frontend, &rest);
    for path in ["/front", "/request/", "/response/"] {
        get(run, path, "");
    }
    figures(run, &["eint", "wrew"]);
    run.forget();
});

scenario!(traffic_that_fails_too_often_counts_for_health, |run| {
    run.origin("s1", vec![Step::Serve("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".into())]);
    start(
        run,
        "default_backend be",
        "backend be\n server s1 127.0.0.1:{s1} check inter 1m observe layer7 error-limit 3 on-error mark-down",
    );
    // A check that passes begins the count of errors again.
    wait_until("the first check has passed", || {
        lines(run).iter().any(|line| value(line, "svname") == "s1" && value(line, "check_status") == "L4OK")
    });
    for _ in 0..2 {
        get(run, "/", "");
    }
    figures(run, &["hanafail"]);
    get(run, "/", "");
    figures(run, &["hanafail"]);
    run.forget();
});

const H1: [&str; 6] = [
    "h1_open_connections",
    "h1_open_streams",
    "h1_total_connections",
    "h1_total_streams",
    "h1_bytes_in",
    "h1_bytes_out",
];

scenario!(connections_of_http1_their_streams_and_bytes, |run| {
    run.origin("s1", vec![Step::Serve(OK.into())]);
    start(
        run,
        "http-request return status 200 content-type text/plain string hello if { path /own }\n default_backend be",
        "backend be\n server s1 127.0.0.1:{s1}",
    );
    let mut client = Client::connect(run.port("fe"));
    for _ in 0..3 {
        client.send(GET);
        client.response();
    }
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{}", "x".repeat(1000)));
    client.response();
    client.send("GET /own HTTP/1.1\r\nHost: a\r\n\r\n");
    client.response();
    drop(client);
    // One that never says anything.
    drop(Client::connect(run.port("fe")));
    figures(run, &H1);
    run.forget();
});

scenario!(connections_of_http2_and_their_streams, |run| {
    run.listen("o");
    start(
        run,
        "default_backend be",
        "backend be\n server s1 127.0.0.1:{o} proto h2\n\
         frontend o\n bind 127.0.0.1:{o} proto h2\n http-request return status 200 content-type text/plain string hello",
    );
    let mut client = Client::connect(run.port("fe"));
    for _ in 0..3 {
        client.send(GET);
        client.response();
    }
    drop(client);
    let at_rest = |l: &Vec<(String, String)>| matches!(value(l, "h2_backend_open_streams"), "" | "0");
    wait_until("all streams have ended", || value(&lines(run)[0], "scur") == "0" && lines(run).iter().all(at_rest));
    for line in lines(run) {
        let columns = ["h2_open_connections", "h2_backend_open_streams", "h2_total_connections"];
        let more = ["h2_backend_total_streams", "h2_headers_rcvd", "h2_data_rcvd"];
        let shown: Vec<&str> = columns.iter().chain(&more).map(|c| value(&line, c)).collect();
        run.note(value(&line, "pxname"), &format!("{} {shown:?}", value(&line, "svname")));
    }
});

/// A HEADERS frame with a GET of this path, and a RST_STREAM behind it.
fn taken_back(stream: u8, path: &str) -> Vec<u8> {
    let block = [&b"\x82\x86\x41\x01a\x04"[..], &[path.len() as u8], path.as_bytes()].concat();
    let head = [&[0, 0, block.len() as u8, 1, 5, 0, 0, 0, stream], &block[..]].concat();
    [&head[..], &[0, 0, 4, 3, 0, 0, 0, 0, stream, 0, 0, 0, 8]].concat()
}

scenario!(requests_taken_back_in_the_same_breath, |run| {
    run.origin("s1", vec![Step::Serve(OK.into())]);
    run.listen("fe");
    run.start(
        "global\n log {log} local0\n maxconn 500\n nbthread 1\n stats socket {dir}sock level admin\ndefaults\n log \
         global\n mode http\n option httplog\n timeout connect 3s\n timeout client 5s\n timeout server 5s\nfrontend fe\n \
         bind 127.0.0.1:{fe}\n http-request deny if { path /deny }\n http-request redirect location /x if { path \
         /redirect }\n use_backend be unless { path /nowhere }\nbackend be\n server s1 127.0.0.1:{s1}\n http-request deny \
         if { path /refused }\n",
    );
    let mut client = run.client();
    client.send([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[0, 0, 0, 4, 0, 0, 0, 0, 0][..]].concat());
    for (at, path) in ["/", "/deny", "/redirect", "/nowhere", "/refused"].into_iter().enumerate() {
        client.send(taken_back(2 * at as u8 + 1, path));
        run.logs(1);
    }
    drop(client);
    let columns =
        ["ereq", "dreq", "econ", "cli_abrt", "lbtot", "req_tot", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other"];
    figures(run, &columns);
    run.forget();
});

scenario!(requests_without_any_answer, |run| {
    let rules = "http-request silent-drop if { path /silent }\n http-request reject if { path /reject }";
    start(run, rules, "backend be\n server s1 127.0.0.1:1");
    for path in ["/silent", "/reject"] {
        let mut client = Client::connect(run.port("fe"));
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    wait_until("both are over", || value(&lines(run)[0], "dreq") == "2");
    figures(run, &["dreq", "hrsp_4xx", "hrsp_other"]);
    run.forget();
});

scenario!(a_server_that_leaves_a_kept_connection_unanswered, |run| {
    run.origin("s1", vec![Step::Request, Step::Send(OK.into()), Step::Request, Step::Close]);
    start(run, "default_backend be", "backend be\n server s1 127.0.0.1:{s1}");
    let mut client = Client::connect(run.port("fe"));
    client.send(GET);
    client.response();
    client.send(GET);
    client.closed();
    // That the server is to blame (eresp, srv_abrt) is told by newer ones.
    figures(run, &["req_tot", "hrsp_2xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other"]);
    run.forget();
});
