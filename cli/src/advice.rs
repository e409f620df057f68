//! What a person at a terminal can do about a failure. The functions' hints speak of a deployment; here there is a shell.

use lifeboat_runtime::RuntimeError;

/// One sentence, without its full stop.
pub fn of(error: &RuntimeError) -> String {
    match error {
        RuntimeError::Settings(_) => {
            "export them in this shell; the deployed functions have the same variables, and README.md lists them"
                .to_owned()
        }
        RuntimeError::Input(message) if message.contains("name one") => "name it with `--database`".to_owned(),
        RuntimeError::Input(_) => "`lifeboat help` shows what can be given".to_owned(),
        RuntimeError::UnknownDatabase(_) => {
            "give the name that Lifeboat knows it by, and have it in `LIFEBOAT_DATABASES`".to_owned()
        }
        RuntimeError::Connection { name, .. } if name.starts_with("--") => {
            "give it as `postgres://user:password@host:5432/database`, in quotes".to_owned()
        }
        other => other.hint().trim_end_matches('.').to_owned(),
    }
}
