//! `lifeboat policy`: checking, comparing and pushing the policy.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use lifeboat_engine::{Adopted, Run, adopt_policy};
use lifeboat_model::{Policy, PolicyDifference, PolicyFault};
use lifeboat_runtime::{RuntimeError, Services};
use serde_json::json;
use similar::TextDiff;

use crate::answer::{exit, print};

/// The subcommands of `policy`.
#[derive(Subcommand)]
pub enum PolicyCommand {
    /// Check a policy file and list every error with its line. Needs no access to AWS. Exit status 1 when there is an error.
    Check {
        /// The policy file.
        file: PathBuf,
    },
    /// Compare a policy file with the policy in the parameter. Without a file, check the policy in the parameter. Exit status 1 on errors.
    Diff {
        /// The policy file.
        file: Option<PathBuf>,
    },
    /// Check a policy file and put it in force. Give the reason with --reason.
    Push {
        /// The policy file.
        file: PathBuf,
    },
}

/// `policy check` needs no settings and no access to AWS.
pub fn check(file: &Path, json: bool) -> Result<ExitCode, RuntimeError> {
    let faults = Policy::from_toml(&read(file)?).err().unwrap_or_default();
    print(json, &lines(&faults), || of_faults(&file.display().to_string(), &faults))?;
    Ok(exit(faults.is_empty()))
}

/// Carries out a command that needs the parameter.
pub async fn execute(
    command: PolicyCommand,
    services: &Services,
    run: &Run,
    json: bool,
) -> Result<ExitCode, RuntimeError> {
    match command {
        PolicyCommand::Check { file } => check(&file, json),
        PolicyCommand::Diff { file: None } => {
            let there = services.policy_in_place().await?;
            let faults = Policy::from_toml(&there.text).err().unwrap_or_default();
            let place = format!("version {}", there.version);
            print(json, &lines(&faults), || of_faults(&place, &faults))?;
            Ok(exit(faults.is_empty()))
        }
        PolicyCommand::Diff { file: Some(file) } => {
            let (there, here) = (services.policy_in_place().await?.text, read(&file)?);
            let faults = Policy::from_toml(&here).err().unwrap_or_default();
            let diff = TextDiff::from_lines(&there, &here);
            let diff = diff.unified_diff().header("in the parameter", &file.display().to_string()).to_string();
            let changes = changes(&there, &here, &run.policy);
            let text = || {
                let changes: String = changes.iter().map(|change| format!("{change}\n")).collect();
                format!("{diff}{changes}{}", of_faults(&file.display().to_string(), &faults))
            };
            print(json, &json!({"diff": diff, "changes": changes, "faults": lines(&faults)}), text)?;
            Ok(exit(faults.is_empty()))
        }
        PolicyCommand::Push { file } => {
            let text = read(&file)?;
            if let Err(faults) = Policy::from_toml(&text) {
                print(json, &lines(&faults), || of_faults(&file.display().to_string(), &faults))?;
                return Ok(ExitCode::FAILURE);
            }
            let versions = services.push_policy(&text, &run.mandate.reason).await?;
            let adopted = adopt_policy(run, Ok(&versions)).await?;
            let version = versions.in_place.version;
            print(json, &json!({ "version": version }), || match adopted {
                Adopted::New | Adopted::Unchanged => format!("version {version} is in force\n"),
                Adopted::Refused(faults) => of_faults(&format!("version {version}"), &faults),
            })?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The changes in words; those that weaken the protection first. While the document in the parameter is invalid, another one is in force.
/// None when the new one is invalid.
fn changes(there: &str, here: &str, in_force: &Policy) -> Vec<String> {
    let Ok(here) = Policy::from_toml(here) else { return Vec::new() };
    let there = Policy::from_toml(there).unwrap_or_else(|_| in_force.clone());
    let effect = |difference: &PolicyDifference| if difference.weakens { "weakens" } else { "changes" };
    there.differences(&here).iter().map(|difference| format!("{}: {difference}", effect(difference))).collect()
}

fn read(file: &Path) -> Result<String, RuntimeError> {
    std::fs::read_to_string(file)
        .map_err(|error| RuntimeError::Input(format!("the policy file `{}` cannot be read: {error}", file.display())))
}

fn lines(faults: &[PolicyFault]) -> Vec<serde_json::Value> {
    faults.iter().map(|fault| json!({"line": fault.line, "reason": fault.reason})).collect()
}

fn of_faults(name: &str, faults: &[PolicyFault]) -> String {
    if faults.is_empty() {
        return format!("{name} is valid\n");
    }
    let mut text = String::new();
    for PolicyFault { line, reason } in faults {
        let _ = writeln!(text, "{name}:{line}: {reason}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_document_is_compared_with_the_policy_in_force_while_the_one_in_the_parameter_is_invalid() {
        let policy = |days: u32| format!("version = 1\n[verification]\nrotation_days = {days}\n");
        let in_force = Policy::from_toml(&policy(7)).unwrap();
        let expected = |before: &str| vec![format!("weakens: `verification.rotation_days` from {before} to 20")];
        assert_eq!(changes(&policy(10), &policy(20), &in_force), expected("10"));
        assert_eq!(changes(&policy(1000), &policy(20), &in_force), expected("7"));
        assert_eq!(changes(&policy(10), &policy(1000), &in_force), Vec::<String>::new());
    }
}
