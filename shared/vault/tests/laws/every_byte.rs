//! Every byte of a small repository turned over, one at a time; every object cut at every length, made longer, swapped,
//! lost, set back: what a verification says of it, what a restore from that site hands on, and what healing makes of it.

use std::sync::Arc;

use jiff::SignedDuration;
use lifeboat_model::{BackupId, Site};
use lifeboat_vault::{Listed, ObjectState, Repository, Scratch, Sites, VaultError};

use crate::crowds::healing;
use lifeboat_bench::act;
use lifeboat_bench::{Bench, MemoryStore, back_up, backup_id, database, everything, noise, now, plaintexts, raw_keys};

const BOTH: [Site; 2] = [Site::Primary, Site::Offsite];

/// The plaintext of a frame, and what a full frame has around it: number and IV before, tag after.
const FRAME_BYTES: usize = 64 * 1024;
const FRAME_OVERHEAD: usize = 4 + 12 + 16;

/// How far around the seams of a long message every byte is turned over.
const SEAM_BYTES: usize = 64;

/// Two backups of the same content, so that what is one's own of a backup has a counterpart; nothing else is stored.
struct Small {
    bench: Bench,
    /// Opened before the damage, as by a verification that holds no key of ours.
    verifier: Repository,
    objects: Vec<(Listed, Vec<u8>)>,
}

impl Small {
    async fn new() -> Self {
        let bench = Bench::new();
        let repository = bench.repository().await;
        let first = back_up(&repository, &backup_id(1), None).await.unwrap();
        back_up(&repository, &backup_id(2), Some(&first)).await.unwrap();
        let mut listed = everything(&repository, &backup_id(1), Site::Primary).await;
        for one in everything(&repository, &backup_id(2), Site::Primary).await {
            if !listed.contains(&one) {
                listed.push(one);
            }
        }
        let objects: Vec<_> =
            listed.into_iter().map(|one| (one.clone(), bench.primary.bytes(one.key()).unwrap().to_vec())).collect();
        // Nothing that a backup is made of is left out.
        for site in BOTH {
            let mut keys: Vec<_> = objects.iter().map(|(listed, _)| listed.key().to_owned()).collect();
            keys.sort();
            assert_eq!(bench.memory(site).keys(""), keys);
        }
        let verifier = Repository::open_to_verify(bench.sites(), raw_keys(&["stranger"])).await.unwrap();
        Self { bench, verifier, objects }
    }

    /// A verification says that something is wrong with the object on this site.
    async fn assert_found(&self, site: Site, listed: &Listed, what: &str) -> ObjectState {
        let state = self.verifier.inspect(site, listed).await.unwrap();
        assert!(!state.is_sound(), "{} on {site}, {what}: called sound", listed.key());
        state
    }

    /// A restore from this site alone, of a backup that needs the object, hands on nothing but the beginning of the true
    /// content, and fails. What both backups need is tried with one and the other in `turn`.
    async fn assert_refused(&self, site: Site, listed: &Listed, turn: usize, what: &str) {
        let backups = [backup_id(1), backup_id(2)];
        let own = backups.iter().find(|backup| listed.key().contains(&backup.to_string()));
        let (released, error) = self.restore(site, own.unwrap_or(&backups[turn % 2])).await;
        assert!(plaintexts().starts_with(&released), "{} on {site}, {what}: wrong plaintext left", listed.key());
        assert!(error.is_some(), "{} on {site}, {what}: a restore did not need it", listed.key());
    }

    /// What a restore hands on, chunk by chunk, with the site's key alone, until it ends or fails.
    async fn restore(&self, site: Site, backup: &BackupId) -> (Vec<Vec<u8>>, Option<VaultError>) {
        let mut released = Vec::new();
        let error = self.restore_into(site, backup, &mut released).await.err();
        (released, error)
    }

