//! The shape of the tree, held as a test: layers, circles, sizes, names and sentences.
//!
//! Each rule is a function from sources to breaches. It is tested twice: on sources made up to break it, and on this tree.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test file: a panic is a failed test")]

mod circles;
mod doubles;
mod layers;
mod ledger;
mod modules;
mod names;
mod paths;
mod prose;
mod sdk;
mod sentences;
mod sizes;
mod stubs;
mod templates;
mod tree;
