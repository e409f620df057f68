//! The laws of the repository, tried on memory and on scripted faults.

// Clippy takes only functions marked as tests for tests; the bench beside them is one too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod by_hand;
mod chunks;
mod crowds;
mod damage;
mod epochs;
mod every_byte;
mod forgery;
mod journal;
mod killed;
mod manifests;
mod newer_formats;
mod register;
mod repositories;
mod scratch;
mod seals_only;
mod stored_keys;
mod stores;
mod trail;
