//! End to end on the local cloud: the real templates, the real function binaries, a real PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod bench;
