//! The verbs of the command line: parse, call one verb of the engine, show what it answered.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Subcommand;
use lifeboat_engine::{
    BackupChoice, BackupRequest, Deadline, DrillRequest, DrillTarget, HealthRequest, Lifeboat, Progress, Unwatched,
    VerifyRequest, backup, backups, doctor, drill, look_at_health, show, status, verify,
};
use lifeboat_model::{BackupId, DatabaseName, Mandate, Site, Standing, Status, Verdict, VerificationScope};
use lifeboat_postgres::ConnectionSettings;
use lifeboat_runtime::{Run, RuntimeError, Services, by_order};

use crate::answer::{exit, print};
use crate::incident::{self, IncidentCommand};
use crate::ledger::{self, LedgerCommand};
use crate::policy::{self, PolicyCommand};
use crate::progress_bar::ProgressBar;
use crate::table;

/// A run of a person's own ends after this time at the latest: its snapshot holds back the server's vacuum.
const LONGEST_RUN: Duration = Duration::from_secs(6 * 3600);

/// What can be done.
#[derive(Subcommand)]
pub enum Command {
    /// List the complete backups.
    Backups {
        /// The database; all when it is left out.
        #[arg(long)]
        database: Option<DatabaseName>,
        /// The site to look on.
        #[arg(long, default_value = "primary")]
        site: Site,
    },
    /// Show one backup: what, when, every relation and what became of it.
    Show {
        /// Such as 2026-11-21T20-49-33Z-k3f9.
        id: BackupId,
        /// The site to look on.
        #[arg(long, default_value = "primary")]
        site: Site,
    },
    /// Look at everything a backup needs: database, tools, sites, keys. Exit status 1 when something keeps backups from being taken.
    Doctor {
        /// The database; may be left out when one is configured.
        database: Option<DatabaseName>,
        /// Its connection as a URL, instead of its secret.
        #[arg(long, env = "LIFEBOAT_SOURCE_URL", hide_env_values = true)]
        source: Option<String>,
    },
    /// Take a backup now.
    Backup {
        /// The database; may be left out when one is configured.
        #[arg(long)]
        database: Option<DatabaseName>,
        /// Its connection as a URL, instead of its secret.
        #[arg(long, env = "LIFEBOAT_SOURCE_URL", hide_env_values = true)]
        source: Option<String>,
    },
    /// Re-read stored objects on every site and heal damaged ones. Exit status 1 when damage remains.
    Verify {
        /// The database; all when it is left out.
        #[arg(long)]
        database: Option<DatabaseName>,
        /// Only the objects that this backup added.
        #[arg(long)]
        backup: Option<BackupId>,
    },
    /// Read the audit trail, or prove it.
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// See what is wrong, and take it up.
    #[command(subcommand)]
    Incidents(IncidentCommand),
    /// Check, compare and change what the users decide.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Look for what did not happen, as the function `health` does, and tell nobody. Exit status 1 when something is wrong.
    Health,
    /// The whole state at a glance. Exit status 1 when something is wrong or could not be looked at.
    Status {
        /// Write the status page to this file instead.
        #[arg(long)]
        page: Option<PathBuf>,
    },
    /// Restore a backup into a database of its own and prove it equal. Exit status 1 when a proof does not hold.
    Drill {
        /// The database; may be left out when one is configured.
        #[arg(long)]
        database: Option<DatabaseName>,
        /// `newest`, `random` or a backup id.
        #[arg(long, default_value = "newest")]
        backup: BackupChoice,
        /// The only site that is read.
        #[arg(long, default_value = "primary")]
        site: Site,
        /// The server for scratch databases as a URL, instead of its secret.
        #[arg(long, env = "LIFEBOAT_SCRATCH_URL", hide_env_values = true)]
        scratch: Option<String>,
        /// Restore into this empty database, given as a URL, and leave it there; no scratch database is made.
        #[arg(long, env = "LIFEBOAT_INTO_URL", hide_env_values = true)]
        into: Option<String>,
    },
}

