//! An error and what caused it, as one line.

use std::error::Error;

/// Causes shown; a chain that loops ends, too.
const CAUSES_MAX: usize = 8;

pub(crate) fn error_text(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    for _ in 0..CAUSES_MAX {
        let Some(error) = cause else { break };
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
