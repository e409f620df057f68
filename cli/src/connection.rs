//! Connections that are given on the command line.

use lifeboat_postgres::{ConnectionSettings, PostgresError};
use lifeboat_runtime::{ConnectionOrigin, RuntimeError};

/// The mark of a file in the place of a URL.
const FILE: char = '@';

/// Reads the connection of an option: a URL, or `@FILE` with the file that holds one. On the command line a URL's password is in the list of
/// processes; a file's is not.
///
/// # Errors
/// [`RuntimeError::Connection`] names the option, and never the value.
pub fn connection(option: &'static str, value: &str) -> Result<ConnectionSettings, RuntimeError> {
    let fault = |source| RuntimeError::Connection { origin: ConnectionOrigin::Option(option), source };
    let Some(path) = value.strip_prefix(FILE) else { return ConnectionSettings::from_secret(value).map_err(fault) };
    let text =
        std::fs::read_to_string(path).map_err(|source| fault(PostgresError::File { path: path.to_owned(), source }))?;
    ConnectionSettings::from_secret(&text).map_err(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_read_from_the_option_or_from_the_file_that_it_names() {
        let file = std::env::temp_dir().join(format!("lifeboat-{:08x}", fastrand::u32(..)));
        std::fs::write(&file, "postgres://u:s3cr3t@h/clinic\n").unwrap();
        let settings = connection("--to", &format!("@{}", file.display())).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(settings.to_string(), "u@h:5432/clinic");
        assert_eq!(connection("--to", "postgres://u@h/clinic").unwrap().database(), "clinic");
        assert!(connection("--to", "@/nowhere/at-all").is_err());
    }
}
