//! What an evaluation with a recorder tells is what the running program does: two hundred generated requests go through
//! the pure evaluator and through the program, with the same rules fired, the same edits, captures, backend and answer.
//! `SEED` repeats a run.

mod common;

use common::client::Client;
use common::directory::Directory;
use common::http::{header_values, status};
use common::port::Port;
use common::program::{Program, under_test};
use common::syslog::Syslog;
use ringway::base::clock::{Millis, Now};
use ringway::base::origin::Origin;
use ringway::config::diagnostic::Diagnostics;
use ringway::config::env::Environment;
use ringway::config::files::Source;
use ringway::config::load::{Options, load_sources};
use ringway::language::acl::Truth;
use ringway::language::context::{Context, Payload, Side};
use ringway::language::facts::{Listener, Named, Session, Stream};
use ringway::language::rules::reply::Reply;
use ringway::language::rules::switching::{Choice, Target};
use ringway::language::rules::{RuleSet, Verdict};
use ringway::language::scratch::Pool;
use ringway::language::vars::Vars;
use ringway::language::world::{Outcome, Recorder, World};
use ringway::model::plan::{Plan, ProxyIndex};
use ringway::proto::h1::{Asked, Limits, Parsed, parse_request, parse_response};
use ringway::proto::http::head::Head;
use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;

/// A rule under `*` is preceded by one with the same condition that notes its number in a variable, which is logged.
const CONFIG: &str = r#"
global
 log {log} local0
 nbthread 2
 expose-experimental-directives
defaults
 mode http
 log global
 timeout connect 3s
 timeout client 5s
 timeout server 5s
frontend fe
 bind 127.0.0.1:{plain}
 bind 127.0.0.1:{proxied} accept-proxy
 capture request header Host len 12
 capture request header User-Agent len 64
 capture response header X-Origin len 8
 declare capture request len 20
 log-format "%b %ST trail=%[var(sess.trail)]%[var(txn.trail)] host=%[capture.req.hdr(0)] agent=%[capture.req.hdr(1)] captured=%[capture.req.hdr(2)] from=%[capture.res.hdr(0)] tier=%[var(txn.tier)] %HM %HP"
 acl local src 127.0.0.0/8
 acl office src 10.0.0.0/8 192.168.0.0/16
 acl blocked src -f {dir}/blocked.acl
 acl is_api path_beg /api/
 acl is_static path_end .css .js .png
 acl is_admin path_dir admin
 acl is_numbered path_reg ^/item/[0-9]+$
 acl long_path path_len gt 20
 acl has_query query -m found
 acl debug url_param(debug) -m bool
 acl page_big urlp_val(page) ge 10
 acl reads method GET HEAD
 acl writes method POST PUT DELETE
 acl mobile hdr_sub(user-agent) -i mobile android
 acl crawler hdr_reg(user-agent) -i (bot|spider)
 acl shop hdr_dom(host) -i shop.example
 acl www hdr_beg(host) -i www.
 acl known_host hdr(host),lower,map_str({dir}/hosts.map) -m found
 acl old_cookie cook(version) 1 2 3
 acl logged_in cook(session) -m len 4:12
 acl french req.hdr(accept-language),language(fr;de) fr
 acl many_fields req.hdr_cnt(x-list) gt 2
 acl second_b req.hdr(x-list,2) b
 acl signed http_auth_user -m found
 acl negative req.hdr_val(x-num) lt 0
 acl forwarded_private req.hdr_ip(x-forwarded-for,-1) 10.0.0.0/8
 acl gold var(txn.tier) -m str gold
