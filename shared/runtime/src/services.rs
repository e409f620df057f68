//! Clients and settings of a process, and the run of a verb that begins with them.

use std::sync::Arc;

use async_trait::async_trait;
use lifeboat_aws::{
    AwsError, AwsOutbox, KmsDataKeys, KmsKey, KmsMacKey, MessageKeys, PolicyParameter, S3Store, SdkConfig,
    bucket_region, caller_arn, kms_client, s3_client, sdk_config, secret_text,
};
use lifeboat_engine::{Deadline, Order, Ports, Run, policy_in_force};
use lifeboat_model::{Act, DatabaseName, Mandate, Meter, PolicyDocument, PolicyVersions, Site, Wrong};
use lifeboat_postgres::ConnectionSettings;
use lifeboat_seal::{DataKey, DataKeyError, DataKeys, EncryptedDataKey, EncryptionContext, GeneratedDataKey};
use lifeboat_vault::{MacKey, MacKeys, ObjectStore, Sites};

use crate::error::{ConnectionOrigin, RuntimeError};
use crate::repository_url::RepositoryUrl;
use crate::settings::{DatabaseSettings, Settings, SiteSettings};

/// A region to begin in where none is stated: S3 names a bucket's own.
const ANY_REGION: &str = "us-east-1";

/// One invocation of a function or of the CLI, before its input is read.
#[derive(Debug, Clone)]
pub struct Call {
    /// Lambda's request id, or the CLI's own.
    pub id: String,
    /// When the process ends.
    pub deadline: Deadline,
}

/// Made once per process and used by every invocation.
pub struct Services {
    /// The settings from the environment.
    pub settings: Settings,
    config: SdkConfig,
    ports: Ports,
    meter: Meter,
}

impl Services {
    /// Reads the environment and makes every client. It sends no request yet.
    ///
    /// # Errors
    /// [`RuntimeError::Settings`].
    pub async fn from_environment() -> Result<Self, RuntimeError> {
        let settings = Settings::from_environment()?;
        let config = sdk_config(settings.region()).await;
        let meter = Meter::default();
        let keys = keys(&settings, &config, &meter);
        Ok(Self::new(settings, config, meter, keys))
    }

    /// The clients of somebody who has only these buckets of one repository, and credentials. The messages name the keys that open them, of which
    /// those of the caller's account are used.
    ///
    /// # Errors
    /// [`RuntimeError::Settings`]; [`RuntimeError::Caller`]; [`RuntimeError::Input`] for more buckets than a repository has.
    pub async fn of_repositories(buckets: &[RepositoryUrl]) -> Result<Self, RuntimeError> {
        let [first, rest @ ..] = buckets else {
            return Err(RuntimeError::Input("no repository is named".to_owned()));
        };
        if rest.len() > 1 {
            return Err(RuntimeError::Input("a repository has two buckets at most".to_owned()));
        }
        let stated = first.region.clone().or_else(region_of_environment);
        let config = sdk_config(stated.as_deref().unwrap_or(ANY_REGION)).await;
        let mut sites = Vec::new();
        for url in buckets {
            let region = match &url.region {
                Some(region) => region.clone(),
                None => {
                    let found = Box::pin(bucket_region(&config, &url.bucket)).await;
                    found.or_else(region_of_environment).unwrap_or_else(|| ANY_REGION.to_owned())
                }
            };
            sites.push(SiteSettings { bucket: url.bucket.clone(), region, key_arn: None, mac_key_arn: None });
        }
        let mut sites = sites.into_iter();
        let primary = sites.next().ok_or_else(|| RuntimeError::Input("no repository is named".to_owned()))?;
        let settings = Settings::of_buckets(primary, sites.next())?;
        let meter = Meter::default();
        let arn = Box::pin(caller_arn(&config)).await.map_err(RuntimeError::Caller)?;
        let account = arn.split(':').nth(4).unwrap_or_default().to_owned();
        let keys: Arc<dyn DataKeys> = Arc::new(MessageKeys::new(account, &config, &meter));
        Ok(Self::new(settings, config, meter, keys))
    }

    /// These services for the databases that a repository has.
    #[must_use]
    pub fn for_databases(mut self, names: Vec<DatabaseName>) -> Self {
        let settings = |name| DatabaseSettings { name, secret: String::new() };
        self.settings.databases = names.into_iter().map(settings).collect();
        self
    }

    /// A site in words: its bucket where only buckets are known, because nobody said which site each is.
    pub fn place(&self, site: Site) -> String {
        let settings = match site {
            Site::Primary => &self.settings.primary,
            Site::Offsite => &self.settings.offsite,
        };
        match settings {
            Some(settings) if self.settings.is_of_buckets => format!("s3://{}", settings.bucket),
            _ => site.to_string(),
        }
    }

