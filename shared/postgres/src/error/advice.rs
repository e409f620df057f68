//! The advice of each error: whether to retry, and what a person can do.

use std::borrow::Cow;

use lifeboat_model::{Advice, Response};

use crate::error::PostgresError;

/// Message of a client program when the work folder's disk is full.
const DISK_FULL: &str = "No space left on device";

/// Message of a server whose lock table is full.
const LOCK_TABLE_FULL: &str = "out of shared memory";

/// Part of rustls's message about a certificate for another host.
const WRONG_NAME: &str = "not valid for name";

type Hint = Cow<'static, str>;

impl PostgresError {
    /// `Retry` means that a later run may succeed although nothing was changed.
    pub fn advice(&self) -> Advice {
        if let Self::Query { source, .. } = self {
            return source.advice();
        }
        Advice { response: self.response(), hint: self.hint() }
    }

    fn response(&self) -> Response {
        match self {
            Self::Unreachable { .. }
            | Self::ConnectTimeout { .. }
            | Self::ConnectionLimitReached { .. }
            | Self::LockTimeout { .. }
            | Self::GaveWay { .. }
            | Self::SnapshotTooOld { .. }
            | Self::RewrittenDuringSnapshot { .. }
            | Self::SnapshotLost
            | Self::RestoreUnderWay { .. }
            | Self::DoneBefore { .. }
            | Self::ServerClosed { .. } => Response::Retry,
            _ => Response::Fail,
        }
    }

    fn hint(&self) -> Hint {
        match self {
            Self::InvalidSettings { .. } => {
                "put a `postgres://` URL or the JSON document of an RDS secret into the connection secret".into()
            }
            Self::Unreachable { .. } | Self::ConnectTimeout { .. } => {
                "check host and port, the function's subnets and security groups, and that the server is running".into()
            }
            Self::ConnectionLimitReached { of, .. } => of.hint().into(),
            Self::AuthenticationFailed { .. } => {
                "check user, password and database in the connection secret, and the server's `pg_hba.conf`".into()
            }
            Self::TlsFailed { source, .. } if source.to_string().contains(WRONG_NAME) => {
                "connect by a host name that the certificate lists, or set the weaker `sslmode=verify-ca` in the secret".into()
            }
            Self::TlsFailed { .. } => {
                "put the server's CA certificate into the secret as `ca_certificate`, or set a weaker `sslmode` there".into()
            }
            Self::PoolerInTransactionMode { .. } => {
                "use the direct connection or the pooler's session mode (Supabase: port 5432 instead of 6543)".into()
            }
            Self::ServerClosed { .. } | Self::SnapshotLost => {
                "look in the server's log for a restart, a failover or a terminated session; the next run tries again".into()
            }
            Self::UnexpectedAnswer { .. } => {
                "run `lifeboat doctor` to check the server and the client tools; report this message if it finds nothing".into()
            }
            Self::File { path, .. } => {
                format!("check with `ls -l {path}` and `df -h` that the file is accessible and its disk has space").into()
            }
            Self::TooFewConnections { .. } => {
                "raise the limit (`max_connections`, `ALTER ROLE` or `ALTER DATABASE … CONNECTION LIMIT`), or lower `backup.per_server` in the policy"
                    .into()
            }
            // `Query` advises what its server error does.
            Self::Query { source, .. } => source.advice().hint,
            Self::UnsupportedVersion { .. }
            | Self::ToolsTooOld { .. }
            | Self::ToolMissing { .. }
            | Self::ToolFailed { .. } => self.hint_about_programs(),
            Self::ExtensionsMissing { .. }
            | Self::RowSecurityForced { .. }
            | Self::UnfinishedRestore { .. }
            | Self::UnfinishedByAnotherVersion { .. }
            | Self::RestoreUnderWay { .. }
            | Self::DoneBefore { .. }
            | Self::NotEmpty { .. } => self.hint_about_restoring(),
            _ => self.hint_about_reading(),
        }
    }

