//! `stages`: where a request's CPU time goes. perf(1) samples the proxy's clock while a scenario runs; symbols are
//! gathered into stages by the module that they lie in, and shares become microseconds by the CPU time a request that
//! /proc tells of the same seconds. Written to `perf/STAGES.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::child::Child;
use crate::cli::Options;
use crate::load::{self, Spec};
use crate::peer::{Kind, Peer, Surroundings, find};
use crate::procstat::Usage;
use crate::run::{Origin, Plan};
use crate::scenario::{Scenario, Shape};

/// Stages by what a symbol contains; the first that fits counts.
const STAGES: [(&str, &[&str]); 12] = [
    (
        "TLS",
        &["proto::tls", "dataplane::tls", "rustls", "aws_lc", "AES", "aes", "gcm", "GCM", "x25519", "ecp_", "p256"],
    ),
    ("compression", &["deflate", "compress", "zlib", "crc32"]),
    ("HTTP/2", &["proto::h2", "dataplane::mux"]),
    ("HTTP/1.1", &["proto::h1", "proto::http", "httparse"]),
    ("log", &["dataplane::log", "logformat", "model::logging", "syslog"]),
    ("stick tables", &["stick_table", "dataplane::tables", "dataplane::lookup", "dataplane::key"]),
    ("rules and samples", &["ringway::language", "dataplane::rules", "dataplane::world", "regex", "pcre"]),
    (
        "choice of a server",
        &["dataplane::connect", "dataplane::idle", "dataplane::queue", "model::balance", "dataplane::persist"],
    ),
    ("counters", &["state::board", "base::counter", "base::rate", "base::histogram"]),
    ("runtime", &["ringway::engine", "io_uring", "base::slab", "base::wheel", "base::buf"]),
    ("allocator", &["malloc", "free", "realloc", "calloc", "_int_"]),
    ("stream and session", &["ringway::"]),
];

const SCENARIOS: [&str; 7] =
    ["keepalive-64", "connection", "rules", "tls-keepalive", "gzip-20k", "h2-clear", "two-threads"];

pub fn measure(options: &Options) -> Result<(), String> {
    find("perf").ok_or("perf is not installed (package linux-perf)")?;
    let mut plan = options.plan(&["ringway"])?;
    if options.scenarios.is_empty() {
        let all = crate::run::scenarios(&plan.repository)?;
        plan.scenarios = all.into_iter().filter(|one| SCENARIOS.contains(&one.name.as_str())).collect();
    }
    plan.seconds = plan.seconds.max(5);
    let origin = Origin::start(&plan.cores.origin)?;
    let peer = plan.peers.iter().find(|peer| peer.kind == Kind::Haproxy).ok_or("no peer")?;
    if let Some(absent) = &peer.absent {
        return Err(absent.clone());
    }
    let mut columns = Vec::new();
    for scenario in &plan.scenarios {
        println!("{}", scenario.name);
        columns.push((scenario.name.as_str(), sampled(&plan, &origin, peer, scenario)?));
    }
    let text = table(&columns);
    println!("\n{text}");
    if options.no_record {
        return Ok(());
    }
    let path = plan.repository.join("perf/STAGES.md");
    let head = format!(
        "# Where a request's CPU time goes\n\nWritten by `bench-harness stages` at commit `{}`; not edited by hand. \
         Microseconds of the proxy's CPU time a request, by stage: samples of its clock (perf(1)), gathered by the module \
         that a function lies in, times what /proc says was spent. The kernel's part is the system calls' and the loopback's. Sampling costs some itself, and a virtual machine is not always equally fast: read columns, not sums.\n\n",
        crate::machine::commit(&plan.repository)
    );
    std::fs::write(&path, head + &text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Microseconds a request by stage.
fn sampled(
    plan: &Plan,
    origin: &Origin,
    peer: &Peer,
    scenario: &Scenario,
) -> Result<BTreeMap<&'static str, f64>, String> {
    let cores = plan.cores.proxy_for(scenario.proxy.threads, crate::machine::cores());
    let around = Surroundings {
        ports: &origin.ports,
        folder: origin.folder.path(),
        cpus: &cores,
        under: &[],
        patience: std::time::Duration::from_secs(5),
    };
    let running = peer.start(scenario, &around)?;
    let pid = running.child.as_ref().map(Child::pid).ok_or("no process")?;
    let data = origin.folder.path().join("perf.data");
    let mut spec = Spec::new(scenario, running.address, 2);
    let folder = origin.folder.path();
    if spec.shape != Shape::H2 {
        load::run(&spec, &plan.cores.load, folder, || {}, || {})?;
    }
    spec.seconds = plan.seconds;
    let (mut before, mut after, mut perf) = (Usage::default(), Usage::default(), None);
    let outcome = load::run(
        &spec,
        &plan.cores.load,
        folder,
        || {
            let mut command = Command::new("perf");
            command.args(["record", "-q", "-F", "2000", "-e", "cpu-clock", "-p", &pid.to_string(), "-o"]).arg(&data);
            perf = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn());
            before = Usage::of_group(pid);
        },
        || after = Usage::of_group(pid),
    )?;
    let mut perf = perf.ok_or("no load")?.map_err(|error| format!("perf: {error}"))?;
    if let Some(pid) = i32::try_from(perf.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
    }
    perf.wait().map_err(|error| format!("perf: {error}"))?;
    let spent = before.until(&after);
    let whole_us = (spent.user_us + spent.system_us) / outcome.requests.max(1) as f64;
    let shares = shares(&report(&data)?);
    Ok(shares.into_iter().map(|(stage, share)| (stage, share * whole_us)).collect())
}

