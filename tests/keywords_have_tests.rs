//! Every word of the census that ringway serves stands in a test that would fail if the word were ignored. What a machine can
//! see of that is held here: each word of the first two tiers stands in a line of configuration (or of the runtime API, or
//! of the command line) that some test uses. Lists of broken configurations and of words are no tests of what words do,
//! and are not looked at.
//!
//! `census/untested.tsv` has the words that no test has yet: kind and word. It only gets shorter.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

const KEYWORDS: &str = include_str!("census/keywords.tsv");
const REFUSED: &str = include_str!("census/refused.tsv");
const UNTESTED: &str = include_str!("census/untested.tsv");
/// Words in `untested.tsv` at most: a new word comes with its test.
const UNTESTED_MAX: usize = 12;

/// Tests that load words without asking what they do.
const NO_EVIDENCE: [&str; 7] = [
    "tests/census",
    "tests/check_config",
    "tests/tidy.rs",
    "tests/keywords_have_tests.rs",
    "tests/fuzz_entries.rs",
    "tests/smuggling/",
    "src/language/testing/refusals",
];

const SECTIONS: [&str; 9] =
    ["global", "defaults", "frontend", "backend", "listen", "userlist", "peers", "resolvers", "http-errors"];

/// A line of a text that a test uses.
#[derive(PartialEq, Eq, Hash)]
struct Line {
    /// The section it stands in, where the text says so.
    section: Option<&'static str>,
    text: String,
}

impl Line {
    /// Its words, without the `no` or `default` before them.
    fn words(&self) -> Vec<&str> {
        let words: Vec<&str> = self.text.split_whitespace().collect();
        if words.len() > 1 && matches!(words[0], "no" | "default") { words[1..].to_vec() } else { words }
    }

    /// `name` stands in it: not within a longer word, and behind one of `before` or at the start.
    fn names(&self, name: &str, before: &str) -> bool {
        self.text.match_indices(name).any(|(at, _)| {
            let head = self.text[..at].chars().next_back();
            let tail = self.text[at + name.len()..].chars().next();
            head.is_none_or(|c| before.contains(c)) && tail.is_none_or(|c| !is_of_a_word(c))
        })
    }
}

fn is_of_a_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// The files of a folder and of those below it.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// What tests have in their strings and tables, line by line.
fn evidence() -> HashSet<Line> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    files(&root.join("tests"), &mut paths);
    files(&root.join("src"), &mut paths);
    let mut lines = HashSet::new();
    for path in paths {
        let name = path.strip_prefix(root).expect("below the root").to_str().expect("UTF-8");
        let kind = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if NO_EVIDENCE.iter().any(|part| name.starts_with(part)) || !matches!(kind, "rs" | "txt" | "tsv") {
            continue;
        }
        let of_tests = name.starts_with("tests/") || name.contains("tests") || name.contains("testing");
        let of_tests = of_tests || name.ends_with("expected.tsv");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        match kind {
            "rs" if of_tests => {
                let served: String = text.split_inclusive('\n').filter(|l| !l.contains("refused(\"")).collect();
                strings(&served).iter().for_each(|s| cut(s, &mut lines));
            }
            "rs" => {
                let inline = text.find("#[cfg(test)]\nmod tests {").map(|at| &text[at..]);
                inline.iter().for_each(|tests| strings(tests).iter().for_each(|s| cut(s, &mut lines)));
            }
            // The exchanges of the runtime API: who asks stands before what is asked.
            _ if name.contains("differential/cli/") => {
                let asked = text.lines().filter_map(|l| l.split_once(' ')).filter(|(who, _)| !who.starts_with('#'));
                asked.for_each(|(_, line)| cut(&line.replace("\\n", "\n"), &mut lines));
            }
            _ if of_tests => text.lines().for_each(|l| cut(l, &mut lines)),
            _ => {}
        }
    }
    lines
}

/// Adds the lines of a text.
fn cut(text: &str, lines: &mut HashSet<Line>) {
    let mut section = None;
    for line in text.lines() {
        let first = line.split_whitespace().next().unwrap_or_default();
        if !line.starts_with(' ') && text.len() > line.len() {
            section = SECTIONS.into_iter().find(|s| *s == first).or(section);
        }
        if !first.is_empty() {
            lines.insert(Line { section, text: line.trim().to_owned() });
        }
    }
}

