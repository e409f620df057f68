//! Incidents, without anything that stores or sends them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod acknowledgements;
mod bench;
mod life;
mod parts;
