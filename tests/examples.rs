//! The deployments in `config/examples` start as they stand, with ports of the test's own, and do what their first line
//! says.

mod common;

use common::client::Client;
use common::directory::Directory;
use common::origin::{Origin, Step};
use common::port::Port;
use common::program::{Program, under_test};
use common::{http, tls, wait_until};

/// An example that runs: its files in a directory of its own, its addresses replaced.
struct Deployment {
    program: Program,
    ports: Vec<Port>,
    directory: Directory,
}

/// Starts an example. `listeners`: ports in the file that it listens on. `origins`: ports in the file and what stands
/// there instead.
fn deploy(name: &str, listeners: &[u16], origins: &[(u16, u16)]) -> Deployment {
    let directory = Directory::new();
    deploy_in(directory, name, listeners, origins)
}

fn deploy_in(directory: Directory, name: &str, listeners: &[u16], origins: &[(u16, u16)]) -> Deployment {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    for entry in std::fs::read_dir(&folder).expect("the folder of examples") {
        let path = entry.expect("an entry").path();
        let file = path.file_name().and_then(|n| n.to_str()).expect("a file name");
        directory.write(file, std::fs::read(&path).expect("an example's file"));
    }
    let mut text = std::fs::read_to_string(folder.join(format!("{name}.cfg"))).expect("the example");
    let ports: Vec<Port> = listeners.iter().map(|_| Port::hold()).collect();
    let numbers: Vec<u16> = ports.iter().map(|p| p.number).collect();
    let listening = listeners.iter().copied().zip(numbers.iter().copied());
    for (written, real) in listening.chain(origins.iter().copied()) {
        text = text.replace(&format!("127.0.0.1:{written}"), &format!("127.0.0.1:@{real}@"));
        text = text.replace(&format!("port {written} "), &format!("port @{real}@ "));
    }
    let text = text.replace('@', "").replace("/run/", &directory.join(""));
    let program = Program::start(&under_test(), &directory, &text, &numbers);
    Deployment { program, ports, directory }
}

impl Deployment {
    fn client(&self) -> Client {
        Client::connect(self.ports[0].number)
    }

    /// One request on a connection of its own: the whole answer as text.
    fn ask(&self, request: &str) -> String {
        let mut client = self.client();
        client.send(request);
        String::from_utf8_lossy(&client.response()).into_owned()
    }

    /// A GET with these further fields.
    fn get(&self, path: &str, fields: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\n{fields}\r\n"))
    }
}

/// A server that answers every request with its name.
fn named(name: &str) -> Origin {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
    Origin::start(vec![Step::Serve(answer.into())])
}

/// The requests that a server has got, as text.
fn received(origin: &Origin) -> String {
    origin.records().iter().map(|r| String::from_utf8_lossy(&r.bytes).into_owned()).collect()
}

#[test]
fn kolla_balances_an_api_and_keeps_a_dashboard_session_on_its_server() {
    let (one, two) = (named("one"), named("two"));
    let mut d = deploy("openstack-kolla", &[5000, 8080], &[(5101, one.port), (5102, two.port)]);
    let answers: Vec<_> = (0..2).map(|_| d.get("/v3", "X-Forwarded-Proto: forged\r\n")).collect();
    assert!(answers.iter().any(|a| a.ends_with("one")) && answers.iter().any(|a| a.ends_with("two")), "{answers:?}");
    assert!(!received(&one).contains("forged") && !received(&two).contains("forged"));
    let mut dashboard = Client::connect(d.ports[1].number);
    dashboard.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let login = dashboard.response();
    assert_eq!(http::header_values(&login, "location"), ["/auth/login"]);
    dashboard.send("GET /auth/login HTTP/1.1\r\nHost: a\r\n\r\n");
    let first = dashboard.response();
    let cookie = http::header_values(&first, "set-cookie")[0].split(';').next().unwrap_or_default().to_owned();
    for _ in 0..3 {
        let mut again = Client::connect(d.ports[1].number);
        again.send(format!("GET /x HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n"));
        assert_eq!(http::body(&again.response()), http::body(&first));
    }
    d.program.assert_runs();
}

