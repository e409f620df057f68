//! The local cloud: the emulator with all stacks on it, and clients for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};

use crate::emulator::Emulator;
use crate::function_url::{self, UrlAnswer};
use crate::functions::{self, Functions};
use crate::gaps;
use crate::lint::TEMPLATES;
use crate::plain_http;
use crate::stack::Stack;
use crate::template::{Parameters, Template};
use crate::workspace;

/// The region of the main stack.
pub const PRIMARY_REGION: &str = "eu-central-1";
/// The region of the off-site.
pub const OFFSITE_REGION: &str = "eu-west-1";

/// The stacks' names.
const MAIN_STACK: &str = "lifeboat";
const PRIMARY_STACK: &str = "lifeboat-primary";
const OFFSITE_STACK: &str = "lifeboat-offsite";
/// The emulator's account.
pub const ACCOUNT: &str = "000000000000";
/// The parameters that the sites' stacks share with each other, and one of them with the main stack.
const OF_SITES: [&str; 4] = ["ObjectLockMode", "ObjectLockDays", "OperatorArns", BREAK_GLASS];
const BREAK_GLASS: &str = "BreakGlassRoleName";
/// The bucket for uploaded packages, as `sam package` uses one.
const PACKAGES_BUCKET: &str = "lifeboat-packages";
/// The emulator answers in milliseconds; an upload of 100 MB takes about a second. A function may run for 900 s.
const CALL_WITHIN: Duration = Duration::from_secs(60);
const INVOKE_WITHIN: Duration = Duration::from_secs(930);

/// The parts of a cloud.
#[derive(Debug, Clone)]
pub struct CloudOptions {
    /// The code behind the functions.
    pub functions: Functions,
    /// Whether the off-site's stack is deployed.
    pub offsite: bool,
    /// The folder of pg_dump and pg_restore for the functions, in place of the layer.
    pub postgres_client_dir: PathBuf,
}

/// A running local cloud. Everything stops when it is dropped, or when this process ends in any way.
#[derive(Debug)]
pub struct Cloud {
    emulator: Emulator,
    options: CloudOptions,
    executables: BTreeMap<String, PathBuf>,
    main: Template,
    site: Template,
}

/// The outputs and resources of the deployed stacks.
#[derive(Debug, Clone)]
pub struct Deployment {
    pub primary_bucket: String,
    pub primary_key_arn: String,
    pub primary_mac_key_arn: String,
    pub offsite: Option<DeployedSite>,
    pub bus: String,
    pub topic_arn: String,
    pub backup: DeployedFunction,
    pub verify: DeployedFunction,
    pub test_restore: DeployedFunction,
    pub restore: DeployedFunction,
    pub health: DeployedFunction,
    /// The name of the function behind [`Deployment::status_url`].
    pub status: String,
    /// The URL of the status page.
    pub status_url: String,
    /// The parameter with the policy.
    pub policy: String,
    pub chat_topic_arn: String,
    /// The topic of the CloudWatch alarms.
    pub alarms_topic_arn: String,
    /// The differences from AWS in this deployment, one sentence each.
    pub gaps: Vec<String>,
}

/// The outputs of a site's stack.
#[derive(Debug, Clone)]
pub struct DeployedSite {
    pub bucket: String,
    pub key_arn: String,
    pub mac_key_arn: String,
}

impl DeployedSite {
    /// The parameters of the main stack that name it.
    fn parameters(&self, site: &str) -> [(String, String); 3] {
        [("Bucket", &self.bucket), ("KeyArn", &self.key_arn), ("MacKeyArn", &self.mac_key_arn)]
            .map(|(name, value)| (format!("{site}{name}"), value.clone()))
    }
}

/// A function of the main stack.
#[derive(Debug, Clone)]
pub struct DeployedFunction {
    /// Its name.
    pub name: String,
    /// Its log group.
    pub logs: String,
    /// The queue of its failed invocations.
    pub failures_queue_url: String,
}