    async fn restore_into(&self, site: Site, backup: &BackupId, released: &mut Vec<Vec<u8>>) -> Result<(), VaultError> {
        let store = Some(Arc::new(self.bench.memory(site).clone()) as _);
        let (alone, keys) = match site {
            Site::Primary => (Sites::new(store, None), raw_keys(&["near"])),
            Site::Offsite => (Sites::new(None, store), raw_keys(&["far-away"])),
        };
        let repository = Repository::open(alone, keys).await?;
        let manifest = repository.authenticated_manifest(&database(), backup, site).await?;
        let reader = repository.reader(site)?;
        let mut entries = repository.chunk_entries(&manifest, site)?;
        let mut plaintext = b"of the chunk before".to_vec();
        while let Some(entry) = entries.next().await? {
            let read = reader.read(&entry.chunk.unwrap(), &mut plaintext).await;
            assert!(read.is_ok() || plaintext.is_empty(), "plaintext is left of a chunk that was refused");
            read?;
            released.push(plaintext.clone());
        }
        Ok(())
    }

    /// Healing puts back the very bytes.
    async fn assert_healed(&self, site: Site, (listed, sound): &(Listed, Vec<u8>), what: &str) {
        let healed = self.verifier.heal(site, listed).await;
        healed.unwrap_or_else(|error| panic!("{} on {site}, {what}: {error}", listed.key()));
        assert_eq!(self.bench.memory(site).bytes(listed.key()).unwrap(), *sound, "{} on {site}, {what}", listed.key());
    }
}

/// Turns over every byte of every object of a site by `turn_over`, which is given the store, an object and an offset. A test
/// for each site: they are the longest ones, and two run at once.
async fn assert_every_byte_counts(site: Site, turn_over: impl Fn(&MemoryStore, &(Listed, Vec<u8>), usize)) {
    let small = Small::new().await;
    let mut flips = 0;
    for object in &small.objects {
        let (listed, sound) = object;
        for offset in 0..sound.len() {
            let what = format!("byte {offset}");
            turn_over(small.bench.memory(site), object, offset);
            let state = small.assert_found(site, listed, &what).await;
            assert!(matches!(state, ObjectState::Checksum { .. }), "{} on {site}, {what}: {state}", listed.key());
            small.assert_refused(site, listed, offset, &what).await;
            small.assert_healed(site, object, &what).await;
            flips += 1;
        }
    }
    eprintln!("{flips} bytes turned over in {} objects on {site}", small.objects.len());
    assert!(flips > 12_500, "{flips}");
}

/// The store's own checksum is then another than that of the bytes.
#[tokio::test]
async fn every_byte_of_every_object_turned_over_by_a_disk_is_found_refused_and_healed() {
    let by_a_disk = |store: &MemoryStore, (listed, _): &(Listed, Vec<u8>), offset: usize| {
        assert!(store.flip_bit(listed.key(), offset, 0));
    };
    assert_every_byte_counts(Site::Primary, by_a_disk).await;
}

/// The store's own checksum is then that of the forged bytes.
#[tokio::test]
async fn every_byte_of_every_object_turned_over_by_somebody_who_may_write_is_found_refused_and_healed() {
    let by_a_writer = |store: &MemoryStore, (listed, sound): &(Listed, Vec<u8>), offset: usize| {
        let mut forged = sound.clone();
        forged[offset] ^= 0x80;
        store.replace(listed.key(), forged);
    };
    assert_every_byte_counts(Site::Offsite, by_a_writer).await;
}

