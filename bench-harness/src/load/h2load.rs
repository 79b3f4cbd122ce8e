//! h2load as HTTP/2 load. Percentiles come from its request log (start, status, microseconds).

use std::path::Path;

use super::{Outcome, Spec};
use crate::child::Start;
use crate::stats;

/// Streams at once on each connection: a browser with a page to load, not a stress test of flow control.
const STREAMS: usize = 8;

pub fn run(spec: &Spec, cpus: &[usize], folder: &Path) -> Result<Outcome, String> {
    let program = crate::peer::find("h2load").ok_or("h2load is not installed (package nghttp2-client)")?;
    let log = folder.join("h2load.log");
    let _ = std::fs::remove_file(&log);
    let mut start = Start::new(&program, cpus);
    let mut arguments = vec!["-t1".to_owned(), format!("-c{}", spec.connections), format!("-m{STREAMS}")];
    arguments.push(format!("-D{}", spec.seconds));
    arguments.push(format!("--log-file={}", log.display()));
    for header in &spec.headers {
        arguments.extend(["-H".to_owned(), header.clone()]);
    }
    arguments.push(spec.url());
    start.arguments = arguments.into_iter().map(Into::into).collect();
    start.stdout_piped = true;
    let output = start.spawn()?.output()?;
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    let mut outcome = parse_log(&text);
    let (succeeded, failed) = parse_totals(&output).ok_or_else(|| format!("h2load: {}", output.trim()))?;
    outcome.requests = succeeded;
    outcome.errors += failed;
    outcome.seconds = spec.seconds as f64;
    Ok(outcome)
}

/// `requests: 10 total, 10 started, 10 done, 10 succeeded, 0 failed, 0 errored, 0 timeout`
fn parse_totals(output: &str) -> Option<(u64, u64)> {
    let line = output.lines().find(|line| line.starts_with("requests:"))?;
    let number = |word: &str| -> Option<u64> {
        let before = line.split(word).next()?;
        before.trim_end().rsplit(' ').next()?.parse().ok()
    };
    Some((number("succeeded")?, number("failed")? + number("errored")?))
}

fn parse_log(text: &str) -> Outcome {
    let mut times = Vec::new();
    let mut errors = 0;
    for line in text.lines() {
        let mut fields = line.split('\t').skip(1);
        let status = fields.next().unwrap_or("");
        match fields.next().and_then(|time| time.parse::<f64>().ok()) {
            Some(time) if status == "200" => times.push(time),
            _ => errors += 1,
        }
    }
    let mut at = |quantile| if times.is_empty() { 0.0 } else { stats::percentile(&mut times, quantile) };
    Outcome {
        p50_us: at(0.5),
        p90_us: at(0.9),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: at(1.0),
        errors,
        ..Outcome::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read() {
        let output =
            "finished in 1s\nrequests: 12 total, 12 started, 12 done, 10 succeeded, 2 failed, 1 errored, 0 timeout\n";
        assert_eq!(parse_totals(output), Some((10, 3)));
        assert_eq!(parse_totals("nothing"), None);
    }

    #[test]
    fn the_log_gives_percentiles_and_errors() {
        let outcome = parse_log("1\t200\t100\n2\t200\t300\n3\t500\t1\n");
        assert_eq!((outcome.p50_us, outcome.max_us, outcome.errors), (100.0, 300.0, 1));
    }
}
