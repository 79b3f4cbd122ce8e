//! `report`: perf/REPORT.md and its plots out of perf/results.ndjson. The newest line of each scenario makes the
//! tables; older lines make the history. Nothing here measures.

mod plots;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::results::{Figures, Line, PeerResult};
use crate::stats;

pub fn write(repository: &Path) -> Result<(), String> {
    let folder = repository.join("perf");
    let lines = Line::read_all(&folder.join("results.ndjson"))?;
    let newest = newest(&lines);
    if newest.is_empty() {
        return Err("perf/results.ndjson is empty; `bench-harness run` fills it".to_owned());
    }
    let plots = folder.join("plots");
    std::fs::create_dir_all(&plots).map_err(|error| error.to_string())?;
    let mut drawn = Vec::new();
    for (name, title, svg) in [
        ("ratios", "CPU a request, subject over others", plots::ratios(&newest)?),
        ("latency", "Latency by rate", plots::latency(&newest)?),
        ("history", "CPU a request by commit", plots::history(&lines)?),
    ] {
        let path = plots.join(format!("{name}.svg"));
        match svg {
            Some(svg) => {
                std::fs::write(&path, svg).map_err(|error| error.to_string())?;
                drawn.push((name, title));
            }
            None => drop(std::fs::remove_file(&path)),
        }
    }
    let text = markdown(&newest, &drawn);
    std::fs::write(folder.join("REPORT.md"), text).map_err(|error| error.to_string())?;
    println!("wrote perf/REPORT.md and {} plots in perf/plots", drawn.len());
    Ok(())
}

/// The newest ordinary line of each scenario, in the order of names; comparisons of commits are not standing figures.
fn newest(lines: &[Line]) -> Vec<&Line> {
    let mut by_name = BTreeMap::new();
    for line in lines.iter().filter(|line| !line.profile.starts_with("compare")) {
        // Lines are appended, so the later one is the newer one.
        by_name.insert(line.scenario.as_str(), line);
    }
    by_name.into_values().collect()
}

fn markdown(newest: &[&Line], plots: &[(&str, &str)]) -> String {
    let mut text =
        String::from("# Measured\n\nWritten by `bench-harness report` from `results.ndjson`; not edited by hand.\n");
    text.push_str("How to repeat a figure: [README.md](README.md).\n\n");
    machines(&mut text, newest);
    for (name, title) in plots {
        let _ = writeln!(text, "![{title}](plots/{name}.svg)\n");
    }
    ratios(&mut text, newest);
    for line in newest {
        section(&mut text, line);
    }
    text
}

fn machines(text: &mut String, newest: &[&Line]) {
    let mut seen: Vec<String> = Vec::new();
    for line in newest {
        let machine = &line.machine;
        let told = format!("{}, {} cores, Linux {}", machine.cpu, machine.cores, machine.kernel);
        if !seen.contains(&told) {
            seen.push(told);
        }
    }
    let _ = writeln!(text, "Machine: {}.", seen.join("; "));
    let mut versions = BTreeMap::new();
    for peer in newest.iter().flat_map(|line| &line.peers) {
        if !peer.version.is_empty() {
            versions.insert(peer.name.as_str(), peer.version.as_str());
        }
    }
    for (name, version) in versions {
        let _ = writeln!(text, "- {name}: {version}");
    }
    text.push('\n');
}

fn ratios(text: &mut String, newest: &[&Line]) {
    text.push_str(
        "## Ratios\n\nThe subject's figure over another's, repetition by repetition: min / **median** / max. Below 1 the \
         subject needs less.\nNoise is two standard errors of the difference of two such medians: two runs on one \
         commit should agree within it.\n\n",
    );
    text.push_str("| scenario | subject | of | ratio | noise | repetitions |\n|---|---|---|---|---|---|\n");
    for line in newest {
        let Some(subject) = line.subject() else { continue };
        let primary = line.shape.primary();
        let ours = subject.primary(primary);
        for other in line.peers.iter().filter(|peer| peer.name != subject.name) {
            let theirs = other.primary(primary);
            let Some(spread) = stats::ratios(&ours, &theirs) else { continue };
            let pairs: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
            let _ = writeln!(
                text,
                "| {} | {} | {} | {:.2} / **{:.2}** / {:.2} | {} | {} |",
                line.scenario,
                subject.name,
                other.name,
                spread.min,
                spread.median,
                spread.max,
                per_cent(stats::noise(&pairs)),
                pairs.len()
            );
        }
    }
    text.push('\n');
}

