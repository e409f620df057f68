//! Hints for a person at a terminal. The functions' hints name the deployment; these name the shell.

use lifeboat_runtime::{ConnectionOrigin, RuntimeError};

/// One sentence, without its full stop.
pub fn of(error: &RuntimeError) -> String {
    match error {
        RuntimeError::Settings(_) => "export the missing variables in this shell: README.md lists them".to_owned(),
        RuntimeError::SeveralDatabases(_) => "name one database with `--database`".to_owned(),
        RuntimeError::Input(_) => "`lifeboat help` shows the commands and their options".to_owned(),
        RuntimeError::UnknownDatabase(_) => {
            "use a name that `lifeboat backups` lists, or add this database to `LIFEBOAT_DATABASES`".to_owned()
        }
        RuntimeError::Connection { origin: ConnectionOrigin::Option(_), .. } => {
            "give the connection as `postgres://user:password@host:5432/database`, in quotes".to_owned()
        }
        other => other.hint().trim_end_matches('.').to_owned(),
    }
}
