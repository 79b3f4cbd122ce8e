//! Conditions and blocks and what HAProxy 3.4.0 makes of them; each case was run there, but for the ones that ask
//! what the program is linked to.

use super::*;
use crate::{
    base::origin::Origin,
    config::lexer::{Place, lex},
};

fn env() -> Environment {
    let mut env = Environment::default();
    env.set("HOME", "/root");
    env.set("EMPTY", "");
    env
}

fn line(number: u32, raw: &str) -> Line {
    let place = Place { file: "w.cfg", line: number, section: "" };
    let words = lex(raw.as_bytes(), place, &env()).expect("a good line").words;
    Line { origin: Origin::new("w.cfg", number), raw: raw.to_owned(), words }
}

/// The lines that are left of a text, and what is said about it.
fn read(text: &str, diag: bool) -> (String, Vec<String>) {
    let (mut left, mut diagnostics, mut preprocessor) = (Vec::new(), Diagnostics::new(diag), Preprocessor::default());
    for (at, raw) in text.lines().enumerate() {
        let line = line(at as u32 + 1, raw);
        match preprocessor.take(&line, &FACTS, &env(), &mut diagnostics) {
            Taken::Line => left.push(raw),
            Taken::Stop => break,
            Taken::Directive | Taken::Excluded => {}
        }
    }
    let said = diagnostics.messages().iter().map(|m| format!("{:?} {}", m.severity, m.text)).collect();
    (left.join(" "), said)
}

#[test]
fn conditions_as_haproxy_values_them() {
    let cases = [
        ("", false),
        ("0", false),
        ("00", false),
        ("1", true),
        ("-1", true),
        ("12", true),
        ("defined(HOME)", true),
        ("!defined(HOME)", false),
        ("defined(NOPE)", false),
        ("defined", false),
        ("defined()", false),
        ("defined( HOME )", false),
        ("defined(HOME)&&0", false),
        ("(1)", true),
        ("((1))", true),
        ("!!1", true),
        ("! 1", false),
        ("1 || 0 && 0", true),
        ("(1 || 0) && 0", false),
        ("0 && 1 || 1", true),
        ("streq(a,a)", true),
        ("streq(a b,a b)", true),
        ("streq(/root, 1)", false),
        ("streq(\"a,b\",\"a,b\")", true),
        ("strneq(a,b)", true),
        ("strstr(abc,b)", true),
        ("version_atleast(3.4)", true),
        ("version_atleast(3.4.1)", false),
        ("version_atleast(3.4-dev5)", true),
        ("version_atleast(3.5-dev0)", false),
        ("version_before(3.4.0)", false),
        ("version_before(3.4.1)", true),
        ("version_atleast(abc)", true),
        ("version_atleast()", true),
        ("feature(OPENSSL)", true),
        ("feature(FOO)", false),
        ("feature()", false),
        ("feature(LUA)", false),
        ("enabled(SPLICE)", true),
        ("enabled(splice)", false),
        ("enabled(POLL) && enabled(EPOLL)", true),
        ("enabled(KQUEUE)", false),
        ("enabled(SERVER-SSL-VERIFY-NONE)", false),
        ("openssl_version_atleast(1.1.0)", true),
        ("openssl_version_atleast(3.0.0)", false),
        ("openssl_version_before(3.0.0)", true),
        ("ssllib_name_startswith(OpenSSL)", false),
    ];
    for (text, wanted) in cases {
        assert_eq!(evaluate(text, &FACTS, &env()), Ok(wanted), "{text}");
    }
}

#[test]
fn broken_conditions_have_haproxys_text() {
    let used = "used in conditional expression in '.if'";
    let cases = [
        ("12x", "unexpected character 'x' at the end of conditional expression '12x' in '.if' at position 3".to_owned(), 8),
        ("1 2", "unexpected character '2' at the end of conditional expression '1 2' in '.if' at position 3".into(), 8),
        ("1 & 1", "unexpected character '&' at the end of conditional expression '1 & 1' in '.if' at position 3".into(), 8),
        ("foo(bar)", "unparsable conditional expression 'foo(bar)' in '.if' at position 1".into(), 6),
        ("defined(HOME) &&", "unparsable conditional expression '&&' in '.if' at position 15".into(), 20),
        ("&&", "unparsable conditional expression '&&' in '.if' at position 1".into(), 6),
        ("1 || foo", "unparsable conditional expression 'foo' in '.if' at position 6".into(), 11),
        ("0 && foo(", "unparsable conditional expression 'foo(' in '.if' at position 6".into(), 11),
        ("true", "unparsable conditional expression 'true' in '.if' at position 1".into(), 6),
        (")", "unparsable conditional expression ')' in '.if' at position 1".into(), 6),
        ("!", "unparsable conditional expression '!' in '.if' at position 1".into(), 6),
        ("(", "unparsable conditional expression '(' in '.if' at position 1".into(), 6),
        ("()", "unparsable conditional expression ')' in '.if' at position 2".into(), 7),
        ("1 &&(", "unparsable conditional expression '(' in '.if' at position 5".into(), 10),
        ("1 ||", "unparsable conditional expression '1 ||' in '.if' at position 3".into(), 8),
        ("1 && (1 || foo)", "unparsable conditional expression 'foo)' in '.if' at position 12".into(), 17),
        ("(1 2)", "expected ')' after conditional expression '(1 2)' in '.if' at position 1".into(), 6),
        ("!(1", "expected ')' after conditional expression '!(1' in '.if' at position 1".into(), 6),
        (
            "defined x",
            "unexpected character 'x' at the end of conditional expression 'defined x' in '.if' at position 9".into(),
            14,
        ),
        ("(1", "expected ')' after conditional expression '(1' in '.if' at position 1".into(), 6),
        ("defined(a,b)", format!("expected ')' before ',b)' in argument 1 of predicate 'defined' {used} at position 10"), 15),
        ("streq(a,b,c)", format!("expected ')' before ',c)' in argument 1 of predicate 'streq' {used} at position 10"), 15),
        (
            "streq(a)",
            format!("missing arguments (got 1/2), type 'string' expected in argument 1 of predicate 'streq' {used} at position 8"),
            13,
        ),
        (
            "defined(HOME) && defined(X",
            format!("expected ')' in argument 1 of predicate 'defined' {used} at position 27"),
            32,
        ),
        (
            "openssl_version_atleast(abc)",
            "invalid argument to conditional expression predicate 'openssl_version_atleast': 'abc' in '.if' at position 29"
                .into(),
            34,
        ),
    ];
    for (condition, wanted, caret) in cases {
        let (_, said) = read(&format!(".if {condition}\n.endif"), false);
        let text = format!("Alert config : parsing [w.cfg:1]: {wanted}:\n  .if {condition}\n{}^", " ".repeat(caret));
        assert_eq!(said, [text], "{condition}");
    }
}

