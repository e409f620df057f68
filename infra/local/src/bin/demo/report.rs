//! The results of the demo, as a table and as JSON.

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::aftermath::Aftermath;

/// One round from the schedule to the proof: the details of its three events.
#[derive(Debug, Clone)]
pub struct Round {
    /// The detail of `Backup Completed`.
    pub backup: Value,
    /// The detail of `Verification Completed`.
    pub verification: Value,
    /// The detail of `Restore Test Completed`.
    pub drill: Value,
}

/// Both rounds and whether every proof held.
#[derive(Debug, Clone)]
pub struct Report {
    first: Round,
    second: Round,
    restored_into: Option<bool>,
    after: Aftermath,
    /// True only if every proof held.
    pub equal: bool,
}

impl Round {
    /// The backup's id.
    pub fn backup_id(&self) -> Result<&str> {
        self.backup.get("backup_id").and_then(Value::as_str).context("a backup without an id")
    }

    fn number(&self, name: &str) -> u64 {
        self.backup.get(name).and_then(Value::as_u64).unwrap_or(0)
    }

    fn is_equal(&self) -> bool {
        let same_rows = self.drill.get("rows") == self.backup.get("rows");
        same_rows && self.drill.get("equal") == Some(&Value::Bool(true))
    }

    /// Seconds by phase: the backup's phases, and those of the drill with `restore-` before their names.
    fn seconds(&self) -> Map<String, Value> {
        let phases = |detail: &Value| detail.get("seconds").and_then(Value::as_object).cloned().unwrap_or_default();
        let drill = phases(&self.drill).into_iter().map(|(name, seconds)| (format!("restore-{name}"), seconds));
        phases(&self.backup).into_iter().chain(drill).collect()
    }
}

impl Report {
    /// The report of two rounds, of the restore into the user's own database when there was one, and of what followed.
    pub fn new(first: Round, second: Round, restored_into: Option<bool>, after: Aftermath) -> Self {
        let equal = first.is_equal() && second.is_equal() && restored_into != Some(false);
        Self { first, second, restored_into, after, equal }
    }

    /// The second round, whose backup reuses chunks; the first round is under `first`.
    pub fn to_json(&self) -> Value {
        let of = |round: &Round| {
            json!({
                "backup_id": round.backup.get("backup_id"),
                "relations": round.number("relations"),
                "rows": round.number("rows"),
                "raw_bytes": round.number("raw_bytes"),
                "stored_bytes": round.number("stored_bytes"),
                "new_chunks": round.number("new_chunks"),
                "reused_chunks": round.number("reused_chunks"),
                "verified_objects": round.verification.get("objects"),
                "seconds": round.seconds(),
                "equal": round.is_equal(),
            })
        };
        let mut json = of(&self.second);
        if let Some(object) = json.as_object_mut() {
            object.insert("equal".to_owned(), json!(self.equal));
            object.insert("restored_into".to_owned(), json!(self.restored_into));
            object.insert("first".to_owned(), of(&self.first));
            object.insert("alert".to_owned(), self.after.alert.clone());
            object.insert("resolution".to_owned(), self.after.resolution.clone());
            object.insert("page".to_owned(), json!(self.after.page));
        }
        json
    }

    /// For a person.
    pub fn to_table(&self) -> String {
        let mut lines = vec![String::new()];
        let mut row =
            |name: &str, first: String, second: String| lines.push(format!("{name:<22} {first:>28} {second:>28}"));
        let rounds = [&self.first, &self.second];
        let id = |round: &Round| round.backup_id().unwrap_or_default().to_owned();
        let [first, second] = rounds;
        row("backup", id(first), id(second));
        for name in ["relations", "rows", "raw_bytes", "stored_bytes", "new_chunks", "reused_chunks"] {
            row(name, first.number(name).to_string(), second.number(name).to_string());
        }
        let (before, after) = (first.seconds(), second.seconds());
        for name in before.keys() {
            let seconds =
                |of: &Map<String, Value>| format!("{:.2} s", of.get(name).and_then(Value::as_f64).unwrap_or(0.0));
            row(name, seconds(&before), seconds(&after));
        }
        let verdict = |equal: bool| if equal { "equal" } else { "NOT EQUAL" }.to_owned();
        row("restored rows", verdict(first.is_equal()), verdict(second.is_equal()));
        if let Some(equal) = self.restored_into {
            row("your database", String::new(), verdict(equal));
        }
        lines.push(format!("\n{}", verdict(self.equal)));
        lines.extend(self.after_lines());
        lines.join("\n")
    }

    /// The notifications, the end of the ledger, and where the page is.
    fn after_lines(&self) -> Vec<String> {
        let Aftermath { alert, resolution, ledger, proof, page } = &self.after;
        let text =
            |message: &Value, name: &str| message.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        vec![
            "\nTwo backups failed. The subscriber got one alert, and one message when it was resolved:".to_owned(),
            format!("  [{}] {}: {}", text(alert, "severity"), text(alert, "incident"), text(alert, "what")),
            format!("    hint: {}", text(alert, "hint")),
            format!("  [{}] {}", text(resolution, "state"), text(resolution, "incident")),
            "\nThe latest entries of the ledger:".to_owned(),
            ledger.clone(),
            proof.clone(),
            format!("\nThe status page was saved to {}", page.display()),
        ]
    }
}
