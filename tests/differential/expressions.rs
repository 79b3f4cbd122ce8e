//! Expressions: every fetch and converter that both programs have and that a test can compare, on a rich request, a bare
//! one, an odd one, one with a body and an old one. `expressions.txt` has them; each is a rule of its own that answers
//! with its value.

use super::common::client::Client;
use super::common::http::{body, header_values};
use super::common::origin::Step;
use crate::run::Run;

const TABLE: &str = include_str!("expressions.txt");

/// Expressions of requests, and those of responses.
fn table() -> (Vec<&'static str>, Vec<&'static str>) {
    let (requests, responses) = TABLE.split_once("\n<\n").expect("both parts");
    (requests.lines().filter(|l| !l.starts_with('#')).collect(), responses.lines().collect())
}

const DATA: &str = "conn_cnt,conn_cur,conn_rate(1h),sess_cnt,sess_rate(1h),http_req_cnt,http_req_rate(1h),http_err_cnt,\
                    http_err_rate(1h),http_fail_cnt,http_fail_rate(1h),bytes_in_cnt,bytes_in_rate(1h),bytes_out_cnt,\
                    bytes_out_rate(1h),server_id,gpc0,gpc1,gpt0,gpc0_rate(1h),gpc1_rate(1h)";

const MAPS: [(&str, &str); 7] = [
    ("s.map", "abc one\nhello two\n7 seven\n"),
    ("b.map", "a sa\nhel sb\n/x dx\nexample dom\n"),
    ("r.map", "^a(.*)$ r-\\1\n^h rh\n"),
    ("i.map", "7 seven\n10:20 range\n"),
    ("ip.map", "127.0.0.0/8 lo\n10.0.0.0/8 ten\n2001:db8::/32 doc\n"),
    ("ii.map", "7 70\n127.0.0.0/8 1\n10.0.0.0/8 2\nabc 3\n"),
    ("ipip.map", "127.0.0.0/8 1.1.1.1\nabc 2.2.2.2\n"),
];

/// Rules that a request passes at most: the others stand in other backends. And requests sent at a time.
const AT_ONCE: usize = 50;

/// Requests without their last line: its number follows. Then the body.
const REQUESTS: [(&str, &[u8], &[u8]); 5] = [
    (
        "rich",
        b"GET /path/a%20b/File.html?a=1&b=%41%zz+x&c=&n=42&l=LLLLLLLLLLLLLLLLLLLLLLLL HTTP/1.1\r\n\
          Host: www.example.com:8080\r\nCookie: a=1; b=two; n=77; q=\"quo;ted\"; a=second; space = x\r\nX-List: a, b ,c\r\n\
          X-List: d\r\nX-S: abc\r\nX-Num: 7\r\nX-Big: 9223372036854775807\r\nX-Neg: -12abc\r\nX-Empty: \r\n\
          X-Ip: 10.1.2.3, 127.0.0.1, nonsense\r\nX-Ip6: 2001:db8:1:2:3:4:5:6\r\nX-Bin: \xe9\xc3\xa9\x80z\r\n\
          X-Date: Tue, 15 Nov 1994 08:12:31 GMT\r\n\
          X-Js: {\"a\":\"x\",\"b\":[1,2.5,\"z\"],\"c\":{\"d\":true},\"e\":null,\"n\":-17,\"f\":1.25e3}\r\n\
          Authorization: Basic am9lOnNlY3JldA==\r\nX-Token: Bearer abc\r\n\
          Accept-Language: de;q=0.8, fr-FR, en;q=0.9\r\n",
        b"",
    ),
    ("bare", b"GET / HTTP/1.1\r\n", b""),
    (
        "odd",
        b"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\nCookie: =; ;a; a=; b=\"x\r\nX-List: ,,\r\nX-List: \r\n\
          X-S: Hello\tWorld \"b\" \\b/ b%2Fb?x=1&y b\r\nX-Num: -9223372036854775808\r\nX-Big: 99999999999999999999\r\n\
          X-Neg: 0x1f\r\nX-Ip: 1.2.3\r\nX-Ip6: ::ffff:10.0.0.1\r\nX-Js: {\"a\":\r\nX-Bin: \xff\xfe\xc3(;\r\n\
          Authorization: Basic !!!\r\nX-Token: abc\r\nAccept-Language: *\r\n",
        b"",
    ),
    (
        "body",
        b"POST http://h.example:8080/p;x?x HTTP/1.1\r\nHost: h.example:8080\r\n\
          Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 19\r\nAuthorization: Bearer tok.en\r\n\
          X-S: aGVsbG8gYg==\r\nX-Num: 12.5\r\n",
        b"f=form&g=%20x&h=%41",
    ),
    ("old", b"DELETE /?=&&a HTTP/1.0\r\nX-S: \r\nX-Num: 0\r\nCookie: a\r\nConnection: keep-alive\r\n", b""),
];

