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
fn floors_use_only_the_floors_below_them() {
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
