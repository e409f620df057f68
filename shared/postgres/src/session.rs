//! One connection to a server, with the settings that make its output stable and complete.

pub(crate) mod identifier;
pub(crate) mod libpq_environment;
pub(crate) mod partial_chunk;
pub(crate) mod server_text;
pub(crate) mod settings;
pub(crate) mod system;
pub(crate) mod tap;
mod tls;
mod url;
mod wire;

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::config::{ChannelBinding, SslMode as DriverSslMode, SslNegotiation};
use tokio_postgres::{Client, Config, Row, types::ToSql};

use self::settings::ConnectionSettings;
use self::tap::Intake;
use self::wire::{WireError, Wiring};
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

/// `docs/format/copy-chunks.md` gives the reason for each. `row_security=off` turns rows hidden by a policy into an error.
/// Lifeboat enforces timeouts itself, by the deadline. `transaction_timeout` exists from PostgreSQL 17 on, so it is set only where it exists.
const SESSION_SETTINGS: &str = "
    SET row_security = off;
    SET statement_timeout = 0;
    SET idle_in_transaction_session_timeout = 0;
    SET idle_session_timeout = 0;
    SET search_path = '';
    SET DateStyle = 'ISO';
    SET IntervalStyle = 'postgres';
    SET TimeZone = 'UTC';
    SET extra_float_digits = 3;
    SET bytea_output = 'hex';
    SET lc_monetary = 'C';
    SET max_parallel_workers_per_gather = 0;
    SET client_encoding = 'UTF8';
    SET synchronize_seqscans = off;
    SET xmloption = content;
    SET standard_conforming_strings = on;
    SET tcp_keepalives_idle = 30;
    SET tcp_keepalives_interval = 10;
    SET tcp_keepalives_count = 3;
    SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout';
";

/// A connection that owns the task which moves its bytes; both end together.
#[derive(Debug)]
pub struct Session {
    client: Client,
    /// Where the rows of a COPY go.
    intake: Intake,
    connection: JoinHandle<()>,
}

impl Session {
    /// Connects and applies the session settings.
    ///
    /// Errors: [`PostgresError::Unreachable`], [`ConnectTimeout`](PostgresError::ConnectTimeout),
    /// [`TlsFailed`](PostgresError::TlsFailed), [`AuthenticationFailed`](PostgresError::AuthenticationFailed).
    pub async fn connect(settings: &ConnectionSettings, application_name: &str) -> Result<Self> {
        let intake = Intake::default();
        let wiring = Wiring::new(settings.tls()?, settings.ssl_mode, intake.clone());
        let config = driver_config(settings, application_name);
        let connecting = Box::pin(config.connect(wiring));
        let (client, connection) = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .map_err(|_| PostgresError::ConnectTimeout {
                endpoint: settings.endpoint(),
                seconds: CONNECT_TIMEOUT.as_secs(),
            })?
            .map_err(|error| connect_error(settings, error))?;
        let connection = tokio::spawn(async move {
            // An error here ends the connection; the statement that was under way reports it.
            let _ = connection.await;
        });
        let session = Self { client, intake, connection };
        session.run("applying the session settings", SESSION_SETTINGS).await?;
        let lock_timeout = format!("SET lock_timeout = {}", LOCK_TIMEOUT.as_millis());
        session.run("applying the session settings", &lock_timeout).await?;
        Ok(session)
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

fn driver_config(settings: &ConnectionSettings, application_name: &str) -> Config {
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
    if let Some(options) = &settings.options {
        config.options(options);
    }
    config
}

fn connect_error(settings: &ConnectionSettings, error: tokio_postgres::Error) -> PostgresError {
    let endpoint = settings.endpoint();
    if let Some(source) = ServerError::of(&error) {
        return match source.sqlstate() {
            "28000" | "28P01" => PostgresError::AuthenticationFailed { endpoint, user: settings.user.clone(), source },
            // Starting up, shutting down, or no connection left: it answers, but not now.
            "57P03" | "57P01" | "57P02" | "53300" => PostgresError::Unreachable { endpoint, source: Box::new(source) },
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
