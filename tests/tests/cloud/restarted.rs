//! The source's server goes away and comes back while a backup reads rows: by an orderly restart, and by a crash.

use lifeboat_bench::Gate;
use lifeboat_local::{DATABASE, PostgresServer};

use crate::bench::{SMALL_CLINIC, small_stage};
use crate::proxy::{Act, Fault, Proxy};
use crate::trouble::{PATIENCE, Trouble};

/// How a server goes away. It is started again on the same port with the same data.
type GoAway = fn(&mut PostgresServer);

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_or_crashes_while_rows_are_read_ends_the_backup_and_the_next_run_completes() {
    // One session, which can store no more than one of its pieces while the gate is closed.
    let mut trouble = Trouble::on(small_stage(&[("Sessions", "1")]).await).await;
    let mut server = PostgresServer::start("restarted").unwrap();
    server.psql("postgres", &format!("CREATE DATABASE {DATABASE}")).unwrap();
    server.psql(DATABASE, SMALL_CLINIC).unwrap();
    let proxy = Proxy::start(trouble.stage.cloud(), &trouble.stage.deployment().backup.name.clone()).await;
    trouble.stage.change(&[("EndpointUrl", proxy.url())]).await.unwrap();
    trouble.connect_as(&server.url(DATABASE)).await;

    let ways: [GoAway; 2] = [|server| server.stop().unwrap(), |server| server.crash().unwrap()];
    for (turn, go_away) in ways.into_iter().enumerate() {
        server
            .psql(DATABASE, &format!("UPDATE patients SET name = 'patient in turn {turn}' WHERE id % 7 = 0"))
            .unwrap();
        let gate = Gate::new();
        proxy.begin(Some(Fault::each(&["PUT /", "/chunks/"], Act::Hold(gate.clone()))));
        let (answer, ()) = tokio::join!(trouble.order_backup(), async {
            // The first rows and the schema: `pg_dump` is done, and only the sessions that read rows are left.
            for _ in 0..2 {
                tokio::time::timeout(PATIENCE, gate.arrival()).await.expect("the backup ended before it stored rows");
            }
            let readers = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'lifeboat%'";
            assert_ne!(server.psql(DATABASE, readers).unwrap(), "0", "nobody reads");
            go_away(&mut server);
            server.restart().unwrap();
            gate.open();
        });
        trouble.assert_told(&answer, &["look in the server's log for a restart, a failover"]).await;
        let message = answer.payload["errorMessage"].as_str().unwrap();
        eprintln!("{message}");
        assert!(
            message.contains("server closed the connection") || message.contains("the snapshot has ended"),
            "{message}"
        );
        assert_eq!(trouble.manifests().await, Vec::<String>::new());
    }

    proxy.begin(None);
    let taken = trouble.order_backup().await;
    assert!(!taken.failed, "{}", taken.payload);
    assert_eq!(taken.payload["totals"]["rows"], 25_000);
    assert_eq!(trouble.manifests().await.len(), 2);
    trouble.assert_logs_are_clean().await;
}
