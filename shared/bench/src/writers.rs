//! Eight writers at once, like different processes: each has its own view of the sites, and they share only the stores.

use futures_util::future::join_all;
use lifeboat_vault::{Changed, Journal, Register, Sites, VaultError};
use serde::{Deserialize, Serialize};

use crate::small_backup::now;

/// How many writers run at once.
pub const WRITERS: usize = 8;

/// The key of the register that tests change.
pub const TALLY_KEY: &str = "state/tally.json";

/// The longest tally that is read, in bytes.
pub const TALLY_LIMIT_BYTES: u64 = 64 * 1024;

/// Every change adds its writer's name, which shows a change that counts twice or not at all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    pub revision: u64,
    pub names: Vec<String>,
}

impl Tally {
    pub fn with(tally: Option<&Self>, name: &str) -> Self {
        let mut tally = tally.cloned().unwrap_or_default();
        tally.revision += 1;
        tally.names.push(name.to_owned());
        tally
    }
}

/// Where a register keeps its document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Placement {
    Primary,
    FirstSite,
    EverySite,
}

pub const PLACEMENTS: [Placement; 3] = [Placement::Primary, Placement::FirstSite, Placement::EverySite];

pub fn tally(sites: &Sites, placement: Placement) -> Register<Tally> {
    let key = TALLY_KEY.to_owned();
    let register = match placement {
        Placement::Primary => Register::on_primary(sites, key, TALLY_LIMIT_BYTES),
        Placement::FirstSite => Register::on_first_site(sites, key, TALLY_LIMIT_BYTES),
        Placement::EverySite => Register::on_every_site(sites, key, TALLY_LIMIT_BYTES, |tally: &Tally| tally.revision),
    };
    register.unwrap()
}

pub async fn add_name(register: &Register<Tally>, name: &str) -> Result<Changed<Tally>, VaultError> {
    Ok(register.change(|tally| Ok::<_, VaultError>(Some(Tally::with(tally, name)))).await?.unwrap())
}

/// Checks that each of `rounds` changes by each of eight writers counts exactly once. The register must be empty before.
pub async fn assert_each_change_counts_once(sites: impl Fn() -> Sites, placement: Placement, rounds: usize) {
    let writers = (0..WRITERS).map(|writer| {
        let register = tally(&sites(), placement);
        tokio::spawn(async move {
            for round in 0..rounds {
                add_name(&register, &format!("{writer}-{round}")).await.unwrap();
            }
        })
    });
    join_all(writers).await.into_iter().for_each(Result::unwrap);
    let mut names = tally(&sites(), placement).read().await.unwrap().document.unwrap().names;
    assert_eq!(names.len(), WRITERS * rounds, "{placement:?}");
    names.sort();
    names.dedup();
    assert_eq!(names.len(), WRITERS * rounds, "{placement:?}: a change counts twice");
}

/// Checks that eight writers that append `rounds` entries each get numbers without a gap or a repetition. A step that all of them
/// record must be stored once. Returns the numbers in the order of the journal.
pub async fn assert_numbers_have_no_gap(sites: impl Fn() -> Sites, run: &str, rounds: usize) -> Vec<u32> {
    let writers = (0..WRITERS).map(|writer| {
        let (sites, run) = (sites(), run.to_owned());
        tokio::spawn(async move {
            let mut journal = Journal::open(&sites, &run).await.unwrap();
            let at = now() + jiff::SignedDuration::from_secs(writer as i64);
            let shared = journal.append("shared", "done", &1, at).await.unwrap();
            for round in 0..rounds {
                journal.append(&format!("w{writer}-r{round}"), "done", &round, at).await.unwrap();
            }
            (shared.number, shared.at)
        })
    });
    let mut shared: Vec<_> = join_all(writers).await.into_iter().map(Result::unwrap).collect();
    shared.dedup();
    assert_eq!(shared.len(), 1, "one step is recorded once: {shared:?}");
    let journal = Journal::open(&sites(), run).await.unwrap();
    let numbers: Vec<u32> = journal.entries().iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, (1..=(WRITERS * rounds + 1) as u32).collect::<Vec<_>>());
    for writer in 0..WRITERS {
        for round in 0..rounds {
            let entry = journal.find(&format!("w{writer}-r{round}"), "done").unwrap();
            assert_eq!(entry.payload::<usize>().unwrap(), round);
        }
    }
    numbers
}
