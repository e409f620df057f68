//! Settings from the environment, read once and as a whole.

use std::path::PathBuf;

use lifeboat_model::DatabaseName;

use crate::error::RuntimeError;

/// Default number of concurrent sessions: the smallest managed server can serve four.
const SESSIONS: usize = 4;

/// Largest number of sessions: more would take a small server's connections from its users.
const MOST_SESSIONS: usize = 32;

/// A database and where its connection is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseSettings {
    /// Its name in the repository.
    pub name: DatabaseName,
    /// ARN of the Secrets Manager secret with its connection.
    pub secret: String,
}

/// A bucket, its region and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteSettings {
    /// The bucket's name.
    pub bucket: String,
    /// Its region and its key's.
    pub region: String,
    /// ARN of the KMS key. A function that opens nothing has none.
    pub key_arn: Option<String>,
    /// ARN of the KMS key that vouches for ledger entries.
    pub mac_key_arn: Option<String>,
}

/// The settings of a function. `template.yaml` sets them in its environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `LIFEBOAT_DATABASES` with `LIFEBOAT_DATABASE_SECRETS`: comma-separated, in the same order. A function that connects to none
    /// has no secrets.
    pub databases: Vec<DatabaseSettings>,
    /// `LIFEBOAT_SCRATCH_SECRET`: the server that drills restore to.
    pub scratch_secret: Option<String>,
    /// `LIFEBOAT_RESTORE_SECRET`: the server that the function `restore` writes to.
    pub restore_secret: Option<String>,
    /// `LIFEBOAT_SCRATCH_IS_A_CLONE`, `true` when that server was made from the image of a source, and so has its system identifier.
    pub scratch_is_a_clone: bool,
    /// `LIFEBOAT_PRIMARY_BUCKET`, `_REGION`, `_MAC_KEY` and, for a function that seals or opens, `_KEY`. Absent when only
    /// the off-site is left.
    pub primary: Option<SiteSettings>,
    /// `LIFEBOAT_OFFSITE_BUCKET`, `_REGION`, `_MAC_KEY`, `_KEY`: the same. At least one site is configured.
    pub offsite: Option<SiteSettings>,
    /// `LIFEBOAT_BUS`: where events go.
    pub bus: Option<String>,
    /// `LIFEBOAT_TOPIC`: where alerts go.
    pub topic: Option<String>,
    /// `LIFEBOAT_CHAT_TOPIC`: where alerts for AWS chat go.
    pub chat_topic: Option<String>,
    /// `LIFEBOAT_ALARMS_TOPIC`: where CloudWatch sends its alarms. A health check looks for somebody who gets them.
    pub alarms_topic: Option<String>,
    /// `LIFEBOAT_POLICY`: the parameter that holds the policy; absent: the default one is in force.
    pub policy: Option<String>,
    /// `LIFEBOAT_DRILLS`, `true` when there is a server for drills; only then can a drill be overdue.
    pub drills: bool,
    /// `LIFEBOAT_SESSIONS`, 1 to 32.
    pub sessions: usize,
    /// `AWS_LAMBDA_FUNCTION_MEMORY_SIZE`, which Lambda sets; 0 elsewhere.
    pub memory_mb: u32,
    /// Whether only buckets are known, and nothing from the environment names them.
    pub is_of_buckets: bool,
    /// `LIFEBOAT_PG_BIN`: the folder of `pg_dump` and the other client programs; absent: the search path.
    pub tools_dir: Option<PathBuf>,
}

