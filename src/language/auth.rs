//! User lists (manual 12.2 "userlist") and HTTP basic authentication. Passwords are plain or crypt(3) hashes.

use super::parse::{Error, Words};
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

impl Userlist {
    /// Reads a `user` or `group` line of a section. Groups are kept in `pending` until [`Userlist::join`].
    /// `Ok(Some(_))` is a warning. Errors have HAProxy's text.
    pub fn parse_line(&mut self, words: &[&str], pending: &mut Pending) -> Result<Option<String>, Error> {
        match words.first().copied().unwrap_or_default() {
            "user" => self.parse_user(words, pending),
            "group" => Self::parse_group(words, pending).map(|()| None),
            other => Err(Error::new(0, format!("unknown keyword '{other}' in 'userlist' section"))),
        }
    }

    fn parse_user(&mut self, words: &[&str], pending: &mut Pending) -> Result<Option<String>, Error> {
        let mut w = Words::new(words, 0);
        w.next();
        let name = w.expect("'user' expects <name> as arguments.")?;
        let mut user = User::default();
        let mut groups = Vec::new();
        while let Some(option) = w.next() {
            let value = w.next().unwrap_or_default();
            match option {
                "password" => user.password = Password::Hash(value.into()),
                "insecure-password" => user.password = Password::Plain(value.as_bytes().into()),
                "groups" => groups.extend(value.split(',').filter(|g| !g.is_empty()).map(Box::<str>::from)),
                _ => {
                    let text = "'user' only supports 'password', 'insecure-password' and 'groups' options.";
                    return Err(w.error_before(text));
                }
            }
        }
        if self.users.contains_key(name.as_bytes()) {
            return Ok(Some(format!("ignoring duplicated user '{name}' in userlist '{}'.", self.name)));
        }
        self.users.insert(name.as_bytes().into(), user);
        pending.of_user.push((name.into(), groups));
        Ok(None)
    }

    fn parse_group(words: &[&str], pending: &mut Pending) -> Result<(), Error> {
        let mut w = Words::new(words, 0);
        w.next();
        let name = w.expect("'group' expects <name> as arguments.")?;
        let mut users = Vec::new();
        while let Some(option) = w.next() {
            if option != "users" {
                return Err(w.error_before("'group' only supports 'users' option."));
            }
            users.extend(w.next().unwrap_or_default().split(',').filter(|u| !u.is_empty()).map(Box::<str>::from));
        }
        pending.of_group.push((name.into(), users));
        Ok(())
    }

    /// Joins users and groups at the section's end.
    pub fn join(&mut self, pending: Pending) -> Result<(), String> {
        for (user, groups) in &pending.of_user {
            for group in groups {
                if !pending.of_group.iter().any(|(g, _)| g == group) {
                    return Err(format!(
                        "userlist '{}': no such group '{group}' specified in user '{user}'",
                        self.name
                    ));
                }
                self.put(user, group);
            }
        }
        for (group, users) in &pending.of_group {
            for user in users {
                if !self.put(user, group) {
                    return Err(format!(
                        "userlist '{}': no such user '{user}' specified in group '{group}'",
                        self.name
                    ));
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, user: &str, group: &str) -> bool {
        let Some(user) = self.users.get_mut(user.as_bytes()) else { return false };
        if !user.groups.iter().any(|g| &**g == group) {
            user.groups.push(group.into());
        }
        true
    }
}

/// Groups of users and users of groups, as they were written.
#[derive(Debug, Default)]
pub struct Pending {
    of_user: Vec<(Box<str>, Vec<Box<str>>)>,
    of_group: Vec<(Box<str>, Vec<Box<str>>)>,
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