    fn new(settings: Settings, config: SdkConfig, meter: Meter, keys: Arc<dyn DataKeys>) -> Self {
        let store = |site: &SiteSettings| -> Arc<dyn ObjectStore> {
            Arc::new(S3Store::new(s3_client(&config, &site.region, None, &meter), &site.bucket))
        };
        let sites = Sites::new(settings.primary.as_ref().map(store), settings.offsite.as_ref().map(store));
        let Settings { bus, topic, chat_topic, alarms_topic, .. } = settings.clone();
        let outbox = AwsOutbox::new(&config, bus, topic, chat_topic).with_alarms_topic(alarms_topic);
        let ports = Ports {
            sites,
            keys,
            macs: mac_keys(&settings, &config, &meter),
            outbox: Arc::new(outbox),
            tools_dir: settings.tools_dir.clone(),
            sessions: settings.sessions,
            scratch_is_a_clone: settings.scratch_is_a_clone,
        };
        Self { settings, config, ports, meter }
    }

    /// A run under the policy in force. `act` is absent for a run that only reads.
    pub async fn run(&self, call: Call, act: Option<Act>, mandate: &Mandate) -> Run {
        let document = match self.parameter() {
            Some((name, parameter)) => {
                let document = Box::pin(parameter.get_in_time()).await.map_err(|source| unreachable(name, source));
                document.inspect_err(warn_unreachable).ok()
            }
            None => None,
        };
        Box::pin(self.run_under(call, act, mandate, document.as_ref())).await
    }

    /// The same, under this document of the users if it is valid.
    pub async fn run_under(
        &self,
        call: Call,
        act: Option<Act>,
        mandate: &Mandate,
        document: Option<&PolicyDocument>,
    ) -> Run {
        let Call { id, deadline } = call;
        let order = Order::new(id, act, mandate.clone(), deadline, &self.meter, self.settings.memory_mb);
        // A site or key that one run set aside is tried again in the next run.
        let (sites, macs) = (self.ports.sites.for_run(), self.ports.macs.for_run());
        let policy = Box::pin(policy_in_force(&sites, document)).await;
        Run::begin(order, Ports { sites, macs, ..self.ports.clone() }, Arc::new(policy))
    }

    /// The users' policy document with its versions, to be put in force, or the error and its hint when it is unavailable; `None` when
    /// no place is configured.
    pub async fn policy_versions(&self) -> Option<Result<PolicyVersions, Wrong>> {
        let (name, parameter) = self.parameter()?;
        let versions = Box::pin(parameter.versions()).await.map_err(|source| unreachable(name, source));
        Some(versions.inspect_err(warn_unreachable).map_err(|error| Wrong::new(error.story(), error.hint())))
    }

    /// The users' policy document.
    ///
    /// # Errors
    /// As [`Services::push_policy`].
    pub async fn policy_in_place(&self) -> Result<PolicyDocument, RuntimeError> {
        let (name, parameter) = self.parameter().ok_or_else(no_place)?;
        Box::pin(parameter.get()).await.map_err(|source| unreachable(name, source))
    }

    /// Stores a document in the policy's parameter with its reason, and returns the stored versions.
    ///
    /// # Errors
    /// [`RuntimeError::Settings`] without a place; [`RuntimeError::Policy`].
    pub async fn push_policy(&self, text: &str, reason: &str) -> Result<PolicyVersions, RuntimeError> {
        let (name, parameter) = self.parameter().ok_or_else(no_place)?;
        Box::pin(parameter.put(text, reason)).await.map_err(|source| unreachable(name, source))?;
        Box::pin(parameter.versions()).await.map_err(|source| unreachable(name, source))
    }

    fn parameter(&self) -> Option<(&str, PolicyParameter)> {
        self.settings.policy.as_deref().map(|name| (name, PolicyParameter::new(&self.config, name)))
    }

    /// The ARN of the identity that runs this process, for the ledger; `None` when AWS does not return it.
    pub async fn identity(&self) -> Option<String> {
        let said = Box::pin(caller_arn(&self.config)).await.inspect_err(|error| {
            let error = lifeboat_model::story(error);
            tracing::warn!(error, "AWS did not name the caller; the ledger names the stated person");
        });
        said.ok()
    }

    /// The databases an order is about: the named one, or all.
    ///
    /// # Errors
    /// [`RuntimeError::UnknownDatabase`].
    pub fn databases(&self, named: Option<&DatabaseName>) -> Result<Vec<DatabaseName>, RuntimeError> {
        match named {
            Some(name) => Ok(vec![self.settings.database(name)?.name.clone()]),
            None => Ok(self.settings.databases.iter().map(|database| database.name.clone()).collect()),
        }
    }

    /// The one database an order is about: the named one, or the only one.
    ///
    /// # Errors
    /// [`RuntimeError::UnknownDatabase`]; [`RuntimeError::SeveralDatabases`] when none is named.
    pub fn one_database(&self, named: Option<DatabaseName>) -> Result<DatabaseName, RuntimeError> {
        match self.databases(named.as_ref())?.as_slice() {
            [one] => Ok(one.clone()),
            several => Err(RuntimeError::SeveralDatabases(several.len())),
        }
    }

