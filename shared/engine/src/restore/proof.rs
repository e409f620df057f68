//! The proofs: they compare rows, definitions, sequences and large objects of the restored database with the backup's documents.

use jiff::Timestamp;
use lifeboat_model::{
    Difference, DrillReport, Finding, FindingKind, Globals, InventoryObject, Manifest, ObjectKind, Phases,
    RestoreOutcome, RowHasher, SetAside, Site, Stream, Surroundings, TableProof,
};
use lifeboat_postgres::{Prover, RelationName, RestoreTarget, RowTotals};

use super::definitions::Definitions;
use super::inputs::Restore;
use super::restored::Restored;
use super::row_proof::{finding, prove_rows};
use crate::error::EngineError;

/// The proofs leave these out. Every report names them, so that `equal` is not misunderstood.
const NOT_COMPARED: [&str; 3] = [
    "contents of materialized views, which are computed anew from the restored tables",
    "subscriptions, and options of user mappings",
    "passwords of roles, which no backup has",
];

/// A drill in a scratch database also leaves these out, because it must not change other databases' roles on its server.
const NOT_COMPARED_IN_SCRATCH: [&str; 2] = [
    "attributes, settings and memberships of roles: a drill gives its server their names alone",
    "owner, connection limit and comment of the database itself",
];

/// The proof of a backup that is older than the globals stream leaves these out.
const NO_GLOBALS: &str = "settings and grants of the database itself, which this backup does not carry";

/// The proof of a backup that is older than the inventory's surroundings leaves these out.
const NO_SURROUNDINGS: &str =
    "versions of extensions, owner and grants of the schema `public`, and tablespaces, which this backup does not list";

/// Generated columns that a report names one by one. A sentence has room for them, and a schema has rarely more.
const MOST_NAMED: usize = 20;

/// PostgreSQL prints definitions of these kinds from a parsed form, which differs between major versions.
const PRINTED_ANEW: [ObjectKind; 3] = [ObjectKind::View, ObjectKind::Rule, ObjectKind::Policy];

/// What differs of large objects whose bytes are all there.
const PROPERTIES_DIFFER: &str = "owners, grants or comments differ";

/// Kinds of objects that no proof compares. One that was set aside is a note: a scratch server rarely has their provider or publisher.
const NOT_PROVED: [&str; 2] = ["security label", "subscription"];

/// The results of the proofs.
pub(crate) struct Proofs {
    outcome: RestoreOutcome,
    tables: Vec<TableProof>,
    schema_objects: u64,
    large_objects: u64,
    findings: Vec<Finding>,
    set_aside: Vec<SetAside>,
    pub(super) notes: Vec<String>,
    not_compared: Vec<String>,
}

impl Proofs {
    /// As a report. `notes` are those that were made before the restore.
    pub(crate) fn report(
        self,
        site: Site,
        manifest: &Manifest,
        started_at: Timestamp,
        notes: Vec<String>,
        seconds: Phases,
    ) -> DrillReport {
        DrillReport {
            database: manifest.database.clone(),
            backup_id: manifest.backup_id.clone(),
            site,
            started_at,
            finished_at: Timestamp::now(),
            outcome: Some(self.outcome),
            equal: self.findings.is_empty(),
            set_aside: self.set_aside,
            rows: self.tables.iter().map(|table| table.rows).sum(),
            tables: self.tables,
            schema_objects: self.schema_objects,
            large_objects: self.large_objects,
            findings: self.findings,
            notes: notes.into_iter().chain(self.notes).collect(),
            not_compared: self.not_compared,
            left_out: manifest.left_out_by_policy(),
            seconds,
        }
    }
}

