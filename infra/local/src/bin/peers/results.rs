//! The results as a page: medians, and ratios within a round, because the machine's speed changes between rounds.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Result;

use crate::contenders::{NAMES, Outcome};
use crate::ground::Ground;
use crate::options::Options;

/// The goals: how many times as fast the first should be as the second.
const GOALS: [(&str, &str, f64); 6] = [
    ("lifeboat backup", "pg_dump -Fd -j2 -Z1", 1.8),
    ("lifeboat backup", "limit", 0.6),
    ("lifeboat backup", "pgbackrest backup", 1.0),
    ("lifeboat verify", "sha256sum", 0.8),
    ("lifeboat restore", "pg_restore -j2", 1.8),
    ("lifeboat backup, 1 % changed", "pgbackrest backup, 1 % changed", 1.0),
];

/// The goals for the largest package and the longest cold start.
const PACKAGE_GOAL_BYTES: f64 = 12e6;
const COLD_START_GOAL_MS: f64 = 150.0;

pub struct Results {
    machine: String,
    packages: Vec<(&'static str, u64)>,
    outcomes: BTreeMap<&'static str, Vec<Outcome>>,
}

impl Results {
    pub fn new(options: &Options, ground: &Ground) -> Result<Self> {
        let functions = ["backup", "verify", "test-restore"];
        let packages =
            functions.map(|name| Ok((name, ground.package_bytes(name)?))).into_iter().collect::<Result<_>>()?;
        let machine = format!(
            "{}; {}; tables of {:.2} GB, their indexes beside them; {} sessions; {} rounds",
            processor(),
            ground.server.psql("postgres", "SELECT 'PostgreSQL ' || current_setting('server_version')")?,
            ground.heap_bytes()? as f64 / 1e9,
            options.sessions,
            options.rounds,
        );
        Ok(Self { machine, packages, outcomes: BTreeMap::new() })
    }

    pub fn add(&mut self, name: &'static str, outcome: Outcome) {
        self.outcomes.entry(name).or_default().push(outcome);
    }

    /// A table of medians, the goals with what was reached, packages and cold starts.
    pub fn to_markdown(&self) -> String {
        let mut page = format!("{}.\n\n", self.machine);
        page += "| | wall s | CPU s | peak memory MiB | stored MB |\n|---|--:|--:|--:|--:|\n";
        for (name, runs) in NAMES.iter().filter_map(|name| Some((name, self.outcomes.get(name)?))) {
            let of = |value: fn(&Outcome) -> f64| median(runs.iter().map(value).collect());
            let stored = runs.iter().filter_map(|run| run.stored).map(|bytes| bytes as f64 / 1e6).collect::<Vec<_>>();
            let stored = if stored.is_empty() { String::new() } else { format!("{:.1}", median(stored)) };
            let memory = of(|run| run.cost.memory as f64) / f64::from(1 << 20);
            let _ = writeln!(
                page,
                "| {name} | {:.2} | {:.2} | {memory:.0} | {stored} |",
                of(|run| run.cost.wall),
                of(|run| run.cost.cpu)
            );
        }
        page += "\n| times as fast as | | wanted | measured |\n|---|---|--:|--:|\n";
        for (ours, theirs, goal) in GOALS {
            if let Some(ratio) = self.ratio(ours, theirs) {
                let _ = writeln!(page, "| {ours} | {theirs} | {goal:.1} | {ratio:.2} |");
            }
        }
        let _ = writeln!(
            page,
            "\n| function | package MB (wanted: {:.0}) | cold start ms (wanted: {COLD_START_GOAL_MS:.0}) |\n|---|--:|--:|",
            PACKAGE_GOAL_BYTES / 1e6
        );
        for (function, bytes) in &self.packages {
            let starts = self.cold_starts(function);
            let _ = writeln!(page, "| {function} | {:.1} | {:.0} |", *bytes as f64 / 1e6, median(starts));
        }
        page
    }

    /// How many times as fast `ours` was as `theirs`: the median over the rounds.
    fn ratio(&self, ours: &str, theirs: &str) -> Option<f64> {
        let (ours, theirs) = (self.outcomes.get(ours)?, self.outcomes.get(theirs)?);
        Some(median(ours.iter().zip(theirs).map(|(ours, theirs)| theirs.cost.wall / ours.cost.wall).collect()))
    }

    fn cold_starts(&self, function: &str) -> Vec<f64> {
        let name = if function == "test-restore" { "lifeboat drill" } else { &format!("lifeboat {function}") };
        let runs = self.outcomes.get(name).into_iter().flatten();
        runs.filter_map(|run| run.cold_start).map(|seconds| seconds * 1000.0).collect()
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<&str> = info
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, model)| model)
        .collect();
    format!("{} processors ({})", models.len(), models.first().unwrap_or(&"unknown"))
}
