//! Clients and settings of a process, and what a verb is given of them.

use std::sync::Arc;

use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::Builder as HttpClient;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use lifeboat_engine::{Deadline, Lifeboat, Unwatched};
use lifeboat_model::{DatabaseName, Mandate, Site};
use lifeboat_postgres::ConnectionSettings;
use lifeboat_seal::{DataKey, DataKeyError, DataKeys, EncryptedDataKey, EncryptionContext, GeneratedDataKey};
use lifeboat_signals::{AwsOutbox, Outbox};
use lifeboat_vault::{
    KmsDataKeys, KmsKey, KmsMacKey, MacKey, MacKeys, ObjectStore, S3Store, Sites, kms_client, s3_client,
};

use crate::error::RuntimeError;
use crate::secrets;
use crate::settings::{Settings, SiteSettings};

/// For one try of a request to EventBridge, SNS or Secrets Manager: the SDK's own limit is none.
const ATTEMPT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// For all tries of such a request.
const OPERATION_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// Tries of such a request.
const ATTEMPTS: u32 = 4;

/// Names one run and says when it ends.
#[derive(Debug, Clone)]
pub struct Run {
    /// Lambda's request id, or the CLI's own.
    pub id: String,
    /// When the process ends.
    pub deadline: Deadline,
}

/// Made once per process and used by every invocation.
pub struct Services {
    /// What the environment says.
    pub settings: Settings,
    config: SdkConfig,
    sites: Sites,
    keys: Arc<dyn DataKeys>,
    macs: MacKeys,
    outbox: Arc<dyn Outbox>,
}

impl Services {
    /// Reads the environment and makes every client. Asks nothing of any service yet.
    ///
    /// # Errors
    /// [`RuntimeError::Settings`].
    pub async fn from_environment() -> Result<Self, RuntimeError> {
        let settings = Settings::from_environment()?;
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(settings.region().to_owned()))
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            // One pool of connections, and one reading of the machine's root certificates, for all services of both regions.
            .http_client(HttpClient::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build_https())
            .load()
            .await;
        let store = |site: &SiteSettings| -> Arc<dyn ObjectStore> {
            Arc::new(S3Store::new(s3_client(&config, &site.region, None), &site.bucket))
        };
        let sites = Sites::new(settings.primary.as_ref().map(store), settings.offsite.as_ref().map(store));
        let outbox = Arc::new(AwsOutbox::new(&config, settings.bus.clone(), settings.topic.clone()));
        let (keys, macs) = (keys(&settings, &config), mac_keys(&settings, &config));
        Ok(Self { settings, config, sites, keys, macs, outbox })
    }

    /// What a verb works with.
    pub fn lifeboat(&self, run: Run, mandate: &Mandate) -> Lifeboat {
        Lifeboat {
            sites: self.sites.for_run(),
            keys: Arc::clone(&self.keys),
            macs: self.macs.for_run(),
            outbox: Arc::clone(&self.outbox),
            tools_dir: self.settings.tools_dir.clone(),
            sessions: self.settings.sessions,
            deadline: run.deadline,
            run_id: run.id,
            mandate: mandate.clone(),
            progress: Unwatched::shared(),
        }
    }

    /// The ARN under which AWS knows whoever runs this process, for the ledger; `None` when AWS does not say.
    pub async fn identity(&self) -> Option<String> {
        let asked = aws_sdk_sts::Client::new(&self.config).get_caller_identity().send().await;
        match asked {
            Ok(identity) => identity.arn().map(str::to_owned),
            Err(error) => {
                let error = lifeboat_engine::story(&error);
                tracing::warn!(error, "AWS does not say who this is; the ledger will name who is stated");
                None
            }
        }
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
    /// [`RuntimeError::UnknownDatabase`]; [`RuntimeError::Input`] when there are several and none is named.
    pub fn one_database(&self, named: Option<DatabaseName>) -> Result<DatabaseName, RuntimeError> {
        match self.databases(named.as_ref())?.as_slice() {
            [one] => Ok(one.clone()),
            several => Err(RuntimeError::Input(format!("there are {} databases: name one", several.len()))),
        }
    }

    /// The connection of a database, from its secret. Fetched anew for each run: secrets rotate.
    ///
    /// # Errors
    /// [`RuntimeError::UnknownDatabase`], [`RuntimeError::Secret`], [`RuntimeError::Connection`].
    pub async fn source(&self, name: &DatabaseName) -> Result<ConnectionSettings, RuntimeError> {
        let secret = &self.settings.database(name)?.secret;
        if secret.is_empty() {
            return Err(RuntimeError::Settings(vec!["`LIFEBOAT_DATABASE_SECRETS` is missing".to_owned()]));
        }
        secrets::connection(&self.config, name.as_str(), secret).await
    }

    /// The connection of the server that drills restore to.
    ///
    /// # Errors
    /// [`RuntimeError::Settings`] without one; [`RuntimeError::Secret`], [`RuntimeError::Connection`].
    pub async fn scratch(&self) -> Result<ConnectionSettings, RuntimeError> {
        let missing = || RuntimeError::Settings(vec!["`LIFEBOAT_SCRATCH_SECRET` is missing".to_owned()]);
        let secret = self.settings.scratch_secret.as_ref().ok_or_else(missing)?;
        secrets::connection(&self.config, "the scratch server", secret).await
    }
}

/// The key service with the keys of the sites that have one.
fn keys(settings: &Settings, config: &SdkConfig) -> Arc<dyn DataKeys> {
    let key =
        |site: &SiteSettings| site.key_arn.as_ref().map(|arn| KmsKey::new(kms_client(config, &site.region, None), arn));
    let mut configured = [&settings.primary, &settings.offsite].into_iter().flatten().filter_map(key);
    match configured.next() {
        Some(first) => Arc::new(KmsDataKeys::new(first, configured.next())),
        None => Arc::new(NoKeys),
    }
}

/// The keys that vouch for the ledger, of the sites that have one.
fn mac_keys(settings: &Settings, config: &SdkConfig) -> MacKeys {
    let configured = [(Site::Primary, &settings.primary), (Site::Offsite, &settings.offsite)];
    MacKeys::new(configured.into_iter().filter_map(|(site, settings)| {
        let settings = settings.as_ref()?;
        let client = kms_client(config, &settings.region, None);
        let key: Arc<dyn MacKey> = Arc::new(KmsMacKey::new(client, settings.mac_key_arn.as_ref()?));
        Some((site, key))
    }))
}

/// For a function that neither seals nor opens.
struct NoKeys;

#[async_trait]
impl DataKeys for NoKeys {
    async fn generate(&self, _: &EncryptionContext) -> Result<GeneratedDataKey, DataKeyError> {
        Err(DataKeyError::no_usable_key(0, Vec::new()))
    }

    async fn decrypt(&self, _: &EncryptionContext, keys: &[EncryptedDataKey]) -> Result<DataKey, DataKeyError> {
        Err(DataKeyError::no_usable_key(keys.len(), Vec::new()))
    }
}
