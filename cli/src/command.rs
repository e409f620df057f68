//! The commands, the mandate of their runs, and the acts that they record.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Subcommand;
use lifeboat_engine::{BackupChoice, Deadline, Progress, Run};
use lifeboat_model::{Act, BackupId, DatabaseName, Mandate, Site};
use lifeboat_runtime::{Call, RuntimeError, Services, by_order};

use crate::incident::{self, IncidentCommand};
use crate::ledger::{self, LedgerCommand};
use crate::policy::{self, PolicyCommand};
use crate::progress_bar::ProgressBar;
use crate::verb::{DrillOptions, Terminal};

/// Time limit of a run from a terminal: its snapshot holds back the server's vacuum.
const LONGEST_RUN: Duration = Duration::from_secs(6 * 3600);

/// The commands.
#[derive(Subcommand)]
pub enum Command {
    /// List the complete backups.
    Backups {
        /// The database; all databases if omitted.
        #[arg(long)]
        database: Option<DatabaseName>,
        /// The site to read.
        #[arg(long, default_value = "primary")]
        site: Site,
    },
    /// Show one backup and the status of every relation in it.
    Show {
        /// The backup id, such as 2026-11-21T20-49-33Z-k3f9.
        id: BackupId,
        /// The site to read.
        #[arg(long, default_value = "primary")]
        site: Site,
    },
    /// Check everything a backup needs: database, tools, sites, keys. Exit status 1 when backups cannot be taken.
    Doctor {
        /// The database; optional when only one is configured.
        database: Option<DatabaseName>,
        /// The connection URL, used instead of the database's secret.
        #[arg(long, env = "LIFEBOAT_SOURCE_URL", hide_env_values = true)]
        source: Option<String>,
    },
    /// Take a backup now.
    Backup {
        /// The database; optional when only one is configured.
        #[arg(long)]
        database: Option<DatabaseName>,
        /// The connection URL, used instead of the database's secret.
        #[arg(long, env = "LIFEBOAT_SOURCE_URL", hide_env_values = true)]
        source: Option<String>,
    },
    /// Re-read stored objects on every site and heal damaged ones. Exit status 1 when damage remains.
    Verify {
        /// The database; all databases if omitted.
        #[arg(long)]
        database: Option<DatabaseName>,
        /// Only the objects that this backup added.
        #[arg(long)]
        backup: Option<BackupId>,
    },
    /// Read, prove, export or restore the audit trail.
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// List open incidents, and acknowledge them.
    #[command(subcommand)]
    Incidents(IncidentCommand),
    /// Check, compare and change the policy.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Check schedules, sites and keys as the function `health` does, but notify nobody. Exit status 1 when something is wrong.
    Health,
    /// Show the state of backups, sites and components. Exit status 1 when something is wrong or could not be read.
    Status {
        /// Write the status page as HTML to this file instead of printing.
        #[arg(long)]
        page: Option<PathBuf>,
    },
    /// Restore a backup into a scratch database and prove it equal. Exit status 1 when it differs.
    Drill {
        /// The database; optional when only one is configured.
        #[arg(long)]
        database: Option<DatabaseName>,
        /// The backup: `newest`, `random` or a backup id.
        #[arg(long, default_value = "newest")]
        backup: BackupChoice,
        /// The site to restore from.
        #[arg(long, default_value = "primary")]
        site: Site,
        /// The URL of the scratch server, used instead of its secret.
        #[arg(long, env = "LIFEBOAT_SCRATCH_URL", hide_env_values = true)]
        scratch: Option<String>,
        /// Restore into this empty database, given as a URL, and keep it; no scratch database is created.
        #[arg(long, env = "LIFEBOAT_INTO_URL", hide_env_values = true)]
        into: Option<String>,
    },
}

impl Command {
    /// The act to record in the ledger; absent for a command that only reads.
    fn act(&self) -> Option<Act> {
        match self {
            Self::Backup { .. } => Some(Act::Backup),
            Self::Verify { .. } => Some(Act::Verify),
            Self::Drill { .. } => Some(Act::TestRestore),
            Self::Incidents(IncidentCommand::Ack { .. }) => Some(Act::Acknowledge),
            Self::Policy(PolicyCommand::Push { .. }) => Some(Act::Policy),
            Self::Backups { .. }
            | Self::Show { .. }
            | Self::Doctor { .. }
            | Self::Health
            | Self::Status { .. }
            | Self::Incidents(_)
            | Self::Policy(_)
            | Self::Ledger(_) => None,
        }
    }
}

/// Carries out `command`; the exit status reports success.
pub async fn execute(command: Command, json: bool, reason: Option<String>) -> Result<ExitCode, RuntimeError> {
    if let Command::Policy(PolicyCommand::Check { file }) = &command {
        return policy::check(file, json);
    }
    let services = Services::from_environment().await?;
    let run = begin(&services, &command, json, reason.as_deref()).await?;
    let terminal = Terminal { services: &services, run: &run, json };
    match command {
        Command::Backups { database, site } => terminal.backups(database.as_ref(), site).await,
        Command::Show { id, site } => terminal.show(&id, site).await,
        Command::Doctor { database, source } => terminal.doctor(database, source).await,
        Command::Backup { database, source } => terminal.backup(database, source).await,
        Command::Verify { database, backup } => terminal.verify(database.as_ref(), backup.as_ref()).await,
        Command::Health => terminal.health().await,
        Command::Status { page } => terminal.status(page.as_deref()).await,
        Command::Drill { database, backup, site, scratch, into } => {
            terminal.drill(DrillOptions { database, backup, site, scratch, into }).await
        }
        Command::Incidents(command) => incident::execute(command, &run, json).await,
        Command::Policy(command) => policy::execute(command, &services, &run, json).await,
        Command::Ledger(command) => ledger::execute(command, &services, &run, json).await,
    }
}

/// Asks AWS for the caller's identity only for a recorded act: in a disaster AWS may not answer.
async fn begin(services: &Services, command: &Command, json: bool, reason: Option<&str>) -> Result<Run, RuntimeError> {
    let act = command.act();
    let user = std::env::var("USER").ok().filter(|user| !user.trim().is_empty());
    let stated = by_order(None, user.as_deref(), reason)?;
    let identity = if act.is_some() { services.identity().await } else { None };
    let mandate = identity.map_or(stated.clone(), |actor| Mandate { actor, ..stated });

    let call = Call { id: format!("cli-{:08x}", fastrand::u32(..)), deadline: Deadline::after(LONGEST_RUN) };
    let mut run = services.run(call, act, &mandate).await;
    // A person at a terminal sees the outcome, so nobody else is notified.
    run.must_notify = false;
    if !json && std::io::stderr().is_terminal() {
        let progress: Arc<dyn Progress> = Arc::new(ProgressBar::new());
        run.progress = progress;
    }
    Ok(run)
}
