//! The demo as a story: a schedule fires, and its backup is verified and restored. The data changes, and it all runs again.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use lifeboat_local::{DATABASE, Stage, StageSource, TappedEvent};
use serde_json::Value;

use crate::aftermath;
use crate::options::Options;
use crate::report::{Report, Round};

/// A schedule fires at some point within its minute. Then the function starts.
const TICK_WITHIN: Duration = Duration::from_secs(120);
/// The first schedule: the emulator fires an `at()` in the past within ten seconds.
const AT_ONCE: &str = "at(2026-01-01T00:00:00)";
/// The schedule between the rounds, so that it does not fire again while a round is watched.
const CALM: &str = "rate(1 day)";
/// The longest that a function may run.
const STEP_WITHIN: Duration = Duration::from_secs(900);

/// Plays the whole story. Returns the stage, which still runs, and the report.
pub async fn tell(options: &Options) -> Result<(Stage, Report)> {
    let watch = Watch::new();
    let source = options.source.clone().map_or(StageSource::Sample, StageSource::Url);
    let mut stage = Stage::set(source, &[("DrillAfterVerification", "true")], |text| watch.say(text)).await?;
    for gap in &stage.deployment().gaps {
        watch.say(&format!("  differs from AWS: {gap}"));
    }
    let first = round(&mut stage, &watch, AT_ONCE).await?;
    if let Some(server) = stage.source() {
        watch.say("changing some rows, as a morning at the clinics would");
        server.psql(DATABASE, include_str!("../../../sample/change.sql"))?;
    }
    let second = round(&mut stage, &watch, "rate(1 minute)").await?;
    let restored = match &options.into {
        Some(url) => {
            watch.say("restoring the second backup into your database");
            Some(restore_into(&stage, second.backup_id()?, url)?)
        }
        None => None,
    };
    let after = aftermath::play(&stage, |text| watch.say(text)).await?;
    watch.end();
    let report = Report::new(first, second, restored, after);
    Ok((stage, report))
}

/// One round from the schedule to the proof. It follows the events that lead from one function to the next.
async fn round(stage: &mut Stage, watch: &Watch, schedule: &str) -> Result<Round> {
    watch.say(&format!("set BackupSchedule to {schedule}; waiting for it to fire"));
    stage.change(&[("BackupSchedule", schedule)]).await?;
    let overheard = |event: &TappedEvent| watch.say(&format!("  {}", event.kind));
    let requested = stage.tap().wait_for("Backup Requested", TICK_WITHIN, overheard).await?;
    if requested.detail.get("trigger").and_then(Value::as_str) != Some("schedule") {
        bail!("the schedule did not request the backup: {}", requested.detail);
    }
    watch.say("the schedule requested a backup");
    stage.change(&[("BackupSchedule", CALM)]).await?;
    let backup = stage.tap().wait_for("Backup Completed", STEP_WITHIN, overheard).await?.detail;
    let backup_id = backup.get("backup_id").and_then(Value::as_str).context("a backup without an id")?.to_owned();
    watch.say(&format!("backup {backup_id} is complete; verifying its stored objects"));
    let verification = stage.tap().wait_for("Verification Completed", STEP_WITHIN, overheard).await?.detail;
    watch.say("every stored byte was read again on both sites; restoring the backup");
    let drill = stage.tap().wait_for("Restore Test Completed", STEP_WITHIN, overheard).await?.detail;
    for (what, detail) in [("verification", &verification), ("drill", &drill)] {
        if detail.get("backup_id").and_then(Value::as_str) != Some(&backup_id) {
            bail!("the {what} belongs to another backup: {detail}");
        }
    }
    watch.say("the restored database is equal to the backup");
    Ok(Round { backup, verification, drill })
}

/// Restores a backup into the user's database with the command line tool. True if everything is back.
fn restore_into(stage: &Stage, backup_id: &str, url: &str) -> Result<bool> {
    let arguments = ["restore", "--yes", "--json", "--backup", backup_id];
    let run = stage.lifeboat_with(&[("LIFEBOAT_TO_URL", url)], &arguments)?;
    let report: Value = serde_json::from_slice(&run.stdout).unwrap_or_default();
    let said = String::from_utf8_lossy(&run.stderr);
    ensure!(report.is_object(), "the restore failed: {}", said.trim());
    Ok(run.status.success() && report.get("outcome").and_then(Value::as_str) == Some("whole"))
}

/// Prints how to look around on a stage that still runs.
pub fn show_around(stage: &Stage) {
    eprintln!("\nThe local cloud is still running. To look around, run:\n");
    let users_own = |name: &str| name == "LIFEBOAT_SOURCE_URL" && stage.source().is_none();
    for (name, value) in stage.environment().into_iter().filter(|(name, _)| !users_own(name)) {
        eprintln!("  export {name}='{value}'");
    }
    eprintln!("  cargo run --quiet --package lifeboat-cli -- backups\n\nPress Ctrl-C to stop it.");
}

/// A line of progress on a terminal, plain lines elsewhere.
struct Watch {
    bar: ProgressBar,
    began: Instant,
}

impl Watch {
    fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar, began: Instant::now() }
    }

    fn say(&self, text: &str) {
        let line = format!("{:6.1} s  {text}", self.began.elapsed().as_secs_f64());
        if self.bar.is_hidden() {
            eprintln!("{line}");
        } else {
            self.bar.println(line);
            self.bar.set_message(text.to_owned());
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}
