//! Bringing a backup back: definitions, rows, then what stands on the rows.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use lifeboat_model::{ChunkEntry, Globals, Inventory, LONG_CHUNK_BYTES, Manifest, RelationStatus, Site, Stream};
use lifeboat_postgres::{ClientTools, Loader, RelationName, RestoreTarget, Section, TableTarget};
use lifeboat_vault::{ChunkEntries, Reader, Repository};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use crate::error::EngineError;
use crate::lifeboat::Lifeboat;
use crate::progress::Progress;

/// Chunk list entries that wait for a loader, for each loader: enough that none waits for the list.
const WAITING_ENTRIES: usize = 4;

/// What is restored and with what.
pub(super) struct Way<'a> {
    pub(super) lifeboat: &'a Lifeboat,
    pub(super) repository: &'a Repository,
    pub(super) site: Site,
    pub(super) manifest: &'a Manifest,
    pub(super) tools: &'a ClientTools,
    /// Whether the database is somebody's own afterwards, not one that goes with the drill: only such a one takes over what
    /// reaches beyond it (attributes of roles, subscriptions), its owner and its comment.
    pub(super) is_kept: bool,
}

/// The streams that are not rows, fetched and opened.
pub(super) struct Definitions {
    /// Holds `archive`.
    _folder: tempfile::TempDir,
    archive: PathBuf,
    pub(super) roles: String,
    pub(super) sequences: String,
    pub(super) inventory: Inventory,
    /// Absent in backups of before there was this stream.
    pub(super) globals: Option<Globals>,
}

impl Way<'_> {
    /// Fetches the schema archive, roles, globals, sequences and inventory.
    pub(super) async fn definitions(&self) -> Result<Definitions, EngineError> {
        let reader = self.repository.reader(self.site)?;
        let mut streams: HashMap<Stream, Vec<(u32, Vec<u8>)>> = HashMap::new();
        let mut list = self.repository.chunk_entries(self.manifest, self.site)?;
        while let Some(entry) = list.next().await? {
            if let (false, Some(chunk)) = (is_rows(entry.stream), &entry.chunk) {
                let mut plaintext = Vec::new();
                reader.read(chunk, &mut plaintext).await?;
                streams.entry(entry.stream).or_default().push((entry.part, plaintext));
            }
        }
        let mut whole = |stream: Stream| {
            let mut parts = streams.remove(&stream).unwrap_or_default();
            parts.sort_by_key(|(part, _)| *part);
            let gapless = parts.iter().zip(0..).all(|((part, _), place)| *part == place);
            if gapless {
                Ok(parts.into_iter().flat_map(|(_, bytes)| bytes).collect::<Vec<u8>>())
            } else {
                Err(self.inconsistent(format!("the stream `{stream}` has a gap")))
            }
        };
        let text = |stream: Stream, bytes: Vec<u8>| {
            String::from_utf8(bytes).map_err(|_| self.inconsistent(format!("the stream `{stream}` is not UTF-8")))
        };
        let unreadable = |stream: Stream| self.inconsistent(format!("the stream `{stream}` cannot be read"));
        let globals = whole(Stream::Globals)?;
        let folder = self.lifeboat.work_folder()?;
        let archive = folder.path().join("schema.dump");
        tokio::fs::write(&archive, whole(Stream::Schema)?)
            .await
            .map_err(|source| EngineError::WorkFolder { path: archive.display().to_string(), source })?;
        Ok(Definitions {
            archive,
            _folder: folder,
            roles: text(Stream::Roles, whole(Stream::Roles)?)?,
            sequences: text(Stream::Sequences, whole(Stream::Sequences)?)?,
            inventory: serde_json::from_slice(&whole(Stream::Inventory)?).map_err(|_| unreadable(Stream::Inventory))?,
            globals: match globals.as_slice() {
                [] => None,
                json => Some(serde_json::from_slice(json).map_err(|_| unreadable(Stream::Globals))?),
            },
        })
    }

    /// Schemas, types, functions, tables without constraints: so that no trigger fires and no key is checked too early.
    pub(super) async fn before_data(
        &self,
        target: &RestoreTarget,
        definitions: &Definitions,
    ) -> Result<(), EngineError> {
        Ok(target.restore_section(self.tools, &definitions.archive, Section::PreData).await?)
    }

    /// Indexes, constraints, triggers, policies: creating the constraints proves the rows.
    pub(super) async fn after_data(
        &self,
        target: &RestoreTarget,
        definitions: &Definitions,
    ) -> Result<(), EngineError> {
        Ok(target.restore_section(self.tools, &definitions.archive, Section::PostData).await?)
    }

    /// Loads every chunk of rows with as many sessions as are allowed, and the large objects, whose pages must come in
    /// order, with one of their own. The first failure ends all of them.
    pub(super) async fn rows(&self, target: &RestoreTarget) -> Result<(), EngineError> {
        let sessions = self.lifeboat.sessions.max(1);
        let (rows, waiting_rows) = mpsc::channel(sessions * WAITING_ENTRIES);
        let (pages, waiting_pages) = mpsc::channel(WAITING_ENTRIES);
        let (waiting_rows, waiting_pages) = (Arc::new(Mutex::new(waiting_rows)), Arc::new(Mutex::new(waiting_pages)));
        let tables = Arc::new(self.tables());
        let mut tasks = JoinSet::new();
        for waiting in std::iter::repeat_n(&waiting_rows, sessions).chain([&waiting_pages]) {
            let session = Session {
                loader: target.loader().await?,
                reader: self.repository.reader(self.site)?,
                tables: Arc::clone(&tables),
                progress: Arc::clone(&self.lifeboat.progress),
            };
            tasks.spawn(session.work(Arc::clone(waiting)));
        }
        tasks.spawn(follow(self.repository.chunk_entries(self.manifest, self.site)?, rows, pages));
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(EngineError::Worker)??;
        }
        Ok(())
    }

    /// Gives the large objects their owners, grants and comments. Returns what the server refused, a sentence each.
    pub(super) async fn large_object_properties(&self, target: &RestoreTarget) -> Result<Vec<String>, EngineError> {
        let (reader, mut loader) = (self.repository.reader(self.site)?, target.loader().await?);
        let (mut plaintext, mut notes) = (Vec::new(), Vec::new());
        let mut list = self.repository.chunk_entries(self.manifest, self.site)?;
        while let Some(entry) = list.next().await? {
            if let (Stream::LargeObjectProperties, Some(chunk)) = (entry.stream, &entry.chunk) {
                reader.read(chunk, &mut plaintext).await?;
                notes.extend(loader.load_large_object_properties(&plaintext).await?);
            }
        }
        loader.close().await;
        Ok(notes)
    }

    /// What must come last, and what is around the database. Returns what the server refused, a sentence each.
    pub(super) async fn surroundings(
        &self,
        target: &RestoreTarget,
        definitions: &Definitions,
        created_roles: &[String],
    ) -> Result<Vec<String>, EngineError> {
        let mut notes = target.restore_last(self.tools, &definitions.archive, self.is_kept).await?;
        if let Some(globals) = &definitions.globals {
            if self.is_kept {
                notes.extend(target.restore_role_attributes(globals, created_roles).await?);
            }
            notes.extend(target.restore_database_properties(&globals.database, self.is_kept).await?);
        }
        Ok(notes)
    }

    /// The restored tables by the oid that names their streams.
    pub(super) fn tables(&self) -> HashMap<u32, TableTarget> {
        let target = |(relation, data): (&lifeboat_model::RelationEntry, &lifeboat_model::TableData)| {
            (data.oid, TableTarget::new(relation, data))
        };
        self.manifest.tables().map(target).collect()
    }

    /// The materialized views that the backup promised to rebuild.
    pub(super) fn materialized_views(&self) -> Vec<RelationName> {
        let rebuilt = self.manifest.relations.iter().filter(|relation| relation.status == RelationStatus::Rebuilt);
        rebuilt.map(|relation| RelationName::new(&relation.schema, &relation.name)).collect()
    }

    pub(super) fn inconsistent(&self, what: String) -> EngineError {
        EngineError::Inconsistent { backup_id: self.manifest.backup_id.clone(), what }
    }
}

