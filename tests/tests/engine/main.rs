//! The verbs on a real PostgreSQL and a repository on two stores in memory: what they do, what they must never do, and
//! what becomes of them when something fails.

// Clippy takes only functions marked as tests for tests; the bench beside them is one too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::large_futures)]

mod bench;
mod campaign;
mod cases;
mod damage;
mod dates;
mod deadline;
mod failures;
mod forged;
mod golden;
mod growth;
mod incidents;
mod killed;
mod large_objects;
mod left_out;
mod leftovers;
mod listeners;
mod log;
mod offsite;
mod policy_changes;
mod proofs;
mod records;
mod refused;
mod renewed;
mod reserved_names;
mod restores;
mod resumed;
mod reuse;
mod rotation;
mod sample;
mod secrets;
mod sources;
mod status;
mod stores;
mod trail;
mod turns;
mod twice;
mod unknown;
mod way;
mod wrapped_tools;
mod writers;
mod zoo;
