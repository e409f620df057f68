//! The locale of a database to be made: the source's where the server has it, else the nearest that it has.

use lifeboat_model::Source;

use crate::error::{PostgresError, PostgresResult as Result};
use crate::session::Session;
use crate::session::identifier::{quote_identifier, quote_literal};

/// PostgreSQL 15 brought locale providers, 17 the builtin one.
const PROVIDERS_SINCE: u32 = 15;
const BUILTIN_SINCE: u32 = 17;

/// One way to create a database with the source's encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Locale {
    /// The options of CREATE DATABASE.
    pub(crate) options: String,
    /// What is different from the source, as a sentence; `None` for the source's own locale.
    pub(crate) note: Option<String>,
}

/// Creates a database with the first locale that the server has, and returns the note on it.
pub(super) async fn create_like(session: &Session, step: &str, name: &str, source: &Source) -> Result<Option<String>> {
    const MAJOR: &str = "SELECT pg_catalog.current_setting('server_version_num')::int4 / 10000";
    let major: i32 = session.row(step, MAJOR, &[]).await?.get(0);
    let (name, encoding) = (quote_identifier(name), quote_literal(&source.encoding));
    let mut refused = None;
    for Locale { options, note } in candidates(source, major.unsigned_abs()) {
        let create = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING {encoding} {options}");
        match session.run(step, &create).await {
            Ok(()) => return Ok(note),
            Err(error) if error.sqlstate().is_some_and(is_not_available) => refused = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(refused.unwrap_or_else(|| PostgresError::UnexpectedAnswer {
        step: step.to_owned(),
        fact: "there is no locale to try".to_owned(),
    }))
}

/// Whether this refusal of CREATE DATABASE says that the server cannot have the locale: an unknown name (42809), one that is
/// not for the encoding or not known to ICU (22023), a server without ICU (0A000) or without the provider (42P17, 42601).
pub(crate) fn is_not_available(sqlstate: &str) -> bool {
    matches!(sqlstate, "42809" | "22023" | "0A000" | "42P17" | "42601")
}

/// The ways to create a database like the source's on a server of version `major`, best first; the last one works wherever
/// the encoding does.
///
/// Another locale sorts texts differently and, with `C`, knows no letters but ASCII's. Rows, digests and definitions do not
/// depend on it; what may be refused then is what the source's locale decides: a check or a unique index over `lower()`, or a
/// partition or a range of text.
pub(crate) fn candidates(source: &Source, major: u32) -> Vec<Locale> {
    let has_providers = major >= PROVIDERS_SINCE;
    let libc = |locale: &str| {
        let provider = if has_providers { "LOCALE_PROVIDER libc " } else { "" };
        let locale = quote_literal(locale);
        format!("{provider}LC_COLLATE {locale} LC_CTYPE {locale}")
    };
    let mut candidates: Vec<Locale> = Vec::new();
    let own = describe(source);
    let mut add = |options: String, name: &str| {
        let note = (!name.is_empty()).then(|| {
            format!(
                "this server does not have the source's locale {own}: the database was restored with `{name}`, so that texts \
                 sort differently in it"
            )
        });
        candidates.push(Locale { options, note });
    };
    let of_libc = format!("LC_COLLATE {} LC_CTYPE {}", quote_literal(&source.collate), quote_literal(&source.ctype));
    match (source.locale_provider.as_deref(), source.provider_locale.as_deref()) {
        (Some("icu"), Some(locale)) if has_providers => {
            let rules = source.icu_rules.as_deref().map(|rules| format!(" ICU_RULES {}", quote_literal(rules)));
            let icu = format!("LOCALE_PROVIDER icu ICU_LOCALE {}{} ", quote_literal(locale), rules.unwrap_or_default());
            add(icu.clone() + &of_libc, "");
            // ICU compares texts. The remaining difference in libc's part is too small for a note.
            add(icu + "LC_COLLATE 'C' LC_CTYPE 'C'", "");
        }
        (Some("builtin"), Some(locale)) if major >= BUILTIN_SINCE => {
            let builtin = format!("LOCALE_PROVIDER builtin BUILTIN_LOCALE {} ", quote_literal(locale));
            add(builtin.clone() + &of_libc, "");
            add(builtin + "LC_COLLATE 'C' LC_CTYPE 'C'", "");
        }
        // The builtin locales are called as libc's are.
        (Some("builtin"), Some(locale)) => add(libc(locale), ""),
        (Some("icu"), _) => {}
        _ if has_providers => add(format!("LOCALE_PROVIDER libc {of_libc}"), ""),
        _ => add(of_libc, ""),
    }
    if source.encoding == "UTF8" {
        // It knows every letter, as the source's locale does.
        add(libc("C.UTF-8"), "C.UTF-8");
        if major >= BUILTIN_SINCE {
            add("LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LC_COLLATE 'C' LC_CTYPE 'C'".to_owned(), "C.UTF-8");
        }
    }
    add(libc("C"), "C");
    candidates
}

fn describe(source: &Source) -> String {
    match (&source.locale_provider, &source.provider_locale) {
        (Some(provider), Some(locale)) => format!("`{locale}` of {provider}"),
        _ if source.collate == source.ctype => format!("`{}`", source.collate),
        _ => format!("`{}` with `{}`", source.collate, source.ctype),
    }
}
