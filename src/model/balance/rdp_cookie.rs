//! `rdp-cookie(name)`: the cookie that a Remote Desktop client sends in its first packet (MS-RDPBCGR 2.2.1.1, X.224
//! connection request inside TPKT).

use std::net::{Ipv4Addr, SocketAddrV4};

/// The value of cookie `name`. `None`: not there, or not RDP. The packet may still be incomplete: [`is_complete`] tells.
pub fn key<'a>(packet: &'a [u8], name: &str) -> Option<&'a [u8]> {
    // TPKT: version 3, reserved, length; X.224: length, 0xE0, destination, source, class.
    let body = packet.get(11..)?;
    if packet[0] != 3 || packet[5] != 0xE0 {
        return None;
    }
    let rest = body.strip_prefix(b"Cookie:")?;
    let rest = &rest[rest.iter().take_while(|b| **b == b' ').count()..];
    let (found, value) = rest.split_at_checked(name.len())?;
    if !found.eq_ignore_ascii_case(name.as_bytes()) {
        return None;
    }
    let value = value.strip_prefix(b"=")?;
    let end = value.iter().position(|b| matches!(b, b'\r' | b'\n' | b';'))?;
    Some(&value[..end])
}

/// The server that a cookie value names: `<address>.<port>.<reserved>`, both numbers as a little-endian machine reads the
/// bytes of the network (MS-RDPBCGR "routingToken").
pub fn address(value: &[u8]) -> Option<SocketAddrV4> {
    let mut numbers = std::str::from_utf8(value).ok()?.split('.');
    let address: u32 = numbers.next()?.parse().ok()?;
    let port: u16 = numbers.next()?.parse().ok()?;
    numbers.next()?;
    Some(SocketAddrV4::new(Ipv4Addr::from(address.swap_bytes()), port.swap_bytes()))
}

/// The packet is whole, or nothing that could become an RDP request.
pub fn is_complete(packet: &[u8]) -> bool {
    match packet {
        [3, _, high, low, ..] => packet.len() >= u16::from_be_bytes([*high, *low]) as usize,
        [3, ..] | [] => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_routing_token_names_a_server() {
        assert_eq!(address(b"3640205228.15629.0000"), Some("172.31.249.216:3389".parse().unwrap()));
        for wrong in [&b""[..], b"1", b"1.2", b"a.b.c", b"99999999999.1.0", b"1.70000.0"] {
            assert_eq!(address(wrong), None);
        }
    }

    #[test]
    fn the_cookie_of_a_connection_request() {
        let mut packet = vec![3, 0, 0, 0, 0, 0xE0, 0, 0, 0, 0, 0];
        packet.extend_from_slice(b"Cookie: mstshash=user1\r\n");
        packet[3] = packet.len() as u8;
        assert_eq!(key(&packet, "mstshash"), Some(&b"user1"[..]));
        assert_eq!(key(&packet, "msts"), None);
        assert!(is_complete(&packet) && !is_complete(&packet[..20]));
    }
}
