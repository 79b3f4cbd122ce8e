//! Rules: each action that both programs have, in several forms, as a rule that a request's number chooses. What the
//! client gets and what the server gets must agree. `rules.txt` has them.

use super::common::client::Client;
use super::common::origin::Step;
use super::common::{http, show};
use crate::run::Run;

const TABLE: &str = include_str!("rules.txt");
const HEAD: &str = "GET /A/b?a=1&b=2 HTTP/1.1\r\nHost: h.example\r\nX-List: a, b ,c\r\nX-List: d\r\nX-S: abc\r\n\
                    Cookie: x=1; session=s\r\nX-N: ";
const ANSWER: &str = "HTTP/1.1 200 Fine\r\nX-R: one, two\r\nX-R: a\r\nSet-Cookie: s=1\r\nContent-Length: 2\r\n\r\nok";

fn each(run: &mut Run) {
    run.listen("fe");
    run.origin("s1", vec![Step::Serve(ANSWER.into())]);
    run.write("rules.map", "a b\n");
    run.write("rules.acl", "10.0.0.1\n");
    let mut config = String::from(
        "global\n maxconn 500\n nbthread 1\ndefaults\n mode http\n timeout connect 3s\n \
         timeout client 5s\n timeout server 5s\n timeout tarpit 1ms\nbackend st\n \
         stick-table type ip size 10 expire 1h store gpc0,gpt0,gpc1\nbackend ss\n \
         stick-table type string size 10 expire 1h store gpc0\nbackend si\n \
         stick-table type integer size 10 expire 1h store gpc0\nfrontend fe\n bind 127.0.0.1:{fe}\n \
         declare capture response len 20\n \
         acl known src -f {dir}rules.acl\n acl mapped src,map({dir}rules.map) -m found\n \
         http-request set-var(txn.n) req.hdr(x-n)\n http-request track-sc0 src table st\n",
    );
    for (number, rule) in TABLE.lines().enumerate() {
        config += &format!(" {rule} if {{ var(txn.n) -m str {number} }}\n");
    }
    config += " http-request set-header x-seen \"%[src] %[dst_port] %[var(txn.a)] %[sc0_get_gpc0] %[sc0_get_gpt0] \
               %[sc1_tracked] %[src,map({dir}rules.map)]\" if !{ src -f {dir}rules.acl }\n default_backend be\n\
               backend be\n server s1 127.0.0.1:{s1}\n";
    run.start(&config);
    for (number, rule) in TABLE.lines().enumerate() {
        let mut client = Client::connect(run.port("fe"));
        client.send(format!("{HEAD}{number}\r\n\r\n"));
        let mut answer = client.response();
        if answer.starts_with(b"HTTP/1.1 103") {
            answer.extend(client.response());
        }
        run.note(&format!("{rule}:"), &show(&http::without_chunk_boundaries(&answer)));
    }
}

scenario!(each_rule_alone, each);

#[test]
fn there_are_at_least_a_hundred_and_twenty_rules() {
    let rules: std::collections::BTreeSet<_> = TABLE.lines().collect();
    assert_eq!(rules.len(), TABLE.lines().count());
    assert!(rules.len() >= 120, "{}", rules.len());
}