*tcp-request connection reject if blocked !local
*tcp-request connection set-var-fmt(sess.port) "%[dst_port]" unless local
*tcp-request session set-var(sess.office) bool(true) if office
*tcp-request content set-var(txn.tier) str(plain) if TRUE
*http-request capture req.hdr(x-num) id 2
*http-request set-var(txn.tier) str(gold) if logged_in !crawler
*http-request set-var(txn.tier) str(silver) if signed or { var(sess.office) -m bool }
*http-request set-header x-tier %[var(txn.tier)]
*http-request set-header x-language french if french
*http-request add-header x-kind api if is_api
*http-request add-header x-kind static if is_static reads
*http-request add-header x-kind mobile if mobile || { req.hdr(x-mobile) yes }
*http-request del-header x-secret if !office
*http-request del-header x-internal- -m beg
*http-request replace-header x-list ^(.)$ <\1>
*http-request replace-value x-list b bee if many_fields or second_b
*http-request set-header x-src %[src,ipmask(24)]:%[dst_port]
*http-request set-header x-sum %[req.hdr(x-num),add(5),mul(2)] if { req.hdr(x-num) -m found }
*http-request set-header x-hash %[path,crc32(1)]/%[url_param(q),url_dec,upper]
*http-request normalize-uri path-merge-slashes
*http-request replace-path ^/old/(.*) /new/\1 if !writes
*http-request set-query %[query,regsub(debug=[^&]*,debug=off,g)] if has_query debug
*http-request set-path /item/0 if is_numbered negative
*http-request set-uri %[path]?p=%[urlp(page)] if page_big !is_api
*http-request set-method POST if { method PURGE }
*http-request set-header host %[req.hdr(host),map({dir}/hosts.map,other.example)] if known_host
*http-request return status 204 hdr x-by pong if { path /ping }
*http-request deny deny_status 429 hdr x-by crawler if crawler is_admin
*http-request deny if is_admin !office !logged_in
*http-request return status 200 content-type text/plain hdr x-by text lf-string "%[method] %[path]" if { path_sub echo } has_query
*http-request redirect location https://%[req.hdr(host)]%[path] code 301 if www !gold
*http-request allow if is_static
*http-request set-header x-late yes
 redirect prefix http://m.example code 302 if mobile { path_beg /m }
 redirect location /moved code 303 if old_cookie { path / }
 use_backend be_api if is_api
 use_backend be_%[req.hdr(host),map({dir}/backends.map,none)]
 use_backend be_gold if gold
 use_backend be_static if is_static or long_path
 default_backend be_rest
*http-response set-header x-front %[res.hdr(x-origin)] if { status 200 }
*http-response del-header server
*http-after-response set-header x-after %[status]
backend be_api
*http-request set-path %[path,regsub(^/api,,)] if { path_len gt 5 }
*http-request set-header x-api %[req.hdr(authorization),word(2,\ )] if { req.hdr(authorization) -m found }
*http-response set-status 203 if { res.hdr(x-origin) api }
 server s 127.0.0.1:{api}
backend be_gold
*http-request set-header x-gold %[var(txn.tier),length] unless { path / }
 server s 127.0.0.1:{gold}
backend be_static
*http-response add-header x-cache max-age=60
 server s 127.0.0.1:{static}
backend be_shop
*http-request deny deny_status 405 hdr x-by shop if { method DELETE }
*http-response replace-header set-cookie (.*)=(.*) \1=<\2>
 server s 127.0.0.1:{shop}
backend be_rest
 server s 127.0.0.1:{rest}
"#;

const ORIGINS: [&str; 5] = ["api", "gold", "static", "shop", "rest"];

/// The configuration with ports and paths, and its marked rules written out.
fn configuration(replace: impl Fn(String) -> String) -> String {
    let mut text = String::new();
    for (number, line) in CONFIG.lines().enumerate() {
        let Some(rule) = line.strip_prefix('*') else {
            text += &format!("{line}\n");
            continue;
        };
        let scope =
            if rule.starts_with("tcp-request con") && !rule.contains("content") || rule.contains("session set") {
                "sess"
            } else {
                "txn"
            };
        let phase: Vec<&str> = rule.split(' ').take(if rule.starts_with("tcp") { 2 } else { 1 }).collect();
        let at = [" if ", " unless "].iter().find_map(|word| rule.find(word)).unwrap_or(rule.len());
        let note = format!("set-var-fmt({scope}.trail) %[var({scope}.trail)]+{number}");
        text += &format!(" {} {note}{}\n {rule}\n", phase.join(" "), &rule[at..]);
    }
    replace(text)
}

// ---- requests by chance ----

struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn request(&mut self) -> String {
        let method = self.one(&["GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "PURGE", "OPTIONS"]);
        let path = self.one(&[
            "/",
            "/ping",
            "/api/users",
            "/api/a",
            "/static/site.css",
            "/x/app.js",
            "/admin/",
            "/a/admin/b.png",
            "/item/17",
            "/item/x",
            "/old/page",
            "//double//slash",
            "/m/home",
            "/echo/it",
            "/a/path/that/is/long/enough",
            "/%7Euser/%41",
        ]);
        let query = self.one(&[
            "",
            "",
            "?",
            "?debug=1",
            "?debug=true&page=3",
            "?page=12&q=a%20b",
            "?q=%zz&debug=0",
            "?page=x",
        ]);
        let mut text = format!("{method} {path}{query} HTTP/1.1\r\n");
        let host =
            self.one(&["a.example", "www.a.example", "shop.example", "WWW.shop.example", "known.example", "h:8080"]);
        let _ = write!(text, "Host: {host}\r\n");
        let fields: [(&str, &[&str]); 13] = [
            ("User-Agent", &["curl/8", "Mozilla Mobile", "Googlebot/2.1", "an-android-thing", "Spider and bot"]),
            ("Accept-Language", &["fr-FR,fr;q=0.8", "de;q=0.9, fr;q=0.3", "en", "*"]),
            (
                "Cookie",
                &["version=2; session=abcdef", "session=abc", "version=9", "x; session=\"quoted\"", "a=b; version=1"],
            ),
            ("X-List", &["a, b,c", "b", "a", "x,b,b,b", ",,", "d"]),
            ("X-List", &["last", "b"]),
            ("Authorization", &["Basic dXNlcjpwYXNz", "Basic !!!", "Bearer t"]),
            ("X-Num", &["-5", "7", "9223372036854775807", "12abc", "abc", ""]),
            ("X-Forwarded-For", &["10.1.2.3", "8.8.8.8, 10.0.0.1", "nonsense", "2001:db8::1"]),
            ("X-Mobile", &["yes", "no"]),
            ("X-Secret", &["s"]),
            ("X-Internal-A", &["1"]),
            ("X-Odd", &["a  b", "\u{e9}", "\"q\"", "a;b=c"]),
            ("x-tier", &["forged"]),
        ];
        for (name, values) in fields {
            if self.below(5) < 2 {
                let _ = write!(text, "{name}: {}\r\n", self.one(values));
            }
        }
        if matches!(method, "POST" | "PUT") {
            let body = &"0123456789"[..self.below(11)];
            let _ = write!(text, "Content-Length: {}\r\n\r\n{body}", body.len());
        } else {
            text += "\r\n";
        }
        text
    }
}

// ---- the running side ----

/// The head that origin `name` answers any request with; the request's head comes back in it.
fn answer(name: &str, request: &[u8]) -> String {
    let echo: String = request.iter().map(|b| format!("{b:02x}")).collect();
    format!(
        "HTTP/1.1 200 OK\r\nServer: origin\r\nX-Origin: {name}\r\nSet-Cookie: id=abc\r\nX-Echo: {echo}\r\nContent-Length: 0\r\n\r\n"
    )
}

fn serve(mut stream: TcpStream, name: &str) {
    let (mut bytes, mut piece, mut head) = (Vec::new(), [0; 4096], Head::new());
    loop {
        while let Ok(Parsed::Complete(message)) = parse_request(&bytes, &Limits::REQUEST, &mut head) {
            let body =
                head.first(b"content-length").map_or(0, |v| String::from_utf8_lossy(v).parse().expect("a length"));
            if bytes.len() < message.consumed + body {
                break;
            }
            let rest = bytes.split_off(message.consumed + body);
            let text = answer(name, &bytes[..message.consumed]);
            if stream.write_all(text.as_bytes()).is_err() {
                return;
            }
            bytes = rest;
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(n) => bytes.extend_from_slice(&piece[..n]),
        }
    }
}

fn origin(name: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream, name));
        }
    });
    port
}

// ---- the pure side ----

struct Nobody;

impl World for Nobody {
    fn random(&self) -> u64 {
        0
    }
}

/// What was told, as lines; and the numbers of the marked rules that were done.
#[derive(Default)]
struct Told {
    lines: RefCell<Vec<String>>,
    trail: RefCell<String>,
    /// The outcome of the note before the present rule.
    noted: RefCell<Option<Outcome>>,
}

