//! Stick tables: what is tracked and counted, what rules and fetches see of it, and to which server a client sticks.

use crate::common::origin::Step;
use crate::run::Run;

const TABLE: &str = "expire 1m store conn_cnt,conn_cur,conn_rate(1m),sess_cnt,sess_rate(1m),http_req_cnt,\
                     http_req_rate(1m),http_err_cnt,http_err_rate(1m),http_fail_cnt,http_fail_rate(1m),gpc0,gpc1,gpt0";

/// Everything that a slot knows, as a field of a response.
const ALL: &str = "%[sc_conn_cnt(0)]/%[sc_conn_cur(0)]/%[sc_conn_rate(0)]/%[sc_sess_cnt(0)]/%[sc_sess_rate(0)]/\
                   %[sc_http_req_cnt(0)]/%[sc_http_req_rate(0)]/%[sc_http_err_cnt(0)]/%[sc_http_err_rate(0)]/\
                   %[sc_http_fail_cnt(0)]/%[sc_http_fail_rate(0)]/%[sc_get_gpc0(0)]/%[sc_get_gpc1(0)]/%[sc_get_gpt0(0)]/\
                   %[sc_trackers(0)]/%[sc_tracked(0)]";

fn answer(name: &str, status: &str) -> Step {
    Step::Serve(format!("HTTP/1.1 {status}\r\nX-Server: {name}\r\nContent-Length: 0\r\n\r\n").into())
}

fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

/// A frontend that answers `/` itself with all counters and asks an origin for the rest.
fn counting(run: &mut Run, frontend: &str) {
    run.origin(
        "s1",
        vec![answer("s1", "404 Not Found"), answer("s1", "503 Service Unavailable"), answer("s1", "200 OK")],
    );
    let frontend = format!(
        "stick-table type ip size 100 {TABLE}\n {frontend}\n http-request return status 200 hdr counts \"{ALL}\" if {{ path / }}\n \
         http-request deny if {{ path /deny }}"
    );
    run.http(&frontend, "server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    for path in ["/", "/", "/404", "/", "/503", "/", "/200", "/deny", "/"] {
        c.ask(&get(path, ""));
        run.logs(1);
    }
    c.ask(&get("/", "Connection: close\r\n"));
    c.closed();
    run.logs(1);
    let mut c = run.client();
    c.ask(&get("/", ""));
    run.logs(1);
    c.send("GARBAGE\r\n\r\n");
    c.closed();
    run.logs(1);
    let mut c = run.client();
    c.ask(&get("/", ""));
    run.logs(1);
}

scenario!(tracked_by_the_connection, |run| {
    counting(run, "tcp-request connection track-sc0 src");
});

scenario!(tracked_by_the_session, |run| {
    counting(run, "tcp-request session track-sc0 src");
});

scenario!(tracked_by_content, |run| {
    counting(run, "tcp-request content track-sc0 src");
});

scenario!(tracked_by_the_request, |run| {
    counting(run, "http-request track-sc0 src");
});

scenario!(tracked_under_a_condition, |run| {
    counting(run, "http-request track-sc0 src if { path_beg /4 /5 / }");
});

scenario!(the_first_rule_for_a_slot_counts, |run| {
    counting(run, "http-request track-sc0 src if { path / }\n http-request track-sc0 hdr(host),length");
});

scenario!(counters_set_by_rules, |run| {
    counting(
        run,
        "http-request track-sc0 src\n http-request sc-inc-gpc0(0)\n http-request sc-inc-gpc1(0) if { path /404 }\n \
         http-request sc-set-gpt0(0) 7 if { path /503 }",
    );
});

/// A frontend that answers everything itself.
fn answering(run: &mut Run, tables: &str, rules: &str, format: &str, requests: &[&str]) {
    run.listen("fe");
    run.start(&format!(
        "global\n log {{log}} local0\n maxconn 500\n nbthread 1\ndefaults\n mode http\n log global\n timeout connect 3s\n \
         timeout client 5s\n timeout server 5s\n{tables}\nfrontend fe\n bind 127.0.0.1:{{fe}}\n {rules}\n http-request return \
         status 200 hdr seen \"{format}\"\n"
    ));
    let mut c = run.client();
    for request in requests {
        let (path, key) = request.split_once(' ').unwrap_or((request, ""));
        c.ask(&get(path, &format!("K: {key}\r\n")));
    }
    run.forget();
}

