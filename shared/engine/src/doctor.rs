//! `doctor`: checks everything that a backup needs, without taking one. Each check gives one line.

use std::io::Write as _;

use lifeboat_model::Diagnosis;
use lifeboat_postgres::{Check, Checked, ConnectionSettings};
use lifeboat_vault::{VaultError, check_keys, check_mac_keys, check_site, check_stored_keys};

use crate::error::EngineError;
use crate::ports::work_folder;
use crate::run::Run;

/// The space that a backup may need in its work folder, for the schema archive and the roles. At about 1 KB an object, it is
/// enough for tens of thousands of objects.
const WORK_FOLDER_BYTES: usize = 64 * 1024 * 1024;

/// The check writes this many bytes at a time.
const PIECE_BYTES: usize = 1024 * 1024;

/// Checks the database, the tools, the work folder, and both sites with their keys, also on what is stored. A failed check is part of the answer, not an error.
///
/// Writes one small object to each site, always the same one.
pub async fn doctor(run: &Run, source: &ConnectionSettings) -> Vec<Diagnosis> {
    let mut all = Vec::new();
    match run.ports.tools().await {
        Ok(tools) => {
            let examined = lifeboat_postgres::doctor(source, &tools, &run.policy.left_out, run.load()).await;
            all.extend(examined.checks.into_iter().map(of_database));
        }
        Err(error) => all.push(failed("tools", &error)),
    }
    all.push(check_work_folder());
    for site in run.ports.sites.names() {
        match run.ports.sites.get(site) {
            Ok(store) => all.extend(check_site(store).await),
            Err(error) => all.push(failed(&site.to_string(), &error.into())),
        }
    }
    let sites = run.ports.sites.names();
    all.extend(check_keys(&*run.ports.keys, &sites).await);
    for site in &sites {
        match run.repository_on(*site).await {
            Ok(repository) => match check_stored_keys(&repository, *site, &sites).await {
                Ok(checks) => all.extend(checks),
                Err(error) => all.push(failed(&format!("{site} repository"), &error.into())),
            },
            // Before the first backup nothing is stored.
            Err(EngineError::Vault(VaultError::NoRepository)) => {}
            Err(error) => all.push(failed(&format!("{site} repository"), &error)),
        }
    }
    all.extend(check_mac_keys(&run.ports.macs, &sites).await);
    all
}

fn of_database(check: Check) -> Diagnosis {
    match check.outcome {
        Checked::Ok(seen) => Diagnosis::ok(check.name, seen),
        Checked::Warn { seen, hint } => Diagnosis::warn(check.name, seen, hint),
        Checked::Failed(error) => failed(check.name, &error.into()),
    }
}

fn failed(check: &str, error: &EngineError) -> Diagnosis {
    Diagnosis::failed(check, error.story(), error.hint())
}

/// Writes a file instead of reading the free space, because a quota does not show there.
fn check_work_folder() -> Diagnosis {
    let tried = work_folder().and_then(|folder| {
        let path = folder.path().join("space");
        let unusable = |source| EngineError::WorkFolder { path: path.display().to_string(), source };
        let mut file = std::fs::File::create(&path).map_err(unusable)?;
        let piece = vec![0; PIECE_BYTES];
        for _ in 0..WORK_FOLDER_BYTES / PIECE_BYTES {
            file.write_all(&piece).map_err(unusable)?;
        }
        Ok(std::env::temp_dir().display().to_string())
    });
    match tried {
        Ok(place) => Diagnosis::ok("work folder", format!("`{place}` has room for {} MiB", WORK_FOLDER_BYTES >> 20)),
        Err(error) => failed("work folder", &error),
    }
}
