//! An S3 that says 503, hangs, or breaks off in the middle of an answer: once it is asked again, and for as long as it lasts
//! the backup fails and is told, or is kept on the primary when only the off-site does not serve.

use lifeboat_local::DATABASE;
use lifeboat_model::{BackupId, DatabaseName};

use crate::bench::small_stage;
use crate::proxy::{Act, Fault, Proxy};
use crate::stored::{BOTH, Stored};
use crate::trouble::{PATIENCE, Trouble};

/// Requests that are disturbed in turn, spread over a run.
const DISTURBED: usize = 8;

/// A stage with a first, undisturbed backup, and a proxy that watches the function `backup`.
struct Field {
    trouble: Trouble,
    proxy: Proxy,
    stored: Stored,
    name: DatabaseName,
    turn: usize,
}

impl Field {
    async fn set() -> Self {
        // One session: the requests of a run come in the same order each time.
        let mut stage = small_stage(&[("Sessions", "1")]).await;
        let proxy = Proxy::start(stage.cloud(), &stage.deployment().backup.name.clone()).await;
        stage.change(&[("EndpointUrl", proxy.url())]).await.unwrap();
        let trouble = Trouble::on(stage).await;
        assert!(!trouble.order_backup().await.failed);
        let stored = Stored::on(&trouble.stage).await;
        let field = Self { trouble, proxy, stored, name: DATABASE.parse().unwrap(), turn: 0 };
        field.let_verify().await;
        field
    }

    /// New rows, so that the next backup has chunks to store.
    fn change_rows(&mut self) {
        self.turn += 1;
        let sql = format!("UPDATE patients SET name = 'patient in turn {}' WHERE id % 7 = 0", self.turn);
        self.trouble.stage.source().unwrap().psql(DATABASE, &sql).unwrap();
    }

    /// Waits for the verification that a complete backup starts: it writes to the bus and the bucket.
    async fn let_verify(&self) {
        self.trouble.stage.tap().wait_for("Verification Completed", PATIENCE, |_| ()).await.unwrap();
    }

    /// The parts by which requests to a site's bucket are known.
    fn buckets(&self) -> [String; 2] {
        let at = self.trouble.stage.deployment();
        [format!("/{}", at.primary_bucket), format!("/{}", at.offsite.as_ref().unwrap().bucket)]
    }

    async fn assert_whole_everywhere(&self, backup_id: &str) {
        let id: BackupId = backup_id.parse().unwrap();
        for site in BOTH {
            assert_eq!(self.stored.assert_whole(&self.name, &id, site).await.0.totals.rows, 25_000);
        }
    }

    /// A backup that completes although this happens.
    async fn assert_bridged(&mut self, fault: Fault, what: &str) {
        self.change_rows();
        self.proxy.begin(Some(fault));
        let taken = self.trouble.order_backup().await;
        assert!(!taken.failed, "{what}: {}", taken.payload);
        assert_eq!(self.proxy.met(), 1, "{what}");
        self.proxy.begin(None);
        self.assert_whole_everywhere(taken.payload["backup_id"].as_str().unwrap()).await;
        self.let_verify().await;
    }

    /// A backup that this keeps from completing; and then one that nothing disturbs.
    async fn assert_ended(&mut self, fault: Fault, words: &[&str]) {
        self.change_rows();
        self.proxy.begin(Some(fault));
        self.trouble.assert_fails(words).await;
        assert!(self.proxy.met() > 1, "{words:?}: it was not asked again");
        self.assert_next_completes().await;
    }

    async fn assert_next_completes(&mut self) {
        self.proxy.begin(None);
        let taken = self.trouble.order_backup().await;
        assert!(!taken.failed, "{}", taken.payload);
        self.trouble.assert_resolved(&[&format!("backup-failed/{DATABASE}")]).await;
        self.assert_whole_everywhere(taken.payload["backup_id"].as_str().unwrap()).await;
        self.let_verify().await;
    }

