//! Each family of keywords: what it takes, and what it says when it refuses.

use super::{absent, bind, global, proxy, server, unserved};
use crate::{
    config::{
        diagnostic::{Diagnostics, Severity},
        env::Environment,
        files::Source,
        load::{Options, Outcome, load_sources},
    },
    model::{
        backend::{Balance, HashFunction},
        bind::Level,
        check::{CheckKind, MysqlVersion},
        logging::LogSink,
        persist::CookieMode,
        plan::Plan,
        proxy::{ConnectionMode, LogLineFormat, Mode, Proxy},
        stick_table::KeyType,
    },
};

fn load(text: &str) -> Outcome {
    let options = Options { refuse_unserved: false, hostname: "here".to_owned(), cpus: 2, ..Options::default() };
    let source = Source { name: "t.cfg".to_owned(), content: text.as_bytes().to_vec() };
    load_sources(vec![source], &options, &mut Environment::default(), Diagnostics::new(false))
}

const GLOBAL: &str = "global\n";
const DEFAULTS: &str = "defaults\n mode http\n timeout client 1s\n timeout server 1s\n timeout connect 1s\n";

/// A file with `line` in this section (`global`, `defaults`, `listen`, `frontend`, `backend`).
fn file(section: &str, line: &str) -> String {
    match section {
        "global" => format!("{GLOBAL} {line}\n{DEFAULTS}listen l\n bind 127.0.0.1:18080\n"),
        "defaults" => format!("{GLOBAL}{DEFAULTS} {line}\nlisten l\n bind 127.0.0.1:18080\n"),
        "listen" => format!("{GLOBAL}{DEFAULTS}listen l\n bind 127.0.0.1:18080\n {line}\n"),
        "frontend" => format!("{GLOBAL}{DEFAULTS}frontend l\n bind 127.0.0.1:18080\n {line}\n"),
        _ => format!("{GLOBAL}{DEFAULTS}listen x\n bind 127.0.0.1:18080\nbackend l\n {line}\n"),
    }
}

fn plan(section: &str, line: &str) -> Plan {
    let outcome = load(&file(section, line));
    let said: Vec<_> = outcome.diagnostics.messages().iter().map(|m| m.text.as_str()).collect();
    outcome.plan.unwrap_or_else(|| panic!("{line}: {said:?}"))
}

/// The last proxy of a plan, which is where the tests write.
fn of(plan: &Plan) -> &crate::model::proxy::Proxy {
    plan.proxies.last().expect("a proxy")
}

#[track_caller]
fn refused(section: &str, line: &str, text: &str) {
    let outcome = load(&file(section, line));
    let alerts: Vec<_> =
        outcome.diagnostics.messages().iter().filter(|m| m.severity == Severity::Alert).map(|m| &m.text).collect();
    assert!(outcome.plan.is_none(), "{line} was taken");
    assert!(alerts.iter().any(|t| t.contains(text)), "{line}: {alerts:?}");
}

#[track_caller]
fn warned(section: &str, line: &str, text: &str) {
    let outcome = load(&file(section, line));
    let said: Vec<_> = outcome.diagnostics.messages().iter().map(|m| (m.severity, &m.text)).collect();
    assert!(outcome.plan.is_some(), "{line}: {said:?}");
    assert!(said.iter().any(|(s, t)| *s == Severity::Warning && t.contains(text)), "{line}: {said:?}");
}

#[test]
fn catalogues_name_each_keyword_once_and_absent_names_are_not_in_them() {
    let families: [(Vec<&str>, &[&str]); 5] = [
        (global::rows().map(|r| r.name).collect(), absent::GLOBAL),
        (proxy::rows().map(|r| r.name).collect(), absent::PROXY),
        (
            proxy::SWITCHES.iter().map(|s| s.name).chain(proxy::WORDED.iter().map(|w| w.name)).collect(),
            absent::OPTIONS,
        ),
        (bind::OPTIONS.iter().map(|o| o.name).collect(), absent::BIND_OPTIONS),
        (server::rows().map(|o| o.name).collect(), absent::SERVER_OPTIONS),
    ];
    for (names, lacking) in families {
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name), "{name} has two rows");
            assert!(!lacking.contains(name), "{name} has a row and is listed as lacking");
        }
    }
}

