//! The laws of a register: no change is lost, none counts twice, and whoever is killed leaves a document that the next writer changes.

use std::sync::Arc;

use futures_util::future::join_all;
use lifeboat_bench::{Fault, FaultyStore, Gate, KillMoment, KillPoint, KillSwitch, MOMENTS, MemoryStore, MortalStore};
use lifeboat_bench::{Operation, PLACEMENTS, Placement, Port, Refusal, Rule, Script, Tally, WRITERS};
use lifeboat_bench::{TALLY_KEY as KEY, TALLY_LIMIT_BYTES as LIMIT_BYTES, add_name as add, tally as register};
use lifeboat_model::{Response, Site};
use lifeboat_vault::{ObjectStore, Register, Sites, States, VaultError};

#[derive(Clone, Default)]
struct Disks {
    primary: MemoryStore,
    offsite: MemoryStore,
}

impl Disks {
    fn sites(&self) -> Sites {
        Sites::new(Some(Arc::new(self.primary.clone())), Some(Arc::new(self.offsite.clone())))
    }

    /// Each site behind a script of its own.
    fn scripted(&self) -> (Sites, Script, Script) {
        let (near, far) = (Script::new(), Script::new());
        let store = |disk: &MemoryStore, script: &Script| -> Arc<dyn ObjectStore> {
            Arc::new(FaultyStore::new(disk.clone(), script.clone()))
        };
        let sites = Sites::new(Some(store(&self.primary, &near)), Some(store(&self.offsite, &far)));
        (sites, near, far)
    }

    /// Stores that take their time: writers that never wait would never meet.
    fn slow(&self) -> Sites {
        let (sites, near, far) = self.scripted();
        for script in [near, far] {
            script.add(Rule::always(Fault::Slow(std::time::Duration::from_millis(1))));
        }
        sites
    }

    fn mortal(&self, switch: &KillSwitch) -> Sites {
        let store = |disk: &MemoryStore| -> Arc<dyn ObjectStore> {
            Arc::new(MortalStore { store: disk.clone(), switch: switch.clone() })
        };
        Sites::new(Some(store(&self.primary)), Some(store(&self.offsite)))
    }

