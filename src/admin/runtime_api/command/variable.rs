//! `get var` and `set var` (management guide 9.3): variables of the process.

use crate::{
    admin::runtime_api::{
        Answer, Call, Severity,
        catalogue::{Command, command},
    },
    model::bind::Level,
};

pub static COMMANDS: &[Command] = &[
    command(
        &["get", "var"],
        Level::Operator,
        get,
        "get var <name>                          : retrieve contents of a process-wide variable",
    ),
    // Its level is looked at after the session's mode, as HAProxy does; no row of `help`, as for all of that mode.
    command(&["set", "var"], Level::User, set, ""),
];

pub fn get(call: &mut Call<'_>) -> Answer {
    match call.argument(0) {
        "" => Answer::error("Missing process-wide variable identifier."),
        name => match call.process.variable(name) {
            Some((kind, value)) => Answer::Text(format!("{name}: type={kind} value=<{value}>\n").into_bytes()),
            None => Answer::error("Variable not found."),
        },
    }
}

/// `set var <name> [expr] <expression>`, `set var <name> fmt <format>`.
pub fn set(call: &mut Call<'_>) -> Answer {
    if !call.state.experimental {
        return Answer::error("This command is restricted to experimental mode only.");
    }
    if call.state.level < Level::Admin {
        return Answer::Message(Severity::Alert, "Permission denied".into());
    }
    let words = &call.words[call.named..];
    let (name, format, value) = match *words {
        [] => return Answer::error("Missing process-wide variable identifier."),
        [_] => return Answer::error("Missing either 'expr', 'fmt' or expression."),
        [name, value] => (name, false, value),
        [name, "expr", value, ..] => (name, false, value),
        [name, "fmt", value, ..] => (name, true, value),
        [_, kind, ..] => {
            return Answer::error(format!("'set var': arg type must be either 'expr' or 'fmt' but got '{kind}'."));
        }
    };
    match call.process.set_variable(name, format, value) {
        Ok(()) => Answer::Empty,
        Err(text) => Answer::error(text),
    }
}
