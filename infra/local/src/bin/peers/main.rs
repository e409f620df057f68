//! `cargo peers`: Lifeboat's functions as they ship beside what people use today, on one database, in turns, as ratios.

mod contenders;
mod ground;
mod lambda;
mod measure;
mod options;
mod results;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use contenders::{NAMES, Round};
use ground::Ground;
use options::Options;
use results::Results;

#[tokio::main]
async fn main() -> ExitCode {
    match compare(&Options::parse()).await {
        Ok(text) => {
            // The reader of standard output may close it early.
            let _ = writeln!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("peers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn compare(options: &Options) -> Result<String> {
    let ground = Ground::prepare(options, |text| eprintln!("{text}")).await?;
    let mut results = Results::new(options, &ground)?;
    for number in 1..=options.rounds {
        let mut round = Round::new(&ground, number);
        for name in NAMES.into_iter().filter(|name| options.wants(name)) {
            match round.run(name)? {
                Some(outcome) => {
                    eprintln!("round {number}: {name}: {:.2} s {}", outcome.cost.wall, outcome.phases);
                    results.add(name, outcome);
                }
                None => eprintln!("round {number}: {name}: skipped: not available on this machine"),
            }
        }
    }
    Ok(results.to_markdown())
}
