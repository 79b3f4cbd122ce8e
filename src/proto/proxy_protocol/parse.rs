//! Reads the header before a connection's first byte (proxy-protocol.txt 2.1, 2.2). Whatever does not match exactly is
//! refused: the sender is trusted, so its header must leave nothing to guess. As the document asks and HAProxy 3.4 does
//! not: leading zeros and numbers out of range are refused, what follows UNKNOWN and LOCAL is ignored.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::crc32c::crc32c;
use super::tlv::{self, Tlvs};
use super::{Addresses, Header, Transport};

/// First bytes of version 2.
pub const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Longest version 1 line, CRLF included.
pub const V1_LEN_MAX: usize = 107;

/// Longest version 2 header that is read: one buffer, as a client certificate may be in it.
pub const V2_LEN_MAX: usize = 16_384;

const UNIX_PATH_LEN: usize = 108;
const AUTHORITY_LEN_MAX: usize = 255;
const UNIQUE_ID_LEN_MAX: usize = 128;

/// The outcome of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// More bytes are needed.
    Partial,
    Complete(Header<'a>),
}

/// Why the connection is to be dropped. All of it is the sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The connection does not begin with either signature.
    NotProxyProtocol,
    /// A version 1 line that is malformed.
    BadLine,
    /// No CRLF within [`V1_LEN_MAX`] bytes, or a version 2 header beyond [`V2_LEN_MAX`].
    TooLong,
    /// A version or command that is not assigned.
    BadCommand,
    /// A family or transport that is not assigned.
    BadFamily,
    /// Fewer bytes than the family's addresses take.
    BadAddresses,
    /// A vector that is cut off or whose value cannot be.
    BadTlv,
    /// The checksum does not match.
    BadChecksum,
}

/// Reads a header of either version from the start of `input`.
pub fn parse(input: &[u8]) -> Result<Parsed<'_>, Error> {
    match input {
        [] => Ok(Parsed::Partial),
        [b'P', ..] => parse_v1(input),
        _ => parse_v2(input),
    }
}

fn starts_like(input: &[u8], prefix: &[u8]) -> bool {
    let len = input.len().min(prefix.len());
    input[..len] == prefix[..len]
}

fn parse_v1(input: &[u8]) -> Result<Parsed<'_>, Error> {
    if !starts_like(input, b"PROXY ") {
        return Err(Error::NotProxyProtocol);
    }
    let window = &input[..input.len().min(V1_LEN_MAX)];
    let Some(lf) = memchr::memchr(b'\n', window) else {
        return if window.len() == V1_LEN_MAX { Err(Error::TooLong) } else { Ok(Parsed::Partial) };
    };
    let line = window[..lf].strip_suffix(b"\r").and_then(|l| l.strip_prefix(b"PROXY ")).ok_or(Error::BadLine)?;
    let complete = |addresses| {
        let header = Header { version: 1, local: false, addresses, tlvs: Tlvs::default(), consumed: lf + 1 };
        Ok(Parsed::Complete(header))
    };
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return complete(Addresses::Own);
    }
    let mut words = line.split(|&b| b == b' ');
    let mut word = || words.next().and_then(|w| std::str::from_utf8(w).ok()).ok_or(Error::BadLine);
    let ip: fn(&str) -> Option<IpAddr> = match word()? {
        "TCP4" => |w| w.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => |w| w.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => return Err(Error::BadLine),
    };
    let source = ip(word()?).ok_or(Error::BadLine)?;
    let destination = ip(word()?).ok_or(Error::BadLine)?;
    let source = SocketAddr::new(source, port(word()?)?);
    let destination = SocketAddr::new(destination, port(word()?)?);
    if words.next().is_some() {
        return Err(Error::BadLine);
    }
    complete(Addresses::Ip { source, destination, transport: Transport::Stream })
}

/// A port without sign and leading zeros.
fn port(word: &str) -> Result<u16, Error> {
    let canonical = word == "0" || word.starts_with(|c: char| ('1'..='9').contains(&c));
    word.parse().ok().filter(|_| canonical).ok_or(Error::BadLine)
}