/// The string literals of Rust source, escapes undone.
fn strings(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['"', '/', '\'']) {
        let (head, tail) = rest.split_at(at);
        if tail.starts_with("//") {
            rest = tail.find('\n').map_or("", |end| &tail[end..]);
        } else if tail.starts_with("'\"'") || tail.starts_with("'\\\"'") {
            rest = &tail[tail.find('"').map_or(1, |quote| quote + 2)..];
        } else if !tail.starts_with('"') {
            rest = &tail[1..];
        } else if head.ends_with("r#") {
            let end = tail[1..].find("\"#").map_or(tail.len(), |end| end + 1);
            found.push(tail[1..end].to_owned());
            rest = tail.get(end + 2..).unwrap_or_default();
        } else {
            let (text, length) = literal(&tail[1..]);
            found.push(text);
            rest = tail.get(1 + length..).unwrap_or_default();
        }
    }
    found
}

/// The text of a literal behind its quote, and its length in the source.
fn literal(source: &str) -> (String, usize) {
    let mut text = String::new();
    let mut chars = source.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (text, at + 1),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => text.push('\n'),
                Some('r' | 't') => text.push(' '),
                Some('\n') => {
                    let blank = chars.as_str().len() - chars.as_str().trim_start().len();
                    if blank > 0 {
                        chars.nth(blank - 1);
                    }
                }
                Some(other) => text.push(other),
                None => {}
            },
            c => text.push(c),
        }
    }
    (text, source.len())
}

/// Where samples and conditions begin.
const SAMPLES: &str = "[{!( ,";

/// Whether a line has a word of the census in its place.
fn mentions(kind: &str, name: &str, line: &Line) -> bool {
    let words = line.words();
    let first = words.first().copied().unwrap_or_default();
    let begins = |text: &str| {
        let wanted: Vec<&str> = text.split_whitespace().collect();
        words.starts_with(&wanted)
    };
    let has = |word: &str| words.contains(&word);
    let pair = |one: &str| words.windows(2).any(|w| w == [one, name]);
    match kind {
        // Words that mean something else in other sections have to stand in this one.
        "global" if matches!(name, "user" | "group" | "maxconn" | "log" | "description") => {
            begins(name) && line.section == Some("global")
        }
        "global" => begins(name) && matches!(line.section, None | Some("global")),
        "proxy" => begins(name) && !matches!(line.section, Some("global" | "userlist" | "peers" | "resolvers")),
        "section" => first == name && line.section == Some(first),
        "option" => begins(&format!("option {name}")),
        // Tests of TLS give the words after `ssl` alone.
        "bind-option" => {
            (matches!(first, "bind" | "default-bind" | "ssl" | "crt") || begins("stats socket")) && has(name)
        }
        "server-option" => {
            (matches!(first, "server" | "default-server" | "server-template" | "peer") || begins("add server"))
                && words[1..].contains(&name)
        }
        "fetch" | "acl-alias" => line.names(name, SAMPLES),
        "converter" => line.names(name, ","),
        // Or it stands in a list of them.
        "predefined-acl" if line.text == name => true,
        "predefined-acl" => (has("if") || has("unless")) && words.iter().any(|w| w.trim_start_matches('!') == name),
        "match-method" => pair("-m"),
        "acl-flag" => has(name),
        "acl-int-op" => words.windows(2).any(|w| w[0] == name && w[1].starts_with(|c: char| c.is_ascii_digit())),
        "log-tag" => line
            .text
            .match_indices(name)
            .any(|(at, _)| !line.text[at + name.len()..].starts_with(|c: char| c.is_ascii_alphanumeric())),
        "log-flag" => line.text.contains(name),
        "hash-type" => first == kind && has(name),
        "balance" | "mode" | "stats" | "compression" | "capture" | "filter" | "timeout" | "tcp-check"
        | "http-check" | "stick" => pair(kind),
        "cookie-arg" => first == "cookie" && has(name),
        "redirect-arg" => has("redirect") && has(name),
        "stick-table-arg" | "stick-table-type" => has("stick-table") && has(name),
        "stick-table-data" => has("stick-table") && line.names(name, " ,"),
        "check-connect-arg" => line.text.contains("-check connect") && has(name),
        "check-expect-arg" => line.text.contains("-check expect") && has(name),
        "http-check-send-arg" => line.text.contains("http-check send") && has(name),
        "compression-algo" => line.text.contains("compression algo") && has(name),
        "forwardfor-arg" => line.text.contains("option forwardfor") && has(name),
        "forwarded-arg" => line.text.contains("option forwarded") && has(name),
        "normalize-uri-arg" => pair("normalize-uri"),
        "http-reply-arg" => ["return", "deny", "tarpit", "http-error"].iter().any(|w| has(w)) && has(name),
        "log-arg" => first == "log" && has(name),
        "log-arg-format" => first == "log" && pair("format"),
        "log-target" => first == "log" && pair("log"),
        "service" => pair("use-service"),
        "userlist" => first == name && line.section == Some("userlist"),
        "userlist-arg" => matches!(first, "user" | "group") && has(name),
        "peers" | "resolvers" => begins(name) && line.section.is_none_or(|s| s == kind),
        "resolvers-hold" => pair("hold"),
        "cli" => asks(line, name),
        // The letters of an option, without what follows them.
        "cmdline" => has(name.split([' ', '<', '[', '=']).next().unwrap_or(name)),
        "cond-predicate" => line.text.contains(&format!("{name}(")),
        kind => match kind.strip_prefix("action:") {
            Some(phase) => line.text.match_indices(&format!("{phase} {name}")).any(|(at, found)| {
                let tail = line.text[at + found.len()..].chars().next();
                tail.is_none_or(|c| matches!(c, ' ' | '(') || c.is_ascii_digit())
            }),
            None => has(name),
        },
    }
}

