//! Sentences that can be read once: none begins with a word after which the reader has to wait for the subject.

use crate::prose::{Paragraph, docs, literals, markdown, sentences};
use crate::tree::{Breach, Source, hold, pages, sources};

/// How no sentence begins, and what to write instead.
const BANNED_OPENINGS: [(&str, &str); 5] = [
    ("Of ", "begin with the subject: `a column's type is compared`, not `of a column, the type is compared`"),
    ("That ", "begin with the noun, or join it to the sentence before with `which` or `because`"),
    ("Nor ", "begin a sentence of its own with the subject, and say `not` or `no`"),
    ("Whoever ", "name the person: `an operator who …`, `anyone who …`"),
    ("Whatever ", "name the thing: `an object that …`, `everything that …`"),
];

/// Where string literals are read by people: errors, hints, mails, the page, the CLI.
fn speaks(path: &str) -> bool {
    path.contains("/src/") && !path.starts_with("infra/") && !path.starts_with("tests/")
}

fn bad_openings(paragraphs: &[Paragraph]) -> Vec<String> {
    let mut found = Vec::new();
    for (line, paragraph) in paragraphs {
        for sentence in sentences(paragraph) {
            if let Some((opening, instead)) = BANNED_OPENINGS.iter().find(|(banned, _)| sentence.starts_with(banned)) {
                let shown: String = sentence.chars().take(60).collect();
                found.push(format!("line {line}: `{shown}…` begins with `{}`: {instead}", opening.trim()));
            }
        }
    }
    found
}

fn in_literals(sources: &[Source]) -> Vec<Breach> {
    let spoken = sources.iter().filter(|source| speaks(&source.path) && !source.is_test());
    breaches(spoken.map(|source| (source.path.as_str(), literals(source.syntax()))))
}

fn in_docs(sources: &[Source]) -> Vec<Breach> {
    breaches(sources.iter().map(|source| (source.path.as_str(), docs(&source.text))))
}

fn in_pages(pages: &[(String, String)]) -> Vec<Breach> {
    breaches(pages.iter().map(|(path, text)| (path.as_str(), markdown(text.lines().map(str::to_owned)))))
}

fn breaches<'a>(files: impl Iterator<Item = (&'a str, Vec<Paragraph>)>) -> Vec<Breach> {
    let found = files.flat_map(|(path, paragraphs)| {
        let openings = bad_openings(&paragraphs).into_iter();
        openings.map(|what| Breach { path: path.to_owned(), what }).collect::<Vec<_>>()
    });
    found.collect()
}

#[test]
fn text_that_people_read_begins_with_its_subject() {
    hold("a sentence in a string literal", &in_literals(&sources()));
}

#[test]
fn doc_comments_begin_with_their_subject() {
    hold("a sentence in a doc comment", &in_docs(&sources()));
}

#[test]
fn pages_begin_their_sentences_with_the_subject() {
    hold("a sentence in a page", &in_pages(&pages()));
}

#[test]
fn a_banned_opening_is_refused_in_literals_docs_and_pages() {
    for (opening, _) in BANNED_OPENINGS {
        let literal = format!("#[error(\"it failed. {opening}all\")] pub struct E;");
        assert_eq!(in_literals(&[Source::new("shared/x/src/a.rs", &literal)]).len(), 1, "{literal}");
        assert_eq!(in_literals(&[Source::new("tests/tests/a.rs", &literal)]), []);
        let doc = format!("/// It works. {opening}all\n/// is known.\npub struct E;");
        assert_eq!(in_docs(&[Source::new("shared/x/src/a.rs", &doc)]).len(), 1, "{doc}");
        for page in
            [format!("{opening}x"), format!("- {opening}x"), format!("a\nb. {opening}x"), format!("| a | {opening}x |")]
        {
            assert_eq!(in_pages(&[("a.md".to_owned(), page.clone())]).len(), 1, "{page}");
        }
        let code = format!("    {opening}x\n");
        assert_eq!(in_pages(&[("a.md".to_owned(), code)]), []);
    }
    assert_eq!(in_pages(&[("a.md".to_owned(), "Offsite. Thatch. All that is known.".to_owned())]), []);
}
