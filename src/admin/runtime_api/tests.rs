//! Exchanges recorded from HAProxy 3.4, replayed.

use super::{
    Answer,
    catalogue::TABLES,
    session::{CliSession, Then},
    with_scene,
};
use crate::{admin::fixture::Fake, base::clock::Millis, model::bind::Level};

fn ask_at(fake: &mut Fake, level: Level, line: &str) -> String {
    let mut session = CliSession::new(level, TABLES.to_vec());
    let mut out = Vec::new();
    let mut then = session.feed(format!("{line}\n").as_bytes(), fake, &mut out);
    loop {
        then = match then {
            // The workers of this process hear at once.
            Then::Gather(_) => session.resume(fake, &mut out),
            Then::Report(mut report) => {
                while with_scene(fake, session.state().level, |scene| report.write_slice(scene, 1, &mut out)) {}
                session.answered(Answer::Empty, fake, &mut out)
            }
            _ => break,
        };
    }
    String::from_utf8(out).unwrap()
}

fn ask(fake: &mut Fake, line: &str) -> String {
    ask_at(fake, Level::Admin, line)
}

#[test]
fn recorded_exchanges_have_the_same_answers() {
    let mut fake = Fake::new();
    let exchanges = [
        ("disable server be_web/s1", "\n"),
        ("disable server be_web/nope", "No such server.\n\n"),
        ("disable server nope/s1", "No such backend.\n\n"),
        ("disable server", "Require 'backend/server'.\n\n"),
        ("enable server be_web/s1", "\n"),
        ("enable server be_web/s4", "\n"),
        ("get weight be_web/s2", "50 (initial 50)\n\n"),
        ("get weight be_web/nope", "No such server.\n\n"),
        ("set weight be_web/s2 10", "\n"),
        ("set weight be_web/s2 50%", "\n"),
        ("get weight be_web/s2", "25 (initial 50)\n\n"),
        ("set weight be_web/s2 257", "Absolute weight can only be between 0 and 256 inclusive.\n\n"),
        ("set weight be_web/s2 200%", "\n"),
        ("set weight be_web/s2 abc", "Empty weight string empty or preceded by garbage\n\n"),
        ("set weight be_web/s2", "Require <weight> or <weight%>.\n\n"),
        ("set server be_web/s2 weight 100%", "\n"),
        ("set server be_web/s2 state drain", "\n"),
        ("set server be_web/s2 state maint", "\n"),
        ("set server be_web/s2 state ready", "\n"),
        ("set server be_web/s2 state foo", "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n\n"),
        ("set server be_web/s2 health down", "\n"),
        ("set server be_web/s2 health up", "\n"),
        ("set server be_web/s2 health foo", "'set server <srv> health' expects 'up', 'stopping', or 'down'.\n\n"),
        ("set server be_web/s2 agent up", "agent checks are not enabled on this server.\n\n"),
        ("set server be_web/s2 addr 127.0.0.1", "nothing changed\n\n"),
        ("set server be_web/s2 addr 127.0.0.1 port 18082", "nothing changed\n\n"),
        (
            "set server be_web/s2 addr 127.0.0.2 port 18082",
            "IP changed from '127.0.0.1' to '127.0.0.2' by 'stats socket command'\n\n",
        ),
        (
            "set server be_web/s2 addr 127.0.0.1 port 18083",
            "IP changed from '127.0.0.2' to '127.0.0.1', port changed from '18082' to '18083' by 'stats socket \
             command'\n\n",
        ),
        (
            "set server be_web/s2 addr 127.0.0.1 port 18082",
            "port changed from '18083' to '18082' by 'stats socket command'\n\n",
        ),
        ("set server be_web/s2 addr nohost", "Invalid addr 'nohost'\n\n"),
        ("set server be_web/s2 addr", "set server <b>/<s> addr requires an address and optionally a port.\n\n"),
        ("set server be_web/s2 addr 127.0.0.9 port x", "problem converting port 'x' to an int\n\n"),
        (
            "set server be_web/s2 fqdn foo.local",
            "set server <b>/<s> fqdn failed because no resolution is configured.\n\n",
        ),
        ("set server be_web/s2 check-port 18082", "\n"),
        ("set server be_web/s2 check-port x", "provided port is not an integer\n\n"),
        ("set server b1/x1 check-port 80", "health checks are not enabled on this server\n\n"),
        ("set server be_web/s2 agent-addr 127.0.0.1", "agent checks are not enabled on this server\n\n"),
        (
            "set server be_web/s2 ssl on",
            "'set server <srv> ssl' cannot be set.  default-server should define ssl settings\n\n",
        ),
        (
            "set server be_web/s2 foo",
            "usage: set server <backend>/<server> addr | agent | agent-addr | agent-port | agent-send | check-addr | \
             check-port | fqdn | health | ssl | state | weight\n\n",
        ),
        ("set server be_web/nope state ready", "No such server.\n\n"),
        ("set server be_web", "Require 'backend/server'.\n\n"),
        ("set maxconn server be_web/s2 30", "\n"),
        ("set maxconn server be_web/s2", "Require <maxconn>.\n\n"),
        ("set maxconn frontend web 500", "\n"),
        ("set maxconn frontend web", "Integer value expected.\n\n"),
        ("set maxconn global 900", "\n"),
        ("set maxconn global", "Expects an integer value.\n\n"),
        ("set maxconn global 999999", "Value out of range.\n\n"),
        ("set rate-limit connections global 100", "\n"),
        ("set rate-limit connections global 0", "\n"),
        ("set timeout cli 10", "\n"),
        ("set timeout cli 10x", "Invalid timeout value.\n\n"),
        ("set timeout foo", "'set timeout' only supports 'cli'.\n\n"),
        ("disable health be_web/s2", "\n"),
        ("enable health be_web/s2", "\n"),
        ("enable health b1/x1", "Health check was not configured on this server, cannot enable.\n\n"),
        ("disable agent be_web/s2", "\n"),
        ("enable agent be_web/s2", "Agent was not configured on this server, cannot enable.\n\n"),
        ("shutdown sessions server be_web/s2", "\n"),
        ("shutdown session 0xdead", "No such session (use 'show sess').\n\n"),
        ("disable frontend web", "\n"),
        ("disable frontend web", "All sockets are already disabled.\n\n"),
        ("enable frontend web", "\n"),
        ("enable frontend web", "All sockets are already enabled.\n\n"),
        ("disable frontend nope", "No such frontend.\n\n"),
        ("clear counters", "\n"),
        ("clear counters all", "\n"),
        ("add server be_web/n1 127.0.0.1:18081", "New server registered.\n\n"),
        ("add server be_web/n1 127.0.0.1:18081", "Already exists a server with the same name in backend.\n\n"),
        ("add server be_web/n2 127.0.0.1:18081 check inter 1000 weight 5", "New server registered.\n\n"),
        ("add server be_web/n3 127.0.0.1:18081 foo", "unknown keyword 'foo'; did you mean 'tfo' maybe ?\n\n"),
        ("add server be_web/n4", "'server' expects <name> and <addr>[:<port>] as arguments.\n\n"),
        ("add server nope/n1 127.0.0.1:1", "No such backend.\n\n"),
        (
            "add server tcp1/n1 127.0.0.1:18081 check ssl verify none",
            "Backend does not support dynamic servers : proxy 'tcp1' uses a non dynamic load balancing method.\n\n",
        ),
        ("enable server be_web/n1", "\n"),
        ("del server be_web/n1", "Only servers in maintenance mode can be deleted.\n\n"),
        ("disable server be_web/n1", "\n"),
        ("del server be_web/n1", "Server deleted.\n\n"),
        ("del server be_web/nope", "No such server.\n\n"),
        ("wait 1s srv-removable be_web/n2", "Done.\n\n"),
        ("wait 10ms srv-removable be_web/s9", "Failed. No such server.\n\n"),
        ("wait", "Expects a duration in milliseconds.\n\n"),
        (
            "set weight tcp1/t1 5",
            "Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.\n\n",
        ),
        ("show stat nope 4 -1", "No such proxy.\n\n"),
        ("show servers state nope", "Can't find backend.\n\n"),
        ("show version;show cli level", "3.4.0\n\nadmin\n\n"),
        ("show backend", "# name\nbe_web\nbe_down\nb1\ntcp1\nstats\n\n"),
        ("show cli sockets", "# socket lvl processes\nunix@/etc/haproxy/admin.sock admin all\n\n"),
        ("show errors", "Total events captured on [22/Nov/2026:11:04:10.400] : 0\n\n"),
        ("show env LANG", "LANG=C\n\n"),
        ("show env nope", "Variable not found\n\n"),
        ("echo hello", "hello\n\n"),
        ("user", "\n"),
        ("set severity-output number;disable server be_web/nope", "\n[3]: No such server.\n\n"),
        ("set severity-output string; show version", "\n[info]: 3.4.0\n\n"),
        ("get weight be_web/s2; enable server be_web/s2", "50 (initial 50)\n\n\n"),
        ("expert-mode", "expert-mode is OFF\n\n"),
        ("experimental-mode on", "\n"),
        ("", "\n"),
    ];
    for (line, expected) in exchanges {
        // The recorder's clock stands at the moment of `show errors` in the transcript.
        fake.now.wall_us = 1_795_345_450_400_000;
        assert_eq!(ask(&mut fake, line), expected, "{line}");
    }
}

