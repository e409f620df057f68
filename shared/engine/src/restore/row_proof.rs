//! The proof of the rows: every table's count and digest, read back and compared with the manifest.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use lifeboat_model::{Finding, FindingKind, FindingSubject, RelationEntry, TableData, TableProof};
use lifeboat_postgres::{RelationName, RestoreTarget, RowTotals, TableTarget};

use super::inputs::Restore;
use crate::error::EngineError;
use crate::pool::{Queue, Workers};

/// A table of the manifest, read back.
struct ReadBack {
    table: TableTarget,
    expected: RowTotals,
    /// Or why it could not be read.
    actual: Result<RowTotals, String>,
}

/// Compares every table's row count and row digest with the manifest. Rows of `routed` tables may be in any partition of their root: the sums
/// over all partitions are compared.
pub(super) async fn prove_rows(
    restore: &Restore<'_>,
    target: &RestoreTarget,
    routed: &BTreeSet<RelationName>,
    findings: &mut Vec<Finding>,
    not_compared: &mut Vec<String>,
) -> Result<Vec<TableProof>, EngineError> {
    let tables = read_back(restore, target).await?;
    let roots = roots_of_routed(target, routed, &tables).await?;
    let mut together: BTreeMap<RelationName, Vec<ReadBack>> = BTreeMap::new();
    let mut proofs = Vec::new();
    for read in tables {
        match roots.get(&read.table.name) {
            Some(root) => together.entry(root.clone()).or_default().push(read),
            None => proofs.push(compare(&read.table.name, read.expected, read.actual, true, findings)),
        }
    }
    for (root, parts) in together {
        // The digest of a row depends on the order of its columns.
        let mut forms = parts.iter().map(|part| (&part.table.columns, part.table.format));
        let first = forms.next();
        let has_one_form = forms.all(|form| Some(form) == first);
        if !has_one_form {
            not_compared.push(format!(
                "contents of rows of `{root}`: they are in other partitions than on the source, and the partitions have other \
                 orders of columns; their number is compared"
            ));
        }
        let expected = parts.iter().fold(RowTotals::default(), |sum, part| add(sum, part.expected));
        let actual = parts.into_iter().try_fold(RowTotals::default(), |sum, part| Ok(add(sum, part.actual?)));
        proofs.push(compare(&root, expected, actual, has_one_form, findings));
    }
    proofs.sort_by(|one, other| one.table.cmp(&other.table));
    Ok(proofs)
}

/// Reads the tables back, with the configured number of sessions.
async fn read_back(restore: &Restore<'_>, target: &RestoreTarget) -> Result<Vec<ReadBack>, EngineError> {
    let hasher = restore.repository.chunk_key(restore.manifest.epoch).await?.row_hasher();
    let expected = |(relation, data): (&RelationEntry, &TableData)| {
        let expected = RowTotals { rows: data.rows, digest: data.row_digest, size_bytes: 0 };
        (TableTarget::new(relation, data), expected)
    };
    let tables: Vec<(TableTarget, RowTotals)> = restore.manifest.tables().map(expected).collect();
    let queue = Arc::new(Queue::new(tables.into_iter()));
    let mut sessions = Workers::new();
    for _ in 0..restore.run.ports.sessions() {
        let (mut prover, target) = (target.prover().await?, target.clone());
        let (queue, hasher, progress) = (Arc::clone(&queue), hasher.clone(), Arc::clone(&restore.run.progress));
        sessions.spawn(async move {
            let mut read = Vec::new();
            while let Some((table, expected)) = queue.take() {
                // A large database is read back in several attempts, too.
                let step = format!("proof of {}", table.name);
                let actual = match target.once(&step, prover.digest_table(&table, &hasher)).await {
                    Ok(totals) => Ok(totals),
                    Err(error) if error.is_a_refusal() => Err(lifeboat_model::story(&error)),
                    Err(error) => return Err(error.into()),
                };
                read.push(ReadBack { table, expected, actual });
                progress.advance(1);
            }
            prover.close().await;
            Ok(read)
        });
    }
    Ok(sessions.all().await?.into_iter().flatten().collect())
}

/// The root of each partition whose root has routed rows.
async fn roots_of_routed(
    target: &RestoreTarget,
    routed: &BTreeSet<RelationName>,
    tables: &[ReadBack],
) -> Result<HashMap<RelationName, RelationName>, EngineError> {
    if routed.is_empty() {
        return Ok(HashMap::new());
    }
    let prover = target.prover().await?;
    let names: Vec<RelationName> = tables.iter().map(|read| read.table.name.clone()).collect();
    let mut roots = prover.partition_roots(&names).await?;
    prover.close().await;
    let of_routed: BTreeSet<RelationName> = routed.iter().filter_map(|table| roots.get(table)).cloned().collect();
    roots.retain(|_, root| of_routed.contains(root));
    Ok(roots)
}

fn add(sum: RowTotals, more: RowTotals) -> RowTotals {
    let mut sum = sum;
    sum.rows += more.rows;
    sum.digest += more.digest;
    sum
}

fn compare(
    table: &RelationName,
    expected: RowTotals,
    actual: Result<RowTotals, String>,
    with_digest: bool,
    findings: &mut Vec<Finding>,
) -> TableProof {
    let table = format!("{}.{}", table.schema, table.name);
    let actual = match actual {
        Ok(actual) => actual,
        Err(why) => {
            let detail =
                format!("{} rows in the backup, and the restored ones cannot be read back: {why}", expected.rows);
            findings.push(finding(FindingKind::RowCount, table.clone(), detail));
            return TableProof { table, rows: 0, equal: false };
        }
    };
    let differs = with_digest && actual.digest != expected.digest;
    if actual.rows != expected.rows {
        let detail = format!("{} rows in the backup, {} restored", expected.rows, actual.rows);
        findings.push(finding(FindingKind::RowCount, table.clone(), detail));
    } else if differs {
        let detail = format!("the {} restored rows are not the rows of the backup", actual.rows);
        findings.push(finding(FindingKind::RowDigest, table.clone(), detail));
    }
    TableProof { table, rows: actual.rows, equal: actual.rows == expected.rows && !differs }
}

/// A finding about a restored database.
pub(super) fn finding(kind: FindingKind, subject: String, detail: String) -> Finding {
    Finding { kind, site: None, subject: FindingSubject::Restored(subject), detail, healed: false }
}
