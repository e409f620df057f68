//! `cargo demo`: the main job on the local cloud, on a sample database or on your own. A schedule fires, a database is backed up,
//! verified, restored and compared. Then a backup fails, and a subscriber is notified.

mod aftermath;
mod options;
mod report;
mod story;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use options::Options;
use report::Report;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    // Dropping the stage takes the local cloud and its servers down, also on Ctrl-C.
    let played = tokio::select! {
        played = story::tell(&options) => played,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    let (stage, report) = match played {
        Ok(played) => played,
        Err(error) => {
            eprintln!("demo: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    show(&report, options.json);
    if options.keep {
        story::show_around(&stage);
        let _ = tokio::signal::ctrl_c().await;
    }
    if report.equal { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn show(report: &Report, json: bool) {
    let text = if json { report.to_json().to_string() } else { report.to_table() };
    // Standard output may be closed early by a reader that has seen enough.
    let _ = writeln!(std::io::stdout(), "{text}");
}
