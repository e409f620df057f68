//! Test doubles are defined in `shared/bench` alone, and nothing that ships names one.

use crate::sdk::named_anywhere;
use crate::tree::{Breach, Source, hold, sources};

const BENCH: &str = "shared/bench/";

/// What stands in for a service, and the switch that kills a process at a request.
const DOUBLES: [&str; 8] = [
    "FaultyStore",
    "HmacKey",
    "KillSwitch",
    "MemoryStore",
    "MortalKeys",
    "MortalMacs",
    "MortalStore",
    "RecordingOutbox",
];

/// The crate as code names it.
const BENCH_CRATE: &str = "lifeboat_bench";

fn doubles_elsewhere(sources: &[Source]) -> Vec<Breach> {
    let is_double = |name: &str| name == BENCH_CRATE || DOUBLES.contains(&name);
    let mut breaches = Vec::new();
    for source in sources {
        let defined = defined_types(&source.syntax().items).into_iter().filter(|name| is_double(name));
        if !source.path.starts_with(BENCH) {
            breaches.extend(defined.map(|name| source.breach(format!("defines `{name}`"))));
        }
        if source.ships() {
            let names = named_anywhere(&source.syntax().items).into_iter().filter(|name| is_double(name));
            breaches.extend(names.map(|name| source.breach(format!("names `{name}`"))));
        }
    }
    breaches
}

fn defined_types(items: &[syn::Item]) -> Vec<String> {
    let names = items.iter().flat_map(|item| match item {
        syn::Item::Struct(item) => vec![item.ident.to_string()],
        syn::Item::Enum(item) => vec![item.ident.to_string()],
        syn::Item::Type(item) => vec![item.ident.to_string()],
        syn::Item::Mod(item) => item.content.iter().flat_map(|(_, items)| defined_types(items)).collect(),
        _ => Vec::new(),
    });
    names.collect()
}

#[test]
fn doubles_are_in_the_bench_and_nothing_that_ships_names_one() {
    hold("a test double outside of shared/bench", &doubles_elsewhere(&sources()));
}

#[test]
fn the_bench_defines_every_double_of_the_list() {
    let sources = sources();
    let bench = sources.iter().filter(|source| source.path.starts_with(BENCH));
    let defined: Vec<String> = bench.flat_map(|source| defined_types(&source.syntax().items)).collect();
    for double in DOUBLES {
        assert!(defined.iter().any(|name| name == double), "shared/bench has no `{double}`: correct the list");
    }
}

#[test]
fn a_double_elsewhere_is_refused() {
    let found = |path: &str, text: &str| doubles_elsewhere(&[Source::new(path, text)]).len();
    assert_eq!(found("shared/vault/src/a.rs", "pub struct MemoryStore;"), 1);
    assert_eq!(found("shared/engine/src/a.rs", "use lifeboat_bench::HmacKey;"), 2);
    assert_eq!(found("cli/src/a.rs", "fn go() { other::RecordingOutbox::new() }"), 1);
    assert_eq!(found("shared/bench/src/a.rs", "pub struct MemoryStore;"), 0);
    assert_eq!(found("shared/vault/tests/laws/a.rs", "use lifeboat_bench::MemoryStore;"), 0);
    assert_eq!(found("tests/tests/engine/a.rs", "use lifeboat_bench::KillSwitch;"), 0);
    assert_eq!(found("shared/vault/src/a.rs", "#[cfg(test)] mod tests { use lifeboat_bench::MemoryStore; }"), 0);
}
