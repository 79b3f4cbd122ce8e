//! The census: every word of HAProxy 3.4 (`tests/census/keywords.tsv`), and whether ringway knows it. The product is
//! asked: each word stands in a configuration of its own, and the answer is what the load says of it. A word is known
//! unless it is refused as unknown, as unsupported or as out of place; an argument that it misses does not matter.
//!
//! `tests/census/refused.tsv` lists the words of the first two tiers that are refused, each with its reason. The README
//! holds the number of known words, which may not go down.

use ringway::admin::runtime_api::catalogue::{MASTER, TABLES};
use ringway::config::diagnostic::{Diagnostics, Severity};
use ringway::config::env::Environment;
use ringway::config::files::Source;
use ringway::config::load::{Options, load_sources};
use std::collections::BTreeMap;

const KEYWORDS: &str = include_str!("census/keywords.tsv");
const REFUSED: &str = include_str!("census/refused.tsv");
const README: &str = include_str!("../README.md");

/// A row of the census.
struct Word<'a> {
    kind: &'a str,
    name: &'a str,
    tier: &'a str,
    note: &'a str,
}

fn words() -> impl Iterator<Item = Word<'static>> {
    KEYWORDS.lines().skip(1).map(|line| {
        let c: Vec<_> = line.split('\t').collect();
        Word { kind: c[0], name: c[1], tier: c[3], note: c[4] }
    })
}