#[test]
fn unserved_names_are_in_a_catalogue() {
    for (kind, name, _) in unserved::UNSERVED {
        let word = name.split(' ').next().unwrap_or(name);
        let known = match *kind {
            "global" => global::rows().any(|r| r.name == word),
            "proxy" => proxy::rows().any(|r| r.name == word),
            "option" => {
                proxy::SWITCHES.iter().any(|s| s.name == word) || proxy::WORDED.iter().any(|w| w.name == word)
            }
            "bind" => bind::OPTIONS.iter().any(|o| o.name == word),
            "server" => server::rows().any(|o| o.name == word),
            _ => true,
        };
        assert!(known, "{kind} {name}");
    }
}

#[test]
fn unserved_keyword_is_refused_by_name() {
    let text = file("backend", "cookie SRV insert");
    let source = Source { name: "t.cfg".to_owned(), content: text.into_bytes() };
    let outcome =
        load_sources(vec![source], &Options::default(), &mut Environment::default(), Diagnostics::new(false));
    let expected = "config : parsing [t.cfg:10] : 'cookie' exists in HAProxy 3.4 and is not supported by ringway yet";
    assert!(outcome.plan.is_none() == unserved::reason("proxy", "cookie").is_some());
    assert!(outcome.plan.is_some() || outcome.diagnostics.messages().iter().any(|m| m.text == expected));
}

#[test]
fn global_process_keywords() {
    let global = plan("global", "user root\n node n1\n description a b\n pidfile /x\n hard-stop-after 30s").global;
    assert_eq!((global.uid, global.node.as_deref()), (Some(0), Some("n1")));
    assert_eq!(global.description.as_deref(), Some("a b"));
    assert_eq!(global.hard_stop_after_ms, Some(30_000));
    refused("global", "user nosuchuser", "cannot find user id for 'nosuchuser' (0:Success)");
    refused("global", "node a/b", "'node' requires valid node name");
    refused("global", "foo", "config : parsing [t.cfg:2] : unknown keyword 'foo' in 'global' section");
    refused("global", "maxcon 3", "did you mean 'maxconn' maybe ?");
    refused("global", "nbproc 2", "nbproc is not supported any more since HAProxy 2.5.");
    refused("global", "lua-load x", "'lua-load' exists in HAProxy 3.4 and is not supported by ringway yet");
    refused("global", "no daemon", "negation/default currently supported only for options");
}

#[test]
fn variables_of_the_process_are_checked_when_they_are_read() {
    let global = plan("global", "set-var proc.x int(1)\n set-var-fmt proc.y \"a%[var(proc.x)]\"").global;
    assert_eq!(global.process_vars.len(), 2);
    let missing = "requires a process-wide variable name ('proc.<name>') and";
    refused("global", "set-var proc.x", &format!("'set-var' {missing} a sample expression."));
    refused("global", "set-var-fmt proc.x", &format!("'set-var-fmt' {missing} a format string."));
    refused("global", "set-var txn.x int(1)", "cannot set variable 'txn.x', only scope 'proc' is permitted");
    refused("global", "set-var proc.x nope(1)", "unknown fetch method 'nope'");
    refused("global", "set-var proc.x req.hdr(a)", "extracts information from 'HTTP request headers'");
    refused("global", "set-var-fmt proc.x %[req.hdr(a)]", "'HTTP request headers' which is not available here");
}

#[test]
fn spellings_differ_in_case_only_and_stand_once() {
    plan("global", "h1-case-adjust x-a X-A\n h1-case-adjust x-b X-B");
    refused("global", "h1-case-adjust x-a X-B", "<from> and <to> must not differ except the case");
    refused("global", "h1-case-adjust x-a X-A\n h1-case-adjust x-a X-A", "duplicate entry 'x-a'");
    refused("global", "h1-case-adjust-file", "'h1-case-adjust-file' expects <file> as argument.");
    let text = "h1-headers-case-adjust-file '/nonexistent': failed to open file.";
    refused("global", "h1-case-adjust-file /nonexistent", text);
}

#[test]
fn names_of_default_path_and_of_the_name_header_are_checked() {
    refused("global", "default-path", "missing default-path mode '' for 'default-path'");
    refused("global", "default-path foo", "unsupported default-path mode 'foo' for 'default-path'");
    refused("global", "default-path origin", "'default-path origin' expects a directory as an argument.");
    refused("backend", "http-send-name-header Host", "'Host' cannot be used as header name");
}

