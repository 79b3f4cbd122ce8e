//! Expressions and what HAProxy 3.4 gives for them on the same request (`expressions.tsv`: expression, tab, answer).

use super::{Bench, Shelf};
use crate::language::parse::Files;

const ANSWERS: &str = include_str!("expressions.tsv");
/// The maps that the table's expressions name.
const MAPS: &[(&str, &str)] = &[
    ("/m/m.map", "www.acme.org:8080 exact\nacme.org dom\nacme sub\n"),
    ("/m/b.map", "/p short\n/path long\n/a end\n/path/a both\npath dir\n"),
    ("/m/r.map", "^/no no\n^/(p)ath/(.*) re-\\2-\\1\n"),
    ("/m/i.map", "10.0.0.0/8 ten\n10.1.0.0/16 tenone\n127.0.0.1 lo\n::1 lo6\n"),
    ("/m/n.map", "5 five\n10:20 range\n"),
    ("/m/k.map", "# comment\n\nk 41\n"),
    ("/m/d.map", "dup first\ndup second\n"),
];

#[test]
fn expressions_give_what_haproxy_gives() {
    let mut bench = Bench { shelf: Shelf(MAPS.to_vec()), ..Bench::default() };
    assert!(bench.shelf.read("/m/m.map").is_ok());
    bench.format("%[str(abc),set-var(txn.r0)]");
    let mut wrong = Vec::new();
    for line in ANSWERS.lines() {
        let Some((expression, expected)) = line.split_once('\t') else { continue };
        let ours = bench.format(expression);
        let ours: String = ours.chars().collect();
        if ours != expected {
            wrong.push(format!("{expression}\n    HAProxy {expected:?}\n    here    {ours:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
