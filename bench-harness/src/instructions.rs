//! `instructions`: user-space instructions of one proxied request in the steady state, checked against a budget.
//!
//! Two runs of the proxy under callgrind, one with N and one with 2N requests on one connection: what start, warm-up
//! and end cost is in both, so the difference is N requests. Unlike time it does not depend on what else the machine
//! does. `perf stat` is the second choice where the processor lets a user count; virtual machines often do not.
//!
//! Allocations are counted with them: in the steady state a request makes none, and one is too small a part of all
//! instructions to show there. ringway runs on its epoll engine here: valgrind runs one thread at a time and takes one that
//! waits in io_uring_enter(2) for one that runs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use crate::child::{Child, Folder, Start};
use crate::cli::Options;
use crate::load::{self, Spec};
use crate::machine;
use crate::peer::{self, Peer, Surroundings};
use crate::run::{Cores, Origin, scenarios};
use crate::scenario::{Scenario, Shape};

/// Instructions a request, by peer and scenario.
type Budget = BTreeMap<String, BTreeMap<String, u64>>;

/// Above the budget by more than this is a failure.
const TOLERANCE: f64 = 0.03;
/// Allocations a request from which on it is not the noise of tables that grow.
const ALLOCATIONS_MAX: f64 = 0.05;
/// What is counted when there is no budget yet.
const USUAL: [&str; 3] = ["keepalive-64", "body-16k", "rules"];
/// Requests before the counted ones: pools fill, tables grow, the connection to the origin stands.
const WARM: u64 = 300;

pub fn check(options: &Options) -> Result<(), String> {
    let repository = machine::repository();
    let path = repository.join("perf/instructions.toml");
    let mut budget = read(&path)?;
    let words = if options.extra_peers.is_empty() { vec!["ringway".to_owned()] } else { options.extra_peers.clone() };
    let origin = Origin::start(&Cores::of(machine::cores()).origin)?;
    let mut over = Vec::new();
    println!(
        "{:<14} {:<20}{:>14}{:>12}{:>10}{:>16}",
        "peer", "scenario", "instr/request", "budget", "", "allocs/request"
    );
    for word in words {
        let peer = Peer::parse(&word, &repository);
        if let Some(absent) = &peer.absent {
            return Err(format!("{}: {absent}", peer.name));
        }
        let known = budget.entry(peer.name.clone()).or_default();
        for scenario in wanted(options, known, &repository)? {
            let (counted, allocations) = match count(&peer, &scenario, &origin, options.requests.unwrap_or(1000)) {
                Ok(counted) => (counted.instructions, counted.allocations),
                // A budget that can no longer be measured is not met.
                Err(error) if known.contains_key(&scenario.name) => {
                    over.push(format!("{} {}: {error}", peer.name, scenario.name));
                    continue;
                }
                Err(error) => {
                    println!("{:<14} {:<20} skipped: {error}", peer.name, scenario.name);
                    continue;
                }
            };
            let limit = known.get(&scenario.name).copied();
            let verdict = verdict(counted, limit);
            let told = limit.map_or("–".to_owned(), |limit| limit.to_string());
            println!(
                "{:<14} {:<20}{counted:>14}{told:>12}{verdict:>10}{allocations:>16.2}",
                peer.name, scenario.name
            );
            if peer.name == "ringway" && allocations >= ALLOCATIONS_MAX {
                over.push(format!("ringway {}: {allocations:.2} allocations a request", scenario.name));
            }
            if options.update {
                known.insert(scenario.name.clone(), counted);
            } else if limit.is_none() {
                over.push(format!("{} {}: no budget; --update writes one", peer.name, scenario.name));
            } else if verdict == "OVER" {
                over.push(format!("{} {}: {counted} is over {told} by more than 3 %", peer.name, scenario.name));
            }
        }
    }
    if options.update {
        std::fs::write(&path, render(&budget)).map_err(|error| error.to_string())?;
        println!("wrote perf/instructions.toml");
    }
    if over.is_empty() { Ok(()) } else { Err(over.join("\n")) }
}

fn verdict(counted: u64, limit: Option<u64>) -> &'static str {
    match limit {
        None => "",
        Some(limit) if counted as f64 > limit as f64 * (1.0 + TOLERANCE) => "OVER",
        // A gain that is not written down can be lost again unnoticed.
        Some(limit) if (counted as f64) < limit as f64 * (1.0 - TOLERANCE) => "below",
        Some(_) => "ok",
    }
}

