//! The bench: test doubles of the services, and the suites of rules that every service must keep.
//!
//! This crate owns the test doubles of every port: a store in memory, scripted faults, keys and a recording outbox. It owns the switch that
//! kills a process at any of its requests, and the conformance suite of [`ObjectStore`](lifeboat_vault::ObjectStore). It is for
//! development. A shipped crate must not use it, and it must not know any verb.

// All of this is test code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod conformance;
mod faulty;
mod keys;
mod kill_switch;
mod memory;
mod mortal;
mod outbox;
mod postgres_wire;
mod small_backup;
mod writers;

pub use conformance::{Breach, conformance};
pub use faulty::{Fault, FaultyStore, Gate, Moment, Operation, Refusal, Rule, Script};
pub use keys::{HmacKey, RoleKeys};
pub use kill_switch::{Course, KillMoment, KillPoint, KillSwitch, MOMENTS, PORTS, Port};
pub use memory::MemoryStore;
pub use mortal::{MortalKeys, MortalMacs, MortalStore};
pub use outbox::RecordingOutbox;
pub use postgres_wire::PostgresWire;
pub use small_backup::{
    Bench, TTL, act, assert_restores, back_up, backup_id, database, entry, everything, mac_key, mac_keys, manifest,
    noise, now, plaintexts, raw_keys,
};
pub use writers::{
    PLACEMENTS, Placement, TALLY_KEY, TALLY_LIMIT_BYTES, Tally, WRITERS, add_name, assert_each_change_counts_once,
    assert_numbers_have_no_gap, tally,
};