#[test]
fn global_limits() {
    assert_eq!(plan("global", "maxconn 10").global.maxconn, Some(10));
    assert_eq!(plan("global", "maxconn 10\n maxconn 20").global.maxconn, Some(10));
    assert_eq!(plan("global", "nbthread 3").global.nbthread, 3);
    assert_eq!(plan("global", "quiet").global.nbthread, 2);
    assert_eq!(plan("global", "cpu-map auto:1/1-2 0-1").global.cpu_map, vec![vec![0], vec![1]]);
    refused("global", "maxconn 3k", "cannot parse 'maxconn' value '3k', an integer is expected.");
    refused("global", "nbthread 0", "'nbthread' value must be between 1 and 1024 (was 0)");
    refused("global", "cpu-map foo 0", "cpu-map : 'foo' is not a valid number/range.");
}

#[test]
fn global_tuning_is_honoured_or_told() {
    let global = plan("global", "tune.bufsize 32k\n tune.maxrewrite 2048\n tune.http.maxhdr 200").global;
    assert_eq!((global.tune.bufsize, global.tune.maxrewrite, global.tune.http_maxhdr), (32768, 2048, 200));
    let outcome = load(&file("global", "tune.maxpollevents 200"));
    assert!(outcome.diagnostics.messages().iter().any(|m| m.severity == Severity::Notice));
    for (section, line) in [("frontend", "http-request set-nice 5"), ("frontend", "bind 127.0.0.1:18081 nice 5")] {
        let outcome = load(&file(section, line));
        let notices: Vec<_> = outcome.diagnostics.messages().iter().map(|m| (m.severity, m.text.as_str())).collect();
        assert!(notices.iter().any(|n| n.0 == Severity::Notice && n.1.contains("priorities")), "{line}: {notices:?}");
    }
    refused("global", "tune.bufsize abc", "unexpected 'abc' after size passed to 'tune.bufsize'");
    refused("global", "tune.chksize 2", "option 'tune.chksize' is not supported any more");
}

#[test]
fn stats_sockets() {
    let global =
        plan("global", "stats socket /tmp/s mode 660 level admin expose-fd listeners\n stats timeout 30s").global;
    let socket = &global.stats_sockets[0];
    assert_eq!((socket.mode, socket.level, socket.expose_fd_listeners), (Some(0o660), Level::Admin, true));
    assert_eq!(global.stats_timeout_ms, 30_000);
    refused("global", "stats socket /tmp/s level foo", "'stats socket' : ''level' only supports 'user', 'operator'");
    refused("global", "stats foo", "'stats' only supports 'socket'");
}

#[test]
fn environment_keywords_change_later_lines() {
    let plan = plan("global", "setenv NAME node7\n node \"${NAME}\"");
    assert_eq!(plan.global.node.as_deref(), Some("node7"));
    refused("global", "setenv A", "'setenv' expects environment variable value for 'A'.");
}

#[test]
fn log_targets() {
    let plan =
        plan("global", "log 127.0.0.1 len 80 format rfc5424 sample 1,3-4:4 local1 notice err\n log stdout local0");
    let target = &plan.global.log_targets[0];
    assert_eq!((target.length_max, target.facility, target.max_level, target.min_level), (80, 17, 5, 3));
    assert_eq!(target.format, crate::proto::syslog::Format::Rfc5424);
    assert_eq!(target.sample.as_ref().map(|s| (s.ranges.clone(), s.size)), Some((vec![(1, 1), (3, 4)], 4)));
    assert_eq!(plan.global.log_targets[1].sink, LogSink::Stdout);
    refused("global", "log /dev/log local9", "log : unknown log facility 'local9'");
    refused("global", "log 127.0.0.1 sample 3:2 local0", "log : sample size 2 should be greater or equal to 3");
    refused("listen", "log", "log : expects <address> and <facility> or global as arguments");
}

#[test]
fn no_log_drops_what_defaults_brought() {
    let text = format!("{GLOBAL} log stdout local0\n{DEFAULTS} log global\nlisten l\n bind :18080\n no log\n");
    let plan = load(&text).plan.expect("a plan");
    assert!(plan.proxies[0].log.targets.is_empty());
    let text = format!("{GLOBAL} log stdout local0\n{DEFAULTS} log global\nlisten l\n bind :18080\n");
    assert_eq!(load(&text).plan.expect("a plan").proxies[0].log.targets.len(), 1);
}

