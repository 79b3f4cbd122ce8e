//! One direction of TLS record protection after the handshake (RFC 8446 §5.2, RFC 5246 §6.2.3.3 with RFC 5288 and
//! RFC 7905). Records are opened in place in the received buffer and sealed straight into the buffer that is sent: the
//! reason why this is ours and not the library's, which allocates and copies for every record. The library makes the
//! keys (`ConnectionTrafficSecrets`) and knows the handshake.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use rustls::ConnectionTrafficSecrets;
use std::ops::Range;

/// Type, version and length.
pub const HEADER: usize = 5;
/// Plain bytes in a record at most.
pub const PLAIN_MAX: usize = 16_384;
/// Bytes of a protected record at most, header included: RFC 8446 allows 256 more than the plain text, RFC 5246 2048.
pub const RECORD_MAX: usize = HEADER + PLAIN_MAX + 2048;
const TAG: usize = 16;
/// Nonce bytes that TLS 1.2 sends with each AES-GCM record.
const EXPLICIT: usize = 8;

pub const CHANGE_CIPHER_SPEC: u8 = 20;
pub const ALERT: u8 = 21;
pub const HANDSHAKE: u8 = 22;
pub const APPLICATION_DATA: u8 = 23;

/// Why a record was refused. Each has its alert (RFC 8446 §6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordError {
    /// It was altered, or sealed with another key.
    BadMac,
    TooLong,
    /// A type that has no place here.
    UnexpectedType,
}

/// Keys and sequence number of one direction.
pub struct Protection {
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Tls13,
    /// TLS 1.2 with eight bytes of nonce in each record.
    Tls12Gcm,
    /// TLS 1.2 with the nonce made from the sequence number alone.
    Tls12Chacha,
}

