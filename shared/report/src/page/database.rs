//! One database on the page.

use jiff::Timestamp;
use lifeboat_model::{Act, DatabaseStatus, History, Outcome, PastRun, ScheduleStatus, SiteStatus, Standing};

use super::chart::{Chart, durations, recoveries, sizes};
use super::labels;

/// Largest number of drills in the table.
const DRILLS_SHOWN: usize = 10;

/// Largest number of findings in the list.
const FINDINGS_SHOWN: usize = 10;

pub(super) struct DatabaseView {
    pub(super) name: String,
    pub(super) standing: Standing,
    pub(super) tiles: Vec<Tile>,
    pub(super) charts: Vec<Chart>,
    /// Newest first.
    pub(super) runs: Vec<RunRow>,
    pub(super) drills: Vec<RunRow>,
    pub(super) findings: Vec<String>,
    /// The sentence for a database without findings.
    pub(super) looked: String,
    /// Whether the history could be read.
    pub(super) is_known: bool,
}

/// One tile: a schedule or a site.
pub(super) struct Tile {
    pub(super) name: String,
    pub(super) standing: Standing,
    pub(super) sign: &'static str,
    pub(super) value: String,
    pub(super) note: String,
}

/// One run in a table.
pub(super) struct RunRow {
    pub(super) at: String,
    pub(super) subject: String,
    pub(super) site: String,
    pub(super) standing: Standing,
    pub(super) outcome: String,
    pub(super) rows: String,
    pub(super) size: String,
    pub(super) stored: String,
    pub(super) reused: String,
    pub(super) took: String,
}

impl DatabaseView {
    pub(super) fn of(status: &DatabaseStatus, history: Option<&History>, now: Timestamp) -> Self {
        let runs = |action| -> Vec<&PastRun> {
            history.into_iter().flat_map(|history| history.runs(&status.database, action)).collect()
        };
        let (backups, drills, verifications) = (runs(Act::Backup), runs(Act::TestRestore), runs(Act::Verify));
        let mut charts = vec![sizes(&backups), durations(&backups)];
        charts.extend((!drills.is_empty()).then(|| recoveries(&drills)));
        let sites = status.sites.iter().map(|site| of_site(site, now));
        Self {
            name: status.database.to_string(),
            standing: status.status,
            tiles: status.schedules.iter().map(of_schedule).chain(sites).collect(),
            charts,
            runs: backups.iter().rev().map(|run| row(run)).collect(),
            drills: drills.iter().rev().take(DRILLS_SHOWN).map(|run| row(run)).collect(),
            findings: findings(&verifications, &drills),
            is_known: history.is_some(),
            looked: looked(&verifications),
        }
    }
}

fn of_schedule(schedule: &ScheduleStatus) -> Tile {
    let allowed = labels::minutes(schedule.allowed_minutes);
    let (value, note) = match schedule.last {
        Some(_) => (labels::minutes_ago(schedule.age_minutes), format!("policy allows {allowed}")),
        None => ("none yet".to_owned(), format!("waiting for {}", labels::minutes(schedule.age_minutes))),
    };
    // Each backup's objects are verified after it. Only the scheduled rotation counts here: it may have stopped.
    let mut name = match schedule.kind.as_str() {
        "verification" => "Last scheduled verification".to_owned(),
        kind => format!("Last {kind}"),
    };
    if schedule.overdue {
        name.push_str(": overdue");
    }
    Tile { name, standing: schedule.status, sign: labels::sign(schedule.status), value, note }
}

fn of_site(site: &SiteStatus, now: Timestamp) -> Tile {
    let value = match (&site.newest, site.behind) {
        (_, Some(behind @ 1..)) => format!("{behind} behind"),
        (Some(id), _) => id.began_at().map_or_else(|| "present".to_owned(), |at| labels::ago(at, now)),
        (None, _) if site.status == Standing::Unknown => "unknown".to_owned(),
        (None, _) => "none".to_owned(),
    };
    let note = match &site.newest {
        Some(id) => id.to_string(),
        None if site.status == Standing::Unknown => "the site is unavailable".to_owned(),
        None => "no backup this month".to_owned(),
    };
    Tile {
        name: format!("Newest on {}", site.site),
        standing: site.status,
        sign: labels::sign(site.status),
        value,
        note,
    }
}

fn row(run: &PastRun) -> RunRow {
    let (standing, outcome) = match run.outcome {
        Outcome::Completed => (Standing::Ok, "completed"),
        Outcome::Failed => (Standing::Critical, "failed"),
    };
    let left_out = run.left_out.filter(|count| *count > 0).map(|count| format!(", {count} left out by policy"));
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    RunRow {
        at: labels::moment(run.at),
        subject: run.subject.clone(),
        site: or_none(run.site.map(|site| site.to_string())),
        standing,
        outcome: format!("{outcome}{}", left_out.unwrap_or_default()),
        rows: or_none(run.rows.map(labels::count)),
        size: or_none(run.raw_bytes.map(labels::bytes)),
        stored: or_none(run.stored_bytes.map(labels::bytes)),
        reused: or_none(run.reused_ratio().map(|ratio| format!("{:.0} %", 100.0 * ratio))),
        took: or_none(run.seconds.map(labels::seconds)),
    }
}

/// The sentence for a database without findings.
fn looked(verifications: &[&PastRun]) -> String {
    let good = verifications.iter().filter(|run| run.outcome == Outcome::Completed).count();
    let failed = verifications.len() - good;
    let failed = if failed > 0 { format!(" {failed} did not complete.") } else { String::new() };
    match good {
        0 => format!("No verification has completed yet.{failed}"),
        1 => format!("No findings in the last verification.{failed}"),
        _ => format!("No findings in the last {good} verifications.{failed}"),
    }
}

/// The findings of verifications and drills, the latest first.
fn findings(verifications: &[&PastRun], drills: &[&PastRun]) -> Vec<String> {
    let of =
        |what: &'static str| move |run: &&PastRun| (run.at, what, run.findings.unwrap_or(0), run.healed.unwrap_or(0));
    let found = verifications.iter().map(of("verification")).chain(drills.iter().map(of("drill")));
    let mut found: Vec<_> = found.filter(|(_, _, findings, _)| *findings > 0).collect();
    found.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
    found.truncate(FINDINGS_SHOWN);
    let sentence = |(at, what, findings, healed): (Timestamp, &str, u64, u64)| {
        let healed = match healed {
            0 => "none healed".to_owned(),
            healed if healed == findings => "all healed from the other site".to_owned(),
            healed => format!("{healed} healed from the other site"),
        };
        format!("{}: a {what} found {findings}, {healed}", labels::moment(at))
    };
    found.into_iter().map(sentence).collect()
}
