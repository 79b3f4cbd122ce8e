//! Actions on stick tables: `track-sc<n>`, `sc-inc-gpc`, `sc-add-gpc`, `sc-set-gpt` and their old names.

use super::{Action, At, EVERYWHERE, REQUEST, RESPONSE, Run, TCP_REQUEST, expression, row};
use crate::language::context::Context;
use crate::language::parse::{Error, Parse, Words};
use crate::language::rules::{Flow, Wait};
use crate::language::sample::Expr;
use crate::language::sample::args::{Reference, ReferenceKind};
use crate::language::world::{Answer, Counter, CounterEdit, Entry};
use std::sync::{Arc, OnceLock};

pub const ROWS: &[Action] = &[
    row("track-sc", TCP_REQUEST | REQUEST | RESPONSE, track).prefixed(),
    row("sc-inc-gpc", EVERYWHERE, |at, w, p| increment(at, w, p, Form::Array)).prefixed(),
    row("sc-inc-gpc0", EVERYWHERE, |at, w, p| increment(at, w, p, Form::Only(Counter::Gpc0))).prefixed(),
    row("sc-inc-gpc1", EVERYWHERE, |at, w, p| increment(at, w, p, Form::Only(Counter::Gpc1))).prefixed(),
    row("sc-add-gpc", EVERYWHERE, |at, w, p| with_value(at, w, p, Form::Array, Counter::Gpc, CounterEdit::Add))
        .prefixed(),
    row("sc-set-gpt", EVERYWHERE, |at, w, p| with_value(at, w, p, Form::Array, Counter::Gpt, CounterEdit::Set))
        .prefixed(),
    row("sc-set-gpt0", EVERYWHERE, |at, w, p| {
        with_value(at, w, p, Form::Only(Counter::Gpt0), Counter::Gpt, CounterEdit::Set)
    })
    .prefixed(),
];

/// `track-sc<n> <key> [table <table>]`.
fn track(at: &At<'_>, w: &mut Words<'_>, p: &mut Parse<'_>) -> Result<Run, Error> {
    let digits = &at.name["track-sc".len()..];
    let Ok(slot) = digits.parse::<u8>() else {
        return Err(w.error_before(format!("invalid track-sc number '{digits}'")));
    };
    if slot >= p.stick_counters {
        return Err(w.error_before(format!(
            "{slot} track-sc number exceeding {} (tune.stick-counters-1) value",
            p.stick_counters.saturating_sub(1)
        )));
    }
    let key = expression(at, w, p)?;
    let name = match w.take("table") {
        true => w.expect("missing table name")?,
        false => "",
    };
    let table = Arc::new(Reference {
        kind: ReferenceKind::Table,
        name: if name.is_empty() { p.proxy.into() } else { name.into() },
        proxy: p.proxy.into(),
        origin: p.origin.clone(),
        place: at.name.to_owned(),
        index: OnceLock::new(),
        userlist: OnceLock::new(),
    });
    p.references.push(table.clone());
    Ok(Box::new(move |cx| {
        // A slot tracks one entry until the stream's or session's end: later rules for it do nothing.
        if cx.world.is_tracked(slot) {
            return Flow::Next;
        }
        let answer = key.eval(cx).map(|key| cx.world.track(slot, &table, &key));
        if answer == Some(Answer::Later) { Flow::Wait(Wait::Table) } else { Flow::Next }
    }))
}

/// What stands between the parentheses.
#[derive(Clone, Copy)]
enum Form {
    /// `(<idx>,<sc-id>)`.
    Array,
    /// `(<sc-id>)`.
    Only(Counter),
}

/// Index in the array and slot.
fn numbers(at: &At<'_>, form: Form, w: &Words<'_>) -> Result<(u32, u8), Error> {
    let usage =
        || w.error_before(format!("invalid stick table track ID. Expects {}(<GPC ID>,<Track ID>)", stem(at.name)));
    let inner = at.name.split_once('(').and_then(|(_, i)| i.strip_suffix(')')).ok_or_else(usage)?;
    match (form, inner.split_once(',')) {
        (Form::Array, Some((index, slot))) => {
            Ok((index.trim().parse().map_err(|_| usage())?, slot.trim().parse().map_err(|_| usage())?))
        }
        (Form::Only(_), None) => Ok((0, inner.trim().parse().map_err(|_| usage())?)),
        _ => Err(usage()),
    }
}

fn stem(name: &str) -> &str {
    name.split('(').next().unwrap_or_default()
}

fn edit(cx: &Context<'_>, slot: u8, counter: Counter, edit: CounterEdit) -> Flow {
    match cx.world.edit_counter(Entry::Tracked { slot, table: None }, counter, edit) {
        Some(Answer::Later) => Flow::Wait(Wait::Table),
        _ => Flow::Next,
    }
}

fn increment(at: &At<'_>, w: &mut Words<'_>, _: &mut Parse<'_>, form: Form) -> Result<Run, Error> {
    let (index, slot) = numbers(at, form, w)?;
    let counter = match form {
        Form::Array => Counter::Gpc(index),
        Form::Only(counter) => counter,
    };
    Ok(Box::new(move |cx| edit(cx, slot, counter, CounterEdit::Add(1))))
}

/// A number or an expression.
enum Amount {
    Fixed(i64),
    Expr(Box<Expr>),
}

fn with_value(
    at: &At<'_>,
    w: &mut Words<'_>,
    p: &mut Parse<'_>,
    form: Form,
    of: fn(u32) -> Counter,
    how: fn(i64) -> CounterEdit,
) -> Result<Run, Error> {
    let (index, slot) = numbers(at, form, w)?;
    let counter = match form {
        Form::Array => of(index),
        Form::Only(counter) => counter,
    };
    let amount = match w.peek().and_then(|n| n.parse::<i64>().ok()) {
        Some(n) => {
            w.next();
            Amount::Fixed(n)
        }
        None => Amount::Expr(Box::new(expression(at, w, p)?)),
    };
    Ok(Box::new(move |cx| {
        let n = match &amount {
            Amount::Fixed(n) => Some(*n),
            Amount::Expr(expr) => expr.eval(cx).and_then(|s| s.to_sint()),
        };
        match n {
            Some(n) => edit(cx, slot, counter, how(n)),
            None => Flow::Next,
        }
    }))
}
