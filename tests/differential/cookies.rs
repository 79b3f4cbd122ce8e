//! Persistence by cookie: each mode, what the server sees, what the client gets, and the letters in the log.

use crate::common::origin::Step;
use crate::run::Run;

const NONE: &str = "";
const OWN: &str = "Set-Cookie: SRV=app; path=/x\r\nSet-Cookie: other=1\r\n";

/// Two servers whose answers carry `fields`, a third that is disabled; requests with these Cookie lines.
fn cookies(run: &mut Run, settings: &str, fields: &str, requests: &[&str]) {
    for name in ["s1", "s2"] {
        let answer = format!("HTTP/1.1 200 OK\r\nX-Server: {name}\r\n{fields}Content-Length: 0\r\n\r\n");
        run.origin(name, vec![Step::Serve(answer.into())]);
    }
    let servers = "server s1 127.0.0.1:{s1} cookie c1\n server s2 127.0.0.1:{s2} cookie c2\n \
                   server s3 127.0.0.1:{s1} cookie c3 disabled";
    let servers = if settings.contains("dynamic") { servers.replace(" cookie c", " #") } else { servers.to_string() };
    run.http("", &format!("balance roundrobin\n {settings}\n {servers}"));
    for request in requests {
        let (method, lines) = request.strip_prefix("POST ").map_or(("GET", *request), |rest| ("POST", rest));
        let lines: String = lines.split('+').filter(|l| !l.is_empty()).map(|l| format!("Cookie: {l}\r\n")).collect();
        let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
        let mut c = run.client();
        c.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n{lines}{length}Connection: close\r\n\r\n"));
        c.closed();
        run.logs(1);
    }
}

const USUAL: [&str; 9] =
    ["", "SRV=c2", "a=b; SRV=c2; c=d", "SRV=zz", "SRV=c3", "xSRV=c2", "SRV=", "a=1+SRV=c1;b=2", "SRV=c2; SRV=c1"];

macro_rules! modes {
    ($($name:ident, $settings:literal, $fields:expr;)*) => {$(
        scenario!($name, |run| {
            cookies(run, $settings, $fields, &USUAL);
        });
    )*};
}

modes! {
    insert, "cookie SRV insert", NONE;
    insert_over_the_servers_own, "cookie SRV insert", OWN;
    insert_indirect, "cookie SRV insert indirect", NONE;
    insert_indirect_over_the_servers_own, "cookie SRV insert indirect", OWN;
    insert_nocache, "cookie SRV insert indirect nocache", NONE;
    insert_nocache_on_what_may_be_cached, "cookie SRV insert indirect nocache", "Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
    insert_nocache_with_an_age, "cookie SRV insert indirect nocache", "Cache-Control: max-age=3\r\n";
    insert_nocache_on_what_is_private, "cookie SRV insert indirect nocache", "Cache-Control: private\r\nETag: \"a\"\r\n";
    insert_preserve, "cookie SRV insert preserve", NONE;
    insert_preserve_the_servers_own, "cookie SRV insert indirect preserve", OWN;
    insert_with_attributes, "cookie SRV insert httponly secure domain .a.com domain b.c attr SameSite=None", NONE;
    rewrite, "cookie SRV rewrite", NONE;
    rewrite_the_servers_own, "cookie SRV rewrite", OWN;
    prefix, "cookie SRV prefix", NONE;
    prefix_the_servers_own, "cookie SRV prefix", OWN;
    prefix_indirect, "cookie SRV prefix indirect nocache", OWN;
    only_read, "cookie SRV", NONE;
    only_read_the_servers_own, "cookie SRV", OWN;
    indirect_alone, "cookie SRV indirect", OWN;
    indirect_preserve, "cookie SRV indirect preserve", OWN;
}

scenario!(postonly, |run| {
    cookies(
        run,
        "cookie SRV insert postonly indirect",
        NONE,
        &["", "POST ", "SRV=c2", "POST SRV=c2", "SRV=zz", "POST SRV=zz"],
    );
});

scenario!(prefixed_values_are_stripped, |run| {
    cookies(
        run,
        "cookie SRV prefix",
        NONE,
        &[
            "SRV=c2~val",
            "SRV=c2~",
            "SRV=~v",
            "SRV=zz~v",
            "z=1; SRV=c3~v; y=2",
            "SRV=c1~a~b",
            "x=1; SRV=c2~v; SRV=c1~w",
        ],
    );
});

