//! Databases that are called like something else that has incidents.

use lifeboat_engine::{BackupRequest, HealthRequest, check_health, incidents, refuse};
use lifeboat_model::{Act, AlertKind, DatabaseName, IncidentName, IncidentSubject, Site};

use crate::bench::Bench;

const TABLE: &str = "CREATE TABLE t AS SELECT i FROM generate_series(1, 100) i";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_with_a_reserved_name_shares_no_incident_with_anything_else() {
    let bench = Bench::with("reserved", TABLE);
    bench.back_up().await;
    for name in ["repository", "unnamed", "primary", "offsite"] {
        let database: DatabaseName = name.parse().unwrap();
        let own = IncidentName::new(AlertKind::BackupFailed, &database);
        assert_eq!(own.to_string(), format!("backup-failed/_{name}"));

        // A request that names no database has its own incident, and a good backup of this database resolves no failure of another.
        let url = bench.server.url("nothing_here");
        let source = lifeboat_postgres::ConnectionSettings::from_secret(&url).unwrap();
        let request = BackupRequest { database: database.clone(), source, ..bench.request() };
        bench.process().back_up(&request).await.unwrap_err();
        let mut stranger = bench.process();
        stranger.run.act = Some(Act::Backup);
        let cause = std::sync::Arc::new(std::io::Error::other("no such database"));
        refuse(&stranger.again(), None, false, cause, "name one".to_owned()).await.unwrap();
        let open = open(&bench).await;
        assert!(open.contains(&own), "{name}: {open:?}");
        assert!(open.contains(&IncidentName::new(AlertKind::BackupFailed, IncidentSubject::Unnamed)), "{open:?}");

        // Health does not take it for something that is always configured.
        let request = HealthRequest { databases: vec![database.clone()], drills: false };
        check_health(&bench.process().again(), &request, None).await.unwrap();
        assert!(self::open(&bench).await.contains(&own), "{name} is configured");
        let request = HealthRequest { databases: vec!["clinic".parse().unwrap()], drills: false };
        check_health(&bench.process().again(), &request, None).await.unwrap();
        assert!(!self::open(&bench).await.contains(&own), "{name} is not configured any more");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_database_named_unnamed_is_its_own() {
    let bench = Bench::with("unnamed", TABLE);
    let request = BackupRequest { database: "unnamed".parse().unwrap(), ..bench.request() };
    let manifest = bench.process().back_up(&request).await.unwrap();
    assert_eq!(manifest.database.as_str(), "unnamed");
    assert_eq!(bench.stores.of(Site::Offsite).keys("backups/unnamed/").len(), 2);
}

async fn open(bench: &Bench) -> Vec<IncidentName> {
    let known = incidents(&bench.process().again()).await.unwrap();
    known.into_iter().filter(lifeboat_model::Incident::is_open).map(|incident| incident.name).collect()
}
