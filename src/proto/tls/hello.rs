//! Reads a ClientHello (RFC 8446 §4.1.2) from the bytes of a connection, whole or in parts: for `req.ssl_*` in TCP mode
//! (manual 7.3.5), and to choose certificate and settings before the library sees a byte. Borrowed, nothing is copied
//! unless the message spans records.

use std::borrow::Cow;

/// A handshake message at most; a ClientHello with post-quantum keys has less than 3 kB.
pub const HELLO_MAX: usize = 65_535;

/// What the first bytes of a connection are.
#[derive(Debug)]
pub enum Peek<'a> {
    /// The ClientHello's body is here, without its handshake header.
    Complete(Hello<'a>),
    /// It may become one: more bytes are needed.
    Partial,
    /// This is no TLS, or no ClientHello.
    No(NotHello),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotHello {
    /// Not a handshake record (HTTP on a TLS port, say).
    NotTls,
    /// A handshake message, but another one. 2 is a ServerHello.
    OtherMessage(u8),
    TooLong,
    /// A ClientHello whose parts do not fit (`decode_error`).
    Malformed,
}

/// The bytes of a ClientHello; [`Hello::parse`] gives meaning to them.
#[derive(Debug)]
pub struct Hello<'a> {
    /// Version of the first record.
    pub record_version: u16,
    pub body: Cow<'a, [u8]>,
}

/// A ClientHello's fields. Lists are in the wire's form, without their lengths.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClientHello<'a> {
    /// `legacy_version`.
    pub version: u16,
    pub random: &'a [u8],
    pub session_id: &'a [u8],
    /// Two bytes each.
    pub cipher_suites: &'a [u8],
    pub sni: Option<&'a [u8]>,
    /// `ProtocolNameList`: each with its length before it.
    pub alpn: Option<&'a [u8]>,
    /// Two bytes each; absent from clients that know TLS 1.2 at most.
    pub supported_versions: Option<&'a [u8]>,
    pub signature_algorithms: Option<&'a [u8]>,
    pub supported_groups: Option<&'a [u8]>,
    pub ec_point_formats: Option<&'a [u8]>,
    pub session_ticket: Option<&'a [u8]>,
    /// Client's `KeyShareEntry` list.
    pub key_share: Option<&'a [u8]>,
    pub has_psk: bool,
    pub has_early_data: bool,
    /// All extensions, with types and lengths.
    pub extensions: &'a [u8],
}

/// Looks at the start of a connection. Bytes after the ClientHello are left alone.
pub fn peek(bytes: &[u8]) -> Peek<'_> {
    let mut assembled: Vec<u8> = Vec::new();
    let mut rest = bytes;
    let mut record_version = 0;
    loop {
        // RFC 8446 §5.1: type, version, length.
        if rest.first().is_some_and(|b| *b != 22) || rest.get(1).is_some_and(|b| *b != 3) {
            return Peek::No(NotHello::NotTls);
        }
        let Some((header, after)) = rest.split_at_checked(5) else { return Peek::Partial };
        if record_version == 0 {
            record_version = u16::from_be_bytes([header[1], header[2]]);
        }
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if length == 0 || length > 16_384 {
            return Peek::No(NotHello::Malformed);
        }
        let here = &after[..length.min(after.len())];
        if assembled.is_empty() {
            if let Some(kind) = here.first().filter(|k| **k != 1) {
                return Peek::No(NotHello::OtherMessage(*kind));
            }
            if let Some(body) = body_of(here) {
                return match body {
                    Ok(body) => Peek::Complete(Hello { record_version, body: Cow::Borrowed(body) }),
                    Err(e) => Peek::No(e),
                };
            }
        }
        assembled.extend_from_slice(here);
        match body_of(&assembled) {
            Some(Ok(body)) => {
                return Peek::Complete(Hello { record_version, body: Cow::Owned(body.to_vec()) });
            }
            Some(Err(e)) => return Peek::No(e),
            None if after.len() <= length => return Peek::Partial,
            None => rest = &after[length..],
        }
    }
}

/// The message's body, if `message` holds all of it. Its type has been checked.
fn body_of(message: &[u8]) -> Option<Result<&[u8], NotHello>> {
    let length = message.get(1..4)?;
    let length = usize::from(length[0]) << 16 | usize::from(length[1]) << 8 | usize::from(length[2]);
    if length > HELLO_MAX {
        return Some(Err(NotHello::TooLong));
    }
    message.get(4..4 + length).map(Ok)
}