#[test]
fn tls_defaults() {
    let global = plan("global", "ssl-default-bind-options no-sslv3 ssl-min-ver TLSv1.2 no-tls-tickets").global;
    assert!(global.tls.bind_no_tls_tickets && global.tls.bind.versions.min.is_some());
    refused("global", "ssl-default-bind-options foo", "unknown option 'foo' on global statement");
}

#[test]
fn timeouts() {
    let plan = plan("listen", "timeout client 10s\n timeout queue 0\n timeout tunnel 1h");
    let timeouts = of(&plan).timeouts;
    assert_eq!((timeouts.client, timeouts.queue, timeouts.tunnel), (Some(10_000), None, Some(3_600_000)));
    refused("listen", "timeout client 10x", "unexpected character 'x' in 'timeout client'");
    refused("listen", "timeout foo 3s", "'timeout' supports 'client', 'server'");
    warned("frontend", "timeout server 3s", "'timeout server' will be ignored because frontend 'l' has no backend");
    warned("listen", "timeout client 0", "missing timeouts for proxy 'l'.");
}

#[test]
fn options() {
    let plan = plan("listen", "option http-server-close\n option dontlognull\n option forwardfor except 10.0.0.0/8");
    let options = &of(&plan).options;
    assert_eq!(options.connection_mode, ConnectionMode::ServerClose);
    assert!(options.dontlognull);
    assert_eq!(options.forwardfor.as_ref().and_then(|f| f.except).map(|e| e.1), Some(8));
    refused("listen", "option httplgo", "unknown option 'httplgo'; did you mean 'httplog' maybe ?");
    refused("listen", "no option httplog", "negation/default is not supported for option 'httplog'.");
    refused("listen", "option forceclose", "is not supported any more since HAProxy 2.0");
    refused("listen", "option spop-check", "exists in HAProxy 3.4 and is not supported by ringway yet");
    warned("frontend", "option redispatch", "'redispatch' ignored because frontend 'l' has no backend capability.");
}

#[test]
fn option_prefixes_set_unset_and_reset() {
    let on = |lines: &str| {
        let text = format!("{GLOBAL}{DEFAULTS} option nolinger\nlisten l\n bind :18080\n {lines}\n");
        load(&text).plan.expect("a plan").proxies[0].options.nolinger
    };
    assert!(on("option dontlognull"));
    assert!(!on("no option nolinger"));
    assert!(!on("default option nolinger"));
}

#[test]
fn modes_and_log_formats() {
    assert_eq!(of(&plan("listen", "mode tcp")).mode, Mode::Tcp);
    refused("listen", "mode foo", "unknown proxy mode 'foo'.");
    warned("listen", "mode tcp\n option httplog", "Falling back to 'option tcplog'.");
    warned("listen", "mode tcp\n http-request deny", "'http-request' rules ignored for proxy 'l'");
    let plan = plan("listen", "log stdout local0\n log-format %ci\n option tcplog");
    assert!(matches!(of(&plan).log.format, LogLineFormat::Tcp | LogLineFormat::Custom(_)));
    refused("listen", "log-format %zz", "Parsing [t.cfg:9]: failed to parse log-format : no such format alias 'zz'.");
}

#[test]
fn balance_algorithms() {
    for (line, expected) in [
        ("balance roundrobin", Balance::Roundrobin),
        ("balance random(3)", Balance::Random(3)),
        ("balance uri len 3 whole", Balance::Uri { whole: true, len: Some(3), depth: None, path_only: false }),
        ("balance hdr(Host)", Balance::Hdr { name: "host".to_owned(), use_domain_only: false }),
        ("balance url_param id", Balance::UrlParam { name: "id".to_owned(), check_post: None }),
        ("balance rdp-cookie", Balance::RdpCookie("mstshash".to_owned())),
    ] {
        assert_eq!(of(&plan("backend", line)).backend.balance, expected, "{line}");
    }
    refused("backend", "balance foo", "balance only supports 'roundrobin'");
    refused("backend", "balance hash foo", "failed to parse 'balance hash' expression 'foo'");
    warned("backend", "mode tcp\n balance uri", "Layer 7 hash not possible for backend 'l'");
    let plan = plan("backend", "hash-type consistent djb2 avalanche");
    let hash = of(&plan).backend.hash;
    assert!(hash.consistent && hash.avalanche && hash.function == HashFunction::Djb2);
    refused("backend", "hash-type map-based foo", "'hash-type' only supports 'sdbm'");
}

