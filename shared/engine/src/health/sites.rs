//! Each site by itself: one that is away must hide nothing of the other.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use lifeboat_model::Site;
use lifeboat_vault::{Repository, VaultError};

use crate::deadline::within;
use crate::error::EngineError;
use crate::run::Run;

/// The time limit for each site alone. A site that hangs must not hide the other one.
pub(crate) const SITE_WITHIN: Duration = Duration::from_secs(8);

/// The repository on one site alone; `None` before the first backup.
pub(crate) struct SiteView {
    pub(crate) site: Site,
    pub(crate) repository: Result<Option<Repository>, Arc<EngineError>>,
}

/// The repository on each site alone.
pub(crate) async fn site_views(run: &Run) -> Vec<SiteView> {
    let opened = run.ports.sites.names().into_iter().map(|site| async move {
        let opening = async {
            match run.repository_on(site).await {
                Ok(repository) => Ok(Some(repository)),
                Err(EngineError::Vault(VaultError::NoRepository)) => Ok(None),
                Err(error) => Err(error),
            }
        };
        SiteView { site, repository: within(SITE_WITHIN, Box::pin(opening)).await.map_err(Arc::new) }
    });
    join_all(opened).await
}

/// The repository on the first readable site; `None` before the first backup.
///
/// # Errors
/// Why the first site cannot be read, when no site can.
pub(crate) fn readable(views: &[SiteView]) -> Result<Option<&Repository>, Arc<EngineError>> {
    let found = views.iter().find_map(|view| view.repository.as_ref().ok().and_then(Option::as_ref));
    match (found, views.iter().find_map(|view| view.repository.as_ref().err().cloned())) {
        (Some(repository), _) => Ok(Some(repository)),
        (None, Some(error)) => Err(error),
        (None, None) => Ok(None),
    }
}
