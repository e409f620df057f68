//! One bucket on one site, and the two sites of a repository.

pub(crate) mod checksum;
pub(crate) mod contention;
pub(crate) mod error;
pub(crate) mod port;
pub(crate) mod site_order;
pub(crate) mod sites;