#[test]
fn servers_state_as_recorded() {
    let mut fake = Fake::new();
    let answer = ask(&mut fake, "show servers state");
    let lines: Vec<&str> = answer.lines().skip(2).collect();
    assert_eq!(
        lines,
        [
            "3 be_web 1 s1 127.0.0.1 2 0 1 1 16 15 3 4 6 0 0 0 - 18081 - 0 0 - - 0",
            "3 be_web 2 s2 127.0.0.1 2 0 50 50 16 15 3 4 6 0 0 0 - 18082 - 0 0 - - 0",
            "3 be_web 3 s3 127.0.0.1 0 0 1 1 16 8 2 0 6 0 0 0 - 18083 - 0 0 - - 0",
            "3 be_web 4 s4 127.0.0.1 0 5 1 1 16 1 0 0 8 0 0 0 - 18084 - 0 0 - - 0",
            "4 be_down 1 d1 127.0.0.1 0 0 1 1 16 8 2 0 6 0 0 0 - 18085 - 0 0 - - 0",
            "5 b1 1 x1 127.0.0.1 2 0 1 1 16 1 0 0 0 0 0 0 - 18081 - 0 0 - - 0",
            "7 tcp1 1 t1 127.0.0.1 2 0 1 1 16 6 3 4 6 0 0 0 - 18081 - 0 0 - - 0",
            "",
        ]
    );
}

