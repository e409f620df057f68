//! The ground that all contenders share: the database, the disk, and the stores and keys of Lifeboat's functions.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use aws_config::{BehaviorVersion, Region};
use aws_sdk_kms::config::Credentials;
use lifeboat_local::{Emulator, FastS3, PRIMARY_REGION, PostgresOptions, PostgresServer, install, root, target_dir};

use crate::options::Options;

/// The database that all contenders back up, and its name in the repository.
pub const DATABASE: &str = "peers";

/// Servers, stores and folders. Dropping it ends and removes all of them.
pub struct Ground {
    pub server: PostgresServer,
    /// The server that drills restore to. A drill refuses the source's own.
    pub scratch: PostgresServer,
    pub s3: FastS3,
    emulator: Emulator,
    key_arn: String,
    source_secret: String,
    scratch_secret: String,
    folder: tempfile::TempDir,
    functions: PathBuf,
    sessions: usize,
    /// Whether pgBackRest is available.
    pub pgbackrest: bool,
}

impl Ground {
    /// Builds the functions as they ship, starts everything and fills the database.
    pub async fn prepare(options: &Options, report: impl Fn(&str)) -> Result<Self> {
        report("building the functions as they ship (release profile)");
        let functions = build()?;
        let folder = tempfile::Builder::new().prefix("lifeboat-peers-").tempdir()?;
        report("starting PostgreSQL, a fast S3 and the emulator (for KMS and Secrets Manager)");
        let settings = [("shared_buffers", "512MB"), ("max_wal_size", "16GB"), ("autovacuum", "off")];
        let options_of =
            |name| settings.iter().fold(PostgresOptions::named(name), |all, (name, value)| all.with(name, value));
        let server = PostgresServer::start(options_of("peers"))?;
        let scratch = PostgresServer::start(options_of("scratch").for_drills())?;
        let s3 = FastS3::start(&folder.path().join("s3"))?;
        let emulator = Emulator::start().await?;
        report(&format!("filling a database of about {} GB", options.gb));
        server.psql("postgres", &format!("CREATE DATABASE {DATABASE}"))?;
        let sql = include_str!("../../../sample/peers.sql");
        server.psql(DATABASE, &format!("\\set scale {}\n{sql}", options.gb))?;
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(PRIMARY_REGION))
            .endpoint_url(emulator.endpoint())
            .credentials_provider(Credentials::new("test", "test", None, None, "peers"))
            .load()
            .await;
        let key = aws_sdk_kms::Client::new(&config).create_key().send().await?;
        let key_arn = key.key_metadata().and_then(|key| key.arn()).context("a key without an ARN")?.to_owned();
        let secrets = aws_sdk_secretsmanager::Client::new(&config);
        let mut arns = Vec::new();
        for (database, url) in [(DATABASE, server.url(DATABASE)), ("scratch", scratch.url("postgres"))] {
            let secret = secrets.create_secret().name(database).secret_string(url).send().await?;
            arns.push(secret.arn().context("a secret without an ARN")?.to_owned());
        }
        let [source_secret, scratch_secret] = arns.try_into().map_err(|_| anyhow::anyhow!("two secrets were made"))?;
        let pgbackrest = Command::new("pgbackrest").arg("version").stdout(Stdio::null()).status().is_ok()
            || install("pgbackrest").is_ok();
        let sessions = options.sessions;
        Ok(Self {
            server,
            scratch,
            s3,
            emulator,
            key_arn,
            source_secret,
            scratch_secret,
            folder,
            functions,
            sessions,
            pgbackrest,
        })
    }

    /// Bytes of the database's tables without indexes.
    pub fn heap_bytes(&self) -> Result<u64> {
        let sql = "SELECT sum(pg_table_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
        Ok(self.server.psql(DATABASE, sql)?.parse()?)
    }

    /// A path on the disk that all contenders write to.
    pub fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command of the server's own version that connects to `database`.
    pub fn tool(&self, name: &str, database: &str) -> Command {
        let mut command = Command::new(self.server.bin_dir().join(name));
        command.arg(format!("--dbname={}", self.server.url(database)));
        command
    }

    /// A function's executable with the environment of the template, and its repository in `bucket`.
    pub fn function(&self, name: &str, bucket: &str) -> Command {
        let mut command = Command::new(self.functions.join(name));
        command.env_clear().envs([
            ("PATH", std::env::var("PATH").unwrap_or_default()),
            ("AWS_ENDPOINT_URL", self.emulator.endpoint().to_owned()),
            ("AWS_ENDPOINT_URL_S3", self.s3.endpoint().to_owned()),
            ("AWS_REGION", PRIMARY_REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("LIFEBOAT_DATABASES", DATABASE.to_owned()),
            ("LIFEBOAT_DATABASE_SECRETS", self.source_secret.clone()),
            ("LIFEBOAT_SCRATCH_SECRET", self.scratch_secret.clone()),
            ("LIFEBOAT_PRIMARY_BUCKET", bucket.to_owned()),
            ("LIFEBOAT_PRIMARY_REGION", PRIMARY_REGION.to_owned()),
            ("LIFEBOAT_PRIMARY_KEY", self.key_arn.clone()),
            ("LIFEBOAT_SESSIONS", self.sessions.to_string()),
            ("LIFEBOAT_PG_BIN", self.server.bin_dir().display().to_string()),
            // Bound to 1024 MB or more in AWS.
            ("TMPDIR", self.folder.path().display().to_string()),
        ]);
        command
    }

    /// The size of a function's package: its executable, compressed as `sam package` does.
    pub fn package_bytes(&self, name: &str) -> Result<u64> {
        let packed = Command::new("sh")
            .args(["-c", "gzip -6 -c \"$1\" | wc -c", "sh"])
            .arg(self.functions.join(name))
            .output()
            .context("cannot start gzip")?;
        Ok(String::from_utf8_lossy(&packed.stdout).trim().parse()?)
    }
}

/// Builds the functions and returns their folder.
fn build() -> Result<PathBuf> {
    let functions = ["lifeboat-function-backup", "lifeboat-function-verify", "lifeboat-function-test-restore"];
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--release"])
        .args(functions.iter().flat_map(|package| ["--package", package]))
        .current_dir(root())
        .stdin(Stdio::null())
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "cargo could not build the functions");
    Ok(target_dir().join("release"))
}

/// Runs a preparing step that is not measured.
pub fn quietly(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        bail!("{:?}: {}", command.get_program(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
