//! Everything against a real server: one binary, one server, a database per test.

// clippy.toml allows these in test functions; the fixture is one, too.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod connections;
mod doctor;
mod fidelity;
mod fixture;
mod locale;
mod marks;
mod parameters;
mod planning;
mod restore;
mod secrecy;
mod server;
mod slices;
mod snapshot;
mod tls;
mod watch;
