//! `lifeboat restore`: the plan, the confirmation, and the restore.

use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use lifeboat_engine::{RestoreRequest, Run, plan_restore, restore};
use lifeboat_model::{Act, BackupId, DatabaseName, PlanHash, PlannedRestore, Site};
use lifeboat_runtime::{RuntimeError, Services};

use crate::answer::{exit, exit_of_restore, print, tell};
use crate::connection::connection;
use crate::table;

/// The options of `restore`.
#[derive(Args)]
pub struct RestoreOptions {
    /// `plan` shows what would be done, and does nothing.
    #[arg(value_enum)]
    only: Option<Only>,
    /// The database; optional when there is only one.
    #[arg(long)]
    database: Option<DatabaseName>,
    /// The backup id; the newest one if omitted.
    #[arg(long)]
    backup: Option<BackupId>,
    /// The only site to read; if omitted, the primary, and the off-site where that does not give the backup.
    #[arg(long)]
    site: Option<Site>,
    /// The URL of the database to restore into, or @FILE with it. One that does not exist is created.
    #[arg(long, env = "LIFEBOAT_TO_URL", hide_env_values = true)]
    to: String,
    /// Do not ask for confirmation.
    #[arg(long)]
    yes: bool,
    /// Execute only the plan of this hash, which `restore plan` showed, and do not ask.
    #[arg(long, value_name = "HASH")]
    approve: Option<PlanHash>,
}

/// What is done instead of all.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Only {
    /// Only the plan.
    Plan,
}

impl RestoreOptions {
    /// A plan only reads.
    pub fn act(&self) -> Option<Act> {
        self.only.is_none().then_some(Act::Restore)
    }
}

/// Plans a restore, shows the plan, and executes it once it is confirmed.
pub async fn execute(
    options: RestoreOptions,
    services: &Services,
    run: &Run,
    json: bool,
) -> Result<ExitCode, RuntimeError> {
    let RestoreOptions { only, database, backup, site, to, yes, approve } = options;
    let (database, to) = (services.one_database(database)?, connection("--to", &to)?);
    let mut request = RestoreRequest { database, backup, site, to };
    let planned = plan_restore(run, &request).await?;
    if only == Some(Only::Plan) {
        print(json, &planned, || table::of_plan(&planned, &services.place(planned.site)))?;
        return Ok(exit(planned.obstacle().is_none()));
    }
    let must_ask = planned.obstacle().is_none() && approve.is_none() && !yes;
    if must_ask && !std::io::stdin().is_terminal() {
        let fault = "nobody can be asked for confirmation: add `--yes`, or `--approve` with the hash of the plan";
        return Err(RuntimeError::Input(fault.to_owned()));
    }
    if !json || must_ask {
        // Standard output is for the report.
        tell(&table::of_plan(&planned, &services.place(planned.site)));
    }
    if must_ask && !is_confirmed(&planned)? {
        return Err(RuntimeError::Input("the restore was not confirmed, and nothing was changed".to_owned()));
    }
    // A newer backup may come between the plan and its execution.
    request.backup = Some(planned.plan.backup_id.clone());
    if run.ports.macs.is_empty() {
        tell("note: this restore is not in the audit trail, because no key for it is configured: note it down");
    }
    let report = restore(run, &request, approve.unwrap_or(planned.hash)).await?;
    print(json, &report, || table::of_restore(&report, &services.place(report.proved.site)))?;
    Ok(report.proved.outcome.map_or(ExitCode::FAILURE, exit_of_restore))
}

/// Asks for the name of the database that is written.
fn is_confirmed(planned: &PlannedRestore) -> Result<bool, RuntimeError> {
    let name = &planned.plan.to.database;
    eprint!("Type the name of the database to restore into ({name}): ");
    let _ = std::io::stderr().flush();
    let mut typed = String::new();
    let read = std::io::stdin().read_line(&mut typed);
    read.map_err(|error| RuntimeError::Input(format!("the confirmation cannot be read: {error}")))?;
    Ok(typed.trim() == name)
}
