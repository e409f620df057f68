//! The end of the demo: two backups fail, the subscriber gets one alert, the cause is repaired, and the incident is resolved. Then the
//! ledger is verified and the status page is saved.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lifeboat_local::{AlertInbox, DATABASE, ReceivedAlert, SOURCE_SECRET, Stage, target_dir};
use serde_json::{Value, json};

/// A delivery takes milliseconds.
const DELIVERED_WITHIN: Duration = Duration::from_secs(60);

/// A second message about the same incident would follow within this time.
const ANOTHER_WITHIN: Duration = Duration::from_secs(1);

/// Number of ledger entries shown.
const ENTRIES: &str = "12";

/// The notifications, the ledger, and where the page is.
#[derive(Debug, Clone)]
pub struct Aftermath {
    /// The alert about the failed backup, as a subscriber got it.
    pub alert: Value,
    /// The message that the incident is resolved.
    pub resolution: Value,
    /// The latest ledger entries, one per line.
    pub ledger: String,
    /// The output of `lifeboat ledger verify`.
    pub proof: String,
    /// The status page.
    pub page: PathBuf,
}

/// Breaks the secret with the password, requests two backups, and repairs the secret.
pub async fn play(stage: &Stage, say: impl Fn(&str)) -> Result<Aftermath> {
    let (cloud, deployment) = (stage.cloud(), stage.deployment());
    let inbox = AlertInbox::open(&cloud.sns().await, &deployment.topic_arn, &["critical"]).await?;
    let order = json!({"database": DATABASE, "requested_by": "the demo", "reason": "to see the notifications"});
    say("the secret has a wrong password now; two backups fail");
    let source = stage.environment().get("LIFEBOAT_SOURCE_URL").cloned().context("the stage has no source")?;
    cloud.change_secret(SOURCE_SECRET, "postgres://backup:wrong@127.0.0.1:1/clinic?sslmode=disable").await?;
    for _ in 0..2 {
        let failed = cloud.invoke(&deployment.backup, &order).await?;
        ensure!(failed.failed, "a backup without a password succeeded: {}", failed.payload);
    }
    let alert = the_one(&inbox, 1, "opened").await?;
    say("the subscriber got one alert; repairing the secret and taking a backup");
    cloud.change_secret(SOURCE_SECRET, &source).await?;
    let taken = cloud.invoke(&deployment.backup, &order).await?;
    ensure!(!taken.failed, "the backup failed: {}", taken.payload);
    let resolution = the_one(&inbox, 2, "resolved").await?;
    cloud.invoke(&deployment.health, &json!({})).await?;

    say("proving what is on record, and keeping the status page");
    let ledger = said(stage, &["ledger", "list", "--limit", ENTRIES])?;
    let proof = said(stage, &["ledger", "verify"])?;
    let answer = cloud.ask(&deployment.status_url, "GET", "/").await?;
    ensure!(answer.status == 200, "the status page answered {}: {}", answer.status, answer.body);
    let page = target_dir().join("status.html");
    tokio::fs::write(&page, answer.body).await.with_context(|| format!("cannot write `{}`", page.display()))?;
    Ok(Aftermath { alert, resolution, ledger, proof, page })
}

/// The newest of exactly `count` alerts. No further alert may arrive within a moment.
async fn the_one(inbox: &AlertInbox, count: usize, state: &str) -> Result<Value> {
    inbox.wait_for(count, DELIVERED_WITHIN).await?;
    tokio::time::sleep(ANOTHER_WITHIN).await;
    let alerts = inbox.alerts();
    ensure!(alerts.last().is_some_and(|last| last.attributes.get("state").is_some_and(|is| is == state)), "{alerts:?}");
    ensure!(alerts.len() == count, "{} alerts arrived instead of {count}: {alerts:?}", alerts.len());
    alerts.last().map(ReceivedAlert::json).context("no alert arrived")
}

fn said(stage: &Stage, arguments: &[&str]) -> Result<String> {
    let run = stage.lifeboat(arguments)?;
    ensure!(
        run.status.success(),
        "`lifeboat {}` failed: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&run.stderr)
    );
    Ok(String::from_utf8_lossy(&run.stdout).trim_end().to_owned())
}
