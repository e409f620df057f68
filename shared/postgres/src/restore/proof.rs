//! Reading back: the digests of a restored database, computed as for its source.

use std::collections::HashMap;

use lifeboat_model::{CopyFormat, Globals, Inventory, RowHasher};

use crate::error::PostgresResult as Result;
use crate::restore::table_target::TableTarget;
use crate::schema::globals;
use crate::schema::inventory;
use crate::session::Session;
use crate::session::identifier::RelationName;
use crate::session::settings::ConnectionSettings;
use crate::snapshot::large_object;
use crate::snapshot::relation::copy_to_stdout;
use crate::snapshot::rows::{RowStream, RowTotals};
use crate::snapshot::sequence::{self, SequenceValues};

/// A session that reads a restored database back.
#[derive(Debug)]
pub struct Prover {
    session: Session,
    /// Conditions of extensions' configuration tables, as the backup applied them.
    filters: HashMap<RelationName, String>,
}

impl Prover {
    pub(crate) async fn connect(settings: &ConnectionSettings, application_name: &str) -> Result<Self> {
        const FILTERS: &str = "
            SELECT n.nspname::text, c.relname::text, e.extcondition[pg_catalog.array_position(e.extconfig, c.oid)]
            FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_class c ON c.oid = ANY (e.extconfig)
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace";
        let session = Session::connect(settings, application_name).await?;
        let rows = session.rows("reading extensions", FILTERS, &[]).await?;
        let filters = rows
            .iter()
            .filter_map(|row| {
                let name = RelationName::new(row.get::<_, String>(0), row.get::<_, String>(1));
                Some((name, row.get::<_, Option<String>>(2)?))
            })
            .collect();
        Ok(Self { session, filters })
    }

    /// Count, digest and size of a table's rows.
    pub async fn digest_table(&mut self, table: &TableTarget, hasher: &RowHasher) -> Result<RowTotals> {
        let condition = self.filters.get(&table.name).map_or("", String::as_str);
        let query = copy_to_stdout(&table.name, &table.columns, condition, table.format);
        let step = format!("reading `{}` back", table.name);
        self.session.expect_bytes_as_stored().await?;
        RowStream::start(&self.session, &query, table.columns.len(), table.format, step).await?.totals(hasher).await
    }

    /// Count, digest and size of the pages of all large objects.
    pub async fn digest_large_objects(&mut self, hasher: &RowHasher) -> Result<RowTotals> {
        let step = "reading large objects back".to_owned();
        RowStream::start(&self.session, large_object::COPY_PAGES, 3, CopyFormat::Binary, step)
            .await?
            .totals(hasher)
            .await
    }

    /// Count, digest and size of the large objects' owners, grants and comments.
    pub async fn digest_large_object_properties(&mut self, hasher: &RowHasher) -> Result<RowTotals> {
        let step = "reading the owners of large objects back".to_owned();
        self.session.expect_bytes_as_stored().await?;
        RowStream::start(&self.session, large_object::COPY_PROPERTIES, 4, CopyFormat::Binary, step)
            .await?
            .totals(hasher)
            .await
    }

    /// The generated columns of these tables, as `schema.table.column`, in order. No backup has their values.
    pub async fn generated_columns(&self, tables: &[RelationName]) -> Result<Vec<String>> {
        const SQL: &str = "
            SELECT pg_catalog.concat_ws('.', n.nspname, c.relname, a.attname)
            FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS one (schema, name)
            JOIN pg_catalog.pg_namespace n ON n.nspname = one.schema
            JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = one.name
            JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attgenerated <> '' AND NOT a.attisdropped
            ORDER BY n.nspname, c.relname, a.attnum";
        let (schemas, names): (Vec<&str>, Vec<&str>) =
            tables.iter().map(|table| (table.schema.as_str(), table.name.as_str())).unzip();
        let rows = self.session.rows("looking for generated columns", SQL, &[&schemas, &names]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// The topmost table of each of these that is a partition.
    pub async fn partition_roots(&self, tables: &[RelationName]) -> Result<HashMap<RelationName, RelationName>> {
        const SQL: &str = "
            SELECT one.schema, one.name, rn.nspname::text, r.relname::text
            FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS one (schema, name)
            JOIN pg_catalog.pg_namespace n ON n.nspname = one.schema
            JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = one.name AND c.relispartition
            JOIN pg_catalog.pg_class r ON r.oid = pg_catalog.pg_partition_root(c.oid)
            JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace";
        let (schemas, names): (Vec<&str>, Vec<&str>) =
            tables.iter().map(|table| (table.schema.as_str(), table.name.as_str())).unzip();
        let rows = self.session.rows("looking for partitions", SQL, &[&schemas, &names]).await?;
        let name = |row: &tokio_postgres::Row, at: usize| {
            RelationName::new(row.get::<_, String>(at), row.get::<_, String>(at + 1))
        };
        Ok(rows.iter().map(|row| (name(row, 0), name(row, 2))).collect())
    }

    /// How many large objects there are.
    pub async fn large_objects(&self) -> Result<large_object::LargeObjectCount> {
        large_object::count(&self.session).await
    }

    /// The server's major version.
    pub async fn major(&self) -> Result<u32> {
        const SQL: &str = "SELECT pg_catalog.current_setting('server_version_num')::int4 / 10000";
        let major: i32 = self.session.row("reading the version", SQL, &[]).await?.get(0);
        Ok(major.unsigned_abs())
    }

    /// The definitions in the database.
    pub async fn inventory(&self) -> Result<Inventory> {
        inventory::read(&self.session, &[]).await
    }

    /// The database's own properties and the server's roles.
    pub async fn globals(&self) -> Result<Globals> {
        globals::read(&self.session).await
    }

    /// The sequences' values.
    pub async fn sequences(&self) -> Result<SequenceValues> {
        self.session.expect_utf8().await?;
        let sequences = sequence::list(&self.session).await?;
        sequence::read(&self.session, &sequences).await
    }

    /// Ends the session and waits until the server knows.
    pub async fn close(self) {
        self.session.close().await;
    }
}