fn report(data: &Path) -> Result<String, String> {
    let mut command = Command::new("perf");
    command.args(["report", "--stdio", "--no-children", "-g", "none", "--sort", "dso,symbol", "-t", "\t", "-i"]);
    let output = command.arg(data).output().map_err(|error| format!("perf: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Lines of percent, object and symbol.
fn shares(report: &str) -> BTreeMap<&'static str, f64> {
    let mut shares = BTreeMap::new();
    for line in report.lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.split('\t').map(str::trim);
        let Some(percent) = fields.next().and_then(|f| f.trim_end_matches('%').parse::<f64>().ok()) else { continue };
        let (object, symbol) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
        *shares.entry(stage(object, symbol)).or_default() += percent / 100.0;
    }
    shares
}

fn stage(object: &str, symbol: &str) -> &'static str {
    if object.starts_with("[kernel") || symbol.starts_with("[k]") {
        return "kernel";
    }
    let found = STAGES.iter().find(|(_, parts)| parts.iter().any(|part| symbol.contains(part)));
    found.map_or("libc, clock, rest", |(stage, _)| stage)
}

fn table(columns: &[(&str, BTreeMap<&'static str, f64>)]) -> String {
    let mut text = String::from("| stage |");
    for (name, _) in columns {
        let _ = write!(text, " {name} |");
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(columns.len()));
    let names = STAGES.iter().map(|(stage, _)| *stage).chain(["libc, clock, rest"]);
    let cell = |us: f64| if us < 0.005 { " – |".to_owned() } else { format!(" {us:.2} |") };
    for name in names {
        let _ = write!(text, "\n| {name} |");
        for (_, column) in columns {
            text.push_str(&cell(column.get(name).copied().unwrap_or(0.0)));
        }
    }
    for (name, wanted) in [("user space", false), ("kernel", true)] {
        let _ = write!(text, "\n| **{name}** |");
        for (_, column) in columns {
            text.push_str(&cell(
                column.iter().filter(|(stage, _)| (**stage == "kernel") == wanted).map(|(_, us)| us).sum(),
            ));
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_fall_into_the_stage_of_their_module() {
        assert_eq!(stage("[kernel.kallsyms]", "[k] tcp_ack"), "kernel");
        assert_eq!(stage("ringway", "[.] ringway::proto::h1::parse::Reader::fields"), "HTTP/1.1");
        assert_eq!(stage("ringway", "[.] ringway::dataplane::connect::establish::{{closure}}"), "choice of a server");
        assert_eq!(stage("ringway", "[.] ringway::dataplane::session::run::{{closure}}"), "stream and session");
        assert_eq!(stage("libc.so.6", "[.] __memmove_avx512"), "libc, clock, rest");
    }

    #[test]
    fn shares_are_summed_by_stage() {
        let report = "# head\n    60.00%\t[kernel.kallsyms]\t[k] tcp_ack\n    10.00%\t[kernel.kallsyms]\t[k] x\n 30.00%\tringway\t[.] httparse::parse\n";
        let shares = shares(report);
        assert!((shares["kernel"] - 0.7).abs() < 1e-9 && (shares["HTTP/1.1"] - 0.3).abs() < 1e-9);
    }
}