    /// The off-site alone does this to every request: the backup is kept on the primary, and the next one brings it over.
    async fn assert_behind(&mut self, act: Act) {
        self.change_rows();
        let [_, offsite] = self.buckets();
        let before = [self.backups(0).await, self.backups(1).await];
        self.proxy.begin(Some(Fault::each(&[&offsite], act)));
        let answer = self.trouble.order_backup().await;
        let words =
            ["is complete on the primary, but not yet on the off-site", "the next backup of this database copies it"];
        self.trouble.assert_told(&answer, &words).await;
        assert!(self.proxy.met() > 1);
        let kept = self.backups(0).await;
        assert_eq!((kept.len(), self.backups(1).await), (before[0].len() + 1, before[1].clone()));
        self.assert_next_completes().await;
        self.assert_whole_everywhere(&kept.last().unwrap().to_string()).await;
    }

    async fn backups(&self, site: usize) -> Vec<BackupId> {
        self.stored.backups(&self.name, BOTH[site]).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_503_and_one_answer_that_breaks_off_anywhere_in_a_run_are_bridged_and_the_backup_completes() {
    let mut field = Box::pin(Field::set()).await;
    field.change_rows();
    field.proxy.begin(None);
    assert!(!field.trouble.order_backup().await.failed);
    let undisturbed = field.proxy.requests();
    field.let_verify().await;
    assert!(undisturbed.len() > 20, "{undisturbed:#?}");

    let mut numbers: Vec<usize> = (0..DISTURBED).map(|n| 1 + n * (undisturbed.len() - 1) / (DISTURBED - 1)).collect();
    let chunk = undisturbed.iter().position(|one| one.starts_with("PUT /") && one.contains("/chunks/")).unwrap();
    numbers.push(chunk + 1);
    for number in numbers {
        for (act, how) in [(Act::Answer(503), "503"), (Act::CutBody, "cut")] {
            let what = format!("{how} at request {number}, in an undisturbed run `{}`", undisturbed[number - 1]);
            eprintln!("{what}");
            field.assert_bridged(Fault::nth(number, act), &what).await;
        }
    }
    assert_eq!(field.trouble.inbox.alerts(), [], "nobody is woken");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_s3_that_goes_on_answering_503_or_breaking_off_ends_the_backup_and_an_off_site_that_does_only_delays_it() {
    let mut field = Box::pin(Field::set()).await;
    let [primary, _] = field.buckets();
    let busy = ["the primary site failed", "the store did not serve the request", "S3 answered 503"];
    field.assert_ended(Fault::each(&[&primary], Act::Answer(503)), &busy).await;
    let chunks = [&busy[..], &["chunks/"]].concat();
    field.assert_ended(Fault::each(&["PUT ", &primary, "/chunks/"], Act::Answer(503)), &chunks).await;
    let manifest = [&busy[..], &["manifest.json"]].concat();
    field.assert_ended(Fault::each(&["PUT ", &primary, "/manifest.json"], Act::Answer(503)), &manifest).await;
    // Of everything: an object whose PUT alone is never answered is found and compared by a HEAD.
    let cut = ["the primary site failed", "the store did not serve the request"];
    field.assert_ended(Fault::each(&[&primary], Act::CutBody), &cut).await;

    field.assert_behind(Act::Answer(503)).await;
    field.assert_behind(Act::CutBody).await;
    field.trouble.assert_logs_are_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_hangs_once_is_made_again_and_a_primary_that_goes_on_hanging_ends_the_backup() {
    let mut field = Box::pin(Field::set()).await;
    let [primary, _] = field.buckets();
    field.assert_bridged(Fault::first(&["PUT ", &primary, "/chunks/"], Act::Hang), "a chunk that hangs once").await;
    let words = ["the primary site failed", "no answer for `chunks/", "within"];
    field.assert_ended(Fault::each(&["PUT ", &primary, "/chunks/"], Act::Hang), &words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_off_site_that_goes_on_hanging_only_delays_the_backup() {
    let mut field = Box::pin(Field::set()).await;
    field.assert_behind(Act::Hang).await;
}
