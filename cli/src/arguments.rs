//! The arguments of the command line.

use clap::Parser;

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
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}
