//! `lifeboat incidents`: listing and acknowledging.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Subcommand;
use lifeboat_engine::{Run, acknowledge, incidents};
use lifeboat_model::{Incident, IncidentName, IncidentState, LONGEST_REASON, recordable};
use lifeboat_runtime::RuntimeError;

use crate::answer::{exit, print};

/// The subcommands of `incidents`.
#[derive(Subcommand)]
pub enum IncidentCommand {
    /// List open incidents. Exit status 1 when there is one.
    List {
        /// Also list resolved incidents.
        #[arg(long)]
        all: bool,
    },
    /// Acknowledge an incident and stop its reminders. Give the reason with --reason.
    Ack {
        /// The incident's name, such as backup-failed/clinic.
        name: IncidentName,
        /// Accept only this damaged object, by its name in the list. It stays accepted, and any other one opens the incident again. May
        /// be repeated.
        #[arg(long = "object", value_name = "NAME")]
        objects: Vec<String>,
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
        IncidentCommand::Ack { name, objects } => {
            for object in &objects {
                recordable("object", object, LONGEST_REASON).map_err(|error| RuntimeError::Input(error.to_string()))?;
            }
            let taken = acknowledge(run, &name, &objects).await?;
            print(json, &taken, || of_incidents(std::slice::from_ref(&taken)))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The parts that are still wrong: a check of each must succeed before the incident is resolved.
fn of_parts(Incident { parts, .. }: &Incident) -> String {
    parts.iter().map(|part| format!("  part: {part}\n")).collect()
}

/// The damaged objects, which can be accepted by name.
fn of_objects(Incident { objects, accepted, .. }: &Incident) -> String {
    let is_accepted = |name: &String| accepted.as_ref().is_some_and(|accepted| accepted.objects.contains(name));
    let word = |name: &String| if is_accepted(name) { ", accepted" } else { "" };
    let mut text: String = objects.named.iter().map(|name| format!("  object: {name}{}\n", word(name))).collect();
    if objects.more {
        text.push_str("  object: and more, see the reports under findings/ and drills/\n");
    }
    text
}

fn of_incidents(incidents: &[Incident]) -> String {
    if incidents.is_empty() {
        return "there are no open incidents\n".to_owned();
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
        text.push_str(&of_parts(incident));
        text.push_str(&of_objects(incident));
        if let Some(taken) = acknowledged {
            let _ = writeln!(text, "  acknowledged by {} at {}: {}", taken.by, taken.at, taken.reason);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use lifeboat_model::{DamagedObjects, Part, Policy, Sighting, Site};

    use super::*;

    #[test]
    fn the_list_names_each_part_that_is_still_wrong() {
        let name: IncidentName = "drill-failed/clinic".parse().unwrap();
        let part = Part::Backup(Site::Offsite, "2026-11-21T20-49-33Z-k3f9".parse().unwrap());
        let sighting = Sighting {
            what: "a drill failed".to_owned(),
            hint: "drill it again".to_owned(),
            database: None,
            part: Some(part),
            objects: DamagedObjects::new(["public.visits on offsite".to_owned()], false),
            facts: Vec::new(),
        };
        let incident = Incident::seen(None, &name, sighting, &Policy::default(), Timestamp::UNIX_EPOCH);
        let text = of_incidents(&[incident]);
        let lines: Vec<&str> = text.lines().skip(3).collect();
        assert_eq!(lines, ["  part: offsite 2026-11-21T20-49-33Z-k3f9", "  object: public.visits on offsite"]);
    }
}
