//! The modules of one crate and which file uses which: names are followed through re-exports to where they are defined.

use std::collections::{BTreeMap, BTreeSet};

use crate::paths::{self, Import, Named, attributes, is_test};
use crate::tree::Source;

/// Re-exports of re-exports are followed this far; a name that is imported in a ring ends here, too.
const LONGEST_CHAIN: usize = 8;

/// One module, in a file of its own or within its parent's.
struct Module {
    file: usize,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    items: BTreeSet<String>,
    named: Named,
}

/// The modules of a crate, its root first.
pub struct Modules<'a> {
    sources: &'a [Source],
    by_path: BTreeMap<&'a str, usize>,
    modules: Vec<Module>,
}

impl<'a> Modules<'a> {
    /// Reads the crate whose root is the file `root`, for example `cli/src/main.rs`.
    pub fn of(sources: &'a [Source], root: &str) -> Self {
        let by_path = sources.iter().enumerate().map(|(index, source)| (source.path.as_str(), index)).collect();
        let mut crate_ = Self { sources, by_path, modules: Vec::new() };
        let file = crate_.by_path[root];
        let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        crate_.add(file, None, &sources[file].syntax().items, &folder);
        crate_
    }

    /// The files that each file uses, by path.
    pub fn uses(&self) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
        let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (index, module) in self.modules.iter().enumerate() {
            let own = self.path(module.file);
            let imports = module.named.imports.iter().filter(|import| !self.is_facade(index, import));
            let used = imports.map(|import| &import.path).chain(&module.named.paths);
            let files = used.filter_map(|path| self.resolve(index, path, 0)).map(|target| self.modules[target].file);
            uses.entry(own).or_default().extend(files.map(|file| self.path(file)).filter(|path| *path != own));
        }
        uses
    }

    /// The public names that the root exports, with those that it takes from other crates left out.
    pub fn exports(&self) -> Vec<String> {
        let root = &self.modules[0];
        let imports = root.named.imports.iter();
        let own = imports.filter(|import| import.public && self.resolve(0, &import.path, 0).is_some());
        own.map(|import| import.name.clone()).collect()
    }

    fn path(&self, file: usize) -> &'a str {
        &self.sources[file].path
    }

    /// A module's re-export of what lies below it: a sign that points on, not a use.
    fn is_facade(&self, module: usize, import: &Import) -> bool {
        let first = import.path.iter().find(|segment| *segment != "self");
        import.exported && first.is_some_and(|first| self.modules[module].children.contains_key(first))
    }

    fn add(&mut self, file: usize, parent: Option<usize>, items: &[syn::Item], folder: &str) -> usize {
        let index = self.modules.len();
        let named = paths::named(items);
        let items: Vec<&syn::Item> = items.iter().filter(|item| !is_test(attributes(item))).collect();
        let names = items.iter().filter_map(|item| item_name(item)).collect();
        self.modules.push(Module { file, parent, children: BTreeMap::new(), items: names, named });
        for item in items {
            let syn::Item::Mod(child) = item else { continue };
            let name = child.ident.to_string();
            let below = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let added = if let Some((_, items)) = &child.content {
                self.add(file, Some(index), items, &below)
            } else {
                let places = [format!("{below}.rs"), format!("{below}/mod.rs")];
                let found = places.iter().find_map(|place| self.by_path.get(place.as_str()).copied());
                let found = found.unwrap_or_else(|| panic!("{}: no file for `mod {name}`", self.path(file)));
                let sources = self.sources;
                self.add(found, Some(index), &sources[found].syntax().items, &below)
            };
            self.modules[index].children.insert(name, added);
        }
        index
    }

    /// The module that defines what `path` names in `module`; `None` for another crate's and for local names.
    fn resolve(&self, module: usize, path: &[String], chain: usize) -> Option<usize> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.follow(0, rest, chain),
            "self" => self.follow(module, rest, chain),
            "super" => self.resolve_super(module, rest, chain),
            name if self.modules[module].children.contains_key(name) => self.follow(module, path, chain),
            name => {
                // A name that a `use` has brought in. That `use` is an edge of its own, except where it is a facade.
                let import = self.modules[module].named.imports.iter().find(|import| import.name == name)?;
                let is_itself = import.path.first() == Some(first);
                (chain < LONGEST_CHAIN && !is_itself)
                    .then(|| self.resolve(module, &[&import.path, rest].concat(), chain + 1))?
            }
        }
    }

    fn resolve_super(&self, module: usize, rest: &[String], chain: usize) -> Option<usize> {
        let parent = self.modules[module].parent?;
        match rest.split_first() {
            Some((first, rest)) if first == "super" => self.resolve_super(parent, rest, chain),
            _ => self.follow(parent, rest, chain),
        }
    }

    /// Walks `path` from `module` downward, through children and imports.
    fn follow(&self, module: usize, path: &[String], chain: usize) -> Option<usize> {
        let Some((first, rest)) = path.split_first() else { return Some(module) };
        let here = &self.modules[module];
        if let Some(child) = here.children.get(first) {
            return self.follow(*child, rest, chain);
        }
        if here.items.contains(first) || chain >= LONGEST_CHAIN {
            return Some(module);
        }
        if let Some(import) = here.named.imports.iter().find(|import| import.name == *first) {
            // Another crate's name is used at the price of its re-export only, and that is no part of this crate.
            return self.resolve(module, &[&import.path, rest].concat(), chain + 1);
        }
        let globs = here.named.imports.iter().filter(|import| import.name == "*");
        let mut targets = globs.filter_map(|import| self.resolve(module, &import.path, chain + 1));
        targets.find(|target| self.modules[*target].items.contains(first)).or(Some(module))
    }
}

fn item_name(item: &syn::Item) -> Option<String> {
    let ident = match item {
        syn::Item::Const(item) => &item.ident,
        syn::Item::Enum(item) => &item.ident,
        syn::Item::Fn(item) => &item.sig.ident,
        syn::Item::Macro(item) => item.ident.as_ref()?,
        syn::Item::Static(item) => &item.ident,
        syn::Item::Struct(item) => &item.ident,
        syn::Item::Trait(item) => &item.ident,
        syn::Item::Type(item) => &item.ident,
        syn::Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}