/// A command of the runtime API stands in the line, alone or among others.
fn asks(line: &Line, name: &str) -> bool {
    let wanted: Vec<&str> = name.split(' ').take_while(|word| !word.starts_with(['<', '['])).collect();
    let whom = name.split(['<', ' ']).next().unwrap_or(name);
    line.text.split(';').any(|command| {
        let words: Vec<&str> = command.split_whitespace().collect();
        let Some(first) = words.first().filter(|w| w.starts_with('@')) else { return words.starts_with(&wanted) };
        words[1..].starts_with(&wanted) || whom.starts_with('@') && first.starts_with(whom)
    })
}

/// Rows of a list: kind and word.
fn rows(list: &'static str) -> BTreeSet<(&'static str, &'static str)> {
    let lines = list.lines().filter(|l| !l.starts_with('#') && !l.is_empty());
    lines
        .filter_map(|l| l.split_once('\t'))
        .map(|(kind, rest)| (kind, rest.split('\t').next().unwrap_or(rest)))
        .collect()
}

#[test]
fn every_word_of_the_first_two_tiers_stands_in_a_test() {
    let (refused, listed, evidence) = (rows(REFUSED), rows(UNTESTED), evidence());
    let mut wrong = Vec::new();
    for row in KEYWORDS.lines().skip(1) {
        let columns: Vec<&str> = row.split('\t').collect();
        let (kind, name, tier) = (columns[0], columns[1], columns[3]);
        if !matches!(tier, "T1" | "T2") || refused.contains(&(kind, name)) {
            continue;
        }
        let probe = name.split([' ', '<', '[', '=']).find(|part| !part.is_empty()).unwrap_or(name);
        let tested = evidence.iter().any(|line| line.text.contains(probe) && mentions(kind, name, line));
        match (tested, listed.contains(&(kind, name))) {
            (false, false) => wrong.push(format!("{kind}\t{name}\t{tier}: no test has it")),
            (true, true) => wrong.push(format!("{kind}\t{name}\thas a test: take it off the list")),
            (false, true) if tier == "T1" => wrong.push(format!("{kind}\t{name}\tis of the first tier")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{} words:\n{}", wrong.len(), wrong.join("\n"));
    assert!(listed.len() <= UNTESTED_MAX, "{} words are on the list, which had {UNTESTED_MAX}", listed.len());
}

#[test]
fn strings_of_a_test_are_read_as_it_reads_them() {
    let source =
        "let c = '\"'; // \"no\"\n f(\"bind :1 ssl\\n crt \\\"x\\\" \\\n     verify none\", r#\"raw \"text\"\"#);";
    assert_eq!(strings(source), ["bind :1 ssl\n crt \"x\" verify none", "raw \"text\""]);
}
