//! The options of the benchmark.

use clap::Parser;

/// Runs Lifeboat's functions beside what people use today, on the same database and the same disk, in turns.
#[derive(Debug, Clone, Parser)]
#[command(name = "cargo peers")]
pub struct Options {
    /// Size of the database's tables in GB, about.
    #[arg(long, default_value_t = 1.0)]
    pub gb: f64,

    /// How often each contender runs. Figures are medians, ratios medians of ratios within a round.
    #[arg(long, default_value_t = 3)]
    pub rounds: u32,

    /// Sessions of Lifeboat's functions.
    #[arg(long, default_value_t = 4)]
    pub sessions: usize,

    /// Only contenders whose name contains one of these. Name what they need as well: a restore needs its backup.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
}

impl Options {
    /// Whether the contender is to run.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }
}