impl Recorder for Told {
    fn value(&self, origin: &Origin, expression: &str, value: Option<&[u8]>, matched: bool) {
        let value = value.map_or("no sample".into(), |v| format!("'{}'", v.escape_ascii()));
        self.lines.borrow_mut().push(format!("    {origin} {expression} = {value}: {matched}"));
    }

    fn term(&self, origin: &Origin, text: &str, negated: bool, truth: Truth) {
        self.lines.borrow_mut().push(format!("  {origin} {}{text}: {truth:?}", if negated { "!" } else { "" }));
    }

    fn rule(&self, origin: &Origin, text: &str, outcome: Outcome, _: &Context<'_>) {
        self.lines.borrow_mut().push(format!("{origin} {text}: {outcome:?}"));
        let number = text.split_once(".trail)]+").map(|(_, rest)| rest.split(' ').next().unwrap_or_default());
        match number {
            Some(number) => {
                if outcome == Outcome::Done {
                    self.trail.borrow_mut().push_str(&format!("+{number}"));
                }
                *self.noted.borrow_mut() = Some(outcome);
            }
            None => {
                if let Some(noted) = self.noted.take() {
                    let skipped = [noted, outcome].map(|o| o == Outcome::Skipped);
                    assert_eq!(skipped[0], skipped[1], "{origin} {text}: {outcome:?} after {noted:?}");
                }
            }
        }
    }
}

/// What is compared.
#[derive(Debug, PartialEq)]
struct Seen {
    /// 0: no answer.
    status: u16,
    request: Option<Vec<(String, String)>>,
    /// Method and URI that the origin got.
    line: String,
    answer: Vec<(String, String)>,
    log: String,
    trail: String,
}

fn fields(head: &Head, keep: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let text = |b: &[u8]| b.escape_ascii().to_string();
    head.fields().map(|(n, v)| (text(n), text(v))).filter(|(n, _)| keep(n)).collect()
}

fn is_of_answer(name: &str) -> bool {
    name.starts_with("x-") && name != "x-echo" || ["location", "set-cookie", "server"].contains(&name)
}

struct Evaluation<'a> {
    plan: &'a Plan,
    session: Session,
    /// Source and destination of the connection itself.
    ends: Ends,
    stream: Stream,
    request: Head,
    response: Head,
    vars: Vars,
    pool: Pool,
    recorder: &'a Told,
}

enum End {
    Closed,
    Answer(Reply),
}