#[test]
fn state_changes_are_told_in_haproxys_sentences() {
    let mut fake = Fake::new();
    let zero = "0 sessions active, 0 requeued, 0 remaining in queue.";
    assert_eq!(
        fake.log,
        [
            format!(
                "<129>Backup Server be_web/s3 is DOWN, reason: Layer4 connection problem, info: \"ECONNREFUSED returned by \
                 OS (Connection refused)\", check duration: 0ms. 2 active and 0 backup servers left. {zero}"
            ),
            format!(
                "<129>Server be_down/d1 is DOWN, reason: Layer4 connection problem, info: \"ECONNREFUSED returned by OS \
                 (Connection refused)\", check duration: 0ms. 0 active and 0 backup servers left. {zero}"
            ),
            "<128>backend be_down has no server available!".into(),
        ]
    );
    fake.log.clear();
    for line in [
        "disable server be_web/s1",
        "enable server be_web/s1",
        "enable server be_web/s4",
        "set server be_web/s2 state drain",
        "set server be_web/s2 state maint",
        "set server be_web/s2 state ready",
        "set server be_web/s2 health down",
        "set server be_web/s2 health up",
        "set server be_web/s2 state drain",
        "set server be_web/s2 state ready",
    ] {
        ask(&mut fake, line);
    }
    assert_eq!(
        fake.log,
        [
            format!("<129>Server be_web/s1 is going DOWN for maintenance. 1 active and 0 backup servers left. {zero}"),
            "<133>Server be_web/s1 is UP/READY (leaving forced maintenance).".into(),
            "<133>Server be_web/s4 is UP/READY (leaving forced maintenance).".into(),
            "<133>Server be_web/s2 enters drain state. 2 active and 0 backup servers online. 0 sessions requeued, 0 total \
             in queue."
                .into(),
            format!("<133>Server be_web/s2 is going DOWN for maintenance. 2 active and 0 backup servers left. {zero}"),
            "<133>Server be_web/s2 is UP/READY (leaving forced maintenance).".into(),
            format!("<129>Server be_web/s2 is DOWN, changed from CLI. 2 active and 0 backup servers left. {zero}"),
            "<133>Server be_web/s2 is UP, changed from CLI. 3 active and 0 backup servers online. 0 sessions requeued, 0 \
             total in queue."
                .into(),
            "<133>Server be_web/s2 enters drain state. 2 active and 0 backup servers online. 0 sessions requeued, 0 total \
             in queue."
                .into(),
            "<133>Server be_web/s2 is UP (leaving forced drain).".into(),
        ]
    );
}

