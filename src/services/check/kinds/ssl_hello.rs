//! `option ssl-hello-chk`: a ClientHello of SSL 3.0 that offers every cipher of its time; a handshake record or an alert
//! is a good answer.

use super::{Judged, Step, connect, expect};
use crate::model::state::health::CheckStatus;
use crate::services::check::script::{Action, Send};

/// Ciphers 1 to 27, then 47 to 58 of the registry.
const CIPHERS: [std::ops::RangeInclusive<u16>; 2] = [0x01..=0x1b, 0x2f..=0x3a];

pub fn steps() -> Vec<Step> {
    let mut answer = expect(judge);
    if let Action::Expect(e) = &mut answer.action {
        (e.ok_status, e.timeout_status) = (CheckStatus::L6Ok, CheckStatus::L6Timeout);
    }
    vec![connect(), Step::implicit(Action::Send(Send::SslHello)), answer]
}

/// The ClientHello at `now_s` (seconds since 1970), which it carries as the protocol wants.
pub fn hello(now_s: u32) -> Vec<u8> {
    let mut body = vec![0x03, 0x00];
    body.extend_from_slice(&now_s.to_be_bytes());
    body.extend_from_slice(b"HAPROXYSSLCHK\nHAPROXYSSLCHK\n");
    body.push(0);
    let ciphers: Vec<u8> = CIPHERS.into_iter().flatten().flat_map(u16::to_be_bytes).collect();
    body.extend_from_slice(&(ciphers.len() as u16).to_be_bytes());
    body.extend_from_slice(&ciphers);
    body.extend_from_slice(&[1, 0]);
    let mut hello = vec![0x16, 0x03, 0x00];
    hello.extend_from_slice(&(body.len() as u16 + 4).to_be_bytes());
    hello.extend_from_slice(&[0x01, 0x00]);
    hello.extend_from_slice(&(body.len() as u16).to_be_bytes());
    hello.extend_from_slice(&body);
    hello
}

fn judge(input: &[u8], last: bool) -> Judged {
    match input {
        [] if last => Judged::failed(CheckStatus::L6Response, 0, b"TCPCHK got an empty response at step 2"),
        _ if input.len() < 5 && !last => Judged::Wait,
        [0x15 | 0x16, ..] => Judged::passed(0, b""),
        _ => Judged::failed(CheckStatus::L6Response, 0, b""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hello_is_the_one_on_the_wire() {
        let hello = hello(0x6bd2_1148);
        assert_eq!(&hello[..15], b"\x16\x03\x00\x00y\x01\x00\x00u\x03\x00k\xd2\x11H");
        assert_eq!(&hello[15..45], b"HAPROXYSSLCHK\nHAPROXYSSLCHK\n\0\0");
        assert_eq!(hello[45], 78);
        assert_eq!(&hello[hello.len() - 4..], b"\0:\x01\0");
        assert_eq!(hello.len(), 126);
    }

    #[test]
    fn answers_to_a_hello() {
        assert_eq!(judge(b"\x16\x03\0\0\x31\x02", false), Judged::passed(0, b""));
        assert_eq!(judge(b"\x15\x03\0\0\x02\x02\x28", false), Judged::passed(0, b""));
        assert_eq!(judge(b"\x16\x03\0\0", false), Judged::Wait);
        assert_eq!(judge(b"\x16\x03", true), Judged::passed(0, b""));
        assert_eq!(judge(b"HTTP/1.1 400", false), Judged::failed(CheckStatus::L6Response, 0, b""));
        super::super::tests::holds_on_any_cut(judge, b"\x16\x03\0\0\x31\x02");
    }
}