/// Where a line stands.
enum Place {
    Global,
    /// A proxy of this kind, in HTTP mode or not.
    Proxy(&'static str, &'static str),
    /// On its own, outside of sections.
    Outside,
    /// Below this line.
    Below(&'static str),
}

const LISTEN: Place = Place::Proxy("listen", "http");

/// The line that asks for a word; `None` where the configuration has none for its kind.
fn question(w: &Word<'_>) -> Option<(Place, String)> {
    let name = w.name;
    let argument = if w.note.contains("prefix-match") && name.contains("var") { "(txn.a)" } else { "" };
    let line = |text: String| Some((LISTEN, text));
    match w.kind {
        "global" => Some((Place::Global, name.to_owned())),
        "section" if name == "global" => Some((Place::Outside, name.to_owned())),
        "section" => Some((Place::Outside, format!("{name} x"))),
        "proxy" => {
            let section = if w.note.contains("--LB") { "backend" } else { "listen" };
            let value = match name {
                "mode" => " http",
                "tcp-request connection" | "tcp-request content" | "tcp-response content" => " accept",
                _ => "",
            };
            Some((Place::Proxy(section, "http"), format!("{name}{value}")))
        }
        "option" => line(format!("option {name}")),
        "bind-option" => line(format!("bind 127.0.0.1:0 {name}")),
        "server-option" if name == "init-addr" => line("server s 127.0.0.1:1 init-addr last".to_owned()),
        "server-option" => line(format!("server s 127.0.0.1:1 {name}")),
        "fetch" => line(format!("http-request set-var(txn.a) {name}")),
        "converter" => line(format!("http-request set-var(txn.a) int(1),{name}")),
        "acl-alias" => line(format!("acl a {name} 1")),
        "predefined-acl" => line(format!("http-request allow if {name}")),
        "match-method" => line(format!("acl a path -m {name} 1")),
        "acl-flag" if name == "-m" => line("acl a path -m str 1".to_owned()),
        "acl-flag" => line(format!("acl a path {name} 1")),
        "acl-int-op" => line(format!("acl a int(1) {name} 1")),
        "log-tag" | "log-flag" => line(format!("log-format \"{name}\"")),
        "balance" => line(format!("balance {name}")),
        "hash-type" => line(format!("hash-type {name}")),
        "mode" => line(format!("mode {name}")),
        "timeout" => line(format!("timeout {name} 1s")),
        "stats" => line(format!("stats {name}")),
        "cookie-arg" => line(format!("cookie C {name}")),
        "redirect-arg" => line(format!("redirect location / {name}")),
        "stick" => line(format!("stick {name} src")),
        "stick-table-arg" => line(match name {
            "type" => "stick-table type ip size 1".to_owned(),
            "len" => "stick-table type string len 8 size 1".to_owned(),
            "store" => "stick-table type ip size 1 store gpc0".to_owned(),
            _ => format!("stick-table type ip size 1 {name} 1"),
        }),
        "stick-table-type" => line(format!("stick-table type {name} size 1")),
        "stick-table-data" => line(format!("stick-table type ip size 1 store {name}")),
        "tcp-check" => line(format!("tcp-check {name}")),
        "http-check" => line(format!("http-check {name}")),
        "http-check-send-arg" => line(format!("http-check send {name} x")),
        "check-connect-arg" => line(format!("tcp-check connect {name}")),
        "check-expect-arg" => {
            let family = if name.contains("status") || name.contains("hdr") { "http" } else { "tcp" };
            line(format!("{family}-check expect {name} 200"))
        }
        "compression" => line(format!("compression {name}")),
        "compression-algo" => line(format!("compression algo {name}")),
        "capture" => line(format!("capture {name}")),
        "filter" => line(format!("filter {name}")),
        "forwardfor-arg" => line(format!("option forwardfor {name}")),
        "forwarded-arg" => line(format!("option forwarded {name}")),
        "normalize-uri-arg" => line(format!("http-request normalize-uri {name}")),
        "http-reply-arg" => line(format!("http-request return {name} 200")),
        "log-arg" if name == "format" => line("log 127.0.0.1 format raw local0".to_owned()),
        "log-arg" => line(format!("log 127.0.0.1 {name} 1024 local0")),
        "log-arg-format" => line(format!("log 127.0.0.1 format {name} local0")),
        "log-target" if name == "global" => line("log global".to_owned()),
        "log-target" => line(format!("log {name} local0")),
        "service" => line(format!("http-request use-service {name}")),
        "userlist" => Some((Place::Below("userlist u"), name.to_owned())),
        "userlist-arg" if name == "users" => Some((Place::Below("userlist u"), format!("group g {name} a"))),
        "userlist-arg" => Some((Place::Below("userlist u"), format!("user a {name} b"))),
        "peers" => Some((Place::Below("peers p"), name.to_owned())),
        "resolvers" => Some((Place::Below("resolvers r"), name.to_owned())),
        "resolvers-hold" => Some((Place::Below("resolvers r"), format!("hold {name} 1s"))),
        "cond-predicate" => Some((Place::Outside, format!(".if {name}(a,b)\n.endif"))),
        "preprocessor" => Some((Place::Outside, conditional(name))),
        kind => {
            let phase = kind.strip_prefix("action:")?;
            // Most actions have no argument that could be given to all of them.
            let number = if name.starts_with("track-sc") || name.starts_with("sc-") { "0" } else { "" };
            let mode = if phase.starts_with("http") { "http" } else { "tcp" };
            let number = if w.note.contains("prefix-match") && name == "track-sc" { number } else { "" };
            Some((Place::Proxy("listen", mode), format!("{phase} {name}{number}{argument}")))
        }
    }
}

/// The words of `.if` and its kin stand together.
fn conditional(name: &str) -> String {
    match name {
        ".if" | ".endif" => ".if 1\n.endif".to_owned(),
        ".elif" | ".else" => format!(".if 0\n{name} 1\n.endif").replace(".else 1", ".else"),
        ".diag" | ".notice" | ".warning" => format!("{name} text"),
        other => format!("{other} text"),
    }
}

/// What the load says of a line.
fn alerts(place: &Place, line: &str) -> Vec<String> {
    let head = "defaults\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n";
    let text = match place {
        Place::Global => format!("global\n {line}\n"),
        Place::Proxy(section, mode) => format!("{head}{section} p\n mode {mode}\n {line}\n"),
        Place::Outside => format!("{line}\n"),
        Place::Below(section) => format!("{section}\n {line}\n"),
    };
    let source = Source { name: "census.cfg".to_owned(), content: text.into_bytes() };
    let outcome =
        load_sources(vec![source], &Options::default(), &mut Environment::default(), Diagnostics::new(false));
    let messages = outcome.diagnostics.messages().iter();
    messages.filter(|m| m.severity == Severity::Alert).map(|m| m.text.clone()).collect()
}

/// Whether a message says that a word is not known where it stands.
fn disowns(text: &str) -> bool {
    ["not supported by ringway", "unknown", "cannot handle unexpected argument", "expects 'accept', 'reject'"]
        .iter()
        .any(|part| text.contains(part))
}

/// Whether ringway knows a word; else why not.
fn known(w: &Word<'_>) -> Result<(), String> {
    match w.kind {
        "cli" => {
            let words: Vec<_> = w.name.split(' ').filter(|p| !p.starts_with(['<', '['])).collect();
            let found =
                TABLES.into_iter().chain([MASTER]).flatten().any(|c| c.words == words || words.starts_with(c.words));
            return if found { Ok(()) } else { Err("no such command".to_owned()) };
        }
        "cmdline" => {
            let source = include_str!("../src/control/args.rs");
            let letters: String = w.name.chars().take_while(|c| !" <[=".contains(*c)).collect();
            return if source.contains(&letters) { Ok(()) } else { Err("no such option".to_owned()) };
        }
        _ => {}
    }
    let Some((place, line)) = question(w) else { return Err("nothing asks for it".to_owned()) };
    // A predicate and a message are judged by what the conditional says; `.alert` is an alert when it works.
    if w.kind == "preprocessor" && w.name == ".alert" {
        return Ok(());
    }
    match alerts(&place, &line).into_iter().find(|text| disowns(text)) {
        None => Ok(()),
        Some(text) => Err(text),
    }
}

#[test]
fn words_of_the_first_two_tiers_are_known_or_refused_for_a_reason() {
    let refused: BTreeMap<(&str, &str), &str> = REFUSED
        .lines()
        .filter(|l| !l.starts_with('#'))
        .filter_map(|l| {
            let mut c = l.splitn(3, '\t');
            Some(((c.next()?, c.next()?), c.next()?))
        })
        .collect();
    let mut wrong = Vec::new();
    // The command line is judged by the tests of its own room; here it is counted.
    for w in words().filter(|w| matches!(w.tier, "T1" | "T2") && w.kind != "cmdline") {
        let listed = refused.contains_key(&(w.kind, w.name));
        match known(&w) {
            Ok(()) if listed => wrong.push(format!("{}\t{}\tis known: take it off the list", w.kind, w.name)),
            Err(why) if !listed => wrong.push(format!("{}\t{}\t{why}", w.kind, w.name)),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_readme_has_the_number_of_known_words_and_it_does_not_go_down() {
    let all = words().count();
    let mut by_kind: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut missing = Vec::new();
    for w in words() {
        let kind = by_kind.entry(w.kind).or_default();
        kind.1 += 1;
        match known(&w) {
            Ok(()) => kind.0 += 1,
            Err(why) => missing.push(format!("{}\t{}\t{why}", w.kind, w.name)),
        }
    }
    let count: usize = by_kind.values().map(|k| k.0).sum();
    println!("{}\n{by_kind:#?}\n{count} of {all}", missing.join("\n"));
    assert!(README.contains(&format!("{count} of the {all} words")), "README: it is {count} of the {all} words");
}