impl Cloud {
    /// Builds the functions, starts the emulator and uploads the packages. Nothing is deployed yet.
    pub async fn start(options: CloudOptions) -> Result<Self> {
        let [main, site] = TEMPLATES.map(|template| Template::read(&workspace::root().join(template)));
        let (main, site, functions) = (main?, site?, options.functions.clone());
        let binaries: Vec<String> = main.function_binaries()?.into_iter().map(|(_, binary)| binary).collect();
        let built = tokio::task::spawn_blocking(move || functions.executables(&binaries));
        let (emulator, executables) = tokio::join!(Emulator::start(), built);
        let mut cloud = Self { emulator: emulator?, options, executables: executables??, main, site };
        cloud.upload_packages().await?;
        Ok(cloud)
    }

    /// Does what `sam build` and `sam package` do: uploads each package and points the template at it.
    async fn upload_packages(&mut self) -> Result<()> {
        let s3 = self.s3(PRIMARY_REGION).await;
        let here = CreateBucketConfiguration::builder()
            .location_constraint(BucketLocationConstraint::from(PRIMARY_REGION))
            .build();
        s3.create_bucket().bucket(PACKAGES_BUCKET).create_bucket_configuration(here).send().await?;
        for (logical_id, binary) in self.main.function_binaries()? {
            let executable =
                self.executables.get(&binary).with_context(|| format!("there is no binary `{binary}`"))?.clone();
            let functions = self.options.functions.clone();
            let package = tokio::task::spawn_blocking(move || functions.package(&executable)).await??;
            upload(&s3, &binary, package).await?;
            self.main.package(&logical_id, PACKAGES_BUCKET, &binary)?;
        }
        let layers: Vec<String> = self
            .main
            .resources()
            .filter(|resource| resource.kind == "AWS::Serverless::LayerVersion")
            .map(|resource| resource.logical_id.to_owned())
            .collect();
        for layer in layers {
            upload(&s3, &layer, functions::archive([("bin/README", Vec::new())])?).await?;
            self.main.package(&layer, PACKAGES_BUCKET, &layer)?;
        }
        Ok(())
    }

