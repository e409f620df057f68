//! Every command of every runbook, run on the local cloud: a page for the worst day must not hold a command that is none.

use std::collections::BTreeMap;

use lifeboat_local::{DATABASE, SCRATCH_SECRET, SOURCE_SECRET, Stage, root};
use lifeboat_model::AlertKind;

use crate::bench::small_stage;

/// The commands of a page: the lines of its fences.
fn commands(page: &str) -> Vec<String> {
    let fences = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    fences.flat_map(str::lines).map(str::to_owned).collect()
}

/// A command's words, as a shell takes them: quotes hold words together.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (place, part) in command.split('"').enumerate() {
        match place % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

/// What README exports, and no more: what else a command needs, nobody would know.
fn environment(stage: &Stage) -> BTreeMap<&'static str, String> {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let exported: String = readme.lines().filter(|line| line.starts_with("    export ")).collect();
    let secrets = [
        ("LIFEBOAT_DATABASE_SECRETS", SOURCE_SECRET.to_owned()),
        ("LIFEBOAT_SCRATCH_SECRET", SCRATCH_SECRET.to_owned()),
    ];
    let mut environment = stage.environment();
    environment.extend(secrets);
    environment.retain(|name, _| {
        let is_machine_s_own = name.starts_with("AWS_") || *name == "LIFEBOAT_PG_BIN";
        is_machine_s_own || exported.contains(&format!("{name}="))
    });
    environment
}

fn run(stage: &Stage, command: &str) -> (i32, String) {
    let words = words(command);
    let arguments: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
    let program = stage.cloud().executable("lifeboat").unwrap();
    let mut process = std::process::Command::new(program);
    let output = process.args(arguments).envs(environment(stage)).current_dir(root()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_incident_has_a_runbook_whose_commands_run() {
    let stage = small_stage(&[]).await;
    assert_eq!(run(&stage, "lifeboat backup").0, 0);
    for kind in AlertKind::ALL.iter().filter(|kind| kind.has_rule()) {
        let path = root().join(format!("docs/runbooks/{kind}.md"));
        let page = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let commands = commands(&page);
        assert!(commands.len() >= 2, "{kind}: {commands:?}");
        let acknowledges = format!("lifeboat incidents ack {kind}/");
        assert!(kind.is_notice() || commands.iter().any(|command| command.starts_with(&acknowledges)), "{kind}");
        let named = kind.command(Some("clinic"));
        assert!(commands.iter().any(|command| command.starts_with(&named)), "{kind}: the alert names `{named}`");
    }
    let mut ran = 0;
    for page in std::fs::read_dir(root().join("docs/runbooks")).unwrap() {
        let path = page.unwrap().path();
        for command in commands(&std::fs::read_to_string(&path).unwrap()) {
            let (status, said) = run(&stage, &command.replace("/SUBJECT", "/clinic"));
            // Nothing is wrong here: there is nothing to take up, and all else ends well.
            if command.contains(" incidents ack ") {
                let nothing = status == 1 && said.contains("there is no open incident");
                assert!(nothing, "{}: {command}: {said}", path.display());
            } else {
                assert_eq!(status, 0, "{}: {command}: {said}", path.display());
            }
            ran += 1;
        }
    }
    println!("{ran} commands of runbooks");
    // And with something wrong, what each page says of taking it up is done.
    stage.cloud().change_secret(SOURCE_SECRET, "postgres://nobody:wrong@127.0.0.1:1/clinic").await.unwrap();
    let order = serde_json::json!({"database": DATABASE});
    assert!(stage.cloud().invoke(&stage.deployment().backup, &order).await.unwrap().failed);
    let (status, said) = run(&stage, "lifeboat incidents ack backup-failed/clinic --reason \"ticket 4711\"");
    assert_eq!(status, 0, "{said}");
    let (status, said) = run(&stage, "lifeboat incidents list");
    assert!(status == 1 && said.contains("ticket 4711"), "what is wrong stays listed: {said}");
}
