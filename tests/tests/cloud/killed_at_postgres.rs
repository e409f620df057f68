//! The processes of `backup` and `test-restore` killed at requests to PostgreSQL all over their runs.

use std::time::Duration;

use lifeboat_bench::{KillMoment, KillPoint, KillSwitch, Port, PostgresWire};
use lifeboat_local::{DATABASE, DeployedFunction, Invocation, PostgresServer, SCRATCH_SECRET, SOURCE_SECRET, Stage};
use lifeboat_model::{BackupId, DatabaseName, Site};
use serde_json::{Value, json};

use crate::bench::small_stage;
use crate::killed_readers::{scratch_databases, wait_until_nobody_is_connected};
use crate::process;
use crate::stored::{BOTH, Stored};

/// Kills of each function, spread over its requests.
const KILLS: u64 = 8;

/// Runs may end before they come to their last point: a backup's watcher asks again and again, and makes more requests of a run that
/// takes longer.
const ALIVE: u64 = 2;

/// They take turns. A process that has its answer goes on with other services until its next request to PostgreSQL.
const MOMENTS: [KillMoment; 2] = [KillMoment::Before, KillMoment::Unanswered];

/// A verification that was caused by an event ends long before.
const PATIENCE: Duration = Duration::from_secs(120);

/// A function whose way to its server leads past a switch.
struct Switched<'a> {
    stage: &'a Stage,
    function: &'a DeployedFunction,
    order: Value,
    server: &'a PostgresServer,
    secret: &'static str,
    database: &'static str,
}

impl Switched<'_> {
    /// Runs the function, and kills its process at `point`.
    async fn run(&self, point: Option<KillPoint>) -> (Invocation, KillSwitch) {
        let cloud = self.stage.cloud();
        let (group, function) = (cloud.process_group(), self.function.name.clone());
        let switch = KillSwitch::with(point, move || {
            process::find(group, &function, &[]).into_iter().for_each(|process| process::kill(group, process));
        });
        let wire = PostgresWire::start(self.server.port(), switch.clone()).await;
        let url = self.server.url(self.database);
        let ports = [self.server.port(), wire.port()].map(|port| format!(":{port}/"));
        assert!(url.contains(&ports[0]));
        cloud.change_secret(self.secret, &url.replace(&ports[0], &ports[1])).await.unwrap();
        (cloud.invoke(self.function, &self.order).await.unwrap(), switch)
    }

    /// Where to kill it: all over an undisturbed run, whose answer is returned, too.
    async fn points(&self) -> (Invocation, Vec<KillPoint>) {
        let (answer, switch) = self.run(None).await;
        assert!(!answer.failed, "{answer:?}");
        let requests = switch.count(Port::Postgres);
        assert!(requests > 100, "{requests}");
        eprintln!("{requests} requests to PostgreSQL of an undisturbed run of {}", self.function.name);
        let spread = (0..KILLS).map(|n| 1 + n * (requests - 1) / (KILLS - 1));
        let points = spread.zip(MOMENTS.into_iter().cycle());
        (answer, points.map(|(number, moment)| KillPoint { port: Port::Postgres, number, moment }).collect())
    }

    /// Runs it as far as this point. The answer, if it ended well before it came there.
    async fn kill(&self, point: KillPoint) -> Option<Invocation> {
        let (answer, switch) = self.run(Some(point)).await;
        assert_eq!(switch.is_dead(), answer.failed, "{point:?}: {answer:?}");
        let fate = if switch.is_dead() { "killed at" } else { "ended before" };
        eprintln!("{}: {fate} {point:?}", self.function.name);
        wait_until_nobody_is_connected(self.server).await;
        (!answer.failed).then_some(answer)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_and_a_drill_killed_at_any_of_many_requests_to_postgresql_do_no_harm_and_the_next_ones_end_well() {
    let stage = small_stage(&[]).await;
    kill_backups(&stage).await;
    kill_drills(&stage).await;
}

async fn kill_backups(stage: &Stage) {
    let name: DatabaseName = DATABASE.parse().unwrap();
    let server = stage.source().unwrap();
    let (secret, order) = (SOURCE_SECRET, json!({"database": DATABASE}));
    let backup = Switched { stage, function: &stage.deployment().backup, order, server, secret, database: DATABASE };
    let (first, points) = backup.points().await;
    stage.tap().wait_for("Verification Completed", PATIENCE, |_| ()).await.unwrap();
    let stored = Stored::on(stage).await;
    let id_of = |answer: &Invocation| -> BackupId { answer.payload["backup_id"].as_str().unwrap().parse().unwrap() };
    let mut complete = vec![id_of(&first)];
    let mut alive = 0;
    for point in points {
        if let Some(taken) = backup.kill(point).await {
            alive += 1;
            stage.tap().wait_for("Verification Completed", PATIENCE, |_| ()).await.unwrap();
            complete.push(id_of(&taken));
        }
        // Nothing is published before the last row is read.
        for site in BOTH {
            assert_eq!(stored.backups(&name, site).await, complete, "{point:?}");
        }
        // The dead run's lease ends by itself, as other tests show; here nobody waits for it.
        stored.delete(Site::Primary, "leases/backup-clinic.json").await;
        stored.end_turns().await;
        let (next, _) = backup.run(None).await;
        assert!(!next.failed, "{point:?}: {next:?}");
        stage.tap().wait_for("Verification Completed", PATIENCE, |_| ()).await.unwrap();
        let id = id_of(&next);
        complete.push(id.clone());
        for site in BOTH {
            let (manifest, _) = stored.assert_whole(&name, &id, site).await;
            assert_eq!(manifest.totals.rows, 25_000, "{point:?}");
            assert_eq!(stored.backups(&name, site).await, complete, "{point:?}");
        }
    }
    assert!(alive <= ALIVE, "{alive} runs were not killed");
}

async fn kill_drills(stage: &Stage) {
    let (secret, order) = (SCRATCH_SECRET, json!({"database": DATABASE, "backup": "newest", "site": "offsite"}));
    let (function, server) = (&stage.deployment().test_restore, stage.scratch());
    let drill = Switched { stage, function, order, server, secret, database: "postgres" };
    let (_, points) = drill.points().await;
    let (mut left, mut alive) = (0, 0);
    for point in points {
        alive += u64::from(drill.kill(point).await.is_some());
        left += scratch_databases(stage);
        let (next, _) = drill.run(None).await;
        assert!(!next.failed && next.payload[0]["equal"] == true, "{point:?}: {next:?}");
        assert_eq!(scratch_databases(stage), 0, "{point:?}");
    }
    assert!(left > 0, "no drill died while its database was there");
    assert!(alive <= ALIVE, "{alive} drills were not killed");
}
