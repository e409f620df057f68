//! The server and the moment that a snapshot shows.

use jiff::Timestamp;
use lifeboat_model::Source;
use serde::Deserialize;

use crate::error::{PostgresError, PostgresResult as Result};
use crate::session::Session;
use crate::session::system::started_at;

/// The columns of `pg_database` that not every version has, or has under this name.
#[derive(Deserialize)]
struct Locale {
    /// From 15 on.
    datlocprovider: Option<String>,
    /// From 17 on, of ICU and of the builtin provider.
    datlocale: Option<String>,
    /// 15 and 16.
    daticulocale: Option<String>,
    /// From 16 on.
    daticurules: Option<String>,
    /// From 15 on.
    datcollversion: Option<String>,
}

fn provider_in_words(datlocprovider: String) -> String {
    match datlocprovider.as_str() {
        "c" => "libc".to_owned(),
        "i" => "icu".to_owned(),
        "b" => "builtin".to_owned(),
        _ => datlocprovider,
    }
}

pub(super) async fn read(leader: &Session) -> Result<Source> {
    const STEP: &str = "describing the server";
    const SQL: &str = "
        SELECT d.datname::text, pg_catalog.current_setting('server_version_num'), pg_catalog.pg_encoding_to_char(d.encoding)::text,
               d.datcollate::text, d.datctype::text, pg_catalog.pg_current_snapshot()::text,
               (EXTRACT(epoch FROM pg_catalog.now()) * 1000000)::int8, pg_catalog.to_jsonb(d)::text
        FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()";
    let row = leader.row(STEP, SQL, &[]).await?;
    let unexpected = |fact: &str| PostgresError::UnexpectedAnswer { step: STEP.to_owned(), fact: fact.to_owned() };
    let version: String = row.get(1);
    let Locale { datlocprovider, datlocale, daticulocale, daticurules, datcollversion } =
        serde_json::from_str(row.get(7)).map_err(|_| unexpected("the database's locale"))?;
    Ok(Source {
        datname: row.get(0),
        server_version_num: version.parse().map_err(|_| unexpected("`server_version_num` is not a number"))?,
        system_identifier: optional(leader, "SELECT system_identifier::text FROM pg_catalog.pg_control_system()")
            .await?,
        server_started_at: Some(started_at(leader).await?),
        timeline: optional(leader, "SELECT timeline_id::text FROM pg_catalog.pg_control_checkpoint()")
            .await?
            .and_then(|timeline| timeline.parse().ok()),
        lsn: optional(
            leader,
            "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
                         ELSE pg_catalog.pg_current_wal_lsn() END::text",
        )
        .await?,
        encoding: row.get(2),
        collate: row.get(3),
        ctype: row.get(4),
        locale_provider: datlocprovider.map(provider_in_words),
        provider_locale: datlocale.or(daticulocale),
        icu_rules: daticurules,
        collation_version: datcollversion,
        snapshot: row.get(5),
        snapshot_at: Timestamp::from_microsecond(row.get(6)).map_err(|_| unexpected("the server's clock"))?,
    })
}

/// One text that a plain role or a managed server may refuse to give.
async fn optional(leader: &Session, sql: &str) -> Result<Option<String>> {
    const STEP: &str = "describing the server";
    leader.run(STEP, "SAVEPOINT lifeboat_optional").await?;
    match leader.row(STEP, sql, &[]).await {
        Ok(row) => {
            leader.run(STEP, "RELEASE SAVEPOINT lifeboat_optional").await?;
            Ok(row.get(0))
        }
        Err(PostgresError::Query { .. }) => {
            leader.run(STEP, "ROLLBACK TO SAVEPOINT lifeboat_optional; RELEASE SAVEPOINT lifeboat_optional").await?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