fn wanted(options: &Options, known: &BTreeMap<String, u64>, repository: &Path) -> Result<Vec<Scenario>, String> {
    let all = scenarios(repository)?;
    if !options.scenarios.is_empty() {
        return options.pick(all);
    }
    let wanted = |name: &str| if known.is_empty() { USUAL.contains(&name) } else { known.contains_key(name) };
    if let Some(lost) = known.keys().find(|name| !all.iter().any(|scenario| scenario.name == **name)) {
        return Err(format!("perf/instructions.toml: there is no scenario {lost}"));
    }
    Ok(all.into_iter().filter(|scenario| wanted(&scenario.name)).collect())
}

fn count(peer: &Peer, scenario: &Scenario, origin: &Origin, requests: u64) -> Result<Counted, String> {
    use Shape::{H2, Idle, IdleH2, Start, Still};
    if matches!(scenario.load.shape, Idle | IdleH2 | Still | Start | H2) {
        return Err("this shape has no single request to count".to_owned());
    }
    let around = Surroundings {
        ports: &origin.ports,
        folder: origin.folder.path(),
        cpus: &[],
        under: &[],
        patience: Duration::from_secs(60),
    };
    if let Some(why) = peer.lacks(scenario) {
        return Err(why);
    }
    peer.check(scenario, &around)?;
    match peer::find("valgrind") {
        Some(valgrind) => {
            let short = callgrind(&valgrind, peer, scenario, &around, requests)?;
            let long = callgrind(&valgrind, peer, scenario, &around, requests * 2)?;
            Ok(Counted {
                instructions: long.instructions.saturating_sub(short.instructions) / requests,
                allocations: (long.allocations - short.allocations) / requests as f64,
            })
        }
        None => {
            perf(peer, scenario, &around, requests).map(|instructions| Counted { instructions, allocations: 0.0 })
        }
    }
}

/// Of one request, or of a whole life.
struct Counted {
    instructions: u64,
    allocations: f64,
}

/// One life of the proxy with so many requests.
fn callgrind(
    valgrind: &Path,
    peer: &Peer,
    scenario: &Scenario,
    around: &Surroundings,
    requests: u64,
) -> Result<Counted, String> {
    let folder = Folder::new()?;
    let output = folder.path().join("callgrind.out");
    let under: Vec<OsString> = vec![
        "/usr/bin/env".into(),
        "RINGWAY_ENGINE=epoll".into(),
        valgrind.into(),
        "--tool=callgrind".into(),
        format!("--callgrind-out-file={}", output.display()).into(),
        // Sockets by the thousand are fine; valgrind keeps some descriptors for itself.
        "--vgdb=no".into(),
        "-q".into(),
    ];
    let mut running = peer.start(scenario, &Surroundings { under: &under, ..*around })?;
    drive(scenario, running.address, requests, around.folder)?;
    let child = running.child.as_mut().ok_or("nothing to count without a proxy")?;
    child.signal(Signal::TERM);
    if !child.wait_for_end(Duration::from_secs(60)) {
        return Err("does not end on SIGTERM under valgrind".to_owned());
    }
    let text = std::fs::read_to_string(&output).map_err(|error| format!("callgrind: {error}"))?;
    let instructions = totals(&text).ok_or("callgrind wrote no totals")?;
    Ok(Counted { instructions, allocations: allocations(&text) as f64 })
}

