//! `option spop-check`: a HAPROXY-HELLO frame with `healthcheck`, answered by an AGENT-HELLO (SPOE specification §3.2).

use super::{Judged, Step, connect, expect, send};
use crate::model::state::health::CheckStatus;

const AGENT_HELLO: u8 = 101;
const AGENT_DISCONNECT: u8 = 102;
/// Frames as large as HAProxy offers: a buffer less its length field.
const FRAME_MAX: u64 = 16380;

/// Types of values; a boolean has its value among the flags.
const BOOL_TRUE: u8 = 0x11;
const UINT32: u8 = 3;
const STRING: u8 = 8;

pub fn steps() -> Vec<Step> {
    vec![connect(), send(hello()), expect(judge)]
}

/// Type and flags, stream and frame 0, then pairs of names and typed values.
fn hello() -> Vec<u8> {
    let mut frame = vec![1, 0, 0, 0, 1, 0, 0];
    push_text("supported-versions", &mut frame);
    frame.push(STRING);
    push_text("2.0", &mut frame);
    push_text("max-frame-size", &mut frame);
    frame.push(UINT32);
    push_varint(FRAME_MAX, &mut frame);
    push_text("capabilities", &mut frame);
    frame.push(STRING);
    push_text("", &mut frame);
    push_text("healthcheck", &mut frame);
    frame.push(BOOL_TRUE);
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
    let invalid = || Judged::failed(CheckStatus::L7Response, 0, b"invalid frame received");
    let frame = match input {
        [] if last => {
            return Judged::failed(CheckStatus::L7Response, 0, b"TCPCHK got an empty response at step 3");
        }
        [a, b, c, d, frame @ ..] => {
            let len = u32::from_be_bytes([*a, *b, *c, *d]);
            if u64::from(len) > FRAME_MAX {
                return invalid();
            }
            frame.get(..len as usize)
        }
        _ => None,
    };
    match frame {
        // Type, four bytes of flags, stream and frame 0.
        Some([AGENT_HELLO, _, _, _, _, 0, 0, pairs @ ..]) => match has_version(pairs) {
            true => Judged::passed(0, b""),
            false => Judged::failed(CheckStatus::L7Response, 0, b"version value not found"),
        },
        Some([AGENT_DISCONNECT, ..]) => Judged::failed(CheckStatus::L7Response, 0, b"disconnected by the agent"),
        Some(_) => invalid(),
        None if last => invalid(),
        None => Judged::Wait,
    }
}

/// Whether the pairs of an AGENT-HELLO say a version.
fn has_version(mut pairs: &[u8]) -> bool {
    while let Some(name) = take_text(&mut pairs) {
        let Some((&kind, rest)) = pairs.split_first() else { return false };
        pairs = rest;
        match (name, kind & 0x0f) {
            (b"version", STRING) => return take_text(&mut pairs).is_some(),
            (_, STRING | 9) if take_text(&mut pairs).is_none() => return false,
            // Numbers of every width.
            (_, 2..=5) if take_varint(&mut pairs).is_none() => return false,
            (_, 6) => pairs = pairs.get(4..).unwrap_or_default(),
            (_, 7) => pairs = pairs.get(16..).unwrap_or_default(),
            // Nothing, and booleans.
            _ => {}
        }
    }
    false
}

fn take_text<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    if from.is_empty() {
        return None;
    }
    let len = usize::try_from(take_varint(from)?).ok()?;
    let text = from.get(..len)?;
    *from = &from[len..];
    Some(text)
}

fn take_varint(from: &mut &[u8]) -> Option<u64> {
    let (&first, mut rest) = from.split_first()?;
    let mut n = u64::from(first);
    if first >= 240 {
        let mut shift = 4;
        loop {
            let (&byte, behind) = rest.split_first()?;
            rest = behind;
            n = n.checked_add(u64::from(byte).checked_shl(shift)?)?;
            shift += 7;
            if byte < 128 {
                break;
            }
        }
    }
    *from = rest;
    Some(n)
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
    fn hello_is_the_one_on_the_wire() {
        let wire = b"\x00\x00\x00N\x01\x00\x00\x00\x01\x00\x00\x12supported-versions\x08\x032.0\x0emax-frame-size\x03\xfc\xf0\
                     \x06\x0ccapabilities\x08\x00\x0bhealthcheck\x11";
        assert_eq!(hello(), wire);
    }

    #[test]
    fn answers_of_an_agent() {
        let mut pairs = Vec::new();
        push_text("max-frame-size", &mut pairs);
        pairs.push(UINT32);
        push_varint(16380, &mut pairs);
        push_text("version", &mut pairs);
        pairs.push(STRING);
        push_text("2.0", &mut pairs);
        let mut answer = (pairs.len() as u32 + 7).to_be_bytes().to_vec();
        answer.extend_from_slice(&[AGENT_HELLO, 0, 0, 0, 1, 0, 0]);
        answer.extend_from_slice(&pairs);
        assert_eq!(judge(&answer, false), Judged::passed(0, b""));
        assert_eq!(judge(&answer[..20], false), Judged::Wait);
        let failed = |info: &[u8]| Judged::failed(CheckStatus::L7Response, 0, info);
        assert_eq!(judge(&answer[..20], true), failed(b"invalid frame received"));
        assert_eq!(judge(b"garbagegarbage", false), failed(b"invalid frame received"));
        assert_eq!(judge(b"\0\0\0\x07\x65\0\0\0\x01\0\0", false), failed(b"version value not found"));
        super::super::tests::holds_on_any_cut(judge, &answer);
        for (at, byte) in (0..answer.len()).flat_map(|at| [0, 127, 128, 240, 255].map(|byte| (at, byte))) {
            let mut bent = answer.clone();
            bent[at] = byte;
            judge(&bent, true);
        }
    }
}
