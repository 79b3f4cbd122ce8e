//! `-c` over broken and odd configurations of every stage: exit code, output, and HAProxy's texts with file and line.
//! The configurations and what is expected of them are data in `check_config/`; its README says how they were made.

mod common;

use common::program::{under_test, under_test_is_haproxy};
use std::path::PathBuf;
use std::process::Command;

macro_rules! cases {
    ($($test:ident: $name:literal,)*) => {
        pub const NAMES: &[&str] = &[$($name),*];
        $(#[test] fn $test() { crate::check($name); })*
    };
}

#[path = "check_config/cases.rs"]
mod cases;

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/check_config")
}

/// What is expected of one run, read from a `.expect` file.
#[derive(Default)]
struct Expected {
    is_decision: bool,
    code: i32,
    output: Vec<String>,
    messages: Vec<(&'static str, String)>,
    more: Vec<String>,
}

impl Expected {
    fn parse(text: &str) -> Expected {
        let mut expected = Expected::default();
        for line in text.lines() {
            let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
            match kind {
                "#" => expected.is_decision |= rest.starts_with("decision"),
                "exit" => expected.code = rest.parse().expect("an exit code"),
                "stdout" => expected.output.push(rest.to_string()),
                "alert" => expected.messages.push(("[ALERT]", rest.to_string())),
                "warning" => expected.messages.push(("[WARNING]", rest.to_string())),
                "notice" => expected.messages.push(("[NOTICE]", rest.to_string())),
                "more" => expected.more.push(rest.to_string()),
                _ => panic!("an expectation nobody understands: {line}"),
            }
        }
        expected
    }
}

fn check(name: &str) {
    let file = format!("{name}.cfg");
    let config = std::fs::read(directory().join(&file)).expect("the configuration");
    let expect = std::fs::read_to_string(directory().join(format!("{name}.expect"))).expect("its expectation");
    let expected = Expected::parse(&expect);
    if expected.is_decision && under_test_is_haproxy() {
        eprintln!("{name}: a decision of ringway's, not asked of a HAProxy");
        return;
    }
    let first_line = String::from_utf8_lossy(config.split(|b| *b == b'\n').next().unwrap_or_default()).into_owned();
    let arguments = first_line.strip_prefix("# args: ").unwrap_or("").split_whitespace().map(str::to_string);
    let run = Command::new(under_test())
        .arg("-c")
        .args(arguments.clone())
        .args(["-f", &file])
        .current_dir(directory())
        .env_remove("NOSUCH")
        .env_remove("LIST")
        .output()
        .expect("the program under test runs");
    let output = String::from_utf8_lossy(&run.stdout).into_owned();
    let errors = String::from_utf8_lossy(&run.stderr).into_owned();
    let context =
        format!("expected:\n{expect}\ngot exit {:?}\nstdout:\n{output}\nstderr:\n{errors}", run.status.code());

    assert_eq!(run.status.code(), Some(expected.code), "{name}: exit code; {context}");
    assert_eq!(output.lines().collect::<Vec<_>>(), expected.output, "{name}: standard output; {context}");
    for (severity, text) in &expected.messages {
        // HAProxy ends some messages with two dots.
        let text = text.trim_end_matches('.');
        let found = errors.lines().any(|line| line.starts_with(severity) && line.contains(text));
        assert!(found, "{name}: no {severity} with {text:?}; {context}");
    }
    for text in &expected.more {
        assert!(errors.lines().any(|line| line.contains(text)), "{name}: no line with {text:?}; {context}");
    }
    if arguments.clone().any(|argument| argument == "-q") {
        assert!(errors.is_empty(), "{name}: -q is not quiet; {context}");
    }
    // Warnings matter to who runs with -dW: none may be added where all else is well.
    if expected.code == 0 {
        let wanted = expected.messages.iter().filter(|(severity, _)| *severity == "[WARNING]").count();
        let given = errors.lines().filter(|line| line.starts_with("[WARNING]")).count();
        assert_eq!(given, wanted, "{name}: number of warnings; {context}");
    }
}

#[test]
fn every_configuration_has_a_test() {
    let mut names: Vec<String> = std::fs::read_dir(directory())
        .expect("the directory")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str().and_then(|n| n.strip_suffix(".cfg").map(str::to_string)))
        .collect();
    names.sort();
    let mut tested: Vec<String> = cases::NAMES.iter().map(|name| name.to_string()).collect();
    tested.sort();
    assert_eq!(names, tested, "cases.rs and the directory differ");
}
