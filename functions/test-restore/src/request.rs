//! The inputs of the function `test-restore`.

use lifeboat_engine::BackupChoice;
use lifeboat_model::{Act, DatabaseName, Event, Mandate, NameError, Site};
use lifeboat_runtime::{Input, RuntimeError, Settings, TickTime, Trigger, by_event, by_order, input_error, order};
use serde::Deserialize;
use serde_json::Value;

/// The function's parsed inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The database; absent: every database.
    pub database: Option<DatabaseName>,
    /// The backup.
    pub backup: BackupChoice,
    /// The site to restore from.
    pub site: Site,
    /// Who asked, and why, for the ledger.
    pub mandate: Mandate,
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
    reason: Option<String>,
}

impl Input for Request {
    fn read(trigger: Trigger, _: &Settings) -> Result<Self, RuntimeError> {
        match trigger {
            Trigger::Order(value) => Self::ordered(order(value)?),
            Trigger::Event(event) => {
                let detail_type = event.detail_type();
                match *event {
                    Event::VerificationCompleted { database, backup_id: Some(backup_id), .. } => {
                        let mandate = by_event(detail_type);
                        let backup = BackupChoice::Id(backup_id);
                        Ok(Self { database: Some(database), backup, site: Site::Primary, mandate })
                    }
                    Event::VerificationCompleted { backup_id: None, .. } => {
                        let fault = "the event `Verification Completed` names no `backup_id`, and so starts no drill";
                        Err(RuntimeError::Input(fault.to_owned()))
                    }
                    other => Err(Trigger::Event(Box::new(other)).starts_no(Act::TestRestore)),
                }
            }
            other => Err(other.starts_no(Act::TestRestore)),
        }
    }

    fn database(&self) -> Option<&DatabaseName> {
        self.database.as_ref()
    }

    fn mandate(&self) -> &Mandate {
        &self.mandate
    }
}

impl Request {
    fn ordered(order: Order) -> Result<Self, RuntimeError> {
        let Order { trigger, scheduled_time, database, backup, site, requested_by, reason } = order;
        // A drill of every database takes long, so an empty input must not start one.
        if trigger.is_none() && database.is_none() && backup.is_none() {
            return Err(RuntimeError::Input("give `database`, `backup` or both".to_owned()));
        }
        let backup = backup.unwrap_or_else(|| "newest".to_owned());
        let backup: BackupChoice =
            backup.parse().map_err(|error: NameError| input_error(&error.to_string(), &Value::String(backup)))?;
        if database.is_none() && matches!(backup, BackupChoice::Id(_)) {
            return Err(RuntimeError::Input("a backup id needs its `database`".to_owned()));
        }
        let mandate = by_order(scheduled_time, requested_by.as_deref(), reason.as_deref())?;
        Ok(Self { database, backup, site: site.unwrap_or(Site::Primary), mandate })
    }
}
