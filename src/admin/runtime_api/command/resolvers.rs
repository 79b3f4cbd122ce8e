//! `show resolvers` and `show stat domain resolvers`: what was counted of name servers.

use crate::admin::runtime_api::{Answer, Call};
use std::fmt::Write;

/// `show resolvers [<id>]`.
pub fn show(call: &mut Call<'_>) -> Answer {
    let wanted = call.argument(0);
    let plan = call.process.plan();
    if !wanted.is_empty() && !plan.resolvers.iter().any(|r| r.name == wanted) {
        return Answer::error("Can't find that resolvers section");
    }
    let mut out = String::new();
    for section in plan.resolvers.iter().filter(|r| wanted.is_empty() || r.name == wanted) {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "Resolvers section {}", section.name);
        call.process.resolvers(&mut |of, nameserver, counters| {
            if of != section.name {
                return;
            }
            let _ = writeln!(out, " nameserver {nameserver}:");
            for (name, value) in counters.named() {
                let _ = writeln!(out, "  {:<13}{value}", format!("{name}:"));
            }
        });
    }
    Answer::Text(out.into_bytes())
}

/// `show stat domain resolvers`.
pub fn stat(call: &mut Call<'_>) -> Answer {
    let mut out = String::from("# id,pid,");
    for (name, _) in crate::services::resolvers::Counters::default().named() {
        let name = if name == "snd_error" { "send_error" } else { name };
        let _ = write!(out, "{name},");
    }
    out.push('\n');
    call.process.resolvers(&mut |section, nameserver, counters| {
        let _ = write!(out, "{nameserver},{section},");
        for (_, value) in counters.named() {
            let _ = write!(out, "{value},");
        }
        out.push('\n');
    });
    Answer::Text(out.into_bytes())
}