#[test]
fn openstack_ansible_sticks_to_the_active_server() {
    let (one, two) = (named("one"), named("two"));
    let d = deploy("openstack-ansible", &[8774], &[(5101, one.port), (5102, two.port)]);
    for _ in 0..3 {
        assert!(d.get("/v2.1", "X-Tls: 1\r\n").ends_with("one"));
    }
    assert!(received(&one).contains("x-forwarded-proto: https"), "{}", received(&one));
    one.wait_for("the check's request", |records| {
        records.iter().any(|r| String::from_utf8_lossy(&r.bytes).contains("osa-haproxy-healthcheck"))
    });
}

#[test]
fn kubernetes_ingress_takes_the_longest_prefix_of_the_map() {
    let (one, two) = (named("shop"), named("cart"));
    let d = deploy("kubernetes-ingress", &[8080], &[(5101, one.port), (5102, two.port)]);
    assert!(d.get("/item/1", "").ends_with("shop"));
    assert!(d.get("/cart/1", "").ends_with("cart"));
    let other = d.ask("GET /cart HTTP/1.1\r\nHost: other.example\r\n\r\n");
    assert!(other.starts_with("HTTP/1.1 404 ") && other.ends_with("default backend - 404\n"), "{other}");
    assert!(received(&one).contains("x-request-id: "));
}

#[test]
fn api_gateway_authenticates_rewrites_and_answers_preflights() {
    let one = named("one");
    let d = deploy("api-gateway", &[8080], &[(5101, one.port)]);
    let origin = "Origin: https://app.example.org\r\n";
    assert!(d.get("/api/v1/items?a=1", origin).starts_with("HTTP/1.1 401 "));
    let preflight = d.ask(&format!("OPTIONS /api/v1/items HTTP/1.1\r\nHost: a\r\n{origin}\r\n"));
    assert!(preflight.starts_with("HTTP/1.1 204 "), "{preflight}");
    assert!(preflight.contains("access-control-allow-origin: https://app.example.org\r\n"), "{preflight}");
    // alice:wonderland
    let answer = d.get("/api/v1/items?a=1", &format!("{origin}Authorization: Basic YWxpY2U6d29uZGVybGFuZA==\r\n"));
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("access-control-allow-origin: https://app"));
    let request = received(&one);
    assert!(request.starts_with("GET /items?a=1 HTTP/1.1\r\n") && request.contains("x-user: alice\r\n"), "{request}");
    assert!(request.contains("x-served-by: one\r\n") && !request.contains("authorization"), "{request}");
    let foreign = d.get("/api/v1/items", "Origin: https://evil.example\r\n");
    assert!(!foreign.contains("access-control-allow-origin"), "{foreign}");
}

#[test]
fn deny_lists_are_read_from_files() {
    let one = named("one");
    let d = deploy("deny-lists", &[8080], &[(5101, one.port)]);
    assert!(d.get("/", "X-Forwarded-For: 192.0.2.7\r\n").starts_with("HTTP/1.1 403 "));
    assert!(d.get("/", "X-Forwarded-For: 2001:db8::1\r\n").starts_with("HTTP/1.1 403 "));
    assert!(d.get("/WP-Admin/x", "").starts_with("HTTP/1.1 404 "));
    assert!(d.get("/", "X_Forwarded_For: 1\r\n").starts_with("HTTP/1.1 403 "));
    assert!(d.get("/", "X-Forwarded-For: 198.51.100.1\r\n").ends_with("one"));
}

#[test]
fn canary_follows_the_cookie() {
    let (one, two) = (named("stable"), named("canary"));
    let d = deploy("canary", &[8080], &[(5101, one.port), (5102, two.port)]);
    assert!(d.get("/", "").ends_with("stable"));
    assert!(d.get("/", "Cookie: a=b; canary=on\r\n").ends_with("canary"));
    assert!(d.get("/x?canary=on", "").contains("set-cookie: canary=on"));
    assert!(d.get("/x?canary=off", "").to_ascii_lowercase().contains("set-cookie: canary=; path=/; max-age=0"));
}

#[test]
fn maintenance_page_stands_in_when_the_map_says_so() {
    let one = named("one");
    let d = deploy("maintenance", &[8080], &[(5101, one.port)]);
    assert!(d.get("/", "").ends_with("one"));
    let socket = d.directory.join("ringway-maintenance.sock");
    assert_eq!(common::cli::ask(&socket, "set map maintenance.map site on").trim(), "");
    let page = d.get("/", "");
    assert!(page.starts_with("HTTP/1.1 503 ") && page.contains("retry-after: 120"), "{page}");
    assert!(page.contains("Back soon"), "{page}");
    common::cli::ask(&socket, "set map maintenance.map site off");
    assert!(d.get("/", "").ends_with("one"));
    common::cli::ask(&socket, "disable server app/one");
    assert!(d.get("/", "").contains("Back soon"));
}

