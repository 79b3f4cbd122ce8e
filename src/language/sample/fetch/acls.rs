//! `acl(name[,name…])`: whether named ACLs all hold (manual 7.3.2).

use super::{Fetch, row};
use crate::language::acl::Truth;
use crate::language::context::Context;
use crate::language::parse::Parse;
use crate::language::sample::scope::*;
use crate::language::sample::{Arg, Args, Probe, Sample, Type};
use std::sync::Arc;

const NAMES: &str = "string[,string,string,string,string,string,string,string,string,string,string,string]";

pub const ROWS: &[Fetch] = &[row("acl", NAMES, Type::Bool, ANYWHERE, all).checked(check)];

/// A leading `!` negates a name.
fn check(args: &mut Args, p: &mut Parse<'_>) -> Result<(), String> {
    let mut acls = Vec::new();
    for i in 0..args.len() {
        let Some(word) = args.text(i).filter(|w| !w.is_empty()) else { continue };
        let name = word.trim_start_matches('!');
        let negated = (word.len() - name.len()) % 2 == 1;
        match crate::language::acl::find(name, p).map_err(|e| e.text)? {
            Some(acl) => acls.push((negated, acl)),
            None => return Err(format!("ACL '{name}' not found")),
        }
    }
    args.put(0, Arg::Acls(Arc::new(acls)));
    Ok(())
}

fn all<'c>(args: &'c Args, cx: &'c Context<'_>, probe: &mut Probe) -> Option<Sample<'c>> {
    let Arg::Acls(acls) = args.get(0) else { return None };
    for (negated, acl) in acls.iter() {
        let truth = acl.test_within(cx, probe.depth + 1);
        let truth = if *negated { !truth } else { truth };
        match truth {
            Truth::Yes => {}
            Truth::No => return Some(Sample::Bool(false)),
            Truth::Maybe => {
                probe.may_change = true;
                return None;
            }
        }
    }
    Some(Sample::Bool(true))
}
