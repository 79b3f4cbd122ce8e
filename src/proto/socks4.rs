//! SOCKS4 (the protocol's memo of 1992), the client's side of CONNECT: a request of fixed form and a reply of eight bytes.

use std::net::SocketAddrV4;

/// Who asks, as HAProxy names itself.
const USER: &[u8; 8] = b"HAProxy\0";
const REQUEST_BYTES: usize = 8 + USER.len();
pub const REPLY_BYTES: usize = 8;

/// Asks for a connection to `to`.
pub fn connect(to: SocketAddrV4) -> [u8; REQUEST_BYTES] {
    let mut out = [0; REQUEST_BYTES];
    // Version, and the command CONNECT.
    out[..2].copy_from_slice(&[4, 1]);
    out[2..4].copy_from_slice(&to.port().to_be_bytes());
    out[4..8].copy_from_slice(&to.ip().octets());
    out[8..].copy_from_slice(USER);
    out
}

/// Whether a reply says that the connection is there: version 0, code 90.
pub fn is_granted(reply: &[u8; REPLY_BYTES]) -> bool {
    reply[..2] == [0, 90]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_the_one_that_haproxy_sends() {
        let to = "192.0.2.7:81".parse().expect("an address");
        assert_eq!(&connect(to), b"\x04\x01\x00Q\xc0\x00\x02\x07HAProxy\0");
    }

    #[test]
    fn only_code_90_grants() {
        let granted = |code| is_granted(&[0, code, 0, 0, 0, 0, 0, 0]);
        assert_eq!([90, 91, 92, 93, 0, 255].map(granted), [true, false, false, false, false, false]);
        assert!(!is_granted(&[4, 90, 0, 0, 0, 0, 0, 0]));
    }
}
