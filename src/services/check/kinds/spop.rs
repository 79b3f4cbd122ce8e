//! `option spop-check`: a HAPROXY-HELLO frame with `healthcheck`, answered by an AGENT-HELLO (SPOE specification §3.2).

use super::{Judged, Step, connect, expect, send};
use crate::model::state::health::CheckStatus;

const AGENT_HELLO: u8 = 101;
const AGENT_DISCONNECT: u8 = 102;
/// Frames as large as HAProxy offers: a buffer less its length field.
const FRAME_MAX: u64 = 16380;

pub fn steps() -> Vec<Step> {
    vec![connect(), send(hello()), expect(judge)]
}

/// Type and flags, stream and frame 0, then pairs of names and typed values.
fn hello() -> Vec<u8> {
    let mut frame = vec![1, 0, 0, 0, 1, 0, 0];
    for (name, value) in [("supported-versions", "2.0"), ("capabilities", "pipelining")] {
        push_text(name, &mut frame);
        // 8: a string.
        frame.push(8);
        push_text(value, &mut frame);
    }
    push_text("max-frame-size", &mut frame);
    // 3: an unsigned number of 32 bits.
    frame.push(3);
    push_varint(FRAME_MAX, &mut frame);
    push_text("healthcheck", &mut frame);
    // 1: a boolean, with its value in the flags.
    frame.push(0x11);
    let mut out = (frame.len() as u32).to_be_bytes().to_vec();
    out.extend_from_slice(&frame);
    out
}

fn push_text(text: &str, out: &mut Vec<u8>) {
    push_varint(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

/// The specification's variable-length numbers: 4 bits in the first byte once it is full, then 7 in each.
fn push_varint(mut n: u64, out: &mut Vec<u8>) {
    if n < 240 {
        return out.push(n as u8);
    }
    out.push(n as u8 | 240);
    n = (n - 240) >> 4;
    while n >= 128 {
        out.push(n as u8 | 128);
        n = (n - 128) >> 7;
    }
    out.push(n as u8);
}

fn judge(input: &[u8], last: bool) -> Judged {
    let whole = match input {
        [a, b, c, d, frame @ ..] => frame.get(..u32::from_be_bytes([*a, *b, *c, *d]) as usize),
        _ => None,
    };
    match whole {
        Some([AGENT_HELLO, ..]) => Judged::passed(0, b"SPOA server is ok"),
        Some([AGENT_DISCONNECT, ..]) => Judged::failed(CheckStatus::L7Response, 0, b"SPOP agent disconnected"),
        Some(_) => Judged::failed(CheckStatus::L7Response, 0, b"unexpected frame"),
        None if last => Judged::failed(CheckStatus::L7Response, 0, b""),
        None => Judged::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_specification() {
        let number = |n| {
            let mut out = Vec::new();
            push_varint(n, &mut out);
            out
        };
        assert_eq!(number(239), [239]);
        assert_eq!(number(240), [240, 0]);
        assert_eq!(number(2287), [255, 127]);
        assert_eq!(number(2288), [240, 128, 0]);
    }

    #[test]
    fn answers_of_an_agent() {
        assert_eq!(judge(b"\0\0\0\x07\x65\0\0\0\x01\0\0", false), Judged::passed(0, b"SPOA server is ok"));
        assert_eq!(judge(b"\0\0\0\x07\x65\0\0", false), Judged::Wait);
        assert!(matches!(judge(b"\0\0\0\x01\x66", false), Judged::Failed { .. }));
        assert!(matches!(judge(b"\xff\xff\xff\xffabc", true), Judged::Failed { .. }));
        super::super::tests::holds_on_any_cut(judge, b"\0\0\0\x07\x65\0\0\0\x01\0\0");
    }
}