fn is_rows(stream: Stream) -> bool {
    matches!(stream, Stream::Table(_) | Stream::LargeObjects | Stream::LargeObjectProperties)
}

/// Hands the entries of a chunk list to the sessions, in the list's order.
async fn follow(
    mut list: ChunkEntries,
    rows: mpsc::Sender<ChunkEntry>,
    pages: mpsc::Sender<ChunkEntry>,
) -> Result<(), EngineError> {
    while let Some(entry) = list.next().await? {
        let sessions = match entry.stream {
            Stream::Table(_) => &rows,
            Stream::LargeObjects => &pages,
            Stream::Schema
            | Stream::Roles
            | Stream::Globals
            | Stream::Sequences
            | Stream::Inventory
            | Stream::LargeObjectProperties => continue,
        };
        if sessions.send(entry).await.is_err() {
            // Its sessions have failed, and their error is the one to be told.
            break;
        }
    }
    Ok(())
}

struct Session {
    loader: Loader,
    reader: Reader,
    tables: Arc<HashMap<u32, TableTarget>>,
    progress: Arc<dyn Progress>,
}

impl Session {
    async fn work(mut self, entries: Arc<Mutex<mpsc::Receiver<ChunkEntry>>>) -> Result<(), EngineError> {
        let mut plaintext = Vec::new();
        loop {
            let next = entries.lock().await.recv().await;
            let Some(ChunkEntry { stream, chunk, .. }) = next else { break };
            if let Some(chunk) = &chunk {
                self.reader.read(chunk, &mut plaintext).await?;
                // Rows of a table that the manifest does not name are in none of its sums, and the proofs say so.
                match stream {
                    Stream::Table(oid) => match self.tables.get(&oid) {
                        Some(table) => self.loader.load_chunk(table, &plaintext).await?,
                        None => 0,
                    },
                    _ => self.loader.load_large_objects(&plaintext).await?,
                };
            }
            if plaintext.capacity() > LONG_CHUNK_BYTES {
                plaintext = Vec::new();
            }
            self.progress.advance(1);
        }
        self.loader.close().await;
        Ok(())
    }
}