    /// The connection of a database, from its secret. It is fetched for each run, because secrets rotate.
    ///
    /// # Errors
    /// [`RuntimeError::UnknownDatabase`], [`RuntimeError::Secret`], [`RuntimeError::Connection`].
    pub async fn source(&self, name: &DatabaseName) -> Result<ConnectionSettings, RuntimeError> {
        let secret = &self.settings.database(name)?.secret;
        if secret.is_empty() {
            return Err(RuntimeError::Settings(vec!["`LIFEBOAT_DATABASE_SECRETS` is missing".to_owned()]));
        }
        self.connection(name.as_str(), secret).await
    }

    /// The connection of the server that drills restore to.
    ///
    /// # Errors
    /// [`RuntimeError::Settings`] without one; [`RuntimeError::Secret`], [`RuntimeError::Connection`].
    pub async fn scratch(&self) -> Result<ConnectionSettings, RuntimeError> {
        let missing = || RuntimeError::Settings(vec!["`LIFEBOAT_SCRATCH_SECRET` is missing".to_owned()]);
        let secret = self.settings.scratch_secret.as_ref().ok_or_else(missing)?;
        self.connection("the scratch server", secret).await
    }

    /// The connection of the server that the function `restore` writes to.
    ///
    /// # Errors
    /// As [`Services::scratch`].
    pub async fn restore_server(&self) -> Result<ConnectionSettings, RuntimeError> {
        let missing = || {
            RuntimeError::Settings(vec![
                "`LIFEBOAT_RESTORE_SECRET` is missing: set `RestoreSecretArn` on the stack".to_owned(),
            ])
        };
        let secret = self.settings.restore_secret.as_ref().ok_or_else(missing)?;
        self.connection("the server to restore to", secret).await
    }

    /// Fetches the secret `arn`, which holds the connection of `name`, and reads it.
    async fn connection(&self, name: &str, arn: &str) -> Result<ConnectionSettings, RuntimeError> {
        let name = || name.to_owned();
        let text = Box::pin(secret_text(&self.config, arn)).await;
        let text = text.map_err(|source| RuntimeError::Secret { name: name(), source })?;
        ConnectionSettings::from_secret(&text)
            .map_err(|source| RuntimeError::Connection { origin: ConnectionOrigin::Secret(name()), source })
    }
}

/// The region that the AWS CLI would use.
fn region_of_environment() -> Option<String> {
    let stated = ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().filter_map(|name| std::env::var(name).ok());
    stated.into_iter().find(|region| !region.is_empty())
}

fn unreachable(name: &str, source: AwsError) -> RuntimeError {
    RuntimeError::Policy { name: name.to_owned(), source }
}

fn no_place() -> RuntimeError {
    RuntimeError::Settings(vec!["`LIFEBOAT_POLICY` is missing".to_owned()])
}

fn warn_unreachable(error: &RuntimeError) {
    tracing::warn!(error = error.story(), hint = error.hint(), "the policy is unavailable");
}

/// The key service with the keys of the sites that have one.
fn keys(settings: &Settings, config: &SdkConfig, meter: &Meter) -> Arc<dyn DataKeys> {
    let key = |site: &SiteSettings| {
        site.key_arn.as_ref().map(|arn| KmsKey::new(kms_client(config, &site.region, None, meter), arn))
    };
    let mut configured = [&settings.primary, &settings.offsite].into_iter().flatten().filter_map(key);
    match configured.next() {
        Some(first) => Arc::new(KmsDataKeys::new(first, configured.next())),
        None => Arc::new(NoKeys),
    }
}

/// The keys that vouch for the ledger, of the sites that have one.
fn mac_keys(settings: &Settings, config: &SdkConfig, meter: &Meter) -> MacKeys {
    let configured = [(Site::Primary, &settings.primary), (Site::Offsite, &settings.offsite)];
    MacKeys::new(configured.into_iter().filter_map(|(site, settings)| {
        let settings = settings.as_ref()?;
        let client = kms_client(config, &settings.region, None, meter);
        let key: Arc<dyn MacKey> = Arc::new(KmsMacKey::new(client, settings.mac_key_arn.as_ref()?));
        Some((site, key))
    }))
}

/// For a function that does not seal or open objects.
struct NoKeys;

#[async_trait]
impl DataKeys for NoKeys {
    async fn generate(&self, _: &EncryptionContext) -> Result<GeneratedDataKey, DataKeyError> {
        Err(DataKeyError::no_usable_key(0, Vec::new()))
    }

    async fn decrypt(&self, _: &EncryptionContext, keys: &[EncryptedDataKey]) -> Result<DataKey, DataKeyError> {
        Err(DataKeyError::no_usable_key(keys.len(), Vec::new()))
    }

    fn entry_of_each<'a>(&self, _: &'a [EncryptedDataKey]) -> Vec<Option<&'a EncryptedDataKey>> {
        Vec::new()
    }
}
