//! Documents as text for a person.

mod restores;
mod units;

use std::collections::BTreeMap;
use std::fmt::Write;

use lifeboat_model::{
    BackupPage, CleanupReport, Component, Coverage, DatabaseStatus, Diagnosis, HealthReport, ListedBackup, Manifest,
    Presence, Probe, RelationKind, RelationStatus, ScheduleStatus, ShownBackup, Site, SiteStatus, Status,
    UnusableBackup, VerificationReport, Wrong,
};

pub use restores::{of_drill, of_plan, of_restore};

use units::{bytes, seconds};

/// Backups, newest last, one a line; then those that are unusable, and how to see older ones.
pub fn of_backups(pages: &[BackupPage], site: Site) -> String {
    let backups: Vec<&ListedBackup> = pages.iter().flat_map(|page| &page.backups).collect();
    if backups.is_empty() {
        return format!("there is no complete backup on {site}\n");
    }
    let mut text = format!(
        "{:<26} {:<16} {:>9} {:>12} {:>10} {:>10}  SITES\n",
        "BACKUP", "DATABASE", "RELATIONS", "ROWS", "STORED", "REUSED"
    );
    for backup in &backups {
        let _ = match backup {
            ListedBackup::Usable(usable) => {
                let ShownBackup { manifest, sites } = &**usable;
                let totals = &manifest.totals;
                writeln!(
                    text,
                    "{:<26} {:<16} {:>9} {:>12} {:>10} {:>10}  {}",
                    manifest.backup_id.to_string(),
                    manifest.database.to_string(),
                    totals.relations,
                    totals.rows,
                    bytes(totals.stored_bytes),
                    bytes(totals.reused_bytes),
                    presence(sites)
                )
            }
            ListedBackup::Unusable(UnusableBackup { backup_id, database, sites, .. }) => writeln!(
                text,
                "{:<26} {:<16} {:>44}  {}",
                backup_id.to_string(),
                database.to_string(),
                "unusable",
                presence(sites)
            ),
        };
    }
    for backup in &backups {
        if let ListedBackup::Unusable(UnusableBackup { backup_id, unusable, hint, .. }) = backup {
            let _ = writeln!(text, "unusable  {backup_id}: {unusable}\n          hint: {hint}");
        }
    }
    for BackupPage { database, backups, more } in pages {
        if let Some(oldest) = backups.first().filter(|_| *more) {
            let oldest = oldest.backup_id();
            let _ = writeln!(text, "older     lifeboat backups --database {database} --site {site} --before {oldest}");
        }
    }
    text
}

/// The results of a health check, one line each.
pub fn of_health(report: &HealthReport) -> String {
    let mut text = String::new();
    for Probe { name, wrong, .. } in &report.probes {
        let _ = match wrong {
            None => writeln!(text, "ok      {name}"),
            Some(Wrong { what, hint, .. }) => writeln!(text, "wrong   {name}: {what}\n        hint: {hint}"),
        };
    }
    text
}

/// The state: a sentence, then a line each.
pub fn of_status(status: &Status) -> String {
    let mut text = format!("{}\n", status.headline());
    for sentence in &status.unread {
        let _ = writeln!(text, "unknown   {sentence}");
    }
    for incident in status.incidents.iter().filter(|incident| incident.is_open()) {
        let _ = writeln!(text, "{:<9} {}: {}", incident.severity.to_string(), incident.name, incident.what);
    }
    for DatabaseStatus { database, schedules, sites, .. } in &status.backups.databases {
        for ScheduleStatus { kind, status, last, age_minutes, allowed_minutes, .. } in schedules {
            let last = last.map_or_else(|| "never".to_owned(), |at| format!("{age_minutes} min ago, {at:.0}"));
            let _ = writeln!(text, "{status:<9} {database} {kind}: {last} (allowed: {allowed_minutes} min)");
        }
        for SiteStatus { site, status, newest, behind } in sites {
            let newest = newest.as_ref().map_or_else(|| "no backup this month".to_owned(), ToString::to_string);
            let behind = behind.filter(|behind| *behind > 0).map(|behind| format!(", {behind} behind"));
            let behind = behind.unwrap_or_default();
            let _ = writeln!(text, "{status:<9} {database} on {site}: {newest}{behind}");
        }
    }
    for Component { name, status, latency_ms, detail } in &status.health.components {
        let latency = latency_ms.map(|latency| format!(" {latency} ms")).unwrap_or_default();
        let detail = detail.as_ref().map(|detail| format!(" {detail}")).unwrap_or_default();
        let _ = writeln!(text, "{status:<9} {name}{latency}{detail}");
    }
    text
}

/// One backup with its coverage report and the sites that have it.
pub fn of_listed(backup: &ShownBackup) -> String {
    format!("sites      {}\n{}", presence(&backup.sites), of_manifest(&backup.manifest))
}

/// `primary, offsite`; `primary; offsite behind`.
fn presence(sites: &BTreeMap<Site, Presence>) -> String {
    let complete = sites.iter().filter(|(_, presence)| **presence == Presence::Complete);
    let names: Vec<String> = complete.map(|(site, _)| site.to_string()).collect();
    let mut text = names.join(", ");
    for (site, presence) in sites {
        match presence {
            Presence::Complete => {}
            Presence::Behind => text.push_str(&format!("; {site} behind")),
            Presence::Unknown => text.push_str(&format!("; {site} unknown")),
        }
    }
    text
}

