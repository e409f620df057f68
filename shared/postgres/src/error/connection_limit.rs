//! The limits on connections, each of which somebody else can raise.

use std::fmt;

use crate::session::identifier::quote_identifier;

/// What has a limit on connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionLimit {
    /// The role of this name.
    Role(String),
    /// The database of this name.
    Database(String),
    /// The server, or a pooler in front of it.
    Server,
}

/// The server's messages about the limits, as client programs pass them on.
const MESSAGES: [(&str, Kind); 4] = [
    ("too many connections for role ", ConnectionLimit::role),
    ("too many connections for database ", ConnectionLimit::database),
    ("sorry, too many clients already", ConnectionLimit::server),
    ("remaining connection slots are reserved for ", ConnectionLimit::server),
];

type Kind = fn(&str, &str) -> ConnectionLimit;

impl ConnectionLimit {
    fn role(user: &str, _: &str) -> Self {
        Self::Role(user.to_owned())
    }

    fn database(_: &str, database: &str) -> Self {
        Self::Database(database.to_owned())
    }

    fn server(_: &str, _: &str) -> Self {
        Self::Server
    }

    /// The limit that this routine of the server checks when `user` connects to `database`. A message can be in any language.
    ///
    /// Source: `InitializeSessionUserId()` in miscinit.c and `CheckMyDatabase()` in postinit.c.
    pub(crate) fn checked_by(routine: &str, user: &str, database: &str) -> Self {
        match routine {
            "InitializeSessionUserId" => Self::role(user, database),
            "CheckMyDatabase" => Self::database(user, database),
            _ => Self::Server,
        }
    }

    /// The limit that a client program met as `user` with `database`, if it met one.
    pub(crate) fn named_in(stderr: &str, user: &str, database: &str) -> Option<Self> {
        MESSAGES.iter().find(|(message, _)| stderr.contains(message)).map(|(_, kind)| kind(user, database))
    }

    pub(crate) fn hint(&self) -> String {
        let raise = match self {
            Self::Role(name) => format!("`ALTER ROLE {} CONNECTION LIMIT`", quote_identifier(name)),
            Self::Database(name) => format!("`ALTER DATABASE {} CONNECTION LIMIT`", quote_identifier(name)),
            Self::Server => "`max_connections`".to_owned(),
        };
        format!("end sessions that are not needed, or raise the limit ({raise}); the next run tries again")
    }
}

impl fmt::Display for ConnectionLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(name) => write!(f, "role `{name}`"),
            Self::Database(name) => write!(f, "database `{name}`"),
            Self::Server => f.write_str("the server"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_known_by_the_routine_that_checks_it_and_by_its_message() {
        let (role, database) = (ConnectionLimit::Role("u".into()), ConnectionLimit::Database("d".into()));
        assert_eq!(ConnectionLimit::checked_by("InitializeSessionUserId", "u", "d"), role);
        assert_eq!(ConnectionLimit::checked_by("CheckMyDatabase", "u", "d"), database);
        assert_eq!(ConnectionLimit::checked_by("InitProcess", "u", "d"), ConnectionLimit::Server);
        let named = |message: &str| ConnectionLimit::named_in(&format!("error: FATAL: {message}"), "u", "d");
        assert_eq!(named("too many connections for role \"u\""), Some(role));
        assert_eq!(named("too many connections for database \"d\""), Some(database));
        assert_eq!(named("sorry, too many clients already"), Some(ConnectionLimit::Server));
        assert_eq!(named("database \"d\" does not exist"), None);
    }
}
