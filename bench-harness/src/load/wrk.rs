//! wrk as saturating load. Its own report has no p99.9, so a script prints the figures on a marked line.

use std::path::Path;

use super::{Outcome, Spec};
use crate::child::Start;

const MARK: &str = "@figures ";

const SCRIPT: &str = r#"
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '@figures {"requests":%d,"errors":%d,"seconds":%.6f,"p50_us":%d,"p90_us":%d,"p99_us":%d,"p999_us":%d,"max_us":%d}\n',
    summary.requests, e.connect + e.read + e.write + e.status + e.timeout, summary.duration / 1e6,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency:percentile(99.9), latency.max))
end
"#;

pub fn run(spec: &Spec, cpus: &[usize], folder: &Path) -> Result<Outcome, String> {
    let script = folder.join("figures.lua");
    std::fs::write(&script, SCRIPT).map_err(|error| error.to_string())?;
    let program = crate::peer::find("wrk").ok_or("wrk is not installed")?;
    let mut start = Start::new(&program, cpus);
    let threads = cpus.len().min(spec.connections).max(1);
    let mut arguments: Vec<String> =
        vec![format!("-t{threads}"), format!("-c{}", spec.connections), format!("-d{}s", spec.seconds)];
    arguments.extend(["--timeout".to_owned(), "10s".to_owned(), "-s".to_owned(), script.display().to_string()]);
    for header in &spec.headers {
        arguments.extend(["-H".to_owned(), header.clone()]);
    }
    arguments.push(spec.url());
    start.arguments = arguments.into_iter().map(Into::into).collect();
    start.stdout_piped = true;
    let output = start.spawn()?.output()?;
    let line = output.lines().find_map(|line| line.strip_prefix(MARK));
    let line = line.ok_or_else(|| format!("wrk: {}", output.trim()))?;
    serde_json::from_str(line).map_err(|error| format!("wrk: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marked_line_is_an_outcome() {
        let line =
            r#"{"requests":9,"errors":0,"seconds":1.5,"p50_us":1,"p90_us":2,"p99_us":3,"p999_us":4,"max_us":5}"#;
        let outcome: Outcome = serde_json::from_str(line).unwrap();
        assert_eq!((outcome.requests, outcome.p999_us), (9, 4.0));
        assert!(SCRIPT.contains(MARK));
    }
}
