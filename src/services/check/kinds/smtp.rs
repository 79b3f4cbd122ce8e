//! `option smtpchk`: banner, HELO or EHLO, QUIT (RFC 5321); every answer must be of the 2xx kind.

use super::{Judged, Step, connect, expect, send};
use crate::model::state::health::CheckStatus;
use crate::services::check::text::first_line;

pub fn steps(hello: &str, domain: &str) -> Vec<Step> {
    let greeting = format!("{hello} {domain}\r\n").into_bytes();
    vec![connect(), expect(banner), send(greeting), expect(greeted), send(b"QUIT\r\n".to_vec()), expect(bye)]
}

/// The number an answer begins with.
fn code(input: &[u8]) -> u16 {
    match input {
        [a, b, c, ..] if input[..3].iter().all(u8::is_ascii_digit) => {
            [a, b, c].iter().fold(0, |n, d| n * 10 + u16::from(**d - b'0'))
        }
        _ => 0,
    }
}

/// What stands behind the number.
fn words(input: &[u8]) -> &[u8] {
    first_line(input).get(4..).unwrap_or_default()
}

fn refused(input: &[u8]) -> Judged {
    Judged::failed(CheckStatus::L7Status, code(input), words(input))
}

fn banner(input: &[u8], last: bool) -> Judged {
    if !is_line(input) && !last {
        return Judged::Wait;
    }
    // A banner of several lines is refused, as HAProxy refuses it.
    match input {
        [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b' ' | b'\r' | b'\n', ..] if input[0] == b'2' => Judged::Next,
        [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b' ' | b'\r' | b'\n', ..] => refused(input),
        _ => Judged::failed(CheckStatus::L7Response, 0, first_line(input)),
    }
}

/// A whole line: HAProxy judges four bytes, and takes the words from what happens to be there.
fn is_line(input: &[u8]) -> bool {
    memchr::memchr(b'\n', input).is_some()
}

fn is_good(input: &[u8]) -> bool {
    matches!(input, [b'2', b'0'..=b'9', b'0'..=b'9', b' ' | b'-' | b'\r' | b'\n', ..])
}

fn greeted(input: &[u8], last: bool) -> Judged {
    match (is_good(input), last) {
        (true, _) => Judged::Next,
        (false, true) => refused(input),
        // HAProxy waits for a better answer until the timeout.
        (false, false) => Judged::Wait,
    }
}

fn bye(input: &[u8], last: bool) -> Judged {
    if !is_line(input) && !last {
        return Judged::Wait;
    }
    if is_good(input) { Judged::passed(code(input), words(input)) } else { refused(input) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_a_mail_server() {
        assert_eq!(banner(b"220 hi\r\n", false), Judged::Next);
        assert_eq!(banner(b"220\r\n", false), Judged::Next);
        assert_eq!(banner(b"22", false), Judged::Wait);
        assert_eq!(banner(b"421 busy now\r\n", false), Judged::failed(CheckStatus::L7Status, 421, b"busy now"));
        assert_eq!(banner(b"220-a\r\n220 b\r\n", false), Judged::failed(CheckStatus::L7Response, 0, b"220-a"));
        assert_eq!(banner(b"garbage\r\n", false), Judged::failed(CheckStatus::L7Response, 0, b"garbage"));
        assert_eq!(banner(b"", true), Judged::failed(CheckStatus::L7Response, 0, b""));
        assert_eq!(greeted(b"250-x\r\n250 ok\r\n", false), Judged::Next);
        assert_eq!(greeted(b"500 no\r\n", false), Judged::Wait);
        assert_eq!(greeted(b"garbage\r\n", true), Judged::failed(CheckStatus::L7Status, 0, b"age"));
        assert_eq!(bye(b"221 bye\r\n", false), Judged::passed(221, b"bye"));
        assert_eq!(bye(b"500 what\r\n", false), Judged::failed(CheckStatus::L7Status, 500, b"what"));
        assert_eq!(bye(b"", true), Judged::failed(CheckStatus::L7Status, 0, b""));
        for judge in [banner, greeted, bye] {
            super::super::tests::holds_on_any_cut(judge, b"250-x\r\n250 ok\r\n");
        }
    }
}
