//! `h1-case-adjust` and `h1-case-adjust-file` (manual 3.1).

use super::{GlobalRow, g};
use crate::config::{
    diagnostic::Severity,
    keyword::args::{Args, Fault},
    section::Loading,
};

pub static ROWS: &[GlobalRow] = &[
    g("h1-case-adjust", |cx, a| {
        let (from, to) = (a.get(1), a.get(2));
        if from.is_empty() || to.is_empty() {
            return Err(a.fault(1, "'h1-case-adjust' expects <from> and <to> as argument."));
        }
        add(cx, from, to).map_err(|text| a.fault(1, text))
    }),
    g("h1-case-adjust-file", file),
];

fn add(cx: &mut Loading<'_>, from: &str, to: &str) -> Result<(), String> {
    if !from.eq_ignore_ascii_case(to) {
        return Err("<from> and <to> must not differ except the case".to_owned());
    }
    match cx.global.h1_case_adjust.insert(from.as_bytes(), to.as_bytes()) {
        true => Ok(()),
        false => Err(format!("duplicate entry '{from}'")),
    }
}

fn file(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    if a.get(1).is_empty() {
        return Err(a.fault(1, "'h1-case-adjust-file' expects <file> as argument."));
    }
    cx.written.case_adjust_file = Some(a.get(1).to_owned());
    Ok(())
}

/// Reads the file that `h1-case-adjust-file` names, once all is read: only the last one counts.
pub fn read_file(cx: &mut Loading<'_>) {
    let Some(path) = cx.written.case_adjust_file.take() else { return };
    let fault = match std::fs::read_to_string(&path) {
        Err(_) => Some(": failed to open file.".to_owned()),
        Ok(text) => text.lines().enumerate().find_map(|(at, line)| {
            let fault = pair(cx, line.trim_matches([' ', '\t'])).err()?;
            Some(format!(" : {fault} at line {}.", at + 1))
        }),
    };
    if let Some(fault) = fault {
        cx.diagnostics.say(Severity::Alert, None, format!("h1-headers-case-adjust-file '{path}'{fault}"));
    }
}

/// One line: two names, a comment, or nothing.
fn pair(cx: &mut Loading<'_>, line: &str) -> Result<(), String> {
    let mut words = line.split([' ', '\t']).filter(|w| !w.is_empty());
    match (words.next(), words.next()) {
        (None, _) => Ok(()),
        (Some(from), _) if from.starts_with('#') => Ok(()),
        (Some(_), None) => Err("expect <to>".to_owned()),
        (Some(from), Some(to)) => add(cx, from, to),
    }
}
