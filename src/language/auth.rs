//! User lists (manual 3.4 "userlist") and HTTP basic authentication. Passwords are plain or crypt(3) hashes.

use base64::Engine;
use std::collections::HashMap;
use std::sync::Arc;

/// A `userlist` section.
#[derive(Debug, Default)]
pub struct Userlist {
    pub name: Arc<str>,
    pub users: HashMap<Box<[u8]>, User>,
}

/// A `user` line with the groups that name it.
#[derive(Debug, Default, Clone)]
pub struct User {
    pub password: Password,
    pub groups: Vec<Box<str>>,
}

/// How a password is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Password {
    /// No password was given: nobody gets in.
    #[default]
    None,
    Plain(Box<[u8]>),
    /// A crypt(3) hash.
    Hash(Box<str>),
}

impl Userlist {
    /// Whether `user` is listed and `password` is right.
    pub fn check(&self, user: &[u8], password: &[u8]) -> Option<&User> {
        let found = self.users.get(user)?;
        found.password.verify(password).then_some(found)
    }
}

impl Password {
    /// Compares in a time that does not tell how much was right.
    pub fn verify(&self, given: &[u8]) -> bool {
        match self {
            Password::None => false,
            Password::Plain(p) => p.len() == given.len() && p.iter().zip(given).fold(0, |d, (a, b)| d | (a ^ b)) == 0,
            Password::Hash(hash) => crypt_verify(given, hash),
        }
    }
}

fn crypt_verify(given: &[u8], hash: &str) -> bool {
    pwhash::unix::verify(given, hash)
}

/// All user lists of a configuration, by name.
pub type Userlists = HashMap<String, Arc<Userlist>>;

/// Splits the value of `Authorization` or `Proxy-Authorization`: the scheme and what follows it.
pub fn split(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = value.iter().position(|b| matches!(b, b' ' | b'\t'))?;
    Some((&value[..end], value[end..].trim_ascii()))
}

/// Decodes `user:password` of basic authentication into `out` and gives the colon's place.
pub fn basic(credentials: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    base64::engine::general_purpose::STANDARD.decode_vec(credentials, out).ok()?;
    out.iter().position(|b| *b == b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_crypt_are_understood() {
        // Made with `openssl passwd -1/-5/-6 -salt abcdefgh secret`.
        for hash in [
            "$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1",
            "$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.",
            "$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.",
        ] {
            assert!(Password::Hash(hash.into()).verify(b"secret"), "{hash}");
            assert!(!Password::Hash(hash.into()).verify(b"Secret"), "{hash}");
        }
    }
}
