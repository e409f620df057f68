//! Backups while others write: each is one state that the database really was in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lifeboat_model::Site;
use tokio_postgres::{Client, NoTls};

use crate::bench::Bench;

const WRITERS: u64 = 8;
const BACKUPS: usize = 6;
/// What all accounts hold together, always.
const TOTAL: u64 = 200 * 1000;

/// Accounts with the log that explains every balance; a table of updates in place; one of values kept out of line.
const BANK: &str = "
CREATE TABLE account (id bigserial PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0));
CREATE TABLE transfer (id bigserial PRIMARY KEY, source bigint, target bigint NOT NULL, amount bigint NOT NULL);
CREATE TABLE meter (id int PRIMARY KEY, ticks bigint NOT NULL) WITH (fillfactor = 40);
CREATE TABLE tick (meter int NOT NULL);
CREATE TABLE document (id int PRIMARY KEY, version bigint NOT NULL, body text NOT NULL);
ALTER TABLE document ALTER COLUMN body SET STORAGE EXTERNAL;
INSERT INTO account (balance) SELECT 1000 FROM generate_series(1, 200);
INSERT INTO transfer (target, amount) SELECT id, balance FROM account;
INSERT INTO meter SELECT i, 0 FROM generate_series(1, 40) i;
INSERT INTO document SELECT i, 0, repeat(md5(i || ':0'), 300) FROM generate_series(1, 60) i;
-- Weight, so that a backup takes a while and has many slices.
CREATE TABLE ballast AS SELECT i, repeat(md5(i::text), 8) AS text FROM generate_series(1, 60000) i";

