//! `lifeboat`: the command line for operators.
//!
//! It reads the same settings as the functions, from the environment, and runs the same verbs in this process. In a disaster, a
//! bucket, a key and this program suffice.

mod advice;
mod answer;
mod arguments;
mod command;
mod connection;
mod incident;
mod ledger;
mod policy;
mod progress_bar;
mod restore;
mod table;

use arguments::Arguments;
use clap::Parser;

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let Arguments { json, reason, repository, command } = Arguments::parse();
    match command::execute(command, json, reason, &repository).await {
        Ok(outcome) => outcome,
        Err(error) => {
            eprintln!("lifeboat: {}\n  hint: {}", error.story(), advice::of(&error));
            std::process::ExitCode::FAILURE
        }
    }
}