scenario!(arrays_of_counters, |run| {
    answering(
        run,
        "backend t\n stick-table type string len 8 size 100 expire 1m store gpc(3),gpc_rate(2,1m),gpt(2)",
        "http-request track-sc0 hdr(k) table t\n http-request sc-inc-gpc(0,0)\n http-request sc-inc-gpc(1,0) if { path /b }\n \
         http-request sc-inc-gpc(2,0)\n http-request sc-set-gpt(1,0) 9 if { path /b }\n http-request sc-inc-gpc(7,0)",
        "%[sc_get_gpc(0,0)]/%[sc_get_gpc(1,0)]/%[sc_get_gpc(2,0)]/%[sc_get_gpc(3,0)]/%[sc_gpc_rate(0,0)]/%[sc_gpc_rate(1,0)]/\
         %[sc_get_gpt(0,0)]/%[sc_get_gpt(1,0)]/%[sc0_get_gpc0]/%[sc0_get_gpc1]/%[sc0_gpc0_rate]/%[sc_inc_gpc(1,0)]/\
         %[sc_clr_gpc(2,0)]/%[sc_get_gpc(2,0)]",
        &["/a x", "/b x", "/a x", "/b y", "/a verylongkey", "/a verylong"],
    );
});

scenario!(looked_up_by_key, |run| {
    answering(
        run,
        "backend t\n stick-table type ip size 100 expire 1m store gpc0,conn_cnt,http_req_cnt,gpc0_rate(1m)",
        "http-request track-sc1 src table t if { path /t }",
        "%[src_get_gpc0(t)]/%[src_inc_gpc0(t)]/%[src_gpc0_rate(t)]/%[src_conn_cnt(t)]/%[src_updt_conn_cnt(t)]/%[src_http_req_cnt(t)]/\
         %[src,in_table(t)]/%[src,table_gpc0(t)]/%[src,table_http_req_cnt(t)]/%[src,table_conn_cnt(t)]/%[src_clr_gpc0(t)]/\
         %[table_cnt(t)]/%[table_avl(t)]/%[src_get_gpc1(t)]/%[src,table_trackers(t)]/%[str(10.0.0.1),in_table(t)]",
        &["/a", "/t", "/a", "/t", "/a"],
    );
});

scenario!(untracked_slots_have_no_values, |run| {
    answering(
        run,
        "backend t\n stick-table type string size 100 expire 1m store http_req_cnt",
        "http-request track-sc0 hdr(k) table t",
        "%[sc0_http_req_cnt]/%[sc0_tracked]/%[sc1_http_req_cnt]/%[sc1_tracked]/%[sc0_gpc0_rate]/%[sc0_trackers]",
        &["/a", "/a x", "/a", "/a x"],
    );
});

scenario!(keys_of_each_type, |run| {
    answering(
        run,
        "backend ti\n stick-table type integer size 100 expire 1m store http_req_cnt\nbackend t6\n stick-table type ipv6 size 100 \
         expire 1m store http_req_cnt\nbackend tb\n stick-table type binary len 4 size 100 expire 1m store http_req_cnt",
        "http-request track-sc0 hdr(k) table ti\n http-request track-sc1 src table t6\n http-request track-sc2 hdr(k) table tb",
        "%[sc0_http_req_cnt]/%[sc1_http_req_cnt]/%[sc2_http_req_cnt]/%[hdr(k),in_table(ti)]/\
         %[hdr(k),in_table(tb)]/%[src,in_table(t6)]",
        &["/a 12", "/a 12", "/a 12x", "/a abc", "/a -1", "/a 4294967295", "/a 4294967307", "/a", "/a"],
    );
});

scenario!(a_full_table_refuses_with_nopurge, |run| {
    answering(
        run,
        "backend t\n stick-table type string size 2 nopurge expire 1m store http_req_cnt",
        "http-request track-sc0 hdr(k) table t",
        "%[sc0_http_req_cnt]/%[sc0_tracked]/%[table_cnt(t)]/%[table_avl(t)]",
        &["/ a", "/ b", "/ c", "/ a", "/ c"],
    );
});

scenario!(a_limit_of_requests, |run| {
    run.origin("s1", vec![answer("s1", "200 OK")]);
    run.http(
        "stick-table type ip size 100 expire 1m store http_req_rate(1m)\n http-request track-sc0 src\n \
         http-request deny deny_status 429 if { sc_http_req_rate(0) gt 3 }",
        "server s1 127.0.0.1:{s1}",
    );
    for _ in 0..3 {
        let mut c = run.client();
        c.ask(&get("/", ""));
        c.ask(&get("/", ""));
        run.logs(2);
    }
});

