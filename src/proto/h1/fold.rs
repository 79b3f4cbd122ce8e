//! Folded lines (RFC 9112 §5.2), which HAProxy 3.4 joins. Rare, so it costs a copy, and the tokenizer never sees one.

/// Joins folded lines (RFC 9112 §5.2): the line break becomes spaces, so offsets stay. None if there is none.
/// The start line is never joined with a blank that follows: that is refused, as by HAProxy.
pub(super) fn unfold(input: &[u8], bare_lf: bool) -> Option<Vec<u8>> {
    let leading = input.iter().take_while(|&&b| b == b'\r' || b == b'\n').count();
    unfold_from(input, leading + memchr::memchr(b'\n', &input[leading..])? + 1, bare_lf)
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
