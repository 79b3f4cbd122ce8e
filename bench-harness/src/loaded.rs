//! A proxy under steady traffic while something is done to it: the common ground of `reloads` and `watched`. It runs
//! on a core of its own; several of our generators share another with the origin.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::load::{Outcome, Primed, Spec};
use crate::scenario::Shape;

/// 5,000 requests a second in two kinds, and long downloads.
pub fn traffic(address: SocketAddr, seconds: u64) -> [Spec; 3] {
    let spec = |shape, connections, rate, path: &str| Spec {
        shape,
        address,
        tls: None,
        connections,
        rate: Some(rate),
        path: path.to_owned(),
        headers: Vec::new(),
        bytes: 0,
        seconds,
        requests: None,
    };
    [
        spec(Shape::KeepAlive, 32, 4000, "/s/128"),
        spec(Shape::Connection, 32, 1000, "/s/128"),
        spec(Shape::KeepAlive, 4, 2, "/s/16777216"),
    ]
}

/// Waits until a proxy that was just started accepts connections.
pub fn wait_for(address: SocketAddr) -> Result<(), String> {
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        if began.elapsed() > Duration::from_secs(5) {
            return Err("does not start".to_owned());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Runs all of them at once and, meanwhile, `work`; the outcomes come in the order of `specs`.
pub fn run<T>(
    specs: &[Spec],
    cpus: &[usize],
    folder: &Path,
    work: impl FnOnce() -> Result<T, String>,
) -> Result<(Vec<Outcome>, T), String> {
    let mut primed = Vec::new();
    for spec in specs {
        primed.push(Primed::start(spec, cpus, folder)?);
    }
    std::thread::scope(|scope| {
        let running: Vec<_> = primed.iter_mut().map(|one| scope.spawn(|| one.go())).collect();
        let done = work();
        let mut outcomes = Vec::new();
        for one in running {
            outcomes.push(one.join().map_err(|_| "a generator's thread panicked".to_owned())??);
        }
        Ok((outcomes, done?))
    })
}

/// The most of what both kinds of small requests had at this quantile: whoever is slower tells.
pub fn p99_ms(outcomes: &[Outcome]) -> f64 {
    outcomes[..2].iter().map(|outcome| outcome.p99_us).fold(0.0, f64::max) / 1000.0
}

pub fn requests(outcomes: &[Outcome]) -> u64 {
    outcomes.iter().map(|outcome| outcome.requests).sum()
}

pub fn errors(outcomes: &[Outcome]) -> u64 {
    outcomes.iter().map(|outcome| outcome.errors).sum()
}

pub fn first_error(outcomes: &[Outcome]) -> String {
    outcomes.iter().find_map(|outcome| outcome.first_error.clone()).unwrap_or_default()
}
