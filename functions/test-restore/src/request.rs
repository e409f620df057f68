//! What can be asked of the function `test-restore`.

use lifeboat_engine::BackupChoice;
use lifeboat_model::{BackupId, DatabaseName, NameError, Site};
use lifeboat_runtime::{Input, RuntimeError, Settings, TickTime, Trigger, input_error, order, quotable};
use serde::Deserialize;
use serde_json::Value;

/// The function's inputs, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Which database; absent: every one.
    pub database: Option<DatabaseName>,
    /// Which backup.
    pub backup: BackupChoice,
    /// The only site that is read.
    pub site: Site,
    /// Who asked, for the ledger.
    pub actor: String,
}

#[derive(Deserialize)]
struct Verified {
    database: DatabaseName,
    backup_id: BackupId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    trigger: Option<String>,
    scheduled_time: Option<TickTime>,
    database: Option<DatabaseName>,
    backup: Option<String>,
    site: Option<Site>,
    requested_by: Option<String>,
}

impl Input for Request {
    fn read(trigger: Trigger, _: &Settings) -> Result<Self, RuntimeError> {
        match trigger {
            Trigger::Event { kind, detail } if kind == "Verification Completed" => {
                let Verified { database, backup_id } = order(detail)?;
                let backup = BackupChoice::Id(backup_id);
                Ok(Self { database: Some(database), backup, site: Site::Primary, actor: "event".to_owned() })
            }
            Trigger::Event { kind, .. } => {
                Err(RuntimeError::Input(format!("the event `{}` starts no drill", quotable(&kind))))
            }
            Trigger::Order(value) => Self::ordered(order(value)?),
        }
    }

    fn database(&self) -> Option<&DatabaseName> {
        self.database.as_ref()
    }

    fn actor(&self) -> &str {
        &self.actor
    }
}

impl Request {
    fn ordered(order: Order) -> Result<Self, RuntimeError> {
        let Order { trigger, scheduled_time, database, backup, site, requested_by } = order;
        // A drill of every database is long: nobody should start one by sending nothing.
        if trigger.is_none() && database.is_none() && backup.is_none() {
            return Err(RuntimeError::Input("give `database`, `backup` or both".to_owned()));
        }
        let backup = backup.unwrap_or_else(|| "newest".to_owned());
        let backup: BackupChoice =
            backup.parse().map_err(|error: NameError| input_error(&error.to_string(), &Value::String(backup)))?;
        if database.is_none() && matches!(backup, BackupChoice::Id(_)) {
            return Err(RuntimeError::Input("a backup id needs its `database`".to_owned()));
        }
        let actor = match (scheduled_time, requested_by) {
            (_, Some(person)) => format!("stated by {person}"),
            (Some(_), None) => "schedule".to_owned(),
            (None, None) => "stated by nobody".to_owned(),
        };
        Ok(Self { database, backup, site: site.unwrap_or(Site::Primary), actor })
    }
}
