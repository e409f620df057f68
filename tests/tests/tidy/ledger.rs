//! One place records acts: `Run::record` of the engine.

use crate::tree::{Breach, Source, hold, sources};

/// The only file that ships and appends to the ledger.
const RECORDER: &str = "shared/engine/src/run.rs";

/// Folders that could, because they know the vault or a run.
const CALLERS: [&str; 4] = ["shared/engine/src/", "shared/runtime/src/", "functions/", "cli/src/"];

fn appends_elsewhere(sources: &[Source]) -> Vec<Breach> {
    let callers = sources.iter().filter(|source| CALLERS.iter().any(|folder| source.path.starts_with(folder)));
    let mut breaches = Vec::new();
    for source in callers.filter(|source| source.path != RECORDER) {
        for (line, text) in (1..).zip(source.text.lines()).filter(|(_, text)| text.contains(".append(")) {
            let what = format!("line {line}: `{}` belongs in `Run::record`", text.trim());
            breaches.push(Breach { path: source.path.clone(), what });
        }
    }
    breaches
}

#[test]
fn only_run_record_appends_to_the_ledger() {
    hold("an entry of the ledger without its run and usage", &appends_elsewhere(&sources()));
}

#[test]
fn an_append_elsewhere_is_found_and_that_of_the_recorder_is_not() {
    let append = "async fn f() {\n    run.ledger(repository).append(act, now).await?;\n}\n";
    let paths = [RECORDER, "shared/engine/src/health.rs", "functions/verify/src/main.rs", "shared/vault/src/ledger.rs"];
    let found = appends_elsewhere(&paths.map(|path| Source::new(path, append)));
    let found: Vec<&str> = found.iter().map(|breach| breach.path.as_str()).collect();
    assert_eq!(found, ["shared/engine/src/health.rs", "functions/verify/src/main.rs"]);
}
