//! Words of HTTP that one request shows: conditions known by name, replies from files, redirects, cookies, accounts, lines of
//! the log.

mod common;

use common::client::{Client, End};
use common::directory::Directory;
use common::h2::{self, H2Client};
use common::http::{body, header_values, status};
use common::origin::{Origin, Step};
use common::port::Port;
use common::program::{Program, under_test};
use common::syslog::Syslog;
use common::tls::Authority;
use std::time::Duration;

const DEFAULTS: &str = "defaults\n mode http\n timeout connect 2s\n timeout client 5s\n timeout server 5s\n";

struct House {
    program: Program,
    port: Port,
    _directory: Directory,
}

impl House {
    /// Sections in which `{port}` and `{dir}` stand for what is held.
    fn open(sections: &str) -> House {
        House::open_in(Directory::new(), "", sections)
    }

    fn open_in(directory: Directory, global: &str, sections: &str) -> House {
        let port = Port::hold();
        let config = format!("global\n maxconn 100\n{global}{DEFAULTS}{sections}")
            .replace("{port}", &port.number.to_string())
            .replace("{dir}", directory.path().to_str().expect("UTF-8"));
        let program = Program::start(&under_test(), &directory, &config, &[port.number]);
        House { program, port, _directory: directory }
    }

    fn client(&self) -> Client {
        Client::connect(self.port.number)
    }

    /// The answer to a GET with these fields.
    fn get(&self, target: &str, fields: &str) -> Vec<u8> {
        let mut client = self.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        client.response()
    }
}

