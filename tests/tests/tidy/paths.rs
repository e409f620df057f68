//! What the code of a file names: its `use` declarations, paths and identifiers, without its tests.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::Visit;

/// One name that a `use` brings into a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The name in the module; `*` for all names of the path.
    pub name: String,
    /// The path, a segment each, without the `*`.
    pub path: Vec<String>,
    /// Whether others may reach it through the module: any `pub`.
    pub exported: bool,
    /// Whether it is public outside of the crate.
    pub public: bool,
}

/// What a module's own code names.
#[derive(Debug, Default)]
pub struct Named {
    pub imports: Vec<Import>,
    /// Paths in code, macros included, a segment each. Single names are here, too.
    pub paths: Vec<Vec<String>>,
}

/// What the items of one module name; nested modules and tests are not part of it.
pub fn named(items: &[syn::Item]) -> Named {
    let mut reader = Reader::default();
    items.iter().filter(|item| !matches!(item, syn::Item::Mod(_))).for_each(|item| reader.visit_item(item));
    reader.named
}

/// Whether attributes make an item part of the tests.
pub fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else {
            return attribute.path().segments.last().is_some_and(|last| last.ident == "test");
        };
        list.path.is_ident("cfg") && identifiers(&list.tokens).first().is_some_and(|first| first == "test")
    })
}

/// An item's attributes.
pub fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// All identifiers of a token stream, in order.
pub fn identifiers(tokens: &TokenStream) -> Vec<String> {
    let mut found = Vec::new();
    for tree in tokens.clone() {
        match tree {
            TokenTree::Ident(ident) => found.push(ident.to_string()),
            TokenTree::Group(group) => found.extend(identifiers(&group.stream())),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
    found
}

/// All paths of a token stream: identifiers with `::` between them.
fn token_paths(tokens: &TokenStream, found: &mut Vec<Vec<String>>) {
    let mut path: Vec<String> = Vec::new();
    let mut colons = 0;
    for tree in tokens.clone() {
        match tree {
            TokenTree::Punct(punct) if punct.as_char() == ':' => {
                colons += 1;
                continue;
            }
            TokenTree::Ident(ident) if colons == 2 && !path.is_empty() => path.push(ident.to_string()),
            TokenTree::Ident(ident) => {
                found.extend((!path.is_empty()).then(|| std::mem::take(&mut path)));
                path.push(ident.to_string());
            }
            TokenTree::Group(group) => token_paths(&group.stream(), found),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {
                found.extend((!path.is_empty()).then(|| std::mem::take(&mut path)));
            }
        }
        colons = 0;
    }
    found.extend((!path.is_empty()).then_some(path));
}

#[derive(Default)]
struct Reader {
    named: Named,
}

impl Reader {
    fn import(&mut self, tree: &syn::UseTree, mut path: Vec<String>, visibility: &syn::Visibility) {
        match tree {
            syn::UseTree::Path(step) => {
                path.push(step.ident.to_string());
                self.import(&step.tree, path, visibility);
            }
            syn::UseTree::Name(last) if last.ident == "self" => {
                let name = path.last().cloned().unwrap_or_default();
                self.bring(name, path, visibility);
            }
            syn::UseTree::Name(last) => {
                path.push(last.ident.to_string());
                self.bring(last.ident.to_string(), path, visibility);
            }
            syn::UseTree::Rename(last) => {
                path.push(last.ident.to_string());
                self.bring(last.rename.to_string(), path, visibility);
            }
            syn::UseTree::Glob(_) => self.bring("*".to_owned(), path, visibility),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.import(tree, path.clone(), visibility));
            }
        }
    }

    fn bring(&mut self, name: String, path: Vec<String>, visibility: &syn::Visibility) {
        let exported = !matches!(visibility, syn::Visibility::Inherited);
        let public = matches!(visibility, syn::Visibility::Public(_));
        self.named.imports.push(Import { name, path, exported, public });
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(attributes(item)) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import(&item.tree, Vec::new(), &item.vis);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.named.paths.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        token_paths(&call.tokens, &mut self.named.paths);
        syn::visit::visit_macro(self, call);
    }

    // `pub(in crate::a)` says who may look, not what is used.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            token_paths(&list.tokens, &mut self.named.paths);
        }
    }
}

#[test]
fn imports_and_paths_are_read_without_the_tests() {
    let text = "use crate::a::{self, b::C as D, e::*};\n\
                pub(crate) use super::F;\n\
                fn go() { crate::g::run(); let _ = format!(\"{}\", super::h::I); }\n\
                #[cfg(test)] use crate::left::Out;\n\
                #[cfg(test)] mod tests { use crate::left::Out; }\n";
    let named = named(&syn::parse_file(text).unwrap().items);
    let imports: Vec<String> =
        named.imports.iter().map(|one| format!("{} {} {}", one.name, one.path.join("::"), one.exported)).collect();
    assert_eq!(imports, ["a crate::a false", "D crate::a::b::C false", "* crate::a::e false", "F super::F true"]);
    let long: Vec<String> = named.paths.iter().filter(|path| path.len() > 1).map(|path| path.join("::")).collect();
    assert_eq!(long, ["crate::g::run", "super::h::I"]);
}
