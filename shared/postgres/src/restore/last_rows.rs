//! The end of the rows: what was refused is tried a last time, and constraints that were taken off come back.

use lifeboat_model::SetAside;

use crate::error::PostgresResult as Result;
use crate::restore::obstacles::Obstacles;
use crate::restore::refused_rows::{Kept, RefusedRows};
use crate::restore::relaxed::reinstate;
use crate::restore::target::RestoreTarget;

impl RestoreTarget {
    /// Tries refused rows a last time, when everything else is restored, and returns those that are missing, by table and reason.
    pub async fn load_refused_rows(&self, refused: RefusedRows) -> Result<Vec<SetAside>> {
        let kept = refused.take_kept();
        if !kept.is_empty() {
            let mut loader = self.loader().await?;
            for kept in kept {
                if loader.load_without_triggers(&kept).await?.is_some() {
                    let Kept { table, rows, why, .. } = kept;
                    let rows = rows.len() as u64;
                    // The first refusal is nearer to the cause.
                    let why = if rows > 1 {
                        format!("{why}; there were too many to try each alone")
                    } else {
                        why.to_string()
                    };
                    refused.lose(&table, rows, &why);
                }
            }
            loader.close().await;
        }
        let missing = |((table, why), rows): ((String, String), u64)| SetAside {
            kind: "rows".to_owned(),
            reason: format!("{rows} row(s) are not restored: {why}"),
            what_to_do: format!(
                "remove the cause and restore `{table}` again, or read these rows from the backup as docs/format/without-lifeboat.md describes"
            ),
            object: table,
            definition: None,
        };
        Ok(refused.into_lost().into_iter().map(missing).collect())
    }

    /// Puts all constraints back that were taken off, and returns those that came back weaker. Call it when all rows are loaded.
    pub async fn reinstate_constraints(&self, obstacles: &Obstacles) -> Result<Vec<SetAside>> {
        let constraints = obstacles.take_constraints().await;
        if constraints.is_empty() {
            return Ok(Vec::new());
        }
        let session = self.connect().await?;
        let weaker =
            reinstate(&session, constraints, &obstacles.search_paths, self.marks().map(|marks| &**marks)).await?;
        session.close().await;
        Ok(weaker)
    }
}
