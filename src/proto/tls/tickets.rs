//! Session tickets under keys that all workers share (RFC 5077 §4's construction, as OpenSSL and so HAProxy use it: key
//! name, IV, AES-CBC, HMAC-SHA-256 over all before it) and `tls-ticket-keys` files (manual 5.1). Keys are read without
//! a lock and replaced as a whole.
//!
//! A ticket that HAProxy sealed can be opened with the same file, but not resumed: what is inside is the TLS library's own
//! encoding of a session. Two of our processes, or ours before and after a restart, do resume each other's.

use super::moment::{self, Binding};
use super::verify_code::VerifyResult;
use arc_swap::ArcSwap;
use aws_lc_rs::cipher::{
    AES_128, AES_256, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey,
    UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{hmac, rand};
use base64::Engine;
use rustls::server::ProducesTickets;
use std::fmt;
use std::sync::Arc;

/// Keys that are kept: HAProxy's TLS_TICKETS_NO. The last but one seals, all open.
pub const TLS_TICKETS_NO: usize = 3;
const NAME: usize = 16;
const IV: usize = 16;
const MAC: usize = 32;

/// One key: name, AES and HMAC halves.
struct TicketKey {
    name: [u8; NAME],
    aes: [u8; 32],
    aes_len: usize,
    hmac: hmac::Key,
    /// As it was given, for the process that follows.
    bytes: Box<[u8]>,
}

impl Drop for TicketKey {
    fn drop(&mut self) {
        wipe(&mut self.aes);
        wipe(&mut self.bytes);
    }
}

/// Overwrites a secret in a way that is not optimised away. (`hmac::Key` is cleaned by AWS-LC.)
pub fn wipe(secret: &mut [u8]) {
    secret.fill(0);
    std::hint::black_box(secret);
}

impl TicketKey {
    /// From 48 or 80 bytes: name, AES key (128 or 256 bits), HMAC key of the same length. Found by checking tickets of HAProxy
    /// 3.4.0 against its key files.
    fn from_bytes(bytes: &[u8]) -> Option<TicketKey> {
        let name = *bytes.first_chunk::<NAME>()?;
        let (aes_key, hmac_key) = match bytes.len() {
            48 | 80 => bytes[NAME..].split_at((bytes.len() - NAME) / 2),
            _ => return None,
        };
        let mut aes = [0; 32];
        aes[..aes_key.len()].copy_from_slice(aes_key);
        let hmac = hmac::Key::new(hmac::HMAC_SHA256, hmac_key);
        Some(TicketKey { name, aes, aes_len: aes_key.len(), hmac, bytes: bytes.into() })
    }

    fn cipher(&self) -> Option<UnboundCipherKey> {
        let algorithm = if self.aes_len == 16 { &AES_128 } else { &AES_256 };
        UnboundCipherKey::new(algorithm, &self.aes[..self.aes_len]).ok()
    }

    fn seal(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut iv = [0; IV];
        rand::fill(&mut iv).ok()?;
        let mut body = Vec::with_capacity(plain.len() + 16);
        body.extend_from_slice(plain);
        PaddedBlockEncryptingKey::cbc_pkcs7(self.cipher()?)
            .ok()?
            .less_safe_encrypt(&mut body, EncryptionContext::Iv128(FixedLength::from(iv)))
            .ok()?;
        let mut ticket = Vec::with_capacity(NAME + IV + body.len() + MAC);
        ticket.extend_from_slice(&self.name);
        ticket.extend_from_slice(&iv);
        ticket.extend_from_slice(&body);
        let tag = hmac::sign(&self.hmac, &ticket);
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn open(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (signed, tag) = ticket.split_at_checked(ticket.len().checked_sub(MAC)?)?;
        let (head, body) = signed.split_at_checked(NAME + IV)?;
        // The tag first: nothing is decrypted that we did not seal.
        hmac::verify(&self.hmac, signed, tag).ok()?;
        let iv: [u8; IV] = head[NAME..].try_into().ok()?;
        let mut plain = body.to_vec();
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(self.cipher()?).ok()?;
        let length = key.decrypt(&mut plain, DecryptionContext::Iv128(FixedLength::from(iv))).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
}

/// Ticket keys of a bind line or of the process.
pub struct TicketKeys {
    keys: ArcSwap<Vec<TicketKey>>,
    lifetime_s: u32,
}

/// Why a `tls-ticket-keys` file is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketKeysError {
    BadBase64 {
        line: usize,
    },
    /// Another length than 48 or 80 bytes.
    BadKey {
        line: usize,
    },
    /// Lengths differ between lines.
    MixedLengths {
        line: usize,
    },
    TooFew,
}

impl TicketKeys {
    /// Random keys of this process; [`TicketKeys::rotate`] replaces them over time.
    pub fn random(lifetime_s: u32) -> Arc<TicketKeys> {
        let keys = (0..TLS_TICKETS_NO).filter_map(|_| random_key()).collect();
        Arc::new(TicketKeys { keys: ArcSwap::from_pointee(keys), lifetime_s })
    }

    /// Reads a `tls-ticket-keys` file: a key a line, the last three count.
    pub fn from_file(text: &str, lifetime_s: u32) -> Result<Arc<TicketKeys>, TicketKeysError> {
        let mut keys: Vec<TicketKey> = Vec::new();
        for (at, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
            let mut bytes = decode(line, at + 1)?;
            let key = TicketKey::from_bytes(&bytes);
            wipe(&mut bytes);
            let key = key.ok_or(TicketKeysError::BadKey { line: at + 1 })?;
            if keys.first().is_some_and(|first| first.aes_len != key.aes_len) {
                return Err(TicketKeysError::MixedLengths { line: at + 1 });
            }
            if keys.len() == TLS_TICKETS_NO {
                keys.remove(0);
            }
            keys.push(key);
        }
        if keys.len() < TLS_TICKETS_NO {
            return Err(TicketKeysError::TooFew);
        }
        Ok(Arc::new(TicketKeys { keys: ArcSwap::from_pointee(keys), lifetime_s }))
    }

    /// Appends a key given in base64 and drops the oldest (`set ssl tls-key`). Errs on a bad key or another length.
    pub fn push(&self, base64: &str) -> Result<(), TicketKeysError> {
        let bytes = decode(base64, 1)?;
        let bad = TicketKeysError::BadKey { line: 1 };
        let key = TicketKey::from_bytes(&bytes).ok_or(bad)?;
        if self.keys.load().first().is_some_and(|k| k.aes_len != key.aes_len) {
            return Err(TicketKeysError::MixedLengths { line: 1 });
        }
        self.replace_oldest(key);
        Ok(())
    }

    /// How long a ticket is good for, in seconds.
    pub fn lifetime_s(&self) -> u32 {
        self.lifetime_s
    }

    /// Replaces the oldest random key; called by the control plane every `lifetime`, so that a key that seals
    /// tickets lives for one period and opens them for one more.
    pub fn rotate(&self) {
        if let Some(key) = random_key() {
            self.replace_oldest(key);
        }
    }

    /// The keys, oldest first, for a process that is to open the tickets of this one. Secret.
    pub fn export(&self) -> Vec<Box<[u8]>> {
        self.keys.load().iter().map(|k| k.bytes.clone()).collect()
    }

    /// Takes keys over in the place of its own; false when they are none.
    pub fn import(&self, keys: &[Vec<u8>]) -> bool {
        let keys: Option<Vec<TicketKey>> = keys.iter().map(|k| TicketKey::from_bytes(k)).collect();
        let Some(keys) = keys.filter(|k| k.len() == TLS_TICKETS_NO) else { return false };
        self.keys.store(Arc::new(keys));
        true
    }

    fn replace_oldest(&self, key: TicketKey) {
        let old = self.keys.load_full();
        let mut keys: Vec<TicketKey> = old.iter().map(TicketKey::copy).collect();
        keys.remove(0);
        keys.push(key);
        self.keys.store(Arc::new(keys));
    }

    fn seal(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.keys.load().get(TLS_TICKETS_NO - 2)?.seal(plain)
    }

    fn open(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.keys.load().iter().find(|k| ticket.starts_with(&k.name))?.open(ticket)
    }
}

impl TicketKey {
    fn copy(&self) -> TicketKey {
        let (hmac, bytes) = (self.hmac.clone(), self.bytes.clone());
        TicketKey { name: self.name, aes: self.aes, aes_len: self.aes_len, hmac, bytes }
    }
}

fn decode(text: &str, line: usize) -> Result<Vec<u8>, TicketKeysError> {
    let decoded = base64::engine::general_purpose::STANDARD.decode(text.trim());
    // HAProxy: what decodes to less than a name and keys is "unable to decode".
    decoded.ok().filter(|d| !d.is_empty()).ok_or(TicketKeysError::BadBase64 { line })
}

fn random_key() -> Option<TicketKey> {
    let mut bytes = [0; 80];
    rand::fill(&mut bytes).ok()?;
    let key = TicketKey::from_bytes(&bytes);
    wipe(&mut bytes);
    key
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKeys")
    }
}

impl ProducesTickets for TicketKeys {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.lifetime_s
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = Vec::with_capacity(Note::LENGTH + plain.len());
        Note::take().write(&mut sealed);
        sealed.extend_from_slice(plain);
        self.seal(&sealed)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let plain = self.open(ticket)?;
        Note::accept(&plain, self.lifetime_s).map(<[u8]>::to_vec)
    }
}