/// Reads the restored database and compares it with the backup.
pub(super) async fn prove(
    restore: &Restore<'_>,
    target: &RestoreTarget,
    restored: Restored,
) -> Result<Proofs, EngineError> {
    let Restored { definitions, roles, refused: mut notes, set_aside, routed } = restored;
    let mut findings = Vec::new();
    let mut not_compared: Vec<String> = NOT_COMPARED.map(str::to_owned).to_vec();
    let tables = prove_rows(restore, target, &routed, &mut findings, &mut not_compared).await?;
    let mut prover = target.prover().await?;
    not_compared.extend(generated_columns(restore, &prover).await?);
    let schema_objects =
        prove_schema(restore, &prover, &definitions, &mut findings, &mut notes, &mut not_compared).await?;
    match &definitions.globals {
        Some(globals) => prove_globals(restore, &prover, globals, &roles.created, &mut findings, &mut notes).await?,
        None => not_compared.push(NO_GLOBALS.to_owned()),
    }
    if !restore.is_kept {
        not_compared.extend(NOT_COMPARED_IN_SCRATCH.map(str::to_owned));
    }
    prove_sequences(&prover, &definitions, &mut findings).await?;
    let large_objects = prove_large_objects(restore, &mut prover, &mut findings).await?;
    prover.close().await;
    explain(&set_aside, &mut findings, &mut notes);
    let counts = |aside: &SetAside| restore.is_kept || !is_not_proved(aside);
    let outcome = outcome(&findings, set_aside.iter().any(counts));
    Ok(Proofs { outcome, tables, schema_objects, large_objects, findings, set_aside, notes, not_compared })
}

/// Gives a finding the reason why its object was set aside. What was set aside and not found by a comparison is a finding of its own.
fn explain(set_aside: &[SetAside], findings: &mut Vec<Finding>, notes: &mut Vec<String>) {
    for aside in set_aside {
        let mut is_found = false;
        for found in findings.iter_mut().filter(|found| aside.is_about(&found.subject.to_string())) {
            found.detail = format!("{}: {}", found.detail, aside.reason);
            is_found = true;
        }
        if is_found {
            continue;
        }
        if is_not_proved(aside) {
            notes.push(aside.to_string());
        } else {
            let detail = format!("{}: {}", aside.kind, aside.reason);
            findings.push(finding(FindingKind::SetAside, aside.object.clone(), detail));
        }
    }
}

/// Whether no comparison shows it.
fn is_not_proved(aside: &SetAside) -> bool {
    NOT_PROVED.iter().any(|kind| aside.kind.starts_with(kind))
}

fn outcome(findings: &[Finding], has_set_aside: bool) -> RestoreOutcome {
    let lacks_rows = |finding: &Finding| match finding.kind {
        FindingKind::RowCount | FindingKind::RowDigest => true,
        FindingKind::LargeObjects => !finding.detail.starts_with(PROPERTIES_DIFFER),
        _ => false,
    };
    match findings.iter().any(lacks_rows) {
        true => RestoreOutcome::Failed,
        false if findings.is_empty() && !has_set_aside => RestoreOutcome::Whole,
        false => RestoreOutcome::RowsWhole,
    }
}

/// Compares every definition with the inventory from the backup's snapshot.
async fn prove_schema(
    restore: &Restore<'_>,
    target: &Prover,
    definitions: &Definitions,
    findings: &mut Vec<Finding>,
    notes: &mut Vec<String>,
    not_compared: &mut Vec<String>,
) -> Result<u64, EngineError> {
    let restored = target.inventory().await?;
    let (from, to) = (restore.manifest.source.server_version_num / 10_000, target.major().await?);
    if from != to {
        let texts = format!("texts of views, rules and policies, which PostgreSQL {from} and {to} print differently");
        not_compared.push(texts);
    }
    for difference in definitions.inventory.differences(&restored) {
        let (kind, object, what) = match difference {
            Difference::Differs(object) if from != to && PRINTED_ANEW.contains(&object.kind) => continue,
            Difference::Missing(object) => (FindingKind::SchemaMissing, object, "is missing"),
            Difference::Differs(object) => (FindingKind::SchemaDiffers, object, "has another definition"),
            Difference::Unexpected(object) => (FindingKind::SchemaUnexpected, object, "was not in the backup"),
        };
        let InventoryObject { kind: object_kind, identity, .. } = object;
        findings.push(finding(kind, identity, format!("the {object_kind} {what}")));
    }
    match (&definitions.inventory.surroundings, &restored.surroundings) {
        (Some(ours), Some(theirs)) => prove_surroundings(ours, theirs, from == to, findings, notes),
        _ => not_compared.push(NO_SURROUNDINGS.to_owned()),
    }
    Ok(definitions.inventory.objects.len() as u64)
}

/// Compares what is the server's as much as the database's. Versions of extensions and tablespaces depend on what the server has, so a
/// difference is a note. The schema `public` comes with the database, and its defaults differ between major versions.
fn prove_surroundings(
    ours: &Surroundings,
    theirs: &Surroundings,
    same_major: bool,
    findings: &mut Vec<Finding>,
    notes: &mut Vec<String>,
) {
    notes.extend(ours.extension_differences(theirs));
    notes.extend(ours.tablespace_differences(theirs));
    if ours.public.is_some() && theirs.public.is_some() && ours.public != theirs.public {
        let detail = "the schema has another owner or other grants";
        if same_major {
            findings.push(finding(FindingKind::SchemaDiffers, "public".to_owned(), detail.to_owned()));
        } else {
            notes.push(format!("schema `public`: {detail}; its defaults differ between the two major versions"));
        }
    }
}

