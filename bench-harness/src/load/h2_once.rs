//! Just enough HTTP/2 (RFC 9113, RFC 7541) for a connection that asks once, by prior knowledge, and then stays open:
//! h2load holds no idle connections.

/// Preface, empty settings and one request on stream 1. `path` and `authority` are shorter than 127 bytes.
pub fn request(path: &str, authority: &str) -> Vec<u8> {
    const GET: u8 = 0x82;
    const SCHEME_HTTP: u8 = 0x86;
    // Literals without indexing; names 4 and 1 of the static table.
    const PATH: u8 = 0x04;
    const AUTHORITY: u8 = 0x01;
    let mut block = vec![GET, SCHEME_HTTP];
    for (name, value) in [(PATH, path), (AUTHORITY, authority)] {
        block.extend([name, value.len() as u8]);
        block.extend(value.as_bytes());
    }
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    // HEADERS with END_STREAM and END_HEADERS.
    bytes.extend([0, 0, block.len() as u8, 1, 5, 0, 0, 0, 1]);
    bytes.extend(block);
    bytes
}

/// Consumes whole frames; true when stream 1 has ended.
pub fn is_answered(input: &mut Vec<u8>) -> Result<bool, String> {
    let mut at = 0;
    let mut ended = false;
    while let Some([a, b, c, kind, flags, stream @ ..]) = input.get(at..at + 9) {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        if input.len() < at + 9 + length {
            break;
        }
        match (kind, stream) {
            (0 | 1, [0, 0, 0, 1]) => ended |= flags & 1 == 1,
            (3, _) => return Err("the stream was reset".to_owned()),
            (7, _) => return Err("the connection was given up".to_owned()),
            _ => {}
        }
        at += 9 + length;
    }
    input.drain(..at);
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_with_its_stream_and_may_come_in_pieces() {
        let mut input =
            vec![0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88, 0, 0, 2, 0, 1, 0, 0, 0, 1, b'o'];
        assert_eq!(is_answered(&mut input), Ok(false));
        assert_eq!(input.len(), 10);
        input.push(b'k');
        assert_eq!(is_answered(&mut input), Ok(true));
        assert!(input.is_empty());
        assert!(is_answered(&mut vec![0, 0, 0, 7, 0, 0, 0, 0, 0]).is_err());
    }
}
