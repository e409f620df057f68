//! The streams without rows: schema archive, roles, globals, inventory, sequences.

use std::path::Path;

use lifeboat_model::{CHUNK_BYTES, ChunkEntry, Stream};
use lifeboat_postgres::{SequenceValues, Snapshot};
use lifeboat_vault::Scratch;
use tokio::io::AsyncReadExt;

use super::collector::Entries;
use super::new_backup::NewBackup;
use crate::error::EngineError;
use crate::ports::work_folder;

/// Stores the schema archive, the inventory, the roles and the globals. Gives the sequences' values of this moment.
pub(super) async fn store_schema(
    new: &NewBackup<'_>,
    snapshot: &Snapshot,
    entries: Entries,
) -> Result<SequenceValues, EngineError> {
    let folder = work_folder()?;
    let archive = folder.path().join("schema.dump");
    // The inventory follows at once: from then on, tables that are not copied may be altered.
    snapshot.schema_archive(&new.tools, &archive).await?;
    let inventory = snapshot.inventory().await?;
    let sequences = snapshot.sequences(None).await?;
    store_file(new, Stream::Schema, &archive, &entries).await?;
    store_json(new, Stream::Inventory, &inventory, &entries).await?;

    let roles = folder.path().join("roles.sql");
    snapshot.roles(&new.tools, &roles).await?;
    store_file(new, Stream::Roles, &roles, &entries).await?;

    store_json(new, Stream::Globals, &snapshot.globals().await?, &entries).await?;
    Ok(sequences)
}

async fn store_json(
    new: &NewBackup<'_>,
    stream: Stream,
    document: &impl serde::Serialize,
    entries: &Entries,
) -> Result<(), EngineError> {
    let json = serde_json::to_vec(document)
        .map_err(|source| EngineError::WorkFolder { path: stream.to_string(), source: source.into() })?;
    store_bytes(new, stream, &json, entries).await
}

/// Stores the sequences' values. A sequence has its value of `earlier` when it was dropped since, when another session holds it, or when it
/// may no longer be read.
pub(super) async fn store_sequences(
    new: &NewBackup<'_>,
    snapshot: &Snapshot,
    earlier: &SequenceValues,
    entries: Entries,
) -> Result<(), EngineError> {
    let sequences = snapshot.sequences(Some(earlier)).await?;
    store_bytes(new, Stream::Sequences, sequences.sql.as_bytes(), &entries).await
}

async fn store_file(new: &NewBackup<'_>, stream: Stream, path: &Path, entries: &Entries) -> Result<(), EngineError> {
    let unusable = |source| EngineError::WorkFolder { path: path.display().to_string(), source };
    let mut file = tokio::fs::File::open(path).await.map_err(unusable)?;
    let mut plaintext = Vec::new();
    let mut scratch = Scratch::new()?;
    // The loop ends, because each turn takes bytes from a file of a fixed length.
    for part in 0.. {
        plaintext.clear();
        let read = (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut plaintext).await.map_err(unusable)?;
        if read == 0 {
            break;
        }
        store_part(new, stream, part, &plaintext, &mut scratch, entries).await?;
    }
    Ok(())
}

async fn store_bytes(new: &NewBackup<'_>, stream: Stream, bytes: &[u8], entries: &Entries) -> Result<(), EngineError> {
    let mut scratch = Scratch::new()?;
    for (part, plaintext) in (0..).zip(bytes.chunks(CHUNK_BYTES)) {
        store_part(new, stream, part, plaintext, &mut scratch, entries).await?;
    }
    Ok(())
}

async fn store_part(
    new: &NewBackup<'_>,
    stream: Stream,
    part: u32,
    plaintext: &[u8],
    scratch: &mut Scratch,
    entries: &Entries,
) -> Result<(), EngineError> {
    let chunk = new.writer.store(plaintext, scratch).await?;
    let entry = ChunkEntry { stream, part, slice: None, rows: 0, digest: Default::default(), chunk: Some(chunk) };
    entries.hand_over(entry).await;
    Ok(())
}
