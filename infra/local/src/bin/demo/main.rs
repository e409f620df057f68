//! `cargo demo`: the main job on the local cloud, from a schedule's tick to a proof, on a sample database or on your own.

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
    // Dropping the story takes the local cloud and its servers down, also on Ctrl-C.
    let ended = tokio::select! {
        ended = story::tell(&options) => ended,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    match ended {
        Ok(report) => show(&report, options.json),
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn show(report: &Report, json: bool) -> ExitCode {
    let text = if json { report.to_json().to_string() } else { report.to_table() };
    // Standard output may be closed early by a reader that has seen enough.
    let _ = writeln!(std::io::stdout(), "{text}");
    if report.equal { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
