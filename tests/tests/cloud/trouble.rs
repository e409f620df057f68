//! A stage on which runs fail, and what must be true of each failure: one sentence with a hint, the same words on the bus and
//! to the subscribers, no backup, and no password anywhere.

use std::collections::BTreeSet;
use std::time::Duration;

use lifeboat_local::{
    AlertInbox, DATABASE, Invocation, OFFSITE_REGION, PRIMARY_REGION, SOURCE_SECRET, Stage, TappedEvent,
};
use serde_json::{Value, json};

use crate::bench::small_stage;

/// A delivery takes milliseconds; a backup of the small clinic, a second.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Every password that a connection of these tests has, right or wrong.
const PASSWORDS: [&str; 3] = ["lifeboat-local", "Wr0ng-Sesame", "r0le-Sesame"];

/// A stage on which runs fail.
pub struct Trouble {
    pub stage: Stage,
    /// What someone gets who wants to be woken for nothing less.
    pub inbox: AlertInbox,
    alerts: usize,
    /// What is wrong and was told.
    open: BTreeSet<String>,
}

impl Trouble {
    pub async fn begin() -> Self {
        Self::on(small_stage(&[]).await).await
    }

    pub async fn on(stage: Stage) -> Self {
        let inbox =
            AlertInbox::open(&stage.cloud().sns().await, &stage.deployment().topic_arn, &["critical"]).await.unwrap();
        Self { stage, inbox, alerts: 0, open: BTreeSet::new() }
    }

    pub async fn connect_as(&self, secret: &str) {
        self.stage.cloud().change_secret(SOURCE_SECRET, secret).await.unwrap();
    }

    pub async fn invoke(&self, input: &Value) -> Invocation {
        self.stage.cloud().invoke(&self.stage.deployment().backup, input).await.unwrap()
    }

    pub async fn order_backup(&self) -> Invocation {
        self.invoke(&json!({"database": DATABASE})).await
    }

    /// Orders a backup, which must fail with these words, and be told with the same words everywhere.
    pub async fn assert_fails(&mut self, words: &[&str]) {
        let before = self.manifests().await;
        let answer = self.order_backup().await;
        self.assert_told(&answer, words).await;
        assert_eq!(self.manifests().await, before, "{words:?}");
    }

    /// A backup of the stage's database failed with these words, and that was told.
    pub async fn assert_told(&mut self, answer: &Invocation, words: &[&str]) {
        let event = self.assert_told_as("Backup Failed", answer, words).await;
        assert_eq!(event.detail["database"], DATABASE, "{}", event.detail);
    }

    /// The run's answer, its event of this kind and its alert have the same words, these among them. Returns the event.
    pub async fn assert_told_as(&mut self, kind: &str, answer: &Invocation, words: &[&str]) -> TappedEvent {
        assert!(answer.failed, "{words:?}: {}", answer.payload);
        let message = answer.payload["errorMessage"].as_str().unwrap();
        assert_is_a_sentence_and_a_hint(message, words);

        let event =
            self.stage.tap().next(PATIENCE).await.unwrap().unwrap_or_else(|| panic!("no event came: {message}"));
        assert_eq!(event.kind, kind, "{}", event.detail);
        let [error, hint] = ["error", "hint"].map(|name| event.detail[name].as_str().unwrap());
        assert_eq!(message, format!("{error}. {hint}."));
        // Of a database that nobody knows no backup would ever say that it is over.
        let subject = event.detail["database"].as_str().filter(|name| *name == DATABASE).unwrap_or("unnamed");
        let incident = format!("{}/{subject}", kind_of(kind));
        let is_new = self.open.insert(incident.clone());
        self.alerts += usize::from(is_new);
        let alerts = self.inbox.wait_for(self.alerts, PATIENCE).await.unwrap();
        assert_eq!(alerts.len(), self.alerts, "{alerts:?}");
        if is_new {
            let alert = alerts.last().unwrap();
            assert_eq!(
                ["severity", "type", "state", "incident", "database"]
                    .map(|name| alert.attributes.get(name).map(String::as_str)),
                [
                    Some("critical"),
                    Some(kind_of(kind)),
                    Some("opened"),
                    Some(incident.as_str()),
                    event.detail["database"].as_str()
                ]
            );
            assert_eq!((&alert.json()["what"], &alert.json()["hint"]), (&json!(error), &json!(hint)));
        }
        // Told or not, what is wrong is there to be read as it was seen last.
        let stored = self.incident(&incident).await;
        assert_eq!((&stored["what"], &stored["hint"], &stored["state"]), (&json!(error), &json!(hint), &json!("open")));
        assert_no_password(&format!("{}{alerts:?}", event.detail));
        event
    }

