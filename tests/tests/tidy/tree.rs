//! The files of this checkout, read, and parsed on demand.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

/// One Rust file.
pub struct Source {
    /// Relative to the root, with `/`.
    pub path: String,
    pub text: String,
    /// Parsed when it is first asked for: not every rule does.
    syntax: OnceCell<syn::File>,
}

/// A rule that a file breaks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Breach {
    /// The file, relative to the root.
    pub path: String,
    /// What is wrong there, with its line where there is one.
    pub what: String,
}

/// Fails when a file breaks the rule.
pub fn hold(rule: &str, breaches: &[Breach]) {
    let complaints: Vec<String> = breaches.iter().map(|breach| format!("  {}: {}", breach.path, breach.what)).collect();
    assert!(complaints.is_empty(), "{rule}\n{}", complaints.join("\n"));
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), syntax: OnceCell::new() }
    }

    pub fn syntax(&self) -> &syn::File {
        self.syntax.get_or_init(|| syn::parse_file(&self.text).unwrap_or_else(|error| panic!("{}: {error}", self.path)))
    }

    pub fn breach(&self, what: impl Into<String>) -> Breach {
        Breach { path: self.path.clone(), what: what.into() }
    }

    /// Whether the file is compiled into a package that is deployed or installed.
    pub fn ships(&self) -> bool {
        let development = ["infra/local/", "tests/", "shared/bench/"];
        !development.iter().any(|folder| self.path.starts_with(folder)) && !self.is_test()
    }

    /// Whether the whole file is a test: below a `tests` folder, or a module of unit tests in a file of its own.
    pub fn is_test(&self) -> bool {
        self.path.split('/').any(|part| part == "tests" || part == "tests.rs")
    }
}

/// The folder of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// All Rust files of the workspace.
pub fn sources() -> Vec<Source> {
    let folders = ["shared", "functions", "cli", "infra/local", "tests"];
    let paths = folders.iter().flat_map(|folder| files(folder, "rs"));
    let found: Vec<Source> = paths.map(|path| Source::new(&path, &read(&path))).collect();
    assert!(found.len() > 50, "the tree has moved: only {} source files found", found.len());
    found
}

/// All pages of Markdown: path and text.
pub fn pages() -> Vec<(String, String)> {
    let pages: Vec<(String, String)> = files("", "md").map(|path| (path.clone(), read(&path))).collect();
    assert!(pages.len() > 20, "the tree has moved: only {} pages found", pages.len());
    pages
}

/// The text of a file, by its path relative to the root.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Files with an extension below a folder, in order; hidden folders and `target` left out.
fn files(folder: &str, extension: &str) -> impl Iterator<Item = String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path: PathBuf = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if path.is_file() && path.extension().is_some_and(|own| own == extension) {
                found.push(path.strip_prefix(root()).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found.into_iter()
}