impl Evaluation<'_> {
    fn with<T>(&mut self, side: Side, run: impl FnOnce(&mut Context<'_>) -> T) -> T {
        let mut cx = Context {
            session: &mut self.session,
            stream: &mut self.stream,
            request: Some(&mut self.request),
            early: Default::default(),
            response: (side == Side::Response).then_some(&mut self.response),
            request_payload: Payload { complete: true, ..Payload::default() },
            response_payload: Payload { complete: true, ..Payload::default() },
            side,
            last_chance: true,
            vars: &self.vars,
            pool: &self.pool,
            world: &Nobody,
            now: Now { mono: Millis(1000), nanos: 1_000_000_000, wall_us: 1_795_345_438_727_000 },
            recorder: Some(self.recorder),
        };
        run(&mut cx)
    }

    fn set(&mut self, set: &RuleSet, side: Side) -> Result<(), End> {
        match self.with(side, |cx| set.run(cx, 0)) {
            Verdict::Continue | Verdict::Accept => Ok(()),
            Verdict::Reject => Err(End::Closed),
            Verdict::Deny(r) | Verdict::Return(r) | Verdict::Redirect(r) => Err(End::Answer(r)),
            other => panic!("unexpected: {other:?}"),
        }
    }

    fn choose(&mut self, frontend: ProxyIndex) -> ProxyIndex {
        let plan = self.plan;
        let rules = &plan.proxies[frontend].rules;
        let mut start = 0;
        loop {
            let found = self.with(Side::Request, |cx| match rules.use_backend.choose(cx, start) {
                (_, Choice::None | Choice::Wait) => Some(plan.proxies[frontend].frontend.default_backend),
                (index, Choice::Rule(rule)) => {
                    let mut name = Vec::new();
                    match &rule.target {
                        Target::Name(fixed) => name.extend_from_slice(fixed.as_bytes()),
                        Target::Format(format) => format.write(cx, &mut name),
                    }
                    start = index + 1;
                    plan.backend(&String::from_utf8_lossy(&name)).map(Some)
                }
            });
            if let Some(found) = found {
                return found.expect("a default backend");
            }
        }
    }

    /// The phases of a request: the backend, or how it ended before.
    fn request(&mut self, frontend: ProxyIndex) -> Result<ProxyIndex, End> {
        let plan = self.plan;
        let front = &plan.proxies[frontend].rules;
        // These run before the PROXY header is read: they see the connection's own ends.
        let ends = (self.session.src, self.session.dst);
        (self.session.src, self.session.dst) = (Some(self.ends.0), Some(self.ends.1));
        self.set(&front.tcp_request_connection, Side::Request)?;
        (self.session.src, self.session.dst) = ends;
        self.set(&front.tcp_request_session, Side::Request)?;
        for slot in &plan.proxies[frontend].frontend.captures.request {
            let name = slot.name.as_ref().map(|n| n.to_ascii_lowercase());
            let value = name.and_then(|n| self.request.last(n.as_bytes()));
            self.stream.request_captures.push(value.map(|v| v[..v.len().min(slot.length_max)].to_vec()));
        }
        for set in [&front.tcp_request_content, &front.http_request] {
            self.set(set, Side::Request)?;
        }
        if let Some(reply) = self.with(Side::Request, |cx| front.redirects.run(cx)) {
            return Err(End::Answer(reply));
        }
        let backend = self.choose(frontend);
        let proxy = &plan.proxies[backend];
        self.stream.backend = Some(Named::new(proxy.name.as_str(), proxy.id));
        self.set(&proxy.rules.http_request, Side::Request)?;
        Ok(backend)
    }

    fn run(mut self) -> (Seen, &'static str) {
        let plan = self.plan;
        let frontend = plan.frontend("fe").expect("the frontend");
        let (mut seen_request, mut line, mut origin) = (None, String::new(), "");
        let text = |b: &[u8]| b.escape_ascii().to_string();
        match self.request(frontend) {
            Err(End::Closed) => {
                let trail = self.recorder.trail.borrow().clone();
                let nothing = Seen { status: 0, request: None, line, answer: vec![], log: String::new(), trail };
                return (nothing, origin);
            }
            Err(End::Answer(mut reply)) => self.response = std::mem::take(&mut reply.head),
            Ok(backend) => {
                seen_request = Some(fields(&self.request, |name| name != "connection"));
                line = format!("{} {}", text(self.request.method()), text(self.request.uri()));
                origin = ORIGINS.into_iter().find(|o| plan.proxies[backend].name.ends_with(o)).expect("an origin");
                let parsed = parse_response(
                    answer(origin, b"").as_bytes(),
                    &Limits::RESPONSE,
                    Asked::Other,
                    &mut self.response,
                );
                assert!(matches!(parsed, Ok(Parsed::Complete(_))));
                self.stream.server_status = 200;
                let slots = plan.proxies[frontend].frontend.captures.response.iter();
                self.stream.response_captures =
                    slots.map(|s| Some(origin.as_bytes()[..origin.len().min(s.length_max)].to_vec())).collect();
                for proxy in [backend, frontend] {
                    assert!(self.set(&plan.proxies[proxy].rules.http_response, Side::Response).is_ok());
                }
            }
        }
        assert!(self.set(&plan.proxies[frontend].rules.http_after_response, Side::Response).is_ok());
        let status = self.response.status();
        self.stream.status = status;
        let answer = fields(&self.response, is_of_answer);
        let format = plan.proxies[frontend].rules.log_format.clone().expect("a log format");
        let mut log = Vec::new();
        self.with(Side::Response, |cx| format.write(cx, &mut log));
        let (log, trail) = (String::from_utf8_lossy(&log).into_owned(), self.recorder.trail.borrow().clone());
        (Seen { status, request: seen_request, line, answer, log, trail }, origin)
    }
}

type Ends = (SocketAddr, SocketAddr);

