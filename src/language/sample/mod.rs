//! Samples (manual 7.3): typed values that fetches produce and converters turn into others. Bytes are borrowed from
//! the message or the configuration where possible and live in pooled buffers otherwise.

pub mod args;
pub mod cast;
pub mod convert;
pub mod expr;
pub mod fetch;
pub mod scope;

pub use args::{Arg, Args};
pub use expr::Expr;

use super::scratch::{Buf, Pool};
use std::net::IpAddr;

/// Types of samples (manual 7.3.1 "sample types"). `Any` stands in catalogues for what is known at run time only,
/// `Same` for a converter that gives back the type it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Any,
    Same,
    Bool,
    Sint,
    Addr,
    Ipv4,
    Ipv6,
    Str,
    Bin,
    Meth,
}

impl Type {
    /// HAProxy's word for the type.
    pub fn name(self) -> &'static str {
        match self {
            Type::Any => "any",
            Type::Same => "same",
            Type::Bool => "bool",
            Type::Sint => "sint",
            Type::Addr => "addr",
            Type::Ipv4 => "ipv4",
            Type::Ipv6 => "ipv6",
            Type::Str => "str",
            Type::Bin => "bin",
            Type::Meth => "meth",
        }
    }
}

/// Bytes of a sample.
#[derive(Debug)]
pub enum Bytes<'c> {
    Ref(&'c [u8]),
    /// A pooled buffer and the part of it that counts.
    Own(Buf<'c>, usize, usize),
}

impl<'c> Bytes<'c> {
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Bytes::Ref(b) => b,
            Bytes::Own(b, from, to) => &b[*from..*to],
        }
    }

    /// The part `from..to` of these bytes, without a copy. Positions past the end are cut.
    pub fn slice(self, from: usize, to: usize) -> Self {
        let to = to.min(self.as_slice().len());
        let from = from.min(to);
        match self {
            Bytes::Ref(b) => Bytes::Ref(&b[from..to]),
            Bytes::Own(b, start, _) => Bytes::Own(b, start + from, start + to),
        }
    }

    /// The same bytes in a buffer that may be changed: all of the returned buffer counts.
    pub fn into_buf(self, pool: &'c Pool) -> Buf<'c> {
        match self {
            Bytes::Own(mut b, from, to) => {
                b.truncate(to);
                if from > 0 {
                    b.drain(..from);
                }
                b
            }
            Bytes::Ref(r) => {
                let mut b = pool.buf();
                b.extend_from_slice(r);
                b
            }
        }
    }
}

impl<'c> From<Buf<'c>> for Bytes<'c> {
    fn from(buf: Buf<'c>) -> Self {
        let len = buf.len();
        Bytes::Own(buf, 0, len)
    }
}

impl<'c> From<&'c [u8]> for Bytes<'c> {
    fn from(bytes: &'c [u8]) -> Self {
        Bytes::Ref(bytes)
    }
}

/// A value.
#[derive(Debug)]
pub enum Sample<'c> {
    Bool(bool),
    Sint(i64),
    Ip(IpAddr),
    Str(Bytes<'c>),
    Bin(Bytes<'c>),
    /// An HTTP method, by name.
    Meth(Bytes<'c>),
}

impl<'c> Sample<'c> {
    /// Its first `most` bytes.
    pub fn cut(self, most: usize) -> Self {
        match self {
            Sample::Str(bytes) if bytes.as_slice().len() > most => Sample::Str(bytes.slice(0, most)),
            Sample::Bin(bytes) if bytes.as_slice().len() > most => Sample::Bin(bytes.slice(0, most)),
            other => other,
        }
    }

    pub fn str(bytes: &'c [u8]) -> Self {
        Sample::Str(Bytes::Ref(bytes))
    }

    pub fn bin(bytes: &'c [u8]) -> Self {
        Sample::Bin(Bytes::Ref(bytes))
    }

    pub fn str_buf(buf: Buf<'c>) -> Self {
        Sample::Str(buf.into())
    }

    pub fn bin_buf(buf: Buf<'c>) -> Self {
        Sample::Bin(buf.into())
    }

    pub fn kind(&self) -> Type {
        match self {
            Sample::Bool(_) => Type::Bool,
            Sample::Sint(_) => Type::Sint,
            Sample::Ip(IpAddr::V4(_)) => Type::Ipv4,
            Sample::Ip(IpAddr::V6(_)) => Type::Ipv6,
            Sample::Str(_) => Type::Str,
            Sample::Bin(_) => Type::Bin,
            Sample::Meth(_) => Type::Meth,
        }
    }

    /// The bytes of a str, bin or meth sample.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Sample::Str(b) | Sample::Bin(b) | Sample::Meth(b) => Some(b.as_slice()),
            _ => None,
        }
    }
}

/// What a fetch tells about its sample beside the value, and where it stands when it has several values.
#[derive(Debug, Default, Clone, Copy)]
pub struct Probe {
    /// Which of several values is wanted (0 the first). Only ACLs go past 0.
    pub nth: u32,
    /// Whether there may be another value after this one.
    pub more: bool,
    /// Whether every value is wanted: an ACL that names an occurrence-less header asks for all.
    pub every: bool,
    /// The value, or its absence, may still change as more bytes come: a rule that depends on it waits.
    pub may_change: bool,
    /// How many ACLs are being tested around this one, by `acl(…)`.
    pub depth: u8,
}
