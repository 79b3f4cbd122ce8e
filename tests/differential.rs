//! The same configuration and the same bytes to ringway and to the packaged haproxy: what clients and origins
//! receive, which server is chosen, what is logged and how connections end must agree. Differences that are right
//! are listed with their reason in `differential/allowed.rs`; a listed difference that no longer shows fails too.
//!
//! One scenario: `cargo test --test differential framing::chunked`. `RINGWAY_BIN` and `HAPROXY_BIN` name other
//! programs; `DIFFERENTIAL_SHOW=1` prints both transcripts.

mod common;

#[path = "differential/allowed.rs"]
mod allowed;
#[path = "differential/run.rs"]
mod run;

/// A scenario is a test: the body runs once against each program.
macro_rules! scenario {
    ($name:ident, $body:expr) => {
        #[test]
        fn $name() {
            crate::run::compare(concat!(module_path!(), "::", stringify!($name)), $body);
        }
    };
}

#[path = "differential/balance.rs"]
mod balance;
#[path = "differential/choices.rs"]
mod choices;
#[path = "differential/cli.rs"]
mod cli;
#[path = "differential/compression.rs"]
mod compression;
#[path = "differential/cookies.rs"]
mod cookies;
#[path = "differential/counters.rs"]
mod counters;
#[path = "differential/errors.rs"]
mod errors;
#[path = "differential/expressions.rs"]
mod expressions;
#[path = "differential/framing.rs"]
mod framing;
#[path = "differential/headers.rs"]
mod headers;
#[path = "differential/http2.rs"]
mod http2;
#[path = "differential/http2_servers.rs"]
mod http2_servers;
#[path = "differential/keepalive.rs"]
mod keepalive;
#[path = "differential/logs.rs"]
mod logs;
#[path = "differential/proxy_protocol.rs"]
mod proxy_protocol;
#[path = "differential/rdp_cookie.rs"]
mod rdp_cookie;
#[path = "differential/retries.rs"]
mod retries;
#[path = "differential/rules.rs"]
mod rules;
#[path = "differential/sequences.rs"]
mod sequences;
#[path = "differential/tables.rs"]
mod tables;
#[path = "differential/tcp.rs"]
mod tcp;
#[path = "differential/timeouts.rs"]
mod timeouts;
#[path = "differential/tls.rs"]
mod tls;
#[path = "differential/tls_clients.rs"]
mod tls_clients;
#[path = "differential/tls_servers.rs"]
mod tls_servers;
#[path = "differential/tls_tcp.rs"]
mod tls_tcp;

/// What the suite promises to compare at least: scenarios of stick tables, tracking and cookies, and choices of servers.
#[test]
fn there_are_as_many_scenarios_as_promised() {
    // A scenario of its own, or a row of a macro's table that makes one.
    let is_row = |line: &str| line.starts_with("    ") && line.ends_with(';') && line.matches(", ").count() >= 1;
    let count = |text: &str| {
        let mut in_table = false;
        let counted = text.lines().filter(|line| {
            in_table = (in_table && *line != "}")
                || matches!(*line, "modes! {" | "algorithms! {" | "functions! {" | "loads! {");
            line.starts_with("scenario!(") || in_table && is_row(line)
        });
        counted.count()
    };
    let state = count(include_str!("differential/tables.rs")) + count(include_str!("differential/cookies.rs"));
    assert!(state >= 60, "{state} scenarios of stick tables, tracking and cookies");
    let choices = count(include_str!("differential/choices.rs"));
    assert!(choices >= 29, "{choices} of choices");
}

/// Done is said of HTTP/2 when at least so many of its cases agree.
#[test]
fn http2_has_its_sixty_scenarios() {
    let sources = [include_str!("differential/http2.rs"), include_str!("differential/http2_servers.rs")];
    let count: usize = sources.iter().map(|text| text.matches("\nscenario!(").count()).sum();
    assert!(count >= 60, "{count}");
}

#[test]
fn tls_has_its_scenarios() {
    let count = |text: &str| text.matches("\nscenario!(").count();
    let client_side = count(include_str!("differential/tls.rs")) + count(include_str!("differential/tls_clients.rs"));
    let server_side = count(include_str!("differential/tls_servers.rs"));
    let tcp = count(include_str!("differential/tls_tcp.rs"));
    assert!(client_side >= 75 && server_side >= 45 && tcp >= 14, "{client_side} {server_side} {tcp}");
}