fn evaluate(plan: &Plan, bytes: &[u8], ends: Ends, (src, dst): Ends, recorder: &Told) -> (Seen, &'static str) {
    let mut request = Head::new();
    let parsed = parse_request(bytes, &Limits::REQUEST, &mut request);
    assert!(matches!(parsed, Ok(Parsed::Complete(_))), "{parsed:?}: {}", bytes.escape_ascii());
    let listener = Rc::new(Listener { frontend: Named::new("fe", 2), ..Listener::default() });
    let stream = Stream { method: request.method().to_vec(), uri: request.uri().to_vec(), ..Stream::default() };
    Evaluation {
        plan,
        session: Session { src: Some(src), dst: Some(dst), ..Session::new(listener) },
        ends,
        stream,
        request,
        response: Head::new(),
        vars: Vars::default(),
        pool: Pool::new(),
        recorder,
    }
    .run()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len() / 2).map(|n| digits(2 * n)).collect()
}

/// What the client and the origin saw of one request.
fn observe(bytes: &[u8], log: &str) -> Seen {
    let mut head = Head::new();
    let parsed = parse_response(bytes, &Limits { head_bytes: 60_000, ..Limits::RESPONSE }, Asked::Head, &mut head);
    assert!(matches!(parsed, Ok(Parsed::Complete(_))), "{parsed:?}: {}", bytes.escape_ascii());
    let (mut request, mut line) = (None, String::new());
    if let [echo] = header_values(bytes, "x-echo")[..] {
        let (got, mut head) = (unhex(echo), Head::new());
        assert!(matches!(parse_request(&got, &Limits::REQUEST, &mut head), Ok(Parsed::Complete(_))));
        request = Some(fields(&head, |name| name != "connection"));
        line = format!("{} {}", head.method().escape_ascii(), head.uri().escape_ascii());
    }
    let trail = log.split_once("trail=").and_then(|(_, rest)| rest.split(' ').next()).unwrap_or_default();
    Seen {
        status: status(bytes).expect("a status"),
        request,
        line,
        answer: fields(&head, is_of_answer),
        log: log.to_owned(),
        trail: trail.replace('-', ""),
    }
}

#[test]
fn two_hundred_generated_requests_give_the_same_through_the_recorder_and_through_the_running_proxy() {
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| {
        use std::hash::{BuildHasher, Hasher};
        std::collections::hash_map::RandomState::new().build_hasher().finish()
    });
    println!("SEED={seed}");
    let mut chance = Chance(seed | 1);
    let directory = Directory::new();
    directory.write("blocked.acl", "203.0.113.0/24\n# a comment\n198.51.100.7\n");
    directory.write("hosts.map", "known.example renamed.example\nshop.example shop.example\n");
    directory.write("backends.map", "shop.example shop\nh:8080 absent\n");
    let sink = Syslog::unix(&directory.join("log"));
    let ports = [Port::hold(), Port::hold()];
    let origins = ORIGINS.map(|name| (name, origin(name)));
    let text = configuration(|text| {
        let text = text.replace("{log}", &sink.address).replace("{dir}/", &directory.join(""));
        let text =
            text.replace("{plain}", &ports[0].number.to_string()).replace("{proxied}", &ports[1].number.to_string());
        origins.iter().fold(text, |text, (name, port)| text.replace(&format!("{{{name}}}"), &port.to_string()))
    });
    let source = Source { name: "haproxy.cfg".into(), content: text.clone().into_bytes() };
    let outcome =
        load_sources(vec![source], &Options::default(), &mut Environment::default(), Diagnostics::new(false));
    let said: Vec<_> = outcome.diagnostics.messages().iter().map(|m| format!("{m:?}")).collect();
    let plan = outcome.plan.unwrap_or_else(|| panic!("{}\n{text}", said.join("\n")));
    let program = Program::start(&under_test(), &directory, &text, &ports.each_ref().map(|p| p.number));
    let mut met = std::collections::BTreeMap::<String, usize>::new();
    for number in 0..200 {
        let request = chance.request();
        let proxied = chance.below(2) == 1;
        let mut client = Client::connect(ports[usize::from(proxied)].number);
        let ends =
            (client.stream().local_addr().expect("an address"), client.stream().peer_addr().expect("an address"));
        let (mut src, mut dst) = ends;
        if proxied {
            let net =
                chance.one(&["203.0.113.9", "198.51.100.7", "10.1.2.3", "192.168.7.7", "8.8.4.4", "10.200.0.1"]);
            src = (net.parse::<Ipv4Addr>().expect("an address"), 1000 + chance.below(9000) as u16).into();
            dst = ([192, 0, 2, 1], 443).into();
            client.send(format!("PROXY TCP4 {} {} {} {}\r\n", src.ip(), dst.ip(), src.port(), dst.port()));
        }
        let recorder = Told::default();
        let (expected, to) = evaluate(&plan, request.as_bytes(), ends, (src, dst), &recorder);
        let told = || {
            format!(
                "SEED={seed}, request {number} from {src} to {to}\n{request}\n{}",
                recorder.lines.borrow().join("\n")
            )
        };
        *met.entry(format!("{} {to}", expected.status)).or_default() += 1;
        for rule in expected.trail.split('+').skip(1) {
            *met.entry(format!("rule {rule}")).or_default() += 1;
        }
        client.send(&request);
        if expected.status == 0 {
            assert!(client.closed().0.is_empty(), "an answer where none was due\n{}", told());
            continue;
        }
        let bytes = if request.starts_with("HEAD") { client.response_to_head() } else { client.response() };
        let line = sink.line();
        let log = line.split_once("]: ").map_or(line.as_str(), |(_, text)| text).trim_end();
        assert_eq!(observe(&bytes, log), expected, "{}", told());
    }
    println!("{met:#?}\n{}", program.messages());
    let answers = met.keys().filter(|k| !k.starts_with("rule")).count();
    let rules = met.keys().filter(|k| k.starts_with("rule")).count();
    assert!(answers >= 10 && rules >= 30, "too little was met: {met:#?}");
}

