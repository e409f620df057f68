//! What the end to end tests share: a switch that kills a process at one of its requests, and the proxy to PostgreSQL that it is
//! wired to. The tests themselves run on a repository in memory (`tests/engine`) and on the local cloud, over the real template
//! and the real function binaries (`tests/cloud`).

// All of it is test code.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod kill_switch;
mod postgres_wire;

pub use kill_switch::{Course, KillSwitch, MOMENTS, Moment, PORTS, Point, Port};
pub use postgres_wire::PostgresWire;