impl Protection {
    /// `None` for a secret of a kind that the library may add one day.
    pub fn new(secrets: ConnectionTrafficSecrets, sequence: u64, tls13: bool) -> Option<Protection> {
        let (algorithm, key, iv, gcm) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv, true),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv, true),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv, false),
            _ => return None,
        };
        // AES-128 keys come in a 32 byte container that knows its used length.
        let key = UnboundKey::new(algorithm, key.as_ref()).ok()?;
        let format = match (tls13, gcm) {
            (true, _) => Format::Tls13,
            (false, true) => Format::Tls12Gcm,
            (false, false) => Format::Tls12Chacha,
        };
        Some(Protection { key: LessSafeKey::new(key), iv: iv.as_ref().try_into().ok()?, sequence, format })
    }

    /// Records sealed or opened with this key so far.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    pub fn is_tls13(&self) -> bool {
        self.format == Format::Tls13
    }

    /// Appends one record with `plain` (at most [`PLAIN_MAX`] bytes) to `out`. Errs only if the cipher does.
    pub fn seal(&mut self, kind: u8, plain: &[u8], out: &mut Vec<u8>) -> Result<(), RecordError> {
        debug_assert!(plain.len() <= PLAIN_MAX);
        let nonce = self.nonce();
        let start = out.len();
        let (explicit, inner_kind) = match self.format {
            Format::Tls13 => (0, 1),
            Format::Tls12Gcm => (EXPLICIT, 0),
            Format::Tls12Chacha => (0, 0),
        };
        let length = explicit + plain.len() + inner_kind + TAG;
        let outer = if self.format == Format::Tls13 { APPLICATION_DATA } else { kind };
        let header = [outer, 3, 3, (length >> 8) as u8, length as u8];
        out.reserve(HEADER + length);
        out.extend_from_slice(&header);
        out.extend_from_slice(&nonce[12 - explicit..]);
        let body = out.len();
        out.resize(start + HEADER + length, 0);
        let (cipher, tail) = out[body..].split_at_mut(plain.len());
        let extra: &[u8] = if inner_kind == 1 { &[kind] } else { &[] };
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = match self.format {
            Format::Tls13 => self.key.seal_out_of_place_scatter(nonce, Aad::from(header), plain, cipher, extra, tail),
            _ => {
                let aad = Aad::from(self.additional_12(kind, plain.len()));
                self.key.seal_out_of_place_scatter(nonce, aad, plain, cipher, extra, tail)
            }
        };
        if sealed.is_err() {
            out.truncate(start);
            return Err(RecordError::TooLong);
        }
        self.sequence += 1;
        Ok(())
    }

    /// Opens the whole record in `record` (header included) in place; returns its type and where its plain text lies.
    pub fn open(&mut self, record: &mut [u8]) -> Result<(u8, Range<usize>), RecordError> {
        let kind = record[0];
        match self.format {
            Format::Tls13 => self.open_13(kind, record),
            Format::Tls12Gcm => {
                if record.len() < HEADER + EXPLICIT + TAG {
                    return Err(RecordError::BadMac);
                }
                let mut nonce = [0; 12];
                nonce[..4].copy_from_slice(&self.iv[..4]);
                nonce[4..].copy_from_slice(&record[HEADER..HEADER + EXPLICIT]);
                self.open_12(kind, nonce, HEADER + EXPLICIT, record)
            }
            Format::Tls12Chacha => self.open_12(kind, self.nonce(), HEADER, record),
        }
    }

    fn open_13(&mut self, kind: u8, record: &mut [u8]) -> Result<(u8, Range<usize>), RecordError> {
        // RFC 8446 §5.2: the outer type of a protected record is always application_data.
        if kind != APPLICATION_DATA {
            return Err(RecordError::UnexpectedType);
        }
        let header: [u8; HEADER] = record[..HEADER].try_into().map_err(|_| RecordError::BadMac)?;
        let nonce = Nonce::assume_unique_for_key(self.nonce());
        let inner = self
            .key
            .open_in_place(nonce, Aad::from(header), &mut record[HEADER..])
            .map_err(|_| RecordError::BadMac)?;
        self.sequence += 1;
        if inner.len() > PLAIN_MAX + 1 {
            return Err(RecordError::TooLong);
        }
        // §5.4: the type is the last byte that is not zero.
        let length = inner.iter().rposition(|b| *b != 0).ok_or(RecordError::UnexpectedType)?;
        Ok((inner[length], HEADER..HEADER + length))
    }

    fn open_12(
        &mut self,
        kind: u8,
        nonce: [u8; 12],
        start: usize,
        record: &mut [u8],
    ) -> Result<(u8, Range<usize>), RecordError> {
        let length = record.len().checked_sub(start + TAG).ok_or(RecordError::BadMac)?;
        if length > PLAIN_MAX {
            return Err(RecordError::TooLong);
        }
        let aad = Aad::from(self.additional_12(kind, length));
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key.open_in_place(nonce, aad, &mut record[start..]).map_err(|_| RecordError::BadMac)?;
        self.sequence += 1;
        Ok((kind, start..start + length))
    }

    /// RFC 8446 §5.3; rustls seeds TLS 1.2's explicit nonce the same way.
    fn nonce(&self) -> [u8; 12] {
        let mut nonce = self.iv;
        for (n, s) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *n ^= s;
        }
        nonce
    }

    /// RFC 5246 §6.2.3.3: what is authenticated beside the text.
    fn additional_12(&self, kind: u8, length: usize) -> [u8; 13] {
        let mut aad = [0; 13];
        aad[..8].copy_from_slice(&self.sequence.to_be_bytes());
        aad[8..].copy_from_slice(&[kind, 3, 3, (length >> 8) as u8, length as u8]);
        aad
    }
}

/// The whole length of the record at the start of `bytes`, header included; `None` while the header is not there.
pub fn record_length(bytes: &[u8]) -> Result<Option<usize>, RecordError> {
    let Some(header) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
    let length = HEADER + usize::from(u16::from_be_bytes([header[3], header[4]]));
    if !(CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(&header[0]) || header[1] != 3 {
        return Err(RecordError::UnexpectedType);
    }
    if length > RECORD_MAX {
        return Err(RecordError::TooLong);
    }
    Ok(Some(length))
}
