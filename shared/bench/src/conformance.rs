//! The rules of [`ObjectStore`], as a suite that runs on any store.

use async_trait::async_trait;
use bytes::Bytes;
use lifeboat_model::Sha256;

use lifeboat_vault::{BodySink, NewObject, ObjectStore, PAGE_KEYS, PutCondition, StoreError, Version, sha256};

/// A rule of the port that a store breaks.
#[derive(Debug, thiserror::Error)]
#[error("the store does not keep the rule that {rule}: {found}")]
pub struct Breach {
    rule: &'static str,
    found: String,
}

/// The longest body that the suite writes, in bytes: longer than any buffer between the suite and the store.
const LONG_BODY_BYTES: usize = 3 * 1024 * 1024 + 17;

/// How many writers race.
const RACERS: usize = 8;

struct Suite<'a> {
    store: &'a dyn ObjectStore,
    folder: &'a str,
}

/// Checks every rule on `store`, and the rules of copying from `source`. All keys are under `folder`, which must be unused
/// in both.
///
/// # Errors
/// The first [`Breach`].
pub async fn conformance(store: &dyn ObjectStore, source: &dyn ObjectStore, folder: &str) -> Result<(), Breach> {
    let suite = Suite { store, folder };
    suite.writes_are_read_back_whole().await?;
    suite.a_sink_gets_every_byte_in_order().await?;
    suite.create_only_never_overwrites().await?;
    suite.a_swap_needs_the_state_it_names().await?;
    suite.of_many_creators_one_wins().await?;
    suite.bytes_are_checked_on_arrival().await?;
    suite.absence_is_told_apart().await?;
    suite.limits_are_kept().await?;
    suite.listings_are_ordered_and_paged().await?;
    suite.copies_are_compared(source).await
}

#[derive(Default)]
struct Recorder {
    begun: Option<u64>,
    body: Vec<u8>,
}

#[async_trait]
impl BodySink for Recorder {
    fn begin(&mut self, size_bytes: u64) {
        self.begun = Some(size_bytes);
        self.body.clear();
    }

    async fn take(&mut self, piece: &[u8]) {
        // Bytes that arrive before `begin` belong to no body.
        if self.begun.is_some() {
            self.body.extend_from_slice(piece);
        }
    }
}

fn check(rule: &'static str, kept: bool, found: impl std::fmt::Debug) -> Result<(), Breach> {
    if kept { Ok(()) } else { Err(Breach { rule, found: format!("{found:?}") }) }
}

fn done<T>(rule: &'static str, answer: Result<T, StoreError>) -> Result<T, Breach> {
    answer.map_err(|error| Breach { rule, found: format!("{error:?}") })
}

