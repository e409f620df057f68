//! The verbs of the engine at a terminal: call one and print its answer.

use std::path::Path;
use std::process::ExitCode;

use lifeboat_engine::{
    Asked, BackupChoice, BackupRequest, DrillRequest, DrillTarget, HealthRequest, Run, Several, VerifyRequest, backup,
    backups, doctor, drill, look_at_health, show, status, verify,
};
use lifeboat_model::{BackupId, DatabaseName, Site, Standing, Status, Verdict, VerificationReport, VerificationScope};
use lifeboat_postgres::ConnectionSettings;
use lifeboat_runtime::{ConnectionOrigin, RuntimeError, Services};

use crate::answer::{exit, print};
use crate::table;

/// The terminal of a person who runs one verb.
pub struct Terminal<'a> {
    pub services: &'a Services,
    pub run: &'a Run,
    /// Whether the answer is a JSON document.
    pub json: bool,
}

/// The options of `drill`.
pub struct DrillOptions {
    pub database: Option<DatabaseName>,
    pub backup: BackupChoice,
    pub site: Site,
    pub scratch: Option<String>,
    pub into: Option<String>,
}

impl Terminal<'_> {
    pub async fn backups(&self, database: Option<&DatabaseName>, site: Site) -> Result<ExitCode, RuntimeError> {
        let mut listed = Several::default();
        for database in self.services.databases(database)? {
            let of_one = backups(self.run, &database, site).await;
            listed.push(database, of_one);
        }
        let (listed, failed) = listed.end();
        let listed = listed.concat();
        print(self.json, &listed, || table::of_backups(&listed, site))?;
        failed?;
        Ok(ExitCode::SUCCESS)
    }

    pub async fn show(&self, id: &BackupId, site: Site) -> Result<ExitCode, RuntimeError> {
        let names = self.services.databases(None)?;
        let listed = show(self.run, &names, id, site).await?;
        print(self.json, &listed, || table::of_listed(&listed))?;
        Ok(ExitCode::SUCCESS)
    }

    pub async fn doctor(
        &self,
        database: Option<DatabaseName>,
        source: Option<String>,
    ) -> Result<ExitCode, RuntimeError> {
        let database = self.services.one_database(database)?;
        let source = self.source(&database, source).await?;
        let checks = doctor(self.run, &source).await;
        print(self.json, &checks, || table::of_checks(&checks))?;
        Ok(exit(checks.iter().all(|check| check.verdict != Verdict::Failed)))
    }

    pub async fn backup(
        &self,
        database: Option<DatabaseName>,
        source: Option<String>,
    ) -> Result<ExitCode, RuntimeError> {
        let database = self.services.one_database(database)?;
        let source = self.source(&database, source).await?;
        let manifest = backup(self.run, &BackupRequest { database, source, asked: Asked::Now }).await?;
        print(self.json, &manifest, || table::of_manifest(&manifest))?;
        Ok(ExitCode::SUCCESS)
    }

    pub async fn verify(
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
        print(self.json, &reports, || table::of_verifications(&reports))?;
        failed?;
        Ok(exit(reports.iter().all(VerificationReport::is_sound)))
    }

    pub async fn health(&self) -> Result<ExitCode, RuntimeError> {
        let report = look_at_health(self.run, &self.health_request()?).await;
        print(self.json, &report, || table::of_health(&report))?;
        Ok(exit(report.is_well()))
    }

    pub async fn status(&self, page: Option<&Path>) -> Result<ExitCode, RuntimeError> {
        let status = status(self.run, &self.health_request()?).await;
        match page {
            Some(file) => write_page(&status, file)?,
            None => print(self.json, &status, || table::of_status(&status))?,
        }
        Ok(exit(status.status < Standing::Warning))
    }

    pub async fn drill(&self, options: DrillOptions) -> Result<ExitCode, RuntimeError> {
        let DrillOptions { database, backup, site, scratch, into } = options;
        let is_kept = into.is_some();
        let into = match (into, scratch) {
            (Some(url), _) => DrillTarget::Keep(connection("--into", &url)?),
            (None, Some(url)) => DrillTarget::Scratch(connection("--scratch", &url)?),
            (None, None) => {
                let scratch = self.services.scratch().await.map_err(|error| or_as_url(error, "--scratch"))?;
                DrillTarget::Scratch(scratch)
            }
        };
        let request = DrillRequest { database: self.services.one_database(database)?, backup, site, into };
        let report = drill(self.run, &request).await?;
        print(self.json, &report, || table::of_drill(&report, is_kept))?;
        Ok(exit(report.equal))
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

fn connection(option: &'static str, url: &str) -> Result<ConnectionSettings, RuntimeError> {
    ConnectionSettings::from_secret(url)
        .map_err(|source| RuntimeError::Connection { origin: ConnectionOrigin::Option(option), source })
}
