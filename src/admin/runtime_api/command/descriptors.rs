//! `show fd` (management guide 9.3): which descriptors are wanted. Looking at them is the owner's work.

use super::super::{Answer, Call, catalogue::Command, catalogue::command};
use crate::model::bind::Level;

pub static COMMANDS: &[Command] = &[command(
    &["show", "fd"],
    Level::Operator,
    show,
    "show fd [-!plcfbsd]* [num]              : dump list of file descriptors in use or a specific one",
)];

/// The descriptors to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// This one alone.
    pub number: Option<i32>,
    pub pipes: bool,
    pub listeners: bool,
    /// Connections of clients.
    pub frontend: bool,
    /// Connections to servers.
    pub server: bool,
    /// What is none of these.
    pub others: bool,
}

fn show(call: &mut Call<'_>) -> Answer {
    const ALL: Wanted =
        Wanted { number: None, pipes: true, listeners: true, frontend: true, server: true, others: true };
    const NONE: Wanted =
        Wanted { number: None, pipes: false, listeners: false, frontend: false, server: false, others: false };
    // What is named first says whether all or nothing is there to begin with.
    let mut wanted: Option<Wanted> = None;
    for at in 0.. {
        let word = call.argument(at);
        if word.is_empty() {
            break;
        }
        let number = word.rsplit_once('/').map_or(word, |(_, number)| number);
        if word.starts_with(|c: char| c.is_ascii_digit() || c == '/') {
            let Ok(number) = number.parse() else {
                // `<tgid>/`: all of them.
                return Answer::Descriptors(wanted.unwrap_or(ALL));
            };
            return Answer::Descriptors(Wanted { number: Some(number), ..ALL });
        }
        let mut show = true;
        for letter in word.chars() {
            if matches!(letter, '-' | '!') {
                show = !show;
                continue;
            }
            let set = wanted.get_or_insert(if show { NONE } else { ALL });
            match letter {
                'p' => set.pipes = show,
                'l' => set.listeners = show,
                'c' => (set.frontend, set.server) = (show, show),
                'f' => set.frontend = show,
                'b' | 's' => set.server = show,
                // There are no such connections.
                'd' => {}
                _ => return Answer::error("Invalid FD type"),
            }
        }
    }
    Answer::Descriptors(wanted.unwrap_or(ALL))
}
