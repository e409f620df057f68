//! Bars over time, as SVG. Text stays outside: it must not shrink with the picture.

use lifeboat_model::{Outcome, PastRun, RUNS_KEPT};

use super::labels;

/// Size of the picture in its own units; it is stretched to the available space.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 100.0;

/// Width of the gap between two bars.
const GAP: f64 = 2.0;

/// Smallest number of places: a single run must not fill the chart.
const FEWEST: usize = 12;

/// Smallest height of a bar: a small value must stay visible.
const LEAST: f64 = 1.5;

/// One picture.
pub(super) struct Chart {
    pub(super) name: &'static str,
    pub(super) note: &'static str,
    /// The value of the highest bar.
    pub(super) top: String,
    /// The text for screen readers.
    pub(super) said: String,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) bars: Vec<Bar>,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) legend: Vec<(&'static str, &'static str)>,
}

/// One rectangle.
pub(super) struct Bar {
    pub(super) class: &'static str,
    pub(super) x: String,
    pub(super) y: String,
    pub(super) width: String,
    pub(super) height: String,
    pub(super) title: String,
}

/// The size of each backup, and how much of it was newly stored.
pub(super) fn sizes(runs: &[&PastRun]) -> Chart {
    let value = |run: &PastRun| run.raw_bytes.map(|bytes| bytes as f64);
    let share = |run: &PastRun| 1.0 - run.reused_ratio().unwrap_or(0.0);
    let words = |value: f64| labels::bytes(value as u64);
    let chart = chart("Size", "of each backup, before compression", runs, value, share, words);
    let legend = [("new", "newly stored"), ("reused", "reused")].into_iter().chain(chart.legend);
    Chart { legend: legend.collect(), ..chart }
}

/// How long each backup took.
pub(super) fn durations(runs: &[&PastRun]) -> Chart {
    chart("Duration", "of each backup", runs, |run| run.seconds, |_| 1.0, labels::seconds)
}

/// The recovery time that each drill measured.
pub(super) fn recoveries(runs: &[&PastRun]) -> Chart {
    chart("Recovery time", "as drills measured it", runs, |run| run.seconds, |_| 1.0, labels::seconds)
}

/// `share` of a bar is drawn as new, the rest above it as reused. The newest is at the right.
fn chart(
    name: &'static str,
    note: &'static str,
    runs: &[&PastRun],
    value: impl Fn(&PastRun) -> Option<f64>,
    share: impl Fn(&PastRun) -> f64,
    words: impl Fn(f64) -> String,
) -> Chart {
    let good = |run: &PastRun| if run.outcome == Outcome::Completed { value(run) } else { None };
    let most = runs.iter().filter_map(|run| good(run)).fold(0.0, f64::max);
    let least = runs.iter().filter_map(|run| good(run)).fold(f64::INFINITY, f64::min).min(most);
    let failed = runs.iter().filter(|run| run.outcome == Outcome::Failed).count();
    let place = WIDTH / runs.len().clamp(FEWEST, RUNS_KEPT) as f64;
    let mut bars = Vec::new();
    for (number, run) in runs.iter().rev().take(RUNS_KEPT).enumerate() {
        let x = WIDTH - place * (number + 1) as f64 + GAP / 2.0;
        let mut bar = |class, from: f64, to: f64, title: &str| {
            bars.push(Bar {
                class,
                x: format!("{x:.1}"),
                y: format!("{:.1}", HEIGHT - to),
                width: format!("{:.1}", place - GAP),
                height: format!("{:.1}", to - from),
                title: title.to_owned(),
            });
        };
        let at = labels::moment(run.at);
        match good(run) {
            // The full height: a failure must be visible next to successes.
            None if run.outcome == Outcome::Failed => bar("failed", 1.0, HEIGHT - 1.0, &format!("{at}: failed")),
            None => {}
            Some(value) => {
                let whole = if most > 0.0 { (HEIGHT * value / most).max(LEAST) } else { LEAST };
                let new = whole * share(run).clamp(0.0, 1.0);
                let title = format!("{at}: {}", words(value));
                bar("new", 0.0, new, &title);
                if whole - new > 0.05 {
                    bar("reused", new, whole, &title);
                }
            }
        }
    }
    let ends = |run: Option<&&PastRun>| run.map(|run| labels::moment(run.at)).unwrap_or_default();
    Chart {
        name,
        note,
        top: words(most),
        said: format!(
            "{name} of {} runs, from {} to {}; {failed} failed. The newest are in the table below.",
            runs.len(),
            words(least),
            words(most)
        ),
        width: WIDTH,
        height: HEIGHT,
        bars,
        from: ends(runs.first()),
        to: ends(runs.last()),
        legend: if failed > 0 { vec![("failed", "failed")] } else { Vec::new() },
    }
}
