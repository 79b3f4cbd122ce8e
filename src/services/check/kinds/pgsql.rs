//! `option pgsql-check`: a startup packet of protocol 3.0; any request for authentication is good.

use super::{Judged, Step, connect, expect, send};
use crate::model::state::health::CheckStatus;
use crate::services::check::text::c_string;

/// Kinds of AuthenticationRequest that a server may answer with (PostgreSQL manual, "Message Formats").
const AUTHENTICATIONS: [u32; 9] = [0, 2, 3, 4, 5, 6, 7, 9, 10];

pub fn steps(user: &str) -> Vec<Step> {
    let mut packet = vec![0, 0, 0, 0, 0, 3, 0, 0];
    for part in ["user", user, ""] {
        packet.extend_from_slice(part.as_bytes());
        packet.push(0);
    }
    let len = packet.len() as u32;
    packet[..4].copy_from_slice(&len.to_be_bytes());
    vec![connect(), send(packet), expect(judge)]
}

fn judge(input: &[u8], last: bool) -> Judged {
    let unknown = || Judged::failed(CheckStatus::L7Status, 0, b"PostgreSQL unknown error");
    if input.first() == Some(&b'E') {
        // Behind the length the fields of the error: the first is its severity.
        return Judged::failed(CheckStatus::L7Response, 0, c_string(input.get(6..).unwrap_or_default()));
    }
    match input {
        [b'R', 0, 0, 0, len, a, b, c, d, ..] if *len > 7 => {
            match AUTHENTICATIONS.contains(&u32::from_be_bytes([*a, *b, *c, *d])) {
                true => Judged::passed(0, b"PostgreSQL server is ok"),
                false => unknown(),
            }
        }
        _ if last || input.len() >= 9 => unknown(),
        _ => Judged::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::check::script::sent_bytes;

    #[test]
    fn startup_packet_is_the_one_on_the_wire() {
        assert_eq!(sent_bytes(&steps("foo")[1]), b"\x00\x00\x00\x12\x00\x03\x00\x00user\x00foo\x00\x00");
    }

    #[test]
    fn answers_of_postgresql() {
        let ok = Judged::passed(0, b"PostgreSQL server is ok");
        let unknown = Judged::failed(CheckStatus::L7Status, 0, b"PostgreSQL unknown error");
        assert_eq!(judge(b"R\0\0\0\x08\0\0\0\0", false), ok);
        assert_eq!(judge(b"R\0\0\0\x0c\0\0\0\x05abcd", false), ok);
        assert_eq!(judge(b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0", false), ok);
        assert_eq!(judge(b"R\0\0\0\x08\0\0\0\x63", false), unknown);
        assert_eq!(judge(b"R\0\0", false), Judged::Wait);
        assert_eq!(judge(b"R\0\0", true), unknown);
        assert_eq!(judge(b"garbagegarbage", false), unknown);
        assert_eq!(judge(b"", true), unknown);
        let error = b"E\0\0\0\x2aSFATAL\0C28000\0Mrole \"foo\" does not exist\0\0";
        assert_eq!(judge(error, false), Judged::failed(CheckStatus::L7Response, 0, b"FATAL"));
        assert_eq!(judge(b"E\0", true), Judged::failed(CheckStatus::L7Response, 0, b""));
        super::super::tests::holds_on_any_cut(judge, error);
    }
}
