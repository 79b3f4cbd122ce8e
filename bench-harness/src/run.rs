//! The runner: for each scenario it verifies, then measures peers in turn, A B B A over repetitions, each repetition
//! with fresh processes. The proxy has a core to itself; generator and origin share the rest.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::child::{Child, Folder, Start};
use crate::load::{self, Outcome, Primed, Spec};
use crate::machine::{self, Machine};
use crate::origin::Ports;
use crate::peer::{Kind, Peer, Running, Surroundings};
use crate::procstat::{Memory, Usage};
use crate::results::{Figures, Line, PeerResult};
use crate::scenario::{Scenario, Shape};
use crate::{certs, table, verify};

/// What to run and where.
#[derive(Debug, Clone)]
pub struct Plan {
    pub repository: PathBuf,
    pub peers: Vec<Peer>,
    pub scenarios: Vec<Scenario>,
    pub profile: String,
    pub repetitions: usize,
    pub seconds: u64,
    pub cores: Cores,
    /// Where lines are appended; without it nothing is recorded.
    pub results: Option<PathBuf>,
}

/// Who runs where.
#[derive(Debug, Clone, PartialEq)]
pub struct Cores {
    pub proxy: Vec<usize>,
    pub load: Vec<usize>,
    pub origin: Vec<usize>,
}

impl Cores {
    /// The last core for the proxy (the first ones see most interrupts), the first for the load, a third for the
    /// origin when there is one.
    pub fn of(count: usize) -> Self {
        let proxy = vec![count.saturating_sub(1)];
        let origin = if count > 2 { 1 } else { 0 };
        Self { proxy, load: vec![0], origin: vec![origin] }
    }

    /// A proxy with more threads takes further cores downwards from its own, in the end the load's.
    pub fn proxy_for(&self, threads: usize, count: usize) -> Vec<usize> {
        let first = self.proxy[0];
        let mut cores = self.proxy.clone();
        let others = (0..count).rev().filter(|core| *core != first && !self.proxy.contains(core));
        cores.extend(others);
        cores.truncate(threads.max(self.proxy.len()));
        cores
    }
}

/// A load average that leaves both cores to the measurement.
pub const QUIET: f64 = 0.5;

/// The origin process and its folder of certificates.
pub struct Origin {
    pub ports: Ports,
    pub folder: Folder,
    _child: Child,
}

impl Origin {
    pub fn start(cpus: &[usize]) -> Result<Self, String> {
        let folder = Folder::new()?;
        certs::write_all(folder.path())?;
        let harness = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut start = Start::new(&harness, cpus);
        start.arguments = vec![OsString::from("origin"), folder.path().into()];
        start.stdout_piped = true;
        let complaints = folder.path().join("origin.err");
        start.stderr = Some(&complaints);
        let mut child = start.spawn()?;
        let line = child
            .line()
            .map_err(|error| format!("{error}: {}", std::fs::read_to_string(&complaints).unwrap_or_default()))?;
        let ports = serde_json::from_str(&line).map_err(|error| format!("origin: {error}"))?;
        Ok(Self { ports, folder, _child: child })
    }
}

struct Runner<'a> {
    plan: &'a Plan,
    origin: Origin,
    count: usize,
}

