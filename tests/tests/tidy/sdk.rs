//! The AWS SDK is named in `shared/aws` alone, so that a change of the SDK is a change of one crate.

use crate::paths::named;
use crate::tree::{Breach, Source, hold, sources};

/// How the names of the SDK's crates begin.
const SDK: [&str; 3] = ["aws_sdk_", "aws_config", "aws_smithy"];

/// The one crate that ships and may.
const ADAPTERS: &str = "shared/aws/";

fn sdk_elsewhere(sources: &[Source]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for source in sources.iter().filter(|source| source.ships() && !source.path.starts_with(ADAPTERS)) {
        let names = named_anywhere(&source.syntax().items);
        let sdk = names.iter().filter(|name| SDK.iter().any(|prefix| name.starts_with(prefix)));
        breaches.extend(sdk.map(|name| source.breach(format!("names `{name}`"))));
    }
    breaches
}

/// Every segment of every path outside of tests, nested modules included.
pub fn named_anywhere(items: &[syn::Item]) -> Vec<String> {
    let here = named(items);
    let imports = here.imports.into_iter().flat_map(|import| import.path);
    let mut names: Vec<String> = imports.chain(here.paths.into_iter().flatten()).collect();
    for item in items {
        if let syn::Item::Mod(module) = item
            && !crate::paths::is_test(&module.attrs)
        {
            names.extend(module.content.iter().flat_map(|(_, items)| named_anywhere(items)));
        }
    }
    names.sort();
    names.dedup();
    names
}

#[test]
fn only_the_adapters_name_the_sdk() {
    hold("the AWS SDK outside of shared/aws", &sdk_elsewhere(&sources()));
}

#[test]
fn the_sdk_is_found_wherever_it_is_named() {
    let texts = [
        "use aws_config::SdkConfig;",
        "fn go(_: &aws_sdk_s3::Client) {}",
        "mod inner { pub use aws_smithy_types::Blob; }",
        "fn go() { assert!(aws_sdk_kms::ready()) }",
    ];
    for text in texts {
        assert_eq!(sdk_elsewhere(&[Source::new("shared/engine/src/a.rs", text)]).len(), 1, "{text}");
        for allowed in ["shared/aws/src/s3.rs", "infra/local/src/cloud.rs", "tests/tests/a.rs", "cli/tests/a.rs"] {
            assert_eq!(sdk_elsewhere(&[Source::new(allowed, text)]), [], "{allowed}");
        }
    }
    let unit_test = "#[cfg(test)] mod tests { use aws_config::SdkConfig; }";
    assert_eq!(sdk_elsewhere(&[Source::new("shared/engine/src/a.rs", unit_test)]), []);
}
