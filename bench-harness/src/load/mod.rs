//! Load: one repetition's traffic and what it measured. `generator` is ours (open loop at a rate, handshakes,
//! connections, TCP); `wrk` and `h2load` saturate. All run in processes of their own, pinned by `child`.
//!
//! Our generator speaks two lines: "primed" when its connections stand (the runner then reads the proxy's clock and
//! answers with a line), and the outcome at the end.

mod generator;
#[cfg(test)]
mod generator_tests;
mod h2_once;
mod h2load;
mod response;
mod wrk;

use std::ffi::OsString;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::child::{Child, Start};
use crate::scenario::{Scenario, Shape, Tls};

/// Traffic towards one address.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Spec {
    pub shape: Shape,
    pub address: SocketAddr,
    pub tls: Option<Tls>,
    pub connections: usize,
    pub rate: Option<u64>,
    pub path: String,
    pub headers: Vec<String>,
    pub bytes: u64,
    /// Duration; whole, because wrk knows no other.
    pub seconds: u64,
    /// Stop after so many requests instead.
    pub requests: Option<u64>,
}

impl Spec {
    pub fn new(scenario: &Scenario, address: SocketAddr, seconds: u64) -> Self {
        let load = &scenario.load;
        Self {
            shape: load.shape,
            address,
            tls: scenario.proxy.tls,
            connections: load.connections,
            rate: load.rate,
            path: load.path.clone(),
            headers: load.headers.clone(),
            bytes: load.bytes,
            seconds,
            requests: None,
        }
    }

    pub fn url(&self) -> String {
        format!("{}://{}{}", if self.tls.is_some() { "https" } else { "http" }, self.address, self.path)
    }
}

/// What came of it. Latencies in microseconds; for a rate they count from the scheduled time.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
pub struct Outcome {
    pub requests: u64,
    pub errors: u64,
    pub seconds: f64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
    /// How late the generator itself started requests for which a connection was free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_p99_us: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handshakes_full: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handshakes_resumed: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_error: Option<String>,
}

/// Which tool makes this traffic, for tables and results.
pub fn tool(spec: &Spec) -> &'static str {
    match spec.shape {
        Shape::H2 => "h2load",
        Shape::KeepAlive if spec.rate.is_none() && spec.requests.is_none() && crate::peer::find("wrk").is_some() => {
            "wrk"
        }
        _ => "own",
    }
}

/// Runs the load on `cpus`; `begin` is called when traffic is about to start, `end` when it has ended.
pub fn run(
    spec: &Spec,
    cpus: &[usize],
    folder: &Path,
    mut begin: impl FnMut(),
    mut end: impl FnMut(),
) -> Result<Outcome, String> {
    match tool(spec) {
        "wrk" => {
            begin();
            let outcome = wrk::run(spec, cpus, folder);
            end();
            outcome
        }
        "h2load" => {
            begin();
            let outcome = h2load::run(spec, cpus, folder);
            end();
            outcome
        }
        _ => {
            let mut primed = Primed::start(spec, cpus, folder)?;
            begin();
            let outcome = primed.go();
            end();
            outcome
        }
    }
}

/// Our generator with its connections open.
pub struct Primed(Child, std::path::PathBuf);

impl Primed {
    pub fn start(spec: &Spec, cpus: &[usize], folder: &Path) -> Result<Self, String> {
        let harness = std::env::current_exe().map_err(|error| error.to_string())?;
        let complaints = folder.join("load.err");
        let mut start = Start::new(&harness, cpus);
        let text = serde_json::to_string(spec).map_err(|error| error.to_string())?;
        start.arguments = vec![OsString::from("load"), text.into()];
        (start.stdout_piped, start.stdin_piped, start.stderr) = (true, true, Some(complaints.as_path()));
        let child = start.spawn()?;
        let mut primed = Self(child, complaints.clone());
        primed.answer()?;
        Ok(primed)
    }

    fn answer(&mut self) -> Result<String, String> {
        self.0.line().map_err(|error| {
            let complaint = std::fs::read_to_string(&self.1).unwrap_or_default();
            format!("{error}: {}", complaint.trim())
        })
    }

    /// Lets it run to its end.
    pub fn go(&mut self) -> Result<Outcome, String> {
        self.0.send_line("go")?;
        let line = self.answer()?;
        serde_json::from_str(&line).map_err(|error| format!("generator: {error}"))
    }
}

/// The hidden command `load`: one spec as JSON, traffic, one outcome as JSON.
pub fn serve(text: &str) -> Result<(), String> {
    let spec: Spec = serde_json::from_str(text).map_err(|error| format!("load: {error}"))?;
    crate::child::raise_file_limit();
    let mut generator = generator::Generator::new(spec)?;
    generator.prime()?;
    say("{\"primed\":true}")?;
    let mut go = String::new();
    std::io::stdin().read_line(&mut go).map_err(|error| error.to_string())?;
    if go.is_empty() {
        // The runner only wanted the connections to stand.
        return Ok(());
    }
    let outcome = generator.run()?;
    say(&serde_json::to_string(&outcome).map_err(|error| error.to_string())?)
}

fn say(line: &str) -> Result<(), String> {
    let mut output = std::io::stdout();
    writeln!(output, "{line}").and_then(|()| output.flush()).map_err(|error| error.to_string())
}
