//! Reports of drills and verifications: each has its own key, which says when it was made, and is written once.

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};
use lifeboat_model::{DatabaseName, DrillReport, Site};
use serde::Serialize;

use crate::error::VaultError;
use crate::layout::is_plain_key;
use crate::repository::Repository;
use crate::repository::document::{Place, encode};
use crate::store::port::{DOCUMENT_LIMIT_BYTES, NewObject};
use crate::store::sites::SiteStore;

/// Folders that [`Repository::put_document`] writes to.
const DOCUMENT_FOLDERS: [&str; 6] = ["drills/", "findings/", "changes/", "exports/", "archive/", "verifications/"];

/// The time in the key of a report, to the second.
const REPORT_NAME: &str = "%Y-%m-%dT%H-%M-%S";

/// Pages of reports looked through: an epoch of 90 days with a report each quarter of an hour fills nine.
const REPORT_PAGES_LIMIT: usize = 10;

impl Repository {
    /// The key of the report of a drill that began at `at`.
    pub fn drill_key(database: &DatabaseName, at: Timestamp) -> String {
        report_key(&format!("drills/{database}/"), at)
    }

    /// Writes a report create-only on every site: `drills/clinic/<id>.json`, `findings/clinic/<id>.json`.
    ///
    /// # Errors
    /// [`VaultError::BadKey`] for a key outside the folders of reports; [`VaultError::Store`] with `AlreadyExists` when
    /// another document has the key.
    pub async fn put_document<T: Serialize + Sync>(&self, key: &str, document: &T) -> Result<(), VaultError> {
        if !is_plain_key(key) || !DOCUMENT_FOLDERS.iter().any(|folder| key.starts_with(folder)) {
            return Err(VaultError::BadKey { key: key.to_owned(), purpose: "a report" });
        }
        self.sites.create_everywhere(key, NewObject::new(encode(key, document)?)).await
    }

    /// Writes the report of a drill create-only on these sites.
    ///
    /// # Errors
    /// [`VaultError::Store`].
    pub async fn put_drill(&self, report: &DrillReport) -> Result<(), VaultError> {
        let key = Self::drill_key(&report.database, report.started_at);
        for store in self.sites.iter() {
            store.create(&key, NewObject::new(encode(&key, report)?)).await?;
        }
        Ok(())
    }

    /// The keys of the reports on a site of drills that began at `since` or later, newest first.
    ///
    /// # Errors
    /// [`VaultError::NoSite`], [`VaultError::Store`], [`VaultError::TooMany`].
    pub async fn drills_since(
        &self,
        database: &DatabaseName,
        site: Site,
        since: Timestamp,
    ) -> Result<Vec<String>, VaultError> {
        let reports = reports_since(self.sites.get(site)?, &format!("drills/{database}/"), Some(since)).await?;
        Ok(reports.into_iter().rev().map(|(_, key)| key).collect())
    }

    /// The report of a drill as a site has it.
    ///
    /// # Errors
    /// [`VaultError::NoSite`], [`VaultError::Store`]; [`VaultError::Document`] for an object that is no report.
    pub async fn drill_report(&self, key: &str, site: Site) -> Result<DrillReport, VaultError> {
        let fetched = self.sites.get(site)?.get(key, DOCUMENT_LIMIT_BYTES).await?;
        Place { site, key }.parse(&fetched.body)
    }
}

/// The key in `folder` of a report that was made at `at`. The keys sort by time.
pub(crate) fn report_key(folder: &str, at: Timestamp) -> String {
    format!("{folder}{}.json", at.strftime("%Y-%m-%dT%H-%M-%S%.3fZ"))
}

/// The reports in a `folder` of a site that were made at `since` or later, oldest first, each with the time in its key.
///
/// # Errors
/// [`VaultError::Store`], [`VaultError::TooMany`].
pub(crate) async fn reports_since(
    store: &SiteStore,
    folder: &str,
    since: Option<Timestamp>,
) -> Result<Vec<(Timestamp, String)>, VaultError> {
    let mut after = since.map(|since| format!("{folder}{}", since.strftime(REPORT_NAME)));
    let mut reports = Vec::new();
    for _ in 0..REPORT_PAGES_LIMIT {
        let page = store.list(folder, after.as_deref()).await?;
        reports.extend(page.keys.iter().filter_map(|key| Some((made_at(folder, key)?, key.clone()))));
        after = page.keys.into_iter().next_back();
        if !page.more || after.is_none() {
            return Ok(reports);
        }
    }
    Err(VaultError::TooMany { what: "pages of reports", limit: REPORT_PAGES_LIMIT })
}

fn made_at(folder: &str, key: &str) -> Option<Timestamp> {
    let name = key.strip_prefix(folder)?.get(..19)?;
    let at = civil::DateTime::strptime(REPORT_NAME, name).ok()?;
    Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_report_is_read_from_its_key() {
        let at = "2026-11-21T20:49:33.5Z".parse().unwrap();
        let key = report_key("findings/clinic/", at);
        assert_eq!(key, "findings/clinic/2026-11-21T20-49-33.500Z.json");
        assert_eq!(made_at("findings/clinic/", &key), Some("2026-11-21T20:49:33Z".parse().unwrap()));
        assert_eq!(made_at("findings/clinic/", "findings/clinic/x"), None);
        assert_eq!(
            Repository::drill_key(&"clinic".parse().unwrap(), at),
            "drills/clinic/2026-11-21T20-49-33.500Z.json"
        );
    }
}