#[tokio::test]
async fn every_byte_turned_over_on_both_sites_is_found_on_both_refused_on_both_and_left_as_it_is() {
    let small = Small::new().await;
    for (listed, sound) in &small.objects {
        for offset in 0..sound.len() {
            let what = format!("byte {offset}");
            let turned = |site| small.bench.memory(site).flip_bit(listed.key(), offset, 6);
            assert!(BOTH.into_iter().all(turned));
            let harmed = BOTH.map(|site| small.bench.memory(site).bytes(listed.key()).unwrap());
            for site in BOTH {
                small.assert_found(site, listed, &what).await;
                let refused = small.verifier.heal(site, listed).await.unwrap_err();
                assert!(matches!(refused, VaultError::NotHealed { .. }), "{} {what}: {refused:?}", listed.key());
                if offset % 8 == 0 {
                    small.assert_refused(site, listed, offset / 8, &what).await;
                }
            }
            assert_eq!(BOTH.map(|site| small.bench.memory(site).bytes(listed.key()).unwrap()), harmed);
            assert!(BOTH.into_iter().all(turned));
        }
    }
}

#[tokio::test]
async fn every_object_cut_at_every_length_or_made_longer_is_found_refused_and_healed() {
    let small = Small::new().await;
    for object in &small.objects {
        let (listed, sound) = object;
        let cut = (0..sound.len()).map(|len| (format!("cut at {len}"), sound[..len].to_vec()));
        let longer = [&b"\n"[..], &[0], &sound[..1], sound].map(|end| [sound, end].concat());
        let longer = longer.into_iter().map(|body| (format!("{} bytes long", body.len()), body));
        for (turn, (what, body)) in cut.chain(longer).enumerate() {
            let site = BOTH[turn % 2];
            small.bench.memory(site).replace(listed.key(), body);
            small.assert_found(site, listed, &what).await;
            small.assert_refused(site, listed, turn / 2, &what).await;
            small.assert_healed(site, object, &what).await;
        }
    }
}

#[tokio::test]
async fn any_two_objects_in_each_others_place_are_found_refused_and_healed() {
    let small = Small::new().await;
    let mut swaps = 0;
    for site in BOTH {
        for (n, one) in small.objects.iter().enumerate() {
            for other in &small.objects[..n] {
                small.bench.memory(site).replace(one.0.key(), other.1.clone());
                small.bench.memory(site).replace(other.0.key(), one.1.clone());
                let what = format!("swapped with {}", other.0.key());
                for (listed, _) in [one, other] {
                    small.assert_found(site, listed, &what).await;
                }
                // Whatever both backups need stops both; a document of one backup stops that one.
                for backup in [backup_id(1), backup_id(2)] {
                    let needs = |listed: &Listed| {
                        !listed.key().starts_with("backups/") || listed.key().contains(&backup.to_string())
                    };
                    let (released, error) = small.restore(site, &backup).await;
                    assert!(plaintexts().starts_with(&released), "{} {what}: wrong plaintext left", one.0.key());
                    assert_eq!(error.is_some(), needs(&one.0) || needs(&other.0), "{} on {site}, {what}", one.0.key());
                }
                for object in [one, other] {
                    small.assert_healed(site, object, &what).await;
                }
                swaps += 1;
            }
        }
    }
    assert!(swaps >= 2 * 36, "{swaps}");
}

#[tokio::test]
async fn every_object_lost_is_found_refused_and_healed() {
    let small = Small::new().await;
    for site in BOTH {
        for object in &small.objects {
            assert!(small.bench.memory(site).remove(object.0.key()));
            let state = small.assert_found(site, &object.0, "lost").await;
            assert!(matches!(state, ObjectState::Missing), "{state}");
            small.assert_refused(site, &object.0, 0, "lost").await;
            small.assert_healed(site, object, "lost").await;
        }
    }
}