/// Runs the plan; returns the lines, which are also appended and printed.
pub fn run(plan: &Plan) -> Result<Vec<Line>, String> {
    let count = machine::cores();
    let runner = Runner { plan, origin: Origin::start(&plan.cores.origin)?, count };
    let here = Machine::here();
    let commit = machine::commit(&plan.repository);
    let time = machine::now();
    let load_average = machine::load_average();
    let run = format!("{time}-{}", std::process::id());
    println!("{} · {} cores · kernel {} · commit {commit}", here.cpu, here.cores, here.kernel);
    println!(
        "profile {} · {} repetitions of {} s · proxy on {:?}, load on {:?}, origin on {:?}",
        plan.profile, plan.repetitions, plan.seconds, plan.cores.proxy, plan.cores.load, plan.cores.origin
    );
    for peer in &plan.peers {
        println!("  {:<12} {}", peer.name, peer.absent.as_deref().unwrap_or(&peer.version));
    }
    if load_average > QUIET {
        println!(
            "  NOT QUIET: load average {load_average:.2}; ratios hold better than figures, and neither holds well"
        );
    }
    println!("\n{}", table::header());
    let began = Instant::now();
    let mut lines = Vec::new();
    for (index, scenario) in plan.scenarios.iter().enumerate() {
        progress(&format!("[{}/{}] {}", index + 1, plan.scenarios.len(), scenario.name));
        let (tool, peers) = runner.scenario(scenario);
        let line = Line {
            run: run.clone(),
            time,
            commit: commit.clone(),
            machine: here.clone(),
            load_average,
            profile: plan.profile.clone(),
            seconds: plan.seconds,
            scenario: scenario.name.clone(),
            title: scenario.title.clone(),
            shape: scenario.load.shape,
            rate: scenario.load.rate,
            tool: tool.to_owned(),
            peers,
        };
        progress("");
        println!("{}", table::of_line(&line));
        if let Some(path) = &plan.results {
            line.append(path)?;
        }
        lines.push(line);
    }
    println!("{} scenarios in {:.0} s", lines.len(), began.elapsed().as_secs_f64());
    Ok(lines)
}

/// One line that is overwritten; on anything but a terminal it stays silent.
fn progress(text: &str) {
    let mut error = std::io::stderr();
    if error.is_terminal() {
        let _ = write!(error, "\r\x1b[K{text}");
        let _ = error.flush();
    }
}

