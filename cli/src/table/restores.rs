//! Plans and reports of restores, and reports of drills, as text.

use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{DrillReport, PlannedRestore, RestoreOutcome, RestoreReport, TargetState};

use super::units::{bytes, seconds};

/// What a restore would do, what speaks against it, and how long it takes. `place` is where the backup is read.
pub fn of_plan(planned: &PlannedRestore, place: &str) -> String {
    let PlannedRestore { plan, hash, target, creates_roles, findings, estimate, .. } = planned;
    let becomes = match target {
        TargetState::New => "it does not exist, and is created",
        TargetState::Empty => "it is empty",
        TargetState::Unfinished => "it holds an unfinished restore, which goes on where it stopped",
        TargetState::Occupied => "it is NOT EMPTY",
    };
    let mut text = format!(
        "plan       restore of {} from backup {} on {place}\n\
         as of      {:.0} ({}); later changes are not in it\n\
         into       {}: {becomes}\n\
         restores   {} tables, {} rows, {} large objects, {}\n",
        plan.database,
        plan.backup_id,
        plan.snapshot_at,
        ago(plan.age(Timestamp::now())),
        plan.to,
        plan.tables,
        plan.rows,
        plan.large_objects,
        bytes(plan.raw_bytes),
    );
    if !creates_roles.is_empty() {
        let _ = writeln!(text, "roles      {} are created on the server, without passwords", creates_roles.join(", "));
    }
    let _ = writeln!(text, "reads      {}", bytes(estimate.read_bytes));
    let _ = writeln!(text, "takes      {}, by {}", estimate.in_words(), estimate.basis);
    for finding in findings {
        let mark = if finding.blocks { "STOP" } else { "note" };
        let _ = writeln!(text, "{mark}       {}\n             hint: {}", finding.what, finding.hint);
    }
    let _ = writeln!(text, "hash       {hash}");
    text
}

/// The end of a restore, and what its proofs say. `place` is where the backup was read.
pub fn of_restore(report: &RestoreReport, place: &str) -> String {
    let RestoreReport { run_id, to, proved, .. } = report;
    let end = match proved.outcome {
        Some(RestoreOutcome::Whole) => "whole: everything is back".to_owned(),
        Some(RestoreOutcome::RowsWhole) => format!(
            "ALL ROWS ARE BACK, {} object(s) were set aside, {} check(s) differ",
            proved.set_aside.len(),
            proved.findings.len()
        ),
        _ => "FAILED: rows are missing or differ".to_owned(),
    };
    let mut text = format!(
        "{end}\n  backup {} of {} from {place} is in {to} (restore {run_id})\n",
        proved.backup_id, proved.database
    );
    push_proofs(&mut text, proved);
    text.push_str("  the roles of the database have no passwords yet: no backup holds any\n");
    text
}

/// The result of a drill.
pub fn of_drill(report: &DrillReport) -> String {
    let verdict = match report.outcome {
        _ if report.equal => "equal".to_owned(),
        Some(RestoreOutcome::RowsWhole) => {
            format!("NOT EQUAL, all rows are back, {} finding(s)", report.findings.len())
        }
        _ => "NOT EQUAL, rows are missing or differ".to_owned(),
    };
    let mut text = format!("{verdict}: backup {} of {} from {}\n", report.backup_id, report.database, report.site);
    push_proofs(&mut text, report);
    text
}

fn push_proofs(text: &mut String, report: &DrillReport) {
    let left_out = report.left_out_in_words().map(|words| format!("; {words}")).unwrap_or_default();
    let _ = writeln!(
        text,
        "  {} tables, {} rows, {} schema objects, {} large objects{left_out}\n  {}",
        report.tables.len(),
        report.rows,
        report.schema_objects,
        report.large_objects,
        seconds(&report.seconds)
    );
    for finding in &report.findings {
        let _ = writeln!(text, "  {finding}");
    }
    for aside in &report.set_aside {
        let _ = writeln!(text, "  set aside: {aside}\n    {}", aside.what_to_do);
    }
    for note in &report.notes {
        let _ = writeln!(text, "  note: {note}");
    }
    let _ = writeln!(text, "  not compared: {}", report.not_compared.join("; "));
}

/// `3 hours ago`, in the largest unit of which there are two.
fn ago(age: SignedDuration) -> String {
    let seconds = age.as_secs().max(0);
    let (count, unit) = match seconds {
        0..=119 => (seconds, "second"),
        120..=7199 => (seconds / 60, "minute"),
        7200..=172_799 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_said_in_the_largest_unit_of_which_there_are_two() {
        let said = |seconds| ago(SignedDuration::from_secs(seconds));
        assert_eq!(said(1), "1 second ago");
        assert_eq!(said(119), "119 seconds ago");
        assert_eq!(said(3600), "60 minutes ago");
        assert_eq!(said(3 * 86_400), "3 days ago");
    }
}