const ANSWER: &str = "HTTP/1.1 200 OK\r\nX-A: one, two\r\nX-A: three\r\nX-N2: 12\r\nX-Ip: 10.0.0.9\r\nX-Bin: \u{e9}\r\n\
                      Set-Cookie: s=1; path=/\r\nSet-Cookie: t=; n=5\r\nContent-Length: 2\r\n\r\nok";

fn start(run: &mut Run) {
    for (name, text) in MAPS {
        run.write(name, text);
    }
    run.listen("fe");
    run.origin("s1", vec![Step::Serve(ANSWER.into())]);
    let (requests, responses) = table();
    let mut config = String::from(
        "global\n maxconn 500\n nbthread 1\n tune.bufsize 32768\n tune.maxrewrite 8192\n setenv EXPR \"from env\"\nuserlist u\n \
         group g users joe\n user joe insecure-password secret\ndefaults\n mode http\n timeout connect 3s\n \
         timeout client 5s\n timeout server 5s\n",
    );
    for (name, kind, data) in [
        ("t", "string", DATA),
        ("t2", "string", "gpc0"),
        ("ta", "string", "gpc(2),gpt(2),gpc_rate(2,1h)"),
        ("tia", "ip", "gpc(2),gpt(2),gpc_rate(2,1h)"),
        ("tip", "ip", DATA),
    ] {
        config += &format!("backend {name}\n stick-table type {kind} size 100 expire 1h store {data}\n");
    }
    config += "frontend fe\n bind 127.0.0.1:{fe} name sock\n option http-buffer-request\n \
               capture request header host len 20\n capture request header x-s len 5\n \
               capture response header x-a len 3\n unique-id-format %[req.hdr(x-n)]-id\n \
               http-request set-var(txn.s) req.hdr(x-s)\n http-request set-var(txn.n) req.hdr(x-n)\n \
               http-request set-var(txn.i) int(7)\n http-request set-var(txn.bin) bin(00ff10)\n \
               http-request set-var(txn.key) str(YWJj)\n http-request set-var(sess.v) bool(true)\n \
               http-request set-var(req.v) src\n http-request set-var(proc.v) int(5)\n \
               http-request track-sc0 str(k) table t\n";
    config += &format!(
        " use_backend q%[req.hdr(x-n),div({AT_ONCE})] unless {{ req.hdr(x-n) -m beg r }}\n default_backend be\n"
    );
    for (number, expression) in requests.iter().enumerate() {
        if number % AT_ONCE == 0 {
            config += &format!("backend q{}\n", number / AT_ONCE);
        }
        config += &format!(
            " http-request return status 200 content-type text/plain lf-string '[%[{expression}]]' \
             if {{ req.hdr(x-n) {number} }}\n"
        );
    }
    config += "backend be\n server s1 127.0.0.1:{s1}\n";
    for (number, expression) in responses.iter().enumerate() {
        config +=
            &format!(" http-response set-header x-v '[%[{expression}]]' if {{ var(txn.n) -m str r{number} }}\n");
    }
    run.start(&config);
}

/// The answers to one request with each of these numbers, many of them sent at a time.
fn ask(run: &Run, head: &[u8], numbers: &[String], content: &[u8]) -> Vec<Vec<u8>> {
    let mut client = Client::connect(run.port("fe"));
    let mut answers = Vec::new();
    for numbers in numbers.chunks(AT_ONCE) {
        let one = |n: &String| [head, b"x-n: ", n.as_bytes(), b"\r\n\r\n", content].concat();
        client.send(numbers.iter().flat_map(one).collect::<Vec<u8>>());
        answers.extend(numbers.iter().map(|_| client.response()));
    }
    answers
}

fn values(run: &mut Run) {
    start(run);
    let (requests, responses) = table();
    let numbers: Vec<String> = (0..requests.len()).map(|n| n.to_string()).collect();
    for (name, head, content) in REQUESTS {
        for (expression, answer) in requests.iter().zip(ask(run, head, &numbers, content)) {
            run.note(name, &format!("{expression} = {}", body(&answer).escape_ascii()));
        }
    }
    let numbers: Vec<String> = (0..responses.len()).map(|n| format!("r{n}")).collect();
    for (expression, answer) in responses.iter().zip(ask(run, REQUESTS[0].1, &numbers, b"")) {
        let value = header_values(&answer, "x-v").join(" / ");
        run.note("response", &format!("{expression} = {}", value.escape_default()));
    }
    // What the origin got is not the question.
    run.forget();
}

scenario!(values_of_expressions, values);

#[test]
fn there_are_at_least_three_hundred_expressions() {
    let (requests, responses) = table();
    let all: std::collections::BTreeSet<_> = requests.iter().chain(&responses).collect();
    assert_eq!(
        all.len(),
        requests.len() + responses.len() - requests.iter().filter(|e| responses.contains(e)).count()
    );
    assert!(all.len() >= 800, "{}", all.len());
}
