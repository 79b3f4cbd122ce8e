//! Folded lines (RFC 9112 §5.2), which HAProxy 3.4 joins. Rare, so it costs a copy, and the tokenizer never sees one.

/// Joins folded lines (RFC 9112 §5.2): the line break becomes spaces, so offsets stay. None if there is none.
/// The start line is never joined with a blank that follows: that is refused, as by HAProxy.
pub(super) fn unfold(input: &[u8], bare_lf: bool) -> Option<Vec<u8>> {
    let leading = input.iter().take_while(|&&b| b == b'\r' || b == b'\n').count();
    unfold_from(input, leading + memchr::memchr(b'\n', &input[leading..])? + 1, bare_lf)
}

/// Takes out the lines of a complete head whose names no field can have (`option
/// accept-unsafe-violations-in-http-response`), and tells how many bytes they were. A line without a name, or without
/// the colon after it, stays. None while the head's end is not here.
pub(super) fn without_bad_names(input: &[u8]) -> Option<(Vec<u8>, usize)> {
    let is_token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    let leading = input.iter().take_while(|&&b| b == b'\r' || b == b'\n').count();
    let first = leading + memchr::memchr(b'\n', &input[leading..])? + 1;
    let (mut kept, mut at) = (input[..first].to_vec(), first);
    loop {
        let end = at + memchr::memchr(b'\n', &input[at..])? + 1;
        let line = &input[at..end];
        let is_bad = memchr::memchr(b':', line).is_some_and(|colon| colon > 0 && !line[..colon].iter().all(is_token));
        if !is_bad {
            kept.extend_from_slice(line);
        }
        at = end;
        if matches!(line, b"\r\n" | b"\n") {
            let dropped = at - kept.len();
            kept.extend_from_slice(&input[at..]);
            return Some((kept, dropped));
        }
    }
}

/// Joins from the line that begins at `first` on. A bare LF is left for the parser to refuse where it must.
pub(super) fn unfold_from(input: &[u8], first: usize, bare_lf: bool) -> Option<Vec<u8>> {
    let mut joined: Option<Vec<u8>> = None;
    for at in memchr::memchr_iter(b'\n', input).filter(|&at| at >= first) {
        let after_cr = at > first && input[at - 1] == b'\r';
        if matches!(input.get(at + 1), Some(b' ' | b'\t')) && (after_cr || bare_lf) {
            let bytes = joined.get_or_insert_with(|| input.to_vec());
            bytes[at] = b' ';
            if after_cr {
                bytes[at - 1] = b' ';
            }
        } else if input[at + 1..].starts_with(b"\r\n") || input[at + 1..].starts_with(b"\n") {
            break; // The head's end: what follows is not ours.
        }
    }
    joined
}
