//! The address and credentials of a database, read from a secret.

use std::fmt;

use serde::Deserialize;

use crate::error::{PostgresError, PostgresResult as Result};
use crate::session::url;

/// How much TLS proves, in libpq's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS where the server offers it, nothing proved.
    Prefer,
    /// TLS, nothing proved; with a CA certificate given, the same as [`SslMode::VerifyCa`].
    Require,
    /// TLS, the certificate is issued by a trusted CA.
    VerifyCa,
    /// TLS, the certificate is issued by a trusted CA for this host.
    VerifyFull,
}

impl SslMode {
    /// The word libpq uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }

    fn parse(text: &str) -> Result<Self> {
        [Self::Disable, Self::Prefer, Self::Require, Self::VerifyCa, Self::VerifyFull]
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or_else(|| {
                invalid("`sslmode` is not one of `disable`, `prefer`, `require`, `verify-ca`, `verify-full`")
            })
    }
}

/// Everything needed to connect to one database of one server. Neither `Debug` nor `Display` shows the password.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionSettings {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) database: String,
    pub(crate) ssl_mode: SslMode,
    pub(crate) ca_certificate: Option<String>,
    pub(crate) require_channel_binding: bool,
    pub(crate) options: Option<String>,
}

/// The form that RDS and Secrets Manager rotation keep; fields that are not named here are ignored.
#[derive(Deserialize)]
struct SecretDocument {
    engine: Option<String>,
    host: Option<String>,
    port: Option<Port>,
    username: Option<String>,
    password: Option<String>,
    dbname: Option<String>,
    sslmode: Option<String>,
    ca_certificate: Option<String>,
    /// Some secrets wrap a plain URL.
    url: Option<String>,
}

/// Rotation functions write the port as a number or as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Port {
    Number(u16),
    Text(String),
}

const DEFAULT_PORT: u16 = 5432;

impl ConnectionSettings {
    /// Reads the text of a secret: the JSON form of RDS or a plain `postgres://` URL.
    ///
    /// JSON: `host`, `username`, `password`, optional `port`, `dbname`, `sslmode`, `ca_certificate` (PEM). URL: libpq's form with
    /// `sslmode`, `sslrootcert` (a path), `channel_binding`, `options`, `connect_timeout` and `application_name` (the last
    /// two are read and not used). Without `sslmode` it is `verify-full`. Errors name a field and never its value.
    pub fn from_secret(text: &str) -> Result<Self> {
        let text = text.trim();
        let settings = if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            Self::from_url(text)?
        } else if text.starts_with('{') {
            Self::from_document(text)?
        } else {
            return Err(invalid("the secret is neither JSON nor a `postgres://` URL"));
        };
        if settings.host.starts_with('/') {
            return Err(invalid("the host is a Unix socket, which a function cannot reach"));
        }
        Ok(settings)
    }

    fn from_document(text: &str) -> Result<Self> {
        // serde_json's message can quote the text it stumbled over: only its position is passed on.
        let document: SecretDocument = serde_json::from_str(text).map_err(|e| {
            invalid(&format!("the secret is not the expected JSON, at line {} column {}", e.line(), e.column()))
        })?;
        if let Some(url) = document.url.as_deref().filter(|_| document.host.is_none()) {
            let mut settings = Self::from_url(url)?;
            if document.ca_certificate.is_some() {
                settings.ca_certificate = document.ca_certificate;
            }
            return Ok(settings);
        }
        if let Some(engine) = &document.engine
            && !["postgres", "postgresql", "aurora-postgresql"].contains(&engine.as_str())
        {
            return Err(invalid("`engine` is not `postgres`"));
        }
        let user = document.username.filter(|u| !u.is_empty()).ok_or_else(|| invalid("`username` is missing"))?;
        Ok(Self {
            host: document.host.filter(|h| !h.is_empty()).ok_or_else(|| invalid("`host` is missing"))?,
            port: match document.port {
                None => DEFAULT_PORT,
                Some(Port::Number(port)) => port,
                Some(Port::Text(port)) => parse_port(&port)?,
            },
            password: document.password.unwrap_or_default(),
            database: document.dbname.filter(|d| !d.is_empty()).unwrap_or_else(|| user.clone()),
            user,
            ssl_mode: document.sslmode.as_deref().map_or(Ok(SslMode::VerifyFull), SslMode::parse)?,
            ca_certificate: document.ca_certificate,
            require_channel_binding: false,
            options: None,
        })
    }

    fn from_url(text: &str) -> Result<Self> {
        let url = url::parse(text).map_err(|problem| invalid(&problem))?;
        let user = url.user.filter(|u| !u.is_empty()).ok_or_else(|| invalid("the URL names no user"))?;
        let mut settings = Self {
            host: url.host.filter(|h| !h.is_empty()).ok_or_else(|| invalid("the URL names no host"))?,
            port: url.port.as_deref().map_or(Ok(DEFAULT_PORT), parse_port)?,
            password: url.password.unwrap_or_default(),
            database: url.database.filter(|d| !d.is_empty()).unwrap_or_else(|| user.clone()),
            user,
            ssl_mode: SslMode::VerifyFull,
            ca_certificate: None,
            require_channel_binding: false,
            options: None,
        };
        for (name, value) in url.parameters {
            settings.apply_parameter(&name, value)?;
        }
        Ok(settings)
    }

    fn apply_parameter(&mut self, name: &str, value: String) -> Result<()> {
        match name {
            "sslmode" => self.ssl_mode = SslMode::parse(&value)?,
            "sslrootcert" if value == "system" => {}
            "sslrootcert" => {
                let pem = std::fs::read_to_string(&value)
                    .map_err(|source| PostgresError::File { path: value.clone(), source })?;
                self.ca_certificate = Some(pem);
            }
            "channel_binding" => self.require_channel_binding = value == "require",
            "options" => self.options = Some(value),
            "host" => self.host = value,
            "port" => self.port = parse_port(&value)?,
            "user" => self.user = value,
            "password" => self.password = value,
            "dbname" => self.database = value,
            "connect_timeout" | "application_name" => {}
            other => return Err(invalid(&format!("the URL's parameter `{other}` is not supported"))),
        }
        Ok(())
    }

    /// The same server, role and trust, another database.
    pub fn with_database(&self, database: &str) -> Self {
        Self { database: database.to_owned(), ..self.clone() }
    }

    /// The database's name on the server.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The role that connects.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// `host:port/database`, for messages.
    pub fn endpoint(&self) -> String {
        format!("{}/{}", self.address(), self.database)
    }

    /// `host:port`, for messages and records.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for ConnectionSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionSettings")
            .field("endpoint", &self.endpoint())
            .field("user", &self.user)
            .field("ssl_mode", &self.ssl_mode)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ConnectionSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.user, self.endpoint())
    }
}

