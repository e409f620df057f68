//! The inputs of the function `restore`.

use lifeboat_model::{Act, BackupId, DatabaseName, Mandate, PlanHash, Site, recordable};
use lifeboat_runtime::{Input, RuntimeError, Settings, Trigger, by_order, order};
use serde::Deserialize;

/// Longest name of a database on a server: `NAMEDATALEN` - 1.
const LONGEST_NAME: usize = 63;

/// The function's parsed input.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The database; absent: the only one.
    pub database: Option<DatabaseName>,
    /// The backup; absent: the newest one.
    pub backup: Option<BackupId>,
    /// The only site that is read.
    pub site: Option<Site>,
    /// The database to restore into, by its name on the server of the stack's `RestoreSecretArn`.
    pub to: String,
    /// The plan that is executed. Absent: the plan is made, and nothing else.
    pub approved: Option<PlanHash>,
    /// Who asked, and why, for the ledger.
    pub mandate: Mandate,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    database: Option<DatabaseName>,
    backup: Option<BackupId>,
    site: Option<Site>,
    to: Option<String>,
    plan: Option<PlanHash>,
    requested_by: Option<String>,
    reason: Option<String>,
}

impl Input for Request {
    fn read(trigger: Trigger, _: &Settings) -> Result<Self, RuntimeError> {
        Self::of(trigger)
    }

    fn database(&self) -> Option<&DatabaseName> {
        self.database.as_ref()
    }

    fn mandate(&self) -> &Mandate {
        &self.mandate
    }
}

impl Request {
    /// Only a person restores: no event starts it.
    fn of(trigger: Trigger) -> Result<Self, RuntimeError> {
        let Trigger::Order(value) = trigger else { return Err(trigger.starts_no(Act::Restore)) };
        let Order { database, backup, site, to, plan, requested_by, reason } = order(value)?;
        let to = to.ok_or_else(|| {
            let fault = "give `to`, the name of the database to restore into, such as `clinic_restored`";
            RuntimeError::Input(fault.to_owned())
        })?;
        // The name goes into the ledger: a connection in its place must not.
        recordable("to", &to, LONGEST_NAME).map_err(|error| RuntimeError::Input(error.to_string()))?;
        let mandate = by_order(None, requested_by.as_deref(), reason.as_deref())?;
        Ok(Self { database, backup, site, to, approved: plan, mandate })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(payload: Value) -> Result<Request, RuntimeError> {
        Request::of(Trigger::read(payload))
    }

    #[test]
    fn without_the_hash_of_a_plan_an_order_is_for_the_plan_alone() {
        let hash = "ab".repeat(32);
        assert_eq!(read(json!({"to": "clinic_restored"})).unwrap().approved, None);
        let request = read(json!({"to": "clinic_restored", "site": "offsite", "plan": hash})).unwrap();
        assert_eq!(request.approved.map(|hash| hash.to_string()), Some(hash));
        assert_eq!(request.site, Some(Site::Offsite));
    }

    #[test]
    fn an_order_names_the_database_to_restore_into_and_no_event_restores() {
        let event = json!({"source": "lifeboat", "detail-type": "Restore Failed", "detail": {"database": "clinic"}});
        for payload in [
            json!({}),
            json!({"to": ""}),
            json!({"to": "a\nb"}),
            json!({"to": "postgres://backup:Wr0ng-Sesame@db/clinic"}),
            json!({"to": "x".repeat(64)}),
            json!({"to": "x", "plan": "yes"}),
            json!({"to": "x", "backup": "newest"}),
            event,
        ] {
            let Err(RuntimeError::Input(said)) = read(payload.clone()) else { panic!("{payload} was taken") };
            assert!(!said.contains("Sesame"), "{said}");
        }
    }
}
