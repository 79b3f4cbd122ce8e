//! Writes the header that a server is sent first (`send-proxy`, `send-proxy-v2`, `proxy-v2-options`; manual 5.2).

use std::io::Write;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::crc32c::crc32c;
use super::parse::SIGNATURE;
use super::tlv;

/// Ends to announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends<'a> {
    /// None: UNKNOWN in version 1; version 2 says LOCAL.
    Local,
    Ip {
        source: SocketAddr,
        destination: SocketAddr,
    },
    /// Paths of a UNIX socket's ends; version 1 can only say UNKNOWN.
    Unix {
        source: &'a [u8],
        destination: &'a [u8],
    },
}

/// What is known of the client's TLS, for the `ssl` vector.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ssl<'a> {
    /// [`tlv::CLIENT_SSL`] and so on; 0 for a connection without TLS.
    pub client: u8,
    /// 0: the client's certificate was verified.
    pub verify: u32,
    /// `TLSv1.3`
    pub version: Option<&'a [u8]>,
    pub cn: Option<&'a [u8]>,
    pub cipher: Option<&'a [u8]>,
    pub sig_alg: Option<&'a [u8]>,
    pub key_alg: Option<&'a [u8]>,
}

/// Vectors to send; what is None is left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    pub alpn: Option<&'a [u8]>,
    pub authority: Option<&'a [u8]>,
    pub unique_id: Option<&'a [u8]>,
    pub ssl: Option<Ssl<'a>>,
    pub netns: Option<&'a [u8]>,
    pub crc32c: bool,
    /// Vectors of `set-proxy-v2-tlv-fmt`: type and value.
    pub custom: &'a [(u8, &'a [u8])],
}

/// The line of version 1.
pub fn v1(ends: &Ends<'_>, out: &mut Vec<u8>) {
    let Ends::Ip { source, destination } = ends else {
        return out.extend_from_slice(b"PROXY UNKNOWN\r\n");
    };
    let (family, from, to) = match (source.ip(), destination.ip()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => ("TCP4", IpAddr::V4(a), IpAddr::V4(b)),
        (a, b) => ("TCP6", as_v6(a).into(), as_v6(b).into()),
    };
    // Writing to a Vec cannot fail.
    let _ = write!(out, "PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port());
}

/// Where one end is IPv6, both must be.
fn as_v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// The binary header of version 2. If the vectors do not fit its length of two bytes, none is sent.
pub fn v2(ends: &Ends<'_>, options: &Options<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(SIGNATURE);
    out.extend_from_slice(&[if *ends == Ends::Local { 0x20 } else { 0x21 }, 0, 0, 0]);
    let family = push_addresses(ends, out);
    out[start + 13] = family;
    let vectors_at = out.len();
    if options.crc32c {
        push_tlv(tlv::CRC32C, &[0; 4], out);
    }
    let checksum_at = out.len() - 4;
    let mut optional = |kind, value: Option<&[u8]>| {
        if let Some(value) = value {
            push_tlv(kind, value, out);
        }
    };
    optional(tlv::ALPN, options.alpn);
    optional(tlv::AUTHORITY, options.authority);
    optional(tlv::UNIQUE_ID, options.unique_id);
    if let Some(ssl) = &options.ssl {
        push_ssl(ssl, out);
    }
    if let Some(netns) = options.netns {
        push_tlv(tlv::NETNS, netns, out);
    }
    for (kind, value) in options.custom {
        push_tlv(*kind, value, out);
    }
    let mut with_checksum = options.crc32c;
    if out.len() - start - 16 > usize::from(u16::MAX) {
        out.truncate(vectors_at);
        with_checksum = false;
    }
    let len = (out.len() - start - 16) as u16;
    out[start + 14..start + 16].copy_from_slice(&len.to_be_bytes());
    if with_checksum {
        let checksum = crc32c(&[&out[start..]]);
        out[checksum_at..checksum_at + 4].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// Appends the addresses; gives the byte of family and transport.
fn push_addresses(ends: &Ends<'_>, out: &mut Vec<u8>) -> u8 {
    match ends {
        Ends::Local => 0,
        Ends::Ip { source, destination } => {
            let family = match (source.ip(), destination.ip()) {
                (IpAddr::V4(a), IpAddr::V4(b)) => {
                    out.extend_from_slice(&a.octets());
                    out.extend_from_slice(&b.octets());
                    0x11
                }
                (a, b) => {
                    out.extend_from_slice(&as_v6(a).octets());
                    out.extend_from_slice(&as_v6(b).octets());
                    0x21
                }
            };
            out.extend_from_slice(&source.port().to_be_bytes());
            out.extend_from_slice(&destination.port().to_be_bytes());
            family
        }
        Ends::Unix { source, destination } => {
            for path in [source, destination] {
                let mut padded = [0; 108];
                let len = path.len().min(padded.len());
                padded[..len].copy_from_slice(&path[..len]);
                out.extend_from_slice(&padded);
            }
            0x31
        }
    }
}

fn push_tlv(kind: u8, value: &[u8], out: &mut Vec<u8>) {
    // A value beyond u16 makes the whole too long, which is dealt with above.
    out.push(kind);
    out.extend_from_slice(&(value.len() as u16).to_be_bytes());
    out.extend_from_slice(value);
}

fn push_ssl(ssl: &Ssl<'_>, out: &mut Vec<u8>) {
    let length_at = out.len() + 1;
    push_tlv(tlv::SSL, &[ssl.client], out);
    out.extend_from_slice(&ssl.verify.to_be_bytes());
    for (kind, value) in [
        (tlv::SSL_VERSION, ssl.version),
        (tlv::SSL_CN, ssl.cn),
        (tlv::SSL_KEY_ALG, ssl.key_alg),
        (tlv::SSL_SIG_ALG, ssl.sig_alg),
        (tlv::SSL_CIPHER, ssl.cipher),
    ] {
        if let Some(value) = value {
            push_tlv(kind, value, out);
        }
    }
    let len = (out.len() - length_at - 2) as u16;
    out[length_at..length_at + 2].copy_from_slice(&len.to_be_bytes());
}