    /// Deploys or updates all stacks: first the sites, whose outputs become parameters of the main stack. Then it applies
    /// the properties that the emulator's CloudFormation ignores.
    ///
    /// `parameters` are those of all stacks. Those that only the local cloud knows are filled in unless given.
    pub async fn deploy(&self, parameters: &Parameters) -> Result<Deployment> {
        let mut given = Parameters::from([
            ("EndpointUrl".to_owned(), self.endpoint().to_owned()),
            ("Architecture".to_owned(), if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }.to_owned()),
            ("PostgresClientDir".to_owned(), self.options.postgres_client_dir.to_string_lossy().into_owned()),
        ]);
        let mut gaps = gaps::name_open(&self.main);
        gaps.extend(gaps::name_open(&self.site));
        let primary = self.deploy_site(PRIMARY_STACK, PRIMARY_REGION, "primary", parameters).await?;
        given.extend(primary.parameters("Primary"));
        let mut offsite = None;
        if self.options.offsite {
            let deployed = self.deploy_site(OFFSITE_STACK, OFFSITE_REGION, "offsite", parameters).await?;
            given.extend(deployed.parameters("Offsite"));
            given.insert("OffsiteRegion".to_owned(), OFFSITE_REGION.to_owned());
            offsite = Some(deployed);
        }
        let of_main = |name: &str| name == BREAK_GLASS || !OF_SITES.contains(&name);
        given.extend(parameters.clone().into_iter().filter(|(name, _)| of_main(name)));
        let stack = self.deploy_one(MAIN_STACK, PRIMARY_REGION, &self.main, &given).await?;
        gaps.sort();
        gaps.dedup();
        let function = |name: &str| -> Result<DeployedFunction> {
            Ok(DeployedFunction {
                name: stack.output(&format!("{name}FunctionName"))?,
                logs: stack.output(&format!("{name}LogsName"))?,
                failures_queue_url: stack.output(&format!("{name}FailuresQueueUrl"))?,
            })
        };
        Ok(Deployment {
            primary_bucket: primary.bucket,
            primary_key_arn: primary.key_arn,
            primary_mac_key_arn: primary.mac_key_arn,
            offsite,
            bus: stack.output("BusName")?,
            topic_arn: stack.output("AlertsTopicArn")?,
            backup: function("Backup")?,
            verify: function("Verify")?,
            test_restore: function("TestRestore")?,
            restore: function("Restore")?,
            health: function("Health")?,
            status: stack.output("StatusFunctionName")?,
            status_url: stack.output("StatusUrl")?,
            policy: stack.output("PolicyName")?,
            chat_topic_arn: stack.output("ChatAlertsTopicArn")?,
            alarms_topic_arn: stack.output("AlarmsTopicArn")?,
            gaps,
        })
    }

    /// Sends a signed request to a function's URL in the primary region.
    ///
    /// # Errors
    /// The emulator does not answer.
    pub async fn ask(&self, url: &str, method: &str, path: &str) -> Result<UrlAnswer> {
        let signer = (&credentials(), PRIMARY_REGION);
        function_url::ask(self.endpoint(), url, method, path, Some(signer)).await
    }

    /// Sends an unsigned request to a function's URL.
    ///
    /// # Errors
    /// As [`Cloud::ask`].
    pub async fn ask_unsigned(&self, url: &str, path: &str) -> Result<UrlAnswer> {
        function_url::ask(self.endpoint(), url, "GET", path, None).await
    }

    async fn deploy_site(
        &self,
        name: &str,
        region: &'static str,
        site: &str,
        parameters: &Parameters,
    ) -> Result<DeployedSite> {
        let own = [("Site", site), ("MainRegion", PRIMARY_REGION), ("MainAccountId", ACCOUNT)];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter();
        let shared = OF_SITES.iter().filter_map(|name| Some(((*name).to_owned(), parameters.get(*name)?.clone())));
        let stack = self.deploy_one(name, region, &self.site, &own.chain(shared).collect()).await?;
        Ok(DeployedSite {
            bucket: stack.output("BucketName")?,
            key_arn: stack.output("KeyArn")?,
            mac_key_arn: stack.output("MacKeyArn")?,
        })
    }

    async fn deploy_one(
        &self,
        name: &str,
        region: &'static str,
        template: &Template,
        given: &Parameters,
    ) -> Result<Stack> {
        let config = self.config(region).await;
        let client = aws_sdk_cloudformation::Client::new(&config);
        // As SAM does: the body of a request may have 51,200 bytes, and an object 1 MB.
        let key = format!("{name}.template");
        upload(&self.s3(PRIMARY_REGION).await, &key, gaps::deployable(template)?.into_bytes()).await?;
        let url = format!("https://s3.{PRIMARY_REGION}.amazonaws.com/{PACKAGES_BUCKET}/{key}");
        let stack = Stack::deploy(&client, name, &url, given).await?;
        gaps::close(&self.s3(region).await, template, given, &stack).await?;
        plain_http::allow(&config, template, &stack).await?;
        Ok(stack)
    }

    /// Creates a secret in Secrets Manager of the primary region. Returns its ARN.
    pub async fn put_secret(&self, name: &str, value: &str) -> Result<String> {
        let secrets = aws_sdk_secretsmanager::Client::new(&self.config(PRIMARY_REGION).await);
        let created = secrets
            .create_secret()
            .name(name)
            .secret_string(value)
            .send()
            .await
            .with_context(|| format!("cannot create the secret `{name}`"))?;
        created.arn().map(str::to_owned).with_context(|| format!("the secret `{name}` got no ARN"))
    }

    /// Gives a secret another value, as a rotation does.
    pub async fn change_secret(&self, name: &str, value: &str) -> Result<()> {
        let secrets = aws_sdk_secretsmanager::Client::new(&self.config(PRIMARY_REGION).await);
        let put = secrets.put_secret_value().secret_id(name).secret_string(value).send().await;
        put.with_context(|| format!("cannot change the secret `{name}`"))?;
        Ok(())
    }

    /// The executable of a binary of the workspace.
    pub fn executable(&self, binary: &str) -> Option<&Path> {
        self.executables.get(binary).map(PathBuf::as_path)
    }

    /// The address of every service in every region.
    pub fn endpoint(&self) -> &str {
        self.emulator.endpoint()
    }

    /// The emulator's log, which includes the functions' output.
    pub fn log(&self) -> Result<String> {
        self.emulator.log()
    }

    /// The id of the process group of the emulator and all functions.
    pub fn process_group(&self) -> u32 {
        self.emulator.process_group()
    }

    /// The folder of all files, including the functions' temporary files.
    pub fn scratch(&self) -> &Path {
        self.emulator.scratch()
    }

    /// S3 of a region.
    pub async fn s3(&self, region: &'static str) -> aws_sdk_s3::Client {
        aws_sdk_s3::Client::new(&self.config(region).await)
    }

    /// KMS of a region.
    pub async fn kms(&self, region: &'static str) -> aws_sdk_kms::Client {
        aws_sdk_kms::Client::new(&self.config(region).await)
    }

    /// SNS of the primary region.
    pub async fn sns(&self) -> aws_sdk_sns::Client {
        aws_sdk_sns::Client::new(&self.config(PRIMARY_REGION).await)
    }

    /// SQS of the primary region.
    pub async fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.config(PRIMARY_REGION).await)
    }

    /// EventBridge of the primary region.
    pub async fn events(&self) -> aws_sdk_eventbridge::Client {
        aws_sdk_eventbridge::Client::new(&self.config(PRIMARY_REGION).await)
    }

    /// CloudWatch Logs of the primary region.
    pub async fn logs(&self) -> aws_sdk_cloudwatchlogs::Client {
        aws_sdk_cloudwatchlogs::Client::new(&self.config(PRIMARY_REGION).await)
    }

    /// Lambda of the primary region. The client waits as long as a function may run, and never repeats an invocation.
    pub async fn lambda(&self) -> aws_sdk_lambda::Client {
        let config = self.config(PRIMARY_REGION).await;
        let patient = aws_sdk_lambda::config::Builder::from(&config)
            .timeout_config(TimeoutConfig::builder().operation_timeout(INVOKE_WITHIN).build())
            .retry_config(RetryConfig::disabled());
        aws_sdk_lambda::Client::from_conf(patient.build())
    }

    /// An SDK configuration with the rights of a role, and not those of the account's owner.
    ///
    /// # Errors
    /// There is no such role.
    pub async fn config_as(&self, role: &str, region: &'static str) -> Result<SdkConfig> {
        let owner = self.config(region).await;
        let provider = SharedCredentialsProvider::new(assume(&owner, role).await?);
        Ok(owner.into_builder().credentials_provider(provider).build())
    }

    /// An SDK configuration for a region of this cloud, for clients without a method here.
    pub async fn config(&self, region: &'static str) -> SdkConfig {
        aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(region))
            .endpoint_url(self.endpoint())
            .credentials_provider(credentials())
            .timeout_config(TimeoutConfig::builder().operation_timeout(CALL_WITHIN).build())
            .load()
            .await
    }
}

/// The credentials that a role of the account gets, as whoever took over its function would have them.
async fn assume(owner: &SdkConfig, role: &str) -> Result<Credentials> {
    let assume = aws_sdk_sts::Client::new(owner).assume_role().role_session_name("assumed");
    let assumed = assume.role_arn(format!("arn:aws:iam::{ACCOUNT}:role/{role}")).send().await;
    let assumed = assumed.with_context(|| format!("cannot assume the role `{role}`"))?;
    let given = assumed.credentials().with_context(|| format!("the role `{role}` got no credentials"))?;
    let token = Some(given.session_token().to_owned());
    Ok(Credentials::new(given.access_key_id(), given.secret_access_key(), token, None, "assumed"))
}

async fn upload(s3: &aws_sdk_s3::Client, key: &str, package: Vec<u8>) -> Result<()> {
    s3.put_object()
        .bucket(PACKAGES_BUCKET)
        .key(key)
        .body(package.into())
        .send()
        .await
        .with_context(|| format!("cannot upload the package `{key}`"))?;
    Ok(())
}

/// The credentials of the account's owner.
fn credentials() -> Credentials {
    Credentials::new("test", "test", None, None, "local-cloud")
}
