//! libpq's environment variables, by which PostgreSQL's client programs connect to a database.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use crate::error::connection_limit::ConnectionLimit;
use crate::error::{PostgresError, PostgresResult as Result};
use crate::session::settings::ConnectionSettings;
use crate::session::{Session, parameters};

const APPLICATION_NAME: &str = "PGAPPNAME";
const OPTIONS: &str = "PGOPTIONS";

/// libpq's variables for one database. Passwords are passed in the environment, because every user can see arguments.
///
/// `Debug` shows names only.
#[derive(Clone)]
pub struct LibpqEnvironment {
    variables: Vec<(&'static str, OsString)>,
    settings: ConnectionSettings,
    /// Startup options beside those of the settings, once they are known.
    startup_options: Option<String>,
}

impl LibpqEnvironment {
    /// The variables and their values; one of them is the password.
    pub fn variables(&self) -> impl Iterator<Item = (&'static str, &OsString)> {
        self.variables.iter().map(|(name, value)| (*name, value))
    }

    /// The same, with another name in the server's `pg_stat_activity`.
    pub(crate) fn named(mut self, application_name: &str) -> Self {
        self.set(APPLICATION_NAME, Some(application_name.into()));
        self
    }

    /// The same with the startup options that a session to the same database has found.
    pub(crate) fn with_known_options(mut self, startup_options: String) -> Self {
        let own = self.settings.options.as_deref();
        let options = parameters::joined(Some(&startup_options), own);
        self.set(OPTIONS, options.map(OsString::from));
        self.startup_options = Some(startup_options);
        self
    }

    /// The same with the startup options that a program needs: a short session finds them unless they are known.
    pub(crate) async fn with_startup_options(&self) -> Result<Self> {
        if self.startup_options.is_some() {
            return Ok(self.clone());
        }
        let session = Session::connect(&self.settings, "lifeboat").await?;
        let startup_options = session.startup_options().await;
        session.close().await;
        Ok(self.clone().with_known_options(startup_options?))
    }

    /// Connects as a program does. The error says why a program could not.
    pub(crate) async fn try_out(&self) -> Result<()> {
        Session::connect_with(&self.settings, "lifeboat", self.startup_options.clone()).await?.close().await;
        Ok(())
    }

    /// Whether there are startup options beside those of the settings.
    pub(crate) fn has_startup_options(&self) -> bool {
        self.startup_options.as_deref().is_some_and(|options| !options.is_empty())
    }

    /// The same with no startup options but those of the settings.
    pub(crate) fn without_startup_options(&self) -> Self {
        self.clone().with_known_options(String::new())
    }

    /// The limit on connections that a program met, if its standard error says so.
    pub(crate) fn connection_limit(&self, stderr: &str) -> Option<PostgresError> {
        let of = ConnectionLimit::named_in(stderr, self.settings.user(), self.settings.database())?;
        Some(PostgresError::ConnectionLimitReached { endpoint: self.settings.endpoint(), of: of.into(), source: None })
    }

    pub(crate) fn password(&self) -> Option<Cow<'_, str>> {
        self.variables().find(|(name, _)| *name == "PGPASSWORD").map(|(_, value)| value.to_string_lossy())
    }

    fn set(&mut self, name: &'static str, value: Option<OsString>) {
        self.variables.retain(|(other, _)| *other != name);
        self.variables.extend(value.map(|value| (name, value)));
    }
}

impl fmt::Debug for LibpqEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.iter().map(|(name, _)| name)).finish()
    }
}

impl ConnectionSettings {
    /// libpq's environment for this database. Writes the trusted certificates to `lifeboat-roots.pem` in `directory`, which
    /// must outlive the program.
    pub fn libpq_environment(&self, directory: &Path) -> Result<LibpqEnvironment> {
        let roots = directory.join("lifeboat-roots.pem");
        let mut variables: Vec<(&'static str, OsString)> = vec![
            ("PGHOST", self.host.clone().into()),
            ("PGPORT", self.port.to_string().into()),
            ("PGUSER", self.user.clone().into()),
            ("PGPASSWORD", self.password.clone().into()),
            ("PGDATABASE", self.database.clone().into()),
            ("PGSSLMODE", self.ssl_mode.as_str().into()),
            ("PGCONNECT_TIMEOUT", "15".into()),
            (APPLICATION_NAME, "lifeboat".into()),
            ("PGCLIENTENCODING", "UTF8".into()),
        ];
        if !self.write_roots(&roots)? {
            // A missing file: otherwise libpq looks for one in the home directory and changes what `require` means.
            variables.push(("PGSSLROOTCERT", directory.join("no-roots.pem").into()));
        } else {
            variables.push(("PGSSLROOTCERT", roots.into()));
        }
        if self.require_channel_binding {
            variables.push(("PGCHANNELBINDING", "require".into()));
        }
        if let Some(options) = &self.options {
            variables.push((OPTIONS, options.into()));
        }
        Ok(LibpqEnvironment { variables, settings: self.clone(), startup_options: None })
    }

    /// The database as a connection string, for a program's argument: libpq would take a bare name with `=` for a connection string, and one that
    /// begins with `postgres://` for a URL.
    pub(crate) fn database_argument(&self) -> String {
        format!("dbname='{}'", self.database.replace('\\', "\\\\").replace('\'', "\\'"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(database: &str) -> ConnectionSettings {
        let url = "postgres://u:hunter2@h/d?options=-c%20a%3Db";
        ConnectionSettings::from_secret(url).unwrap().with_database(database)
    }

    fn environment() -> LibpqEnvironment {
        let directory = tempfile::tempdir().unwrap();
        settings("d").libpq_environment(directory.path()).unwrap()
    }

    #[test]
    fn an_environment_shows_no_password() {
        let environment = environment();
        assert_eq!(environment.password().as_deref(), Some("hunter2"));
        assert!(!format!("{environment:?}").contains("hunter2"));
    }

    #[test]
    fn the_own_options_of_a_connection_stay_and_come_last() {
        let options = |environment: &LibpqEnvironment| {
            environment.variables().find(|(name, _)| *name == OPTIONS).map(|(_, value)| value.clone())
        };
        let environment = environment();
        assert_eq!(options(&environment), Some("-c a=b".into()));
        let known = environment.with_known_options("-c role=none".to_owned());
        assert_eq!(options(&known), Some("-c role=none -c a=b".into()));
        assert!(known.has_startup_options() && !known.without_startup_options().has_startup_options());
        assert_eq!(options(&known.without_startup_options()), Some("-c a=b".into()));
    }

    #[test]
    fn no_name_of_a_database_ends_its_quotes() {
        assert_eq!(settings("A=b").database_argument(), "dbname='A=b'");
        assert_eq!(settings("it's \\").database_argument(), "dbname='it\\'s \\\\'");
    }
}
