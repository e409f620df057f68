//! libpq's connection URL: `postgres://user:password@host:port/database?name=value&…`, percent-encoded.
//!
//! Source of the form: PostgreSQL documentation, "Connection URIs". Lists of hosts are refused: a backup has one source.

/// The decoded parts of a connection URL.
#[derive(Default)]
pub(crate) struct ConnectionUrl {
    pub user: Option<String>,
    pub password: Option<String>,
    pub host: Option<String>,
    pub port: Option<String>,
    pub database: Option<String>,
    pub parameters: Vec<(String, String)>,
}

/// Splits and decodes a URL; the error says what is wrong and quotes nothing.
pub(crate) fn parse(text: &str) -> Result<ConnectionUrl, String> {
    let rest = text
        .strip_prefix("postgresql://")
        .or_else(|| text.strip_prefix("postgres://"))
        .ok_or("the URL does not begin with `postgres://`")?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (credentials, address) = match authority.rsplit_once('@') {
        Some((credentials, address)) => (Some(credentials), address),
        None => (None, authority),
    };
    let mut url = ConnectionUrl { database: Some(decode(database)?), ..ConnectionUrl::default() };
    if let Some(credentials) = credentials {
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        (url.user, url.password) = (Some(decode(user)?), Some(decode(password)?));
    }
    if address.contains(',') {
        return Err("the URL names several hosts".to_owned());
    }
    let (host, port) = split_address(address)?;
    url.host = Some(decode(host)?);
    url.port = port.filter(|p| !p.is_empty()).map(str::to_owned);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or("a parameter of the URL has no value")?;
        url.parameters.push((decode(name)?, decode(value)?));
    }
    Ok(url)
}

/// An IPv6 address stands in brackets because it contains colons itself.
fn split_address(address: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("the URL's IPv6 address is not closed")?;
        return Ok((host, rest.strip_prefix(':')));
    }
    Ok(match address.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (address, None),
    })
}

fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
            return Err("a `%` in the URL is not followed by two hexadecimal digits".to_owned());
        };
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).map_err(|_| "the URL does not decode to UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_found_and_decoded() {
        let url = parse("postgres://a%3Ab:c%40d@[::1]:5433/e%20f?options=-c%20x%3D1&sslmode=disable").unwrap();
        assert_eq!(url.user.as_deref(), Some("a:b"));
        assert_eq!(url.password.as_deref(), Some("c@d"));
        assert_eq!((url.host.as_deref(), url.port.as_deref()), (Some("::1"), Some("5433")));
        assert_eq!(url.database.as_deref(), Some("e f"));
        assert_eq!(url.parameters[0], ("options".to_owned(), "-c x=1".to_owned()));
    }

    #[test]
    fn an_at_sign_in_a_password_that_was_not_encoded_still_belongs_to_the_password() {
        let url = parse("postgres://u:p@ss@h/d").unwrap();
        assert_eq!((url.password.as_deref(), url.host.as_deref()), (Some("p@ss"), Some("h")));
    }

    #[test]
    fn a_broken_escape_and_a_list_of_hosts_are_refused() {
        for text in
            ["postgres://u:%4@h/d", "postgres://u:%zz@h/d", "postgres://u@h1,h2/d", "postgres://u@[::1/d", "mysql://h"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