impl Runner<'_> {
    /// Every peer's result in the order of the plan, and the tool that made the load.
    fn scenario(&self, scenario: &Scenario) -> (&'static str, Vec<PeerResult>) {
        let any = Spec::new(scenario, crate::peer::local(0), self.plan.seconds);
        let tool = load::tool(&any);
        let skipped = self.verify(scenario);
        let mut results: Vec<PeerResult> = self
            .plan
            .peers
            .iter()
            .map(|peer| match skipped.get(&peer.name) {
                Some(why) => PeerResult::skipped(&peer.name, &peer.version, why.clone()),
                None => {
                    PeerResult { name: peer.name.clone(), version: peer.version.clone(), ..PeerResult::default() }
                }
            })
            .collect();
        for repetition in 0..self.plan.repetitions {
            let mut order: Vec<usize> = (0..results.len()).collect();
            // A B, then B A: what drifts during the run meets both alike.
            if repetition % 2 == 1 {
                order.reverse();
            }
            for index in order {
                if results[index].skipped.is_some() {
                    continue;
                }
                let peer = &self.plan.peers[index];
                progress(&format!(
                    "{} · {} · {}/{}",
                    scenario.name,
                    peer.name,
                    repetition + 1,
                    self.plan.repetitions
                ));
                match self.measure(scenario, peer) {
                    Ok(figures) => results[index].repetitions.push(figures),
                    // Half a series would pair wrongly with the others' whole one.
                    Err(error) => results[index] = PeerResult::skipped(&peer.name, &peer.version, error),
                }
            }
        }
        (tool, results)
    }

    /// Who does not take part, and why: absent, unable, refusing, wrong, or behaving unlike the first.
    fn verify(&self, scenario: &Scenario) -> BTreeMap<String, String> {
        let mut skipped = BTreeMap::new();
        let mut first: Option<(&str, verify::Behaviour)> = None;
        for peer in &self.plan.peers {
            let around = self.around(scenario, &[]);
            progress(&format!("{} · {} · verifying", scenario.name, peer.name));
            let observed = match peer.lacks(scenario) {
                Some(why) => Err(why),
                None => peer.check(scenario, &around).and_then(|()| self.observe(scenario, peer)),
            };
            match (observed, &first) {
                (Err(why), _) => {
                    skipped.insert(peer.name.clone(), why);
                }
                // The origin by itself adds no headers and logs nothing; only its bodies are checked. A relay
                // passes bytes and is no rival in HTTP.
                (Ok(_), _) if matches!(peer.kind, Kind::Direct | Kind::Relay) => {}
                (Ok(behaviour), None) => first = Some((&peer.name, behaviour)),
                (Ok(behaviour), Some((name, reference))) => {
                    let differences = verify::differences(reference, &behaviour);
                    if !differences.is_empty() {
                        let why = format!("not comparable, differs from {name}: {}", differences.join("; "));
                        skipped.insert(peer.name.clone(), why);
                    }
                }
            }
        }
        skipped
    }

    fn observe(&self, scenario: &Scenario, peer: &Peer) -> Result<verify::Behaviour, String> {
        let running = peer.start(scenario, &self.around(scenario, &self.proxy_cores(scenario)))?;
        let origin = verify::origin_address(self.origin.ports.http);
        verify::observe(scenario, running.address, origin).map_err(|error| format!("wrong: {error}"))
    }

    fn proxy_cores(&self, scenario: &Scenario) -> Vec<usize> {
        self.plan.cores.proxy_for(scenario.proxy.threads, self.count)
    }

    fn around<'b>(&'b self, _: &Scenario, cpus: &'b [usize]) -> Surroundings<'b> {
        Surroundings {
            ports: &self.origin.ports,
            folder: self.origin.folder.path(),
            cpus,
            under: &[],
            patience: Duration::from_secs(5),
        }
    }

    fn measure(&self, scenario: &Scenario, peer: &Peer) -> Result<Figures, String> {
        let cores = self.proxy_cores(scenario);
        let running = peer.start(scenario, &self.around(scenario, &cores))?;
        let spec = Spec::new(scenario, running.address, self.plan.seconds);
        match scenario.load.shape {
            Shape::Start => self.start(&spec, &running),
            Shape::Idle | Shape::IdleH2 => self.idle(&spec, &running),
            Shape::Still => self.still(&spec, &running),
            _ => self.traffic(&spec, &running),
        }
    }

    /// Start until accepted, then one request, then how much memory stands there.
    fn start(&self, spec: &Spec, running: &Running) -> Result<Figures, String> {
        let mut once = spec.clone();
        once.shape = Shape::KeepAlive;
        once.requests = Some(1);
        let outcome = load::run(&once, &self.plan.cores.load, self.origin.folder.path(), || {}, || {})?;
        let mut figures = figures_of(&outcome, None, memory(running));
        figures.start_ms = Some(running.start.as_secs_f64() * 1000.0);
        figures.rps = 0.0;
        Ok(figures)
    }

    /// Memory before and after connections came, asked once and stayed.
    fn idle(&self, spec: &Spec, running: &Running) -> Result<Figures, String> {
        const SETTLE: Duration = Duration::from_millis(500);
        let mut few = spec.clone();
        few.connections = 10;
        drop(Primed::start(&few, &self.plan.cores.load, self.origin.folder.path())?);
        std::thread::sleep(SETTLE);
        let before = memory(running).ok_or("no proxy")?;
        let primed = Primed::start(spec, &self.plan.cores.load, self.origin.folder.path())?;
        std::thread::sleep(SETTLE);
        let after = memory(running).ok_or("no proxy")?;
        drop(primed);
        let mut figures = figures_of(&Outcome::default(), None, Some(after));
        let grown = after.pss as f64 - before.pss as f64;
        figures.bytes_per_connection = Some(grown / spec.connections as f64);
        Ok(figures)
    }

    /// What a second costs when nobody asks for anything.
    fn still(&self, spec: &Spec, running: &Running) -> Result<Figures, String> {
        const SETTLE: Duration = Duration::from_secs(2);
        let group = running.child.as_ref().map(Child::pid).ok_or("no proxy")?;
        std::thread::sleep(SETTLE);
        let before = Usage::of_group(group);
        std::thread::sleep(Duration::from_secs(spec.seconds));
        let spent = before.until(&Usage::of_group(group));
        let outcome = Outcome { requests: spec.seconds, ..Outcome::default() };
        Ok(figures_of(&outcome, Some(spent), memory(running)))
    }

    fn traffic(&self, spec: &Spec, running: &Running) -> Result<Figures, String> {
        let (cpus, folder) = (&self.plan.cores.load, self.origin.folder.path());
        self.warm(spec)?;
        let group = running.child.as_ref().map(Child::pid);
        let (mut before, mut spent, mut memory_then) = (Usage::default(), None, None);
        let mut look = Usage::default();
        let outcome = load::run(
            spec,
            cpus,
            folder,
            || before = group.map(Usage::of_group).unwrap_or_default(),
            || {
                look = group.map(Usage::of_group).unwrap_or_default();
                memory_then = memory(running);
            },
        )?;
        if group.is_some() {
            spent = Some(before.until(&look));
        }
        if outcome.requests == 0 {
            return Err(format!("no request succeeded: {}", outcome.first_error.unwrap_or_default()));
        }
        Ok(figures_of(&outcome, spent, memory_then))
    }

    /// Caches, pools and connections to the origin fill before anything counts.
    fn warm(&self, spec: &Spec) -> Result<(), String> {
        if spec.shape == Shape::H2 {
            // Our generator speaks no HTTP/2.
            let short = Spec { seconds: 1, ..spec.clone() };
            return load::run(&short, &self.plan.cores.load, self.origin.folder.path(), || {}, || {}).map(drop);
        }
        let mut few = spec.clone();
        few.rate = None;
        let large = matches!(spec.shape, Shape::Bulk) || spec.path.len() > "/s/99999".len();
        few.requests = Some(spec.connections as u64 * if large { 2 } else { 20 });
        load::run(&few, &self.plan.cores.load, self.origin.folder.path(), || {}, || {}).map(drop)
    }
}

