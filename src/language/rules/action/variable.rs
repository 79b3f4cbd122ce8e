//! Variables and captures: `set-var`, `set-var-fmt`, `unset-var`, `capture`.

use super::{AFTER, Action, At, CONTENT, EVERYWHERE, REQUEST, RESPONSE, Run, expression, format, row, with_text};
use crate::language::context::{Context, Side};
use crate::language::parse::{CaptureSlot, Error, Parse, Words};
use crate::language::rules::Flow;
use crate::language::sample::{Sample, Type};
use crate::language::vars::VarName;

pub const ROWS: &[Action] = &[
    row("set-var", EVERYWHERE, set_var).prefixed(),
    row("set-var-fmt", EVERYWHERE, set_var_fmt).prefixed(),
    row("unset-var", EVERYWHERE, unset_var).prefixed(),
    row("capture", REQUEST | RESPONSE | AFTER | CONTENT, capture),
];

/// What stands between the parentheses of `set-var(…)`: a variable, and the conditions of setting it (manual 4.4 "set-var").
#[derive(Debug)]
pub struct VarTarget {
    pub name: VarName,
    conditions: Vec<SetIf>,
}

impl VarTarget {
    /// Reads `<name>[,<cond>...]`. The error is HAProxy's text.
    pub fn parse(text: &str) -> Result<VarTarget, String> {
        let mut parts = text.split(',');
        let name = VarName::parse(parts.next().unwrap_or_default())?;
        let condition = |part| SetIf::parse(part).ok_or_else(|| format!("unknown condition \"{part}\""));
        Ok(VarTarget { name, conditions: parts.map(condition).collect::<Result<_, _>>()? })
    }

    /// Sets the variable if every condition holds.
    pub fn assign(&self, sample: &Sample<'_>, cx: &Context<'_>) {
        if self.conditions.iter().all(|c| c.holds(&self.name, sample, cx)) {
            // A full scope keeps its old value: HAProxy says nothing either.
            cx.vars.set(&self.name, sample);
        }
    }
}

/// The target of a rule's action.
fn target(at: &At<'_>, stem: &str, w: &Words<'_>) -> Result<VarTarget, Error> {
    let fail = |text: String| Err(w.error_before(text));
    let forms = "Expects 'set-var(<var-name>)', 'set-var-fmt(<var-name>)' or 'unset-var(<var-name>)'";
    let Some(inner) = at.name[stem.len()..].strip_prefix('(') else {
        return fail(format!("invalid or incomplete action '{}'. {forms}", at.name));
    };
    let Some(inner) = inner.strip_suffix(')') else {
        return fail(format!("incomplete argument after action '{}'. {forms}", at.name));
    };
    VarTarget::parse(inner).map_err(|e| w.error_before(e))
}

/// Conditions of setting a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetIf {
    Exists,
    NotExists,
    Empty,
    NotEmpty,
    Set,
    NotSet,
    Greater,
    Less,
}

impl SetIf {
    pub fn parse(word: &str) -> Option<SetIf> {
        Some(match word {
            "ifexists" => SetIf::Exists,
            "ifnotexists" => SetIf::NotExists,
            "ifempty" => SetIf::Empty,
            "ifnotempty" => SetIf::NotEmpty,
            "ifset" => SetIf::Set,
            "ifnotset" => SetIf::NotSet,
            "ifgt" => SetIf::Greater,
            "iflt" => SetIf::Less,
            _ => return None,
        })
    }

    /// Whether the variable is to become `new`.
    pub fn holds(self, name: &VarName, new: &Sample<'_>, cx: &Context<'_>) -> bool {
        let old = cx.vars.get(name, cx.pool);
        let empty = matches!(new.kind(), Type::Str | Type::Bin | Type::Meth) && new.bytes() == Some(b"");
        let number = |s: &Sample<'_>| if let Sample::Sint(n) = s { Some(*n) } else { None };
        match self {
            SetIf::Exists | SetIf::Set => old.is_some(),
            SetIf::NotExists | SetIf::NotSet => old.is_none(),
            SetIf::Empty => empty,
            SetIf::NotEmpty => !empty,
            // HAProxy: set if the variable's content is greater (or less) than the new value.
            SetIf::Greater => old.as_ref().and_then(number).zip(number(new)).is_none_or(|(o, n)| o > n),
            SetIf::Less => old.as_ref().and_then(number).zip(number(new)).is_none_or(|(o, n)| o < n),
        }
    }
}

fn set_var(at: &At<'_>, w: &mut Words<'_>, p: &mut Parse<'_>) -> Result<Run, Error> {
    let target = target(at, "set-var", w)?;
    let expr = expression(at, w, p)?;
    Ok(Box::new(move |cx| {
        if let Some(sample) = expr.eval(cx) {
            target.assign(&sample, cx);
        }
        Flow::Next
    }))
}

fn set_var_fmt(at: &At<'_>, w: &mut Words<'_>, p: &mut Parse<'_>) -> Result<Run, Error> {
    let target = target(at, "set-var-fmt", w)?;
    let value = format(w, "missing format string", p)?;
    Ok(Box::new(move |cx| {
        with_text(cx, &value, |cx, text| target.assign(&Sample::str(text), cx));
        Flow::Next
    }))
}

fn unset_var(at: &At<'_>, w: &mut Words<'_>, _: &mut Parse<'_>) -> Result<Run, Error> {
    let target = target(at, "unset-var", w)?;
    Ok(Box::new(move |cx| {
        cx.vars.unset(&target.name);
        Flow::Next
    }))
}

/// `capture <expr> [ len <length> | id <slot> ]`.
fn capture(at: &At<'_>, w: &mut Words<'_>, p: &mut Parse<'_>) -> Result<Run, Error> {
    const USAGE: &str = "expects <expression> [ 'len' <length> | id <idx> ]";
    if w.is_empty() {
        return Err(w.error(USAGE));
    }
    let expr = expression(at, w, p)?;
    let side = at.phase.side();
    let keyword = w.next();
    let index = w.index();
    let number = w.next().and_then(|n| n.parse::<usize>().ok());
    let slots = if side == Side::Request { &mut p.captures.request } else { &mut p.captures.response };
    let (slot, length_max) = match (keyword, number) {
        (Some("len"), _) if side == Side::Response => return Err(Error::new(index, USAGE)),
        (Some("len"), Some(len)) if len > 0 => {
            slots.push(CaptureSlot { header: None, length_max: len });
            (slots.len() - 1, len)
        }
        (Some("len"), _) => return Err(Error::new(index, "length must be > 0")),
        (Some("id"), Some(id)) => (id, slots.get(id).map_or(usize::MAX, |s| s.length_max)),
        _ => return Err(Error::new(index, USAGE)),
    };
    Ok(Box::new(move |cx| {
        let mut text = cx.pool.take();
        if expr.write(cx, &mut text) {
            let slots = match side {
                Side::Request => &mut cx.stream.request_captures,
                Side::Response => &mut cx.stream.response_captures,
            };
            if let Some(slot) = slots.get_mut(slot) {
                let kept = slot.get_or_insert_default();
                kept.clear();
                kept.extend_from_slice(&text[..text.len().min(length_max)]);
            }
        }
        cx.pool.give(text);
        Flow::Next
    }))
}
