//! `lifeboat incidents`: what is wrong, and who is at it.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Subcommand;
use lifeboat_engine::{Run, acknowledge, incidents};
use lifeboat_model::{Incident, IncidentName, IncidentState};
use lifeboat_runtime::RuntimeError;

use crate::answer::{exit, print};

/// What can be done with incidents.
#[derive(Subcommand)]
pub enum IncidentCommand {
    /// List what is wrong. Exit status 1 when something is.
    List {
        /// Also what is over.
        #[arg(long)]
        all: bool,
    },
    /// Take one up: it is not told again until it is over. Say why with --reason.
    Ack {
        /// Such as backup-failed/clinic.
        name: IncidentName,
    },
}

/// Carries out `command`.
pub async fn execute(command: IncidentCommand, run: &Run, json: bool) -> Result<ExitCode, RuntimeError> {
    match command {
        IncidentCommand::List { all } => {
            let mut listed = incidents(run).await?;
            let is_well = !listed.iter().any(Incident::is_open);
            listed.retain(|incident| all || incident.is_open());
            print(json, &listed, || of_incidents(&listed))?;
            Ok(exit(is_well))
        }
        IncidentCommand::Ack { name } => {
            let taken = acknowledge(run, &name).await?;
            print(json, &taken, || of_incidents(std::slice::from_ref(&taken)))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn of_incidents(incidents: &[Incident]) -> String {
    if incidents.is_empty() {
        return "nothing is wrong\n".to_owned();
    }
    let mut text = String::new();
    for incident in incidents {
        let Incident { name, state, severity, since, sightings, what, hint, acknowledged, .. } = incident;
        let since = since.strftime("%Y-%m-%dT%H:%M:%SZ");
        let state = match state {
            IncidentState::Watched => "watched",
            IncidentState::Open => "open",
            IncidentState::Acknowledged => "acknowledged",
            IncidentState::Resolved => "resolved",
        };
        let _ = writeln!(
            text,
            "{name}  {severity}, {state}, since {since}, seen {sightings} times\n  {what}\n  hint: {hint}"
        );
        if let Some(taken) = acknowledged {
            let _ = writeln!(text, "  taken up by {} at {}: {}", taken.by, taken.at, taken.reason);
        }
    }
    text
}
