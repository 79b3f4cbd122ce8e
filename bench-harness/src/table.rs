//! A scenario's figures as text for the terminal: medians by peer, ratios of the subject, what was skipped and why.

use std::fmt::Write as _;

use crate::results::{Figures, Line, PeerResult};
use crate::stats;

pub fn header() -> String {
    format!(
        "{:<12}{:>10}{:>9}{:>9}{:>9}{:>9}{:>9}{:>10}{:>8}{:>9}{:>9}{:>8}",
        "peer",
        "primary",
        "user",
        "system",
        "rps",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "RSS MB",
        "wait/rq",
        "preempt",
        "noise"
    )
}

pub fn of_line(line: &Line) -> String {
    let mut text = String::new();
    let primary = line.shape.primary();
    let _ = writeln!(text, "{} — {} [{}, {}]", line.scenario, line.title, primary.label(), line.tool);
    for peer in &line.peers {
        match &peer.skipped {
            Some(why) => {
                let _ = writeln!(text, "{:<12}  skipped: {why}", peer.name);
            }
            None => row(&mut text, line, peer),
        }
    }
    if let Some(subject) = line.subject() {
        let ours = subject.primary(primary);
        for other in line.peers.iter().filter(|peer| peer.name != subject.name) {
            if let Some(spread) = stats::ratios(&ours, &other.primary(primary)) {
                let _ = writeln!(
                    text,
                    "{:<12}  of {:<10} min {:.3}  median {:.3}  max {:.3}",
                    subject.name, other.name, spread.min, spread.median, spread.max
                );
            }
        }
    }
    text
}

fn row(text: &mut String, line: &Line, peer: &PeerResult) {
    let median = |figure: &dyn Fn(&Figures) -> Option<f64>| stats::median(&peer.all(figure));
    let primary = peer.primary(line.shape.primary());
    let number =
        |value: f64, digits: usize| if value.is_finite() { format!("{value:.digits$}") } else { "–".to_owned() };
    let digits = if stats::median(&primary) > 1000.0 { 0 } else { 2 };
    let _ = write!(text, "{:<12}{:>10}", peer.name, number(stats::median(&primary), digits));
    let _ = write!(text, "{:>9}", number(median(&|figures| figures.user_us), digits));
    let _ = write!(text, "{:>9}", number(median(&|figures| figures.system_us), digits));
    let latency = |value: f64| if value > 0.0 { number(value, 0) } else { "–".to_owned() };
    let _ = write!(text, "{:>9}", latency(median(&|figures| Some(figures.rps))));
    let _ = write!(text, "{:>9}", latency(median(&|figures| Some(figures.p50_us))));
    let _ = write!(text, "{:>9}", latency(median(&|figures| Some(figures.p99_us))));
    let _ = write!(text, "{:>10}", latency(median(&|figures| Some(figures.p999_us))));
    let _ = write!(text, "{:>8}", number(median(&|figures| figures.rss_kb.map(|kb| kb as f64 / 1024.0)), 1));
    let _ = write!(text, "{:>9}", number(median(&|figures| figures.voluntary), 2));
    let _ = write!(text, "{:>9}", number(median(&|figures| figures.involuntary), 2));
    let noise = stats::noise(&primary);
    let _ = write!(text, "{:>8}", if noise.is_finite() { format!("{:.1}%", noise * 100.0) } else { "–".to_owned() });
    let errors: u64 = peer.repetitions.iter().map(|figures| figures.errors).sum();
    let _ = writeln!(text, "{}", if errors > 0 { format!("  {errors} ERRORS") } else { String::new() });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::line;

    #[test]
    fn skipped_peers_are_visible_and_ratios_are_paired() {
        let mut line = line("a", "c", 1, &[("ringway", &[1.0, 2.0]), ("haproxy", &[2.0, 4.0])]);
        line.peers.push(PeerResult::skipped("nginx", "", "no stick table".to_owned()));
        let text = of_line(&line);
        assert!(text.contains("nginx         skipped: no stick table"), "{text}");
        assert!(text.contains("of haproxy    min 0.500  median 0.500  max 0.500"), "{text}");
    }
}