/// What we keep with each session beside the library's state, in tickets and in the cache alike.
pub struct Note {
    pub issued_s: u64,
    pub binding: Binding,
    pub verify: VerifyResult,
}

impl Note {
    pub const LENGTH: usize = 8 + 16 + 5;

    /// Of the connection being read.
    pub fn take() -> Note {
        moment::with(|m| Note { issued_s: m.now_s, binding: m.binding, verify: m.verify })
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.issued_s.to_be_bytes());
        out.extend_from_slice(&self.binding);
        // OpenSSL's codes and depths fit in a byte each.
        let v = &self.verify;
        let codes = [v.result, v.crt_err, v.ca_err, v.ca_err_depth].map(|c| c.min(255) as u8);
        out.extend_from_slice(&codes);
        out.push(u8::from(v.presented));
    }

    fn read(bytes: &[u8]) -> Option<(Note, &[u8])> {
        let (note, rest) = bytes.split_first_chunk::<{ Note::LENGTH }>()?;
        let code = |i: usize| u32::from(note[24 + i]);
        let verify = VerifyResult {
            result: code(0),
            crt_err: code(1),
            ca_err: code(2),
            ca_err_depth: code(3),
            presented: code(4) != 0,
        };
        let issued_s = u64::from_be_bytes(*note.first_chunk()?);
        Some((Note { issued_s, binding: note[8..24].try_into().ok()?, verify }, rest))
    }

    /// The library's state, if this session may be resumed by the connection being read: same certificate and client
    /// policy, not too old. Its verification result becomes the connection's.
    pub fn accept(bytes: &[u8], lifetime_s: u32) -> Option<&[u8]> {
        let (note, state) = Note::read(bytes)?;
        moment::with(|m| {
            let age = m.now_s.saturating_sub(note.issued_s);
            if note.binding != m.binding || age > u64::from(lifetime_s) {
                return None;
            }
            m.verify = note.verify;
            Some(state)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::moment::Moment;
    use super::*;

    fn file(length: usize, seeds: &[u8]) -> String {
        seeds.iter().map(|s| base64::engine::general_purpose::STANDARD.encode(vec![*s; length]) + "\n").collect()
    }

    fn enter(now_s: u64, binding: u8) {
        moment::enter(Moment { now_s, binding: [binding; 16], ..Moment::default() });
    }

    #[test]
    fn tickets_pass_between_holders_of_the_same_file() {
        for length in [48, 80] {
            let one = TicketKeys::from_file(&file(length, &[1, 2, 3]), 300).unwrap();
            // Rotated once more: the sealing key is still among those that open.
            let two = TicketKeys::from_file(&file(length, &[1, 2, 3, 4]), 300).unwrap();
            enter(1000, 7);
            let ticket = one.encrypt(b"state").unwrap();
            assert_eq!(ticket[..16], [2; 16], "the last but one seals");
            assert_eq!(two.decrypt(&ticket).unwrap(), b"state");
            for at in [0, 17, 40, ticket.len() - 1] {
                let mut bad = ticket.clone();
                bad[at] ^= 1;
                assert_eq!(two.decrypt(&bad), None);
            }
            for end in 0..ticket.len() {
                assert_eq!(two.decrypt(&ticket[..end]), None);
            }
        }
    }

    #[test]
    fn tickets_are_bound_to_policy_and_age() {
        let keys = TicketKeys::random(300);
        enter(1000, 7);
        moment::with(|m| m.verify.result = 10);
        let ticket = keys.encrypt(b"state").unwrap();
        enter(1300, 7);
        assert!(keys.decrypt(&ticket).is_some());
        assert_eq!(moment::leave().verify.result, 10, "the verification result comes back");
        enter(1301, 7);
        assert_eq!(keys.decrypt(&ticket), None);
        enter(1000, 8);
        assert_eq!(keys.decrypt(&ticket), None);
    }

    #[test]
    fn random_keys_open_for_one_more_period() {
        let keys = TicketKeys::random(300);
        enter(0, 0);
        let ticket = keys.encrypt(b"state").unwrap();
        keys.rotate();
        assert!(keys.decrypt(&ticket).is_some());
        keys.rotate();
        assert!(keys.decrypt(&ticket).is_none());
    }

    #[test]
    fn bad_files_are_refused() {
        assert_eq!(TicketKeys::from_file(&file(48, &[1, 2]), 1).unwrap_err(), TicketKeysError::TooFew);
        assert_eq!(TicketKeys::from_file(&file(47, &[1]), 1).unwrap_err(), TicketKeysError::BadKey { line: 1 });
        let mixed = file(48, &[1, 2]) + &file(80, &[3]);
        assert_eq!(TicketKeys::from_file(&mixed, 1).unwrap_err(), TicketKeysError::MixedLengths { line: 3 });
        let keys = TicketKeys::from_file(&file(48, &[1, 2, 3]), 1).unwrap();
        assert_eq!(keys.push("!"), Err(TicketKeysError::BadBase64 { line: 1 }));
        assert_eq!(keys.push(&file(48, &[9])), Ok(()));
    }
}
