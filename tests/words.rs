//! Words that change single messages or connections, each with what HAProxy 3.4.0 was seen to do.

mod common;

use common::client::Client;
use common::directory::Directory;
use common::http::{body, header_values};
use common::origin::{Origin, Step};
use common::port::Port;
use common::program::{Program, peer, under_test};

const HEAD: &str = "defaults\n mode http\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n";

fn answering(fields: &str) -> Origin {
    Origin::start(vec![Step::Serve(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok").into())])
}

/// A proxy of these `global` lines and this section, which `bind`s {port} and may name servers by {origin}.
fn start(global: &str, section: &str, origin: &Origin) -> (Program, Client, Directory) {
    let (directory, port) = (Directory::new(), Port::hold());
    let section = section.replace("{origin}", &format!("127.0.0.1:{}", origin.port));
    let config = format!("global\n{global}{HEAD}listen l\n bind 127.0.0.1:{}\n{section}", port.number);
    let program = Program::start(&under_test(), &directory, &config, &[port.number]);
    let client = Client::connect(port.number);
    (program, client, directory)
}

fn request(origin: &Origin) -> String {
    origin.records().iter().map(|r| String::from_utf8_lossy(&r.bytes).into_owned()).collect()
}

#[test]
fn variables_of_the_process_are_set_at_the_start_in_their_order() {
    let origin = answering("");
    let global = " set-var proc.a str(primary)\n set-var proc.n int(100)\n set-var proc.th int(200),sub(proc.n)\n \
                  set-var-fmt proc.f \"x-%[var(proc.a)]-%pid\"\n";
    let section = " http-request return status 200 hdr x-vars \"%[var(proc.a)] %[var(proc.th)] %[var(proc.f)]\"\n";
    let (program, mut client, _directory) = start(global, section, &origin);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.response();
    assert_eq!(header_values(&answer, "x-vars"), [format!("primary 100 x-primary-{}", program.pid())]);
}

#[test]
fn field_names_are_spelt_for_peers_that_take_them_literally() {
    let origin = answering("X-Abc: 1\r\n");
    let directory = Directory::new();
    let file = directory.write("names", "# names\n\n host  HoSt\n connection\tConnEction\n");
    let global = format!(" h1-case-adjust x-abc X-aBC\n h1-case-adjust-file {file}\n");
    let section = " option h1-case-adjust-bogus-client\n option h1-case-adjust-bogus-server\n \
                   http-request return status 200 hdr x-abc 1 if { path /ours }\n server s {origin}\n";
    let (_program, mut client, _directory) = start(&global, section, &origin);
    client.send("GET /ours HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(String::from_utf8_lossy(&client.response()).contains("\r\nX-aBC: 1\r\n"));
    client.send("GET / HTTP/1.1\r\nhost: a\r\nx-abc: host\r\nConnection: close\r\n\r\n");
    let answer = String::from_utf8_lossy(&client.response()).into_owned();
    assert!(answer.contains("\r\nX-aBC: 1\r\n") && answer.contains("\r\nConnEction: close\r\n"), "{answer}");
    let sent = request(&origin);
    assert!(sent.contains("\r\nHoSt: a\r\n") && sent.contains("\r\nX-aBC: host\r\n"), "{sent}");
}

#[test]
fn bodies_of_http10_get_are_refused_unless_any_method_may_have_one() {
    for (global, expected) in [("", 413), (" h1-accept-payload-with-any-method\n", 200)] {
        let origin = answering("");
        for method in ["GET", "HEAD", "DELETE"] {
            let (_program, mut client, _directory) = start(global, " server s {origin}\n", &origin);
            client.send(format!("{method} / HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"));
            let (answer, _) = client.closed();
            assert_eq!(common::http::status(&answer), Some(expected), "{method}");
        }
        let (_program, mut client, _directory) = start(global, " server s {origin}\n", &origin);
        client.send("POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(client.status(), 200);
    }
}

#[test]
fn trailers_go_on_unless_they_are_dropped() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n";
    let dropping = " option http-drop-request-trailers\n option http-drop-response-trailers\n";
    for (options, trailer) in [("", true), (dropping, false)] {
        let origin = Origin::start(vec![Step::Serve(chunked.into())]);
        let (_program, mut client, _directory) = start("", &format!("{options} server s {{origin}}\n"), &origin);
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-R: 1\r\n\r\n");
        let answer = client.response();
        assert_eq!(body(&answer), b"abc");
        assert_eq!(String::from_utf8_lossy(&answer).contains("x-t: 1"), trailer);
        assert_eq!(request(&origin).contains("x-r: 1"), trailer);
    }
}

#[test]
fn restricted_field_names_are_deleted_or_refused() {
    for (policy, status, kept) in [("preserve", 200, true), ("delete", 200, false), ("reject", 403, false)] {
        let origin = answering("");
        let section = format!(" option http-restrict-req-hdr-names {policy}\n server s {{origin}}\n");
        let (_program, mut client, _directory) = start("", &section, &origin);
        client.send("GET / HTTP/1.1\r\nHost: a\r\nX_bad: v\r\nx.y: 2\r\nX-Good: 3\r\n\r\n");
        assert_eq!(client.status(), status, "{policy}");
        let sent = request(&origin);
        assert_eq!((sent.contains("x_bad"), sent.contains("x.y")), (kept, kept), "{policy}: {sent}");
    }
}

#[test]
fn the_server_is_told_its_name_and_a_forged_one_is_removed() {
    let origin = answering("");
    let section = " http-send-name-header X-Server-Name\n server first {origin}\n";
    let (_program, mut client, _directory) = start("", section, &origin);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Server-Name: forged\r\n\r\n");
    assert_eq!(client.status(), 200);
    let sent = request(&origin);
    assert!(sent.contains("\r\nx-server-name: first\r\n") && !sent.contains("forged"), "{sent}");
}

#[test]
fn default_path_finds_files_beside_the_configuration() {
    let directory = Directory::new();
    for folder in ["conf", "maps"] {
        std::fs::create_dir(directory.join(folder)).expect("a folder");
    }
    directory.write("maps/a.map", "/ x\n");
    directory.write("conf/b.map", "/ x\n");
    let rule = |file: &str| format!(" http-request deny if {{ path,map({file}) x }}\n");
    let cases = [
        (" default-path config\n".to_owned(), "b.map", true),
        (" default-path parent\n".to_owned(), "maps/a.map", true),
        (format!(" default-path origin {}\n", directory.join("maps")), "a.map", true),
        (" default-path current\n".to_owned(), "b.map", false),
        (String::new(), "b.map", false),
    ];
    for (line, file, found) in cases {
        let config = format!("global\n{line}{HEAD}listen l\n bind 127.0.0.1:1\n{}", rule(file));
        let path = directory.write("conf/haproxy.cfg", config);
        let out = std::process::Command::new(under_test()).args(["-c", "-f", &path]).output().expect("runs");
        assert_eq!(out.status.success(), found, "{line}{}", String::from_utf8_lossy(&out.stderr));
    }
}

/// The remaining jiffies of the keep-alive timer of a connection that ends at this local port (proc(5) "net/tcp").
fn keepalive_jiffies(port: u16) -> Option<u64> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the table of connections");
    table.lines().skip(1).find_map(|line| {
        let c: Vec<_> = line.split_whitespace().collect();
        let local = c[1].ends_with(&format!(":{port:04X}")) && c[3] == "01";
        let (kind, when) = c[5].split_once(':')?;
        (local && kind == "02").then(|| u64::from_str_radix(when, 16).ok())?
    })
}

#[test]
fn keep_alive_probes_come_when_the_configuration_says() {
    let origin = Origin::start(vec![Step::Echo]);
    let section = " mode tcp\n option clitcpka\n option srvtcpka\n clitcpka-idle 1000s\n srvtcpka-idle 500s\n \
                   clitcpka-cnt 3\n srvtcpka-intvl 10s\n server s {origin}\n";
    let (_program, mut client, _directory) = start("", section, &origin);
    client.send("x");
    client.until(b"x");
    let near = |jiffies: Option<u64>, seconds: u64| {
        jiffies.is_some_and(|j| (seconds * 100 - 3000..=seconds * 100).contains(&j))
    };
    let proxy = client.stream().peer_addr().expect("an address").port();
    common::wait_until("the client's timer", || near(keepalive_jiffies(proxy), 1000));
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the table");
    let to_origin = table.lines().find_map(|line| {
        let c: Vec<_> = line.split_whitespace().collect();
        let port = c.get(1)?.rsplit_once(':')?.1;
        // Of those that have ended, thousands may be left, with any port.
        let found = c[2].ends_with(&format!(":{:04X}", origin.port)) && c[3] == "01";
        found.then(|| u16::from_str_radix(port, 16).ok())?
    });
    common::wait_until("the server's timer", || near(keepalive_jiffies(to_origin.expect("a connection")), 500));
}

#[test]
fn usesrc_connects_from_the_address_of_the_client_or_a_field() {
    let directory = Directory::new();
    let (inner, outer) = (Port::hold(), Port::hold());
    let config = format!(
        "{HEAD}listen outer\n bind 127.0.0.1:{}\n source 0.0.0.0 usesrc hdr_ip(x-forwarded-for,-1)\n \
         server s 127.0.0.1:{}\nlisten inner\n bind 127.0.0.1:{}\n http-request return status 200 hdr x-src %[src]\n",
        outer.number, inner.number, inner.number
    );
    let mut program = Program::start(&under_test(), &directory, &config, &[inner.number, outer.number]);
    for address in ["127.9.8.7", "127.1.2.3"] {
        let mut client = Client::connect(outer.number);
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.1, {address}\r\n\r\n"));
        assert_eq!(header_values(&client.response(), "x-src"), [address]);
    }
    let mut client = Client::connect(outer.number);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(header_values(&client.response(), "x-src"), ["127.0.0.1"]);
    program.assert_runs();
}

#[test]
fn forwarded_tells_proto_host_by_and_for() {
    for (words, expected) in [
        ("", "proto=http;for=127.0.0.1"),
        ("proto host by by_port for", "proto=http;host=\"a\";by=\"127.0.0.1:{port}\";for=127.0.0.1"),
        (
            "host-expr str(a.b:80) by-expr str(_x) for-expr hdr(x-f) for_port-expr hdr(x-p)",
            "host=\"a.b:80\";by=_x;for=\"9.8.7.6:55\"",
        ),
        ("for-expr str(nonsense!) proto", "proto=http;for=unknown"),
        ("by-expr hdr(x-v6) by_port-expr int(70000)", "by=\"[::1]:_70000\""),
        ("by_port", ""),
    ] {
        let origin = answering("");
        let section = format!(" option forwarded {words}\n option forwardfor\n server s {{origin}}\n");
        let (_program, mut client, _directory) = start("", &section, &origin);
        client.send(
            "GET / HTTP/1.1\r\nHost: a\r\nX-F: 9.8.7.6\r\nX-P: 55\r\nX-V6: [::1]\r\nForwarded: for=old\r\n\r\n",
        );
        assert_eq!(client.status(), 200);
        let port = client.stream().peer_addr().expect("an address").port();
        let expected = expected.replace("{port}", &port.to_string());
        let sent = request(&origin);
        let end = format!("forwarded: for=old\r\nforwarded: {expected}\r\nx-forwarded-for: 127.0.0.1\r\n\r\n");
        assert!(sent.ends_with(&end), "{words}: {sent}");
    }
}

#[test]
fn a_server_with_redir_is_reached_by_a_redirect() {
    let origin = answering("");
    let (_program, mut client, _directory) = start("", " server s {origin} redir http://img.example\n", &origin);
    for method in ["GET", "HEAD"] {
        client.send(format!("{method} /a%20b?c=d HTTP/1.1\r\nHost: a\r\n\r\n"));
        let answer = if method == "HEAD" { client.response_to_head() } else { client.response() };
        assert_eq!(common::http::status(&answer), Some(302));
        assert_eq!(header_values(&answer, "location"), ["http://img.example/a%20b?c=d"]);
    }
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.status(), 200);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn requests_for_a_proxy_are_authenticated_as_such_where_the_frontend_says_so() {
    let section = " http-request auth realm x if !{ http_auth(u) }\n http-request return status 200 hdr x-user %[http_auth_user]\n";
    let asked = |binary: &std::path::PathBuf, option: &str| {
        let (directory, port) = (Directory::new(), Port::hold());
        let config = format!(
            "userlist u\n user a insecure-password b\n{HEAD}frontend f\n bind 127.0.0.1:{}\n {option}\n{section}",
            port.number
        );
        let _program = Program::start(binary, &directory, &config, &[port.number]);
        let targets = ["GET /x", "GET http://h/x", "OPTIONS *", "CONNECT h:80"];
        let fields = ["", "Authorization: Basic YTpi\r\n", "Proxy-Authorization: Basic YTpi\r\n"];
        let mut seen = Vec::new();
        for (target, field) in targets.iter().flat_map(|t| fields.map(|f| (t, f))) {
            let host = if target.starts_with("CONNECT") { "h:80" } else { "h" };
            let mut client = Client::connect(port.number);
            client.send(format!("{target} HTTP/1.1\r\nHost: {host}\r\n{field}\r\n"));
            seen.push(String::from_utf8_lossy(&client.response()).into_owned());
        }
        seen
    };
    for option in ["option http-use-proxy-header", "no option http-use-proxy-header"] {
        let (ours, theirs) = (asked(&under_test(), option), asked(&peer(), option));
        assert_eq!(ours, theirs, "{option}");
        let proxied = ours.iter().filter(|answer| answer.starts_with("HTTP/1.1 407 ")).count();
        assert_eq!(proxied, if option.starts_with("no") { 0 } else { 4 });
    }
}

#[test]
fn idle_connections_serve_who_gives_them_the_same_name() {
    let connections = |names: [&str; 2]| {
        let origin = answering("");
        let section = " http-reuse always\n server s {origin} pool-conn-name req.hdr(x-name)\n";
        let (program, client, _directory) = start(" nbthread 1\n", section, &origin);
        let port = client.stream().peer_addr().expect("its address").port();
        drop(client);
        for name in names {
            let mut client = Client::connect(port);
            client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Name: {name}\r\n\r\n"));
            assert_eq!(client.status(), 200, "{}", program.messages());
        }
        origin.connections()
    };
    assert_eq!([connections(["a", "a"]), connections(["a", "b"]), connections(["", ""])], [1, 2, 1]);
}

#[test]
fn the_packet_that_began_a_connection_is_kept_where_the_line_says_so() {
    let (directory, ports) = (Directory::new(), [Port::hold(), Port::hold()]);
    let config = format!(
        "{HEAD}frontend f\n bind 127.0.0.1:{} tcp-ss 1\n bind 127.0.0.1:{}\n \
         http-request return status 200 hdr x-syn %[fc_saved_syn,hex]\n",
        ports[0].number, ports[1].number
    );
    let _program = Program::start(&under_test(), &directory, &config, &[ports[0].number, ports[1].number]);
    let asked = |port: &Port| {
        let answer = Client::connect(port.number).send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response();
        header_values(&answer, "x-syn").first().map(|v| (*v).to_owned()).unwrap_or_default()
    };
    let packet = asked(&ports[0]);
    // IPv4 from and to 127.0.0.1, then the client's port and ours.
    assert!(packet.starts_with("45") && packet[24..40] == *"7F0000017F000001", "{packet}");
    assert_eq!(packet[44..48], format!("{:04X}", ports[0].number));
    assert_eq!(asked(&ports[1]), "");
}

#[test]
fn what_the_kernel_measures_of_a_clients_connection_is_told() {
    for binary in [under_test(), peer()] {
        let (directory, port) = (Directory::new(), Port::hold());
        let config = format!(
            "{HEAD}frontend f\n bind 127.0.0.1:{}\n http-request return status 200 hdr x-us %[fc_rtt(us)] \
             hdr x-ms %[fc_rtt] hdr x-lost %[fc_lost] hdr x-order %[fc_reordering]\n",
            port.number
        );
        let _program = Program::start(&binary, &directory, &config, &[port.number]);
        let answer = Client::connect(port.number).send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response();
        let value = |name| {
            let values = header_values(&answer, name);
            values.first().and_then(|v| v.parse::<u64>().ok())
        };
        assert!(value("x-us").is_some_and(|us| us > 0 && Some(us / 1000) == value("x-ms")));
        assert!(value("x-lost") == Some(0) && value("x-order").is_some_and(|n| n > 0));
    }
}

#[test]
fn edits_that_do_not_fit_fail_or_are_left_out_as_the_set_of_rules_says() {
    let long = "a".repeat(12_000);
    let origin =
        Origin::start(vec![Step::Serve(format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: {long}\r\n\r\n").into())]);
    let asked = |binary: &std::path::PathBuf, front: &str, back: &str| {
        let (directory, port) = (Directory::new(), Port::hold());
        let socket = directory.join("admin.sock");
        let config = format!(
            "global\n stats socket {socket} level admin\n{HEAD}frontend f\n bind 127.0.0.1:{}\n {front}\n \
             default_backend b\nbackend b\n {back}\n server s 127.0.0.1:{}\n",
            port.number, origin.port
        );
        let _program = Program::start(binary, &directory, &config, &[port.number]);
        let mut client = Client::connect(port.number);
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: {long}\r\n\r\n"));
        let answer = client.response();
        let stat = common::cli::ask(&socket, "show stat");
        let names: Vec<&str> = stat.lines().next().expect("a title").trim_start_matches("# ").split(',').collect();
        let column = |line: &str, name: &str| {
            let at = names.iter().position(|n| *n == name).expect("a column");
            line.split(',').nth(at).unwrap_or_default().to_owned()
        };
        let counts: Vec<String> = ["f,FRONTEND,", "b,s,", "b,BACKEND,"]
            .iter()
            .filter_map(|row| stat.lines().find(|l| l.starts_with(row)))
            .map(|line| column(line, "wrew") + "/" + &column(line, "eint"))
            .collect();
        (String::from_utf8_lossy(&answer[..12]).into_owned(), header_values(&answer, "y").len(), counts.join(" "))
    };
    let (off, set) = ("strict-mode off", "set-header Y");
    let cases = [
        (String::new(), format!("http-request {set} %[req.hdr(x)]")),
        (format!("http-request {set} %[req.hdr(x)]"), String::new()),
        (String::new(), format!("http-request {off}\n http-request {set} %[req.hdr(x)]")),
        (format!("http-request {off}"), format!("http-request {set} %[req.hdr(x)]")),
        (String::new(), format!("http-response {set} %[res.hdr(x)]")),
        (format!("http-response {set} %[res.hdr(x)]"), format!("http-response {off}")),
        (String::new(), format!("http-response {off}\n http-response {set} %[res.hdr(x)]")),
        (String::new(), format!("http-after-response {set} %[res.hdr(x)]")),
        (String::new(), format!("http-after-response {off}\n http-after-response {set} %[res.hdr(x)]")),
        (format!("http-response {off}"), format!("http-after-response {set} %[res.hdr(x)]")),
    ];
    for (front, back) in cases {
        assert_eq!(asked(&under_test(), &front, &back), asked(&peer(), &front, &back), "{front} | {back}");
    }
}
