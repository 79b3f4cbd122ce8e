//! `show events` (management guide 9.3): the event sinks, and what a ring holds. The reading is the owner's work: it may
//! last as long as the client listens.

use super::super::{Answer, Call, Severity, catalogue::Command, catalogue::command};
use crate::model::bind::Level;
use crate::model::ring::RingIndex;

pub static COMMANDS: &[Command] = &[command(
    &["show", "events"],
    Level::User,
    show,
    "show events [<sink>] [-w] [-n] [-0]     : show event sink state",
)];

/// Sinks that are descriptors: nothing here writes to them, for `log stdout` is a target of its own.
const DESCRIPTORS: [(&str, &str); 2] = [("stdout", "standard output (fd#1)"), ("stderr", "standard output (fd#2)")];

/// What is to be read of a ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    pub ring: RingIndex,
    /// `-w`: goes on with what comes, until the client says anything.
    pub wait: bool,
    /// `-n`: without what is there already.
    pub new: bool,
    /// After each event.
    pub end: u8,
}

fn show(call: &mut Call<'_>) -> Answer {
    let name = call.argument(0);
    if name.is_empty() {
        return Answer::Text(list(call).into_bytes());
    }
    if call.state.level < Level::Operator {
        return Answer::Message(Severity::Alert, "Permission denied".into());
    }
    let Some(ring) = call.process.plan().rings.iter().position(|r| r.declared.is_some() && r.name == name) else {
        let known = DESCRIPTORS.iter().any(|(n, _)| *n == name);
        return Answer::error(if known { "Nothing to report for this sink" } else { "No such event sink" });
    };
    let mut reading = Reading { ring, wait: false, new: false, end: b'\n' };
    for at in 1.. {
        match call.argument(at) {
            "" => break,
            "-w" => reading.wait = true,
            "-n" => reading.new = true,
            "-nw" | "-wn" => (reading.wait, reading.new) = (true, true),
            "-0" => reading.end = 0,
            _ => return Answer::error("unknown option"),
        }
    }
    Answer::Events(reading)
}

fn list(call: &Call<'_>) -> String {
    let mut text =
        String::from("Supported events sinks are listed below. Add -0(zero), -w(wait), -n(new). Any key to stop.\n");
    for (name, description) in DESCRIPTORS {
        text.push_str(&format!("    {name:<10} : type=fd, 0 dropped, {description}\n"));
    }
    let mut rings: Vec<_> = call.process.plan().rings.iter().enumerate().collect();
    rings.retain(|(_, r)| r.declared.is_some());
    rings.sort_by_key(|(_, r)| r.declared);
    for (number, ring) in rings {
        let dropped = call.process.dropped_events(number);
        let (name, description) = (&ring.name, &ring.description);
        text.push_str(&format!("    {name:<10} : type=buffer, {dropped} dropped, {description}\n"));
    }
    text
}
