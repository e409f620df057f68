//! The laws of a journal: numbers without a gap or a repetition, nothing recorded twice, and either site tells all of it.

use std::sync::Arc;

use lifeboat_bench::{Fault, FaultyStore, KillMoment, KillPoint, KillSwitch, MOMENTS, MemoryStore, MortalStore};
use lifeboat_bench::{Operation, Port, Refusal, Rule, Script, now};
use lifeboat_model::{Response, Site};
use lifeboat_vault::{
    JOURNAL_ENTRIES_LIMIT, JOURNAL_ENTRY_LIMIT_BYTES, Journal, JournalEntry, ObjectStore, Sites, VaultError,
};

const RUN: &str = "0f7c-run-1";
const SITES: [Site; 2] = [Site::Primary, Site::Offsite];

#[derive(Clone, Default)]
struct Disks {
    primary: MemoryStore,
    offsite: MemoryStore,
}

impl Disks {
    fn disk(&self, site: Site) -> &MemoryStore {
        match site {
            Site::Primary => &self.primary,
            Site::Offsite => &self.offsite,
        }
    }

    fn sites(&self) -> Sites {
        Sites::new(Some(Arc::new(self.primary.clone())), Some(Arc::new(self.offsite.clone())))
    }

    fn alone(&self, site: Site) -> Sites {
        let store: Arc<dyn ObjectStore> = Arc::new(self.disk(site).clone());
        match site {
            Site::Primary => Sites::new(Some(store), None),
            Site::Offsite => Sites::new(None, Some(store)),
        }
    }

    /// Each site behind a script of its own.
    fn scripted(&self) -> (Sites, [Script; 2]) {
        let scripts = [Script::new(), Script::new()];
        let store = |site: Site, script: &Script| -> Arc<dyn ObjectStore> {
            Arc::new(FaultyStore::new(self.disk(site).clone(), script.clone()))
        };
        let [near, far] = &scripts;
        (Sites::new(Some(store(Site::Primary, near)), Some(store(Site::Offsite, far))), scripts)
    }

