//! Text of a server, in any encoding.

use std::error::Error;

use tokio_postgres::types::{FromSql, Type};

/// A text that need not be UTF-8, because a SQL_ASCII database accepts any bytes. Bytes that are not UTF-8 are read as LATIN1,
/// which has a character for each byte.
#[derive(Debug, Clone)]
pub(crate) struct ServerText(pub(crate) String);

impl<'a> FromSql<'a> for ServerText {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(match std::str::from_utf8(raw) {
            Ok(text) => text.to_owned(),
            Err(_) => raw.iter().map(|byte| char::from(*byte)).collect(),
        }))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::TEXT | Type::VARCHAR | Type::NAME)
    }
}
