//! Which key each thing has. The same on both sites; `docs/format/repository.md` is this page in words.

use lifeboat_model::{BackupId, ChunkAddress, ChunkId, DatabaseName, EpochNumber, IncidentName};

/// The document at the root.
pub(crate) const REPOSITORY_KEY: &str = "repository.json";

/// Where ledger entries are.
pub(crate) const LEDGER_PREFIX: &str = "ledger/";

/// The last part of a manifest's key.
pub(crate) const MANIFEST_NAME: &str = "manifest.json";

/// `chunks/0001/`: all chunks of an epoch.
pub(crate) fn epoch_prefix(epoch: EpochNumber) -> String {
    format!("chunks/{epoch}/")
}

/// `chunks/0001/ab/abcd…`.
pub fn chunk_key(epoch: EpochNumber, id: &ChunkId) -> String {
    ChunkAddress { epoch, id: *id }.to_string()
}

/// Where manifests and chunk lists are, a folder for each database.
pub(crate) const BACKUPS_PREFIX: &str = "backups/";

/// `backups/clinic/`: all backups of a database.
pub(crate) fn database_prefix(database: &DatabaseName) -> String {
    format!("{BACKUPS_PREFIX}{database}/")
}

/// `backups/clinic/<backup id>/manifest.json`.
pub fn manifest_key(database: &DatabaseName, backup_id: &BackupId) -> String {
    format!("{BACKUPS_PREFIX}{database}/{backup_id}/{MANIFEST_NAME}")
}

/// `backups/clinic/<backup id>/chunks-00000.jsonl.zst`.
pub fn chunk_list_key(database: &DatabaseName, backup_id: &BackupId, part: usize) -> String {
    format!("{BACKUPS_PREFIX}{database}/{backup_id}/chunks-{part:05}.jsonl.zst")
}

/// The backup whose manifest has this key.
pub(crate) fn backup_of_manifest_key(prefix: &str, key: &str) -> Option<BackupId> {
    let (backup_id, name) = key.strip_prefix(prefix)?.split_once('/')?;
    (name == MANIFEST_NAME).then(|| backup_id.parse().ok()).flatten()
}

/// The probe of the doctor. Its bytes never change: a bucket under Object Lock keeps every version for months.
pub(crate) const PROBE_KEY: &str = "state/doctor.json";

/// The scratch databases that drills have made. It is on both sites: a drill from one site must not need the other.
pub(crate) const SCRATCH_KEY: &str = "state/scratch.json";

/// `leases/<name>.json`.
pub(crate) fn lease_key(name: &str) -> String {
    format!("leases/{name}.json")
}

/// `ledger/000000000042.json`.
pub(crate) fn ledger_key(number: u64) -> String {
    format!("{LEDGER_PREFIX}{number:012}.json")
}

/// The number of the entry that has this key.
pub fn number_of_ledger_key(key: &str) -> Option<u64> {
    let number = key.strip_prefix(LEDGER_PREFIX)?.strip_suffix(".json")?.parse().ok()?;
    (ledger_key(number) == key).then_some(number)
}

/// `state/policy.json`.
pub(crate) fn state_key(name: &str) -> String {
    format!("state/{name}.json")
}

/// `runs/<run id>/`: all checkpoints of a run.
pub(crate) fn journal_prefix(run: &str) -> String {
    format!("runs/{run}/")
}

/// `runs/<run id>/0003.json`.
pub(crate) fn journal_key(run: &str, number: u32) -> String {
    format!("{}{number:04}.json", journal_prefix(run))
}

/// The number of the journal entry that has this key.
pub(crate) fn number_of_journal_key(run: &str, key: &str) -> Option<u32> {
    let number = key.strip_prefix(&journal_prefix(run))?.strip_suffix(".json")?.parse().ok()?;
    (journal_key(run, number) == key).then_some(number)
}

/// Where incidents are.
pub(crate) const INCIDENTS_PREFIX: &str = "incidents/";

/// `incidents/backup-failed/clinic.json`.
pub(crate) fn incident_key(name: &IncidentName) -> String {
    format!("{INCIDENTS_PREFIX}{name}.json")
}

/// The incident that has this key.
pub(crate) fn incident_of_key(key: &str) -> Option<IncidentName> {
    key.strip_prefix(INCIDENTS_PREFIX)?.strip_suffix(".json")?.parse().ok()
}

/// Whether `key` is one or more names of `a-z 0-9 - _ . A-Z` between slashes, none of them `.` or `..`.
pub(crate) fn is_plain_key(key: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    key.len() <= 512
        && key.split('/').all(|name| !name.is_empty() && name != "." && name != ".." && name.chars().all(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_stored_layout() {
        let database: DatabaseName = "clinic".parse().unwrap();
        let backup: BackupId = "2026-11-21T20-49-33Z-k3f9".parse().unwrap();
        assert_eq!(chunk_key(EpochNumber(1), &ChunkId([0xab; 32])), format!("chunks/0001/ab/{}", "ab".repeat(32)));
        assert_eq!(manifest_key(&database, &backup), "backups/clinic/2026-11-21T20-49-33Z-k3f9/manifest.json");
        assert_eq!(
            chunk_list_key(&database, &backup, 7),
            "backups/clinic/2026-11-21T20-49-33Z-k3f9/chunks-00007.jsonl.zst"
        );
        assert_eq!(ledger_key(42), "ledger/000000000042.json");
        assert_eq!(number_of_ledger_key("ledger/000000000042.json"), Some(42));
        for key in
            ["ledger/42.json", "ledger/+00000000042.json", "ledger/000000000042", "ledger/2026/000000000042.json"]
        {
            assert_eq!(number_of_ledger_key(key), None, "{key}");
        }
    }

    #[test]
    fn a_key_of_a_journal_has_one_spelling_of_its_number() {
        assert_eq!(journal_key("r-1", 3), "runs/r-1/0003.json");
        assert_eq!(number_of_journal_key("r-1", "runs/r-1/0003.json"), Some(3));
        for key in
            ["runs/r-1/3.json", "runs/r-1/+003.json", "runs/r-1/0003", "runs/r-2/0003.json", "runs/r-1/a/0003.json"]
        {
            assert_eq!(number_of_journal_key("r-1", key), None, "{key}");
        }
    }

    #[test]
    fn only_a_manifest_tells_of_a_backup() {
        let database: DatabaseName = "clinic".parse().unwrap();
        let prefix = database_prefix(&database);
        let backup: BackupId = "2026-11-21T20-49-33Z-k3f9".parse().unwrap();
        assert_eq!(backup_of_manifest_key(&prefix, &manifest_key(&database, &backup)), Some(backup.clone()));
        assert_eq!(backup_of_manifest_key(&prefix, &chunk_list_key(&database, &backup, 0)), None);
        assert_eq!(backup_of_manifest_key(&prefix, "backups/clinic/x/manifest.json"), None);
    }

    #[test]
    fn a_key_that_could_leave_its_folder_is_not_plain() {
        for key in ["", "/", "a/", "a//b", "../a", "a/./b", "a b", "é"] {
            assert!(!is_plain_key(key), "{key}");
        }
        assert!(is_plain_key("drills/clinic/2026-11-21T20-49-33Z-k3f9.json"));
    }
}
