//! Restores killed at requests to PostgreSQL all over their runs, as a function and at a terminal: the next attempt goes on, and nothing is loaded
//! twice.
//!
//! A sample of all requests is tried. `LIFEBOAT_KILLS=50` kills each of the two at so many.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use lifeboat_bench::{KillMoment, KillPoint, KillSwitch, Port, PostgresWire};
use lifeboat_local::{DATABASE, SCRATCH_SECRET, Stage};
use serde_json::{Value, json};

use crate::bench::small_stage;
use crate::killed_readers::wait_until_nobody_is_connected;
use crate::process;

/// Kills of each of the two, spread over the requests of a restore.
const KILLS: u64 = 6;

/// They take turns: a statement that the server never gets, and one whose answer never comes.
const MOMENTS: [KillMoment; 2] = [KillMoment::Before, KillMoment::Unanswered];

/// The database to restore into.
const TARGET: &str = "killed";

/// Who restores.
#[derive(Debug, Clone, Copy)]
enum By {
    Function,
    Terminal,
}

/// What became of an attempt.
struct Attempt {
    /// The report; nothing when the process was killed.
    report: Option<Value>,
    /// Requests to PostgreSQL.
    requests: u64,
    is_dead: bool,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_killed_at_any_of_many_requests_goes_on_and_loads_nothing_twice() {
    let stage = small_stage(&[]).await;
    let order = json!({"database": DATABASE});
    assert!(!stage.cloud().invoke(&stage.deployment().backup, &order).await.unwrap().failed);
    let kills = std::env::var("LIFEBOAT_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    for by in [By::Function, By::Terminal] {
        let undisturbed = attempt(&stage, by, None).await;
        assert_whole(&stage, undisturbed.report.as_ref(), "undisturbed");
        let requests = undisturbed.requests;
        assert!(requests > 100, "{requests}");
        let (mut died, mut went_on) = (0, 0);
        for (n, moment) in (0..kills).zip(MOMENTS.into_iter().cycle()) {
            let number = 1 + n * (requests - 1) / kills;
            let point = KillPoint { port: Port::Postgres, number, moment };
            let killed = attempt(&stage, by, Some(point)).await;
            assert_eq!(killed.is_dead, killed.report.is_none(), "{by:?} {point:?}");
            died += u64::from(killed.is_dead);
            wait_until_nobody_is_connected(stage.scratch()).await;
            went_on += u64::from(holds_marks(&stage));
            let next = if killed.is_dead { attempt(&stage, by, None).await } else { killed };
            assert_whole(&stage, next.report.as_ref(), &format!("{by:?} {point:?}"));
        }
        eprintln!("{by:?}: {requests} requests to PostgreSQL, {died} of {kills} killed, {went_on} went on");
        assert!(died + 1 >= kills && went_on > 0, "{by:?}: {died} of {kills} were killed, {went_on} went on");
    }
}

/// Whether the database holds an unfinished restore. It may not be there yet.
fn holds_marks(stage: &Stage) -> bool {
    let marks = stage.scratch().psql(TARGET, "SELECT to_regclass('lifeboat_restore.done') IS NOT NULL");
    marks.is_ok_and(|there| there == "t")
}

/// Everything is there once, the marks are gone; then the database is dropped.
fn assert_whole(stage: &Stage, report: Option<&Value>, what: &str) {
    let report = report.unwrap_or_else(|| panic!("{what}: the restore did not come to an end"));
    assert_eq!((&report["outcome"], &report["rows"]), (&json!("whole"), &json!(25_000)), "{what}: {report}");
    let counts =
        "SELECT (SELECT count(*) FROM patients), (SELECT count(*) FROM visits), to_regnamespace('lifeboat_restore')";
    assert_eq!(stage.scratch().psql(TARGET, counts).unwrap(), "5000|20000|", "{what}");
    stage.scratch().psql("postgres", &format!("DROP DATABASE {TARGET} WITH (FORCE)")).unwrap();
}

async fn attempt(stage: &Stage, by: By, point: Option<KillPoint>) -> Attempt {
    match by {
        By::Function => by_function(stage, point).await,
        By::Terminal => by_terminal(stage, point).await,
    }
}

/// Plans and restores as a person at the console does. The plan is a part of it: its requests count.
async fn by_function(stage: &Stage, point: Option<KillPoint>) -> Attempt {
    let (cloud, restore) = (stage.cloud(), &stage.deployment().restore);
    let (group, name) = (cloud.process_group(), restore.name.clone());
    let switch = KillSwitch::with(point, move || {
        process::find(group, &name, &[]).into_iter().for_each(|process| process::kill(group, process));
    });
    let wire = PostgresWire::start(stage.scratch().port(), switch.clone()).await;
    cloud.change_secret(SCRATCH_SECRET, &through(stage, &wire, "postgres")).await.unwrap();
    let order = json!({"database": DATABASE, "to": TARGET});
    let planned = cloud.invoke(restore, &order).await.unwrap();
    let mut report = None;
    if !planned.failed {
        let order = json!({"database": DATABASE, "to": TARGET, "plan": planned.payload["hash"]});
        let answer = cloud.invoke(restore, &order).await.unwrap();
        assert!(switch.is_dead() || !answer.failed, "{answer:?}");
        report = (!answer.failed).then_some(answer.payload);
    }
    Attempt { report, requests: switch.count(Port::Postgres), is_dead: switch.is_dead() }
}

async fn by_terminal(stage: &Stage, point: Option<KillPoint>) -> Attempt {
    let process = Arc::new(AtomicU32::new(0));
    let killed = Arc::clone(&process);
    let switch = KillSwitch::with(point, move || {
        let process = killed.load(Ordering::SeqCst).to_string();
        assert!(Command::new("kill").args(["-s", "KILL", &process]).status().unwrap().success());
    });
    let wire = PostgresWire::start(stage.scratch().port(), switch.clone()).await;
    let mut command = Command::new(stage.cloud().executable("lifeboat").unwrap());
    command.args(["restore", "--yes", "--json"]).envs(stage.environment());
    command.env("LIFEBOAT_TO_URL", through(stage, &wire, TARGET)).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    process.store(child.id(), Ordering::SeqCst);
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let report = String::from_utf8_lossy(&output.stdout);
    // The process is gone before the switch says so.
    let is_dead = output.status.code().is_none();
    assert!(is_dead || output.status.success(), "{:?}: {said}{report}", output.status);
    let report = output.status.success().then(|| serde_json::from_str(&report).unwrap());
    Attempt { report, requests: switch.count(Port::Postgres), is_dead }
}

/// The URL of a database on the server of restores, past the switch.
fn through(stage: &Stage, wire: &PostgresWire, database: &str) -> String {
    let url = stage.scratch().url(database);
    let ports = [stage.scratch().port(), wire.port()].map(|port| format!(":{port}/"));
    assert!(url.contains(&ports[0]));
    url.replace(&ports[0], &ports[1])
}
