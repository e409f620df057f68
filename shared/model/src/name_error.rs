//! Why a text is not a name.

/// Why a text is not the name it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A database's name in the repository: it becomes a folder name, so the alphabet is small.
    #[error(
        "`{0}` is not a database name: use 1 to 63 characters from a-z, 0-9, `-` and `_`, and begin with a letter or digit"
    )]
    Database(String),
    /// A backup id is a UTC time and four random characters.
    #[error("`{0}` is not a backup id such as `2026-11-21T20-49-33Z-k3f9`")]
    Backup(String),
    /// 64 hexadecimal digits were expected.
    #[error("`{0}` is not 64 hexadecimal digits")]
    Hex(String),
    /// A word of a list was expected.
    #[error("`{text}` is not {what}")]
    Word {
        /// `a severity`, `a channel`.
        what: &'static str,
        /// The text that was given.
        text: String,
    },
    /// A person's words are longer than the ledger takes.
    #[error("`{name}` is longer than {longest} characters")]
    TooLong {
        /// The name of the field.
        name: String,
        /// Characters at most.
        longest: usize,
    },
    /// A person's words that the ledger must not keep.
    #[error("`{0}` is kept in the audit trail: it must be one line of text without a connection string")]
    Unrecordable(String),
    /// A stream's name in a chunk list.
    #[error("`{0}` is not the name of a stream")]
    Stream(String),
}