    /// This is wrong from now on, and was told once.
    pub async fn assert_opened(&mut self, incident: &str, says: &str) {
        assert!(self.open.insert(incident.to_owned()), "{incident} was open already");
        self.alerts += 1;
        let alerts = self.inbox.wait_for(self.alerts, PATIENCE).await.unwrap();
        assert_eq!(alerts.len(), self.alerts, "{alerts:?}");
        let alert = alerts.last().unwrap();
        assert_eq!((alert.attributes["incident"].as_str(), alert.attributes["state"].as_str()), (incident, "opened"));
        assert!(alert.json()["what"].as_str().unwrap().contains(says), "{says}: {alerts:?}");
        assert_eq!(self.incident(incident).await["state"], "open");
    }

    /// These are over, and that was told once.
    pub async fn assert_resolved(&mut self, incidents: &[&str]) {
        self.alerts += incidents.len();
        let alerts = self.inbox.wait_for(self.alerts, PATIENCE).await.unwrap();
        assert_eq!(alerts.len(), self.alerts, "{alerts:?}");
        for incident in incidents {
            assert!(self.open.remove(*incident), "{incident} was not open: {:?}", self.open);
            let last = alerts.iter().rev().find(|alert| alert.attributes["incident"] == **incident).unwrap();
            assert_eq!(last.attributes["state"], "resolved", "{alerts:?}");
            assert_eq!(self.incident(incident).await["state"], "resolved");
        }
    }

    /// What the primary, or the site that serves, has of an incident.
    async fn incident(&self, name: &str) -> Value {
        let deployment = self.stage.deployment();
        let offsite = &deployment.offsite.as_ref().unwrap().bucket;
        let mut newest = Value::Null;
        for (region, bucket) in [(PRIMARY_REGION, &deployment.primary_bucket), (OFFSITE_REGION, offsite)] {
            let s3 = self.stage.cloud().s3(region).await;
            let key = format!("incidents/{name}.json");
            let Ok(object) = s3.get_object().bucket(bucket).key(key).send().await else { continue };
            let stored: Value = serde_json::from_slice(&object.body.collect().await.unwrap().into_bytes()).unwrap();
            if stored["revision"].as_u64() > newest["revision"].as_u64() {
                newest = stored;
            }
        }
        newest["incident"].clone()
    }

    /// The manifests on the sites that are there.
    pub async fn manifests(&self) -> Vec<String> {
        let deployment = self.stage.deployment();
        let offsite = &deployment.offsite.as_ref().unwrap().bucket;
        let mut all = Vec::new();
        for (region, bucket) in [(PRIMARY_REGION, &deployment.primary_bucket), (OFFSITE_REGION, offsite)] {
            let s3 = self.stage.cloud().s3(region).await;
            let Ok(listed) = s3.list_objects_v2().bucket(bucket).prefix("backups/").send().await else { continue };
            let keys = listed.contents().iter().filter_map(|object| object.key());
            all.extend(keys.filter(|key| key.ends_with("manifest.json")).map(|key| format!("{bucket}/{key}")));
        }
        all
    }

    /// No function, nor the cloud around it, has written a password.
    pub async fn assert_logs_are_clean(&self) {
        let deployment = self.stage.deployment();
        for function in [&deployment.backup, &deployment.verify, &deployment.test_restore] {
            assert_no_password(&self.stage.cloud().log_lines(function).await.unwrap().join("\n"));
        }
        let lines = self.stage.cloud().log_lines(&deployment.backup).await.unwrap();
        assert!(lines.iter().any(|line| line.contains("the invocation failed")), "the log has nothing to look at");
        assert_no_password(&self.stage.cloud().log().unwrap());
    }
}

/// What subscribers are told of that the bus calls by this name.
fn kind_of(event: &str) -> &'static str {
    match event {
        "Backup Failed" => "backup-failed",
        "Verification Failed" => "verification-finding",
        "Restore Test Failed" => "drill-failed",
        other => panic!("{other}"),
    }
}

fn assert_is_a_sentence_and_a_hint(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.ends_with('.') && !message.contains(".."), "{message}");
    assert!(message.len() < 600, "nobody reads this to its end: {message}");
    assert_no_password(message);
}

fn assert_no_password(text: &str) {
    for password in PASSWORDS {
        let place = text.find(password);
        let around = place.map(|at| text[..at].chars().rev().take(200).collect::<String>());
        assert!(place.is_none(), "a password stands behind (backwards): {around:?}");
    }
}