#[tokio::test]
async fn a_message_of_several_frames_harmed_at_any_of_its_seams_releases_nothing() {
    let bench = Bench::new();
    let repository = bench.repository().await;
    let writer = repository.begin_writing(now()).await.unwrap();
    let plaintext = noise(7, 2 * FRAME_BYTES + 5000);
    let chunk = writer.store(&plaintext, &mut Scratch::new().unwrap()).await.unwrap();
    let listed = Listed::chunk(&chunk);
    let sound = bench.primary.bytes(listed.key()).unwrap();
    // Noise does not get shorter: two full frames and a last one, each numbered.
    let seam = |header: usize, frame: usize| header + frame * (FRAME_BYTES + FRAME_OVERHEAD);
    let starts_with = |offset: usize, bytes: [u8; 4]| sound[offset..].starts_with(&bytes);
    let is_header = |len: &usize| {
        starts_with(seam(*len, 0), [0, 0, 0, 1])
            && starts_with(seam(*len, 1), [0, 0, 0, 2])
            && starts_with(seam(*len, 2), [255; 4])
    };
    let header = (0..1000).find(is_header).unwrap();
    let seams: Vec<usize> = (0..3).map(|frame| seam(header, frame)).chain([sound.len()]).collect();

    let reader = repository.reader(Site::Primary).unwrap();
    let near = |seam: &usize| seam.saturating_sub(SEAM_BYTES)..(seam + SEAM_BYTES).min(sound.len());
    let flips = seams.iter().flat_map(near).chain((0..sound.len()).step_by(997)).map(|offset| {
        let mut body = sound.to_vec();
        body[offset] ^= 1;
        (format!("byte {offset}"), body)
    });
    let cuts = seams.iter().flat_map(|seam| [seam - 1, *seam, seam + 1]).filter(|len| *len < sound.len());
    let cuts = cuts.map(|len| (format!("cut at {len}"), sound[..len].to_vec()));
    let frame = |n: usize| &sound[seams[n]..seams[n + 1]];
    let frames = [
        ("the first two frames swapped", [&sound[..header], frame(1), frame(0), frame(2)].concat()),
        ("a frame twice", [&sound[..header], frame(0), frame(0), frame(1), frame(2)].concat()),
        ("a frame left out", [&sound[..header], frame(0), frame(2)].concat()),
        ("two last frames", [&sound[..], frame(2)].concat()),
    ];
    let mut harms = 0;
    for (what, body) in flips.chain(cuts).chain(frames.map(|(what, body)| (what.to_owned(), body))) {
        bench.primary.replace(listed.key(), body);
        let mut out = b"of the chunk before".to_vec();
        reader.read(&chunk, &mut out).await.expect_err(&what);
        assert!(out.is_empty(), "{what}: plaintext is left");
        assert!(!repository.inspect(Site::Primary, &listed).await.unwrap().is_sound(), "{what}");
        harms += 1;
    }
    eprintln!("{harms} harms to a message of three frames");
    bench.primary.replace(listed.key(), sound);
    let mut out = Vec::new();
    reader.read(&chunk, &mut out).await.unwrap();
    assert_eq!(out, plaintext);
}

#[tokio::test]
async fn every_byte_of_the_ledger_turned_over_on_either_site_is_named_and_put_back() {
    let bench = Bench::new();
    let ledger = bench.repository().await.ledger(&bench.macs);
    for actor in ["one", "two", "three"] {
        ledger.append(act(actor), now()).await.unwrap();
    }
    let mut flips = 0;
    for site in BOTH {
        for key in bench.memory(site).keys("ledger/") {
            let sound = bench.memory(site).bytes(&key).unwrap();
            for offset in 0..sound.len() {
                for bit in [0, 5] {
                    assert!(bench.memory(site).flip_bit(&key, offset, bit));
                    let report = ledger.verify_chain().await.unwrap();
                    let named: Vec<_> =
                        report.findings.iter().map(|found| (found.site, found.subject.to_string())).collect();
                    assert_eq!(named, [(Some(site), key.clone())], "byte {offset}, bit {bit}");
                    let report = ledger.walk(&healing(), |_, _| true).await.unwrap();
                    assert!(report.findings[0].healed && report.is_sound(), "{key} on {site}, byte {offset}");
                    assert_eq!(bench.memory(site).bytes(&key).unwrap(), sound, "{key} on {site}, byte {offset}");
                    flips += 1;
                }
            }
            // On both sites there is nothing to put it back from.
            for offset in (0..sound.len()).step_by(7) {
                BOTH.iter().for_each(|site| assert!(bench.memory(*site).flip_bit(&key, offset, 0)));
                let broken = ledger.walk(&healing(), |_, _| true).await.unwrap_err();
                assert!(matches!(&broken, VaultError::LedgerBroken { key: named, .. } if *named == key), "{broken:?}");
                BOTH.iter().for_each(|site| assert!(bench.memory(*site).flip_bit(&key, offset, 0)));
            }
            assert!(bench.memory(site).remove(&key));
            let report = ledger.walk(&healing(), |_, _| true).await.unwrap();
            assert!(report.is_sound() && report.is_proved(), "{key} on {site} is lost: {report:?}");
            assert_eq!(bench.memory(site).bytes(&key).unwrap(), sound);
        }
    }
    eprintln!("{flips} bits of the ledger turned over and put back");
    assert_eq!(ledger.verify_chain().await.unwrap().findings, []);
}