impl Hello<'_> {
    /// The fields; `None` if lengths contradict each other.
    pub fn parse(&self) -> Option<ClientHello<'_>> {
        let mut body = Reader(&self.body);
        let mut hello = ClientHello { version: body.u16()?, random: body.take(32)?, ..ClientHello::default() };
        hello.session_id = body.vector8()?;
        hello.cipher_suites = body.vector16()?;
        body.vector8()?;
        if hello.session_id.len() > 32 || !hello.cipher_suites.len().is_multiple_of(2) {
            return None;
        }
        if body.0.is_empty() {
            return Some(hello);
        }
        hello.extensions = body.vector16()?;
        let mut extensions = Reader(hello.extensions);
        while !extensions.0.is_empty() {
            let kind = extensions.u16()?;
            let value = extensions.vector16()?;
            hello.extension(kind, value)?;
        }
        body.0.is_empty().then_some(hello)
    }
}

impl<'a> ClientHello<'a> {
    fn extension(&mut self, kind: u16, value: &'a [u8]) -> Option<()> {
        let mut reader = Reader(value);
        match kind {
            0 => {
                // RFC 6066 §3: a list of names by type; only host_name (0) exists.
                let mut names = Reader(reader.vector16()?);
                while !names.0.is_empty() {
                    let name_type = names.u8()?;
                    let name = names.vector16()?;
                    if name_type == 0 && self.sni.is_none() {
                        self.sni = Some(name);
                    }
                }
            }
            10 => self.supported_groups = Some(reader.vector16()?),
            11 => self.ec_point_formats = Some(reader.vector8()?),
            13 => self.signature_algorithms = Some(reader.vector16()?),
            16 => self.alpn = Some(reader.vector16()?),
            35 => self.session_ticket = Some(value),
            41 => self.has_psk = true,
            42 => self.has_early_data = true,
            43 => self.supported_versions = Some(reader.vector8()?),
            51 => self.key_share = Some(reader.vector16()?),
            _ => {}
        }
        Some(())
    }

    /// ALPN names, most preferred first. Stops where the list is malformed.
    pub fn alpn_names(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut list = Reader(self.alpn.unwrap_or_default());
        std::iter::from_fn(move || if list.0.is_empty() { None } else { list.vector8() })
    }

    /// Whether the client offers this version (0x0304 is TLS 1.3).
    pub fn offers_version(&self, version: u16) -> bool {
        match self.supported_versions {
            Some(list) => pairs(list).any(|v| v == version),
            None => self.version >= version && version < 0x0304,
        }
    }

    /// The highest version offered, GREASE (RFC 8701) left out: what `req.ssl_ver` and `ssl_fc_protocol_hello_id` tell.
    pub fn highest_version(&self) -> u16 {
        match self.supported_versions {
            Some(list) => pairs(list).filter(|v| v & 0x0f0f != 0x0a0a).max().unwrap_or(self.version),
            None => self.version,
        }
    }

    /// `req.ssl_st_ext`: 0 no extension, 1 an empty one, 2 one with a ticket.
    pub fn session_ticket_extension(&self) -> u8 {
        match self.session_ticket {
            None => 0,
            Some([]) => 1,
            Some(_) => 2,
        }
    }

    /// Groups of the key shares, two bytes each, as `req.ssl_keyshare_groups` gives them; appended to `out`.
    pub fn key_share_groups(&self, out: &mut Vec<u8>) {
        let mut list = Reader(self.key_share.unwrap_or_default());
        while let Some(group) = list.u16() {
            if list.vector16().is_none() {
                return;
            }
            out.extend_from_slice(&group.to_be_bytes());
        }
    }

    /// Types of the extensions in the order sent, two bytes each (`ssl_fc_extlist_bin`); appended to `out`.
    pub fn extension_types(&self, out: &mut Vec<u8>) {
        let mut list = Reader(self.extensions);
        while let Some(kind) = list.u16() {
            if list.vector16().is_none() {
                return;
            }
            out.extend_from_slice(&kind.to_be_bytes());
        }
    }
}

