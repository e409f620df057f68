//! The commands: which there are, which act each puts on record, and what each asks of the engine and shows.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Subcommand, value_parser};
use jiff::Timestamp;
use lifeboat_engine::{
    Asked, BackupChoice, BackupRequest, Deadline, DrillRequest, HealthRequest, ListRequest, Progress, Run, Several,
    VerifyRequest, backup, backups, clean_scratch, doctor, drill, forget_scratch, look_at_health, show, status,
    stored_databases, verify,
};
use lifeboat_model::{
    Act, BackupId, CleanupReport, DatabaseName, ListedBackup, Mandate, PAGE_BACKUPS, Site, Standing, Status, Verdict,
    VerificationReport, VerificationScope,
};
use lifeboat_postgres::ConnectionSettings;
use lifeboat_runtime::{Call, RepositoryUrl, RuntimeError, Services, by_order};

use crate::answer::{exit, exit_of_restore, print};
use crate::connection::connection;
use crate::incident::{self, IncidentCommand};
use crate::ledger::{self, LedgerCommand};
use crate::policy::{self, PolicyCommand};
use crate::progress_bar::ProgressBar;
use crate::restore::{self, RestoreOptions};
use crate::table;

/// Time limit of a run from a terminal: its snapshot holds back the server's vacuum.
const LONGEST_RUN: Duration = Duration::from_secs(6 * 3600);

/// Time limit of a restore from a terminal, which holds back nothing. It is there so that no run is without a limit.
const LONGEST_RESTORE: Duration = Duration::from_secs(7 * 24 * 3600);

/// The most backups on a page: their manifests are held until they are printed.
const LONGEST_PAGE: i64 = 1000;

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
        /// Only backups older than this one.
        #[arg(long, value_name = "BACKUP")]
        before: Option<BackupId>,
        /// The most backups of each database that are listed.
        #[arg(long, default_value_t = PAGE_BACKUPS, value_parser = value_parser!(u32).range(1..=LONGEST_PAGE))]
        limit: u32,
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
        /// The connection URL, or @FILE with it, used instead of the database's secret.
        #[arg(long, env = "LIFEBOAT_SOURCE_URL", hide_env_values = true)]
        source: Option<String>,
    },
    /// Take a backup now.
    Backup {
        /// The database; optional when only one is configured.
        #[arg(long)]
        database: Option<DatabaseName>,
        /// The connection URL, or @FILE with it, used instead of the database's secret.
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
    /// Check schedules, sites and keys as the function `health` does, but send no alert. Exit status 1 when something is wrong.
    Health,
    /// Show the state of backups, sites and components. Exit status 1 when something is wrong or could not be read.
    Status {
        /// Write the status page as HTML to this file instead of printing.
        #[arg(long)]
        page: Option<PathBuf>,
    },
    /// Restore a backup into a database that stays, after its plan. Exit status 3 when all rows are back and something else is not.
    Restore(RestoreOptions),
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
        /// The URL of the scratch server, or @FILE with it, used instead of its secret.
        #[arg(long, env = "LIFEBOAT_SCRATCH_URL", hide_env_values = true)]
        scratch: Option<String>,
        /// Only drop the scratch databases that earlier drills left on the scratch server. Restores nothing.
        #[arg(long, conflicts_with_all = ["database", "backup", "site"])]
        clean: bool,
        /// Only take this scratch database off the record, because its server no longer exists. Restores nothing.
        #[arg(long, value_name = "NAME", conflicts_with_all = ["database", "backup", "site", "clean"])]
        forget: Option<String>,
    },
}

impl Command {
    /// Whether a bucket and credentials are enough for it.
    fn needs_only_a_repository(&self) -> bool {
        matches!(self, Self::Backups { .. } | Self::Show { .. } | Self::Restore(_))
    }

