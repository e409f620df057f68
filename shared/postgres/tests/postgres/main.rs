//! Everything against a real server: one binary, one server, a database per test.

mod doctor;
mod fixture;
mod fidelity;
mod restore;
mod secrecy;
mod server;
mod slices;
mod snapshot;
mod tls;
