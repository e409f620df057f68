//! `lifeboat`: the operator's hand on the repository and the verbs.
//!
//! It reads the same settings as the functions, from the environment, and runs the same verbs in this process: on the worst
//! day a bucket, a key and this program suffice.

mod advice;
mod arguments;
mod command;
mod ledger;
mod progress_bar;
mod table;

use arguments::Arguments;
use clap::Parser;

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let Arguments { json, reason, command } = Arguments::parse();
    match command::run(command, json, reason).await {
        Ok(outcome) => outcome,
        Err(error) => {
            eprintln!("lifeboat: {}\n  hint: {}", error.story(), advice::of(&error));
            std::process::ExitCode::FAILURE
        }
    }
}
