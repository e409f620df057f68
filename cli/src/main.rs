//! `lifeboat`: the operator's hand on the repository and the verbs.
//!
//! It reads the same settings as the functions, from the environment, and runs the same verbs in this process: on the worst
//! day a bucket, a key and this program suffice.

mod advice;
mod command;
mod ledger;
mod progress_bar;
mod table;

use clap::Parser;
use command::Command;

const EXIT_STATUSES: &str =
    "Exit status: 0 all is well; 1 it failed, damage remains or a proof did not hold; 2 wrong usage.";

/// Backup and disaster recovery for PostgreSQL.
///
/// Settings come from the environment: the LIFEBOAT_* variables of the deployed functions, and AWS credentials.
#[derive(Parser)]
#[command(name = "lifeboat", version, after_help = EXIT_STATUSES)]
struct Arguments {
    /// Print one JSON document on standard output instead of text.
    #[arg(long, global = true)]
    json: bool,
    /// Why, for the audit trail: a ticket, a sentence.
    #[arg(long, global = true)]
    reason: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    match command::run(arguments.command, arguments.json, arguments.reason).await {
        Ok(outcome) => outcome,
        Err(error) => {
            eprintln!("lifeboat: {}\n  hint: {}", error.story(), advice::of(&error));
            std::process::ExitCode::FAILURE
        }
    }
}
