//! Enums whose values have one name each, in text and in documents alike.

/// Gives an enum its names: a list of all, text, `Display` and `FromStr`, and JSON by the same names.
macro_rules! names {
    ($type:ty, $what:literal, [$($variant:ident => $name:literal),+ $(,)?]) => {
        impl $type {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// As documents, logs and message attributes name it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $type {
            type Err = crate::name_error::NameError;

            fn from_str(text: &str) -> Result<Self, crate::name_error::NameError> {
                let found = Self::ALL.iter().copied().find(|one| one.as_str() == text);
                found.ok_or_else(|| crate::name_error::NameError::Word { what: $what, text: text.to_owned() })
            }
        }
    };
}

pub(crate) use names;
