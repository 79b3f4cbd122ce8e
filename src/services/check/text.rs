//! The words of check reports, as HAProxy 3.4 writes them: system errors, and what a report may hold.

use std::io;

/// Bytes of a report's information; HAProxy keeps 128 with the final NUL.
const INFO_MAX: usize = 127;

/// Information from bytes of a server: cut to its bound, and to text.
pub fn info(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(&bytes[..bytes.len().min(INFO_MAX)]).into_owned();
    clip(&mut text);
    text
}

/// Cuts text to the bound of an information, at a character's edge.
pub fn clip(text: &mut String) {
    if text.len() > INFO_MAX {
        let end = (0..=INFO_MAX).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
        text.truncate(end);
    }
}

/// The first line of an answer, without its end.
pub fn first_line(bytes: &[u8]) -> &[u8] {
    let end = memchr::memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len());
    &bytes[..end]
}

/// Bytes up to the first NUL.
pub fn c_string(bytes: &[u8]) -> &[u8] {
    &bytes[..memchr::memchr(0, bytes).unwrap_or(bytes.len())]
}

/// `ECONNREFUSED returned by OS (Connection refused)`.
pub fn system_error(e: &io::Error) -> String {
    let described = e.to_string();
    let described = described.split(" (os error").next().unwrap_or_default();
    match e.raw_os_error().and_then(name) {
        Some(name) => format!("{name} returned by OS ({described})"),
        None => format!("General socket error ({described})"),
    }
}

/// Errors that HAProxy calls by name; seen on 3.4.0.
fn name(errno: i32) -> Option<&'static str> {
    Some(match errno {
        libc::ECONNREFUSED => "ECONNREFUSED",
        libc::ECONNRESET => "ECONNRESET",
        libc::ECONNABORTED => "ECONNABORTED",
        libc::EHOSTUNREACH => "EHOSTUNREACH",
        libc::ETIMEDOUT => "ETIMEDOUT",
        libc::EPIPE => "EPIPE",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_are_named_as_haproxy_names_them() {
        let text = |errno| system_error(&io::Error::from_raw_os_error(errno));
        assert_eq!(text(libc::ECONNREFUSED), "ECONNREFUSED returned by OS (Connection refused)");
        assert_eq!(text(libc::ECONNRESET), "ECONNRESET returned by OS (Connection reset by peer)");
        assert_eq!(text(libc::ENETUNREACH), "General socket error (Network is unreachable)");
    }

    #[test]
    fn information_is_cut_to_its_bound() {
        assert_eq!(info(&[b'x'; 500]).len(), 127);
        assert_eq!(info(b"caf\xe9"), "caf\u{fffd}");
        let mut text = "é".repeat(100);
        clip(&mut text);
        assert_eq!(text.len(), 126);
        assert_eq!(first_line(b"-ab\r\ncd"), b"-ab");
        assert_eq!(c_string(b"abc\0def"), b"abc");
    }
}
