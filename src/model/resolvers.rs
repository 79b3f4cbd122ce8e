//! `resolvers` sections (manual 5.3.2): name servers and how answers are kept.

use crate::base::{address::Address, origin::Origin};
use std::net::IpAddr;

#[derive(Debug, Clone, PartialEq)]
pub struct Resolvers {
    pub origin: Origin,
    pub name: String,
    pub nameservers: Vec<Nameserver>,
    /// `parse-resolv-conf`: those of /etc/resolv.conf were added.
    pub parse_resolv_conf: bool,
    pub accepted_payload_size: u32,
    pub resolve_retries: u32,
    pub timeout_resolve_ms: u64,
    pub timeout_retry_ms: u64,
    pub hold: Hold,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Nameserver {
    pub origin: Origin,
    pub name: String,
    pub address: Address,
    /// `tcp@`.
    pub tcp: bool,
}

/// Address families that may be asked for and used (`dns-accept-family`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Families {
    pub ipv4: bool,
    pub ipv6: bool,
}

impl Families {
    pub const BOTH: Families = Families { ipv4: true, ipv6: true };

    pub fn has(self, ip: IpAddr) -> bool {
        if ip.is_ipv4() { self.ipv4 } else { self.ipv6 }
    }
}

/// `hold <event> <time>`, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    pub nx_ms: u64,
    pub obsolete_ms: u64,
    pub other_ms: u64,
    pub refused_ms: u64,
    pub timeout_ms: u64,
    pub valid_ms: u64,
}

impl Default for Hold {
    fn default() -> Self {
        Hold {
            nx_ms: 30_000,
            obsolete_ms: 0,
            other_ms: 30_000,
            refused_ms: 30_000,
            timeout_ms: 30_000,
            valid_ms: 10_000,
        }
    }
}

impl Resolvers {
    pub fn new(name: &str, origin: Origin) -> Self {
        Resolvers {
            origin,
            name: name.to_owned(),
            nameservers: Vec::new(),
            parse_resolv_conf: false,
            accepted_payload_size: 512,
            resolve_retries: 3,
            timeout_resolve_ms: 1000,
            timeout_retry_ms: 1000,
            hold: Hold::default(),
        }
    }
}