#[test]
fn blue_and_green_are_switched_at_run_time() {
    let (one, two) = (named("blue"), named("green"));
    let d = deploy("blue-green", &[8080], &[(5101, one.port), (5102, two.port)]);
    assert!(d.get("/", "").ends_with("blue"));
    common::cli::ask(&d.directory.join("ringway-blue-green.sock"), "set map blue-green.map live green");
    assert!(d.get("/", "").ends_with("green"));
}

#[test]
fn the_sixth_request_in_ten_seconds_is_refused() {
    let one = named("one");
    let d = deploy("rate-limit", &[8080], &[(5101, one.port)]);
    for left in (0..5).rev() {
        let answer = d.get("/", "");
        assert!(answer.contains(&format!("x-ratelimit-remaining: {left}\r\n")), "{answer}");
    }
    let refused = d.get("/", "");
    assert!(refused.starts_with("HTTP/1.1 429 ") && refused.contains("retry-after: 10"), "{refused}");
}

#[test]
fn websockets_go_to_their_own_servers_and_bytes_pass_both_ways() {
    let one = named("one");
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let two = Origin::start(vec![Step::Request, Step::Send(switch.into()), Step::Until(b"ping".into())]);
    let d = deploy("websocket", &[8080], &[(5101, one.port), (5102, two.port)]);
    assert!(d.get("/", "").ends_with("one"));
    let mut client = d.client();
    client.send(
        "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    client.until(b"\r\n\r\n");
    client.send("ping");
    two.wait_for("the frame", |records| records.iter().any(|r| r.bytes.ends_with(b"ping")));
}

#[test]
fn tls_is_terminated_and_plain_requests_are_redirected() {
    let one = named("one");
    let authority = tls::Authority::new("test authority");
    let issued = authority.issue(&["shop.example"], false, 1);
    let directory = Directory::new();
    directory.write("site.pem", &issued.pem);
    let d = deploy_in(directory, "tls-termination", &[8080, 8443], &[(5101, one.port)]);
    let answer = d.get("/a?b=c", "");
    assert!(
        answer.starts_with("HTTP/1.1 301 ") && answer.contains("location: https://shop.example/a?b=c"),
        "{answer}"
    );
    let config = tls::Settings::build(authority.client());
    let mut stream = tls::connect(&config, d.ports[1].number, "shop.example").expect("a TLS connection");
    let answer = tls::ask(&mut stream, "/").expect("an answer");
    assert_eq!(tls::field(&answer, "strict-transport-security"), Some("max-age=31536000"), "{answer}");
    let request = received(&one);
    assert!(request.contains("x-forwarded-proto: https") && request.contains("x-forwarded-for: 127.0.0.1"));
}

#[test]
fn galera_and_redis_follow_their_checks() {
    let data = |name: &str| Origin::start(vec![Step::Send(name.into()), Step::Eof]);
    let (db1, db2) = (data("db1\n"), data("db2\n"));
    let (down, up) = (
        Origin::start(vec![Step::Serve("HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into())]),
        Origin::start(vec![Step::Serve("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into())]),
    );
    let redis = |role: &str| {
        let info = format!("$12\r\nrole:{role}\r\n");
        let steps = [("PING\r\n", "+PONG\r\n"), ("info replication\r\n", &info), ("QUIT\r\n", "+OK\r\n")];
        Origin::start(
            steps.iter().flat_map(|(ask, say)| [Step::Until((*ask).into()), Step::Send((*say).into())]).collect(),
        )
    };
    let (r1, r2) = (redis("slave"), redis("master"));
    let origins =
        [(5101, db1.port), (5102, db2.port), (5201, down.port), (5202, up.port), (5103, r1.port), (5104, r2.port)];
    let mut d = deploy("databases", &[3306, 6379], &origins);
    wait_until("the backup serves", || {
        let mut client = d.client();
        client.until(b"\n").ends_with(b"db2\n")
    });
    wait_until("the master serves", || {
        let mut client = Client::connect(d.ports[1].number);
        client.send("PING\r\n");
        let before = r1.connections();
        client.until(b"\n").ends_with(b"+PONG\r\n") && before > 0
    });
    d.program.assert_runs();
}