#[test]
fn binds() {
    let plan = plan("listen", "bind :18081-18083 name a accept-proxy mss 1400\n bind /tmp/x mode 600");
    let binds = &of(&plan).frontend.binds;
    assert_eq!((binds.len(), binds[1].addresses.len(), binds[1].mss), (3, 3, Some(1400)));
    assert!(binds[1].accept_proxy && binds[2].mode == Some(0o600));
    refused("listen", "bind :99999", "'bind' : invalid port '99999'");
    refused(
        "listen",
        "bind :18081 sssl",
        "'bind :18081' in section 'listen': unknown keyword 'sssl'; did you mean 'ssl'",
    );
    refused("listen", "bind :18081 ssl", "no SSL certificate specified for bind ':18081' at [t.cfg:9] (use 'crt').");
    warned("backend", "bind :18081", "'bind' ignored because backend 'l' has no frontend capability.");
}

#[test]
fn servers() {
    let line = "server a 127.0.0.1:80 check inter 5s fall 5 weight 20 maxconn 9 send-proxy-v2";
    let plan = plan("backend", line);
    let server = &of(&plan).backend.servers[0];
    let check = server.check.as_ref().expect("a check");
    assert_eq!((check.inter_ms, check.fall, server.weight, server.maxconn), (5000, 5, 20, 9));
    assert!(server.send_proxy.as_ref().is_some_and(|p| p.v2));
    refused(
        "backend",
        "server a 127.0.0.1:80 chek",
        "[t.cfg:10] : 'server l/a' : unknown keyword 'chek'; did you mean 'check'",
    );
    refused("backend", "server a 127.0.0.1:80 weight 300", "weight of server a is not within 0 and 256 (300)");
    refused(
        "frontend",
        "server a 127.0.0.1:80",
        "'server' not allowed because frontend 'l' has no backend capability.",
    );
    refused(
        "backend",
        "server a 127.0.0.1:80\n server a 127.0.0.1:81",
        "another server named 'a' was already defined at line 10",
    );
    refused("backend", "server a 127.0.0.1 check", "server 'a' has neither service port nor check port.");
    refused("backend", "server a 127.0.0.1:80 track b", "unable to find required server 'b' for tracking.");
}

#[test]
fn default_server_affects_servers_below_and_accumulates() {
    let lines = "server a 127.0.0.1:80\n default-server check\n default-server inter 7s\n server b 127.0.0.1:81\n \
                 server c 127.0.0.1:82 no-check\n server-template t 2-3 127.0.0.1:83";
    let plan = plan("backend", lines);
    let servers = &of(&plan).backend.servers;
    let names: Vec<_> =
        servers.iter().map(|s| (s.name.as_str(), s.id, s.check.as_ref().map(|c| c.inter_ms))).collect();
    assert_eq!(
        names,
        [("a", 1, None), ("b", 2, Some(7000)), ("c", 3, None), ("t2", 4, Some(7000)), ("t3", 5, Some(7000))]
    );
}

#[test]
fn checks() {
    let plan = plan("backend", "option mysql-check user u pre-41\n tcp-check connect");
    let expected = CheckKind::Mysql { user: Some("u".to_owned()), version: MysqlVersion::Pre41 };
    assert_eq!(of(&plan).backend.check_kind, expected);
    assert_eq!(of(&plan).backend.tcp_check.steps.len(), 1);
    refused("backend", "option pgsql-check", "'option pgsql-check' expects 'user <username>' as argument.");
    refused("backend", "http-check expect status abc", "invalid character 'a' in the list of status codes.");
    refused("backend", "tcp-check send-binary 0", "invalid binary string");
    warned("backend", "http-check expect status 200", "uses http-check rules without 'option httpchk'");
}