#[test]
fn levels_are_enforced() {
    let mut fake = Fake::new();
    for line in ["disable server be_web/s1", "show errors", "set maxconn global 3"] {
        assert_eq!(ask_at(&mut fake, Level::User, line), "Permission denied\n\n", "{line}");
    }
    assert_eq!(ask_at(&mut fake, Level::Operator, "clear counters"), "\n");
    assert_eq!(ask_at(&mut fake, Level::Operator, "clear counters all"), "Permission denied\n\n");
    assert_eq!(ask(&mut fake, "user;disable server be_web/s1"), "\nPermission denied\n\n");
}

#[test]
fn unknown_commands_are_answered_with_suggestions() {
    let mut fake = Fake::new();
    let answer = ask(&mut fake, "show inof");
    assert!(answer.starts_with("Unknown command: 'show', but maybe one of the following ones is a better match:\n"));
    assert!(
        answer.contains("  show info [desc|json|typed|float]*      : report information about the running process\n")
    );
    assert!(answer.ends_with("  quit                                    : disconnect\n\n"));
    let help = ask(&mut fake, "help show stat");
    assert_eq!(
        help,
        "The following commands are valid at this level:\n  show stat [desc|json|no-maint|typed|up]*: report counters for \
         each proxy and server\n  help [<command>]                        : list matching or all commands\n  prompt [help | \
         n | i | p | timed ]*     : toggle interactive mode with prompt\n  quit                                    : \
         disconnect\n\n"
    );
}

#[test]
fn a_prompt_keeps_the_session_open() {
    let mut fake = Fake::new();
    let mut session = CliSession::new(Level::Admin, TABLES.to_vec());
    let mut out = Vec::new();
    assert_eq!(session.feed(b"prompt\n", &mut fake, &mut out), Then::Read);
    assert_eq!(out, b"\n> ");
    out.clear();
    assert_eq!(session.feed(b"show ver", &mut fake, &mut out), Then::Read);
    assert_eq!(session.feed(b"sion\r\nquit\n", &mut fake, &mut out), Then::Close);
    assert_eq!(String::from_utf8(out).unwrap(), "3.4.0\n\n> ");
}

#[test]
fn a_wait_without_condition_ends_with_its_time() {
    let mut fake = Fake::new();
    let mut session = CliSession::new(Level::Admin, TABLES.to_vec());
    let mut out = Vec::new();
    let until_ms = fake.now.mono.0 + 50;
    assert_eq!(session.feed(b"wait 50;echo x\n", &mut fake, &mut out), Then::Wait { until_ms });
    fake.now.mono = Millis(until_ms);
    assert_eq!(session.resume(&mut fake, &mut out), Then::Close);
    assert_eq!(out, b"Done.\n\nx\n\n");
}

#[test]
fn lines_without_end_are_bounded() {
    let mut fake = Fake::new();
    let mut session = CliSession::new(Level::Admin, TABLES.to_vec());
    let mut out = Vec::new();
    assert_eq!(session.feed(&vec![b'a'; 1 << 13], &mut fake, &mut out), Then::Read);
    assert_eq!(session.feed(&vec![b'a'; 1 << 13], &mut fake, &mut out), Then::Close);
    assert!(out.starts_with(b"The command line is too big"), "{}", String::from_utf8_lossy(&out));
}

