//! The stage for the demo and for end-to-end tests: a source, a scratch server, and the local cloud with all stacks.

use std::collections::BTreeMap;
use std::process::{Command, Output};

use anyhow::{Context, Result};

use crate::cloud::{Cloud, CloudOptions, Deployment, OFFSITE_REGION, PRIMARY_REGION};
use crate::event_tap::EventTap;
use crate::functions::Functions;
use crate::server::{PostgresOptions, PostgresServer};
use crate::template::Parameters;

/// The name of the stage's database, in the repository and, unless the user brought one, on the server.
pub const DATABASE: &str = "clinic";

/// The secret with the source's connection.
pub const SOURCE_SECRET: &str = "source-connection";

/// The secret with the scratch server's connection.
pub const SCRATCH_SECRET: &str = "scratch-connection";

/// Who gets the alerts by mail, unless a test has it otherwise. The emulator sends no mail.
const ON_CALL: &str = "on-call@clinic.example";

/// The database that is backed up.
#[derive(Debug, Clone)]
pub enum StageSource {
    /// The sample platform for clinics: some 460,000 rows.
    Sample,
    /// The database that this SQL makes, on the stage's own server.
    Sql(String),
    /// The user's database, which is only read.
    Url(String),
}

/// All running servers and the cloud. Dropping it stops them.
#[derive(Debug)]
pub struct Stage {
    cloud: Cloud,
    deployment: Deployment,
    parameters: Parameters,
    tap: EventTap,
    source: Option<PostgresServer>,
    scratch: PostgresServer,
    source_url: String,
}

impl Stage {
    /// Starts the servers and the cloud, fills the source and deploys. `parameters` override the defaults of the main stack's
    /// template. `report` gets each step when it begins.
    pub async fn set(source: StageSource, parameters: &[(&str, &str)], report: impl Fn(&str)) -> Result<Self> {
        report("starting PostgreSQL");
        let scratch = PostgresServer::start(PostgresOptions::named("scratch").for_drills())?;
        let (source, source_url) = match source {
            StageSource::Url(url) => (None, url),
            StageSource::Sql(sql) => own_source(&sql)?,
            StageSource::Sample => {
                report("loading the sample data of the clinics");
                own_source(include_str!("../sample/clinic.sql"))?
            }
        };
        report("building the functions and starting the local cloud");
        let postgres_client_dir = scratch.bin_dir().to_owned();
        let cloud =
            Cloud::start(CloudOptions { functions: Functions::Built, offsite: true, postgres_client_dir }).await?;
        let source_secret = cloud.put_secret(SOURCE_SECRET, &source_url).await?;
        let scratch_secret = cloud.put_secret(SCRATCH_SECRET, &scratch.url("postgres")).await?;
        report("deploying template.yaml and infra/site.yaml");
        let own = [
            ("DatabaseNames", DATABASE),
            ("DatabaseSecretArns", &source_secret),
            ("ScratchSecretArn", &scratch_secret),
            ("RestoreSecretArn", &scratch_secret),
            ("AlertEmail", ON_CALL),
        ];
        let parameters = own.iter().chain(parameters).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let parameters: Parameters = parameters.collect();
        let deployment = Box::pin(cloud.deploy(&parameters)).await?;
        let tap = EventTap::open(&cloud, &deployment).await?;
        Ok(Self { cloud, deployment, parameters, tap, source, scratch, source_url })
    }

    /// Deploys again with other values of these parameters.
    pub async fn change(&mut self, parameters: &[(&str, &str)]) -> Result<()> {
        self.parameters.extend(parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.deployment = Box::pin(self.cloud.deploy(&self.parameters)).await?;
        Ok(())
    }

    /// The local cloud.
    pub fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    /// The deployment on the local cloud.
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// The events on the bus since the first deployment.
    pub fn tap(&self) -> &EventTap {
        &self.tap
    }

    /// The source's server; absent when the user brought a database.
    pub fn source(&self) -> Option<&PostgresServer> {
        self.source.as_ref()
    }

    /// The server that drills restore to.
    pub fn scratch(&self) -> &PostgresServer {
        &self.scratch
    }

    /// Runs the command line tool on this cloud; blocks until it ends.
    pub fn lifeboat(&self, arguments: &[&str]) -> Result<Output> {
        self.lifeboat_with(&[], arguments)
    }

    /// As [`Stage::lifeboat`], with more environment variables. Connections belong there, because every user of the machine can
    /// read the arguments.
    pub fn lifeboat_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Result<Output> {
        let program = self.cloud.executable("lifeboat").context("the command line tool was not built")?;
        let mut command = Command::new(program);
        command.args(arguments).envs(self.environment()).envs(variables.iter().copied());
        let run = command.output();
        run.with_context(|| format!("cannot run `{}`", program.display()))
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
            ("LIFEBOAT_PRIMARY_MAC_KEY", deployment.primary_mac_key_arn.clone()),
            ("LIFEBOAT_BUS", deployment.bus.clone()),
            ("LIFEBOAT_TOPIC", deployment.topic_arn.clone()),
            ("LIFEBOAT_CHAT_TOPIC", deployment.chat_topic_arn.clone()),
            ("LIFEBOAT_ALARMS_TOPIC", deployment.alarms_topic_arn.clone()),
            ("LIFEBOAT_POLICY", deployment.policy.clone()),
            ("LIFEBOAT_PG_BIN", self.scratch.bin_dir().display().to_string()),
            ("LIFEBOAT_SOURCE_URL", self.source_url.clone()),
            ("LIFEBOAT_SCRATCH_URL", self.scratch.url("postgres")),
        ]);
        if let Some(offsite) = &deployment.offsite {
            environment.insert("LIFEBOAT_OFFSITE_BUCKET", offsite.bucket.clone());
            environment.insert("LIFEBOAT_OFFSITE_REGION", OFFSITE_REGION.to_owned());
            environment.insert("LIFEBOAT_OFFSITE_KEY", offsite.key_arn.clone());
            environment.insert("LIFEBOAT_OFFSITE_MAC_KEY", offsite.mac_key_arn.clone());
        }
        environment
    }
}

/// A server with the database that `sql` makes, and its URL.
fn own_source(sql: &str) -> Result<(Option<PostgresServer>, String)> {
    let server = PostgresServer::start("source")?;
    server.psql("postgres", &format!("CREATE DATABASE {DATABASE}"))?;
    server.psql(DATABASE, sql)?;
    let url = server.url(DATABASE);
    Ok((Some(server), url))
}