/// Carries out `command`; the exit status says whether everything is well.
pub async fn run(command: Command, json: bool, reason: Option<String>) -> Result<ExitCode, RuntimeError> {
    if let Command::Policy(PolicyCommand::Check { file }) = &command {
        return policy::check(file, json);
    }
    let services = Services::from_environment().await?;
    let mandate = mandate(&services, &command, reason.as_deref()).await?;
    let lifeboat = lifeboat(&services, json, &mandate).await;
    match command {
        Command::Backups { database, site } => {
            let mut all = Vec::new();
            for database in services.databases(database.as_ref())? {
                all.extend(backups(&lifeboat, &database, site).await?);
            }
            print(json, &all, || table::of_backups(&all, site))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Show { id, site } => {
            let names: Vec<DatabaseName> = services.databases(None)?;
            let listed = show(&lifeboat, &names, &id, site).await?;
            print(json, &listed, || table::of_listed(&listed))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor { database, source } => {
            let database = services.one_database(database)?;
            let source = source_of(&services, &database, source).await?;
            let checks = doctor(&lifeboat, &source).await;
            print(json, &checks, || table::of_checks(&checks))?;
            Ok(exit(checks.iter().all(|check| check.verdict != Verdict::Failed)))
        }
        Command::Backup { database, source } => {
            let database = services.one_database(database)?;
            let source = source_of(&services, &database, source).await?;
            let manifest = backup(&lifeboat, &BackupRequest { database, source, requested_at: None }).await?;
            print(json, &manifest, || table::of_manifest(&manifest))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Verify { database, backup } => {
            let mut reports = Vec::new();
            let databases = match &backup {
                Some(id) => vec![owner_of(&lifeboat, &services, database.as_ref(), id).await?],
                None => services.databases(database.as_ref())?,
            };
            for database in databases {
                let scope =
                    backup.clone().map_or(VerificationScope::All, |backup_id| VerificationScope::Backup { backup_id });
                reports.push(verify(&lifeboat, &VerifyRequest { database, scope }).await?);
            }
            print(json, &reports, || table::of_verifications(&reports))?;
            Ok(exit(reports.iter().all(|report| report.is_sound())))
        }
        Command::Incidents(command) => incident::run(command, &lifeboat, json).await,
        Command::Policy(command) => policy::run(command, &services, &lifeboat, json).await,
        Command::Health => {
            let request = HealthRequest { databases: services.databases(None)?, drills: services.settings.drills };
            let report = look_at_health(&lifeboat, &request).await;
            print(json, &report, || table::of_health(&report))?;
            Ok(exit(report.is_well()))
        }
        Command::Status { page } => {
            let request = HealthRequest { databases: services.databases(None)?, drills: services.settings.drills };
            let status = status(&lifeboat, &request).await;
            match page {
                Some(file) => write_page(&status, &file)?,
                None => print(json, &status, || table::of_status(&status))?,
            }
            Ok(exit(status.status < Standing::Warning))
        }
        Command::Ledger(command) => ledger::run(command, &services, &lifeboat, json).await,
        Command::Drill { database, backup, site, scratch, into } => {
            let is_kept = into.is_some();
            let into = match (into, scratch) {
                (Some(url), _) => DrillTarget::Keep(connection("into", &url)?),
                (None, Some(url)) => DrillTarget::Scratch(connection("scratch", &url)?),
                (None, None) => {
                    let scratch = services.scratch().await.map_err(|error| or_as_url(error, "--scratch"))?;
                    DrillTarget::Scratch(scratch)
                }
            };
            let request = DrillRequest { database: services.one_database(database)?, backup, site, into };
            let report = drill(&lifeboat, &request).await?;
            print(json, &report, || table::of_drill(&report, is_kept))?;
            Ok(exit(report.equal))
        }
    }
}

fn write_page(status: &Status, file: &Path) -> Result<(), RuntimeError> {
    let page = lifeboat_report::page(status).map_err(|error| RuntimeError::Input(error.to_string()))?;
    std::fs::write(file, page)
        .map_err(|error| RuntimeError::Input(format!("the page `{}` cannot be written: {error}", file.display())))
}

async fn source_of(
    services: &Services,
    database: &DatabaseName,
    url: Option<String>,
) -> Result<ConnectionSettings, RuntimeError> {
    match url {
        Some(url) => connection("source", &url),
        None => services.source(database).await.map_err(|error| or_as_url(error, "--source")),
    }
}

/// Who orders this and why. AWS is asked only for what goes on record: on the worst day it may not answer.
async fn mandate(services: &Services, command: &Command, reason: Option<&str>) -> Result<Mandate, RuntimeError> {
    let user = std::env::var("USER").ok().filter(|user| !user.trim().is_empty());
    let stated = by_order(None, user.as_deref(), reason)?;
    let is_on_record = match command {
        Command::Backup { .. } | Command::Verify { .. } | Command::Drill { .. } => true,
        Command::Incidents(command) => matches!(command, IncidentCommand::Ack { .. }),
        Command::Policy(command) => matches!(command, PolicyCommand::Push { .. }),
        Command::Backups { .. }
        | Command::Show { .. }
        | Command::Doctor { .. }
        | Command::Health
        | Command::Status { .. }
        | Command::Ledger(_) => false,
    };
    let identity = if is_on_record { services.identity().await } else { None };
    Ok(identity.map_or(stated.clone(), |actor| Mandate { actor, ..stated }))
}

async fn lifeboat(services: &Services, json: bool, mandate: &Mandate) -> Lifeboat {
    let watched = !json && std::io::stderr().is_terminal();
    let progress: Arc<dyn Progress> = if watched { Arc::new(ProgressBar::new()) } else { Unwatched::shared() };
    let run = Run { id: format!("cli-{:08x}", fastrand::u32(..)), deadline: Deadline::after(LONGEST_RUN) };
    Lifeboat { progress, must_tell: false, ..services.lifeboat(run, mandate).await }
}

/// The database whose backup this is. A mistyped id is no damage, so it is looked for before anything is verified; one that
/// only one site lists is known.
async fn owner_of(
    lifeboat: &Lifeboat,
    services: &Services,
    named: Option<&DatabaseName>,
    id: &BackupId,
) -> Result<DatabaseName, RuntimeError> {
    let databases = services.databases(named)?;
    let mut found = show(lifeboat, &databases, id, Site::Primary).await;
    if found.is_err() && services.settings.offsite.is_some() {
        found = show(lifeboat, &databases, id, Site::Offsite).await.or(found);
    }
    Ok(found?.manifest.database)
}

/// At a terminal a connection can be given in two ways: both are named when there is neither.
fn or_as_url(error: RuntimeError, option: &str) -> RuntimeError {
    match error {
        RuntimeError::Settings(missing) => {
            RuntimeError::Settings(missing.into_iter().map(|one| format!("{one}, and so is `{option}`")).collect())
        }
        other => other,
    }
}

fn connection(name: &str, url: &str) -> Result<ConnectionSettings, RuntimeError> {
    ConnectionSettings::from_secret(url)
        .map_err(|source| RuntimeError::Connection { name: format!("--{name}"), source })
}
