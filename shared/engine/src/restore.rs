//! Restoring a backup from one site alone into an empty database: definitions, rows, then what needs the rows.

mod definitions;
mod inputs;
mod rows;

use lifeboat_model::{RelationStatus, Stream};
use lifeboat_postgres::{RelationName, RestoreTarget, Section};

use crate::error::EngineError;
use crate::stopwatch::Stopwatch;

pub(crate) use definitions::Definitions;
pub(crate) use inputs::Restore;

/// What was restored, for the proofs.
pub(crate) struct Restored {
    pub(crate) definitions: Definitions,
    /// Roles that the server did not have before.
    pub(crate) created_roles: Vec<String>,
    /// One sentence for each statement that the server refused.
    pub(crate) refused: Vec<String>,
}

impl Restore<'_> {
    /// Restores everything. Rows are loaded between the two sections of the schema, so that no trigger fires and no foreign key is checked
    /// too early. The constraints are created afterwards and prove the rows.
    pub(crate) async fn execute(
        &self,
        target: &RestoreTarget,
        stopwatch: &mut Stopwatch<'_>,
    ) -> Result<Restored, EngineError> {
        stopwatch.begin("schema", None);
        let definitions = self.definitions().await?;
        target.require_extensions(&definitions.inventory).await?;
        target.require_row_access(&definitions.inventory).await?;
        let roles = target.restore_roles(&definitions.roles, self.is_kept).await?;
        // A scratch server rarely has the source's tablespaces. The drill names what is in another one.
        let tablespaces = target.has_tablespaces(&definitions.inventory).await?;
        target.restore_section(self.tools, &definitions.archive, Section::PreData, tablespaces).await?;

        stopwatch.begin("data", Some(self.manifest.chunk_list.entries));
        self.load_rows(target).await?;
        target.set_sequences(&definitions.sequences).await?;
        let mut refused = roles.refused;
        refused.extend(self.load_large_object_properties(target).await?);

        stopwatch.begin("indexes", None);
        target.restore_section(self.tools, &definitions.archive, Section::PostData, tablespaces).await?;
        target.refresh_materialized_views(&self.materialized_views()).await?;
        refused.extend(self.restore_surroundings(target, &definitions, &roles.created).await?);
        Ok(Restored { definitions, created_roles: roles.created, refused })
    }

    /// Gives the large objects their owners, grants and comments. Returns what the server refused.
    async fn load_large_object_properties(&self, target: &RestoreTarget) -> Result<Vec<String>, EngineError> {
        let (reader, mut loader) = (self.repository.reader(self.site)?, target.loader().await?);
        let (mut plaintext, mut refused) = (Vec::new(), Vec::new());
        let mut list = self.repository.chunk_entries(self.manifest, self.site)?;
        while let Some(entry) = list.next().await? {
            if let (Stream::LargeObjectProperties, Some(chunk)) = (entry.stream, &entry.chunk) {
                reader.read(chunk, &mut plaintext).await?;
                refused.extend(loader.load_large_object_properties(&plaintext).await?);
            }
        }
        loader.close().await;
        Ok(refused)
    }

    /// Restores the objects that must come last, and the properties of roles and of the database itself. Returns what the server refused.
    async fn restore_surroundings(
        &self,
        target: &RestoreTarget,
        definitions: &Definitions,
        created_roles: &[String],
    ) -> Result<Vec<String>, EngineError> {
        let mut refused = target.restore_last(self.tools, &definitions.archive, self.is_kept).await?;
        if let Some(globals) = &definitions.globals {
            if self.is_kept {
                refused.extend(target.restore_role_attributes(globals, created_roles).await?);
            }
            refused.extend(target.restore_database_properties(&globals.database, self.is_kept).await?);
        }
        let surroundings = definitions.inventory.surroundings.as_ref();
        if let Some(public) = surroundings.and_then(|surroundings| surroundings.public.as_ref()) {
            target.take_back_create(&definitions.roles, public).await?;
        }
        Ok(refused)
    }

    /// The materialized views that the manifest marks to be rebuilt.
    fn materialized_views(&self) -> Vec<RelationName> {
        let rebuilt = self.manifest.relations.iter().filter(|relation| relation.status == RelationStatus::Rebuilt);
        rebuilt.map(|relation| RelationName::new(&relation.schema, &relation.name)).collect()
    }
}
