//! Our catalogues against HAProxy's own table of words: arguments, types and places must be the same, and the number
//! of words that we have must not go down.

use crate::language::sample::{Type, convert, fetch};
use crate::language::{rules, words};

const KNOWN: &str = include_str!("../known_words.tsv");

fn row(kind: &str, name: &str) -> Option<Vec<&'static str>> {
    KNOWN.lines().map(|l| l.split('\t').collect::<Vec<_>>()).find(|c| c[0] == kind && c[1] == name)
}

fn shown(kind: Type) -> &'static str {
    kind.name()
}

#[test]
fn every_fetch_has_haproxys_arguments_type_and_places() {
    let mut wrong = Vec::new();
    for f in fetch::all() {
        let Some(known) = row("fetch", f.name) else {
            wrong.push(format!("{}: unknown to HAProxy", f.name));
            continue;
        };
        let ours = [f.args.to_owned(), shown(f.out).to_owned(), f.needs.points.0.to_string()];
        if known[2..] != ours {
            wrong.push(format!("{}: HAProxy {:?}, here {:?}", f.name, &known[2..], ours));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_converter_has_haproxys_arguments_and_types() {
    let mut wrong = Vec::new();
    for c in convert::all() {
        let Some(known) = row("converter", c.name) else {
            wrong.push(format!("{}: unknown to HAProxy", c.name));
            continue;
        };
        let ours = [c.args.to_owned(), shown(c.input).to_owned(), shown(c.output).to_owned()];
        if known[2..] != ours {
            wrong.push(format!("{}: HAProxy {:?}, here {:?}", c.name, &known[2..], ours));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_word_has_two_rows() {
    let mut names: Vec<_> = fetch::all().map(|f| f.name).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    let mut names: Vec<_> = convert::all().map(|f| f.name).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn the_number_of_words_does_not_go_down() {
    let missing =
        |kind: &'static str, has: &dyn Fn(&str) -> bool| words::all(kind).filter(|w| !has(w)).collect::<Vec<_>>();
    let fetches = missing("fetch", &|w| fetch::find(w).is_some());
    let converters = missing("converter", &|w| convert::find(w).is_some());
    let actions = missing("action", &|w| rules::action::all().any(|a| a.name == w));
    println!("fetches without a row: {fetches:?}\nconverters: {converters:?}\nactions: {actions:?}");
    assert!(fetches.len() <= FETCHES_MISSING_MAX, "{}", fetches.len());
    assert!(converters.len() <= CONVERTERS_MISSING_MAX, "{}", converters.len());
    assert!(actions.len() <= ACTIONS_MISSING_MAX, "{}", actions.len());
}

const FETCHES_MISSING_MAX: usize = 59;
const CONVERTERS_MISSING_MAX: usize = 53;
const ACTIONS_MISSING_MAX: usize = 14;
