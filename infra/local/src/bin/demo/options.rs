//! The options of the demo.

use clap::Parser;

/// Backs up a database on a local cloud, verifies the backup, restores it and proves it equal.
#[derive(Debug, Clone, Parser)]
#[command(name = "cargo demo")]
pub struct Options {
    /// Back up this database instead of the sample: `postgres://user:password@host/database`. It is only read.
    #[arg(long, value_name = "URL", env = "LIFEBOAT_DEMO_SOURCE_URL", hide_env_values = true)]
    pub source: Option<String>,

    /// Also restore into this database, which is empty or does not exist yet, and leave the restored data there.
    #[arg(long, value_name = "URL", env = "LIFEBOAT_DEMO_INTO_URL", hide_env_values = true)]
    pub into: Option<String>,

    /// Print one line of JSON on standard output instead of a table.
    #[arg(long)]
    pub json: bool,

    /// Leave everything running afterwards, and print how to look around. Ctrl-C stops it.
    #[arg(long)]
    pub keep: bool,
}