    /// The act to record in the ledger; absent for a command that only reads.
    fn act(&self) -> Option<Act> {
        match self {
            Self::Backup { .. } => Some(Act::Backup),
            Self::Verify { .. } => Some(Act::Verify),
            Self::Drill { clean: true, .. } | Self::Drill { forget: Some(_), .. } => Some(Act::Clean),
            Self::Drill { .. } => Some(Act::TestRestore),
            Self::Incidents(IncidentCommand::Ack { .. }) => Some(Act::Acknowledge),
            Self::Policy(PolicyCommand::Push { .. }) => Some(Act::Policy),
            Self::Restore(options) => options.act(),
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
pub async fn execute(
    command: Command,
    json: bool,
    reason: Option<String>,
    repository: &[RepositoryUrl],
) -> Result<ExitCode, RuntimeError> {
    if let Command::Policy(PolicyCommand::Check { file }) = &command {
        return policy::check(file, json);
    }
    if !repository.is_empty() && !command.needs_only_a_repository() {
        let fault = "`--repository` is for `backups`, `show` and `restore`; every other command needs its settings";
        return Err(RuntimeError::Input(fault.to_owned()));
    }
    let services = services(repository).await?;
    let run = begin(&services, &command, json, reason.as_deref()).await?;
    let terminal = Terminal { services: &services, run: &run, json };
    match command {
        Command::Backups { database, site, before, limit } => {
            terminal.backups(database.as_ref(), site, before.as_ref(), limit).await
        }
        Command::Show { id, site } => terminal.show(&id, site).await,
        Command::Doctor { database, source } => terminal.doctor(database, source).await,
        Command::Backup { database, source } => terminal.backup(database, source).await,
        Command::Verify { database, backup } => terminal.verify(database.as_ref(), backup.as_ref()).await,
        Command::Health => terminal.health().await,
        Command::Status { page } => terminal.status(page.as_deref()).await,
        Command::Drill { forget: Some(name), .. } => terminal.forget(&name).await,
        Command::Drill { clean: true, scratch, .. } => terminal.clean(scratch).await,
        Command::Drill { database, backup, site, scratch, .. } => {
            terminal.drill(DrillOptions { database, backup, site, scratch }).await
        }
        Command::Restore(options) => restore::execute(options, &services, &run, json).await,
        Command::Incidents(command) => incident::execute(command, &run, json).await,
        Command::Policy(command) => policy::execute(command, &services, &run, json).await,
        Command::Ledger(command) => ledger::execute(command, &services, &run, json).await,
    }
}

/// Settings and clients: from the environment, or for a repository that is named and nothing else.
async fn services(repository: &[RepositoryUrl]) -> Result<Services, RuntimeError> {
    if repository.is_empty() {
        return Services::from_environment().await;
    }
    let services = Services::of_repositories(repository).await?;
    let call = Call { id: run_id(), deadline: Deadline::after(LONGEST_RUN) };
    let run = services.run(call, None, &by_order(None, None, None)?).await;
    let databases = stored_databases(&run).await?;
    if databases.is_empty() {
        return Err(RuntimeError::Input("no database has a backup in this repository".to_owned()));
    }
    Ok(services.for_databases(databases))
}

fn run_id() -> String {
    format!("cli-{:08x}", fastrand::u32(..))
}

/// Asks AWS for the caller's identity only for a recorded act: in a disaster AWS may not answer.
async fn begin(services: &Services, command: &Command, json: bool, reason: Option<&str>) -> Result<Run, RuntimeError> {
    let act = command.act();
    let user = std::env::var("USER").ok().filter(|user| !user.trim().is_empty());
    let stated = by_order(None, user.as_deref(), reason)?;
    let identity = if act.is_some() { services.identity().await } else { None };
    let mandate = identity.map_or(stated.clone(), |actor| Mandate { actor, ..stated });

    let longest = if act == Some(Act::Restore) { LONGEST_RESTORE } else { LONGEST_RUN };
    let call = Call { id: run_id(), deadline: Deadline::after(longest) };
    let mut run = services.run(call, act, &mandate).await;
    // A person at a terminal sees the outcome, so nobody else is notified.
    run.must_notify = false;
    if !json && std::io::stderr().is_terminal() {
        let progress: Arc<dyn Progress> = Arc::new(ProgressBar::new());
        run.progress = progress;
    }
    Ok(run)
}

/// The terminal of a person who runs one verb.
struct Terminal<'a> {
    services: &'a Services,
    run: &'a Run,
    /// Whether the answer is a JSON document.
    json: bool,
}

/// The options of `drill`.
struct DrillOptions {
    database: Option<DatabaseName>,
    backup: BackupChoice,
    site: Site,
    scratch: Option<String>,
}

impl Terminal<'_> {
    async fn backups(
        &self,
        database: Option<&DatabaseName>,
        site: Site,
        before: Option<&BackupId>,
        limit: u32,
    ) -> Result<ExitCode, RuntimeError> {
        let mut pages = Several::default();
        for database in self.services.databases(database)? {
            let request = ListRequest { database: database.clone(), site, before: before.cloned(), limit };
            pages.push(database, backups(self.run, &request).await);
        }
        let (pages, failed) = pages.end();
        // No database could be listed: an empty list would say that there is no backup.
        if failed.is_ok() || !pages.is_empty() {
            let listed: Vec<&ListedBackup> = pages.iter().flat_map(|page| &page.backups).collect();
            print(self.json, &listed, || table::of_backups(&pages, site))?;
        }
        failed?;
        Ok(ExitCode::SUCCESS)
    }

    async fn show(&self, id: &BackupId, site: Site) -> Result<ExitCode, RuntimeError> {
        let names = self.services.databases(None)?;
        let listed = show(self.run, &names, id, site).await?;
        print(self.json, &listed, || table::of_listed(&listed))?;
        Ok(ExitCode::SUCCESS)
    }

    async fn doctor(&self, database: Option<DatabaseName>, source: Option<String>) -> Result<ExitCode, RuntimeError> {
        let database = self.services.one_database(database)?;
        let source = self.source(&database, source).await?;
        let checks = doctor(self.run, &source).await;
        print(self.json, &checks, || table::of_checks(&checks))?;
        Ok(exit(checks.iter().all(|check| check.verdict != Verdict::Failed)))
    }

    async fn backup(&self, database: Option<DatabaseName>, source: Option<String>) -> Result<ExitCode, RuntimeError> {
        let database = self.services.one_database(database)?;
        let source = self.source(&database, source).await?;
        let manifest = backup(self.run, &BackupRequest { database, source, asked: Asked::Now }).await?;
        print(self.json, &manifest, || table::of_manifest(&manifest))?;
        Ok(ExitCode::SUCCESS)
    }

    async fn verify(
        &self,
        database: Option<&DatabaseName>,
        backup: Option<&BackupId>,
    ) -> Result<ExitCode, RuntimeError> {
        let (databases, scope) = match backup {
            Some(id) => {
                let scope = VerificationScope::Backup { backup_id: id.clone() };
                (vec![self.owner_of(database, id).await?], scope)
            }
            None => (self.services.databases(database)?, VerificationScope::All),
        };
        let mut verifications = Several::default();
        for database in databases {
            let request = VerifyRequest { database: database.clone(), scope: scope.clone() };
            verifications.push(database, verify(self.run, &request).await);
        }
        let (reports, failed) = verifications.end();
        if failed.is_ok() || !reports.is_empty() {
            print(self.json, &reports, || table::of_verifications(&reports))?;
        }
        failed?;
        Ok(exit(reports.iter().all(VerificationReport::is_sound)))
    }

    async fn health(&self) -> Result<ExitCode, RuntimeError> {
        let report = look_at_health(self.run, &self.health_request()?).await;
        print(self.json, &report, || table::of_health(&report))?;
        Ok(exit(report.is_well()))
    }

    async fn status(&self, page: Option<&Path>) -> Result<ExitCode, RuntimeError> {
        let status = status(self.run, &self.health_request()?).await;
        match page {
            Some(file) => write_page(&status, file)?,
            None => print(self.json, &status, || table::of_status(&status))?,
        }
        Ok(exit(status.status < Standing::Warning))
    }

    async fn drill(&self, options: DrillOptions) -> Result<ExitCode, RuntimeError> {
        let DrillOptions { database, backup, site, scratch } = options;
        let scratch = self.scratch(scratch).await?;
        let request = DrillRequest { database: self.services.one_database(database)?, backup, site, scratch };
        let report = drill(self.run, &request).await?;
        print(self.json, &report, || table::of_drill(&report))?;
        Ok(match report.outcome {
            Some(outcome) => exit_of_restore(outcome),
            None => exit(report.equal),
        })
    }

    async fn clean(&self, scratch: Option<String>) -> Result<ExitCode, RuntimeError> {
        let server = self.scratch(scratch).await?;
        self.cleaned(&clean_scratch(self.run, Ok(server)).await?)
    }

    async fn forget(&self, name: &str) -> Result<ExitCode, RuntimeError> {
        let report = forget_scratch(self.run, name).await?;
        // What else is left does not change that this one is off the record.
        print(self.json, &report, || table::of_cleanup(&report))?;
        Ok(ExitCode::SUCCESS)
    }

    fn cleaned(&self, report: &CleanupReport) -> Result<ExitCode, RuntimeError> {
        print(self.json, report, || table::of_cleanup(report))?;
        // The database of a drill that is running is none that was left.
        let now = Timestamp::now();
        Ok(exit(!report.left.iter().any(|entry| entry.is_left(now))))
    }

    async fn scratch(&self, url: Option<String>) -> Result<ConnectionSettings, RuntimeError> {
        match url {
            Some(url) => connection("--scratch", &url),
            None => self.services.scratch().await.map_err(|error| or_as_url(error, "--scratch")),
        }
    }

    fn health_request(&self) -> Result<HealthRequest, RuntimeError> {
        Ok(HealthRequest { databases: self.services.databases(None)?, drills: self.services.settings.drills })
    }

    async fn source(&self, database: &DatabaseName, url: Option<String>) -> Result<ConnectionSettings, RuntimeError> {
        match url {
            Some(url) => connection("--source", &url),
            None => self.services.source(database).await.map_err(|error| or_as_url(error, "--source")),
        }
    }

    /// The database of a backup. The backup is searched before anything is verified, because a mistyped id must not be reported as
    /// damage. One site that lists it is enough.
    async fn owner_of(&self, named: Option<&DatabaseName>, id: &BackupId) -> Result<DatabaseName, RuntimeError> {
        let databases = self.services.databases(named)?;
        let mut found = show(self.run, &databases, id, Site::Primary).await;
        if found.is_err() && self.services.settings.offsite.is_some() {
            found = show(self.run, &databases, id, Site::Offsite).await.or(found);
        }
        Ok(found?.manifest.database)
    }
}

fn write_page(status: &Status, file: &Path) -> Result<(), RuntimeError> {
    let page = lifeboat_report::page(status).map_err(|error| RuntimeError::Input(error.to_string()))?;
    std::fs::write(file, page)
        .map_err(|error| RuntimeError::Input(format!("the page `{}` cannot be written: {error}", file.display())))
}

/// A terminal accepts a connection in two ways, so the error names both.
fn or_as_url(error: RuntimeError, option: &str) -> RuntimeError {
    match error {
        RuntimeError::Settings(missing) => {
            RuntimeError::Settings(missing.into_iter().map(|one| format!("{one}, and so is `{option}`")).collect())
        }
        other => other,
    }
}
