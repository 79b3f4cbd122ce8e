//! The handshake of WebSocket (RFC 6455 §4), as far as it differs between HTTP/1.1 and HTTP/2 (RFC 8441): HTTP/2 has no
//! keys, so who passes a handshake on makes them up or answers them.

use crate::proto::http::head::Head;
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What RFC 6455 §1.3 appends to a key.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether a request asks to go on as WebSocket and as nothing else.
pub fn is_asked_for(request: &Head) -> bool {
    request.first(b"upgrade").is_some_and(|p| p.eq_ignore_ascii_case(b"websocket"))
}

/// The value of `Sec-WebSocket-Accept` for that of a `Sec-WebSocket-Key`.
pub fn accept(key: &[u8]) -> String {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(GUID);
    STANDARD.encode(context.finish())
}

/// A key of sixteen bytes that the caller drew by lot.
pub fn key(nonce: [u8; 16]) -> String {
    STANDARD.encode(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn keys_are_sixteen_bytes_in_base64() {
        assert_eq!(key(*b"the sample nonce"), "dGhlIHNhbXBsZSBub25jZQ==");
    }
}