/// Names the generated columns of the tables, if there are any. A backup has no values of theirs, and the restored server computes them.
async fn generated_columns(restore: &Restore<'_>, target: &Prover) -> Result<Option<String>, EngineError> {
    let tables: Vec<RelationName> =
        restore.manifest.tables().map(|(relation, _)| RelationName::new(&relation.schema, &relation.name)).collect();
    let columns = target.generated_columns(&tables).await?;
    let named: Vec<String> = columns.iter().take(MOST_NAMED).map(|column| format!("`{column}`")).collect();
    let more = match columns.len().saturating_sub(named.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let words = || format!("values of generated columns, which the server computes anew: {}{more}", named.join(", "));
    Ok((!named.is_empty()).then(words))
}

/// Compares the properties of the database and the roles. A difference is a finding for the database and for roles that this restore
/// created. It is only a note for roles that existed before, because they belong to the server.
async fn prove_globals(
    restore: &Restore<'_>,
    target: &Prover,
    globals: &Globals,
    created_roles: &[String],
    findings: &mut Vec<Finding>,
    notes: &mut Vec<String>,
) -> Result<(), EngineError> {
    let restored = target.globals().await?;
    for what in globals.database.differences(&restored.database, restore.is_kept) {
        findings.push(finding(FindingKind::DatabaseDiffers, "database".to_owned(), what));
    }
    if restore.is_kept {
        for (role, what) in globals.role_differences(&restored) {
            if created_roles.contains(&role) {
                findings.push(finding(FindingKind::RoleDiffers, role, what));
            } else {
                notes.push(format!("role `{role}` was there before and was left as it is: {what}"));
            }
        }
    }
    Ok(())
}

/// Compares every sequence's value with the backup.
async fn prove_sequences(
    target: &Prover,
    definitions: &Definitions,
    findings: &mut Vec<Finding>,
) -> Result<(), EngineError> {
    let restored = target.sequences().await?.sql;
    let lines = |sql: &str| sql.lines().map(str::to_owned).collect::<std::collections::BTreeSet<String>>();
    let (expected, actual) = (lines(&definitions.sequences), lines(&restored));
    let differing = expected.symmetric_difference(&actual).count();
    if differing > 0 {
        let detail = format!("{differing} of {} sequence lines differ", expected.len());
        findings.push(finding(FindingKind::SequenceDiffers, "sequences".to_owned(), detail));
    }
    Ok(())
}

/// Compares the number and content of the large objects with the sums in the chunk list.
async fn prove_large_objects(
    restore: &Restore<'_>,
    target: &mut Prover,
    findings: &mut Vec<Finding>,
) -> Result<u64, EngineError> {
    let hasher: RowHasher = restore.repository.chunk_key(restore.manifest.epoch).await?.row_hasher();
    let (mut pages, mut properties) = (RowTotals::default(), RowTotals::default());
    let mut list = restore.chunk_entries();
    while let Some(entry) = list.next().await? {
        let sums = match entry.stream {
            Stream::LargeObjects => &mut pages,
            Stream::LargeObjectProperties => &mut properties,
            _ => continue,
        };
        sums.rows += entry.rows;
        sums.digest += entry.digest;
    }
    let restored = target.large_objects().await?.readable;
    let actual = target.digest_large_objects(&hasher).await?;
    if restored != restore.manifest.large_objects || (actual.rows, actual.digest) != (pages.rows, pages.digest) {
        let detail =
            format!("{} in the backup, {restored} restored, or their bytes differ", restore.manifest.large_objects);
        findings.push(finding(FindingKind::LargeObjects, "large objects".to_owned(), detail));
    }
    // A backup that is older than this stream has no rows of it.
    if properties.rows > 0 {
        let actual = target.digest_large_object_properties(&hasher).await?;
        if (actual.rows, actual.digest) != (properties.rows, properties.digest) {
            let detail = PROPERTIES_DIFFER.to_owned();
            findings.push(finding(FindingKind::LargeObjects, "large objects".to_owned(), detail));
        }
    }
    Ok(restored)
}
