//! Stick tables as HAProxy 3.4 shows them, where the packaged 2.6 does not know the words, so that the differential
//! suite cannot: the key of an entry as text, and counters that grow by more than one. Expected values are 3.4's.

mod common;

use common::client::Client;
use common::directory::Directory;
use common::port::Port;
use common::program::{Program, under_test};
use common::show;

/// What a frontend that answers itself says of each request: (path, field `k`).
fn seen(tables: &str, rules: &str, format: &str, requests: &[(&str, &str)]) -> Vec<String> {
    let (directory, port) = (Directory::new(), Port::hold());
    let config = format!(
        "global\n maxconn 500\n nbthread 1\ndefaults\n mode http\n timeout connect 3s\n timeout client 5s\n \
         timeout server 5s\n{tables}\nfrontend fe\n bind 127.0.0.1:{}\n {rules}\n \
         http-request return status 200 hdr seen \"{format}\"\n",
        port.number
    );
    let mut program = Program::start(&under_test(), &directory, &config, &[port.number]);
    let mut client = Client::connect(port.number);
    let mut ask = |(path, key): &(&str, &str)| {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nK: {key}\r\n\r\n"));
        let answer = show(&client.response());
        let line = answer.lines().find_map(|line| line.strip_prefix("seen: "));
        line.unwrap_or_else(|| panic!("no field in:\n{answer}")).trim_end_matches("\\r\\n").to_string()
    };
    let seen = requests.iter().map(&mut ask).collect();
    program.assert_runs();
    seen
}

#[test]
fn the_key_of_each_type_as_text() {
    let seen = seen(
        "backend ti\n stick-table type integer size 100 expire 1m store http_req_cnt\nbackend t4\n \
         stick-table type ip size 100 expire 1m store http_req_cnt\nbackend t6\n stick-table type ipv6 size 100 \
         expire 1m store http_req_cnt",
        "http-request track-sc0 hdr(k) table ti\n http-request track-sc1 src table t6\n \
         http-request track-sc2 src table t4",
        "%[sc0_key]/%[sc_key(1)]/%[sc2_key]",
        &[("/", "12"), ("/", "12x"), ("/", "-1"), ("/", "4294967295"), ("/", "4294967307")],
    );
    let address = "::ffff:127.0.0.1/127.0.0.1";
    assert_eq!(seen, ["12", "12", "4294967295", "4294967295", "11"].map(|key| format!("{key}/{address}")));
}

#[test]
fn keys_of_strings_and_bytes_are_cut_to_the_tables_length() {
    let seen = seen(
        "backend ts\n stick-table type string len 8 size 100 expire 1m store http_req_cnt\nbackend tb\n \
         stick-table type binary len 4 size 100 expire 1m store http_req_cnt",
        "http-request track-sc0 hdr(k) table ts if { path / }\n http-request track-sc2 hdr(k) table tb",
        "%[sc0_key]/%[sc1_key]/%[sc2_key,hex]/%[sc0_tracked]",
        &[("/", "x"), ("/", "verylongkey"), ("/", "verylong"), ("/other", "x"), ("/", "")],
    );
    assert_eq!(
        seen,
        ["x//78000000/1", "verylong//76657279/1", "verylong//76657279/1", "//78000000/0", "//00000000/1"]
    );
}

#[test]
fn counters_of_an_array_grow_by_more_than_one() {
    let seen = seen(
        "backend t\n stick-table type string size 100 expire 1m store gpc(3),gpc_rate(3,1m)",
        "http-request track-sc0 hdr(k) table t\n http-request sc-add-gpc(2,0) 5\n \
         http-request sc-add-gpc(1,0) req.hdr(k),length if { path /b }\n http-request sc-add-gpc(7,0) 5",
        "%[sc_get_gpc(0,0)]/%[sc_get_gpc(1,0)]/%[sc_get_gpc(2,0)]/%[sc_gpc_rate(1,0)]/%[sc_gpc_rate(2,0)]/\
         %[sc_get_gpc(7,0)]/%[sc_clr_gpc(2,0)]/%[sc_get_gpc(2,0)]",
        &[("/a", "x"), ("/b", "xyz"), ("/a", "x"), ("/b", "xyz"), ("/b", "y")],
    );
    assert_eq!(seen, ["0/0/5/0/5//5/0", "0/3/5/3/5//5/0", "0/0/5/0/10//5/0", "0/6/5/6/10//5/0", "0/1/5/1/5//5/0"]);
}
