//! `userlist` sections (manual 12.2).

use super::{Loading, Section, forbidden_character};
use crate::{
    config::keyword::args::{Args, Fault},
    model::userlist::{Group, Password, User, Userlist},
};

pub fn open(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<Section, Fault> {
    let name = a.get(1);
    if name.is_empty() {
        return Err(a.tight(1, "'userlist' expects <name> as arguments."));
    }
    a.at_most(1)?;
    if let Some(c) = forbidden_character(name) {
        return Err(a.tight(1, format!("character '{c}' is not permitted in 'userlist' name '{name}'.")));
    }
    if cx.userlists.iter().any(|u| u.name == name) {
        cx.warn_tight(a, 1, format!("ignoring duplicated userlist '{name}'."));
        return Ok(Section::Skipped);
    }
    cx.userlists.push(Userlist { origin: a.origin(), name: name.to_owned(), users: Vec::new(), groups: Vec::new() });
    Ok(Section::Userlist(cx.userlists.len() - 1))
}

pub fn read(cx: &mut Loading<'_>, index: usize, a: &Args<'_>) -> Result<(), Fault> {
    match a.get(0) {
        "user" => user(cx, index, a),
        "group" => group(cx, index, a),
        other => Err(a.tight(0, format!("unknown keyword '{other}' in 'userlist' section"))),
    }
}

fn user(cx: &mut Loading<'_>, index: usize, a: &Args<'_>) -> Result<(), Fault> {
    let name = a.get(1);
    if name.is_empty() {
        return Err(a.tight(1, "'user' expects <name> as arguments."));
    }
    if cx.userlists[index].users.iter().any(|u| u.name == name) {
        let list = cx.userlists[index].name.clone();
        cx.warn_tight(a, 1, format!("ignoring duplicated user '{name}' in userlist '{list}'."));
        return Ok(());
    }
    let mut user = User { name: name.to_owned(), password: Password::None, groups: Vec::new() };
    let mut at = 2;
    while !a.get(at).is_empty() {
        let value = a.get(at + 1).to_owned();
        match a.get(at) {
            "password" => user.password = Password::Crypt(value),
            "insecure-password" => user.password = Password::Plain(value),
            "groups" => user.groups = value.split(',').filter(|g| !g.is_empty()).map(str::to_owned).collect(),
            _ => {
                return Err(a.tight(at, "'user' only supports 'password', 'insecure-password' and 'groups' options."));
            }
        }
        at += 2;
    }
    cx.userlists[index].users.push(user);
    Ok(())
}

fn group(cx: &mut Loading<'_>, index: usize, a: &Args<'_>) -> Result<(), Fault> {
    let name = a.get(1);
    if name.is_empty() {
        return Err(a.tight(1, "'group' expects <name> as arguments."));
    }
    if cx.userlists[index].groups.iter().any(|g| g.name == name) {
        let list = cx.userlists[index].name.clone();
        cx.warn_tight(a, 1, format!("ignoring duplicated group '{name}' in userlist '{list}'."));
        return Ok(());
    }
    let mut group = Group { name: name.to_owned(), users: Vec::new() };
    match a.get(2) {
        "" => {}
        "users" => group.users = a.get(3).split(',').filter(|u| !u.is_empty()).map(str::to_owned).collect(),
        _ => return Err(a.tight(2, "'group' only supports 'users' option.")),
    }
    cx.userlists[index].groups.push(group);
    Ok(())
}
