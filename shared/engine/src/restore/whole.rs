//! Restoring a backup from one site alone into an empty database: definitions, rows, then what needs the rows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use lifeboat_model::{RelationStatus, SetAside, Stream};
use lifeboat_postgres::{RelationName, RestoreTarget, RestoredRoles, search_paths};

use super::definitions::Definitions;
use super::inputs::Restore;
use super::proof::{Proofs, prove};
use super::restored::Restored;
use crate::error::EngineError;
use crate::stopwatch::Stopwatch;

/// Objects set aside that are named. A role that lacks a right may be refused the same thing for each object of a database.
const MOST_NAMED: usize = 1000;

impl Restore<'_> {
    /// Restores everything that can be restored. What the server refuses is set aside, and everything else goes on.
    ///
    /// Rows are loaded between the two sections of the schema, so that no trigger fires and no foreign key is checked too early. The constraints
    /// are created afterwards and prove the rows. Rows that are refused wait until the objects exist that they may name.
    ///
    /// A target with marks makes it a restore that can be killed anywhere and continued: this is called again, and goes the same way. What is done
    /// is skipped.
    async fn execute(&self, target: &RestoreTarget, stopwatch: &mut Stopwatch<'_>) -> Result<Restored, EngineError> {
        stopwatch.begin("schema", None);
        let definitions = self.definitions().await?;
        let roles = target.restore_roles(&definitions.roles, self.is_kept).await?;
        let roles = roles.keeping(target.settings().user(), definitions.globals.as_ref());
        let (names, public) = (definitions.roles.clone(), definitions.public());
        let restored = Box::pin(self.restore_as_member(target, definitions, roles.clone(), stopwatch)).await;
        if restored.is_err() {
            if let Err(error) = target.take_back_create(&names, &public).await {
                tracing::warn!(%error, "rights on the schema public could not be taken back");
            }
            self.leave(target, &roles).await;
        }
        restored
    }

    /// Restores everything, compares it with the backup, and ends the memberships that the restore took.
    pub(crate) async fn execute_and_prove(
        &self,
        target: &RestoreTarget,
        stopwatch: &mut Stopwatch<'_>,
    ) -> Result<Proofs, EngineError> {
        let restored = self.execute(target, stopwatch).await?;
        stopwatch.begin("prove", Some(self.manifest.totals.relations));
        let roles = restored.roles.clone();
        let proofs = prove(self, target, restored).await;
        // Only now: a member reads what belongs to these roles.
        let stays = self.leave(target, &roles).await;
        proofs.map(|mut proofs| {
            proofs.notes.extend(stays);
            proofs
        })
    }

    /// Ends the memberships that the restore took. Returns one sentence for each that stays.
    ///
    /// Drills on one scratch server share its roles, and another one may need them. They stay until the last drill drops the roles.
    async fn leave(&self, target: &RestoreTarget, roles: &RestoredRoles) -> Vec<String> {
        if !self.is_kept {
            return Vec::new();
        }
        target.leave_roles(roles).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "memberships of the restoring role could not be looked at");
            let why = lifeboat_model::story(&error);
            vec![format!("memberships that the restoring role took could not be looked at: {why}")]
        })
    }

    async fn restore_as_member(
        &self,
        target: &RestoreTarget,
        definitions: Definitions,
        roles: RestoredRoles,
        stopwatch: &mut Stopwatch<'_>,
    ) -> Result<Restored, EngineError> {
        let mut refused = roles.refused.clone();
        // A scratch server rarely has the source's tablespaces. The drill names what is in another one.
        let tablespaces = target.has_tablespaces(&definitions.inventory).await?;
        let search_paths = search_paths(definitions.globals.as_ref());
        let beginnings = target.drop_what_the_source_lacks(&definitions.inventory);
        refused.extend(target.once("beginnings", beginnings).await?);
        let archive =
            target.archive_restore(self.tools, &definitions.archive, tablespaces, search_paths.clone()).await?;
        let mut archive = archive.with_versions(definitions.extension_versions());
        archive.restore_pre_data().await?;

        stopwatch.begin("data", Some(self.manifest.chunk_list.entries));
        let obstacles = Arc::new(target.obstacles(search_paths.clone())?);
        let deferred = target.once("rows", self.load_rows(target, &obstacles)).await?;
        let mut set_aside = target.once("sequences", target.set_sequences(&definitions.sequences)).await?;
        let properties = self.load_large_object_properties(target);
        set_aside.extend(target.once("large object properties", properties).await?);

        stopwatch.begin("indexes", None);
        archive.restore_post_data(&deferred.tables(self.manifest), &self.table_sizes()).await?;
        let rows = self.load_deferred(target, &obstacles, deferred).await?;
        archive.restore_post_data(&HashSet::new(), &self.table_sizes()).await?;
        set_aside.extend(target.once("refused rows", target.load_refused_rows(rows)).await?);
        set_aside.extend(target.once("constraints", target.reinstate_constraints(&obstacles)).await?);
        archive.restore_grants().await?;
        let grants = target.grant_on_schemas(&definitions.inventory);
        refused.extend(target.once("grants on schemas", grants).await?);
        let views = self.materialized_views();
        let refreshed = target.refresh_materialized_views(&views, &search_paths);
        set_aside.extend(target.once("materialized views", refreshed).await?);
        archive.restore_last(self.is_kept).await?;
        set_aside.extend(archive.set_aside().await?);
        let surroundings = self.restore_surroundings(target, &definitions, &roles.created);
        refused.extend(target.once("surroundings", surroundings).await?);
        target.take_back_create(&definitions.roles, &definitions.public()).await?;
        let (set_aside, routed) = (bounded(set_aside), obstacles.routed());
        Ok(Restored { definitions, roles, refused, set_aside, routed })
    }

    /// Gives the large objects their owners, grants and comments. Returns what the server refused.
    async fn load_large_object_properties(&self, target: &RestoreTarget) -> Result<Vec<SetAside>, EngineError> {
        let (reader, mut loader) = (self.reader(), target.loader().await?);
        let (mut plaintext, mut refused) = (Vec::new(), Vec::new());
        let mut list = self.chunk_entries();
        while let Some(entry) = list.next().await? {
            if let (Stream::LargeObjectProperties, Some(chunk)) = (entry.stream, &entry.chunk) {
                reader.read(chunk, &mut plaintext).await?;
                refused.extend(loader.load_large_object_properties(&plaintext).await?);
            }
        }
        loader.close().await;
        Ok(refused)
    }

    /// Restores the properties of roles and of the database itself. Returns what the server refused.
    async fn restore_surroundings(
        &self,
        target: &RestoreTarget,
        definitions: &Definitions,
        created_roles: &[String],
    ) -> Result<Vec<String>, EngineError> {
        let mut refused = Vec::new();
        if let Some(globals) = &definitions.globals {
            if self.is_kept {
                refused.extend(target.restore_role_attributes(globals, created_roles).await?);
            }
            refused.extend(target.restore_database_properties(&globals.database, self.is_kept).await?);
        }
        Ok(refused)
    }

    /// The materialized views that the manifest marks to be rebuilt.
    fn materialized_views(&self) -> Vec<RelationName> {
        let rebuilt = self.manifest.relations.iter().filter(|relation| relation.status == RelationStatus::Rebuilt);
        rebuilt.map(|relation| RelationName::new(&relation.schema, &relation.name)).collect()
    }

    fn table_sizes(&self) -> HashMap<RelationName, u64> {
        let tables = self.manifest.tables();
        tables.map(|(relation, data)| (RelationName::new(&relation.schema, &relation.name), data.raw_bytes)).collect()
    }
}

