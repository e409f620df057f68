//! What is given on the command line.

use clap::Parser;

use crate::command::Command;

const EXIT_STATUSES: &str =
    "Exit status: 0 all is well; 1 it failed, damage remains or a proof did not hold; 2 wrong usage.";

/// Backup and disaster recovery for PostgreSQL.
///
/// Settings come from the environment: the LIFEBOAT_* variables of the deployed functions, and AWS credentials.
#[derive(Parser)]
#[command(name = "lifeboat", version, after_help = EXIT_STATUSES)]
pub struct Arguments {
    /// Print one JSON document on standard output instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// Why, for the audit trail: a ticket, a sentence.
    #[arg(long, global = true)]
    pub reason: Option<String>,
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}