#[tokio::test]
async fn a_lease_damaged_at_any_byte_keeps_nobody_out_for_longer_than_the_longest_lease() {
    const LEASE: &str = "leases/backup-clinic.json";
    let bench = Bench::new();
    let leases = bench.repository().await.leases().unwrap();
    let held = leases.acquire("backup-clinic", "a", SignedDuration::from_secs(60), now()).await.unwrap();
    let sound = bench.primary.bytes(LEASE).unwrap();
    for offset in 0..sound.len() {
        for bit in 0..8 {
            let what = format!("byte {offset}, bit {bit}");
            bench.primary.replace(LEASE, sound.clone());
            assert!(bench.primary.flip_bit(LEASE, offset, bit));
            let at_once = leases.acquire("backup-clinic", "b", SignedDuration::from_secs(60), now()).await;
            match at_once {
                Err(VaultError::LeaseHeld { expires_at, .. }) => {
                    assert!(expires_at <= now() + SignedDuration::from_hours(1), "{what}: until {expires_at}");
                }
                taken => drop(taken.unwrap_or_else(|error| panic!("{what}: {error}"))),
            }
            let later = now() + SignedDuration::from_hours(1) + SignedDuration::from_secs(1);
            let taken = leases.acquire("backup-clinic", "c", SignedDuration::from_secs(60), later).await;
            drop(taken.unwrap_or_else(|error| panic!("{what}: {error}")));
        }
    }
    let lost = leases.release(held, now()).await.unwrap_err();
    assert!(matches!(lost, VaultError::LeaseLost { .. }), "{lost:?}");
}

#[tokio::test]
async fn a_document_at_the_root_set_back_to_an_older_version_loses_no_backup_and_is_brought_up_to_date_by_the_next_writer()
 {
    for site in BOTH {
        let bench = Bench::new();
        let repository = bench.repository().await;
        back_up(&repository, &backup_id(1), None).await.unwrap();
        let older = bench.memory(site).bytes("repository.json").unwrap();
        let later = now() + SignedDuration::from_hours(91 * 24);
        let writer = repository.begin_writing(later).await.unwrap();
        let chunk = writer.store(b"of the second epoch", &mut Scratch::new().unwrap()).await.unwrap();
        let newer = bench.memory(site).bytes("repository.json").unwrap();
        assert_ne!(older, newer);
        bench.memory(site).replace("repository.json", older);

        // With the other site there, the one with more epochs counts; alone, the new epoch is not known and nothing is read.
        let mut out = Vec::new();
        bench.repository().await.reader(site).unwrap().read(&chunk, &mut out).await.unwrap();
        assert_eq!(out, b"of the second epoch");
        assert_eq!(bench.memory(site).bytes("repository.json").unwrap(), newer, "opened to write: up to date again");
    }
}