impl Suite<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    async fn create(&self, key: &str, body: impl Into<Bytes>) -> Result<Version, StoreError> {
        self.store.put(key, NewObject::new(body), PutCondition::CreateOnly).await
    }

    async fn writes_are_read_back_whole(&self) -> Result<(), Breach> {
        let rule = "what was written is read back whole, with its checksum and mark";
        let long: Vec<u8> = (0..LONG_BODY_BYTES).map(|i| (i % 251) as u8).collect();
        for (name, body) in [("empty", Vec::new()), ("short", b"row".to_vec()), ("long", long)] {
            let (key, size_bytes) = (self.key(name), body.len() as u64);
            let object = NewObject { mark: Some(format!("mark-{name}")), ..NewObject::new(body.clone()) };
            let version = done(rule, self.store.put(&key, object.clone(), PutCondition::CreateOnly).await)?;
            let fetched = done(rule, self.store.get(&key, size_bytes).await)?;
            check(rule, fetched.body == body, fetched.body.len())?;
            check(rule, fetched.mark == object.mark, &fetched.mark)?;
            check(rule, fetched.version == version, &fetched.version)?;
            let head = done(rule, self.store.head(&key).await)?;
            let sound = head.as_ref().is_some_and(|head| {
                head.size_bytes == size_bytes
                    && head.sha256 == Some(object.sha256)
                    && head.mark == object.mark
                    && head.version == version
            });
            check(rule, sound, &head)?;
            let measured = done(rule, self.store.measure(&key, size_bytes).await)?;
            let sound = measured.size_bytes == size_bytes && measured.sha256 == object.sha256;
            check(rule, sound && measured.version == version, &measured)?;
        }
        Ok(())
    }

    async fn a_sink_gets_every_byte_in_order(&self) -> Result<(), Breach> {
        let rule = "a sink learns how many bytes begin, and gets all of them in order";
        for (name, len) in [("sink-empty", 0), ("sink-short", 3), ("sink-long", LONG_BODY_BYTES)] {
            let (key, body) = (self.key(name), (0..len).map(|i| (i % 251) as u8).collect::<Vec<u8>>());
            done(rule, self.create(&key, body.clone()).await)?;
            let mut sink = Recorder::default();
            let read = done(rule, self.store.read(&key, len as u64, &mut sink).await)?;
            check(rule, read.size_bytes == len as u64 && sink.begun == Some(len as u64), (&read, sink.begun))?;
            check(rule, sink.body == body, sink.body.len())?;
        }
        Ok(())
    }

    async fn create_only_never_overwrites(&self) -> Result<(), Breach> {
        let rule = "a create-only write never overwrites, and repeated it succeeds";
        let key = self.key("once");
        let first = done(rule, self.create(&key, "first").await)?;
        let second = self.create(&key, "second").await;
        check(rule, matches!(second, Err(StoreError::AlreadyExists { .. })), &second)?;
        let again = done(rule, self.create(&key, "first").await)?;
        check(rule, again == first, &again)?;
        let marked = NewObject { mark: Some("another".to_owned()), ..NewObject::new("first") };
        let other_mark = self.store.put(&key, marked, PutCondition::CreateOnly).await;
        check(rule, matches!(other_mark, Err(StoreError::AlreadyExists { .. })), &other_mark)?;
        let fetched = done(rule, self.store.get(&key, 100).await)?;
        check(rule, fetched.body == "first" && fetched.version == first, &fetched)
    }

    async fn a_swap_needs_the_state_it_names(&self) -> Result<(), Breach> {
        let rule = "a compare-and-swap happens only to the state it names";
        let key = self.key("swapped");
        let first = done(rule, self.create(&key, "first").await)?;
        let swap = |body: &'static str, version: &Version| {
            self.store.put(&key, NewObject::new(body), PutCondition::IfMatch(version.clone()))
        };
        let second = done(rule, swap("second", &first).await)?;
        check(rule, second != first, &second)?;
        let stale = swap("third", &first).await;
        check(rule, matches!(stale, Err(StoreError::VersionChanged { .. })), &stale)?;
        let fetched = done(rule, self.store.get(&key, 100).await)?;
        check(rule, fetched.body == "second" && fetched.version == second, &fetched)?;
        let nowhere = self.store.put(&self.key("nowhere"), NewObject::new("x"), PutCondition::IfMatch(second)).await;
        let refused = matches!(nowhere, Err(StoreError::NotFound { .. } | StoreError::VersionChanged { .. }));
        check(rule, refused, &nowhere)
    }

    async fn of_many_creators_one_wins(&self) -> Result<(), Breach> {
        let rule = "of many creators at once exactly one wins";
        let key = self.key("race");
        let racers = (0..RACERS).map(|racer| self.create(&key, format!("racer {racer}")));
        let answers = futures_util::future::join_all(racers).await;
        let winners = answers.iter().filter(|answer| answer.is_ok()).count();
        let losers = answers.iter().filter(|answer| matches!(answer, Err(StoreError::AlreadyExists { .. }))).count();
        check(rule, winners == 1 && losers == RACERS - 1, &answers)
    }

    async fn bytes_are_checked_on_arrival(&self) -> Result<(), Breach> {
        let rule = "bytes that are not those of the checksum are refused and leave nothing";
        let key = self.key("corrupt");
        let object = NewObject { sha256: sha256(b"what was meant"), ..NewObject::new("what arrived") };
        let answer = self.store.put(&key, object, PutCondition::CreateOnly).await;
        check(rule, matches!(answer, Err(StoreError::Corrupt { .. })), &answer)?;
        let head = done(rule, self.store.head(&key).await)?;
        check(rule, head.is_none(), &head)
    }

    async fn absence_is_told_apart(&self) -> Result<(), Breach> {
        let rule = "a missing object is distinguished from a failure";
        let key = self.key("missing");
        let head = done(rule, self.store.head(&key).await)?;
        check(rule, head.is_none(), &head)?;
        let got = self.store.get(&key, 100).await;
        check(rule, matches!(got, Err(StoreError::NotFound { .. })), &got)?;
        let measured = self.store.measure(&key, 100).await;
        check(rule, matches!(measured, Err(StoreError::NotFound { .. })), &measured)
    }

    async fn limits_are_kept(&self) -> Result<(), Breach> {
        let rule = "an object longer than the limit is refused";
        let key = self.key("limited");
        done(rule, self.create(&key, "0123456789").await)?;
        let fits = self.store.get(&key, 10).await;
        check(rule, fits.is_ok(), &fits)?;
        let got = self.store.get(&key, 9).await;
        check(rule, matches!(got, Err(StoreError::TooLarge { size_bytes: 10, limit_bytes: 9, .. })), &got)?;
        let measured = self.store.measure(&key, 9).await;
        check(rule, matches!(measured, Err(StoreError::TooLarge { .. })), &measured)
    }

    async fn listings_are_ordered_and_paged(&self) -> Result<(), Breach> {
        let rule = "a listing gives every key once, in order, in pages";
        let count = PAGE_KEYS + 5;
        let names: Vec<String> = (0..count).map(|i| self.key(&format!("listed/{i:05}"))).collect();
        for key in &names {
            done(rule, self.create(key, "x").await)?;
        }
        done(rule, self.create(&self.key("listed-not"), "x").await)?;
        let prefix = self.key("listed/");
        let first = done(rule, self.store.list(&prefix, None).await)?;
        check(rule, first.more && first.keys.len() == PAGE_KEYS, (first.more, first.keys.len()))?;
        let rest = done(rule, self.store.list(&prefix, first.keys.last().map(String::as_str)).await)?;
        check(rule, !rest.more, &rest)?;
        let all: Vec<String> = first.keys.into_iter().chain(rest.keys).collect();
        check(rule, all == names, all.len())?;
        let nothing = done(rule, self.store.list(&self.key("listed/none"), None).await)?;
        check(rule, nothing.keys.is_empty() && !nothing.more, &nothing)
    }

    async fn copies_are_compared(&self, source: &dyn ObjectStore) -> Result<(), Breach> {
        let rule = "a copy keeps bytes, checksum and mark, and is compared with what was expected";
        let (key, body) = (self.key("copied"), "to be copied");
        let object = NewObject { mark: Some("copied-mark".to_owned()), ..NewObject::new(body) };
        let (sum, size_bytes) = (object.sha256, body.len() as u64);
        done(rule, source.put(&key, object, PutCondition::CreateOnly).await)?;
        done(rule, self.store.copy_from(source, &key, &sum, size_bytes).await)?;
        let fetched = done(rule, self.store.get(&key, size_bytes).await)?;
        check(rule, fetched.body == body && fetched.mark.as_deref() == Some("copied-mark"), &fetched)?;
        let head = done(rule, self.store.head(&key).await)?;
        check(rule, head.as_ref().is_some_and(|head| head.sha256 == Some(sum)), &head)?;
        let key = self.key("copied-wrong");
        done(rule, source.put(&key, NewObject::new("other bytes"), PutCondition::CreateOnly).await)?;
        let wrong = self.store.copy_from(source, &key, &Sha256([0; 32]), 100).await;
        check(rule, matches!(wrong, Err(StoreError::Corrupt { .. })), &wrong)?;
        let absent = self.store.copy_from(source, &self.key("copied-absent"), &sum, size_bytes).await;
        check(rule, matches!(absent, Err(StoreError::NotFound { .. })), &absent)
    }
}