/// One backup with its coverage report.
pub fn of_manifest(manifest: &Manifest) -> String {
    let totals = &manifest.totals;
    let mut text = format!(
        "backup     {}\ndatabase   {} (`{}`, PostgreSQL {})\nsnapshot   {} at {}\nrows       {} in {} relations, {} large objects\n\
         raw        {}\nstored     {} in {} new chunks\nreused     {} in {} chunks\nseconds    {}\n\n",
        manifest.backup_id,
        manifest.database,
        manifest.source.datname,
        manifest.source.server_version_num / 10_000,
        manifest.source.snapshot,
        manifest.source.snapshot_at,
        totals.rows,
        totals.relations,
        manifest.large_objects,
        bytes(totals.raw_bytes),
        bytes(totals.stored_bytes),
        totals.new_chunks,
        bytes(totals.reused_bytes),
        totals.reused_chunks,
        seconds(&manifest.seconds),
    );
    let _ = writeln!(text, "{}", coverage(&manifest.coverage()));
    for relation in &manifest.relations {
        // A name may contain a line break.
        let name = format!("{}.{}", relation.schema, relation.name).escape_debug().to_string();
        let more = match (&relation.status, &relation.data) {
            (RelationStatus::LeftOut { rule: why } | RelationStatus::Unreadable { reason: why }, _) => why.clone(),
            (_, Some(data)) => format!("{} rows", data.rows),
            (_, None) => kind(relation.kind).to_owned(),
        };
        let _ = writeln!(text, "  {:<12} {name}  {more}", status(&relation.status));
    }
    text
}

/// The doctor's checks, one line each, with a hint below a bad one.
pub fn of_checks(checks: &[Diagnosis]) -> String {
    let mut text = String::new();
    for Diagnosis { check, verdict, seen, hint, .. } in checks {
        let _ = writeln!(text, "{verdict:<6}  {check:<18}  {seen}");
        if let Some(hint) = hint {
            let _ = writeln!(text, "{:<28}hint: {hint}", "");
        }
    }
    text
}

/// `relations  3 copied, 1 left out`: the counts that are not zero.
fn coverage(coverage: &Coverage) -> String {
    let Coverage { copied, reused, definition, rebuilt, carried, left_out, unreadable } = coverage;
    let counts = [
        (copied, RelationStatus::Copied),
        (reused, RelationStatus::Reused),
        (definition, RelationStatus::Definition),
        (rebuilt, RelationStatus::Rebuilt),
        (carried, RelationStatus::Carried),
        (left_out, RelationStatus::LeftOut { rule: String::new() }),
        (unreadable, RelationStatus::Unreadable { reason: String::new() }),
    ];
    let told = counts.iter().filter(|(count, _)| **count > 0);
    let parts: Vec<String> = told.map(|(count, of)| format!("{count} {}", status(of))).collect();
    format!("relations  {}", parts.join(", "))
}

fn kind(kind: RelationKind) -> &'static str {
    match kind {
        RelationKind::Table => "table",
        RelationKind::PartitionedTable => "partitioned table: its rows are in its partitions",
        RelationKind::View => "view",
        RelationKind::MaterializedView => "materialized view",
        RelationKind::ForeignTable => "foreign table: its rows are elsewhere",
        RelationKind::Sequence => "sequence",
    }
}

/// The results of verifications.
pub fn of_verifications(reports: &[VerificationReport]) -> String {
    let mut text = String::new();
    for report in reports {
        let verdict = if report.is_sound() { "sound" } else { "DAMAGED" };
        let _ = writeln!(
            text,
            "{}: {verdict}; {} objects of {} backups, {} read, {} findings",
            report.database,
            report.objects,
            report.backups,
            bytes(report.read_bytes),
            report.findings.len() as u64 + report.more_findings
        );
        for finding in &report.findings {
            let _ = writeln!(text, "  {finding}");
        }
    }
    text
}

/// A line for each database that a cleanup dropped, found gone, or left.
pub fn of_cleanup(report: &CleanupReport) -> String {
    let mut text = String::new();
    for name in &report.dropped {
        let _ = writeln!(text, "dropped: {name}");
    }
    for name in &report.gone {
        let _ = writeln!(text, "gone: {name}");
    }
    for entry in &report.left {
        let of = entry.database.as_ref().map(|database| format!(" of {database}")).unwrap_or_default();
        let fault = entry.fault.as_ref().map(|fault| format!(": {fault}")).unwrap_or_default();
        let _ = writeln!(text, "left: {entry}{of}, since {:.0}{fault}", entry.created_at);
    }
    if text.is_empty() {
        text.push_str("nothing is left by earlier drills\n");
    }
    text
}

fn status(status: &RelationStatus) -> &'static str {
    match status {
        RelationStatus::Copied => "copied",
        RelationStatus::Reused => "reused",
        RelationStatus::Definition => "definition",
        RelationStatus::Rebuilt => "rebuilt",
        RelationStatus::Carried => "carried",
        RelationStatus::LeftOut { .. } => "left out",
        RelationStatus::Unreadable { .. } => "unreadable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_that_one_site_does_not_have_is_shown_as_behind_there() {
        use Presence::{Behind, Complete, Unknown};
        let shown = |offsite| presence(&[(Site::Primary, Complete), (Site::Offsite, offsite)].into());
        assert_eq!(shown(Complete), "primary, offsite");
        assert_eq!(shown(Behind), "primary; offsite behind");
        assert_eq!(shown(Unknown), "primary; offsite unknown");
    }

    #[test]
    fn the_coverage_names_each_status_that_some_relation_has() {
        let counts = Coverage { copied: 3, rebuilt: 1, left_out: 2, ..Coverage::default() };
        assert_eq!(coverage(&counts), "relations  3 copied, 1 rebuilt, 2 left out");
    }
}