fn memory(running: &Running) -> Option<Memory> {
    running.child.as_ref().map(|child| Memory::of_group(child.pid()))
}

fn figures_of(outcome: &Outcome, spent: Option<crate::procstat::Spent>, memory: Option<Memory>) -> Figures {
    let requests = outcome.requests.max(1) as f64;
    Figures {
        requests: outcome.requests,
        errors: outcome.errors,
        rps: if outcome.seconds > 0.0 { outcome.requests as f64 / outcome.seconds } else { 0.0 },
        cpu_us: spent.map(|spent| (spent.user_us + spent.system_us) / requests),
        user_us: spent.map(|spent| spent.user_us / requests),
        system_us: spent.map(|spent| spent.system_us / requests),
        p50_us: outcome.p50_us,
        p90_us: outcome.p90_us,
        p99_us: outcome.p99_us,
        p999_us: outcome.p999_us,
        late_p99_us: outcome.late_p99_us,
        rss_kb: memory.map(|memory| memory.rss / 1024),
        pss_kb: memory.map(|memory| memory.pss / 1024),
        voluntary: spent.map(|spent| spent.voluntary as f64 / requests),
        involuntary: spent.map(|spent| spent.involuntary as f64 / requests),
        handshakes_full: outcome.handshakes_full,
        handshakes_resumed: outcome.handshakes_resumed,
        bytes_per_connection: None,
        start_ms: None,
    }
}

/// The folder of scenarios of a checkout.
pub fn scenarios(repository: &Path) -> Result<Vec<Scenario>, String> {
    Scenario::load_all(&repository.join("perf/scenarios"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_has_a_core_to_itself_when_there_are_two() {
        let cores = Cores::of(2);
        assert_eq!(
            (cores.proxy.as_slice(), cores.load.as_slice(), cores.origin.as_slice()),
            (&[1][..], &[0][..], &[0][..])
        );
        assert_eq!(cores.proxy_for(2, 2), [1, 0]);
        let cores = Cores::of(4);
        assert_eq!((cores.origin[0], cores.proxy_for(2, 4)), (1, vec![3, 2]));
        assert_eq!(Cores::of(1).proxy, [0]);
    }
}