impl Settings {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// [`RuntimeError::Settings`] names everything that is missing or unreadable, not only the first.
    pub fn from_environment() -> Result<Self, RuntimeError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// Reads variables through `variable`. An empty variable counts as absent: CloudFormation cannot leave one out.
    ///
    /// # Errors
    /// As [`Settings::from_environment`].
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, RuntimeError> {
        let mut reading = Reading { variable, faults: Vec::new() };
        let databases = reading.databases();
        let offsite = reading.site("OFFSITE");
        let primary = reading.site("PRIMARY");
        if primary.is_none() && offsite.is_none() {
            reading.faults.push("`LIFEBOAT_PRIMARY_BUCKET` and `LIFEBOAT_PRIMARY_REGION` are missing".to_owned());
        }
        let settings = Self {
            databases,
            scratch_secret: reading.optional("LIFEBOAT_SCRATCH_SECRET"),
            restore_secret: reading.optional("LIFEBOAT_RESTORE_SECRET"),
            primary,
            offsite,
            bus: reading.optional("LIFEBOAT_BUS"),
            topic: reading.optional("LIFEBOAT_TOPIC"),
            chat_topic: reading.optional("LIFEBOAT_CHAT_TOPIC"),
            alarms_topic: reading.optional("LIFEBOAT_ALARMS_TOPIC"),
            policy: reading.optional("LIFEBOAT_POLICY"),
            scratch_is_a_clone: reading.is_true("LIFEBOAT_SCRATCH_IS_A_CLONE"),
            drills: reading.is_true("LIFEBOAT_DRILLS"),
            sessions: reading.sessions(),
            is_of_buckets: false,
            memory_mb: reading
                .optional("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
                .and_then(|size| size.parse().ok())
                .unwrap_or(0),
            tools_dir: reading.tools_dir(),
        };
        reading.finish(settings)
    }

    /// The settings of somebody who has only buckets, with `LIFEBOAT_SESSIONS` and `LIFEBOAT_PG_BIN` from the process's environment. The
    /// databases are those that the repository has.
    ///
    /// # Errors
    /// [`RuntimeError::Settings`].
    pub fn of_buckets(primary: SiteSettings, offsite: Option<SiteSettings>) -> Result<Self, RuntimeError> {
        let mut reading = Reading { variable: |name: &str| std::env::var(name).ok(), faults: Vec::new() };
        let settings = Self {
            databases: Vec::new(),
            scratch_secret: None,
            restore_secret: None,
            primary: Some(primary),
            offsite,
            bus: None,
            topic: None,
            chat_topic: None,
            alarms_topic: None,
            policy: None,
            scratch_is_a_clone: false,
            drills: false,
            sessions: reading.sessions(),
            is_of_buckets: true,
            memory_mb: 0,
            tools_dir: reading.tools_dir(),
        };
        reading.finish(settings)
    }

    /// The region to work in: the primary's, else the off-site's.
    pub fn region(&self) -> &str {
        self.primary.as_ref().or(self.offsite.as_ref()).map_or("", |site| &site.region)
    }

    /// The settings of a database.
    ///
    /// # Errors
    /// [`RuntimeError::UnknownDatabase`].
    pub fn database(&self, name: &DatabaseName) -> Result<&DatabaseSettings, RuntimeError> {
        self.databases
            .iter()
            .find(|database| database.name == *name)
            .ok_or_else(|| RuntimeError::UnknownDatabase(name.clone()))
    }
}

struct Reading<F> {
    variable: F,
    faults: Vec<String>,
}

impl<F: Fn(&str) -> Option<String>> Reading<F> {
    fn optional(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.trim().is_empty())
    }

    fn is_true(&self, name: &str) -> bool {
        self.optional(name).is_some_and(|value| value == "true")
    }

