//! Fetches and opens the streams of a backup without rows.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use lifeboat_model::{Globals, Inventory, Stream};
use serde::de::DeserializeOwned;

use super::inputs::Restore;
use crate::error::EngineError;
use crate::ports::work_folder;

/// Everything that a restore needs except the rows.
pub(crate) struct Definitions {
    /// The folder of `archive`.
    _folder: tempfile::TempDir,
    /// The schema archive of `pg_dump`.
    pub(super) archive: PathBuf,
    pub(super) roles: String,
    pub(crate) sequences: String,
    pub(crate) inventory: Inventory,
    /// Absent in backups that are older than this stream.
    pub(crate) globals: Option<Globals>,
}

impl Definitions {
    /// The statements that create the roles of the source.
    pub(super) fn roles(&self) -> &str {
        &self.roles
    }

    /// Owner and grants of the schema `public` on the source, in words. Empty where that is not known.
    pub(super) fn public(&self) -> String {
        let surroundings = self.inventory.surroundings.as_ref();
        surroundings.and_then(|surroundings| surroundings.public.clone()).unwrap_or_default()
    }

    /// The version of each extension on the source. Unknown in backups that are older than the inventory's surroundings.
    pub(super) fn extension_versions(&self) -> BTreeMap<String, String> {
        self.inventory.surroundings.as_ref().map(|surroundings| surroundings.extensions.clone()).unwrap_or_default()
    }
}

impl Restore<'_> {
    /// Fetches the schema archive, roles, globals, sequences and inventory.
    pub(super) async fn definitions(&self) -> Result<Definitions, EngineError> {
        let mut streams = self.fetch_streams().await?;
        let globals = streams.whole(self, Stream::Globals)?;
        let folder = work_folder()?;
        let archive = folder.path().join("schema.dump");
        tokio::fs::write(&archive, streams.whole(self, Stream::Schema)?)
            .await
            .map_err(|source| EngineError::WorkFolder { path: archive.display().to_string(), source })?;
        Ok(Definitions {
            archive,
            _folder: folder,
            roles: streams.text(self, Stream::Roles)?,
            sequences: streams.text(self, Stream::Sequences)?,
            inventory: self.document(Stream::Inventory, &streams.whole(self, Stream::Inventory)?)?,
            globals: match globals.as_slice() {
                [] => None,
                json => Some(self.document(Stream::Globals, json)?),
            },
        })
    }

    async fn fetch_streams(&self) -> Result<Streams, EngineError> {
        let reader = self.reader();
        let mut streams = Streams::default();
        let mut list = self.chunk_entries();
        while let Some(entry) = list.next().await? {
            if let (false, Some(chunk)) = (is_rows(entry.stream), &entry.chunk) {
                let mut plaintext = Vec::new();
                reader.read(chunk, &mut plaintext).await?;
                streams.0.entry(entry.stream).or_default().push((entry.part, plaintext));
            }
        }
        Ok(streams)
    }

    fn document<T: DeserializeOwned>(&self, stream: Stream, json: &[u8]) -> Result<T, EngineError> {
        serde_json::from_slice(json).map_err(|_| self.inconsistent(format!("the stream `{stream}` cannot be read")))
    }
}

/// The parts of each stream, in the order of the chunk list.
#[derive(Default)]
struct Streams(HashMap<Stream, Vec<(u32, Vec<u8>)>>);

impl Streams {
    fn whole(&mut self, restore: &Restore<'_>, stream: Stream) -> Result<Vec<u8>, EngineError> {
        let mut parts = self.0.remove(&stream).unwrap_or_default();
        parts.sort_by_key(|(part, _)| *part);
        if parts.iter().zip(0..).all(|((part, _), place)| *part == place) {
            Ok(parts.into_iter().flat_map(|(_, bytes)| bytes).collect())
        } else {
            Err(restore.inconsistent(format!("the stream `{stream}` has a gap")))
        }
    }

    fn text(&mut self, restore: &Restore<'_>, stream: Stream) -> Result<String, EngineError> {
        let bytes = self.whole(restore, stream)?;
        String::from_utf8(bytes).map_err(|_| restore.inconsistent(format!("the stream `{stream}` is not UTF-8")))
    }
}

fn is_rows(stream: Stream) -> bool {
    matches!(stream, Stream::Table(_) | Stream::LargeObjects | Stream::LargeObjectProperties)
}
