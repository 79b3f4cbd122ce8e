//! The words of the statistics page (`stats …`, manual 4.2), each by what a browser is sent. Who may see it and act is in
//! `runtime_api.rs`, how it looks in `stats_page_browser.rs`.

mod common;

use common::client::Client;
use common::directory::Directory;
use common::http::header_values;
use common::port::Port;
use common::program::{Program, under_test};

const DEFAULTS: &str = "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n";

/// The answer for `target` with these lines of `global` and of the page's frontend.
fn page(global: &str, lines: &str, target: &str) -> Vec<u8> {
    let (directory, port) = (Directory::new(), Port::hold());
    let config = format!(
        "global\n maxconn 100\n{global}{DEFAULTS}frontend web\n bind 127.0.0.1:{}\n{lines}backend shop\n \
         server s1 127.0.0.1:1 cookie c1\nbackend hidden\n server s2 127.0.0.1:1\n",
        port.number
    );
    let _program = Program::start(&under_test(), &directory, &config, &[port.number]);
    let mut client = Client::connect(port.number);
    client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
    client.closed().0
}

fn text(global: &str, lines: &str) -> String {
    let answer = page(global, lines, "/haproxy?stats");
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn realm_is_what_the_browser_asks_a_password_for() {
    let answer = page("", " stats realm The\\ House\n stats auth a:b\n", "/haproxy?stats");
    assert!(answer.starts_with(b"HTTP/1.1 401 "));
    assert_eq!(header_values(&answer, "www-authenticate"), ["Basic realm=\"The House\""]);
}

#[test]
fn refresh_has_the_page_loaded_again() {
    let answer = page("", " stats refresh 7s\n", "/haproxy?stats");
    assert_eq!(header_values(&answer, "refresh"), ["7"]);
    let answer = page("", " stats refresh 7s\n", "/haproxy?stats;norefresh");
    assert!(header_values(&answer, "refresh").is_empty());
    let answer = page("", " stats enable\n", "/haproxy?stats");
    assert!(header_values(&answer, "refresh").is_empty());
}

#[test]
fn the_version_is_shown_where_that_is_wanted() {
    assert!(text("", " stats show-version\n").contains("HAProxy version 3.4"));
    assert!(!text("", " stats show-version\n stats hide-version\n").contains("version 3.4"));
    assert!(!text("", " stats enable\n").contains("version 3.4"));
}

#[test]
fn legends_tell_what_proxies_can_and_where_servers_are() {
    let with = text("", " stats show-legends\n");
    assert!(with.contains("cap: ") && with.contains("127.0.0.1:1, id: 1, cookie: 'c1'"), "{with}");
    let without = text("", " stats enable\n");
    assert!(!without.contains("cap: ") && !without.contains("cookie: 'c1'"));
}

#[test]
fn node_and_description_are_the_pages_or_the_process_s() {
    let (node, desc) = (" stats show-node Europe-1\n", " stats show-desc Master node\n");
    let own = text(" node Asia\n description Another\n", &format!("{node}{desc}"));
    assert!(own.contains(" on Europe-1: Master node</h2>"), "{own}");
    let global = text(" node Asia\n description Another\n", " stats show-node\n stats show-desc\n");
    assert!(global.contains(" on Asia: Another</h2>"), "{global}");
    let none = text(" node Asia\n description Another\n", " stats enable\n");
    assert!(!none.contains("Asia") && !none.contains("Another"), "{none}");
}

#[test]
fn scope_limits_what_is_shown() {
    let all = text("", " stats enable\n");
    assert!(all.contains("name=\"shop\"") && all.contains("name=\"hidden\"") && all.contains("name=\"web\""));
    let some = text("", " stats scope .\n stats scope shop\n");
    assert!(some.contains("name=\"shop\"") && some.contains("name=\"web\"") && !some.contains("name=\"hidden\""));
}

#[test]
fn rules_of_the_page_say_who_may_see_it() {
    let rules = " stats http-request auth realm Guard unless { url_param(pass) yes }\n stats http-request allow\n";
    let answer = page("", rules, "/haproxy?stats");
    assert!(answer.starts_with(b"HTTP/1.1 401 "));
    assert_eq!(header_values(&answer, "www-authenticate"), ["Basic realm=\"Guard\""]);
    assert!(page("", rules, "/haproxy?stats&pass=yes").starts_with(b"HTTP/1.1 200 "));
    let denied = page("", " stats http-request deny\n", "/haproxy?stats");
    assert!(denied.starts_with(b"HTTP/1.1 403 "));
}
