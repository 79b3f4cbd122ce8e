//! Results: one line of JSON for each scenario of a run, appended to `perf/results.ndjson`. A line says where and at
//! which commit it was measured, and holds every repetition, so that any statistic can be made again from it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::scenario::{Primary, Shape};

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Line {
    /// The same for all scenarios of one run.
    pub run: String,
    pub time: u64,
    pub commit: String,
    pub machine: Machine,
    /// Processes that wanted a core in the minute before the run began; above 0.5 the figures are not quiet.
    #[serde(default)]
    pub load_average: f64,
    pub profile: String,
    pub seconds: u64,
    pub scenario: String,
    pub title: String,
    pub shape: Shape,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// What made the load: wrk, h2load, own.
    pub tool: String,
    pub peers: Vec<PeerResult>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
pub struct PeerResult {
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Why it has no figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repetitions: Vec<Figures>,
}

/// One repetition. Times in microseconds; `None` where a figure has no meaning for the scenario.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Figures {
    pub requests: u64,
    pub errors: u64,
    pub rps: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_us: Option<f64>,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late_p99_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_kb: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pss_kb: Option<u64>,
    /// Context switches a request: the process waited, or was made to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voluntary: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub involuntary: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshakes_full: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshakes_resumed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_connection: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_ms: Option<f64>,
}

impl Figures {
    pub fn primary(&self, which: Primary) -> Option<f64> {
        match which {
            Primary::CpuPerRequest | Primary::CpuPerSecond => self.cpu_us,
            Primary::BytesPerConnection => self.bytes_per_connection,
            Primary::StartMs => self.start_ms,
        }
    }
}

impl PeerResult {
    pub fn skipped(name: &str, version: &str, why: String) -> Self {
        Self { name: name.to_owned(), version: version.to_owned(), skipped: Some(why), repetitions: Vec::new() }
    }

    /// One figure over the repetitions; absent ones are NaN, so that pairs stay pairs.
    pub fn all(&self, figure: impl Fn(&Figures) -> Option<f64>) -> Vec<f64> {
        self.repetitions.iter().map(|repetition| figure(repetition).unwrap_or(f64::NAN)).collect()
    }

    pub fn primary(&self, which: Primary) -> Vec<f64> {
        self.all(|figures| figures.primary(which))
    }
}

impl Line {
    /// Whose figure the ratios are: ringway, a compared commit, or else the first proxy that ran.
    pub fn subject(&self) -> Option<&PeerResult> {
        let ran = |peer: &&PeerResult| !peer.repetitions.is_empty() && peer.name != "direct";
        let ours = self.peers.iter().filter(ran).find(|peer| matches!(peer.name.as_str(), "ringway" | "this"));
        ours.or_else(|| self.peers.iter().find(ran))
    }

    pub fn append(&self, path: &Path) -> Result<(), String> {
        let text = serde_json::to_string(self).map_err(|error| error.to_string())?;
        let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(|error| error.to_string())?;
        // In one write, so that a line is whole or absent.
        file.write_all(format!("{text}\n").as_bytes()).map_err(|error| error.to_string())
    }

    /// Every line of a file; one that cannot be read is an error with its number.
    pub fn read_all(path: &Path) -> Result<Vec<Self>, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        lines
            .map(|(index, line)| {
                serde_json::from_str(line).map_err(|error| format!("{}:{}: {error}", path.display(), index + 1))
            })
            .collect()
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn line(scenario: &str, commit: &str, time: u64, peers: &[(&str, &[f64])]) -> Line {
        let result = |(name, cpu): &(&str, &[f64])| PeerResult {
            name: (*name).to_owned(),
            version: "1".to_owned(),
            skipped: None,
            repetitions: cpu
                .iter()
                .map(|cpu| Figures { cpu_us: Some(*cpu), p50_us: 1.0, p99_us: 2.5, ..Figures::default() })
                .collect(),
        };
        Line {
            run: format!("r{time}"),
            time,
            commit: commit.to_owned(),
            machine: Machine { kernel: "6.1".to_owned(), cpu: "cpu".to_owned(), cores: 2 },
            load_average: 0.25,
            profile: "quick".to_owned(),
            seconds: 2,
            scenario: scenario.to_owned(),
            title: "a title".to_owned(),
            shape: Shape::KeepAlive,
            rate: None,
            tool: "wrk".to_owned(),
            peers: peers.iter().map(result).collect(),
        }
    }

    #[test]
    fn lines_come_back_as_they_were_written() {
        let path = std::env::temp_dir().join(format!("bench-results-{}.ndjson", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let mut first = line("a", "c1", 1, &[("ringway", &[1.5, 2.0]), ("haproxy", &[3.0, 4.0])]);
        first.peers.push(PeerResult::skipped("nginx", "", "not \"installed\"".to_owned()));
        let second = line("b", "c2", 2, &[("haproxy", &[0.1])]);
        first.append(&path).unwrap();
        second.append(&path).unwrap();
        let read = Line::read_all(&path);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read.unwrap(), [first, second]);
    }

    #[test]
    fn the_subject_is_ours_before_others_and_never_direct() {
        let both = line("a", "c", 1, &[("direct", &[1.0]), ("haproxy", &[1.0]), ("ringway", &[1.0])]);
        assert_eq!(both.subject().unwrap().name, "ringway");
        let theirs = line("a", "c", 1, &[("direct", &[1.0]), ("haproxy", &[1.0])]);
        assert_eq!(theirs.subject().unwrap().name, "haproxy");
    }
}
