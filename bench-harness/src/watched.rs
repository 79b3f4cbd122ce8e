//! `watched`: traffic beside four clients that ask `show stat` without a pause, on a configuration of 1,000 servers.
//! Told are p99 and CPU time a request with and without them; the latter of the whole process and of the threads
//! beside its first, which is where a program may keep its workers from what the socket costs.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::child::{Child, Folder, Start};
use crate::cli::Options;
use crate::load::Outcome;
use crate::loaded;
use crate::peer::{Kind, Peer, free_port, local};
use crate::procstat::Usage;
use crate::run::{Origin, Plan};

const SERVERS: usize = 1000;
const WATCHERS: usize = 4;

pub fn measure(options: &Options) -> Result<(), String> {
    let plan = options.plan(&["ringway", "haproxy"])?;
    let origin = Origin::start(&plan.cores.origin)?;
    println!(
        "{WATCHERS} loops of show stat, {SERVERS} servers, 4,000 kept and 1,000 new connections' requests a second"
    );
    println!(
        "{:<12} {:>8} {:>8} {:>6} {:>11} {:>11} {:>6} {:>11} {:>11} {:>6} {:>9} {:>7}",
        "peer",
        "p99 ms",
        "watched",
        "ratio",
        "µs/request",
        "watched",
        "ratio",
        "of workers",
        "watched",
        "ratio",
        "answers/s",
        "failed"
    );
    for peer in plan.peers.iter().filter(|peer| peer.kind == Kind::Haproxy) {
        for _ in 0..plan.repetitions {
            match peer.absent.clone().map_or_else(|| one(&plan, &origin, peer), Err) {
                Ok(row) => println!("{:<12} {row}", peer.name),
                Err(error) => println!("{:<12} {error}", peer.name),
            }
        }
    }
    Ok(())
}

/// One stretch of traffic: its outcomes and the CPU time a request, whole and of the workers.
struct Stretch {
    outcomes: Vec<Outcome>,
    whole_us: f64,
    workers_us: f64,
}

fn one(plan: &Plan, origin: &Origin, peer: &Peer) -> Result<String, String> {
    let folder = Folder::new()?;
    let (port, socket) = (free_port()?, folder.path().join("stats"));
    let mut config = format!(
        "global\n    nbthread {}\n    stats socket {} level admin\n\ndefaults\n    mode http\n    timeout connect 5s\n    \
         timeout client 60s\n    timeout server 60s\n\nfrontend f\n    bind 127.0.0.1:{port}\n    default_backend b\n\n\
         backend b\n    server s 127.0.0.1:{}\n\nbackend many\n",
        plan.cores.proxy.len(),
        socket.display(),
        origin.ports.http
    );
    for number in 1..SERVERS {
        config.push_str(&format!("    server s{number} 127.0.0.1:{}\n", origin.ports.http));
    }
    let path = folder.path().join("haproxy.cfg");
    std::fs::write(&path, config).map_err(|error| error.to_string())?;
    let mut start = Start::new(&peer.program, &plan.cores.proxy);
    start.arguments = vec!["-db".into(), "-f".into(), path.into()];
    let proxy = start.spawn()?;
    loaded::wait_for(local(port))?;
    let seconds = plan.seconds.max(5);
    let stretch = |work: &dyn Fn() -> Result<u64, String>| -> Result<(Stretch, u64), String> {
        let before = usages(&proxy);
        let specs = loaded::traffic(local(port), seconds);
        let (outcomes, answers) = loaded::run(&specs[..2], &plan.cores.load, origin.folder.path(), work)?;
        let after = usages(&proxy);
        let requests = loaded::requests(&outcomes).max(1) as f64;
        let us = |index: usize| (after[index].run_ns - before[index].run_ns) as f64 / 1000.0 / requests;
        Ok((Stretch { outcomes, whole_us: us(0), workers_us: us(1) }, answers))
    };
    stretch(&|| Ok(0))?;
    let (quiet, _) = stretch(&|| Ok(0))?;
    let (watched, answers) = stretch(&|| watch(&socket, Duration::from_secs(seconds), &plan.cores.load))?;
    let (p99, p99_watched) = (loaded::p99_ms(&quiet.outcomes), loaded::p99_ms(&watched.outcomes));
    Ok(format!(
        "{p99:>8.2} {p99_watched:>8.2} {:>6.2} {:>11.2} {:>11.2} {:>6.2} {:>11.2} {:>11.2} {:>6.2} {:>9.0} {:>7}",
        p99_watched / p99,
        quiet.whole_us,
        watched.whole_us,
        watched.whole_us / quiet.whole_us,
        quiet.workers_us,
        watched.workers_us,
        watched.workers_us / quiet.workers_us,
        answers as f64 / seconds as f64,
        loaded::errors(&quiet.outcomes) + loaded::errors(&watched.outcomes)
    ))
}

fn usages(proxy: &Child) -> [Usage; 2] {
    [Usage::of_group(proxy.pid()), Usage::beside_the_first(proxy.pid())]
}

/// How many whole answers came to clients on `cpus`.
fn watch(socket: &Path, duration: Duration, cpus: &[usize]) -> Result<u64, String> {
    let over = AtomicBool::new(false);
    let ask = || -> Result<u64, String> {
        let mut set = rustix::thread::CpuSet::new();
        cpus.iter().for_each(|cpu| set.set(*cpu));
        rustix::thread::sched_setaffinity(None, &set).map_err(|error| format!("affinity: {error}"))?;
        // Linux takes it for this thread alone: what is measured is how the proxy shares itself, not who watches where.
        rustix::process::setpriority_process(None, 19).map_err(|error| format!("priority: {error}"))?;
        let mut answers = 0;
        while !over.load(Ordering::Relaxed) {
            let told = |error: std::io::Error| format!("stats socket: {error}");
            let mut stream = UnixStream::connect(socket).map_err(told)?;
            stream.write_all(b"show stat\n").map_err(told)?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).map_err(told)?;
            if answer.iter().filter(|byte| **byte == b'\n').count() < SERVERS {
                return Err("show stat: an answer is not whole".to_owned());
            }
            answers += 1;
        }
        Ok(answers)
    };
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..WATCHERS).map(|_| scope.spawn(ask)).collect();
        std::thread::sleep(duration);
        over.store(true, Ordering::Relaxed);
        asking.into_iter().map(|one| one.join().map_err(|_| "a watcher panicked".to_owned())?).sum()
    })
}
