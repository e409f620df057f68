//! libpq's environment variables, by which PostgreSQL's client programs connect to a database.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use crate::error::PostgresResult as Result;
use crate::session::settings::ConnectionSettings;

const APPLICATION_NAME: &str = "PGAPPNAME";

/// libpq's variables for one database. Passwords are passed in the environment, because every user can see arguments.
///
/// `Debug` shows names only.
#[derive(Clone)]
pub struct LibpqEnvironment(Vec<(&'static str, OsString)>);

impl LibpqEnvironment {
    /// The variables and their values; one of them is the password.
    pub fn variables(&self) -> impl Iterator<Item = (&'static str, &OsString)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }

    /// The same, with another name in the server's `pg_stat_activity`.
    pub(crate) fn named(mut self, application_name: &str) -> Self {
        self.0.retain(|(name, _)| *name != APPLICATION_NAME);
        self.0.push((APPLICATION_NAME, application_name.into()));
        self
    }

    pub(crate) fn password(&self) -> Option<Cow<'_, str>> {
        self.variables().find(|(name, _)| *name == "PGPASSWORD").map(|(_, value)| value.to_string_lossy())
    }
}

impl fmt::Debug for LibpqEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
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
            variables.push(("PGOPTIONS", options.into()));
        }
        Ok(LibpqEnvironment(variables))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_shows_no_password() {
        let environment = LibpqEnvironment(vec![("PGPASSWORD", "hunter2".into())]);
        assert_eq!(environment.password().as_deref(), Some("hunter2"));
        assert!(!format!("{environment:?}").contains("hunter2"));
    }
}
