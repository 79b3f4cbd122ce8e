//! The plots as SVG text: ratio bars, latency percentiles by rate, history by commit. Each is `None` when the results
//! hold nothing for it.

use std::collections::BTreeMap;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::results::Line;
use crate::stats::{self, Spread};

const COLOURS: [RGBColor; 6] = [
    RGBColor(0x1f, 0x77, 0xb4),
    RGBColor(0xd6, 0x6b, 0x1f),
    RGBColor(0x2c, 0xa0, 0x2c),
    RGBColor(0x8c, 0x56, 0x9b),
    RGBColor(0xc4, 0x3c, 0x3c),
    RGBColor(0x55, 0x55, 0x55),
];

fn drawing(text: &mut String, size: (u32, u32), draw: impl FnOnce(&Area) -> Drawn) -> Result<(), String> {
    let root = SVGBackend::with_string(text, size).into_drawing_area();
    root.fill(&WHITE).map_err(|error| error.to_string())?;
    draw(&root).map_err(|error| error.to_string())?;
    root.present().map_err(|error| error.to_string())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// A bar for each scenario and rival: the median, with a line from min to max.
pub fn ratios(lines: &[&Line]) -> Result<Option<String>, String> {
    let mut bars: Vec<(String, usize, Spread)> = Vec::new();
    let mut rivals: Vec<&str> = Vec::new();
    for line in lines {
        let Some(subject) = line.subject() else { continue };
        let primary = line.shape.primary();
        let ours = subject.primary(primary);
        for other in line.peers.iter().filter(|peer| peer.name != subject.name) {
            let Some(spread) = stats::ratios(&ours, &other.primary(primary)) else { continue };
            let rival = rivals.iter().position(|name| *name == other.name).unwrap_or_else(|| {
                rivals.push(&other.name);
                rivals.len() - 1
            });
            bars.push((format!("{}: {} / {}", line.scenario, subject.name, other.name), rival, spread));
        }
    }
    if bars.is_empty() {
        return Ok(None);
    }
    let highest = bars.iter().map(|(.., spread)| spread.max).fold(1.2, f64::max).min(4.0);
    let count = bars.len() as i32;
    let mut text = String::new();
    drawing(&mut text, (900, 90 + 26 * bars.len() as u32), |root| {
        let mut chart = ChartBuilder::on(root)
            .caption("Cost of the subject over others (below 1 is less)", ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(32)
            .y_label_area_size(300)
            .build_cartesian_2d(0.0..highest, 0.0..f64::from(count))?;
        // Labels are drawn by hand beside their bars; the axis would put them between.
        chart.configure_mesh().disable_y_mesh().y_labels(0).x_desc("ratio").draw()?;
        for row in 0..count {
            let (name, rival, spread) = &bars[(count - 1 - row) as usize];
            let (low, high) = (f64::from(row), f64::from(row + 1));
            let colour = COLOURS[rival % COLOURS.len()];
            let mut bar = Rectangle::new([(0.0, low), (spread.median.min(highest), high)], colour.mix(0.75).filled());
            bar.set_margin(5, 5, 0, 0);
            chart.draw_series(std::iter::once(bar))?;
            let (_, top) = chart.backend_coord(&(0.0, high));
            let (left, bottom) = chart.backend_coord(&(spread.min.min(highest), low));
            let (right, _) = chart.backend_coord(&(spread.max.min(highest), low));
            let middle = i32::midpoint(top, bottom);
            root.draw(&PathElement::new([(left, middle), (right, middle)], BLACK.stroke_width(1)))?;
            let style = ("sans-serif", 13).into_text_style(root);
            root.draw(&Text::new(name.clone(), (14, middle - 7), style.clone()))?;
            root.draw(&Text::new(format!("{:.2}", spread.median), (right + 6, middle - 7), style))?;
        }
        chart.draw_series(LineSeries::new([(1.0, 0.0), (1.0, f64::from(count))], BLACK.mix(0.6)))?;
        Ok(())
    })?;
    Ok(Some(text))
}

/// p50, p99 and p99.9 over the rate, a line for each peer and percentile.
pub fn latency(lines: &[&Line]) -> Result<Option<String>, String> {
    let mut series: BTreeMap<(String, &str), Vec<(f64, f64)>> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.scenario.starts_with("rate-")) {
        let Some(rate) = line.rate else { continue };
        for peer in line.peers.iter().filter(|peer| !peer.repetitions.is_empty()) {
            let figures: [(&str, f64); 3] = [
                ("p50", stats::median(&peer.all(|figures| Some(figures.p50_us)))),
                ("p99", stats::median(&peer.all(|figures| Some(figures.p99_us)))),
                ("p99.9", stats::median(&peer.all(|figures| Some(figures.p999_us)))),
            ];
            for (name, value) in figures {
                series.entry((peer.name.clone(), name)).or_default().push((rate as f64, value.max(1.0)));
            }
        }
    }
    if series.is_empty() {
        return Ok(None);
    }
    series.values_mut().for_each(|points| points.sort_by(|a, b| a.0.total_cmp(&b.0)));
    let points = || series.values().flatten();
    let rate_max = points().map(|point| point.0).fold(0.0, f64::max) * 1.05;
    let low = points().map(|point| point.1).fold(f64::INFINITY, f64::min) * 0.8;
    let high = points().map(|point| point.1).fold(0.0, f64::max) * 1.3;
    let mut peers: Vec<&str> = series.keys().map(|(peer, _)| peer.as_str()).collect();
    peers.dedup();
    let mut text = String::new();
    drawing(&mut text, (900, 460), |root| {
        let mut chart = ChartBuilder::on(root)
            .caption("Latency from the scheduled moment, by rate", ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..rate_max, (low..high).log_scale())?;
        chart.configure_mesh().x_desc("requests a second").y_desc("µs").draw()?;
        for ((peer, percentile), points) in &series {
            let colour = COLOURS[peers.iter().position(|name| name == peer).unwrap_or(0) % COLOURS.len()];
            let width = match *percentile {
                "p50" => 3,
                "p99" => 2,
                _ => 1,
            };
            let style = colour.stroke_width(width);
            chart
                .draw_series(LineSeries::new(points.iter().copied(), style).point_size(3))?
                .label(format!("{peer} {percentile}"))
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        let mut labels = chart.configure_series_labels();
        labels.position(SeriesLabelPosition::UpperLeft).background_style(WHITE.mix(0.8));
        labels.border_style(BLACK.mix(0.4)).draw()?;
        Ok(())
    })?;
    Ok(Some(text))
}

/// The subject's primary figure by run, relative to its first, a line for each scenario.
pub fn history(lines: &[Line]) -> Result<Option<String>, String> {
    let mut series: BTreeMap<&str, Vec<(usize, f64)>> = BTreeMap::new();
    let mut runs: Vec<(&str, &str)> = Vec::new();
    for line in lines.iter().filter(|line| line.subject().is_some_and(|subject| subject.name == "ringway")) {
        let Some(subject) = line.subject() else { continue };
        let value = stats::median(&subject.primary(line.shape.primary()));
        if !value.is_finite() || line.profile.starts_with("compare") {
            continue;
        }
        let at = runs.iter().position(|(run, _)| *run == line.run).unwrap_or_else(|| {
            runs.push((&line.run, &line.commit));
            runs.len() - 1
        });
        series.entry(&line.scenario).or_default().push((at, value));
    }
    if runs.len() < 2 {
        return Ok(None);
    }
    let mut highest = 1.2_f64;
    for points in series.values_mut() {
        let first = points[0].1;
        points.iter_mut().for_each(|point| point.1 /= first);
        highest = points.iter().map(|point| point.1).fold(highest, f64::max);
    }
    let mut text = String::new();
    drawing(&mut text, (900, 460), |root| {
        let mut chart = ChartBuilder::on(root)
            .caption("Cost by run, the first of each scenario is 1", ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..(runs.len() - 1) as f64, 0.0..highest * 1.1)?;
        // Only whole steps of the axis are runs.
        let commit = |at: &f64| match runs.get(at.round() as usize) {
            Some((_, commit)) if (at - at.round()).abs() < 1e-6 => (*commit).to_owned(),
            _ => String::new(),
        };
        chart.configure_mesh().x_labels(runs.len().min(8)).x_label_formatter(&commit).draw()?;
        for (index, (scenario, points)) in series.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            chart
                .draw_series(
                    LineSeries::new(points.iter().map(|&(run, cost)| (run as f64, cost)), colour.stroke_width(2))
                        .point_size(3),
                )?
                .label(*scenario)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour));
        }
        let mut labels = chart.configure_series_labels();
        labels.position(SeriesLabelPosition::LowerLeft).background_style(WHITE.mix(0.8));
        labels.border_style(BLACK.mix(0.4)).draw()?;
        Ok(())
    })?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::line;

    #[test]
    fn each_plot_is_svg_or_absent() {
        let (first, second) = (
            line("a", "c1", 1, &[("ringway", &[1.0, 1.1]), ("haproxy", &[2.0, 2.1])]),
            line("a", "c2", 2, &[("ringway", &[0.9, 1.0]), ("haproxy", &[2.0, 2.1])]),
        );
        assert!(ratios(&[&first]).unwrap().unwrap().starts_with("<svg"));
        assert!(latency(&[&first]).unwrap().is_none());
        let mut rate = first.clone();
        (rate.scenario, rate.rate) = ("rate-5k".to_owned(), Some(5000));
        assert!(latency(&[&rate]).unwrap().unwrap().contains("haproxy p99"));
        assert!(history(std::slice::from_ref(&first)).unwrap().is_none());
        assert!(history(&[first, second]).unwrap().unwrap().contains("c2"));
    }
}
