//! `option ldap-check`: an anonymous simple bind of LDAPv3 (RFC 4511 §4.2), and the result code of its response.

use super::{Judged, Step, connect, expect, send};
use crate::model::state::health::CheckStatus;

/// LDAPMessage { 1, BindRequest { 3, "", simple "" } }
const BIND: &[u8] = b"0\x0c\x02\x01\x01`\x07\x02\x01\x03\x04\x00\x80\x00";
/// Bytes of the shortest bind response.
const RESPONSE_MIN: usize = 14;

pub fn steps() -> Vec<Step> {
    vec![connect(), send(BIND.to_vec()), expect(judge)]
}

fn judge(input: &[u8], last: bool) -> Judged {
    let other = || Judged::failed(CheckStatus::L7Response, 0, b"Not LDAPv3 protocol");
    if input.len() < RESPONSE_MIN {
        return match (last, input.is_empty()) {
            (false, _) => Judged::Wait,
            (true, true) => other(),
            (true, false) => Judged::failed(CheckStatus::L7Response, 0, b""),
        };
    }
    match result_code(input) {
        Some(0) => Judged::passed(0, b""),
        Some(code) => {
            let info = b"See RFC: http://tools.ietf.org/html/rfc4511#section-4.1.9";
            Judged::failed(CheckStatus::L7Status, u16::from(code), info)
        }
        None => other(),
    }
}

/// The result code of a BindResponse to message 1.
fn result_code(input: &[u8]) -> Option<u8> {
    let message = content(input, 0x30)?;
    let response = content(message.strip_prefix(&[0x02, 0x01, 0x01])?, 0x61)?;
    match response {
        [0x0a, 0x01, code, ..] => Some(*code),
        _ => None,
    }
}

/// What follows tag and length (X.690 §8.1.3: short form, or long form of up to four bytes).
fn content(input: &[u8], tag: u8) -> Option<&[u8]> {
    let rest = input.strip_prefix(&[tag])?;
    let (&length, rest) = rest.split_first()?;
    match length {
        0..=0x7f => Some(rest),
        0x81..=0x84 => rest.get(usize::from(length & 0x0f)..),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_a_directory() {
        let ok: &[u8] = b"0\x0c\x02\x01\x01a\x07\x0a\x01\x00\x04\x00\x04\x00";
        assert_eq!(judge(ok, false), Judged::passed(0, b""));
        let long = b"0\x84\0\0\0\x10\x02\x01\x01a\x84\0\0\0\x07\x0a\x01\x00\x04\x00\x04\x00";
        assert_eq!(judge(long, false), Judged::passed(0, b""));
        let refused = b"0\x0c\x02\x01\x01a\x07\x0a\x01\x31\x04\x00\x04\x00";
        let info = b"See RFC: http://tools.ietf.org/html/rfc4511#section-4.1.9";
        assert_eq!(judge(refused, false), Judged::failed(CheckStatus::L7Status, 49, info));
        let other = Judged::failed(CheckStatus::L7Response, 0, b"Not LDAPv3 protocol");
        assert_eq!(judge(b"0\x0c\x02\x01\x02a\x07\x0a\x01\x00\x04\x00\x04\x00", false), other);
        assert_eq!(judge(b"garbagegarbagegarbage", false), other);
        assert_eq!(judge(b"", true), other);
        assert_eq!(judge(&ok[..13], false), Judged::Wait);
        assert_eq!(judge(&ok[..3], true), Judged::failed(CheckStatus::L7Response, 0, b""));
        super::super::tests::holds_on_any_cut(judge, long);
    }
}
