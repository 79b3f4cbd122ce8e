//! `do-resolve`: the address of a name made at run time (manual 4.4).

use super::{Action, At, CONTENT, REQUEST, Run, expression, row};
use crate::language::parse::{Error, Parse, Words};
use crate::language::rules::{Flow, Wait};
use crate::language::sample::Sample;
use crate::language::sample::args::{Reference, ReferenceKind};
use crate::language::vars::VarName;
use crate::language::world::{Answer, Prefer};
use std::sync::{Arc, OnceLock};

pub const ROWS: &[Action] = &[row("do-resolve", CONTENT | REQUEST, do_resolve).prefixed()];

const USAGE: &str =
    "Expects 'do-resolve(<varname>,<resolvers>[,<options>]) <expr>'. Available options are 'ipv4' and 'ipv6'";

/// `do-resolve(<var>,<resolvers>[,ipv4|ipv6]) <expr>`.
fn do_resolve(at: &At<'_>, w: &mut Words<'_>, p: &mut Parse<'_>) -> Result<Run, Error> {
    let usage = || w.error_before(format!("Can't parse '{}'. {USAGE}", at.name));
    let inner =
        at.name["do-resolve".len()..].strip_prefix('(').and_then(|i| i.strip_suffix(')')).ok_or_else(usage)?;
    let mut parts = inner.split(',');
    let (Some(var), Some(section)) = (parts.next(), parts.next()) else { return Err(usage()) };
    let prefer = match parts.next() {
        None | Some("ipv6") => Prefer::Ipv6,
        Some("ipv4") => Prefer::Ipv4,
        Some(_) => return Err(usage()),
    };
    if parts.next().is_some() {
        return Err(usage());
    }
    let var = VarName::parse(var).map_err(|e| w.error_before(e))?;
    let resolvers = Arc::new(Reference {
        kind: ReferenceKind::Resolvers,
        name: section.into(),
        proxy: p.proxy.into(),
        origin: p.origin.clone(),
        place: "do-resolve action".to_owned(),
        index: OnceLock::new(),
        userlist: OnceLock::new(),
    });
    let word = w.peek().unwrap_or_default();
    let expr =
        expression(at, w, p).map_err(|e| match e.text.contains("fetch method") && !e.text.contains("extracts") {
            true => Error::new(e.word, format!("Can't parse '{word}': {}. {USAGE}", e.text)),
            false => e,
        })?;
    p.references.push(resolvers.clone());
    Ok(Box::new(move |cx| {
        let mut name = cx.pool.take();
        let known = expr.write(cx, &mut name);
        let answer = match known {
            true => cx.world.resolve(&resolvers, prefer, &name),
            false => Answer::Now(None),
        };
        cx.pool.give(name);
        match answer {
            Answer::Later => return Flow::Wait(Wait::Name),
            Answer::Now(None) => {}
            Answer::Now(Some(ip)) => {
                // A full scope keeps its old value, as with `set-var`.
                cx.vars.set(&var, &Sample::Ip(ip));
            }
        }
        Flow::Next
    }))
}
