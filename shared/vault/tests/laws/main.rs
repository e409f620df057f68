//! The laws of the repository, tried on memory, on scripted faults and on the emulator's S3 and KMS.

mod bench;
mod chunks;
mod crowds;
mod damage;
mod emulator;
mod killed;
mod manifests;
mod repositories;
mod stores;