scenario!(a_limit_of_connections, |run| {
    run.origin("s1", vec![answer("s1", "200 OK")]);
    run.http(
        "stick-table type ip size 100 expire 1m store conn_cur\n tcp-request connection track-sc0 src\n \
         http-request deny if { sc_conn_cur(0) gt 2 }",
        "http-reuse never\n server s1 127.0.0.1:{s1}",
    );
    let mut a = run.client();
    a.ask(&get("/", ""));
    let mut b = run.client();
    b.ask(&get("/", ""));
    let mut c = run.client();
    c.send(get("/", "Connection: close\r\n"));
    c.closed();
    a.ask(&get("/", ""));
    run.logs(4);
});

scenario!(counted_in_a_tcp_session, |run| {
    run.origin("s1", vec![answer("s1", "200 OK")]);
    run.tcp(
        "stick-table type ip size 100 expire 1m store conn_cnt,bytes_in_cnt\n tcp-request content track-sc0 src\n \
         tcp-request content reject if { sc_conn_cnt(0) gt 2 }",
        "server s1 127.0.0.1:{s1}",
    );
    for _ in 0..2 {
        let mut c = run.client();
        c.ask(&get("/", ""));
        drop(c);
        run.logs(1);
    }
    let mut c = run.client();
    c.closed();
    run.logs(1);
});

/// Two servers; requests on connections of their own; the log names the server.
fn sticking(run: &mut Run, backend: &str, requests: &[&str]) {
    let set = |name: &str| {
        Step::Serve(
            format!(
                "HTTP/1.1 200 OK\r\nX-Server: {name}\r\nSet-Cookie: SID={name}id; path=/\r\nContent-Length: 0\r\n\r\n"
            )
            .into(),
        )
    };
    run.origin("s1", vec![set("s1")]);
    run.origin("s2", vec![set("s2")]);
    let options = if backend.contains("non-stick") { "non-stick" } else { "" };
    let backend = backend.replace("non-stick", "");
    let frontend = if backend.contains("table fe") { "stick-table type string size 100" } else { "" };
    run.http(
        frontend,
        &format!(
            "balance roundrobin\n {backend}\n server s1 127.0.0.1:{{s1}} {options}\n server s2 127.0.0.1:{{s2}}"
        ),
    );
    for request in requests {
        let (path, fields) = request.split_once(' ').unwrap_or((request, ""));
        let fields = if fields.is_empty() { String::new() } else { format!("{fields}\r\n") };
        let mut c = run.client();
        c.send(get(path, &format!("{fields}Connection: close\r\n")));
        c.closed();
        run.logs(1);
    }
}

scenario!(stick_on_source, |run| {
    sticking(run, "stick-table type ip size 10k\n stick on src", &["/", "/", "/", "/"]);
});

scenario!(stick_on_a_parameter, |run| {
    sticking(
        run,
        "stick-table type string len 32 size 100 expire 1m\n stick on url_param(s)",
        &["/?s=a", "/?s=b", "/?s=a", "/?s=b", "/", "/?s=c", "/?s=a", "/?s=", "/?s=b"],
    );
});

scenario!(stick_under_a_condition, |run| {
    sticking(
        run,
        "stick-table type ip size 100\n stick on src if { path_beg /s }",
        &["/a", "/s", "/s", "/a", "/s", "/a", "/s"],
    );
});

scenario!(stick_match_and_store_apart, |run| {
    sticking(
        run,
        "stick-table type string size 100\n stick match url_param(m)\n stick store-request url_param(k)",
        &["/?k=x", "/?m=x", "/?m=x", "/?m=y", "/?k=y", "/?m=y", "/?m=x&k=z", "/?m=z"],
    );
});

scenario!(stick_store_response, |run| {
    sticking(
        run,
        "stick-table type string size 100\n stick store-response res.cook(SID)\n stick match req.cook(SID)",
        &["/", "/ Cookie: SID=s1id", "/ Cookie: SID=s1id", "/ Cookie: SID=s2id", "/", "/ Cookie: SID=s2id"],
    );
});

scenario!(stick_in_a_table_of_another_proxy, |run| {
    sticking(
        run,
        "stick on hdr(k) table fe\n stick on url_param(z) table fe",
        &["/ K: 1", "/ K: 2", "/ K: 1", "/?z=2", "/ K: 2"],
    );
});

