//! The type-length-value vectors of a version 2 header (proxy-protocol.txt 2.2).

/// Types.
pub const ALPN: u8 = 0x01;
pub const AUTHORITY: u8 = 0x02;
pub const CRC32C: u8 = 0x03;
pub const NOOP: u8 = 0x04;
pub const UNIQUE_ID: u8 = 0x05;
pub const SSL: u8 = 0x20;
pub const SSL_VERSION: u8 = 0x21;
pub const SSL_CN: u8 = 0x22;
pub const SSL_CIPHER: u8 = 0x23;
pub const SSL_SIG_ALG: u8 = 0x24;
pub const SSL_KEY_ALG: u8 = 0x25;
pub const SSL_GROUP: u8 = 0x26;
pub const SSL_SIG_SCHEME: u8 = 0x27;
pub const SSL_CLIENT_CERT: u8 = 0x28;
pub const NETNS: u8 = 0x30;

/// Flags of the first byte of [`SSL`].
pub const CLIENT_SSL: u8 = 0x01;
pub const CLIENT_CERT_CONN: u8 = 0x02;
pub const CLIENT_CERT_SESS: u8 = 0x04;

/// One vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv<'a> {
    pub kind: u8,
    pub value: &'a [u8],
}

/// Vectors one after another. Those of a parsed header are known to be well-formed; an iterator over others ends at the
/// first that is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tlvs<'a> {
    pub bytes: &'a [u8],
}

impl<'a> Tlvs<'a> {
    /// The value of the first vector of this type: `fc_pp_tlv`.
    pub fn find(&self, kind: u8) -> Option<&'a [u8]> {
        (*self).find_map(|tlv| (tlv.kind == kind).then_some(tlv.value))
    }

    fn find_map<T>(self, f: impl FnMut(Tlv<'a>) -> Option<T>) -> Option<T> {
        self.into_iter().find_map(f)
    }

    /// Whether the vectors fill their bytes exactly.
    pub fn is_well_formed(&self) -> bool {
        let mut iter = self.into_iter();
        iter.by_ref().for_each(drop);
        iter.rest.is_empty()
    }
}

impl<'a> IntoIterator for Tlvs<'a> {
    type Item = Tlv<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        Iter { rest: self.bytes }
    }
}

/// Iterator of [`Tlvs`].
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Iter<'a> {
    type Item = Tlv<'a>;

    fn next(&mut self) -> Option<Tlv<'a>> {
        let &[kind, high, low, ref rest @ ..] = self.rest else {
            return None;
        };
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
        self.rest = rest;
        Some(Tlv { kind, value })
    }
}

/// What the [`SSL`] vector says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ssl<'a> {
    /// `CLIENT_` flags.
    pub client: u8,
    /// 0: the client's certificate was verified.
    pub verify: u32,
    pub tlvs: Tlvs<'a>,
}

impl<'a> Ssl<'a> {
    pub fn read(value: &'a [u8]) -> Option<Ssl<'a>> {
        let (&[client, a, b, c, d], rest) = value.split_first_chunk::<5>()?;
        Some(Ssl { client, verify: u32::from_be_bytes([a, b, c, d]), tlvs: Tlvs { bytes: rest } })
    }
}
