//! One connection to a server, with the settings that make its output stable and complete.

pub(crate) mod identifier;
pub(crate) mod libpq_environment;
pub(crate) mod parameters;
pub(crate) mod partial_chunk;
pub(crate) mod server_text;
pub(crate) mod settings;
pub(crate) mod system;
pub(crate) mod tap;
mod tls;
mod url;
mod wire;

use std::time::Duration;

use lifeboat_model::Backoff;
use tokio::task::JoinHandle;
use tokio_postgres::config::{ChannelBinding, SslMode as DriverSslMode, SslNegotiation};
use tokio_postgres::{Client, Config, Row, types::ToSql};

use self::settings::ConnectionSettings;
use self::tap::Intake;
use self::wire::{WireError, Wiring};
use crate::error::connection_limit::ConnectionLimit;
use crate::error::server_error::ServerError;
use crate::error::{PostgresError, PostgresResult as Result};

/// The time limit for TCP, TLS and authentication together. A failover takes less; a wrong security group never answers.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a statement waits for a lock. Sessions that queue behind it wait no longer than this.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// A silent peer is noticed after `KEEPALIVE_IDLE + KEEPALIVE_RETRIES * KEEPALIVE_INTERVAL`, by either side: a killed run's
/// snapshot and locks are gone from the server after a minute.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;

/// A session that has just ended counts until its process has ended too. Another one that is refused for it waits so long, 1.5 s at most.
pub(crate) const LIMIT_ATTEMPTS: u32 = 5;
pub(crate) const LIMIT_BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(100), longest: Duration::from_millis(800) };

/// A connection that owns the task which moves its bytes; both end together.
#[derive(Debug)]
pub struct Session {
    client: Client,
    /// Where the rows of a COPY go.
    intake: Intake,
    connection: JoinHandle<()>,
    /// Startup options that it needs to live until it can set its parameters.
    startup: Option<String>,
}

impl Session {
    /// Connects and sets the session's parameters, so that it has none of those that a role or a database has.
    ///
    /// Errors: [`PostgresError::Unreachable`], [`ConnectTimeout`](PostgresError::ConnectTimeout),
    /// [`ConnectionLimitReached`](PostgresError::ConnectionLimitReached), [`TlsFailed`](PostgresError::TlsFailed),
    /// [`AuthenticationFailed`](PostgresError::AuthenticationFailed).
    pub async fn connect(settings: &ConnectionSettings, application_name: &str) -> Result<Self> {
        let (session, major) = Self::open(settings, application_name, None).await?;
        let ended = match session.set_parameters(settings).await {
            Err(error) if may_be_a_timeout(&error) => error,
            done => return done.map(|()| session),
        };
        drop(session);
        // A timeout of a role or a database can end a session at once. As startup options, ours are there before it.
        let startup = parameters::without_timeouts(major);
        let Ok((session, _)) = Self::open(settings, application_name, Some(startup)).await else { return Err(ended) };
        session.set_parameters(settings).await.map(|()| session)
    }

    /// Connects with these startup options beside those of the settings, and sets no parameter.
    pub(crate) async fn connect_with(
        settings: &ConnectionSettings,
        application_name: &str,
        startup: Option<String>,
    ) -> Result<Self> {
        Self::try_open(settings, application_name, startup).await.map(|(session, _)| session)
    }

    /// Connects, also when a session that has ended is still counted. Gives the server's major version if it says one.
    async fn open(
        settings: &ConnectionSettings,
        application_name: &str,
        startup: Option<String>,
    ) -> Result<(Self, Option<u32>)> {
        let mut attempt = 1;
        loop {
            match Self::try_open(settings, application_name, startup.clone()).await {
                Err(PostgresError::ConnectionLimitReached { .. }) if attempt < LIMIT_ATTEMPTS => {
                    tokio::time::sleep(LIMIT_BACKOFF.pause(attempt)).await;
                    attempt += 1;
                }
                opened => return opened,
            }
        }
    }

    async fn try_open(
        settings: &ConnectionSettings,
        application_name: &str,
        startup: Option<String>,
    ) -> Result<(Self, Option<u32>)> {
        let intake = Intake::default();
        let wiring = Wiring::new(settings.tls()?, settings.ssl_mode, intake.clone());
        let config = driver_config(settings, application_name, startup.as_deref());
        let connecting = Box::pin(config.connect(wiring));
        let (client, connection) = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .map_err(|_| PostgresError::ConnectTimeout {
                endpoint: settings.endpoint(),
                seconds: CONNECT_TIMEOUT.as_secs(),
            })?
            .map_err(|error| connect_error(settings, error))?;
        let version = connection.parameter("server_version").unwrap_or_default();
        let major = version.split(|letter: char| !letter.is_ascii_digit()).next().and_then(|major| major.parse().ok());
        let connection = tokio::spawn(async move {
            // An error here ends the connection; the statement that was under way reports it.
            let _ = connection.await;
        });
        Ok((Self { client, intake, connection, startup }, major))
    }

    async fn set_parameters(&self, settings: &ConnectionSettings) -> Result<()> {
        const STEP: &str = "applying the session settings";
        self.run(STEP, parameters::FIRST).await?;
        self.run(STEP, &parameters::set_all(LOCK_TIMEOUT, settings.options.as_deref())).await?;
        self.run(STEP, parameters::LAST).await
    }

