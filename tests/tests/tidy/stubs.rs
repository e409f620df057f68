//! Nothing is left for later in the code, and no test is put aside.

use crate::tree::{Breach, Source, sources};

fn stubs(sources: &[Source]) -> Vec<Breach> {
    let marks = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("FIX", "ME")];
    let ignored = concat!("#[ign", "ore");
    let mut breaches = Vec::new();
    for source in sources {
        let found = marks.iter().filter(|mark| source.text.contains(*mark));
        breaches.extend(found.map(|mark| source.breach(format!("has `{mark}`"))));
        // A test may be the body of a process that another test starts; none may be put aside.
        let aside = source.text.lines().filter(|line| line.contains(ignored) && !line.contains("= \"run by "));
        breaches.extend(aside.map(|line| source.breach(format!("puts a test aside: {}", line.trim()))));
    }
    breaches
}

#[test]
fn no_stub_is_left_in_the_code() {
    assert_eq!(stubs(&sources()), []);
}

#[test]
fn a_stub_and_a_test_put_aside_are_refused() {
    let found = |text: &str| stubs(&[Source::new("shared/x/src/a.rs", text)]).len();
    assert_eq!(found(concat!("fn go() { todo", "!() }")), 1);
    assert_eq!(found(concat!("// FIX", "ME later")), 1);
    assert_eq!(found(concat!("#[test]\n#[ign", "ore = \"slow\"]\nfn go() {}")), 1);
    assert_eq!(found(concat!("#[test]\n#[ign", "ore = \"run by another test\"]\nfn go() {}")), 0);
}