fn answering(fields: &str) -> Origin {
    Origin::start(vec![Step::Serve(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok").into())])
}

/// The names of conditions that are known without an `acl` line (manual 7.4).
const OF_REQUESTS: [&str; 18] = [
    "FALSE",
    "HTTP",
    "HTTP_1.0",
    "HTTP_1.1",
    "HTTP_2.0",
    "HTTP_3.0",
    "HTTP_CONTENT",
    "HTTP_URL_ABS",
    "HTTP_URL_SLASH",
    "HTTP_URL_STAR",
    "LOCALHOST",
    "METH_CONNECT",
    "METH_DELETE",
    "METH_GET",
    "METH_HEAD",
    "METH_OPTIONS",
    "METH_POST",
    "METH_PUT",
];

#[test]
fn conditions_known_by_name_hold_when_they_should() {
    let rules: String = OF_REQUESTS
        .iter()
        .chain(&["METH_TRACE", "TRUE"])
        .map(|name| format!(" http-request set-var-fmt(txn.a) \"%[var(txn.a)] {name}\" if {name}\n"))
        .collect();
    let house = House::open(&format!(
        "frontend f\n bind 127.0.0.1:{{port}}\n{rules} http-request return status 200 hdr x-names %[var(txn.a)]\n"
    ));
    let end = "LOCALHOST";
    for (request, names) in [
        ("GET / HTTP/1.0\r\n\r\n", format!("HTTP HTTP_1.0 HTTP_URL_SLASH {end} METH_GET TRUE")),
        (
            "HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n",
            format!("HTTP HTTP_1.1 HTTP_URL_SLASH {end} METH_GET METH_HEAD TRUE"),
        ),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", format!("HTTP HTTP_1.1 HTTP_URL_STAR {end} METH_OPTIONS TRUE")),
        ("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", format!("HTTP HTTP_1.1 HTTP_URL_ABS {end} METH_GET TRUE")),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
            format!("HTTP HTTP_1.1 HTTP_CONTENT HTTP_URL_SLASH {end} METH_POST TRUE"),
        ),
        (
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            format!("HTTP HTTP_1.1 HTTP_URL_SLASH {end} METH_PUT TRUE"),
        ),
        ("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", format!("HTTP HTTP_1.1 HTTP_URL_SLASH {end} METH_DELETE TRUE")),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", format!("HTTP HTTP_1.1 HTTP_URL_SLASH {end} METH_TRACE TRUE")),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", format!("HTTP HTTP_1.1 {end} METH_CONNECT TRUE")),
    ] {
        let mut client = house.client();
        client.send(request);
        let answer = if request.starts_with("HEAD") { client.response_to_head() } else { client.response() };
        assert_eq!(header_values(&answer, "x-names"), [names], "{request}");
    }
    let answer = H2Client::connect(house.port.number).ask(&h2::get("/"), b"");
    let names = format!("x-names: HTTP HTTP_2.0 HTTP_URL_ABS {end} METH_GET TRUE\n");
    assert!(answer.text.contains(&names), "{}", answer.text);
}

#[test]
fn contents_of_connections_are_told_apart_by_name() {
    let saying = |word: &str| Origin::start(vec![Step::Bytes(1), Step::Send(word.into()), Step::Close]);
    let [rdp, http, tls, other] = ["rdp", "http", "tls", "other"].map(saying);
    let backend =
        |name: &str, origin: &Origin| format!("backend {name}\n mode tcp\n server s 127.0.0.1:{}\n", origin.port);
    let house = House::open(&format!(
        "frontend f\n mode tcp\n bind 127.0.0.1:{{port}}\n tcp-request inspect-delay 5s\n \
         tcp-request content accept if REQ_CONTENT\n use_backend rdp if RDP_COOKIE\n use_backend http if HTTP\n \
         use_backend tls if {{ req_ssl_hello_type 1 }}\n \
         default_backend other\n{}{}{}{}",
        backend("rdp", &rdp),
        backend("http", &http),
        backend("tls", &tls),
        backend("other", &other)
    ));
    let cookie = b"\x03\x00\x00\x23\x1e\xe0\x00\x00\x00\x00\x00Cookie: mstshash=alice\r\n";
    let name = rustls::pki_types::ServerName::try_from("a").expect("a name");
    let mut hello = Vec::new();
    let mut client = rustls::ClientConnection::new(Authority::new("Test").client().build(), name).expect("a client");
    client.write_tls(&mut hello).expect("a hello");
    for (bytes, word) in [
        (&cookie[..], "rdp"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "http"),
        (&hello, "tls"),
        (b"\x16\x03\x01 else", "other"),
    ] {
        let mut client = house.client();
        client.send(bytes);
        assert_eq!(client.closed().0, word.as_bytes());
    }
}

#[test]
fn replies_come_from_files() {
    let directory = Directory::new();
    directory.write("plain.txt", "path %[path]\n");
    directory.write("own.http", "HTTP/1.1 404 Own\r\nX-Page: own\r\nContent-Length: 0\r\n\r\n");
    directory.write("set.http", "HTTP/1.1 404 Set\r\nX-Page: set\r\nContent-Length: 0\r\n\r\n");
    directory.write("proxy.http", "HTTP/1.1 404 Proxy\r\nX-Page: proxy\r\nContent-Length: 0\r\n\r\n");
    let house = House::open_in(
        directory,
        "",
        "http-errors pages\n errorfile 404 {dir}/set.http\nfrontend f\n bind 127.0.0.1:{port}\n errorfile 404 {dir}/proxy.http\n \
         http-request return status 200 content-type text/plain file {dir}/plain.txt if { path /file }\n \
         http-request return status 200 content-type text/plain lf-file {dir}/plain.txt if { path /lf }\n \
         http-request return status 404 errorfile {dir}/own.http if { path /own }\n \
         http-request return status 404 errorfiles pages if { path /set }\n \
         http-request return status 404 default-errorfiles if { path /proxy }\n http-request deny deny_status 404\n",
    );
    assert_eq!(body(&house.get("/file", "")), b"path %[path]\n");
    assert_eq!(body(&house.get("/lf", "")), b"path /lf\n");
    for (path, page) in [("/own", "own"), ("/set", "set"), ("/proxy", "proxy"), ("/denied", "proxy")] {
        let answer = house.get(path, "");
        assert_eq!((status(&answer), header_values(&answer, "x-page")), (Some(404), vec![page]), "{path}");
    }
}

#[test]
fn redirects_keep_queries_set_cookies_and_are_left_out_when_empty() {
    let house = House::open(
        "frontend f\n bind 127.0.0.1:{port}\n http-request redirect location %[req.hdr(x-to)] ignore-empty if { path /maybe }\n \
         http-request redirect location /new keep-query if { path /keep }\n \
         http-request redirect location /new if { path /drop }\n \
         http-request redirect location /in set-cookie-fmt FROM=%[src] if { path /cookie }\n \
         http-request return status 200\n",
    );
    assert_eq!(status(&house.get("/maybe", "")), Some(200));
    let location = |target: &str, fields: &str| header_values(&house.get(target, fields), "location").concat();
    assert_eq!(location("/maybe", "X-To: /there\r\n"), "/there");
    assert_eq!((location("/keep?a=b", ""), location("/drop?a=b", "")), ("/new?a=b".into(), "/new".into()));
    let cookie = header_values(&house.get("/cookie", ""), "set-cookie").concat();
    assert!(cookie.starts_with("FROM=127.0.0.1;"), "{cookie}");
}

#[test]
fn dynamic_cookies_are_made_of_the_key_and_lead_back_to_their_server() {
    let named = |name: &str| answering(&format!("X-Name: {name}\r\n"));
    let (one, two) = (named("one"), named("two"));
    let cookies = |key: &str| {
        let house = House::open(&format!(
            "listen l\n bind 127.0.0.1:{{port}}\n cookie SRV insert dynamic\n dynamic-cookie-key {key}\n \
             server one 127.0.0.1:{}\n server two 127.0.0.1:{}\n",
            one.port, two.port
        ));
        let mut of = std::collections::BTreeMap::new();
        while of.len() < 2 {
            let answer = house.get("/", "");
            let cookie = header_values(&answer, "set-cookie").concat();
            let value = cookie.strip_prefix("SRV=").and_then(|c| c.split(';').next()).expect("a cookie").to_owned();
            assert!(value.len() == 16 && value.bytes().all(|b| b.is_ascii_hexdigit()), "{cookie}");
            of.insert(header_values(&answer, "x-name").concat(), value);
        }
        for (name, value) in &of {
            for _ in 0..3 {
                let answer = house.get("/", &format!("Cookie: SRV={value}\r\n"));
                assert_eq!(header_values(&answer, "x-name"), [name]);
            }
        }
        of
    };
    let (first, again, other) = (cookies("secret"), cookies("secret"), cookies("another"));
    assert!(first == again && first["one"] != first["two"] && first["one"] != other["one"], "{first:?} {other:?}");
}

#[test]
fn accounts_have_hashed_passwords_and_groups() {
    // `openssl passwd -6 -salt abcdefgh secret`
    let hash = "$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.";
    let house = House::open(&format!(
        "userlist u\n group admins\n group guests users eve\n user joe password {hash} groups admins\n \
         user eve insecure-password secret\nfrontend f\n bind 127.0.0.1:{{port}}\n \
         http-request return status 200 if {{ http_auth_group(u) admins }}\n http-request return status 403 if \
         {{ http_auth(u) }}\n http-request auth\n"
    ));
    let status_of = |credentials: &str| status(&house.get("/", &format!("Authorization: Basic {credentials}\r\n")));
    // joe:secret, joe:wrong, eve:secret
    assert_eq!(
        ["am9lOnNlY3JldA==", "am9lOndyb25n", "ZXZlOnNlY3JldA=="].map(status_of),
        [Some(200), Some(401), Some(403)]
    );
}

#[test]
fn a_listener_expects_the_proxy_protocol_where_a_rule_says_so() {
    let house = House::open(
        "frontend f\n bind 127.0.0.1:{port}\n tcp-request connection expect-proxy layer4 if { src 127.0.0.1 }\n \
         http-request return status 200 hdr x-src %[src]\n",
    );
    let mut client = house.client();
    client.send("PROXY TCP4 192.0.2.1 192.0.2.2 1111 2222\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(header_values(&client.response(), "x-src"), ["192.0.2.1"]);
    let mut client = house.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(status(&client.closed().0), None);
}

#[test]
fn a_monitor_fails_when_its_condition_holds() {
    let house = House::open(
        "frontend f\n bind 127.0.0.1:{port}\n monitor-uri /alive\n monitor fail if { nbsrv(empty) lt 1 } { req.hdr(x-ask) yes }\n\
         backend empty\n",
    );
    assert_eq!(status(&house.get("/alive", "")), Some(200));
    assert_eq!(status(&house.get("/alive", "X-Ask: yes\r\n")), Some(503));
}

#[test]
fn requests_carry_their_unique_id() {
    let origin = answering("");
    let house = House::open(&format!(
        "frontend f\n bind 127.0.0.1:{{port}}\n unique-id-format %{{+X}}o-%ci-%[path]\n unique-id-header X-Request-Id\n \
         default_backend b\nbackend b\n server s 127.0.0.1:{}\n",
        origin.port
    ));
    house.get("/here", "");
    let sent = origin.records()[0].bytes.clone();
    assert_eq!(header_values(&sent, "x-request-id"), ["-7F000001-/here"]);
}

#[test]
fn connections_that_ask_nothing_are_ignored_where_that_is_wanted() {
    for (option, answered) in [("", true), (" option http-ignore-probes\n", false)] {
        let house = House::open(&format!(
            "frontend f\n bind 127.0.0.1:{{port}}\n timeout http-request 100ms\n{option} http-request return status 200\n"
        ));
        let bytes = house.client().closed().0;
        assert_eq!(status(&bytes), answered.then_some(408), "{option:?}");
    }
}

#[test]
fn dropped_clients_hear_nothing() {
    let origin = answering("");
    let house = House::open(&format!(
        "listen l\n bind 127.0.0.1:{{port}}\n http-request silent-drop if {{ path /request }}\n \
         http-response silent-drop if {{ capture.req.uri /response }}\n server s 127.0.0.1:{}\n",
        origin.port
    ));
    for path in ["/request", "/response"] {
        let mut client = house.client();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let (bytes, end) = client.drain(Duration::from_millis(300));
        assert!(bytes.is_empty() && end != Some(End::Closed), "{path}: {end:?}");
    }
    assert_eq!(status(&house.get("/", "")), Some(200));
    assert_eq!(origin.requests("/request"), 0);
}

#[test]
fn the_log_tells_addresses_times_and_process() {
    let (log, origin) = (Syslog::udp(), answering(""));
    let house = House::open(&format!(
        "frontend f\n bind 127.0.0.1:{{port}}\n log {} local0\n \
         log-format \"pid=%pid fi=%fi fp=%fp Ts=%Ts t=%t Tw=%Tw Tc=%Tc end\"\n default_backend b\nbackend b\n \
         server s 127.0.0.1:{}\n",
        log.address, origin.port
    ));
    house.get("/", "");
    let line = log.line_with(&["end"]);
    let value = |name: &str| {
        let behind = line.split_once(&format!(" {name}=")).or_else(|| line.split_once(&format!("{name}=")));
        behind.expect("the tag").1.split(' ').next().expect("a value").to_owned()
    };
    assert_eq!(value("pid"), house.program.pid().to_string());
    assert_eq!((value("fi"), value("fp")), ("127.0.0.1".into(), house.port.number.to_string()));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_secs();
    assert!(value("Ts").parse::<u64>().is_ok_and(|s| s <= now && s + 60 > now), "{line}");
    // `26/Nov/2026:17:00:00.000`
    let date = value("t");
    assert!(date.len() == 24 && date.as_bytes()[2] == b'/' && date.as_bytes()[11] == b':', "{date}");
    assert!(value("Tw").parse::<i64>().is_ok_and(|ms| (0..1000).contains(&ms)), "{line}");
    assert!(value("Tc").parse::<i64>().is_ok_and(|ms| (0..1000).contains(&ms)), "{line}");
}

#[test]
fn the_window_of_http2_is_the_one_that_is_set() {
    let house = House::open_in(
        Directory::new(),
        " tune.h2.initial-window-size 77777\n",
        "frontend f\n bind 127.0.0.1:{port}\n",
    );
    let mut client = house.client();
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    // SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 §6.5.2).
    client.until(&[0, 4, 0, 1, 0x2f, 0xd1]);
}

/// Nothing could ever come in a window of zero, nor on none of any streams.
#[test]
fn limits_of_http2_that_are_zero_are_not_set() {
    for (lines, window) in [
        (" tune.h2.initial-window-size 0\n", 65_536u32),
        (" tune.h2.initial-window-size 77777\n tune.h2.fe.initial-window-size 0\n", 77_777),
    ] {
        let lines = format!("{lines} tune.h2.max-concurrent-streams 50\n tune.h2.fe.max-concurrent-streams 0\n");
        let house = House::open_in(Directory::new(), &lines, "frontend f\n bind 127.0.0.1:{port}\n");
        let mut client = house.client();
        client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
        // SETTINGS_INITIAL_WINDOW_SIZE and SETTINGS_MAX_CONCURRENT_STREAMS (RFC 9113 §6.5.2).
        client.until(&[&[0, 4][..], &window.to_be_bytes(), &[0, 3, 0, 0, 0, 50]].concat());
    }
}

#[test]
fn the_log_has_cookies_up_to_their_length() {
    for (global, kept) in [("", "SID=0123456789ab"), (" tune.http.cookielen 9\n", "SID=0123")] {
        let (log, origin) = (Syslog::udp(), answering("Set-Cookie: SID=abcdefghijkl; path=/\r\n"));
        let sections = format!(
            "frontend f\n bind 127.0.0.1:{{port}}\n capture cookie SID= len 20\n log {} local0\n \
             log-format \"%CC %CS end\"\n default_backend b\nbackend b\n server s 127.0.0.1:{}\n",
            log.address, origin.port
        );
        let house = House::open_in(Directory::new(), global, &sections);
        house.get("/", "Cookie: other=1; SID=0123456789ab; SIDE=2\r\n");
        let line = log.line_with(&[" end"]);
        let theirs = kept.replace("0123456789ab", "abcdefghijkl").replace("0123", "abcd");
        assert!(line.contains(&format!(" {kept} {theirs} end")), "{line}");
    }
}

#[test]
fn who_leaves_while_rules_wait_for_a_body_is_logged_with_the_time_waited() {
    let rules = [
        ("http-request pause 60\n http-request wait-for-body time 20s", 50),
        ("option http-buffer-request", 0),
        ("tcp-request inspect-delay 20s\n tcp-request content accept if WAIT_END", 0),
    ];
    for (rule, least) in rules {
        let (log, origin) = (Syslog::udp(), answering(""));
        let house = House::open(&format!(
            "frontend f\n bind 127.0.0.1:{{port}}\n log {} local0\n log-format \"TR=%TR %Tw %ST %ts end\"\n {rule}\n \
             default_backend b\nbackend b\n server s 127.0.0.1:{}\n",
            log.address, origin.port
        ));
        let mut client = house.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
        client.stream().shutdown(std::net::Shutdown::Write).expect("a half-close");
        let line = log.line_with(&["TR=", "end"]);
        let waited = line.split_once("TR=").and_then(|(_, l)| l.split(' ').next()?.parse::<i64>().ok());
        assert!(line.contains(" -1 400 CR end"), "{rule}: {line}");
        assert!(waited.is_some_and(|ms| ms >= least), "{rule}: {line}");
    }
}