    /// Startup options that give a client program PostgreSQL's own value of each parameter that has another one for this role in this
    /// database. Empty when none has.
    pub(crate) async fn startup_options(&self) -> Result<String> {
        const STEP: &str = "reading the settings of the role";
        let names = parameters::everybodys();
        let rows = self.rows(STEP, parameters::CHANGED, &[&names, &parameters::DATE_STYLE]).await?;
        let changed =
            rows.iter().map(|row| parameters::option(row.get(0), row.get::<_, Option<&str>>(1).unwrap_or_default()));
        Ok(self.startup.clone().into_iter().chain(changed).collect::<Vec<_>>().join(" "))
    }

    /// For rows: the bytes of a SQL_ASCII database as they are stored. Nothing converts them, and with any other client
    /// encoding the server refuses those that are not valid in it. Names read over such a session might not be UTF-8.
    pub(crate) async fn expect_bytes_as_stored(&self) -> Result<()> {
        const SQL: &str = "
            SELECT pg_catalog.set_config('client_encoding', 'SQL_ASCII', false)
            WHERE pg_catalog.getdatabaseencoding() = 'SQL_ASCII'";
        self.run("applying the session settings", SQL).await
    }

    /// For names and definitions, as a session begins.
    pub(crate) async fn expect_utf8(&self) -> Result<()> {
        self.run("applying the session settings", "SET client_encoding = 'UTF8'").await
    }

    /// Where the rows of a COPY that its client starts arrive.
    pub(crate) fn intake(&self) -> &Intake {
        &self.intake
    }

    /// The driver's client, for streams.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Runs statements that return nothing of interest; `step` completes "while …".
    pub(crate) async fn run(&self, step: &str, sql: &str) -> Result<()> {
        self.client.batch_execute(sql).await.map_err(|e| PostgresError::query(step, e))
    }

    /// The same for a definition that reads no row: its refusal is told in the server's words.
    pub(crate) async fn run_definition(&self, step: &str, sql: &str) -> Result<()> {
        self.client.batch_execute(sql).await.map_err(|error| {
            let told = ServerError::of_definition(&error);
            match (PostgresError::query(step, error), told) {
                (PostgresError::Query { step, .. }, Some(source)) => PostgresError::Query { step, source },
                (other, _) => other,
            }
        })
    }

    pub(crate) async fn rows(&self, step: &str, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        self.client.query(sql, parameters).await.map_err(|e| PostgresError::query(step, e))
    }

    pub(crate) async fn row(&self, step: &str, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Row> {
        self.client.query_one(sql, parameters).await.map_err(|e| PostgresError::query(step, e))
    }

    /// Ends the session and waits until the server knows.
    pub async fn close(mut self) {
        const GOODBYE: Duration = Duration::from_secs(2);
        // `Drop` aborts the handle that it finds: give it an idle one and keep the real one to wait for.
        let mut connection = std::mem::replace(&mut self.connection, tokio::spawn(async {}));
        drop(self);
        if tokio::time::timeout(GOODBYE, &mut connection).await.is_err() {
            connection.abort();
        }
    }

    /// Ends the session at once: every later statement fails.
    pub(crate) fn end(&self) {
        self.connection.abort();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Whether a timeout that another setting brought may have ended the session's first statements, or the session before them.
fn may_be_a_timeout(error: &PostgresError) -> bool {
    matches!(error, PostgresError::ServerClosed { .. }) || error.sqlstate() == Some("57014")
}

fn driver_config(settings: &ConnectionSettings, application_name: &str, startup: Option<&str>) -> Config {
    let mut config = Config::new();
    config
        .host(&settings.host)
        .port(settings.port)
        .user(&settings.user)
        .password(&settings.password)
        .dbname(&settings.database)
        .application_name(application_name)
        .connect_timeout(CONNECT_TIMEOUT)
        .keepalives(true)
        .keepalives_idle(KEEPALIVE_IDLE)
        .keepalives_interval(KEEPALIVE_INTERVAL)
        .keepalives_retries(KEEPALIVE_RETRIES)
        // The driver neither asks for TLS nor does it: see `Wiring`.
        .ssl_mode(DriverSslMode::Require)
        .ssl_negotiation(SslNegotiation::Direct);
    if settings.require_channel_binding {
        config.channel_binding(ChannelBinding::Require);
    }
    if let Some(options) = parameters::joined(startup, settings.options.as_deref()) {
        config.options(&options);
    }
    config
}

fn connect_error(settings: &ConnectionSettings, error: tokio_postgres::Error) -> PostgresError {
    let endpoint = settings.endpoint();
    if let Some(source) = ServerError::of(&error) {
        return match source.sqlstate() {
            "28000" | "28P01" => PostgresError::AuthenticationFailed { endpoint, user: settings.user.clone(), source },
            "53300" => {
                let routine = error.as_db_error().and_then(|error| error.routine());
                let of = ConnectionLimit::checked_by(routine.unwrap_or_default(), &settings.user, &settings.database);
                PostgresError::ConnectionLimitReached { endpoint, of: of.into(), source: Some(source) }
            }
            // Starting up or shutting down: it answers, but not now.
            "57P03" | "57P01" | "57P02" => PostgresError::Unreachable { endpoint, source: Box::new(source) },
            _ => PostgresError::Query { step: format!("connecting to `{endpoint}`"), source },
        };
    }
    // The driver's error kinds are private.
    let kind = error.to_string();
    let Some(cause) = error.into_source() else {
        return PostgresError::Unreachable { endpoint, source: kind.into() };
    };
    match cause.downcast_ref() {
        Some(WireError::NoTls | WireError::Tls(_)) => PostgresError::TlsFailed { endpoint, source: cause },
        Some(WireError::Broken(_)) | None => PostgresError::Unreachable { endpoint, source: cause },
    }
}