scenario!(non_stick_servers_are_not_remembered, |run| {
    sticking(run, "non-stick stick-table type ip size 100\n stick on src", &["/", "/", "/", "/"]);
});

scenario!(two_rules_the_first_known_key_counts, |run| {
    sticking(
        run,
        "stick-table type string size 100\n stick on url_param(a)\n stick on url_param(b)",
        &["/?a=1", "/?b=2", "/?a=3&b=2", "/?a=1&b=2", "/?b=1", "/?a=2"],
    );
});

scenario!(use_server_beats_the_table, |run| {
    sticking(
        run,
        "stick-table type string size 100\n use-server s2 if { path /u }\n stick on url_param(k)",
        &["/?k=1", "/u?k=1", "/?k=1", "/u", "/?k=1"],
    );
});

scenario!(a_table_remembers_a_server_that_is_down, |run| {
    run.origin("s2", vec![answer("s2", "200 OK")]);
    run.refusing("s1");
    run.http(
        "",
        "balance roundrobin\n retries 1\n option redispatch\n stick-table type ip size 100\n stick on src\n \
         server s1 127.0.0.1:{s1}\n server s2 127.0.0.1:{s2}",
    );
    for _ in 0..3 {
        let mut c = run.client();
        c.send(get("/", "Connection: close\r\n"));
        c.closed();
        run.logs(1);
    }
});

scenario!(stick_on_a_network, |run| {
    run.origin("s1", vec![answer("s1", "200 OK")]);
    run.origin("s2", vec![answer("s2", "200 OK")]);
    run.http(
        "http-request set-src hdr(a)",
        "balance roundrobin\n stick-table type ip size 100\n stick on src,ipmask(24)\n server s1 127.0.0.1:{s1}\n \
         server s2 127.0.0.1:{s2}",
    );
    let mut c = run.client();
    for address in ["10.0.0.1", "10.0.1.1", "10.0.0.200", "10.0.1.9", "10.0.2.1", "10.0.0.7", "2001:db8::1"] {
        c.ask(&get("/", &format!("A: {address}\r\n")));
    }
    run.forget();
});

scenario!(stick_in_tcp_mode, |run| {
    run.origin("s1", vec![Step::Send("one".into()), Step::Close]);
    run.origin("s2", vec![Step::Send("two".into()), Step::Close]);
    run.tcp(
        "",
        "balance roundrobin\n stick-table type ip size 100\n stick on src\n server s1 127.0.0.1:{s1}\n \
         server s2 127.0.0.1:{s2}",
    );
    for _ in 0..4 {
        let mut c = run.client();
        c.closed();
        run.logs(1);
    }
});

scenario!(stick_on_bytes_of_a_tcp_session, |run| {
    run.origin("s1", vec![Step::Bytes(8), Step::Send("one".into()), Step::Close]);
    run.origin("s2", vec![Step::Bytes(8), Step::Send("two".into()), Step::Close]);
    run.tcp(
        "tcp-request inspect-delay 3s\n tcp-request content accept if { req.len ge 8 }",
        "balance roundrobin\n stick-table type binary len 4 size 100\n stick on req.payload(2,4)\n \
         server s1 127.0.0.1:{s1}\n server s2 127.0.0.1:{s2}",
    );
    for bytes in [b"aaKEY1zz", b"aaKEY2zz", b"bbKEY1yy", b"\0\0KEY2\xff\xff", b"aa\0\0\0\0zz", b"bb\0\0\0\x01zz"] {
        let mut c = run.client();
        c.send(bytes);
        c.closed();
        run.logs(1);
    }
});

scenario!(three_slots_count_apart, |run| {
    answering(
        run,
        "backend a\n stick-table type string len 16 size 100 expire 1m store http_req_cnt,gpc0\nbackend b\n stick-table type \
         string len 16 size 100 expire 1m store http_req_cnt,gpc0\nbackend c\n stick-table type ip size 100 expire 1m store \
         http_req_cnt",
        "http-request track-sc0 hdr(k) table a\n http-request track-sc1 path table b\n http-request track-sc2 src table c\n \
         http-request sc-inc-gpc0(0) if { path /b }\n http-request sc-inc-gpc0(1) if { hdr(k) x }",
        "%[sc0_http_req_cnt]/%[sc1_http_req_cnt]/%[sc2_http_req_cnt]/%[sc0_get_gpc0]/%[sc1_get_gpc0]/\
         %[hdr(k),table_http_req_cnt(a)]/%[path,table_gpc0(b)]/%[table_cnt(a)]/%[table_cnt(b)]",
        &["/a x", "/b x", "/a y", "/b y", "/a x", "/c z", "/a x"],
    );
});