    async fn names(&self, placement: Placement) -> Vec<String> {
        register(&self.sites(), placement).read().await.unwrap().document.unwrap_or_default().names
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_eight_writers_at_once_each_change_counts_exactly_once() {
    for placement in PLACEMENTS {
        let disks = Disks::default();
        lifeboat_bench::assert_each_change_counts_once(|| disks.slow(), placement, 6).await;
    }
}

/// Counts what a change asks for, then kills it at each of its requests.
#[tokio::test]
async fn a_writer_killed_at_any_request_leaves_a_document_that_the_next_one_changes() {
    for placement in PLACEMENTS {
        let counting = KillSwitch::new(None);
        let disks = Disks::default();
        add(&register(&disks.sites(), placement), "first").await.unwrap();
        add(&register(&disks.mortal(&counting), placement), "second").await.unwrap();
        let requests = counting.count(Port::S3);
        assert!(requests >= 2, "{placement:?}: {requests}");
        for number in 1..=requests {
            for moment in MOMENTS {
                let disks = Disks::default();
                add(&register(&disks.sites(), placement), "first").await.unwrap();
                let switch = KillSwitch::new(Some(KillPoint { port: Port::S3, number, moment }));
                let dying = register(&disks.mortal(&switch), placement);
                tokio::select! {
                    biased;
                    () = switch.death() => {}
                    done = add(&dying, "killed") => assert!(done.is_ok() && moment == KillMoment::After),
                }
                add(&register(&disks.sites(), placement), "next").await.unwrap();
                let names = disks.names(placement).await;
                let expected: [&[&str]; 2] = [&["first", "next"], &["first", "killed", "next"]];
                assert!(
                    expected.iter().any(|expected| names == *expected),
                    "{placement:?} {number} {moment:?} {names:?}"
                );
                if placement == Placement::EverySite {
                    assert_eq!(disks.primary.bytes(KEY), disks.offsite.bytes(KEY), "{number} {moment:?}");
                }
            }
        }
    }
}

/// As the SDK does: the answer is lost, the write is repeated, and the condition no longer holds.
#[tokio::test]
async fn a_write_whose_answer_was_lost_and_that_was_repeated_counts_once() {
    for placement in PLACEMENTS {
        let disks = Disks::default();
        add(&register(&disks.sites(), placement), "first").await.unwrap();
        let (sites, near, _) = disks.scripted();
        near.add(Rule::always(Fault::RepeatedWrite).on(Operation::Put).only_nth(1));
        let changed = add(&register(&sites, placement), "second").await.unwrap();
        assert_eq!(changed.before.map(|before| before.names), Some(vec!["first".to_owned()]), "{placement:?}");
        assert_eq!(disks.names(placement).await, ["first", "second"], "{placement:?}");
        if placement == Placement::EverySite {
            assert_eq!(disks.primary.bytes(KEY), disks.offsite.bytes(KEY));
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_for_good_is_an_error_to_be_retried_where_no_other_site_decides() {
    let disks = Disks::default();
    let (sites, near, _) = disks.scripted();
    near.add(Rule::always(Fault::FailAfterWrite).on(Operation::Put).only_nth(1));
    let error = add(&register(&sites, Placement::Primary), "lost").await.unwrap_err();
    assert_eq!(error.advice().response, Response::Retry, "{error:?}");
    assert_eq!(disks.names(Placement::Primary).await, ["lost"], "it says nothing about what was written");
}

#[tokio::test]
async fn a_site_that_is_away_is_asked_once_and_gets_the_newest_document_when_it_is_back() {
    for away in [Site::Primary, Site::Offsite] {
        let disks = Disks::default();
        add(&register(&disks.sites(), Placement::EverySite), "first").await.unwrap();
        let (sites, near, far) = disks.scripted();
        let script = if away == Site::Primary { near } else { far };
        script.add(Rule::always(Fault::Reject(Refusal::Unavailable)));
        for name in ["second", "third"] {
            add(&register(&sites, Placement::EverySite), name).await.unwrap();
        }
        assert_eq!(script.requests(), 1, "{away}: a site that does not answer is not asked again in a run");
        assert_ne!(disks.primary.bytes(KEY), disks.offsite.bytes(KEY));
        assert_eq!(disks.names(Placement::EverySite).await, ["first", "second", "third"], "{away}");
        add(&register(&disks.sites(), Placement::EverySite), "fourth").await.unwrap();
        assert_eq!(disks.names(Placement::EverySite).await, ["first", "second", "third", "fourth"], "{away}");
        assert_eq!(disks.primary.bytes(KEY), disks.offsite.bytes(KEY), "{away}");
    }
}

#[tokio::test]
async fn a_site_that_hangs_is_waited_for_once_and_not_for_ever() {
    let disks = Disks::default();
    let (sites, near, _) = disks.scripted();
    near.add(Rule::always(Fault::Hold(Gate::new())));
    for name in ["first", "second"] {
        add(&register(&sites, Placement::EverySite), name).await.unwrap();
    }
    assert_eq!(near.requests(), 1, "the site was waited for once");
    assert_eq!(disks.names(Placement::EverySite).await, ["first", "second"]);
}

#[tokio::test]
async fn no_site_that_answers_is_an_error_and_not_an_empty_register() {
    let disks = Disks::default();
    let (sites, near, far) = disks.scripted();
    for script in [&near, &far] {
        script.add(Rule::always(Fault::Reject(Refusal::Unavailable)));
    }
    for _ in 0..2 {
        let error = register(&sites, Placement::EverySite).read().await.unwrap_err();
        assert!(matches!(error, VaultError::Store { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_document_that_cannot_be_read_counts_as_missing_and_is_replaced() {
    let damages: [fn(&MemoryStore); 2] =
        [|disk| assert!(disk.truncate(KEY, 5)), |disk| disk.replace(KEY, vec![b' '; LIMIT_BYTES as usize + 1])];
    for placement in PLACEMENTS {
        for damage in damages {
            let disks = Disks::default();
            add(&register(&disks.sites(), placement), "first").await.unwrap();
            damage(&disks.primary);
            let reading = register(&disks.sites(), placement).read().await.unwrap();
            // On every site, the other copy still counts.
            assert_eq!(reading.document.is_some(), placement == Placement::EverySite, "{placement:?}");
            assert_eq!(reading.fault.is_some(), placement != Placement::EverySite, "{placement:?}");
            let changed = add(&register(&disks.sites(), placement), "second").await.unwrap();
            assert_eq!(changed.before.is_some(), placement == Placement::EverySite, "{placement:?}");
            assert_eq!(disks.names(placement).await.last().unwrap(), "second");
        }
    }
}

#[tokio::test]
async fn a_writer_that_never_wins_gives_up_and_says_so() {
    let disks = Disks::default();
    add(&register(&disks.sites(), Placement::Primary), "first").await.unwrap();
    let (sites, near, _) = disks.scripted();
    near.add(Rule::always(Fault::LostRace).on(Operation::Put));
    let error = add(&register(&sites, Placement::Primary), "second").await.unwrap_err();
    assert!(matches!(&error, VaultError::Contended { key, .. } if key == KEY), "{error:?}");
    assert_eq!(error.advice().response, Response::Retry);
    assert!(near.requests() < 100, "{}", near.requests());
    assert_eq!(disks.names(Placement::Primary).await, ["first"]);
}

#[tokio::test]
async fn what_decides_may_leave_the_document_and_may_refuse() {
    let disks = Disks::default();
    let register = register(&disks.sites(), Placement::FirstSite);
    assert!(register.change(|_| Ok::<_, VaultError>(None)).await.unwrap().is_none());
    let refused = register.change(|_| Err(VaultError::NoRepository)).await.unwrap_err();
    assert!(matches!(refused, VaultError::NoRepository));
    assert!(disks.primary.keys("").is_empty());
    assert!(register.read().await.unwrap().document.is_none());
}

#[tokio::test]
async fn a_key_that_is_too_long_or_leaves_its_folder_is_refused() {
    let sites = Disks::default().sites();
    for key in [String::new(), "state/../x".to_owned(), "state//x".to_owned(), format!("state/{}", "x".repeat(600))] {
        let refused = Register::<Tally>::on_primary(&sites, key.clone(), LIMIT_BYTES).err();
        assert!(matches!(refused, Some(VaultError::BadKey { .. })), "{key}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn states_are_changed_by_several_runs_at_once_and_none_is_lost() {
    let disks = Disks::default();
    let writers = (0..WRITERS).map(|writer| {
        let states = States::new(&disks.slow());
        tokio::spawn(async move {
            let decide = |tally: Option<&Tally>| Some(Tally::with(tally, &writer.to_string()));
            states.change("tally", decide).await.unwrap().unwrap().after.revision
        })
    });
    let mut revisions: Vec<u64> = join_all(writers).await.into_iter().map(Result::unwrap).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=WRITERS as u64).collect::<Vec<_>>());
    assert_eq!(States::new(&disks.sites()).read::<Tally>("tally").await.unwrap().value.unwrap().names.len(), WRITERS);
}
