//! `source`: the client's address as the key.

use std::net::IpAddr;

/// The hash of an address before any avalanche.
pub fn hash(address: IpAddr) -> u32 {
    let words = |bytes: &[u8]| bytes.chunks(4).fold(0u32, |h, w| h ^ u32::from_be_bytes([w[0], w[1], w[2], w[3]]));
    match address {
        IpAddr::V4(a) => words(&a.octets()),
        IpAddr::V6(a) => words(&a.octets()),
    }
}