scenario!(each_key_has_its_limit, |run| {
    answering(
        run,
        "backend t\n stick-table type string len 16 size 100 expire 1m store http_req_rate(1m),gpc0_rate(1m)",
        "http-request track-sc0 hdr(k) table t\n http-request deny deny_status 429 if { sc0_http_req_rate gt 2 }",
        "%[sc0_http_req_rate]",
        &["/ x", "/ x", "/ y", "/ x", "/ y", "/ x", "/ y", "/ z"],
    );
});

scenario!(tracked_by_url_and_source_together, |run| {
    answering(
        run,
        "backend u\n stick-table type integer size 100 expire 1m store http_req_cnt\nbackend us\n stick-table type binary len 20 \
         size 100 expire 1m store http_req_cnt\nbackend bs\n stick-table type binary len 8 size 100 expire 1m store http_req_cnt",
        "http-request track-sc0 url32 table u\n http-request track-sc1 url32+src table us\n \
         http-request track-sc2 base32+src table bs",
        "%[sc0_http_req_cnt]/%[sc1_http_req_cnt]/%[sc2_http_req_cnt]/%[url32]/%[base32]/%[url32+src,hex]/%[base32+src,hex]",
        &["/a", "/b", "/a", "/a?q=1", "/a?q=2", "/b"],
    );
});

scenario!(counted_by_what_servers_answer, |run| {
    run.origin("s1", vec![answer("s1", "404 Not Found"), answer("s1", "500 Oops"), answer("s1", "200 OK")]);
    run.http(
        "stick-table type string len 16 size 100 expire 1m store gpc0,gpt0,http_err_cnt,http_fail_cnt\n \
         http-request track-sc0 path\n http-response sc-inc-gpc0(0) if { status 404 }\n \
         http-response sc-set-gpt0(0) 5 if { status 500 }\n http-after-response set-header seen \
         %[sc0_get_gpc0]/%[sc0_get_gpt0]/%[sc0_http_err_cnt]/%[sc0_http_fail_cnt]",
        "http-reuse never\n option http-server-close\n server s1 127.0.0.1:{s1}",
    );
    for path in ["/a", "/b", "/a", "/b"] {
        let mut c = run.client();
        c.send(get(path, "Connection: close\r\n"));
        c.closed();
        run.logs(1);
    }
});

/// Keys that hostile clients choose: any bytes that a field may have, and more of them than the table takes.
const HOSTILE_KEYS: [&str; 9] = [
    "\u{ff}\u{fe}\u{80}",
    "%00%ff",
    "a\tb",
    "' OR 1=1 --",
    "\"quoted\\\"",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "%[src]",
    ";,=~|",
];

scenario!(hostile_keys_are_counted_as_any, |run| {
    let requests: Vec<String> = HOSTILE_KEYS.iter().chain(&HOSTILE_KEYS).map(|key| format!("/ {key}")).collect();
    let requests: Vec<&str> = requests.iter().map(String::as_str).collect();
    answering(
        run,
        "backend s\n stick-table type string len 31 size 100 expire 1m store http_req_cnt\nbackend b\n stick-table type binary \
         len 8 size 100 expire 1m store http_req_cnt\nbackend i\n stick-table type ip size 100 expire 1m store http_req_cnt\n\
         backend n\n stick-table type integer size 100 expire 1m store http_req_cnt",
        "http-request track-sc0 hdr(k) table s\n http-request track-sc1 hdr(k) table b\n http-request track-sc2 hdr(k) table i",
        "%[sc0_http_req_cnt]/%[sc1_http_req_cnt]/%[sc2_http_req_cnt]/%[hdr(k),in_table(n)]/%[table_cnt(s)]/%[table_cnt(b)]/\
         %[table_cnt(i)]",
        &requests,
    );
});

scenario!(hostile_keys_stick_as_any, |run| {
    let requests: Vec<String> = HOSTILE_KEYS.iter().chain(&HOSTILE_KEYS).map(|key| format!("/ K: {key}")).collect();
    let requests: Vec<&str> = requests.iter().map(String::as_str).collect();
    sticking(run, "stick-table type string len 31 size 100\n stick on hdr(k)", &requests);
});