/// Drops the marks of a restore that can be continued. Call it last, when its result is on record: until then, the restore can be continued, and
/// is proved again. Returns a sentence if the server refuses to drop them. They are in nobody's way.
pub(crate) async fn finish(target: &RestoreTarget) -> Result<Option<String>, EngineError> {
    let Some(marks) = target.marks() else { return Ok(None) };
    match marks.finish().await {
        Ok(()) => Ok(None),
        Err(error) if error.is_a_refusal() => {
            let why = lifeboat_model::story(&error);
            Ok(Some(format!(
                "the schema `lifeboat_restore` could not be dropped, and nothing needs it any longer: {why}"
            )))
        }
        Err(error) => Err(error.into()),
    }
}

/// Keeps what is missing first, and counts what is beyond the limit.
fn bounded(mut set_aside: Vec<SetAside>) -> Vec<SetAside> {
    set_aside.sort_by_key(|one| one.kind != "rows");
    let more = set_aside.len().saturating_sub(MOST_NAMED);
    if more > 0 {
        set_aside.truncate(MOST_NAMED);
        set_aside.push(SetAside {
            kind: "objects".to_owned(),
            object: format!("and {more} more"),
            reason: "they are not named one by one".to_owned(),
            what_to_do: "remove the causes of the others first, which are often the same, and restore again".to_owned(),
            definition: None,
        });
    }
    set_aside
}
