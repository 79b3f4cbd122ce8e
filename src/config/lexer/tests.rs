//! Lines and what HAProxy 3.4.0 makes of them; each case was run there. Expected words are joined by `|`.

use super::*;

fn env() -> Environment {
    let mut env = Environment::default();
    let variables = [
        ("HOME", "/root"),
        ("EMPTY", ""),
        ("LIST", "one two  three"),
        ("SP", " a  b "),
        ("Q", "a\"b c\\d"),
        ("_X", ""),
    ];
    for (name, value) in variables {
        env.set(name, value);
    }
    env
}

fn cut(raw: &[u8]) -> Result<Lexed, LexError> {
    lex(raw, Place { file: "w.cfg", line: 2, section: "global" }, &env())
}

fn words(raw: &str) -> String {
    match cut(raw.as_bytes()) {
        Ok(lexed) => lexed.words.iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join("|"),
        Err(error) => panic!("{raw}: {error:?}"),
    }
}

#[test]
fn words_as_haproxy_cuts_them() {
    let cases = [
        // Blanks and comments.
        ("  a b\tc ", "a|b|c"),
        ("foo\rbar\r", "foo|bar"),
        ("foo\u{b}bar\u{c}baz", "foo|bar|baz"),
        ("foo#x", "foo"),
        ("foo # '", "foo"),
        ("foo 'a'#b", "foo|a"),
        ("# x", ""),
        ("a;b {foo", "a;b|{foo"),
        // Escapes.
        (r"foo\ bar", "foo bar"),
        (r#"foo\"x"#, "foo\"x"),
        (r"foo\\x", r"foo\x"),
        (r"foo\'x", "foo'x"),
        (r"foo\#x", "foo#x"),
        (r"foo\x41", "fooA"),
        (r"foo\nbar", "foo\nbar"),
        (r"foo\tbar", "foo\tbar"),
        (r"foo\rbar", "foo\rbar"),
        (r"foo\qbar", r"foo\qbar"),
        (r"foo\$bar", r"foo\$bar"),
        (r"foo\{bar", r"foo\{bar"),
        (r"foo\x00bar x", "foo|x"),
        (r"foo\x7f", "foo\u{7f}"),
        ("foo\\\tbar", "foo\\|bar"),
        ("foo\\", "foo\\"),
        ("foo \\", "foo|\\"),
        ("foo\\\r", "foo\\"),
        // Weak quotes.
        (r#""foo bar""#, "foo bar"),
        (r#""foo\qbar""#, r"foo\qbar"),
        (r#""foo\"bar""#, "foo\"bar"),
        (r#""foo\'bar""#, "foo'bar"),
        (r#""foo\#bar""#, "foo#bar"),
        (r#""foo\ bar""#, "foo bar"),
        (r#""foo\\bar""#, r"foo\bar"),
        (r#""foo\nbar""#, "foo\nbar"),
        (r#""\{foo""#, r"\{foo"),
        (r#""foo\%""#, r"foo\%"),
        (r##""#foo""##, "#foo"),
        (r#""foo'bar'baz""#, "foo'bar'baz"),
        (r#"foo a""b"#, "foo|ab"),
        (r#"foo ""b"#, "foo|b"),
        // Strong quotes.
        ("'foo bar'", "foo bar"),
        (r"'foo\nbar'", r"foo\nbar"),
        (r"'foo\'bar", r"foo\bar"),
        (r#"'foo"bar"baz'"#, "foo\"bar\"baz"),
        ("'#foo'", "#foo"),
        // Variables.
        ("$HOME", "$HOME"),
        (r#""$HOME""#, "/root"),
        (r#""${HOME}""#, "/root"),
        (r#""${HOMEX-def}""#, "def"),
        (r#""${HOME-def}""#, "/root"),
        (r#""${EMPTY-def}"x"#, "x"),
        (r#""${HOMEX}"x"#, "x"),
        (r#"pre"$HOME"post"#, "pre/rootpost"),
        (r#""\$HOME""#, "$HOME"),
        (r"\$HOME", r"\$HOME"),
        ("'$HOME'", "$HOME"),
        (r#""$HOME\x41""#, "/rootA"),
        (r#""$HOME-y""#, "/root-y"),
        (r#""$HOMEX-y""#, "-y"),
        (r#""$HOME$HOME""#, "/root/root"),
        (r#""${HOMEX-a b}""#, "a b"),
        (r#""${HOMEX-$HOME}""#, "$HOME"),
        (r#""${HOMEX-}"x"#, "x"),
        (r#""${HOMEX-a\"b}""#, r#"a\"b"#),
        (r#""${HOMEX-a'b}""#, "a'b"),
        (r#""${HOMEX-a}b}""#, "ab}"),
        (r#""${HOMEX-a\}b}""#, r"a\b}"),
        (r#""${HOMEX-a\x41}""#, r"a\x41"),
        (r#""$Q""#, r#"a"b c\d"#),
        (r#""$_X"y"#, "y"),
        // Lists.
        (r#""${HOME[*]}""#, "/root"),
        (r#""${LIST}""#, "one two  three"),
        (r#""${LIST[*]}""#, "one|two|three"),
        (r#"x"${LIST[*]}"y"#, "xone|two|threey"),
        (r#""${SP[*]}""#, "a|b"),
        (r#""a${SP[*]}b""#, "a|a|b|b"),
        (r#"a" ${LIST[*]}""#, "a one|two|three"),
        (r#""$LIST[*]""#, "one two  three[*]"),
        (r#""${UNSET[*]-p q}""#, "p|q"),
        (r#""${UNSET-p q[*]}""#, "p q[*]"),
        (r#""${UNSET[*]-}y""#, "y"),
        (r#"foo "${UNSET[*]}" bar"#, "foo|bar"),
        (r#"foo "${EMPTY[*]}""#, "foo"),
        (r#"foo x"${EMPTY[*]}"y"#, "foo|xy"),
        (r#""${Q[*]}""#, r#"a"b|c\d"#),
        // Pseudo-variables.
        (r#""${.FILE}""#, "w.cfg"),
        (r#""${.LINE}""#, "2"),
        (r#""${.SECTION}""#, "global"),
        (r#""$.LINE""#, "2"),
    ];
    for (raw, wanted) in cases {
        assert_eq!(words(raw), wanted, "{raw}");
    }
}

#[test]
fn bad_lines_have_haproxys_text_and_caret() {
    let cases = [
        ("  foo\"", "unmatched quote at position 6:\n  foo\"\n     ^"),
        ("  foo 'abc", "unmatched quote at position 7:\n  foo 'abc\n      ^"),
        ("\t\tfoo \"abc", "unmatched quote at position 7:\n  foo \"abc\n      ^"),
        ("foo\tx\t\"abc", "unmatched quote at position 7:\n  foo x \"abc\n        ^"),
        ("foo \u{1}\"abc", "unmatched quote at position 6:\n  foo ?\"abc\n       ^"),
        ("foo \"\\", "unmatched quote at position 5:\n  foo \"\\\n      ^"),
        ("\"$HOME", "unmatched quote at position 1:\n  \"$HOME\n  ^"),
        ("  foo\\xZZ", "truncated or invalid hexadecimal sequence at position 6:\n  foo\\xZZ\n     ^"),
        ("foo \"a\\x4", "truncated or invalid hexadecimal sequence at position 7:\n  foo \"a\\x4\n        ^"),
        ("  \"${A:-b}\"", "unmatched brace in environment variable name at position 5:\n  \"${A:-b}\"\n    ^"),
        ("\"${HOME-", "unmatched brace in environment variable name at position 3:\n  \"${HOME-\n    ^"),
        ("\"${HOME[*]", "unmatched brace in environment variable name at position 3:\n  \"${HOME[*]\n    ^"),
        ("  \"${1A}\"", "forbidden first char in environment variable name at position 6:\n  \"${1A}\"\n     ^"),
        ("  \"$ x\"", "forbidden first char in environment variable name at position 5:\n  \"$ x\"\n    ^"),
        ("  \"${.FOO}\"", "forbidden first char in environment variable name at position 6:\n  \"${.FOO}\"\n     ^"),
        (
            "  \"${LIST[0]}\"",
            "truncated or invalid word expansion sequence at position 10:\n  \"${LIST[0]}\"\n         ^",
        ),
    ];
    for (raw, wanted) in cases {
        let error = cut(raw.as_bytes()).expect_err(raw);
        assert_eq!(error.text(raw.as_bytes()), wanted, "{raw}");
    }
}

#[test]
fn sixty_five_words_are_too_many() {
    let numbers = |n: usize| (1..=n).map(|i| i.to_string()).collect::<Vec<_>>().join(" ");
    assert_eq!(cut(format!(" foo {}", numbers(63)).as_bytes()).map(|l| l.words.len()), Ok(64));
    let raw = format!(" foo {} x", numbers(63));
    let error = cut(raw.as_bytes()).expect_err("65 words");
    assert_eq!(error.text(raw.as_bytes()), "too many words, truncating after word 64, position 182: <63>.");
}

#[test]
fn empty_words_are_told_where_haproxy_tells_them() {
    let cases = [
        ("foo ''", 1, 6, None),
        ("foo \"\"\"\"", 1, 6, None),
        ("foo \"\" \"\"", 1, 6, None),
        ("foo \"$EMPTY\" bar", 1, 12, None),
        ("foo \"$EMPTY\"\"$EMPTY\" bar", 1, 12, None),
        ("foo \"${UNSET}\" x", 1, 8, Some("UNSET")),
        ("foo \"${UNSET-}\"", 1, 15, None),
        ("foo a \"\"", 2, 8, None),
    ];
    for (raw, index, column, variable) in cases {
        let wanted = Empty { index, column, variable: variable.map(str::to_owned) };
        assert_eq!(cut(raw.as_bytes()).map(|l| l.empty), Ok(Some(wanted)), "{raw}");
    }
    assert_eq!(cut(b"\"\" x").map(|l| (l.empty, l.words[0].text.len())), Ok((None, 0)));
    let text = cut(b" foo \"\"").expect("words").empty.expect("empty").text(b" foo \"\"");
    let start = "argument number 1 at position 7 is empty and marks the end of the argument list:\n  foo \"\"\n       ^\nAborting to";
    assert!(text.starts_with(start), "{text}");
}

#[test]
fn long_lines_are_shown_around_the_column() {
    let raw = |before: usize, after: usize| format!("{}\"{}", "a".repeat(before), "b".repeat(after)).into_bytes();
    let near = pointed(&raw(79, 100), 80);
    assert_eq!(near, format!("  {}\"\n{}^", "a".repeat(79), " ".repeat(81)));
    let far = pointed(&raw(80, 100), 81);
    assert_eq!(far, format!("  ...{}\"{}...\n{}^", "a".repeat(37), "b".repeat(36), " ".repeat(42)));
    let short = pointed(&raw(80, 3), 81);
    assert_eq!(short, format!("  ...{}\"bbb...\n{}^", "a".repeat(37), " ".repeat(42)));
}

#[test]
fn columns_point_at_the_start_of_words() {
    let columns: Vec<u32> =
        cut(br#"  a\ b "c d" \x41 pre"x" "$HOME""#).expect("words").words.iter().map(|w| w.column).collect();
    assert_eq!(columns, [3, 8, 14, 19, 26]);
}

#[test]
fn bytes_that_are_no_utf8_survive() {
    let lexed = cut(b"foo\\xff \xe9t\xc3\xa9 \\xc3\\xa9").expect("words");
    assert_eq!(lexed.words[0].bytes().as_ref(), b"foo\xff");
    assert_eq!(lexed.words[1].bytes().as_ref(), b"\xe9t\xc3\xa9");
    assert_eq!(lexed.words[2].text, "é");
}

proptest::proptest! {
    #[test]
    fn no_line_can_panic(raw in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        if let Err(error) = cut(&raw) {
            error.text(&raw);
        }
    }

    #[test]
    fn hostile_quoting_cannot_panic(raw in "[ \"'\\\\${}\\[*\\]\\-xA.#a]{0,60}") {
        match cut(raw.as_bytes()) {
            Err(error) => drop(error.text(raw.as_bytes())),
            Ok(lexed) => drop(lexed.empty.map(|e| e.text(raw.as_bytes()))),
        }
    }

    #[test]
    fn every_byte_string_survives(raw in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..50)) {
        let text = text_of(&raw);
        proptest::prop_assert_eq!(bytes_of(&text).into_owned(), raw);
    }
}