#[test]
fn a_recorder_hears_place_value_and_outcome_of_everything() {
    let text = "frontend fe\n mode http\n bind 127.0.0.1:1\n acl a path_beg /a\n acl a req.hdr(x) -m int 3\n \
                http-request set-header y 1 if a !{ src 10.0.0.0/8 }\n http-request deny if { req.hdr(z) 1 }\n \
                redirect location /x if { path /r }\n use_backend be if a\n default_backend be\nbackend be\n mode http\n \
                server s 127.0.0.1:1\n";
    let source = Source { name: "c.cfg".into(), content: text.into() };
    let outcome =
        load_sources(vec![source], &Options::default(), &mut Environment::default(), Diagnostics::new(false));
    let plan = outcome.plan.expect("a plan");
    let recorder = Told::default();
    let address = SocketAddr::from(([127, 0, 0, 1], 7));
    let mut request = Head::new();
    let bytes = b"GET /b HTTP/1.1\r\nHost: h\r\nX: 1, 3\r\n\r\n";
    assert!(parse_request(bytes, &Limits::REQUEST, &mut request).is_ok());
    let mut evaluation = Evaluation {
        plan: &plan,
        session: Session { src: Some(address), dst: Some(address), ..Session::default() },
        ends: (address, address),
        stream: Stream::default(),
        request,
        response: Head::new(),
        vars: Vars::default(),
        pool: Pool::new(),
        recorder: &recorder,
    };
    assert!(evaluation.request(0).is_ok());
    let expected = [
        "    c.cfg:4 path_beg = '/b': false",
        "    c.cfg:5 req.hdr(x) = '1': false",
        "    c.cfg:5 req.hdr(x) = '3': true",
        "  c.cfg:6 a: Yes",
        "    c.cfg:6 src = '127.0.0.1': false",
        "  c.cfg:6 !{ src 10.0.0.0/8 }: Yes",
        "c.cfg:6 set-header y 1 if a !{ src 10.0.0.0/8 }: Done",
        "    c.cfg:7 req.hdr(z) = no sample: false",
        "  c.cfg:7 { req.hdr(z) 1 }: No",
        "c.cfg:7 deny if { req.hdr(z) 1 }: Skipped",
        "    c.cfg:8 path = '/b': false",
        "  c.cfg:8 { path /r }: No",
        "c.cfg:8 location /x if { path /r }: Skipped",
        "    c.cfg:4 path_beg = '/b': false",
        "    c.cfg:5 req.hdr(x) = '1': false",
        "    c.cfg:5 req.hdr(x) = '3': true",
        "  c.cfg:9 a: Yes",
        "c.cfg:9 be if a: Final",
    ];
    assert_eq!(*recorder.lines.borrow(), expected);
}
