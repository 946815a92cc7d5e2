//! Why an operator's call failed, and how long its texts may be.

use crate::{EventError, FailureLogError, gate::OperatorRefusal};

/// The longest name of an operator, in bytes.
pub const BY_BYTES_MAX: usize = 256;

/// The longest reason or note, in bytes.
pub const WHY_BYTES_MAX: usize = 4_096;

/// Why an operator's call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// The action was refused, and nothing was changed.
    #[error("refused: {0}")]
    Refused(#[from] OperatorRefusal),
    /// A text is too long for the audit; nothing was done.
    #[error("the {what} has {bytes} bytes, and at most {max} are kept; shorten it")]
    TextTooLong {
        /// Which text: the operator's name, or the reason.
        what: &'static str,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
    /// A text has a NUL character in it, which not every store can keep; nothing was done.
    #[error("the {what} has a NUL character in it; leave it out")]
    TextWithNul {
        /// Which text: the operator's name, or the reason.
        what: &'static str,
    },
    /// The edited event is larger than the consumer takes; nothing was done.
    #[error("the edited event cannot be kept")]
    EditedEvent(#[from] EventError),
    /// The failure log could not be asked.
    #[error("the failure log could not be asked")]
    FailureLog(#[from] FailureLogError),
}

/// Whether the audit can keep these texts.
pub(super) fn check_texts(by: &str, why: &str) -> Result<(), OperatorError> {
    for (what, text, max) in [("operator's name", by, BY_BYTES_MAX), ("reason", why, WHY_BYTES_MAX)] {
        if text.len() > max {
            return Err(OperatorError::TextTooLong { what, bytes: text.len(), max });
        }
        if text.contains('\0') {
            return Err(OperatorError::TextWithNul { what });
        }
    }
    Ok(())
}
