//! How much of a gate a step changes.

use crate::gate::Gate;

/// What a step makes of the gate that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing.
    None,
    /// It holds more or less, and is otherwise what it was.
    Held,
    /// Anything else.
    Gate,
}

impl Change {
    pub(crate) fn between(before: Option<&Gate>, after: Option<&Gate>) -> Self {
        if before == after {
            return Self::None;
        }
        let (Some(before), Some(after)) = (before, after) else { return Self::Gate };
        let (held_events, held_bytes) = (after.held_events, after.held_bytes);
        if (Gate { held_events, held_bytes, ..before.clone() }) == *after { Self::Held } else { Self::Gate }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_hold_changes_is_taken_for_a_hold() {
        let before = Gate { held_events: 1, held_bytes: 10, version: 7, ..Gate::default() };
        let held = Gate { held_events: 2, held_bytes: 20, ..before.clone() };
        let opened = Gate { version: 8, ..held.clone() };
        assert_eq!(Change::between(Some(&before), Some(&before)), Change::None);
        assert_eq!(Change::between(None, None), Change::None);
        assert_eq!(Change::between(Some(&before), Some(&held)), Change::Held);
        assert_eq!(Change::between(Some(&before), Some(&opened)), Change::Gate);
        assert_eq!(Change::between(None, Some(&before)), Change::Gate);
        assert_eq!(Change::between(Some(&before), None), Change::Gate);
    }
}
