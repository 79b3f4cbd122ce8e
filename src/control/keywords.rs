//! `-dK`: the words that the catalogues have, class by class in HAProxy's formats (management guide 3). Nothing is listed that
//! is not looked up in the same catalogue when a configuration is read.

use crate::admin::runtime_api::catalogue::{Command, MASTER, TABLES};
use crate::config::keyword::{Needs, bind, global, proxy, server};
use crate::language::acl;
use crate::language::rules::{Phase, action};
use crate::language::sample::scope::POINTS;
use crate::language::sample::{convert, fetch};
use std::fmt::Write;

type Class = (&'static str, &'static str, fn(&mut String));

/// Word, meaning, and what writes it, in the order of the dump.
const CLASSES: [Class; 7] = [
    ("acl", "ACL keywords", aliases),
    ("cfg", "configuration keywords", configuration),
    ("cli", "CLI keywords", cli),
    ("cnv", "sample converter keywords", converters),
    ("flt", "filter names", filters),
    ("smp", "sample fetch functions", fetches),
    ("svc", "service names", services),
];

/// What `-dK<classes>` writes: each class that the list names, all of them for `all`. Unknown names give nothing.
pub fn dump(classes: &str) -> String {
    let asked: Vec<&str> = classes.split(',').collect();
    let mut out = String::new();
    if asked.contains(&"help") {
        out.push_str("# List of supported keyword classes:\nall: list all keywords\n");
        for (word, meaning, _) in CLASSES {
            let _ = writeln!(out, "{word}: {meaning}");
        }
    }
    for (word, meaning, write) in CLASSES {
        if asked.contains(&"all") || asked.contains(&word) {
            let meaning = if word == "cnv" { "sample converter functions" } else { meaning };
            let _ = writeln!(out, "# List of registered {meaning}:");
            write(&mut out);
        }
    }
    out
}

/// Lines by name.
fn sorted(out: &mut String, lines: impl Iterator<Item = String>) {
    let mut lines: Vec<String> = lines.collect();
    lines.sort_unstable();
    lines.dedup();
    for line in lines {
        let _ = writeln!(out, "{line}");
    }
}

fn aliases(out: &mut String) {
    sorted(out, acl::aliases().map(|(name, fetch, method)| format!("{name} = {fetch} -m {}", method.name())));
}

fn configuration(out: &mut String) {
    out.push_str("global\n");
    sorted(out, global::rows().map(|r| format!("\t{}", r.name)));
    out.push_str("listen\n");
    sorted(out, proxy::rows().map(|r| format!("\t{}", r.name)));
    let count = |words: usize| match words {
        0 => String::new(),
        usize::MAX => " +-1".to_owned(),
        n => format!(" +{n}"),
    };
    sorted(out, bind::OPTIONS.iter().map(|o| format!("\tbind <addr> {}{}", o.name, count(o.words))));
    sorted(out, server::rows().map(|o| format!("\tserver <name> <addr> {}{}", o.name, count(o.words))));
    let options =
        proxy::SWITCHES.iter().map(|o| (o.name, o.needs)).chain(proxy::WORDED.iter().map(|o| (o.name, o.needs)));
    sorted(
        out,
        options.map(|(name, needs)| {
            let sides = match needs {
                Needs::Frontend => "FE",
                Needs::Backend => "BE",
                Needs::Nothing => "FE BE",
            };
            format!("\toption {name} [ {sides} ]")
        }),
    );
    for phase in Phase::ALL {
        let actions = action::all().filter(|a| a.allowed(phase));
        sorted(out, actions.map(|a| format!("\t{} {}{}", phase.words(), a.name, if a.prefix { "*" } else { "" })));
    }
}

fn cli(out: &mut String) {
    let of = |kind: &'static str| move |command: &Command| format!("{} [{kind}] ", command.words.join(" "));
    let worker = TABLES.into_iter().flatten().map(of("WORKER"));
    sorted(out, worker.chain(MASTER.iter().map(of("MASTER"))));
}

fn converters(out: &mut String) {
    let line =
        |c: &convert::Convert| format!("{}{}: {} => {}", c.name, arguments(c.args), c.input.name(), c.output.name());
    sorted(out, convert::all().map(line));
}

fn arguments(list: &str) -> String {
    if list.is_empty() { String::new() } else { format!("({list})") }
}

fn filters(out: &mut String) {
    sorted(out, proxy::FILTERS_SERVED.iter().map(|name| format!("{name} [COMP]")));
}

fn services(out: &mut String) {
    sorted(out, action::SERVICES.iter().map(|name| (*name).to_owned()));
}

/// A matrix: a column for each point of evaluation, below a line that names it.
fn fetches(out: &mut String) {
    for (at, point) in POINTS.iter().enumerate() {
        let (left, right) = (POINTS.len() - at, at);
        let _ = writeln!(out, "# {}{}_.{} {point}", " ".repeat(left), "/ ".repeat(right), "-".repeat(left));
    }
    let _ = writeln!(out, "# {}\n# {}", "/ ".repeat(POINTS.len()), "| ".repeat(POINTS.len()));
    let mut all: Vec<_> = fetch::all().collect();
    all.sort_unstable_by_key(|f| f.name);
    for f in all {
        let usable = |at: usize| if f.needs.points.0 >> at & 1 == 1 { "Y " } else { ". " };
        let columns: String = (0..POINTS.len()).map(usable).collect();
        let _ = writeln!(out, "[ {columns}] {}{}: {}", f.name, arguments(f.args), f.out.name());
    }
}

#[cfg(test)]
mod tests {
    use super::dump;

    #[test]
    fn classes_are_listed_as_haproxy_lists_them() {
        assert!(dump("help").ends_with("smp: sample fetch functions\nsvc: service names\n"));
        assert_eq!(dump("svc"), "# List of registered service names:\nprometheus-exporter\n");
        assert_eq!(dump("nonsense"), "");
        let lines = dump("acl,cnv,smp,cfg,cli");
        for line in [
            "hdr_beg = req.hdr -m beg",
            "add_item(string,string[,string]): str => str",
            "[ Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y . . ] accept_date([string]): sint",
            "\tbind <addr> accept-proxy",
            "\tserver <name> <addr> weight +1",
            "\toption dontlognull [ FE ]",
            "\ttcp-request connection set-var*",
            "show stat [WORKER] ",
            "reload [MASTER] ",
        ] {
            assert!(lines.lines().any(|l| l == line), "{line}:\n{lines}");
        }
        let all = dump("all");
        assert!(all.contains("# List of registered sample converter functions:\n") && all.len() > lines.len());
    }
}
