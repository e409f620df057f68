//! Backups: published, listed, read, and brought to the off-site.

mod manifests;
mod unmirrored;
