use lifeboat_bench::Moment;
use lifeboat_model::{BackupId, Site};
use lifeboat_vault::Repository;

use lifeboat_bench::{Bench, assert_restores, back_up, backup_id, database};

async fn whole_run(bench: &Bench, id: &BackupId) -> Result<(), lifeboat_vault::VaultError> {
    let repository = bench.open_or_create().await?;
    let previous = repository.manifests(&database(), Site::Primary).await?.pop();
    let previous = match previous {
        Some(previous) => Some(repository.authenticated_manifest(&database(), &previous, Site::Primary).await?),
        None => None,
    };
    back_up(&repository, id, previous.as_ref()).await.map(drop)
}

async fn listed(bench: &Bench, site: Site) -> Vec<BackupId> {
    match Repository::open(bench.sites(), bench.keys.clone()).await {
        Ok(repository) => repository.manifests(&database(), site).await.unwrap(),
        Err(_) => Vec::new(),
    }
}

/// Kills a run at every one of its requests, before and after it takes effect.
#[tokio::test]
async fn a_run_killed_at_any_request_leaves_no_false_backup_and_the_next_one_reuses() {
    let untouched = Bench::new();
    whole_run(&untouched, &backup_id(1)).await.unwrap();
    let requests = untouched.script.requests();
    assert!(requests > 30, "{requests}");

    let mut died = 0;
    for moment in [Moment::Before, Moment::After] {
        for n in 1..=requests {
            let bench = Bench::new();
            bench.script.die_at(n, moment);
            let killed = whole_run(&bench, &backup_id(1)).await;
            died += u64::from(bench.script.is_dead());
            assert!(killed.is_err(), "request {n}, {moment:?}: a killed run cannot report success");
            bench.script.clear();

            // What is listed after the kill is whole on the site that lists it.
            for site in [Site::Primary, Site::Offsite] {
                for id in listed(&bench, site).await {
                    let repository = Repository::open(bench.sites(), bench.keys.clone()).await.unwrap();
                    assert_restores(&repository, &id, site).await;
                    assert!(n + 2 >= requests, "request {n}, {moment:?}: listed on {site} long before the end");
                }
            }

            let chunks_before = bench.primary.keys("chunks/");
            bench.script.clear();
            whole_run(&bench, &backup_id(2)).await.unwrap();
            let sent_again =
                bench.script.log().iter().any(|(operation, key)| {
                    *operation == lifeboat_bench::Operation::Put && chunks_before.contains(key)
                });
            assert!(!sent_again, "request {n}, {moment:?}: a stored chunk was sent again");
            let repository = bench.repository().await;
            for site in [Site::Primary, Site::Offsite] {
                assert_restores(&repository, &backup_id(2), site).await;
            }
            assert_eq!(bench.primary.keys("chunks/"), bench.offsite.keys("chunks/"));
            assert_eq!(bench.primary.keys("chunks/").len(), 4);
            assert_eq!(bench.primary.bytes("repository.json"), bench.offsite.bytes("repository.json"));
        }
    }
    assert_eq!(died, 2 * requests, "every kill took place");
}
