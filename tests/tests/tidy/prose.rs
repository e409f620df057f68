//! The text of a file that people read, as paragraphs: string literals, doc comments, Markdown.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::Visit;

use crate::paths::{attributes, is_test};

/// A paragraph and the line it begins on.
pub type Paragraph = (usize, String);

/// The string literals of a file outside of its tests, those in macros and attributes included.
pub fn literals(file: &syn::File) -> Vec<Paragraph> {
    let mut reader = Reader::default();
    reader.visit_file(file);
    reader.literals
}

/// The doc comments of a file, tests included.
pub fn docs(text: &str) -> Vec<Paragraph> {
    let comment = |line: &str| {
        let line = line.trim_start();
        let doc = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"))?;
        Some(doc.strip_prefix(' ').unwrap_or(doc).to_owned())
    };
    markdown(text.lines().map(|line| comment(line).unwrap_or_default()))
}

/// The paragraphs of Markdown: cells and list items are paragraphs of their own, and code is none.
pub fn markdown(lines: impl Iterator<Item = String>) -> Vec<Paragraph> {
    let mut paragraphs: Vec<Paragraph> = Vec::new();
    let (mut open, mut fenced) = (false, false);
    for (index, line) in lines.enumerate() {
        let indented = line.starts_with("    ") && !open;
        let line = line.trim();
        if line.starts_with("```") {
            fenced = !fenced;
            open = false;
        } else if fenced || indented || line.is_empty() {
            open = false;
        } else if line.starts_with('|') {
            paragraphs.extend(line.split('|').map(|cell| (index + 1, cell.trim().to_owned())));
            open = false;
        } else if let Some(item) = list_item(line) {
            paragraphs.push((index + 1, item.to_owned()));
            open = true;
        } else if let (true, Some((_, paragraph))) = (open, paragraphs.last_mut()) {
            paragraph.push(' ');
            paragraph.push_str(line);
        } else {
            paragraphs.push((index + 1, line.to_owned()));
            open = true;
        }
    }
    paragraphs
}

/// The text after the mark of a list item, a heading or a quotation.
fn list_item(line: &str) -> Option<&str> {
    let (mark, rest) = line.split_once(' ')?;
    let numbered = mark.strip_suffix('.').is_some_and(|number| number.chars().all(|digit| digit.is_ascii_digit()));
    let marked = !mark.is_empty() && mark.chars().all(|sign| "#-*>".contains(sign));
    (numbered || marked).then(|| rest.trim_start())
}

/// The beginnings of the sentences of a paragraph.
pub fn sentences(paragraph: &str) -> Vec<&str> {
    let mut starts = vec![0];
    let ends = [". ", "! ", "? ", ".\n", ".* ", ".** ", ": "];
    for end in ends {
        starts.extend(paragraph.match_indices(end).map(|(at, end)| at + end.len()));
    }
    starts.sort_unstable();
    let sentences = starts.into_iter().filter_map(|start| paragraph.get(start..));
    sentences.map(|sentence| sentence.trim_start_matches([' ', '*', '_', '(', '"'])).collect()
}

#[derive(Default)]
struct Reader {
    literals: Vec<Paragraph>,
}

impl Reader {
    fn tokens(&mut self, tokens: &TokenStream) {
        for tree in tokens.clone() {
            match tree {
                TokenTree::Group(group) => self.tokens(&group.stream()),
                TokenTree::Literal(literal) => {
                    let line = literal.span().start().line;
                    let parsed = syn::parse_str::<syn::LitStr>(&literal.to_string());
                    self.literals.extend(parsed.ok().map(|text| (line, text.value())));
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(attributes(item)) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_lit_str(&mut self, literal: &'ast syn::LitStr) {
        self.literals.push((literal.span().start().line, literal.value()));
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(&call.tokens);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.tokens(&list.tokens);
        }
    }
}

#[test]
fn literals_are_read_from_code_macros_and_attributes_but_not_from_tests() {
    let text = "#[error(\"one\")] struct E;\nfn go() { say(\"two\"); format!(\"three {}\", f(\"four\")); }\n\
                /// five\n#[cfg(test)] mod tests { const T: &str = \"six\"; }";
    let found: Vec<String> = literals(&syn::parse_file(text).unwrap()).into_iter().map(|(_, text)| text).collect();
    assert_eq!(found, ["one", "two", "three {}", "four"]);
}

#[test]
fn paragraphs_of_markdown_are_joined_and_code_is_left_out() {
    let page = "# Title\nA line\nand another.\n\n- item\n  goes on\n| a | b |\n\n    code\n```\ncode\n```\n3. last";
    let found: Vec<String> = markdown(page.lines().map(str::to_owned)).into_iter().map(|(_, text)| text).collect();
    assert_eq!(found, ["Title A line and another.", "item goes on", "", "a", "b", "", "last"]);
}