    fn required(&mut self, name: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.faults.push(format!("`{name}` is missing"));
            String::new()
        })
    }

    fn list(&self, name: &str) -> Vec<String> {
        let text = self.optional(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    fn number<N: std::str::FromStr + PartialOrd + std::fmt::Display + Copy>(
        &mut self,
        name: &str,
        otherwise: N,
        range: std::ops::RangeInclusive<N>,
    ) -> N {
        let Some(text) = self.optional(name) else { return otherwise };
        match text.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                self.faults.push(format!("`{name}` is not a number from {} to {}", range.start(), range.end()));
                otherwise
            }
        }
    }

    fn sessions(&mut self) -> usize {
        self.number("LIFEBOAT_SESSIONS", SESSIONS, 1..=MOST_SESSIONS)
    }

    fn tools_dir(&self) -> Option<PathBuf> {
        self.optional("LIFEBOAT_PG_BIN").map(PathBuf::from)
    }

    fn finish(self, settings: Settings) -> Result<Settings, RuntimeError> {
        if self.faults.is_empty() { Ok(settings) } else { Err(RuntimeError::Settings(self.faults)) }
    }

    fn databases(&mut self) -> Vec<DatabaseSettings> {
        let names = self.list("LIFEBOAT_DATABASES");
        let secrets = self.list("LIFEBOAT_DATABASE_SECRETS");
        if names.is_empty() {
            self.faults.push("`LIFEBOAT_DATABASES` is missing".to_owned());
        }
        if !secrets.is_empty() && secrets.len() != names.len() {
            self.faults.push(format!(
                "`LIFEBOAT_DATABASES` has {} names and `LIFEBOAT_DATABASE_SECRETS` {} secrets",
                names.len(),
                secrets.len()
            ));
        }
        let mut databases: Vec<DatabaseSettings> = Vec::new();
        for (place, name) in names.iter().enumerate() {
            match name.parse::<DatabaseName>() {
                Ok(name) if databases.iter().any(|database| database.name == name) => {
                    self.faults.push(format!("`LIFEBOAT_DATABASES` lists `{name}` twice"));
                }
                Ok(name) => {
                    let secret = secrets.get(place).cloned().unwrap_or_default();
                    databases.push(DatabaseSettings { name, secret });
                }
                Err(error) => self.faults.push(error.to_string()),
            }
        }
        databases
    }

    fn site(&mut self, site: &str) -> Option<SiteSettings> {
        let names = ["BUCKET", "REGION", "KEY", "MAC_KEY"].map(|part| format!("LIFEBOAT_{site}_{part}"));
        let [bucket, region, key, mac_key] = &names;
        if names.iter().all(|name| self.optional(name).is_none()) {
            return None;
        }
        Some(SiteSettings {
            bucket: self.required(bucket),
            region: self.required(region),
            key_arn: self.optional(key),
            mac_key_arn: self.optional(mac_key),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, RuntimeError> {
        let variables: HashMap<&str, &str> = variables.iter().copied().collect();
        Settings::from_variables(|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    const PRIMARY: [(&str, &str); 3] = [
        ("LIFEBOAT_PRIMARY_BUCKET", "bucket"),
        ("LIFEBOAT_PRIMARY_REGION", "eu-central-1"),
        ("LIFEBOAT_PRIMARY_KEY", "arn:key"),
    ];

    #[test]
    fn everything_that_is_missing_is_named_at_once() {
        let story =
            read(&[("LIFEBOAT_OFFSITE_BUCKET", "b"), ("LIFEBOAT_PRIMARY_KEY", "k"), ("LIFEBOAT_SESSIONS", "0")]);
        let story = story.unwrap_err().story();
        assert!(read(&[]).unwrap_err().story().contains("LIFEBOAT_PRIMARY_BUCKET"));
        for name in [
            "LIFEBOAT_DATABASES",
            "LIFEBOAT_PRIMARY_BUCKET",
            "LIFEBOAT_PRIMARY_REGION",
            "LIFEBOAT_OFFSITE_REGION",
            "LIFEBOAT_SESSIONS",
        ] {
            assert!(story.contains(name), "{name} is not in: {story}");
        }
    }

    #[test]
    fn several_databases_find_their_own_secrets_and_empty_variables_count_as_absent() {
        let mut variables = PRIMARY.to_vec();
        variables.extend([
            ("LIFEBOAT_DATABASES", "clinic, billing"),
            ("LIFEBOAT_DATABASE_SECRETS", "arn:1,arn:2"),
            ("LIFEBOAT_OFFSITE_BUCKET", ""),
            ("LIFEBOAT_SCRATCH_SECRET", " "),
            ("LIFEBOAT_SCRATCH_IS_A_CLONE", "false"),
        ]);
        let settings = read(&variables).unwrap();
        assert!(!settings.scratch_is_a_clone);
        assert_eq!(settings.database(&"billing".parse().unwrap()).unwrap().secret, "arn:2");
        assert!(settings.offsite.is_none() && settings.scratch_secret.is_none());
        assert_eq!(settings.region(), "eu-central-1");
        assert!(matches!(settings.database(&"other".parse().unwrap()), Err(RuntimeError::UnknownDatabase(_))));
    }

    #[test]
    fn the_offsite_alone_suffices_when_the_primary_is_gone() {
        let settings = read(&[
            ("LIFEBOAT_DATABASES", "clinic"),
            ("LIFEBOAT_OFFSITE_BUCKET", "bucket"),
            ("LIFEBOAT_OFFSITE_REGION", "eu-west-1"),
        ])
        .unwrap();
        assert!(settings.primary.is_none());
        assert_eq!(settings.region(), "eu-west-1");
    }

    #[test]
    fn names_without_as_many_secrets_and_names_given_twice_are_refused() {
        for (names, secrets) in [("a,b", "arn:1"), ("a,a", "arn:1,arn:2"), ("A", "arn:1"), ("../a", "arn:1")] {
            let mut variables = PRIMARY.to_vec();
            variables.extend([("LIFEBOAT_DATABASES", names), ("LIFEBOAT_DATABASE_SECRETS", secrets)]);
            assert!(matches!(read(&variables), Err(RuntimeError::Settings(_))), "{names} {secrets}");
        }
    }
}
