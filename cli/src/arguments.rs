//! The arguments of the command line.

use clap::Parser;
use lifeboat_runtime::RepositoryUrl;

use crate::command::Command;

const EXIT_STATUSES: &str = "Exit status: 0 success; 1 failure, remaining damage or a restore that lacks rows; 2 wrong usage; 3 a restore with all rows, in which some \
     objects are missing or not what they were.";

/// Backup and disaster recovery for PostgreSQL.
///
/// Settings come from the environment: the LIFEBOAT_* variables of the deployed functions, and AWS credentials.
#[derive(Parser)]
#[command(name = "lifeboat", version, after_help = EXIT_STATUSES)]
pub struct Arguments {
    /// Print one JSON document on standard output instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// The reason to record in the audit trail, such as a ticket number.
    #[arg(long, global = true)]
    pub reason: Option<String>,
    /// A bucket of the repository, `s3://BUCKET`, instead of all settings from the environment; once for each bucket.
    ///
    /// Credentials come from the environment, and the stored objects name their keys. For the day on which nothing else is left.
    #[arg(long, global = true, value_name = "URL")]
    pub repository: Vec<RepositoryUrl>,
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}
