//! The house's rules, held against its source: who may use whom, where `unsafe` and the clock live, and that nothing is
//! left half done.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Each floor and the floors it must not use.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("base", &["engine", "proto", "language", "model", "config", "dataplane", "services", "admin", "control"]),
    ("engine", &["proto", "language", "model", "config", "dataplane", "services", "admin", "control"]),
    ("proto", &["engine", "language", "model", "config", "dataplane", "services", "admin", "control"]),
    ("language", &["engine", "model", "config", "dataplane", "services", "admin", "control"]),
    ("model", &["engine", "config", "dataplane", "services", "admin", "control"]),
    ("config", &["engine", "dataplane", "services", "admin", "control"]),
    ("dataplane", &["config", "services", "admin", "control"]),
    ("services", &["config", "admin", "control"]),
    ("admin", &["config", "control"]),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the source") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Path below `src` and text of every source file.
fn house() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let name = |p: &Path| p.strip_prefix(&root).expect("below src").to_string_lossy().into_owned();
    files.iter().map(|p| (name(p), std::fs::read_to_string(p).expect("readable source"))).collect()
}

/// The code of a line, without its comment.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// Lines of code that `wrong` objects to, as `file:line: text`.
fn offences(wrong: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (file, text) in house() {
        for (number, line) in text.lines().enumerate() {
            if wrong(&file, code(line)) {
                found.push(format!("src/{file}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    found
}

fn is_test(file: &str) -> bool {
    file.contains("tests") || file.contains("testing") || file.contains("fixture")
}

#[test]
fn floors_use_only_the_floors_above_them_in_the_map() {
    let found = offences(|file, line| {
        let floor = file.split('/').next().unwrap_or_default();
        let Some((_, forbidden)) = FORBIDDEN.iter().find(|(f, _)| *f == floor) else { return false };
        if is_test(file) {
            return false;
        }
        forbidden.iter().any(|other| line.contains(&format!("crate::{other}::")))
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn unsafe_code_lives_in_the_engine() {
    let found = offences(|file, line| {
        !file.starts_with("engine/")
            && (line.contains("unsafe {") || line.contains("unsafe fn") || line.contains("unsafe impl"))
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn clocks_are_read_in_one_place() {
    let found = offences(|file, line| {
        file != "base/clock.rs"
            && !is_test(file)
            && (line.contains("Instant::now") || line.contains("SystemTime::now"))
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn nothing_is_left_to_be_done() {
    let marks = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("TO", "DO"), concat!("FIX", "ME")];
    let found = offences(|_, line| marks.iter().any(|m| line.contains(m)));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let bare: Vec<String> =
        house().into_iter().filter(|(_, t)| !t.trim_start().starts_with("//!")).map(|(f, _)| f).collect();
    assert!(bare.is_empty(), "no header: {}", bare.join(" "));
}

/// Settings that are read from the configuration and that nothing behind it reads, with the reason. Whatever else is
/// accepted has to do something.
const UNREAD: &[(&str, &str)] = &[
    ("busy_polling", "told by a notice"),
    ("unix_bind", "the defaults of later bind lines"),
    ("expose_deprecated_directives", "decides what the load warns about"),
    ("checkcache", "refused by name"),
    ("use_fcgi_app", "refused by name"),
    ("zero_rtt_rejected", "no early data is ever sent to a server"),
    ("pool_low_conn", "no thread takes another's idle connection"),
    ("proxy_v2_tlvs", "refused by name"),
    ("strict_maxconn", "refused by name"),
    ("reuse_pool", "refused by name"),
    ("show_modules", "refused by name"),
    ("default_dh_param", "told by a notice"),
    ("filter_legacy", "decides what the load warns about"),
];

#[test]
fn every_setting_of_the_model_is_read_by_somebody() {
    let house = house();
    let readers: Vec<(&String, String)> = house
        .iter()
        .filter(|(file, _)| !file.starts_with("config/keyword/") && !is_test(file))
        .map(|(file, text)| (file, text.lines().map(code).collect::<Vec<_>>().join("\n")))
        .collect();
    let is_read = |field: &str| {
        let word = format!(".{field}");
        readers.iter().any(|(_, text)| {
            text.match_indices(&word).any(|(at, _)| {
                let after = &text[at + word.len()..];
                let whole = !after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
                whole && !(after.starts_with(" = ") || after.starts_with('('))
            })
        })
    };
    let mut unread = Vec::new();
    for file in ["global", "proxy", "frontend", "backend", "server", "bind", "check", "stats", "tls", "compression"] {
        for line in house[&format!("model/{file}.rs")].lines() {
            let field = line.strip_prefix("    pub ").and_then(|l| l.split_once(':')).map(|(name, _)| name);
            let Some(field) = field.filter(|f| !f.contains(['(', ' '])) else { continue };
            if !is_read(field) && !UNREAD.iter().any(|(name, _)| *name == field) {
                unread.push(format!("model/{file}.rs: {field}"));
            }
        }
    }
    assert!(unread.is_empty(), "nobody reads\n{}", unread.join("\n"));
    let stale: Vec<_> = UNREAD.iter().filter(|(name, _)| is_read(name)).map(|(name, _)| *name).collect();
    assert!(stale.is_empty(), "read after all: {stale:?}");
}