/// A table rewritten or a balance torn shows in one of these; each is 0 in every committed state.
const BROKEN: [(&str, &str); 6] = [
    ("balances that the log does not explain", "
        SELECT count(*) FROM account FULL JOIN (
            SELECT account, sum(amount) AS balance FROM (
                SELECT target AS account, amount FROM transfer UNION ALL SELECT source, -amount FROM transfer
                WHERE source IS NOT NULL) moves GROUP BY account) explained
          ON explained.account = account.id
        WHERE COALESCE(account.balance, 0) <> COALESCE(explained.balance, 0)"),
    ("money made or lost", "SELECT sum(balance) - 200000 FROM account"),
    ("meters that do not agree with their ticks", "
        SELECT count(*) FROM meter LEFT JOIN (SELECT meter, count(*) AS ticks FROM tick GROUP BY meter) t ON t.meter = meter.id
        WHERE meter.ticks <> COALESCE(t.ticks, 0)"),
    ("documents of two versions at once", "SELECT count(*) FROM document WHERE body <> repeat(md5(id || ':' || version), 300)"),
    ("keys given out that the sequence would give again", "
        SELECT count(*) FROM transfer WHERE id > (SELECT last_value FROM transfer_id_seq)"),
    ("ballast", "SELECT count(*) - 60000 FROM ballast"),
];

/// One transaction after another until it is told to stop.
async fn write(client: Client, writer: u64, stop: Arc<AtomicBool>, committed: Arc<AtomicU64>) {
    let mut dice = writer + 1;
    let mut roll = |sides: u64| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % sides
    };
    while !stop.load(Ordering::Relaxed) {
        let (amount, meter, document) = (roll(50) + 1, roll(40) + 1, roll(60) + 1);
        // Two accounts by chance, locked in the order of their keys; random() would make the run hard to repeat.
        let (one, other) = (roll(1000), roll(1000));
        let pick = |place: u64| {
            format!("(SELECT id FROM account ORDER BY id OFFSET {place} % (SELECT count(*) FROM account) LIMIT 1)")
        };
        let sql = match roll(10) {
            0 => "WITH opened AS (INSERT INTO account (balance) VALUES (0) RETURNING id)
                  INSERT INTO transfer (source, target, amount) SELECT NULL, id, 0 FROM opened"
                .to_owned(),
            // Closing an account moves what is in it to another.
            1 => format!(
                "WITH two AS MATERIALIZED (SELECT id, balance FROM account WHERE id IN ({}, {}) ORDER BY id FOR UPDATE),
                      ends AS (SELECT min(id) AS kept, max(id) AS closed FROM two HAVING count(*) = 2),
                      moved AS (UPDATE account a SET balance = a.balance + two.balance FROM two, ends
                                WHERE a.id = ends.kept AND two.id = ends.closed RETURNING ends.closed, ends.kept, two.balance),
                      logged AS (INSERT INTO transfer (source, target, amount) SELECT closed, kept, balance FROM moved)
                 DELETE FROM account USING moved WHERE account.id = moved.closed",
                pick(one),
                pick(other)
            ),
            2..=4 => format!(
                "UPDATE meter SET ticks = ticks + 1 WHERE id = {meter}; INSERT INTO tick VALUES ({meter})"
            ),
            5 => format!(
                "UPDATE document SET version = version + 1, body = repeat(md5(id || ':' || version + 1), 300) WHERE id = {document}"
            ),
            _ => format!(
                "WITH two AS MATERIALIZED (SELECT id, balance FROM account WHERE id IN ({}, {}) ORDER BY id FOR UPDATE),
                      ends AS (SELECT min(id) AS source, max(id) AS target FROM two HAVING count(*) = 2),
                      paid AS (UPDATE account a SET balance = balance - {amount} FROM ends
                               WHERE a.id = ends.source AND balance >= {amount} RETURNING ends.source, ends.target),
                      got AS (UPDATE account a SET balance = balance + {amount} FROM paid WHERE a.id = paid.target)
                 INSERT INTO transfer (source, target, amount) SELECT source, target, {amount} FROM paid",
                pick(one),
                pick(other)
            ),
        };
        // Now and then a transaction takes its time, so that snapshots see many under way; some are rolled back.
        let pause = if roll(20) == 0 { "SELECT pg_sleep(0.02);" } else { "" };
        let end = if roll(15) == 0 { "ROLLBACK" } else { "COMMIT" };
        match client.batch_execute(&format!("BEGIN; {sql}; {pause} {end}")).await {
            Ok(()) => committed.fetch_add(u64::from(end == "COMMIT"), Ordering::Relaxed),
            Err(error) if error.code().is_some_and(|code| matches!(code.code(), "40P01" | "40001")) => {
                client.batch_execute("ROLLBACK").await.unwrap();
                0
            }
            Err(error) => panic!("writer {writer}: {error}: {:?}", error.as_db_error()),
        };
    }
}

async fn connect(bench: &Bench) -> Client {
    let (client, connection) = tokio_postgres::connect(&bench.server.url("clinic_source"), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_eight_writers_move_money_every_backup_is_a_state_that_was_committed() {
    let bench = Bench::with("writers", BANK);
    let (stop, committed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write(connect(&bench).await, writer, Arc::clone(&stop), Arc::clone(&committed)));
    }
    let (vacuum, stopped) = (connect(&bench).await, Arc::clone(&stop));
    writers.spawn(async move {
        while !stopped.load(Ordering::Relaxed) {
            vacuum.batch_execute("VACUUM account").await.unwrap();
            vacuum.batch_execute("VACUUM (FREEZE) meter").await.unwrap();
            vacuum.batch_execute("VACUUM document").await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });

    let (mut backups, mut counts) = (Vec::new(), Vec::new());
    for _ in 0..BACKUPS {
        let mut process = bench.process();
        process.run.ports.sessions = 3;
        let before = committed.load(Ordering::Relaxed);
        backups.push(process.back_up(&bench.request()).await.unwrap());
        counts.push(committed.load(Ordering::Relaxed) - before);
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    assert!(counts.iter().all(|count| *count > 20), "nothing was written while a backup ran: {counts:?}");
    for (what, sql) in BROKEN {
        assert_eq!(bench.sql(sql), "0", "the source itself: {what}");
    }

    let mut transfers = Vec::new();
    for (number, manifest) in backups.iter().enumerate() {
        let name = format!("restored_{number}");
        let site = if number % 2 == 0 { Site::Primary } else { Site::Offsite };
        let mut request = bench.restore_request(site, bench.empty_database(&name));
        request.backup = Some(manifest.backup_id.clone());
        let report = bench.process().restore(&request).await.unwrap().proved;
        assert!(report.equal, "{name}: {:?}", report.findings);
        for (what, sql) in BROKEN {
            assert_eq!(bench.server.psql(&name, sql).unwrap(), "0", "{name}: {what}");
        }
        assert_eq!(bench.server.psql(&name, "SELECT sum(balance) FROM account").unwrap(), TOTAL.to_string());
        let seen: u64 = bench.server.psql(&name, "SELECT count(*) FROM transfer").unwrap().parse().unwrap();
        transfers.push(seen);
        bench.server.psql("postgres", &format!("DROP DATABASE {name}")).unwrap();
    }
    assert!(transfers.windows(2).all(|pair| pair[0] < pair[1]), "later backups show later states: {transfers:?}");
    println!(
        "{} transactions; during each backup {counts:?}; transfers in each {transfers:?}",
        committed.load(Ordering::Relaxed)
    );
}