/// The values of a list of two-byte values.
pub fn pairs(list: &[u8]) -> impl Iterator<Item = u16> {
    list.chunks_exact(2).map(|p| u16::from_be_bytes([p[0], p[1]]))
}

/// A cursor over RFC 8446 §3's presentation language.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|b| b[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|b| u16::from_be_bytes([b[0], b[1]]))
    }

    fn vector8(&mut self) -> Option<&'a [u8]> {
        let n = self.u8()?;
        self.take(n.into())
    }

    fn vector16(&mut self) -> Option<&'a [u8]> {
        let n = self.u16()?;
        self.take(n.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ClientHello for `name` with ALPN `h2,http/1.1`, TLS 1.3 and 1.2, in records of `size` bytes.
    fn sample(name: &str, size: usize) -> Vec<u8> {
        let ext = |kind: u16, value: Vec<u8>| {
            let mut e = kind.to_be_bytes().to_vec();
            e.extend((value.len() as u16).to_be_bytes());
            e.extend(value);
            e
        };
        let mut sni = ((name.len() + 3) as u16).to_be_bytes().to_vec();
        sni.push(0);
        sni.extend((name.len() as u16).to_be_bytes());
        sni.extend(name.as_bytes());
        let mut extensions = ext(0, sni);
        extensions.extend(ext(16, b"\0\x0c\x02h2\x08http/1.1".to_vec()));
        extensions.extend(ext(43, vec![6, 0x4a, 0x4a, 3, 4, 3, 3]));
        extensions.extend(ext(13, vec![0, 4, 4, 3, 8, 4]));
        extensions.extend(ext(35, vec![]));
        extensions.extend(ext(51, vec![0, 6, 0, 29, 0, 2, 1, 2]));
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 4, 0x13, 1, 0xc0, 0x2f, 1, 0]);
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        let mut message = vec![1, 0, (body.len() >> 8) as u8, body.len() as u8];
        message.extend(body);
        let mut wire = Vec::new();
        for part in message.chunks(size) {
            wire.extend([22, 3, 1, (part.len() >> 8) as u8, part.len() as u8]);
            wire.extend(part);
        }
        wire
    }

    #[test]
    fn hello_is_read_whatever_the_records_and_however_it_arrives() {
        for size in [1, 3, 50, 16_384] {
            let wire = sample("www.example.com", size);
            for end in 0..wire.len() {
                assert!(matches!(peek(&wire[..end]), Peek::Partial), "record size {size}, {end} bytes");
            }
            let Peek::Complete(hello) = peek(&wire) else { panic!("record size {size}") };
            let fields = hello.parse().unwrap();
            assert_eq!(fields.sni, Some(&b"www.example.com"[..]));
            assert_eq!(fields.alpn_names().collect::<Vec<_>>(), [&b"h2"[..], b"http/1.1"]);
            assert!(fields.offers_version(0x0304) && fields.offers_version(0x0303));
            assert!(!fields.offers_version(0x0302));
            assert_eq!(fields.highest_version(), 0x0304);
            assert_eq!(fields.session_ticket_extension(), 1);
            let mut groups = Vec::new();
            fields.key_share_groups(&mut groups);
            assert_eq!(groups, [0, 29]);
        }
    }

    #[test]
    fn what_is_no_hello_is_told_apart() {
        assert!(matches!(peek(b"GET / HTTP/1.1\r\n"), Peek::No(NotHello::NotTls)));
        assert!(matches!(peek(&[22, 3, 1, 0, 10, 2, 0, 0, 6]), Peek::No(NotHello::OtherMessage(2))));
        assert!(matches!(peek(&[22, 3, 1, 0, 10, 1, 1, 0, 0]), Peek::No(NotHello::TooLong)));
        assert!(matches!(peek(&[22, 3, 1, 0, 0]), Peek::No(NotHello::Malformed)));
    }

    #[test]
    fn cut_lengths_are_malformed_and_never_panic() {
        let wire = sample("a", 16_384);
        for at in 9..wire.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bad = wire.clone();
                bad[at] = value;
                if let Peek::Complete(hello) = peek(&bad)
                    && let Some(fields) = hello.parse()
                {
                    fields.alpn_names().count();
                    fields.highest_version();
                }
            }
        }
    }
}
