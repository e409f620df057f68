//! Names that a search finds: a file says what it holds, and a public type has its name for itself.

use std::collections::BTreeMap;

use syn::visit::Visit;

use crate::modules::Modules;
use crate::tree::{Breach, Source, hold, sources};

/// Names of files and modules that do not say what is inside, and why.
const BANNED_NAMES: [(&str, &str); 15] = [
    ("utils", "everything is of use"),
    ("util", "everything is of use"),
    ("helpers", "every function helps"),
    ("common", "a file holds a noun, not a number of users"),
    ("types", "name the types"),
    ("core", "name what is at the core"),
    ("base", "name what it is the base of"),
    ("manager", "name what it decides"),
    ("misc", "a drawer"),
    ("heavy", "heavy what"),
    ("published", "published what"),
    ("behind", "behind what"),
    ("words", "name the text: labels, messages, sentences"),
    ("expected", "expected what"),
    ("refuse", "a verb: name what is refused"),
];

/// Names of the prelude of the 2024 edition. A public type with one of them shadows it wherever it is imported.
const PRELUDE: [&str; 36] = [
    "AsMut",
    "AsRef",
    "AsyncFn",
    "Box",
    "Clone",
    "Copy",
    "Debug",
    "Default",
    "DoubleEndedIterator",
    "Drop",
    "Eq",
    "Err",
    "ExactSizeIterator",
    "Extend",
    "Fn",
    "FnMut",
    "FnOnce",
    "From",
    "FromIterator",
    "Future",
    "Hash",
    "Into",
    "IntoIterator",
    "Iterator",
    "None",
    "Ok",
    "Option",
    "Ord",
    "PartialEq",
    "PartialOrd",
    "Result",
    "Send",
    "Some",
    "String",
    "Sync",
    "Vec",
];

fn empty_names(sources: &[Source]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for source in sources {
        let stem = source.path.rsplit('/').next().and_then(|file| file.strip_suffix(".rs")).unwrap_or_default();
        let mut names = vec![stem.to_lowercase()];
        let mut inline = InlineModules::default();
        inline.visit_file(source.syntax());
        names.extend(inline.names);
        for name in names {
            if let Some((_, why)) = BANNED_NAMES.iter().find(|(banned, _)| *banned == name) {
                breaches.push(source.breach(format!("`{name}` does not say what is inside ({why})")));
            }
        }
    }
    breaches
}

/// Modules with a body. Those without one have a file.
#[derive(Default)]
struct InlineModules {
    names: Vec<String>,
}

impl<'ast> Visit<'ast> for InlineModules {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.names.extend(item.content.is_some().then(|| item.ident.to_string()));
        syn::visit::visit_item_mod(self, item);
    }
}

/// Public types of a shared crate that are named like an item of the prelude.
fn prelude_names(sources: &[Source]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for source in sources.iter().filter(|source| is_shared(&source.path)) {
        let names = source.syntax().items.iter().filter_map(public_type);
        let shadowing = names.filter(|name| PRELUDE.contains(&name.as_str()));
        breaches.extend(shadowing.map(|name| source.breach(format!("`{name}` shadows the prelude's"))));
    }
    breaches
}

/// Types that two shared crates export under one name.
fn names_twice(sources: &[Source]) -> Vec<Breach> {
    let mut exporters: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for root in sources.iter().filter(|source| is_shared(&source.path) && source.path.ends_with("src/lib.rs")) {
        let defined = root.syntax().items.iter().filter_map(public_type);
        let exports = Modules::of(sources, &root.path).exports().into_iter().chain(defined);
        for name in exports.filter(|name| is_type_name(name)) {
            exporters.entry(name).or_default().push(&root.path);
        }
    }
    let twice = exporters.into_iter().filter(|(_, crates)| crates.len() > 1);
    twice
        .flat_map(|(name, crates)| {
            let what = format!("`{name}` is public in {}", crates.join(" and "));
            crates.into_iter().map(move |path| Breach { path: path.to_owned(), what: what.clone() }).collect::<Vec<_>>()
        })
        .collect()
}

fn is_shared(path: &str) -> bool {
    path.starts_with("shared/") && path.contains("/src/")
}

/// `CamelCase`, not `snake_case` and not `SCREAMING_CASE`.
fn is_type_name(name: &str) -> bool {
    name.starts_with(char::is_uppercase) && (name.len() == 1 || name.contains(char::is_lowercase))
}

fn public_type(item: &syn::Item) -> Option<String> {
    let (visibility, ident) = match item {
        syn::Item::Struct(item) => (&item.vis, &item.ident),
        syn::Item::Enum(item) => (&item.vis, &item.ident),
        syn::Item::Trait(item) => (&item.vis, &item.ident),
        syn::Item::Type(item) => (&item.vis, &item.ident),
        _ => return None,
    };
    matches!(visibility, syn::Visibility::Public(_)).then(|| ident.to_string())
}

#[test]
fn files_and_modules_of_this_tree_say_what_is_inside() {
    hold("a name that says nothing", &empty_names(&sources()));
}

#[test]
fn no_public_type_of_this_tree_is_named_like_one_of_the_prelude() {
    hold("a public type that shadows the prelude", &prelude_names(&sources()));
}

#[test]
fn no_two_shared_crates_export_types_of_one_name() {
    hold("two public types of one name", &names_twice(&sources()));
}

#[test]
fn a_name_that_says_nothing_is_refused() {
    let found = |path: &str, text: &str| empty_names(&[Source::new(path, text)]).len();
    for (name, _) in BANNED_NAMES {
        assert_eq!(found(&format!("shared/x/src/{name}.rs"), ""), 1, "{name}");
        assert_eq!(found("shared/x/src/a.rs", &format!("mod {name} {{}}")), 1, "{name}");
    }
    assert_eq!(found("shared/x/src/backup.rs", "mod inner {}"), 0);
}

#[test]
fn a_public_type_named_like_one_of_the_prelude_is_refused() {
    let found = |path: &str, text: &str| prelude_names(&[Source::new(path, text)]).len();
    assert_eq!(found("shared/x/src/a.rs", "pub enum Copy {}"), 1);
    assert_eq!(found("shared/x/src/a.rs", "pub type Result<T> = std::result::Result<T, ()>;"), 1);
    assert_eq!(found("shared/x/src/a.rs", "type Result<T> = std::result::Result<T, ()>;"), 0);
    assert_eq!(found("cli/src/a.rs", "pub enum Copy {}"), 0);
}

#[test]
fn a_type_that_two_crates_export_is_refused() {
    let found = |files: &[(&str, &str)]| {
        let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        names_twice(&sources).into_iter().map(|breach| breach.what).collect::<Vec<_>>()
    };
    let one = ("shared/one/src/lib.rs", "mod a; pub use a::{Claim, LIMIT, run};");
    let a = ("shared/one/src/a.rs", "pub struct Claim; pub const LIMIT: u8 = 0; pub fn run() {}");
    let twice = "`Claim` is public in shared/one/src/lib.rs and shared/two/src/lib.rs";
    assert_eq!(found(&[one, a, ("shared/two/src/lib.rs", "pub struct Claim; pub fn run() {}")]), [twice, twice]);
    assert_eq!(found(&[one, a, ("shared/two/src/lib.rs", "pub use one::Claim;")]), [""; 0], "the same type");
    assert_eq!(
        found(&[one, a, ("shared/two/src/lib.rs", "mod b; struct Claim;"), ("shared/two/src/b.rs", "")]),
        [""; 0]
    );
}
