//! `lifeboat` as a person meets it: text for eyes, one JSON document for programs, and what it says when something is wrong.

use std::process::{Command, Output};
use std::time::Duration;

use lifeboat_local::{DATABASE, Stage};
use lifeboat_model::Site;
use serde_json::Value;

use crate::bench::small_stage;
use crate::stored::{BOTH, Stored};

/// In the URLs of the stage's servers, and in the wrong ones of these tests.
const PASSWORDS: [&str; 2] = ["lifeboat-local", "s3cr3t-pw"];

/// Looks for a verification that the bus asks for, and the pause between two.
const VERIFIED_POLLS: u32 = 120;
const POLL: Duration = Duration::from_millis(500);

fn sleep_a_poll() -> bool {
    std::thread::sleep(POLL);
    false
}

/// What a run printed and how it ended.
struct Run {
    status: i32,
    out: String,
    err: String,
}

/// Runs the tool on the stage without these variables; no output may ever hold a password.
fn run_without(stage: &Stage, unset: &[&str], arguments: &[&str]) -> Run {
    let mut lifeboat = Command::new(stage.cloud().executable("lifeboat").unwrap());
    lifeboat.args(arguments).envs(stage.environment());
    for name in unset {
        lifeboat.env_remove(name);
    }
    let Output { status, stdout, stderr } = lifeboat.output().unwrap();
    let (out, err) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    for password in PASSWORDS {
        assert!(!out.contains(password) && !err.contains(password), "{arguments:?}: {out}{err}");
    }
    Run { status: status.code().unwrap(), out, err }
}

fn run(stage: &Stage, arguments: &[&str]) -> Run {
    run_without(stage, &[], arguments)
}

/// A run that is well, as text.
fn text(stage: &Stage, arguments: &[&str]) -> String {
    let Run { status, out, err } = run(stage, arguments);
    assert_eq!((status, err.as_str()), (0, ""), "{arguments:?}: {out}");
    assert!(serde_json::from_str::<Value>(&out).is_err(), "{arguments:?} printed JSON to a person: {out}");
    out
}

/// A run that is well, as the one document it printed.
fn json(stage: &Stage, arguments: &[&str]) -> Value {
    let Run { status, out, err } = run(stage, &[arguments, &["--json"]].concat());
    assert_eq!((status, err.as_str()), (0, ""), "{arguments:?}: {out}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {out}"))
}

