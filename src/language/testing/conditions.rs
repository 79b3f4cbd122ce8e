//! Conditions and what HAProxy 3.4 makes of them on the same request (`conditions.tsv`: condition, tab, yes or no).

use super::{Bench, Shelf, split};
use crate::language::acl::{Condition, Truth};
use crate::language::context::Side;
use crate::language::parse::Words;
use crate::language::sample::Sample;
use crate::language::sample::scope::Points;
use crate::language::vars::VarName;

const ANSWERS: &str = include_str!("conditions.tsv");
const FILES: &[(&str, &str)] = &[
    ("/m/b.map", "/p short\n/path long\n/a end\n/path/a both\npath dir\n"),
    ("/m/p.lst", "/path/a\n/other\n"),
    ("/m/b2.map", "/path/a v\n"),
];

#[test]
fn conditions_hold_where_haproxys_do() {
    let mut bench = Bench { shelf: Shelf(FILES.to_vec()), ..Bench::default() };
    bench.userlists.insert("u1".into(), Default::default());
    bench.vars.set(&VarName::parse("txn.one").unwrap(), &Sample::Sint(1));
    for line in ["named path /nope", "named hdr(host) -m sub acme", "named2 path /nope /path/a", "named2 path /x"] {
        bench.acl(line).unwrap();
    }
    let mut wrong = Vec::new();
    for line in ANSWERS.lines() {
        let Some((text, expected)) = line.split_once('\t') else { continue };
        // The world of these tests has no servers.
        if text.contains("nbsrv") {
            continue;
        }
        let text = text.replace('"', "'");
        let words = split(&text);
        let ours = match bench.parse(Points::FE_HRQ_HDR, |p| Condition::parse(&mut Words::new(&words, 0), p)) {
            Err(e) => e.text,
            Ok(condition) => bench.with(Side::Request, |cx| match condition.test(cx) {
                Truth::Yes => "yes".to_owned(),
                Truth::No => "no".to_owned(),
                Truth::Maybe => "maybe".to_owned(),
            }),
        };
        if ours != expected {
            wrong.push(format!("{text}: HAProxy {expected}, here {ours}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