#[test]
fn long_answers_leave_before_the_next_command_runs() {
    let mut fake = Fake::new();
    let mut session = CliSession::new(Level::Admin, TABLES.to_vec());
    let (mut out, mut pieces) = (Vec::new(), 0);
    let mut then = session.feed(&[b"show info;".repeat(200), b"\n".to_vec()].concat(), &mut fake, &mut out);
    while then == Then::Flush {
        assert!(out.len() < 1 << 18, "{}", out.len());
        out.clear();
        pieces += 1;
        then = session.resume(&mut fake, &mut out);
    }
    assert!(then == Then::Close && pieces > 2, "{then:?} {pieces}");
}

#[test]
fn maps_and_acls_as_recorded() {
    let mut fake = Fake::new();
    let exchanges = [
        (
            "get map /etc/haproxy/hosts.map foo.example",
            "type=str, case=sensitive, found=yes, idx=tree, key=\"foo.example\", value=\"b1\", type=\"str\"\n\n",
        ),
        ("get map /etc/haproxy/hosts.map zzz", "type=str, case=sensitive, found=no\n\n"),
        ("add map /etc/haproxy/hosts.map new.example b1", "\n"),
        ("add map #1 new2.example b1", "\n"),
        ("set map /etc/haproxy/hosts.map new.example be_web", "\n"),
        ("set map /etc/haproxy/hosts.map zzz be_web", "entry not found.\n\n"),
        ("del map /etc/haproxy/hosts.map new.example", "\n"),
        ("del map /etc/haproxy/hosts.map zzz", "Key not found.\n\n"),
        ("add map /nope a b", "Unknown map identifier. Please use #<id> or <file>.\n\n"),
        ("clear map /etc/haproxy/hosts.map", "\n"),
        ("show map #1", "\n"),
        ("prepare map #1", "New version created: 1\n\n"),
        ("add map @1 #1 a b", "\n"),
        ("commit map #1", "Missing version number.\n\n"),
        ("commit map @3 #1", "Version number out of range.\n\n"),
        ("commit map @1 #1", "\n"),
        ("show map #1", "0x000200000010 a b\n\n"),
        ("add map #1 <<\nk1 v1\nk2 v2\n", "\n"),
        ("show map #1", "0x000200000010 a b\n0x000200000020 k1 v1\n0x000200000030 k2 v2\n\n"),
        ("del map #1 #0x000200000020", "\n"),
        ("show map #1", "0x000200000010 a b\n0x000200000020 k2 v2\n\n"),
        ("add map @9 #1 a b", "Version number in the future, please use 'prepare map' before.\n\n"),
        (
            "show acl",
            "# id (file) description\n0 (/etc/haproxy/nets.acl) pattern loaded from file '/etc/haproxy/nets.acl' used by acl \
             at file 'main.cfg' line 27. curr_ver=0 next_ver=0 entry_cnt=2\n\n",
        ),
        ("get acl #0 10.1.2.3", "type=ip, case=sensitive, match=yes, idx=tree, pattern=\"10.0.0.0/8\"\n\n"),
        ("get acl #0 11.1.2.3", "type=ip, case=sensitive, match=no\n\n"),
        ("add acl #0 172.16.0.0/12", "\n"),
        ("add acl #0 notanip", "'notanip' is not a valid IPv4 or IPv6 address.\n\n"),
        ("del acl #0 172.16.0.0/12", "\n"),
        ("del acl #0 1.2.3.4", "Key not found.\n\n"),
        ("clear acl #0", "\n"),
        ("add acl #99 x", "Unknown ACL identifier. Please use #<id> or <file>.\n\n"),
        ("get map", "Missing map identifier and/or key.\n\n"),
        ("clear map", "Missing map identifier.\n\n"),
        ("add acl", "'add acl' expects two parameters: ACL identifier and pattern.\n\n"),
        ("del map #1", "This command expects two parameters: map identifier and key.\n\n"),
    ];
    for (line, expected) in exchanges {
        assert_eq!(ask(&mut fake, line), expected, "{line}");
    }
}

#[test]
fn no_command_is_listed_twice() {
    let mut names: Vec<_> = super::catalogue::TABLES.iter().flat_map(|t| t.iter()).map(|c| c.words).collect();
    names.sort();
    let twice: Vec<_> = names.windows(2).filter(|w| w[0] == w[1]).map(|w| w[0]).collect();
    assert!(twice.is_empty(), "{twice:?}");
}
