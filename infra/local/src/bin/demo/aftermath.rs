//! The end of the demo: something goes wrong and is told once, is put right and is told to be over; what is on record is proved; and
//! the status page is kept.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lifeboat_local::{AlertInbox, DATABASE, ReceivedAlert, SOURCE_SECRET, Stage, target_dir};
use serde_json::{Value, json};

/// A delivery takes milliseconds.
const TOLD_WITHIN: Duration = Duration::from_secs(60);

/// One that is told twice comes soon after.
const ANOTHER_WITHIN: Duration = Duration::from_secs(1);

/// Entries of the ledger that are shown.
const ENTRIES: &str = "12";

/// What was told, what is on record, and where the page is.
#[derive(Debug, Clone)]
pub struct Aftermath {
    /// The alert of a backup that failed, as a subscriber got it.
    pub alert: Value,
    /// The message that it is over.
    pub resolution: Value,
    /// The end of the ledger, a line an entry.
    pub ledger: String,
    /// What `lifeboat ledger verify` said.
    pub proof: String,
    /// The status page.
    pub page: PathBuf,
}

/// Takes the password away, orders a backup twice, and gives it back.
pub async fn play(stage: &Stage, say: impl Fn(&str)) -> Result<Aftermath> {
    let (cloud, deployment) = (stage.cloud(), stage.deployment());
    let inbox = AlertInbox::open(&cloud.sns().await, &deployment.topic_arn, &["critical"]).await?;
    let order = json!({"database": DATABASE, "requested_by": "the demo", "reason": "to see what is told"});
    say("somebody changes the database's password and forgets the secret; two backups fail");
    let source = stage.environment().get("LIFEBOAT_SOURCE_URL").cloned().context("the stage has no source")?;
    cloud.change_secret(SOURCE_SECRET, "postgres://backup:wrong@127.0.0.1:1/clinic?sslmode=disable").await?;
    for _ in 0..2 {
        let failed = cloud.invoke(&deployment.backup, &order).await?;
        ensure!(failed.failed, "a backup without a password succeeded: {}", failed.payload);
    }
    let alert = the_one(&inbox, 1, "opened").await?;
    say("a subscriber was told once; the secret is put right and a backup taken");
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

/// The newest of `count` alerts, which must be all there are, also after a moment.
async fn the_one(inbox: &AlertInbox, count: usize, state: &str) -> Result<Value> {
    inbox.wait_for(count, TOLD_WITHIN).await?;
    tokio::time::sleep(ANOTHER_WITHIN).await;
    let alerts = inbox.alerts();
    ensure!(alerts.last().is_some_and(|last| last.attributes.get("state").is_some_and(|is| is == state)), "{alerts:?}");
    ensure!(alerts.len() == count, "{} alerts came instead of {count}: {alerts:?}", alerts.len());
    alerts.last().map(ReceivedAlert::json).context("no alert came")
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
