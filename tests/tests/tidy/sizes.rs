//! Files and functions that fit: a file holds one noun, and a function fits a page.

use syn::visit::Visit;

use crate::tree::{Breach, Source, hold, sources};

/// Lines of a source file. More is a sign of two nouns in one file.
const MOST_LINES: usize = 500;

/// Lines of a function's or the CLI's `main.rs`.
const MOST_MAIN_LINES: usize = 40;

/// Lines between the braces of a function. More does not fit a page.
const MOST_BODY_LINES: usize = 70;

fn long_files(sources: &[Source]) -> Vec<Breach> {
    let limit = |path: &str| if path.ends_with("src/main.rs") { MOST_MAIN_LINES } else { MOST_LINES };
    let long = sources.iter().map(|source| (source, source.text.lines().count(), limit(&source.path)));
    long.filter(|(_, lines, limit)| lines > limit)
        .map(|(source, lines, limit)| source.breach(format!("{lines} lines, {limit} are allowed")))
        .collect()
}

fn long_functions(sources: &[Source]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for source in sources {
        let mut bodies = Bodies::default();
        bodies.visit_file(source.syntax());
        breaches.extend(bodies.long.into_iter().map(|what| source.breach(what)));
    }
    breaches
}

#[derive(Default)]
struct Bodies {
    long: Vec<String>,
}

impl Bodies {
    fn measure(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let (open, close) = (block.brace_token.span.open().start().line, block.brace_token.span.close().start().line);
        let lines = (close - open).saturating_sub(1);
        if lines > MOST_BODY_LINES {
            let line = signature.ident.span().start().line;
            self.long
                .push(format!("line {line}: `{}` has {lines} lines, {MOST_BODY_LINES} are allowed", signature.ident));
        }
    }
}

impl<'ast> Visit<'ast> for Bodies {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.measure(&item.sig, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.measure(&item.sig, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.measure(&item.sig, block);
        }
        syn::visit::visit_trait_item_fn(self, item);
    }
}

#[test]
fn files_of_this_tree_are_short() {
    hold("a long file", &long_files(&sources()));
}

#[test]
fn functions_of_this_tree_fit_a_page() {
    hold("a long function", &long_functions(&sources()));
}

#[test]
fn a_file_that_is_too_long_is_refused() {
    let file = |path: &str, lines: usize| Source::new(path, &"//\n".repeat(lines));
    let sources = [
        file("shared/x/src/a.rs", MOST_LINES),
        file("shared/x/src/b.rs", MOST_LINES + 1),
        file("cli/src/main.rs", MOST_MAIN_LINES + 1),
        file("functions/x/src/main.rs", MOST_MAIN_LINES),
    ];
    let paths: Vec<String> = long_files(&sources).into_iter().map(|breach| breach.path).collect();
    assert_eq!(paths, ["shared/x/src/b.rs", "cli/src/main.rs"]);
}

#[test]
fn a_function_that_is_too_long_is_refused_wherever_it_is() {
    let body = |lines: usize| "    go();\n".repeat(lines);
    let (fits, long) = (body(MOST_BODY_LINES), body(MOST_BODY_LINES + 1));
    let text = format!(
        "fn fits() {{\n{fits}}}\nfn free() {{\n{long}}}\nstruct S;\nimpl S {{\nfn method(\n&self,\n) {{\n{long}}}\n}}\n\
         trait T {{\nfn default() {{\n{long}}}\n}}\n#[cfg(test)]\nmod tests {{\nfn test() {{\n{long}}}\n}}\n"
    );
    let breaches = long_functions(&[Source::new("shared/x/src/a.rs", &text)]);
    let names: Vec<&str> = breaches.iter().filter_map(|breach| breach.what.split('`').nth(1)).collect();
    assert_eq!(names, ["free", "method", "default", "test"]);
    assert!(breaches[0].what.starts_with("line 73: "), "{}", breaches[0].what);
}
