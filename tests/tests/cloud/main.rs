//! End to end on the local cloud: the real templates, the real function binaries, a real PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod alerts;
mod bench;
mod command_line;
mod damage;
mod events;
mod failures;
mod faulty_s3;
mod health;
mod http;
mod intruder;
mod intruder_in_the_ledger;
mod killed;
mod killed_at_postgres;
mod killed_readers;
mod killed_restores;
mod lost_site;
mod once;
mod process;
mod proxy;
mod restarted;
mod runbooks;
mod schedule;
mod status;
mod stock_tools;
mod stored;
mod trouble;
mod wrong_bytes;