    fn hint_about_programs(&self) -> Hint {
        match self {
            Self::ToolsTooOld { .. } => "install client tools of the server's major version or a newer one".into(),
            Self::ToolMissing { .. } => {
                "install the PostgreSQL client programs (Debian: `apt install postgresql-client`)".into()
            }
            Self::ToolFailed { stderr, .. } if stderr.contains(DISK_FULL) => {
                "the work folder is full: raise the function's ephemeral storage".into()
            }
            Self::ToolFailed { stderr, .. } if stderr.contains(LOCK_TABLE_FULL) => {
                "raise `max_locks_per_transaction` on the server: a backup and its `pg_dump` each lock every table".into()
            }
            Self::ToolFailed { tool, .. } => format!(
                "look in the server's log for the whole message, such as a missing privilege; if it has none, run `{tool} --version`"
            )
            .into(),
            _ => "use a server of PostgreSQL 14 to 18".into(),
        }
    }

    fn hint_about_restoring(&self) -> Hint {
        match self {
            Self::ExtensionsMissing { .. } => {
                "install their packages on that server, or name one that has them, ideally at the source's provider"
                    .into()
            }
            Self::RowSecurityForced { .. } => {
                "grant it BYPASSRLS (`ALTER ROLE … BYPASSRLS`), or restore with a superuser".into()
            }
            Self::UnfinishedRestore { database, backup_id } => format!(
                "restore backup `{backup_id}` again to finish it, or drop database `{database}` and create it anew"
            )
            .into(),
            Self::UnfinishedByAnotherVersion { database, .. } => format!(
                "go on with that version and those client programs, or drop database `{database}` and restore again"
            )
            .into(),
            Self::RestoreUnderWay { database } => {
                format!("wait until the other restore into `{database}` has ended; it is in `pg_stat_activity`").into()
            }
            Self::DoneBefore { .. } => "restore the same backup again: the restore continues".into(),
            _ => "name an empty database, or drop what is in this one".into(),
        }
    }

    fn hint_about_reading(&self) -> Hint {
        match self {
            Self::LockTimeout { relation } => format!(
                "a migration or maintenance job holds `{relation}`: find it in `pg_stat_activity`; the next run tries again"
            )
            .into(),
            Self::RewrittenDuringSnapshot { relation, .. } => {
                format!("schedule backups for hours in which no job alters, drops or rewrites `{relation}`").into()
            }
            Self::GaveWay { relation } => format!(
                "nothing is lost: the next run reuses what is stored; alter `{relation}` outside the hours of backups; if a job truncates it often, \
                 list it in `backup.leave_out` of the policy, or let the job delete its rows instead"
            )
            .into(),
            Self::SnapshotTooOld { .. } => {
                "the next run reuses what is stored; allow more sessions or more memory if every run ends like this".into()
            }
            Self::LeftOutIsReferenced { .. } => {
                "list both or neither in `backup.leave_out` of the policy: a foreign key cannot be restored without its rows".into()
            }
            Self::DefinitionIsNeeded { relation, .. } => {
                format!("grant the backup role SELECT on `{relation}`; its rows stay left out").into()
            }
            Self::LargeObjectsUnreadable { .. } => {
                "grant the backup role the roles that own them, or `SELECT ON LARGE OBJECT` for each".into()
            }
            _ => "grant `pg_read_all_data` and BYPASSRLS to the backup role, or leave out its rows by policy (`backup.leave_out`)".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::server_error::ServerError;

    #[test]
    fn a_lock_and_a_full_server_are_retried_later_and_a_missing_privilege_is_not() {
        let query = |sqlstate| PostgresError::Query { step: "x".into(), source: ServerError::new(sqlstate, None) };
        assert_eq!(query("55P03").advice().response, Response::Retry);
        assert_eq!(query("53300").advice().response, Response::Retry);
        assert_eq!(query("42501").advice().response, Response::Fail);
        assert!(query("42501").advice().hint.contains("privilege"));
    }
}
