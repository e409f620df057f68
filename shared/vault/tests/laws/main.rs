//! The laws of the repository, tried on memory, on scripted faults and on the emulator's S3 and KMS.

// Clippy takes only functions marked as tests for tests; the bench beside them is one too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod bench;
mod by_hand;
mod chunks;
mod crowds;
mod damage;
mod emulator;
mod every_byte;
mod forgery;
mod killed;
mod manifests;
mod repositories;
mod stores;
mod trail;
