//! What the demo plays on: servers, the local cloud, both stacks.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lifeboat_local::{
    Cloud, CloudOptions, Deployment, EventTap, Functions, OFFSITE_REGION, PRIMARY_REGION, Parameters, PostgresServer,
};

use crate::options::Options;

/// The name of the database in the repository.
pub const DATABASE: &str = "clinic";

/// Everything that runs. Dropping it ends all of it.
pub struct Stage {
    cloud: Cloud,
    deployment: Deployment,
    parameters: Parameters,
    /// The bus, overheard.
    pub tap: EventTap,
    /// Absent when the user brought a database of their own.
    source: Option<PostgresServer>,
    scratch: PostgresServer,
    source_url: String,
}

impl Stage {
    /// Starts servers and cloud and loads the sample. Nothing is deployed yet, so no schedule runs.
    pub async fn set(options: &Options, told: impl Fn(&str)) -> Result<Self> {
        told("starting PostgreSQL and building the functions");
        let scratch = PostgresServer::start("scratch")?;
        let (source, source_url) = match &options.source {
            Some(url) => (None, url.clone()),
            None => {
                let source = PostgresServer::start("source")?;
                told("loading the sample clinics");
                source.psql("postgres", &format!("CREATE DATABASE {DATABASE}"))?;
                source.psql(DATABASE, include_str!("../../../sample/clinic.sql"))?;
                let url = source.url(DATABASE);
                (Some(source), url)
            }
        };
        told("starting the local cloud");
        let cloud = Cloud::start(CloudOptions {
            functions: Functions::Built,
            offsite: true,
            postgres_client_dir: scratch.bin_dir().to_owned(),
        })
        .await?;
        let source_secret = cloud.put_secret("clinic-connection", &source_url).await?;
        let scratch_secret = cloud.put_secret("scratch-connection", &scratch.url("postgres")).await?;
        told("deploying template.yaml and infra/offsite.yaml");
        let parameters = Parameters::from(
            [
                ("DatabaseNames", DATABASE),
                ("DatabaseSecretArns", &source_secret),
                ("ScratchSecretArn", &scratch_secret),
                ("DrillAfterVerification", "true"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let deployment = cloud.deploy(&parameters).await?;
        for gap in &deployment.gaps {
            told(&format!("  note: {gap}"));
        }
        let tap = EventTap::open(&cloud, &deployment).await?;
        Ok(Self { cloud, deployment, parameters, tap, source, scratch, source_url })
    }

    /// Deploys again with another value of the parameter `BackupSchedule`.
    pub async fn schedule_backups(&mut self, expression: &str) -> Result<()> {
        self.parameters.insert("BackupSchedule".to_owned(), expression.to_owned());
        self.deployment = self.cloud.deploy(&self.parameters).await?;
        Ok(())
    }

    /// A morning passes at the clinics. The user's own database is never written to.
    pub fn change_a_little(&self) -> Result<()> {
        if let Some(source) = &self.source {
            source.psql(DATABASE, include_str!("../../../sample/change.sql"))?;
        }
        Ok(())
    }

    /// Restores `backup_id` with the command line tool into the user's empty database.
    pub fn restore_into(&self, backup_id: &str, url: &str) -> Result<bool> {
        let program = std::env::current_exe()?.with_file_name("lifeboat");
        let arguments = ["drill", "--json", "--database", DATABASE, "--backup", backup_id, "--into", url];
        let run = Command::new(&program)
            .args(arguments)
            .envs(self.environment())
            .output()
            .with_context(|| format!("cannot run `{}`", program.display()))?;
        let report: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap_or_default();
        let said = String::from_utf8_lossy(&run.stderr);
        ensure!(report.is_object(), "the restore failed: {}", said.trim());
        Ok(run.status.success() && report.get("equal") == Some(&serde_json::Value::Bool(true)))
    }

    /// The environment in which `lifeboat` and the AWS CLI see this cloud.
    pub fn environment(&self) -> BTreeMap<&'static str, String> {
        let deployment = &self.deployment;
        let mut environment = BTreeMap::from([
            ("AWS_ENDPOINT_URL", self.cloud.endpoint().to_owned()),
            ("AWS_REGION", PRIMARY_REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("LIFEBOAT_DATABASES", DATABASE.to_owned()),
            ("LIFEBOAT_PRIMARY_BUCKET", deployment.primary_bucket.clone()),
            ("LIFEBOAT_PRIMARY_REGION", PRIMARY_REGION.to_owned()),
            ("LIFEBOAT_PRIMARY_KEY", deployment.primary_key_arn.clone()),
            ("LIFEBOAT_BUS", deployment.bus.clone()),
            ("LIFEBOAT_TOPIC", deployment.topic_arn.clone()),
            ("LIFEBOAT_PG_BIN", self.scratch.bin_dir().display().to_string()),
            ("LIFEBOAT_SOURCE_URL", self.source_url.clone()),
            ("LIFEBOAT_SCRATCH_URL", self.scratch.url("postgres")),
        ]);
        if let Some((bucket, key_arn)) = &deployment.offsite {
            environment.insert("LIFEBOAT_OFFSITE_BUCKET", bucket.clone());
            environment.insert("LIFEBOAT_OFFSITE_REGION", OFFSITE_REGION.to_owned());
            environment.insert("LIFEBOAT_OFFSITE_KEY", key_arn.clone());
        }
        environment
    }
}
