//! No file uses another that uses it, on however long a way: a circle can only be understood, tested and moved whole.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::modules::Modules;
use crate::tree::{Breach, Source, hold, sources};

type Uses<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// One breach for each file that is on a circle: the shortest circle through it, as a path of files.
fn circles(sources: &[Source]) -> Vec<Breach> {
    let mut breaches = BTreeSet::new();
    for root in sources.iter().filter(|source| is_crate_root(&source.path)) {
        let uses = Modules::of(sources, &root.path).uses();
        for file in uses.keys() {
            if let Some(circle) = circle_through(file, &uses) {
                breaches.insert(Breach { path: (*file).to_owned(), what: circle.join(" → ") });
            }
        }
    }
    breaches.into_iter().collect()
}

/// `src/lib.rs`, `src/main.rs`, `src/bin/<name>/main.rs`, `tests/<name>.rs`, `tests/<name>/main.rs`.
fn is_crate_root(path: &str) -> bool {
    let parts: Vec<&str> = path.rsplit('/').collect();
    match parts.as_slice() {
        ["lib.rs" | "main.rs", "src", ..] | ["main.rs", _, "bin" | "tests", ..] => true,
        [file, "tests", ..] => *file != "main.rs" && !path.contains("/src/"),
        _ => false,
    }
}

/// The shortest way from a file back to itself.
fn circle_through<'a>(start: &'a str, uses: &Uses<'a>) -> Option<Vec<&'a str>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut next = VecDeque::from([start]);
    while let Some(file) = next.pop_front() {
        for used in uses.get(file).into_iter().flatten() {
            if *used == start {
                let mut circle = vec![start, file];
                while let Some(before) = circle.last().and_then(|last| came_from.get(last)) {
                    circle.push(before);
                }
                circle.dedup();
                circle.reverse();
                circle.push(start);
                circle.dedup();
                return Some(circle);
            }
            if !came_from.contains_key(used) {
                came_from.insert(used, file);
                next.push_back(used);
            }
        }
    }
    None
}

#[test]
fn no_files_of_this_tree_use_each_other_in_a_circle() {
    hold("a circle of imports: move what both need to a file that uses neither", &circles(&sources()));
}

fn found(files: &[(&str, &str)]) -> Vec<String> {
    let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
    circles(&sources).into_iter().map(|breach| breach.what).collect()
}

#[test]
fn a_circle_of_three_files_is_shown_as_a_path() {
    let files = [
        ("x/src/lib.rs", "mod a; mod b; mod c; pub use a::A;"),
        ("x/src/a.rs", "use crate::b::B; pub struct A(B);"),
        ("x/src/b.rs", "pub struct B; impl B { fn go() { crate::c::go() } }"),
        ("x/src/c.rs", "use super::a; pub fn go() { a::A::new() }"),
    ];
    assert_eq!(
        found(&files),
        [
            "x/src/a.rs → x/src/b.rs → x/src/c.rs → x/src/a.rs",
            "x/src/b.rs → x/src/c.rs → x/src/a.rs → x/src/b.rs",
            "x/src/c.rs → x/src/a.rs → x/src/b.rs → x/src/c.rs",
        ]
    );
}

#[test]
fn a_child_that_uses_its_parent_is_a_circle_only_if_the_parent_uses_the_child() {
    let child = ("x/src/a/b.rs", "use super::A; pub fn go(_: A) {}");
    let lib = ("x/src/lib.rs", "mod a;");
    assert_eq!(found(&[lib, child, ("x/src/a.rs", "mod b; pub use b::go; pub struct A;")]), [""; 0]);
    let circle = [lib, child, ("x/src/a.rs", "mod b; pub struct A; fn run(a: A) { b::go(a) }")];
    assert_eq!(found(&circle).len(), 2);
    let in_macro = [lib, child, ("x/src/a.rs", "mod b; pub struct A; fn run(a: A) { assert!(b::go(a)) }")];
    assert_eq!(found(&in_macro).len(), 2);
}

#[test]
fn a_name_is_followed_through_its_re_export() {
    let files = [
        ("x/src/lib.rs", "mod a; mod b; pub use a::A; fn start() { b::go() }"),
        ("x/src/a.rs", "pub struct A;"),
        ("x/src/b.rs", "use crate::A; pub fn go() {}"),
    ];
    assert_eq!(found(&files), [""; 0], "`crate::A` is in a.rs, not in lib.rs");
    let files = [files[0], ("x/src/a.rs", "pub struct A; fn run() { crate::b::go() }"), files[2]];
    assert_eq!(found(&files).len(), 2, "and so it makes a circle of a.rs and b.rs");
}

#[test]
fn unit_tests_are_on_no_circle() {
    let files = [
        ("x/src/lib.rs", "mod a; mod b;"),
        ("x/src/a.rs", "pub struct A; #[cfg(test)] mod tests { use crate::b::B; }"),
        ("x/src/b.rs", "use crate::a::A; pub struct B(A);"),
    ];
    assert_eq!(found(&files), [""; 0]);
}