/// A run that failed: nothing on standard output, and one sentence and one hint on standard error.
fn complaint(arguments: &[&str], run: &Run) -> String {
    assert_eq!((run.status, run.out.as_str()), (1, ""), "{arguments:?}: {}", run.err);
    let [sentence, hint] = run.err.lines().collect::<Vec<_>>()[..] else { panic!("{arguments:?}: {}", run.err) };
    assert!(sentence.starts_with("lifeboat: ") && hint.starts_with("  hint: "), "{arguments:?}: {}", run.err);
    run.err.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_verb_speaks_text_to_a_person_and_one_json_document_to_a_program() {
    let stage = small_stage(&[]).await;
    let source = stage.source().unwrap().url(DATABASE);
    let scratch = stage.scratch().url("postgres");
    assert!(complaint(&["backups"], &run(&stage, &["backups"])).contains("the first backup creates the repository"));

    // What a person runs first, before there is anything.
    let told = text(&stage, &["doctor", "--source", &source]);
    assert!(told.lines().any(|line| line.starts_with("ok      offsite key ")), "{told}");
    let checks = json(&stage, &["doctor", "--source", &source]);
    let verdict =
        |name: &str| checks.as_array().unwrap().iter().find(|check| check["check"] == name).unwrap()["verdict"].clone();
    let server = ["reachable", "session mode", "server version", "privileges", "large objects", "clock", "work folder"];
    let sites = [
        "primary writable",
        "primary protected",
        "primary key",
        "offsite writable",
        "offsite protected",
        "offsite key",
        "primary ledger key",
        "offsite ledger key",
    ];
    for check in server.iter().chain(&sites) {
        assert_eq!(verdict(check), "ok", "{check}: {checks}");
    }

    let told = text(&stage, &["backup", "--source", &source]);
    assert!(told.contains("25000 in ") && told.contains("public.patients  5000 rows"), "{told}");
    let manifest = json(&stage, &["backup", "--source", &source]);
    assert_eq!((&manifest["totals"]["rows"], &manifest["state"]), (&25_000.into(), &"complete".into()));
    let id = manifest["backup_id"].as_str().unwrap();

    let listed = text(&stage, &["backups"]);
    assert_eq!((listed.lines().count(), listed.contains(id)), (3, true), "{listed}");
    assert!(listed.lines().skip(1).all(|line| line.ends_with("  primary, offsite")), "{listed}");
    let mut on_both = manifest.clone();
    on_both["sites"] = serde_json::json!({"primary": "complete", "offsite": "complete"});
    assert_eq!(json(&stage, &["backups", "--site", "offsite"]).as_array().unwrap()[1], on_both);
    assert!(text(&stage, &["show", id, "--site", "offsite"]).contains(id));
    assert_eq!(json(&stage, &["show", id]), on_both);

    assert!(text(&stage, &["verify"]).starts_with("clinic: sound; "));
    assert_eq!(json(&stage, &["verify", "--backup", id]).as_array().unwrap()[0]["findings"], serde_json::json!([]));

    assert!(text(&stage, &["drill", "--scratch", &scratch]).starts_with(&format!("equal: backup {id} of clinic")));
    let report = json(&stage, &["drill", "--scratch", &scratch, "--backup", "random"]);
    assert_eq!((&report["equal"], &report["rows"]), (&true.into(), &25_000.into()));
    let databases = stage.scratch().psql("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE 'lifeboat%'");
    assert_eq!(databases.unwrap(), "0", "a scratch database was left behind");
}

/// The trail that a backup vouches for, and what was written after it until a date, from either site.
fn bring_back(stage: &Stage, backup_id: &str, recorded_at: &str, exported: &str) {
    let folder = tempfile::tempdir().unwrap();
    for site in BOTH.map(|site| site.to_string()) {
        // The backup's own entry was written after its manifest, in which the trail is named that there was.
        for (name, until) in [("before", recorded_at), ("after", "2100-01-01T00:00:00Z")] {
            let into = folder.path().join(format!("{site}-{name}"));
            let into = into.to_str().unwrap();
            let arguments =
                ["ledger", "restore", "--backup", backup_id, "--until", until, "--into", into, "--site", &site];
            let report = json(stage, &arguments);
            let found = report["brought"].as_u64().unwrap();
            assert_eq!(report["report"]["proved"], 5, "{report}");
            assert!(if name == "before" { (1..5).contains(&found) } else { found == 5 }, "{report}");
            for (number, line) in exported.lines().take(found as usize).enumerate() {
                let stored = std::fs::read_to_string(format!("{into}/{:012}.json", number + 1)).unwrap();
                assert_eq!(stored, line);
            }
            assert_eq!(std::fs::read_dir(into).unwrap().count() as u64, found);
            complaint(&arguments, &run(stage, &arguments));
        }
    }
    let into = folder.path().join("refused");
    let early = [
        "ledger",
        "restore",
        "--backup",
        backup_id,
        "--until",
        "2020-01-01T00:00:00Z",
        "--into",
        into.to_str().unwrap(),
    ];
    assert!(complaint(&early, &run(stage, &early)).contains("it was taken after the date"));
    assert!(!into.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_trail_is_listed_proved_and_exported_and_an_altered_entry_is_named() {
    let stage = small_stage(&[]).await;
    text(&stage, &["backup", "--reason", "the first one"]);
    let id = json(&stage, &["backup", "--reason", "before release 7"])["backup_id"].as_str().unwrap().to_owned();
    // The bus has the function verify it.
    let verified = || json(&stage, &["ledger", "list", "--action", "verify"]).as_array().unwrap().len() == 2;
    assert!((0..VERIFIED_POLLS).any(|_| verified() || sleep_a_poll()), "the backups were not verified");
    text(&stage, &["drill"]);

    let listed = text(&stage, &["ledger", "list"]);
    assert_eq!((listed.lines().count(), listed.lines().filter(|line| line.contains(&id)).count()), (6, 2), "{listed}");
    // Who AWS says it was, and why they say they did it.
    let entries = json(&stage, &["ledger", "list", "--action", "backup", "--actor", "arn:aws:", "--site", "offsite"]);
    assert_eq!((entries.as_array().unwrap().len(), &entries[0]["subject"]), (2, &id.as_str().into()));
    assert_eq!((&entries[0]["reason"], &entries[1]["reason"]), (&"before release 7".into(), &"the first one".into()));
    let at = entries[1]["at"].as_str().unwrap();
    assert_eq!(json(&stage, &["ledger", "list", "--until", at]), serde_json::json!([]));
    assert_eq!(json(&stage, &["ledger", "list", "--since", at, "--limit", "2"]).as_array().unwrap().len(), 2);
    assert_eq!(json(&stage, &["ledger", "list", "--since", at]).as_array().unwrap().len(), 5);

    let proved = text(&stage, &["ledger", "verify"]);
    let expected = "proved: 5 entries, one unbroken chain on primary and offsite\nprimary's key vouches for 5";
    assert!(proved.starts_with(expected), "{proved}");
    for site in ["primary", "offsite"] {
        let report = json(&stage, &["ledger", "verify", "--site", site]);
        assert_eq!(report["vouched"], serde_json::json!({"primary": 5, "offsite": 5}));
    }
    let Run { status, out, err } = run(&stage, &["ledger", "export"]);
    assert_eq!((status, out.lines().count()), (0, 5), "{err}");
    let stored = Stored::on(&stage).await;
    let keys = stored.keys(Site::Primary, "ledger/").await;
    for (line, key) in out.lines().zip(&keys) {
        assert_eq!(line.as_bytes(), stored.bytes(Site::Primary, key).await);
    }

    bring_back(&stage, &id, entries[0]["at"].as_str().unwrap(), &out);

    // By somebody who may write to both buckets.
    let second = keys.iter().nth(1).unwrap();
    let altered = out.lines().nth(1).unwrap().replace("completed", "failed");
    for site in BOTH {
        stored.overwrite(site, second, altered.clone().into_bytes()).await;
    }
    let told = "its MAC is invalid";
    for arguments in [&["ledger", "verify"][..], &["ledger", "verify", "--site", "offsite"]] {
        let complaint = complaint(arguments, &run(&stage, arguments));
        assert!(complaint.contains(second.as_str()) && complaint.contains(told), "{complaint}");
    }
    // What is before it is proved, and printed.
    let Run { status, out: printed, err } = run(&stage, &["ledger", "export"]);
    assert_eq!((status, printed.lines().collect::<Vec<_>>()), (1, out.lines().take(1).collect()), "{err}");
    assert!(err.contains(second.as_str()) && err.contains(told), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_is_planned_and_confirmed_and_never_written_over_anything() {
    let stage = small_stage(&[]).await;
    let id = json(&stage, &["backup"])["backup_id"].as_str().unwrap().to_owned();
    let scratch = stage.scratch();
    for name in ["kept_too", "taken"] {
        scratch.psql("postgres", &format!("CREATE DATABASE {name}")).unwrap();
    }
    scratch.psql("taken", "CREATE TABLE mine AS SELECT 1 AS a").unwrap();

    // The plan changes nothing, and nothing happens without a confirmation.
    let kept = scratch.url("kept");
    let told = text(&stage, &["restore", "plan", "--to", &kept, "--backup", &id]);
    assert!(told.contains("it does not exist, and is created") && told.contains("takes      about "), "{told}");
    let arguments = ["restore", "--to", &kept];
    let said = complaint(&arguments, &run(&stage, &arguments));
    assert!(said.contains("nobody can be asked for confirmation: add `--yes`"), "{said}");
    let databases = "SELECT count(*) FROM pg_database WHERE datname = 'kept'";
    assert_eq!(scratch.psql("postgres", databases).unwrap(), "0");

    // The plan is on standard error, so that standard output is the report alone.
    let restored = run(&stage, &["restore", "--to", &kept, "--site", "offsite", "--backup", &id, "--yes"]);
    let (told, shown) = (restored.out, restored.err);
    assert!(restored.status == 0 && shown.starts_with("plan       restore of clinic"), "{shown}");
    assert!(told.starts_with("whole: everything is back") && told.contains("have no passwords yet"), "{told}");
    let other = json(&stage, &["restore", "plan", "--to", &scratch.url("other")])["hash"].clone();
    let wrong = ["restore", "--to", &scratch.url("kept_too"), "--approve", other.as_str().unwrap(), "--json"];
    let said = complaint(&wrong, &run(&stage, &wrong));
    assert!(said.contains("the plan has changed"), "{said}");
    let planned = json(&stage, &["restore", "plan", "--to", &scratch.url("kept_too")]);
    let hash = planned["hash"].as_str().unwrap();
    let report = json(&stage, &["restore", "--to", &scratch.url("kept_too"), "--approve", hash]);
    assert_eq!((&report["outcome"], &report["set_aside"]), (&"whole".into(), &serde_json::json!([])));
    assert!(report["seconds"]["data"].is_number() && report["to"]["database"] == "kept_too", "{report}");
    for name in ["kept", "kept_too"] {
        assert_eq!(
            scratch.psql(name, "SELECT count(*) FROM patients JOIN visits ON patient = patients.id").unwrap(),
            "20000"
        );
        assert_eq!(scratch.psql(name, "SELECT count(*) > 0 FROM fees").unwrap(), "t");
    }

    let everything = "SELECT string_agg(oid::regclass::text || relfilenode, ',' ORDER BY oid) FROM pg_class";
    for (name, holds) in [("kept", "`"), ("taken", "`public.mine`")] {
        let before = scratch.psql(name, everything).unwrap();
        let arguments = ["restore", "--to", &scratch.url(name), "--yes", "--json"];
        let said = complaint(&arguments, &run(&stage, &arguments));
        assert!(said.contains(&format!("/{name}` is not empty: it holds {holds}")), "{said}");
        assert!(said.contains("hint: name a database that does not exist yet"), "{said}");
        assert_eq!(scratch.psql(name, everything).unwrap(), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_is_named_with_what_to_do_about_it() {
    const UNKNOWN: &str = "2020-01-01T00-00-00Z-aaaa";
    let stage = small_stage(&[]).await;
    json(&stage, &["backup"]);
    let findings_of_nothing = "there is no backup `2020-01-01T00-00-00Z-aaaa` on primary";
    for (arguments, wanted, hint) in [
        (vec!["show", UNKNOWN], findings_of_nothing, "lifeboat backups"),
        (vec!["drill", "--backup", UNKNOWN], findings_of_nothing, "lifeboat backups"),
        (vec!["verify", "--backup", UNKNOWN], findings_of_nothing, "lifeboat backups"),
        (vec!["backups", "--database", "billing"], "the database `billing` is not configured", "LIFEBOAT_DATABASES"),
        (
            vec!["backup", "--source", "postgres://u:s3cr3t-pw@127.0.0.1:1/clinic?sslmode=disable"],
            "no connection to `127.0.0.1:1/clinic`",
            "check host and port",
        ),
        (vec!["backup", "--source", "mysql://u:s3cr3t-pw@h/x"], "--source", "postgres://user:password@host"),
        (vec!["drill", "--scratch", "s3cr3t-pw"], "--scratch", "postgres://user:password@host"),
        (vec!["restore", "--to", "postgres://u:s3cr3t-pw@h:port/x"], "--to", "postgres://user:password@host"),
    ] {
        for json in [&[][..], &["--json"]] {
            let arguments = [&arguments, json].concat();
            let said = complaint(&arguments, &run(&stage, &arguments));
            assert!(said.lines().next().unwrap().contains(wanted), "{arguments:?}: {said}");
            assert!(said.lines().nth(1).unwrap().contains(hint), "{arguments:?}: {said}");
        }
    }
    for (arguments, wanted) in [
        (&["show", "yesterday"][..], "is not a backup id such as"),
        (&["backups", "--site", "mars"], "`mars` is not a site: `primary` or `offsite`"),
        (&["bring-back"], "unrecognized subcommand"),
        (&["restore"], "--to <TO>"),
        (&["backups", "--repository", "clinic"], "a repository is `s3://BUCKET`"),
    ] {
        let Run { status, out, err } = run(&stage, arguments);
        assert_eq!((status, out.as_str()), (2, ""), "{arguments:?}");
        assert!(err.contains(wanted), "{arguments:?}: {err}");
    }
    assert!(run(&stage, &["--help"]).out.contains("Exit status: 0 success"));
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_are_missing_are_named_all_at_once() {
    let stage = small_stage(&[]).await;
    let environment = stage.environment();
    let all: Vec<&str> = environment.keys().copied().filter(|name| name.starts_with("LIFEBOAT_")).collect();
    let said = complaint(&["backups"], &run_without(&stage, &all, &["backups"]));
    for name in ["LIFEBOAT_DATABASES", "LIFEBOAT_PRIMARY_BUCKET", "LIFEBOAT_PRIMARY_REGION"] {
        assert!(said.contains(&format!("`{name}`")), "{said}");
    }
    assert!(said.contains("hint: export the missing variables in this shell"), "{said}");

    let without = |unset: &[&str], arguments: &[&str]| complaint(arguments, &run_without(&stage, unset, arguments));
    let said = without(&["LIFEBOAT_OFFSITE_REGION"], &["backups"]);
    assert!(said.contains("`LIFEBOAT_OFFSITE_REGION`"), "{said}");
    let said = without(&["LIFEBOAT_SOURCE_URL"], &["backup"]);
    assert!(said.contains("`LIFEBOAT_DATABASE_SECRETS` is missing, and so is `--source`"), "{said}");
    let said = without(&["LIFEBOAT_SCRATCH_URL"], &["drill"]);
    assert!(said.contains("`LIFEBOAT_SCRATCH_SECRET` is missing, and so is `--scratch`"), "{said}");
    let offsite =
        ["LIFEBOAT_OFFSITE_BUCKET", "LIFEBOAT_OFFSITE_REGION", "LIFEBOAT_OFFSITE_KEY", "LIFEBOAT_OFFSITE_MAC_KEY"];
    let said = without(&offsite, &["backups", "--site", "offsite"]);
    assert!(said.contains("offsite site is"), "{said}");
}