    /// Stores that take their time: writers that never wait would never meet.
    fn slow(&self) -> Sites {
        let (sites, scripts) = self.scripted();
        for script in scripts {
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

    async fn open(&self) -> Journal {
        Journal::open(&self.sites(), RUN).await.unwrap()
    }

    /// Both sites have the same objects, and either one alone tells what both tell.
    async fn assert_mirrored(&self, expected: &[&str], context: &str) {
        for site in SITES {
            let alone = Journal::open(&self.alone(site), RUN).await.unwrap();
            assert_eq!(steps(&alone), expected, "{site} {context}");
            let numbers: Vec<u32> = alone.entries().iter().map(|entry| entry.number).collect();
            assert_eq!(numbers, (1..=expected.len() as u32).collect::<Vec<_>>(), "{site} {context}");
        }
        for key in self.primary.keys("runs/") {
            assert_eq!(self.primary.bytes(&key), self.offsite.bytes(&key), "{key} {context}");
        }
    }
}

fn steps(journal: &Journal) -> Vec<&str> {
    journal.entries().iter().map(|entry| entry.step.as_str()).collect()
}

async fn record(journal: &mut Journal, step: &str) -> Result<JournalEntry, VaultError> {
    journal.append(step, "done", &format!("payload of {step}"), now()).await
}

#[tokio::test]
async fn entries_are_read_back_in_their_order_from_either_site_alone() {
    let disks = Disks::default();
    let mut journal = disks.open().await;
    assert!(journal.entries().is_empty());
    for step in ["plan", "schema", "data"] {
        record(&mut journal, step).await.unwrap();
    }
    disks.assert_mirrored(&["plan", "schema", "data"], "").await;
    let read = disks.open().await;
    let entry = read.find("schema", "done").unwrap();
    assert_eq!((entry.number, entry.at, entry.what.as_str()), (2, now(), "done"));
    assert_eq!(entry.payload::<String>().unwrap(), "payload of schema");
    assert!(entry.payload::<u64>().is_err());
    assert!(read.find("schema", "begun").is_none());
    let expected =
        r#"{"number":2,"at":"2026-11-21T20:49:33Z","step":"schema","what":"done","payload":"payload of schema"}"#;
    let sha256 = lifeboat_vault::sha256(expected.as_bytes());
    let stored = disks.offsite.bytes("runs/0f7c-run-1/0002.json").unwrap();
    assert_eq!(stored, format!(r#"{{"sha256":"{sha256}","entry":{expected}}}"#), "docs/format/repository.md says so");
}

#[tokio::test]
async fn a_step_is_recorded_once_and_never_with_another_payload() {
    let disks = Disks::default();
    let first = record(&mut disks.open().await, "schema").await.unwrap();
    let later = now() + jiff::SignedDuration::from_secs(60);
    let again = disks.open().await.append("schema", "done", &"payload of schema", later).await.unwrap();
    assert_eq!((again.number, again.at), (first.number, first.at));
    let refused = disks.open().await.append("schema", "done", &"another", later).await.unwrap_err();
    assert!(matches!(&refused, VaultError::AlreadyRecorded { key, .. } if key.ends_with("0001.json")), "{refused:?}");
    assert_eq!(refused.advice().response, Response::Fail);
    disks.assert_mirrored(&["schema"], "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_writers_at_once_give_numbers_without_a_gap_or_a_repetition() {
    let disks = Disks::default();
    lifeboat_bench::assert_numbers_have_no_gap(|| disks.slow(), RUN, 6).await;
    disks.assert_mirrored(&steps(&disks.open().await), "eight writers").await;
}

/// Counts what an append asks for, then kills it at each of its requests.
#[tokio::test]
async fn a_run_killed_at_any_request_is_continued_without_a_gap_and_without_a_second_entry() {
    let work = async |sites: Sites| {
        let mut journal = Journal::open(&sites, RUN).await.unwrap();
        for step in ["plan", "schema", "data"] {
            record(&mut journal, step).await.unwrap();
        }
    };
    let counting = KillSwitch::new(None);
    work(Disks::default().mortal(&counting)).await;
    let requests = counting.count(Port::S3);
    assert!(requests >= 8, "{requests}");
    let mut killed = 0;
    for number in 1..=requests {
        for moment in MOMENTS {
            let disks = Disks::default();
            let switch = KillSwitch::new(Some(KillPoint { port: Port::S3, number, moment }));
            tokio::select! {
                biased;
                () = switch.death() => killed += 1,
                () = work(disks.mortal(&switch)) => assert!(number == requests && moment == KillMoment::After),
            }
            work(disks.sites()).await;
            disks.assert_mirrored(&["plan", "schema", "data"], &format!("{number} {moment:?}")).await;
        }
    }
    assert_eq!(killed, 3 * requests - 1, "every kill took place");
}

#[tokio::test]
async fn an_entry_whose_answer_was_lost_is_recorded_once() {
    for (fault, expected) in [
        (Fault::FailAfterWrite, &["plan", "schema", "data"]),
        (Fault::RepeatedWrite, &["plan", "schema", "data"]),
        (Fault::Reject(Refusal::TimedOut), &["plan", "schema", "data"]),
    ] {
        for script in 0..SITES.len() {
            let disks = Disks::default();
            record(&mut disks.open().await, "plan").await.unwrap();
            let (sites, scripts) = disks.scripted();
            scripts[script].add(Rule::always(fault.clone()).on(Operation::Put).only_nth(1));
            record(&mut Journal::open(&sites, RUN).await.unwrap(), "schema").await.unwrap();
            record(&mut disks.open().await, "data").await.unwrap();
            disks.assert_mirrored(expected, "lost answer").await;
        }
    }
    // With one site, the next call finds out.
    let disks = Disks::default();
    let script = Script::new();
    script.add(Rule::always(Fault::FailAfterWrite).on(Operation::Put).only_nth(1));
    let store = Arc::new(FaultyStore::new(disks.primary.clone(), script));
    let mut journal = Journal::open(&Sites::new(Some(store), None), RUN).await.unwrap();
    let error = record(&mut journal, "plan").await.unwrap_err();
    assert_eq!(error.advice().response, Response::Retry, "{error:?}");
    assert_eq!(record(&mut journal, "plan").await.unwrap().number, 1);
    assert_eq!(disks.primary.keys("runs/").len(), 1);
}

#[tokio::test]
async fn a_site_that_is_away_lacks_nothing_once_it_is_back() {
    for (away, _) in SITES.into_iter().enumerate() {
        let disks = Disks::default();
        record(&mut disks.open().await, "plan").await.unwrap();
        let (sites, scripts) = disks.scripted();
        scripts[away].add(Rule::always(Fault::Reject(Refusal::Unavailable)));
        let mut journal = Journal::open(&sites, RUN).await.unwrap();
        for step in ["schema", "data"] {
            record(&mut journal, step).await.unwrap();
        }
        assert_eq!(scripts[away].requests(), 1, "a site that does not answer is not asked again");
        assert_eq!(disks.disk(SITES[away]).keys("runs/").len(), 1);
        // Reading brings nothing over: a reader may have no right to write.
        assert_eq!(steps(&disks.open().await), ["plan", "schema", "data"]);
        assert_eq!(disks.disk(SITES[away]).keys("runs/").len(), 1);
        record(&mut disks.open().await, "proof").await.unwrap();
        disks.assert_mirrored(&["plan", "schema", "data", "proof"], "back").await;
    }
}

#[tokio::test]
async fn a_site_that_lacks_an_entry_gets_it_also_after_an_outage_of_both() {
    let disks = Disks::default();
    let (sites, [near, far]) = disks.scripted();
    let mut journal = Journal::open(&sites, RUN).await.unwrap();
    far.add(Rule::always(Fault::Reject(Refusal::Unavailable)));
    record(&mut journal, "plan").await.unwrap();
    near.add(Rule::always(Fault::Reject(Refusal::Unavailable)));
    record(&mut journal, "schema").await.unwrap_err();
    near.clear();
    far.clear();
    record(&mut journal, "schema").await.unwrap();
    disks.assert_mirrored(&["plan", "schema"], "both are back").await;
}

#[tokio::test]
async fn no_site_that_answers_is_an_error_and_not_an_empty_journal() {
    let disks = Disks::default();
    let (sites, scripts) = disks.scripted();
    let mut journal = Journal::open(&sites, RUN).await.unwrap();
    scripts.iter().for_each(|script| script.add(Rule::always(Fault::Reject(Refusal::Unavailable))));
    for error in [Journal::open(&sites, RUN).await.err(), record(&mut journal, "plan").await.err()] {
        assert!(matches!(error, Some(VaultError::Store { .. })), "{error:?}");
    }
    scripts.iter().for_each(Script::clear);
    record(&mut journal, "plan").await.unwrap();
    disks.assert_mirrored(&["plan"], "after an outage of both").await;
}

#[tokio::test]
async fn sites_that_went_on_without_each_other_are_told_apart_and_nothing_is_written() {
    let disks = Disks::default();
    record(&mut disks.open().await, "plan").await.unwrap();
    for (site, step) in SITES.into_iter().zip(["schema", "data"]) {
        record(&mut Journal::open(&disks.alone(site), RUN).await.unwrap(), step).await.unwrap();
    }
    let error = Journal::open(&disks.sites(), RUN).await.err().unwrap();
    assert!(matches!(&error, VaultError::JournalForked { key } if key.ends_with("/0002.json")), "{error:?}");
    assert_eq!(error.advice().response, Response::Page);
    assert_eq!((disks.primary.keys("runs/").len(), disks.offsite.keys("runs/").len()), (2, 2));
}

#[tokio::test]
async fn a_damaged_entry_is_read_from_the_other_site_and_healed_by_the_next_append() {
    let key = "runs/0f7c-run-1/0001.json";
    for site in SITES {
        let whole = Disks::default();
        record(&mut whole.open().await, "plan").await.unwrap();
        let len = whole.primary.bytes(key).unwrap().len();
        for offset in 0..len {
            let disks = Disks::default();
            record(&mut disks.open().await, "plan").await.unwrap();
            assert!(disks.disk(site).flip_bit(key, offset, 1));
            assert_eq!(steps(&disks.open().await), ["plan"], "{site} {offset}");
            let alone = Journal::open(&disks.alone(site), RUN).await.err();
            let named = matches!(alone, Some(VaultError::Damaged { .. } | VaultError::Document { .. }));
            assert!(named, "{site} {offset}: {alone:?}");
            if offset % 40 == 0 {
                record(&mut disks.open().await, "schema").await.unwrap();
                disks.assert_mirrored(&["plan", "schema"], "healed").await;
            }
        }
    }
}

#[tokio::test]
async fn an_entry_that_no_site_has_is_damage_and_not_the_end() {
    let disks = Disks::default();
    let mut journal = disks.open().await;
    for step in ["plan", "schema", "data"] {
        record(&mut journal, step).await.unwrap();
    }
    SITES.iter().for_each(|site| assert!(disks.disk(*site).remove("runs/0f7c-run-1/0002.json")));
    let error = Journal::open(&disks.sites(), RUN).await.err().unwrap();
    assert!(matches!(&error, VaultError::Damaged { key, .. } if key.ends_with("/0002.json")), "{error:?}");
    assert_eq!(error.advice().response, Response::Page);
}

#[tokio::test]
async fn names_that_are_too_long_or_not_plain_are_refused_before_anything_is_written() {
    let disks = Disks::default();
    let long = "x".repeat(65);
    for run in ["", "a/b", "..", "a_b", long.as_str()] {
        let refused = Journal::open(&disks.sites(), run).await.err();
        assert!(matches!(refused, Some(VaultError::BadKey { .. })), "{run}: {refused:?}");
    }
    let mut journal = disks.open().await;
    for name in ["", "Plan", "a b", "a/b", "a_b", "é", long.as_str()] {
        for (step, what) in [(name, "done"), ("plan", name)] {
            let refused = journal.append(step, what, &1, now()).await.unwrap_err();
            assert!(matches!(refused, VaultError::BadKey { .. }), "{step} {what}: {refused:?}");
        }
    }
    assert!(disks.primary.keys("").is_empty());
}

#[tokio::test]
async fn a_journal_has_a_longest_entry_and_a_last_one() {
    let disks = Disks::default();
    let mut journal = disks.open().await;
    let long = "x".repeat(JOURNAL_ENTRY_LIMIT_BYTES as usize);
    let refused = journal.append("plan", "done", &long, now()).await.unwrap_err();
    assert!(matches!(refused, VaultError::TooLong { .. }), "{refused:?}");
    for number in 0..JOURNAL_ENTRIES_LIMIT {
        record(&mut journal, &format!("step-{number}")).await.unwrap();
    }
    let refused = record(&mut journal, "one-more").await.unwrap_err();
    assert!(matches!(refused, VaultError::TooMany { limit: JOURNAL_ENTRIES_LIMIT, .. }), "{refused:?}");
    assert_eq!(disks.open().await.entries().len(), JOURNAL_ENTRIES_LIMIT);
}
