//! Names: of a consumer, and of a stream.

use std::{fmt, sync::Arc};

/// The longest a consumer's or a stream's name may be, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The name has no characters.
    #[error("a {what} needs a name of at least one character")]
    Empty {
        /// What was to be named.
        what: &'static str,
    },
    /// The name is longer than [`NAME_BYTES_MAX`].
    #[error("the name of a {what} has {bytes} bytes; {NAME_BYTES_MAX} are allowed")]
    TooLong {
        /// What was to be named.
        what: &'static str,
        /// How many bytes the refused name has.
        bytes: usize,
    },
    /// The name has a control character, which some stores cannot keep and terminals act upon.
    #[error("the name of a {what} has the control character U+{code:04X}; remove it")]
    Control {
        /// What was to be named.
        what: &'static str,
        /// The character's code.
        code: u32,
    },
}

fn checked(what: &'static str, name: &str) -> Result<Arc<str>, NameError> {
    if name.is_empty() {
        return Err(NameError::Empty { what });
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong { what, bytes: name.len() });
    }
    match name.chars().find(|c| c.is_control()) {
        Some(c) => Err(NameError::Control { what, code: c.into() }),
        None => Ok(Arc::from(name)),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks and takes the name: 1 to [`NAME_BYTES_MAX`] bytes without control characters.
            ///
            /// # Errors
            /// [`NameError`] says what is wrong with it.
            pub fn new(name: impl AsRef<str>) -> Result<Self, NameError> {
                checked($what, name.as_ref()).map(Self)
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name! {
    /// A consumer's name, its group: every row in a failure log belongs to one. Cheap to clone.
    ConsumerName, "consumer"
}

name! {
    /// Where events come from in order: one topic-partition, one queue, one in-memory partition. Cheap to clone.
    StreamName, "stream"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_at_the_limit_is_taken_and_one_byte_more_is_refused() {
        assert!(StreamName::new("x".repeat(NAME_BYTES_MAX)).is_ok());
        assert_eq!(
            StreamName::new("x".repeat(NAME_BYTES_MAX + 1)),
            Err(NameError::TooLong { what: "stream", bytes: 256 })
        );
    }

    #[test]
    fn empty_names_and_control_characters_are_refused() {
        assert_eq!(ConsumerName::new(""), Err(NameError::Empty { what: "consumer" }));
        assert_eq!(ConsumerName::new("a\0b"), Err(NameError::Control { what: "consumer", code: 0 }));
    }
}