fn parse_port(text: &str) -> Result<u16> {
    text.parse().ok().filter(|port| *port != 0).ok_or_else(|| invalid("`port` is not a port number"))
}

pub(crate) fn invalid(problem: &str) -> PostgresError {
    PostgresError::InvalidSettings { problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rds_secret_and_a_url_of_the_same_database_give_the_same_settings() {
        let json = r#"{"engine":"postgres","host":"db.example.com","port":"5433","username":"u@x","password":"p/ä%",
            "dbname":"clinic","dbInstanceIdentifier":"x"}"#;
        let url = "postgresql://u%40x:p%2F%C3%A4%25@db.example.com:5433/clinic";
        let settings = ConnectionSettings::from_secret(json).unwrap();
        assert_eq!(settings, ConnectionSettings::from_secret(url).unwrap());
        assert_eq!(settings.ssl_mode, SslMode::VerifyFull);
        assert_eq!(settings.to_string(), "u@x@db.example.com:5433/clinic");
    }

    #[test]
    fn an_unknown_sslmode_or_parameter_is_refused_instead_of_connecting_with_less() {
        for url in
            ["postgres://u:p@h/d?sslmode=verify_full", "postgres://u@h/d?sslmode=allow", "postgres://u@h/d?tls=1"]
        {
            assert!(
                matches!(ConnectionSettings::from_secret(url), Err(PostgresError::InvalidSettings { .. })),
                "{url}"
            );
        }
    }

    #[test]
    fn a_unix_socket_is_refused_in_every_form() {
        for secret in [
            "postgres://u@%2Frun%2Fpostgresql/d",
            "postgres://u@h/d?host=/run/postgresql",
            r#"{"host":"/run/postgresql","username":"u"}"#,
        ] {
            let error = ConnectionSettings::from_secret(secret).unwrap_err();
            assert!(error.to_string().contains("Unix socket"), "{secret}: {error}");
        }
    }

    #[test]
    fn no_error_and_no_debug_output_shows_the_password() {
        for secret in [
            "postgres://u:hunter2@h:notaport/d",
            "postgres://u:hunter2@h/d?sslmode=hunter2",
            "postgres://u:hunter2%zz@h/d",
            r#"{"host":"h","username":"u","password":"hunter2","port":"hunter2"}"#,
            r#"{"host":"h","username":"u","password":"hunter2""#,
            "hunter2",
        ] {
            let error = ConnectionSettings::from_secret(secret).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        let settings = ConnectionSettings::from_secret("postgres://u:hunter2@h/d").unwrap();
        assert!(!format!("{settings} {settings:?}").contains("hunter2"));
    }
}