#[test]
fn check_condition_has_haproxys_exit_codes() {
    let check = |text| check_condition(text, &FACTS, &env());
    assert_eq!((check("1"), check("0"), check("")), ((0, None), (1, None), (1, None)));
    let text = "Failed to evaluate condition: unparsable conditional expression 'foo'";
    assert_eq!(check("foo"), (2, Some(text.to_owned())));
}

#[test]
fn one_branch_of_a_block_is_read() {
    let block = |a: u8, b: u8| format!(".if {a}\nx\n.elif {b}\ny\n.else\nz\n.endif\nend");
    assert_eq!(read(&block(1, 1), false).0, "x end");
    assert_eq!(read(&block(0, 1), false).0, "y end");
    assert_eq!(read(&block(0, 0), false).0, "z end");
    let nested = ".if 0\n.if 1\na\n.else\nb\n.endif\n.else\n.if 0\nc\n.elif 1\nd\n.endif\n.endif\n";
    assert_eq!(read(nested, false).0, "d");
}

#[test]
fn what_is_excluded_is_not_judged() {
    let (left, said) = read(
        ".if 0\n.foo\n.alert x\n.if garbage(\n.elif garbage(\n.endif\n.endif\n.if 1\n.elif foo(bar)\n.endif",
        false,
    );
    assert_eq!((left.as_str(), said.len()), ("", 0));
}

#[test]
fn misplaced_directives_are_told() {
    let cases = [
        (".endif", 1, "lone '.endif' with no matching '.if'."),
        (".else", 1, "lone '.else' with no matching '.if'."),
        (".elif 1", 1, "lone '.elif' with no matching '.if'."),
        (".if 1\n.else\n.else\n.endif", 3, "'.else' after '.else' is not permitted."),
        (".if 1\n.else\n.elif 1\n.endif", 3, "'.elif' after '.else' is not permitted."),
        (".if 1\n.else foo\n.endif", 2, "Unexpected argument 'foo' for '.else'."),
        (".foo", 1, "unknown directive '.foo'."),
        (".notice a b", 1, "Unexpected argument 'b' for '.notice'. Use quotes if the message should contain spaces."),
    ];
    for (text, number, wanted) in cases {
        assert_eq!(read(text, false).1, [format!("Alert config : parsing [w.cfg:{number}]: {wanted}")], "{text}");
    }
}

#[test]
fn messages_by_severity() {
    let text = ".notice \"a b\"\n.warning x\n.diag y\n.notice\n.alert z\n.notice after";
    let wanted = ["Notice config : parsing [w.cfg:1]: 'a b'.", "Warning config : parsing [w.cfg:2]: 'x'."];
    let tail = ["Notice config : parsing [w.cfg:4]: ''.", "Alert config : parsing [w.cfg:5]: 'z'."];
    assert_eq!(read(text, false).1, [&wanted[..], &tail[..]].concat());
    let diag = ["Diag config : parsing [w.cfg:3]: 'y'."];
    assert_eq!(read(text, true).1, [&wanted[..], &diag[..], &tail[..]].concat());
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    assert_eq!(evaluate(&("!".repeat(100_000) + "1"), &FACTS, &env()), Ok(true));
    assert!(evaluate(&"(".repeat(100_000), &FACTS, &env()).is_err());
}

proptest::proptest! {
    #[test]
    fn no_condition_can_panic(text in "[ !&|()0-9a-z,\"'\\\\é]{0,40}") {
        let _ = evaluate(&text, &FACTS, &env());
        let _ = evaluate(&format!("streq({text})"), &FACTS, &env());
    }
}