/// The step numbers are those of HAProxy 3.4.
#[test]
fn lines_of_a_check_come_in_an_order_that_can_be_run() {
    let script = |kind: &str, letters: &str| {
        let line = |letter| match letter {
            'c' => "connect",
            's' if kind == "http" => "send uri /a",
            's' => "send a",
            'e' if kind == "http" => "expect status 200",
            'e' => "expect string a",
            'v' => "set-var(check.a) int(1)",
            _ => "comment x",
        };
        let lines: Vec<_> = letters.chars().map(|l| format!("{kind}-check {}", line(l))).collect();
        format!("option {}\n {}", if kind == "http" { "httpchk" } else { "tcp-check" }, lines.join("\n "))
    };
    for taken in ["s", "e", "c", "ee", "vse", "mcs", "vcsecse", "cseec", "sme", "vcvsvevcvsve"] {
        plan("backend", &script("http", taken));
    }
    for (letters, number, missing) in [
        ("ss", 2, "connect"),
        ("ses", 3, "connect"),
        ("vvss", 2, "connect"),
        ("csvves", 5, "connect"),
        ("csecss", 5, "connect"),
        ("mes", 3, "connect"),
        ("ce", 2, "send"),
        ("csece", 4, "send"),
        ("mcc", 3, "expect"),
        ("csecvc", 5, "expect"),
    ] {
        let word = script("http", &letters[letters.len() - 1..]);
        let word = word.split("http-check ").nth(1).and_then(|w| w.split(' ').next()).expect("a word");
        let text = format!(
            "'http-check {word}' : unable to add http-check {word} rule at step {number} (missing {missing} rule).."
        );
        refused("backend", &script("http", letters), &text);
    }
    for (kind, letters) in [("http", "sc"), ("http", "mec"), ("tcp", "sc"), ("tcp", "vec")] {
        let text =
            format!("'{kind}-check connect' : first step MUST also be a 'connect', optionally preceded by a 's");
        refused("backend", &script(kind, letters), &text);
    }
    for taken in ["csc", "ss", "es", "mvc", "cc", "ce", "ccse"] {
        plan("backend", &script("tcp", taken));
    }
}

#[test]
fn lines_of_a_check_in_a_section_replace_those_of_its_defaults() {
    for (option, first, second) in [
        ("httpchk", "http-check send uri /a", "http-check send uri /b"),
        ("tcp-check", "tcp-check send a", "tcp-check connect"),
    ] {
        let sections = format!("option {option}\n {first}\nlisten x\n bind 127.0.0.1:18081\n {second}");
        let plan = plan("defaults", &sections);
        let lengths = |p: &Proxy| p.backend.http_check.steps.len() + p.backend.tcp_check.steps.len();
        let own = plan.proxies.iter().find(|p| p.name.as_str() == "x").expect("it");
        assert_eq!((lengths(own), lengths(of(&plan))), (1, 1), "{option}");
        let line = |p: &Proxy| {
            p.backend.http_check.steps.iter().chain(&p.backend.tcp_check.steps).next().map(|s| s.origin.line)
        };
        assert_eq!((line(own), line(of(&plan))), (Some(11), Some(8)), "{option}");
    }
}

#[test]
fn headers_behind_the_version_of_httpchk_are_kept() {
    let plan = plan("backend", "option httpchk HEAD / HTTP/1.0\\r\\nUser-agent:\\ osa");
    let CheckKind::Http(request) = &of(&plan).backend.check_kind else { panic!("no HTTP check") };
    assert_eq!(request.hidden_headers, ["User-agent: osa"]);
}

#[test]
fn cookies_tables_and_statistics() {
    let plan = plan(
        "backend",
        "cookie X insert indirect nocache maxidle 30m\n stick-table type string len 9 size 1k expire 5s store gpc0,http_req_rate(10s)\n stick on src",
    );
    let backend = &of(&plan).backend;
    let cookie = backend.cookie.as_ref().expect("a cookie");
    assert_eq!((cookie.mode, cookie.indirect, cookie.maxidle_s), (CookieMode::Insert, true, Some(1800)));
    let table = backend.stick_table.as_ref().expect("a table");
    assert_eq!((table.key, table.size, table.expire_ms), (KeyType::String(9), 1024, Some(5000)));
    assert_eq!(table.store[1].period_ms, Some(10_000));
    refused("backend", "cookie X foo", "'cookie' supports 'rewrite', 'insert'");
    refused("backend", "stick-table type ip", "stick-table: missing size.");
    refused("backend", "stick on src", "Proxy 'l': unable to find stick-table 'l'.");
    refused("listen", "stats foo", "unknown stats parameter 'foo', expects 'admin'");
    refused("listen", "capture cookie X", "'capture' expects 'cookie' <cookie_name> 'len' <len>.");
    refused("listen", "compression algo foo", "'compression' : 'foo' is not a supported algorithm.");
}

