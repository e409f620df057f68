//! What speaks against a restore, and what will be different afterwards.

use lifeboat_model::{Manifest, PlanFinding, Site};
use lifeboat_postgres::{ClientTools, TargetContents, TargetFacts};

use super::definitions::Definitions;
use super::request::RestoreRequest;

/// Databases from which others are created: what is in them comes into each that is created later.
const TEMPLATES: [&str; 2] = ["template0", "template1"];

/// Names that a finding lists; the others are counted.
const NAMED: usize = 5;

/// Everything that was looked at for a plan.
pub(super) struct Looked<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) tools: &'a ClientTools,
    pub(super) definitions: &'a Definitions,
    pub(super) facts: &'a TargetFacts,
    /// Why another site does not give the backup.
    pub(super) elsewhere: Option<(Site, String)>,
    /// The estimated time, where the run has less.
    pub(super) too_long: Option<String>,
}

/// What keeps the restore from beginning comes first.
pub(super) fn findings(request: &RestoreRequest, looked: Looked<'_>) -> Vec<PlanFinding> {
    let mut findings = obstacles(request, &looked);
    findings.extend(differences(request, looked));
    findings
}

/// What keeps it from beginning.
fn obstacles(request: &RestoreRequest, looked: &Looked<'_>) -> Vec<PlanFinding> {
    let Looked { manifest, tools, facts, .. } = looked;
    let (to, user) = (request.destination(), request.to.user());
    let name = &to.database;
    let mut findings = Vec::new();
    let mut found = |what, hint| findings.push(PlanFinding { what, hint, blocks: true });
    if TEMPLATES.contains(&name.as_str()) {
        found(
            format!("`{name}` is the template of every database that is created later"),
            "name another database to restore into".to_owned(),
        );
    }
    match &facts.contents {
        TargetContents::Something(example) => found(
            format!("database `{to}` is not empty: it holds `{example}`"),
            format!(
                "name a database that does not exist yet, such as `{name}_restored`: it is created; or an empty one"
            ),
        ),
        TargetContents::Absent if !facts.may_create => found(
            format!("database `{to}` does not exist, and role `{user}` may not create databases"),
            format!(
                "run `CREATE DATABASE \"{name}\" OWNER \"{user}\"` as an administrator, or `ALTER ROLE \"{user}\" CREATEDB`"
            ),
        ),
        TargetContents::Unfinished(backup_id) if *backup_id != manifest.backup_id.to_string() => found(
            format!("database `{to}` holds an unfinished restore of backup `{backup_id}`"),
            format!("finish it with `--backup {backup_id}`, or drop the database, or name another one"),
        ),
        TargetContents::Absent | TargetContents::Nothing | TargetContents::Unfinished(_) => {}
    }
    let source = manifest.source.server_version_num / 10_000;
    if tools.major() < source {
        found(
            format!("`pg_restore` is of major version {}, and the backup of a server of {source}", tools.major()),
            format!(
                "install the client programs of PostgreSQL {source} or newer (docs/restoring.md says how on Debian), or name their \
                 folder in `LIFEBOAT_PG_BIN`"
            ),
        );
    }
    findings
}

/// What will be different, while the restore begins all the same.
fn differences(request: &RestoreRequest, looked: Looked<'_>) -> Vec<PlanFinding> {
    let Looked { manifest, definitions, facts, elsewhere, too_long, .. } = looked;
    let TargetFacts { major, missing, roles_missing, may_create_roles, .. } = facts;
    let (user, source) = (request.to.user(), manifest.source.server_version_num / 10_000);
    let mut findings = Vec::new();
    let mut found = |what, hint| findings.push(PlanFinding { what, hint, blocks: false });
    if let Some((site, why)) = elsewhere {
        found(format!("{site} does not give the backup: {why}"), "run `lifeboat verify` once it answers".to_owned());
    }
    if let Some(time) = too_long {
        found(
            format!("it takes {time}, which is longer than one run: the run stops before its end"),
            "start it again with the same plan, until it answers with a report: it goes on where it stopped".to_owned(),
        );
    }
    if *major < source {
        found(
            format!(
                "the server is PostgreSQL {major}, and the backup is of {source}: what needs {source} is set aside"
            ),
            format!("restore to a server of PostgreSQL {source} or newer"),
        );
    }
    if !may_create_roles && !roles_missing.is_empty() {
        let names = named(roles_missing);
        found(
            format!("role `{user}` may not create the role(s) {names}: what is theirs will belong to `{user}`"),
            format!("create them first, or run `ALTER ROLE \"{user}\" CREATEROLE` as an administrator"),
        );
    }
    for error in missing {
        found(format!("{error}: what needs it is set aside"), error.advice().hint.into_owned());
    }
    let left_out = manifest.left_out_by_policy();
    if !left_out.is_empty() {
        found(
            format!("the backup has no rows of {}: the policy leaves them out", named(&left_out)),
            "restore an older backup that has these rows, if there is one: here the tables come back empty".to_owned(),
        );
    }
    if definitions.globals.is_none() {
        found(
            "this older backup has no settings and grants of the database itself".to_owned(),
            "set them by hand afterwards".to_owned(),
        );
    }
    findings
}

fn named(names: &[String]) -> String {
    let mut text: Vec<String> = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(NAMED);
    text.extend((more > 0).then(|| format!("{more} more")));
    text.join(", ")
}
