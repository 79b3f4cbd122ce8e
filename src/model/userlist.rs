//! `userlist` sections (manual 12.2 of 3.4: "userlists"): names, passwords and groups for `http_auth`.

use crate::base::origin::Origin;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Userlist {
    pub origin: Origin,
    pub name: String,
    pub users: Vec<User>,
    pub groups: Vec<Group>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub password: Password,
    /// Groups named on the user's line; those of `group ... users` are added when the section is resolved.
    pub groups: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Password {
    /// No password: never matches.
    None,
    /// `insecure-password`.
    Plain(String),
    /// `password`: crypt(3) form.
    Crypt(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub users: Vec<String>,
}