#[test]
fn rules_and_switching() {
    let text = format!(
        "{GLOBAL}{DEFAULTS}frontend f\n bind :18080\n acl a path /x\n http-request deny if a\n use_backend b if a\n \
         default_backend b\nbackend b\n server s 127.0.0.1:80\n"
    );
    let plan = load(&text).plan.expect("a plan");
    let rules = &plan.proxies[0].rules;
    assert_eq!((rules.http_request.rules.len(), rules.use_backend_targets.as_slice()), (1, [Some(1)].as_slice()));
    assert_eq!(plan.proxies[0].frontend.default_backend, Some(1));
    refused(
        "listen",
        "http-request deny if nope",
        "error detected while parsing an 'http-request deny' condition : no such ACL",
    );
    refused("frontend", "use_backend nope if TRUE", "Proxy 'l': unable to find required use_backend: 'nope'.");
    refused("frontend", "default_backend nope", "Proxy 'l': unable to find required default_backend: 'nope'.");
    warned(
        "frontend",
        "redirect location /\n http-request deny",
        "a 'http-request' rule placed after a 'redirect' rule",
    );
}

#[test]
fn rules_of_a_named_defaults_run_before_those_of_the_proxy() {
    let text = format!(
        "{GLOBAL}defaults d\n mode http\n timeout client 1s\n acl a path /x\n http-request deny if a\nfrontend f from d\n \
         bind :18080\n http-request set-header b c\n"
    );
    let plan = load(&text).plan.expect("a plan");
    let texts: Vec<_> = plan.proxies[0].rules.http_request.rules.iter().map(|r| r.text.to_string()).collect();
    assert_eq!(texts, ["deny if a", "set-header b c"]);
}

#[test]
fn every_error_of_every_stage_is_reported_at_once() {
    let text = "global\n maxconn abc\n foo\nfrontend f\n bind :99999\n default_backend nope\nbackend b\n server s \
                127.0.0.1:80\n server s 127.0.0.1:81\n balance foo\n";
    let outcome = load(text);
    let alerts: Vec<_> =
        outcome.diagnostics.messages().iter().filter(|m| m.severity == Severity::Alert).map(|m| &m.text).collect();
    for expected in [
        "[t.cfg:2] : cannot parse 'maxconn'",
        "[t.cfg:3] : unknown keyword 'foo'",
        "[t.cfg:5] : 'bind' : invalid port",
        "[t.cfg:10] : balance only supports",
        "unable to find required default_backend: 'nope'",
        "another server named 's'",
    ] {
        assert!(alerts.iter().any(|t| t.contains(expected)), "{expected}: {alerts:?}");
    }
}

#[test]
fn column_is_that_of_the_offending_word() {
    let outcome = load(&file("listen", "timeout client 10x"));
    let message = outcome.diagnostics.messages().iter().find(|m| m.text.contains("unexpected character"));
    assert_eq!(message.and_then(|m| m.column), Some(17));
}

#[test]
fn statuses_that_count_as_errors_are_replaced_extended_and_reduced() {
    let of = |line: &str| {
        let global = plan("global", &format!("http-err-codes {line}")).global;
        (100..600).filter(|status| global.http_err_codes.contains(*status)).collect::<Vec<u16>>()
    };
    assert_eq!(of("400,402-404,490"), [400, 402, 403, 404, 490]);
    assert_eq!(of("400-499 -450 +500"), (400..450).chain(451..501).collect::<Vec<_>>());
    assert_eq!(of("+501,505"), (400..500).chain([501, 505]).collect::<Vec<_>>());
    let global = plan("global", "http-fail-codes -500").global;
    assert_eq!(
        [500, 501, 502, 505, 599].map(|s| global.http_fail_codes.contains(s)),
        [false, false, true, false, true]
    );
}