fn parse_v2(input: &[u8]) -> Result<Parsed<'_>, Error> {
    if !starts_like(input, SIGNATURE) {
        return Err(Error::NotProxyProtocol);
    }
    // Judge the 13th byte as soon as it is here.
    let local = match input.get(12) {
        None => return Ok(Parsed::Partial),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return Err(Error::BadCommand),
    };
    let Some(&[family, high, low]) = input.get(13..16) else {
        return Ok(Parsed::Partial);
    };
    let consumed = 16 + usize::from(u16::from_be_bytes([high, low]));
    if consumed > V2_LEN_MAX {
        return Err(Error::TooLong);
    }
    let Some(body) = input.get(16..consumed) else {
        return Ok(Parsed::Partial);
    };
    let (addresses, tlvs) = if local { (Addresses::Own, &[][..]) } else { addresses(family, body)? };
    let tlvs = Tlvs { bytes: tlvs };
    if !local {
        check_tlvs(tlvs, &input[..consumed])?;
    }
    Ok(Parsed::Complete(Header { version: 2, local, addresses, tlvs, consumed }))
}

fn addresses(family: u8, body: &[u8]) -> Result<(Addresses<'_>, &[u8]), Error> {
    let transport = match family & 0x0f {
        1 => Transport::Stream,
        2 => Transport::Datagram,
        // Unspecified family or transport: nothing can be said about the layout of what follows.
        0 if family >> 4 <= 3 => return Ok((Addresses::Own, &[])),
        _ => return Err(Error::BadFamily),
    };
    match family >> 4 {
        0 => Ok((Addresses::Own, &[])),
        1 => {
            let (block, rest) = body.split_first_chunk::<12>().ok_or(Error::BadAddresses)?;
            let ip = |at: usize| IpAddr::from([block[at], block[at + 1], block[at + 2], block[at + 3]]);
            Ok((ip_pair(ip(0), ip(4), &block[8..], transport), rest))
        }
        2 => {
            let (block, rest) = body.split_first_chunk::<36>().ok_or(Error::BadAddresses)?;
            let ip = |at: usize| {
                let mut octets = [0; 16];
                octets.copy_from_slice(&block[at..at + 16]);
                IpAddr::from(octets)
            };
            Ok((ip_pair(ip(0), ip(16), &block[32..], transport), rest))
        }
        3 => {
            let (source, rest) = body.split_at_checked(UNIX_PATH_LEN).ok_or(Error::BadAddresses)?;
            let (destination, rest) = rest.split_at_checked(UNIX_PATH_LEN).ok_or(Error::BadAddresses)?;
            let (source, destination) = (unpadded(source), unpadded(destination));
            Ok((Addresses::Unix { source, destination, transport }, rest))
        }
        _ => Err(Error::BadFamily),
    }
}

fn ip_pair<'a>(source: IpAddr, destination: IpAddr, ports: &[u8], transport: Transport) -> Addresses<'a> {
    let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
    let source = SocketAddr::new(source, port(0));
    Addresses::Ip { source, destination: SocketAddr::new(destination, port(2)), transport }
}

fn unpadded(path: &[u8]) -> &[u8] {
    let len = path.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
    &path[..len]
}

fn check_tlvs(tlvs: Tlvs<'_>, header: &[u8]) -> Result<(), Error> {
    if !tlvs.is_well_formed() {
        return Err(Error::BadTlv);
    }
    for found in tlvs {
        match found.kind {
            tlv::CRC32C => {
                let value: [u8; 4] = found.value.try_into().map_err(|_| Error::BadTlv)?;
                // The checksum is that of the header with zeros in its place.
                let at = found.value.as_ptr() as usize - header.as_ptr() as usize;
                if crc32c(&[&header[..at], &[0; 4], &header[at + 4..]]) != u32::from_be_bytes(value) {
                    return Err(Error::BadChecksum);
                }
            }
            tlv::AUTHORITY if found.value.len() > AUTHORITY_LEN_MAX => return Err(Error::BadTlv),
            tlv::UNIQUE_ID if found.value.len() > UNIQUE_ID_LEN_MAX => return Err(Error::BadTlv),
            _ => {}
        }
    }
    Ok(())
}