scenario!(delimiters_and_dates_without_limits, |run| {
    cookies(
        run,
        "cookie SRV insert indirect",
        NONE,
        &["a=1;SRV=c2", "SRV=c2,b=1", "SRV=c2|AAAAA", "SRV=c2~x", "SRV=\"c2\"", "a=\"x; SRV=c1\"; SRV=c2"],
    );
});

scenario!(dates_too_old_or_of_the_future, |run| {
    cookies(
        run,
        "cookie SRV insert indirect maxidle 60 maxlife 600\n http-after-response del-header set-cookie",
        NONE,
        &[
            "SRV=c2|AAAAA",
            "SRV=c2|BAAAA",
            "SRV=c2||BAAAA",
            "SRV=c2|BAAAA|BAAAA",
            "SRV=c2|_____|_____",
            "SRV=c2|!!",
            "SRV=c2|",
        ],
    );
});

scenario!(ignored_and_forced, |run| {
    cookies(
        run,
        "cookie SRV insert indirect\n ignore-persist if { req.cook(i) -m found }\n force-persist if { req.cook(f) -m found }",
        NONE,
        &[
            "SRV=c2",
            "SRV=c3",
            "i=1; SRV=c2",
            "i=1; SRV=zz",
            "i=1",
            "f=1; SRV=c2",
            "f=1; SRV=c3",
            "f=1; SRV=zz",
            "f=1",
        ],
    );
});

scenario!(option_persist_sends_to_a_dead_server, |run| {
    cookies(run, "option persist\n cookie SRV insert indirect", NONE, &["SRV=c2", "SRV=c3", "SRV=zz", ""]);
});

scenario!(use_server_and_table_leave_the_cookie_unused, |run| {
    cookies(
        run,
        "cookie SRV insert indirect\n stick-table type string size 100\n stick on req.cook(k)\n use-server s2 if { req.cook(u) -m found }",
        NONE,
        &["u=1; SRV=c1", "u=1", "k=1; SRV=c1", "k=1", "k=1; SRV=c2", "k=1", "SRV=c1"],
    );
});

scenario!(a_refused_connection_is_redispatched, |run| {
    run.origin("s2", vec![Step::Serve("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into())]);
    run.refusing("s1");
    run.http(
        "",
        "balance roundrobin\n retries 1\n option redispatch\n cookie SRV insert indirect\n \
         server s1 127.0.0.1:{s1} cookie c1\n server s2 127.0.0.1:{s2} cookie c2",
    );
    for cookie in ["c1", "c2"] {
        let mut c = run.client();
        c.send(format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: SRV={cookie}\r\nConnection: close\r\n\r\n"));
        c.closed();
        run.logs(1);
    }
});

scenario!(no_server_at_all, |run| {
    run.http("", "cookie SRV insert\n server s1 127.0.0.1:1 cookie c1 disabled");
    for cookie in ["", "Cookie: SRV=c1\r\n", "Cookie: SRV=x\r\n"] {
        let mut c = run.client();
        c.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{cookie}Connection: close\r\n\r\n"));
        c.closed();
        run.logs(1);
    }
});

scenario!(hostile_cookies_are_passed_or_ignored, |run| {
    let long = format!("SRV={}", "A".repeat(7000));
    let many = "x=y; ".repeat(1000) + "SRV=c2";
    cookies(
        run,
        "cookie SRV insert indirect",
        NONE,
        &[
            &long,
            &many,
            "SRV=\u{ff}\u{fe}",
            "SRV=c2\t",
            "=; =; SRV=c2",
            ";;;;SRV=c2;;;",
            "SRV",
            "SRV==c2",
            "SRV=c2=x",
            "$Version=1; SRV=c2; $Path=/",
            ",,,SRV=c2",
            "SRV = c2",
        ],
    );
});

scenario!(hostile_cookies_of_servers_are_passed_or_rewritten, |run| {
    let fields = format!(
        "Set-Cookie: SRV\r\nSet-Cookie: =\r\nSet-Cookie: SRV={}\r\nSet-Cookie: SRV=\u{ff}; path=/\r\nSet-Cookie: a=SRV=b\r\n",
        "B".repeat(3000)
    );
    cookies(run, "cookie SRV rewrite", &fields, &["", "SRV=c2"]);
});
