//! `show resolvers` and `show stat domain resolvers`: what was counted of name servers.

use crate::{
    admin::runtime_api::{Answer, Call},
    model::state::nameserver::Counters,
};
use std::fmt::Write;

/// `show resolvers [<id>]`.
pub fn show(call: &mut Call<'_>) -> Answer {
    let wanted = call.argument(0);
    let (plan, board) = (call.process.plan(), call.process.board());
    if !wanted.is_empty() && !plan.resolvers.iter().any(|r| r.name == wanted) {
        return Answer::error("Can't find that resolvers section");
    }
    let mut out = String::new();
    for (index, section) in plan.resolvers.iter().enumerate().filter(|(_, r)| wanted.is_empty() || r.name == wanted) {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "Resolvers section {}", section.name);
        for (nameserver, cell) in section.nameservers.iter().zip(board.nameservers(index)) {
            let _ = writeln!(out, " nameserver {}:", nameserver.name);
            for ((name, _), value) in Counters::default().named().iter().zip(cell.values()) {
                let _ = writeln!(out, "  {:<13}{value}", format!("{name}:"));
            }
        }
    }
    Answer::Text(out.into_bytes())
}

/// `show stat domain resolvers`.
pub fn stat(call: &mut Call<'_>) -> Answer {
    let mut out = String::from("# id,pid,");
    for (name, _) in Counters::default().named() {
        let name = if name == "snd_error" { "send_error" } else { name };
        let _ = write!(out, "{name},");
    }
    out.push('\n');
    for (index, section) in call.process.plan().resolvers.iter().enumerate() {
        for (nameserver, cell) in section.nameservers.iter().zip(call.process.board().nameservers(index)) {
            let _ = write!(out, "{},{},", nameserver.name, section.name);
            for value in cell.values() {
                let _ = write!(out, "{value},");
            }
            out.push('\n');
        }
    }
    Answer::Text(out.into_bytes())
}