/// Calls of what allocates: `cfn=(12) malloc` and in the next line `calls=34 …`. A name stands where its number is first
/// used, as the callee or as `fn=`.
fn allocations(text: &str) -> u64 {
    let mut names = BTreeMap::new();
    let (mut callee, mut calls) = (None, 0);
    for line in text.lines() {
        let function = line.strip_prefix("cfn=").or_else(|| line.strip_prefix("fn="));
        if let Some((number, name)) = function.map(|f| f.split_once(' ').unwrap_or((f, ""))) {
            if !name.is_empty() {
                names.insert(number.to_owned(), matches!(name, "malloc" | "calloc" | "realloc" | "posix_memalign"));
            }
            callee = line.starts_with('c').then(|| names.get(number).copied().unwrap_or(false));
        } else if let Some(rest) = line.strip_prefix("calls=")
            && callee == Some(true)
        {
            calls += rest.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    calls
}

/// `totals: 12345` or `summary: 12345`, the first figure of the line.
fn totals(text: &str) -> Option<u64> {
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    line("totals:").or_else(|| line("summary:"))?.split_whitespace().next()?.parse().ok()
}

/// One connection, one request after the other: nothing depends on what arrives together by chance.
fn drive(scenario: &Scenario, address: std::net::SocketAddr, requests: u64, folder: &Path) -> Result<(), String> {
    let mut spec = Spec::new(scenario, address, 1);
    (spec.connections, spec.rate, spec.requests) = (1, None, Some(requests + WARM));
    let cores = Cores::of(machine::cores()).load;
    let outcome = load::run(&spec, &cores, folder, || {}, || {})?;
    match outcome.errors {
        0 => Ok(()),
        errors => Err(format!("{errors} errors: {}", outcome.first_error.unwrap_or_default())),
    }
}

fn perf(peer: &Peer, scenario: &Scenario, around: &Surroundings, requests: u64) -> Result<u64, String> {
    let program = peer::find("perf").ok_or("neither valgrind nor perf is installed")?;
    let running = peer.start(scenario, around)?;
    drive(scenario, running.address, 1, around.folder)?;
    let pid = running.child.as_ref().map(Child::pid).ok_or("nothing to count without a proxy")?;
    let folder = Folder::new()?;
    let output = folder.path().join("perf.csv");
    let mut start = Start::new(&program, &[]);
    start.arguments = ["stat", "-x,", "-e", "instructions:u", "-p", &pid.to_string(), "-o"].map(Into::into).into();
    start.arguments.push(output.clone().into());
    let mut counter = start.spawn()?;
    std::thread::sleep(Duration::from_millis(500));
    drive(scenario, running.address, requests, around.folder)?;
    counter.signal(Signal::INT);
    counter.wait_for_end(Duration::from_secs(5));
    let text = std::fs::read_to_string(&output).unwrap_or_default();
    let figure = text.lines().find(|line| line.contains("instructions")).and_then(|line| line.split(',').next());
    let figure = figure.and_then(|figure| figure.parse::<u64>().ok());
    figure.map(|all| all / (requests + WARM)).ok_or_else(|| "the processor lets nobody count instructions".to_owned())
}

fn read(path: &PathBuf) -> Result<Budget, String> {
    match std::fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Budget::new()),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn render(budget: &Budget) -> String {
    let mut text = String::from(
        "# User-space instructions of one proxied request in the steady state, counted by callgrind.\n\
         # `bench-harness instructions` fails above these by more than 3 %; `--update` writes what it counts.\n",
    );
    for (peer, scenarios) in budget.iter().filter(|(_, scenarios)| !scenarios.is_empty()) {
        let _ = writeln!(text, "\n[{peer}]");
        for (scenario, instructions) in scenarios {
            let _ = writeln!(text, "{scenario} = {instructions}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_has_three_per_cent_of_room() {
        assert_eq!(verdict(1030, Some(1000)), "ok");
        assert_eq!(verdict(1031, Some(1000)), "OVER");
        assert_eq!(verdict(969, Some(1000)), "below");
        assert_eq!(verdict(5, None), "");
    }

    #[test]
    fn a_budget_file_comes_back_as_it_was_written() {
        let scenarios = BTreeMap::from([("keepalive-64".to_owned(), 12_345), ("rules".to_owned(), 99)]);
        let budget = Budget::from([("ringway".to_owned(), scenarios)]);
        assert_eq!(toml::from_str::<Budget>(&render(&budget)).unwrap(), budget);
    }

    #[test]
    fn totals_are_found() {
        assert_eq!(totals("events: Ir\nsummary: 12\n\nfn=(1)\n1 2\ntotals: 34\n"), Some(34));
        assert_eq!(totals("summary: 12 3\n"), Some(12));
        assert_eq!(totals("events: Ir\n"), None);
    }

    #[test]
    fn calls_of_malloc_are_found_under_numbers_too() {
        let text = "fn=(1) main\n1 5\ncfn=(2) malloc\ncalls=3 0\n1 9\ncfn=(3) free\ncalls=7 0\nfn=(2)\n1 1\n\
                    fn=(4) serve\ncfn=(2)\ncalls=2 0\n";
        assert_eq!(allocations(text), 5);
    }
}