fn section(text: &mut String, line: &Line) {
    let quiet = if line.load_average > crate::run::QUIET {
        format!(" **Not quiet: load average {:.1}.**", line.load_average)
    } else {
        String::new()
    };
    let _ = writeln!(
        text,
        "## {}\n\n{}. Load by {}, {} s a repetition, profile {}, commit `{}`.{quiet}\n",
        line.scenario, line.title, line.tool, line.seconds, line.profile, line.commit
    );
    let primary = line.shape.primary();
    let _ = writeln!(
        text,
        "| peer | {} | noise | user | system | requests/s | p50 µs | p99 µs | p99.9 µs | RSS MB | waits/request |",
        primary.label()
    );
    text.push_str("|---|---|---|---|---|---|---|---|---|---|---|\n");
    for peer in line.peers.iter().filter(|peer| peer.skipped.is_none()) {
        row(text, line, peer);
    }
    text.push('\n');
    for peer in &line.peers {
        if let Some(why) = &peer.skipped {
            let _ = writeln!(text, "- {} skipped: {why}", peer.name);
        }
    }
    text.push('\n');
}

fn row(text: &mut String, line: &Line, peer: &PeerResult) {
    let median = |figure: &dyn Fn(&Figures) -> Option<f64>| stats::median(&peer.all(figure));
    let positive = |value: f64| if value > 0.0 { value } else { f64::NAN };
    let primary = peer.primary(line.shape.primary());
    let cells = [
        figure(stats::median(&primary), 2),
        per_cent(stats::noise(&primary)),
        figure(median(&|figures| figures.user_us), 2),
        figure(median(&|figures| figures.system_us), 2),
        figure(positive(median(&|figures| Some(figures.rps))), 0),
        figure(positive(median(&|figures| Some(figures.p50_us))), 0),
        figure(positive(median(&|figures| Some(figures.p99_us))), 0),
        figure(positive(median(&|figures| Some(figures.p999_us))), 0),
        figure(median(&|figures| figures.rss_kb.map(|kb| kb as f64 / 1024.0)), 1),
        figure(median(&|figures| figures.voluntary), 2),
    ];
    let _ = writeln!(text, "| {} | {} |", peer.name, cells.join(" | "));
}

fn figure(value: f64, digits: usize) -> String {
    match value {
        value if !value.is_finite() => "–".to_owned(),
        value if value >= 1000.0 => format!("{value:.0}"),
        value => format!("{value:.digits$}"),
    }
}

fn per_cent(fraction: f64) -> String {
    if fraction.is_finite() { format!("{:.1} %", fraction * 100.0) } else { "–".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::line;

    #[test]
    fn the_newest_line_wins_and_comparisons_do_not_count() {
        let old = line("a", "c1", 1, &[("haproxy", &[1.0])]);
        let new = line("a", "c2", 2, &[("haproxy", &[2.0])]);
        let mut compared = line("a", "c3", 3, &[("this", &[3.0])]);
        compared.profile = "compare-quick".to_owned();
        let lines = [old, new, compared];
        let newest = newest(&lines);
        assert_eq!(newest.iter().map(|line| line.commit.as_str()).collect::<Vec<_>>(), ["c2"]);
    }

    #[test]
    fn the_report_holds_ratios_and_reasons() {
        let mut line = line("a", "c", 1, &[("ringway", &[1.0, 1.0, 1.1]), ("haproxy", &[2.0, 2.0, 2.0])]);
        line.peers.push(PeerResult::skipped("nginx", "", "no stick table".to_owned()));
        let text = markdown(&[&line], &[("ratios", "Ratios")]);
        assert!(text.contains("| a | ringway | haproxy | 0.50 / **0.50** / 0.55 |"), "{text}");
        assert!(text.contains("nginx skipped: no stick table") && text.contains("plots/ratios.svg"), "{text}");
    }
}
