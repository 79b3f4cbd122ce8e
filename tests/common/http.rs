//! Where an HTTP/1 message ends, as a strict reader sees it (RFC 9112 §6): enough for scripted origins and clients to
//! know when to answer. Whether the message is well formed otherwise is not its business.

/// How much of a buffer is one message.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Extent {
    Incomplete,
    Complete(usize),
    /// A response that only the end of the connection ends.
    UntilClose,
}

/// The length of the head including its empty line.
pub fn head_length(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// The values of a header, trimmed.
pub fn header_values<'a>(head: &'a [u8], name: &str) -> Vec<&'a str> {
    let text = std::str::from_utf8(head).unwrap_or("");
    text.split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .filter(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .collect()
}

/// The status of a response head.
pub fn status(bytes: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(bytes.get(..12)?).ok()?;
    line.starts_with("HTTP/1.").then(|| line[9..12].parse().ok())?
}

pub fn request_extent(bytes: &[u8]) -> Extent {
    let Some(head) = head_length(bytes) else { return Extent::Incomplete };
    if bytes.starts_with(b"CONNECT ") {
        return Extent::Complete(head);
    }
    body_extent(bytes, head, Extent::Complete(head))
}

/// `to_head`: the response answers a HEAD request, or a CONNECT that succeeded.
pub fn response_extent(bytes: &[u8], to_head: bool) -> Extent {
    let Some(head) = head_length(bytes) else { return Extent::Incomplete };
    let status = status(bytes).unwrap_or(0);
    if to_head || matches!(status, 100..=199 | 204 | 304) {
        return Extent::Complete(head);
    }
    body_extent(bytes, head, Extent::UntilClose)
}

fn body_extent(bytes: &[u8], head: usize, without_length: Extent) -> Extent {
    let head_bytes = &bytes[..head];
    let chunked =
        header_values(head_bytes, "transfer-encoding").iter().any(|v| v.to_ascii_lowercase().contains("chunked"));
    if chunked {
        return chunked_extent(bytes, head);
    }
    let Some(length) = header_values(head_bytes, "content-length").first().and_then(|v| v.parse::<usize>().ok())
    else {
        return without_length;
    };
    if bytes.len() >= head + length { Extent::Complete(head + length) } else { Extent::Incomplete }
}

fn chunked_extent(bytes: &[u8], mut at: usize) -> Extent {
    let line_end = |from: usize| bytes[from..].windows(2).position(|w| w == b"\r\n").map(|n| from + n);
    loop {
        let Some(end) = line_end(at) else { return Extent::Incomplete };
        let size = std::str::from_utf8(&bytes[at..end]).unwrap_or("").split(';').next().unwrap_or("").trim();
        let Ok(size) = usize::from_str_radix(size, 16) else { return Extent::Complete(bytes.len()) };
        at = end + 2;
        if size == 0 {
            break;
        }
        at += size + 2;
        if at > bytes.len() {
            return Extent::Incomplete;
        }
    }
    loop {
        let Some(end) = line_end(at) else { return Extent::Incomplete };
        if end == at {
            return Extent::Complete(end + 2);
        }
        at = end + 2;
    }
}

/// The body of a complete message, its chunked coding undone.
pub fn body(message: &[u8]) -> Vec<u8> {
    let Some(head) = head_length(message) else { return Vec::new() };
    let chunked = header_values(&message[..head], "transfer-encoding").iter().any(|v| v.contains("chunked"));
    if !chunked {
        return message[head..].to_vec();
    }
    let mut decoded = Vec::new();
    let mut at = head;
    while let Some(n) = message[at..].windows(2).position(|w| w == b"\r\n") {
        let size = std::str::from_utf8(&message[at..at + n]).unwrap_or("").split(';').next().unwrap_or("").trim();
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        at += n + 2;
        if size == 0 || at + size > message.len() {
            break;
        }
        decoded.extend_from_slice(&message[at..at + size]);
        at += size + 2;
    }
    decoded
}

/// A stream of messages with the chunk boundaries of their bodies taken out: where a proxy cuts chunks is its own
/// affair. `<chunked>` stands before the data, `<end>` and the trailers after it; an unfinished body has no `<end>`.
pub fn without_chunk_boundaries(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(head) = head_length(rest) {
        out.extend_from_slice(&rest[..head]);
        let chunked = header_values(&rest[..head], "transfer-encoding").iter().any(|v| v.contains("chunked"));
        if !chunked {
            let length = header_values(&rest[..head], "content-length").first().and_then(|v| v.parse::<usize>().ok());
            let end = rest.len().min(head + length.unwrap_or(0));
            out.extend_from_slice(&rest[head..end]);
            rest = &rest[end..];
            continue;
        }
        out.extend_from_slice(b"<chunked>");
        rest = &rest[head..];
        while let Some(line) = rest.windows(2).position(|window| window == b"\r\n") {
            let size = std::str::from_utf8(&rest[..line]).unwrap_or("").split(';').next().unwrap_or("").trim();
            let Ok(size) = usize::from_str_radix(size, 16) else { break };
            rest = &rest[line + 2..];
            if size == 0 {
                let end = if rest.starts_with(b"\r\n") { Some(2) } else { head_length(rest) };
                if let Some(end) = end {
                    out.extend_from_slice(b"<end>");
                    out.extend_from_slice(&rest[..end]);
                    rest = &rest[end..];
                }
                break;
            }
            out.extend_from_slice(&rest[..rest.len().min(size)]);
            rest = &rest[rest.len().min(size + 2)..];
        }
    }
    out.extend_from_slice(rest);
    out
}
