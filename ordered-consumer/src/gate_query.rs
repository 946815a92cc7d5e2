//! Which gates people ask for, and what is counted of them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    GateKey, GatedEntity, ParkCause, StreamName,
    gate::{Gate, State},
};

/// How many groups [`Counts`] has at most.
pub const COUNT_GROUPS_MAX: usize = 100;

/// Which gates to list, count or retry. Everything that is set must match; every byte stands for itself.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct GateQuery {
    /// Only gates of this stream.
    pub stream: Option<StreamName>,
    /// Only this entity, in every stream.
    pub entity: Option<Bytes>,
    /// Only entities whose key begins with these bytes.
    pub entity_prefix: Option<Bytes>,
    /// Only gates in this state; without it, every state but cleared.
    pub state: Option<State>,
    /// Only gates that are parked for this.
    pub cause: Option<ParkCause>,
    /// Only entities that have been kept waiting for longer than this: see [`Gate::gated_since`].
    pub older_than: Option<Duration>,
    /// Only gates whose head's last failure was of this class.
    pub error_class: Option<Arc<str>>,
    /// Only gates whose head is of this type.
    pub event_type: Option<Bytes>,
    /// Only gates after this one, in the order of stream and entity.
    pub after: Option<GateKey>,
    /// At most so many, 1 to 1,000.
    pub limit: u32,
}

impl std::fmt::Debug for GateQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Entities are the user's data.
        f.debug_struct("GateQuery")
            .field("stream", &self.stream)
            .field("entity", &self.entity.is_some())
            .field("entity_prefix", &self.entity_prefix.is_some())
            .field("state", &self.state)
            .field("cause", &self.cause)
            .field("older_than", &self.older_than)
            .field("error_class", &self.error_class)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl GateQuery {
    /// The entities among which those that match are: from the first, up to and without the second. No key is longer
    /// than 1,024 bytes, so that there is always a second.
    pub(crate) fn entities(&self) -> (Bytes, Bytes) {
        static AFTER_ALL: [u8; 1_025] = [0xff; 1_025];
        let prefix = self.entity_prefix.clone().unwrap_or_default();
        let after_all = Bytes::from_static(&AFTER_ALL);
        let (mut from, mut until) = (prefix.clone(), successor_of_all(&prefix).unwrap_or(after_all));
        if let Some(entity) = &self.entity {
            from = from.max(entity.clone());
            until = until.min(next_key(entity));
        }
        (from, until)
    }

    /// Whether a gate with this key matches, as far as `head_type`, the type of its head, is the only thing that the
    /// gate does not know of itself. The page's bounds are not looked at.
    pub(crate) fn matches(&self, found: &GatedEntity, head_type: impl FnOnce() -> Option<Bytes>) -> bool {
        let GatedEntity { key, gate, now } = found;
        let state = self.state.map_or(!gate.is_cleared(), |state| gate.state() == state);
        let (from, until) = self.entities();
        let class = |gate: &Gate| gate.last_failure.as_ref().map(|failure| Arc::clone(&failure.class));
        state
            && self.stream.as_ref().is_none_or(|stream| *stream == key.stream)
            && key.entity >= from
            && key.entity < until
            && self.cause.is_none_or(|cause| gate.parked == Some(cause))
            && self.older_than.is_none_or(|age| gate.gated_since() < now.minus(age))
            && self.error_class.as_ref().is_none_or(|wanted| class(gate).as_ref() == Some(wanted))
            && self.event_type.as_ref().is_none_or(|wanted| head_type().as_ref() == Some(wanted))
    }
}

/// The first key after this one.
fn next_key(key: &Bytes) -> Bytes {
    let mut next = key.to_vec();
    next.push(0);
    next.into()
}

/// The first key after all that begin so; none where every byte is the highest.
fn successor_of_all(prefix: &Bytes) -> Option<Bytes> {
    let last = prefix.iter().rposition(|byte| *byte < 0xff)?;
    let mut next = prefix[..=last].to_vec();
    next[last] += 1;
    Some(next.into())
}

/// What gates are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CountBy {
    /// Their state.
    State,
    /// Why they are parked; none where they are not.
    Cause,
    /// The class of their head's last failure; none where it has not failed.
    ErrorClass,
    /// The type of their head; none where it has none, or where nothing is held.
    EventType,
    /// Their stream.
    Stream,
}

impl CountBy {
    /// The word that stores and people use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Cause => "cause",
            Self::ErrorClass => "error_class",
            Self::EventType => "event_type",
            Self::Stream => "stream",
        }
    }

    /// What a gate is counted under.
    pub(crate) fn name_of(
        self,
        found: &GatedEntity,
        head_type: impl FnOnce() -> Option<Bytes>,
    ) -> Option<Bytes> {
        let GatedEntity { key, gate, .. } = found;
        let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        match self {
            Self::State => Some(text(gate.state().as_str())),
            Self::Cause => gate.parked.map(|cause| text(cause.as_str())),
            Self::ErrorClass => gate.last_failure.as_ref().map(|failure| text(&failure.class)),
            Self::EventType => head_type(),
            Self::Stream => Some(text(key.stream.as_str())),
        }
    }
}

/// So many gates, and so many events that they hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Gates.
    pub entities: u64,
    /// Events in the log under them.
    pub held_events: u64,
}

/// Gates that have something in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedGroup {
    /// What they have in common, by the word or the bytes that the log has for it; none where they have nothing.
    pub name: Option<Bytes>,
    /// How many there are.
    pub count: Count,
}

/// How many gates match a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The largest groups first and, of equal ones, by name; at most [`COUNT_GROUPS_MAX`].
    pub groups: Vec<CountedGroup>,
    /// All gates that match, those of smaller groups, too.
    pub total: Count,
}

impl Counts {
    /// What is in none of the groups.
    #[must_use]
    pub fn rest(&self) -> Count {
        let shown = self.groups.iter().fold(Count::default(), |sum, group| Count {
            entities: sum.entities.saturating_add(group.count.entities),
            held_events: sum.held_events.saturating_add(group.count.held_events),
        });
        Count {
            entities: self.total.entities.saturating_sub(shown.entities),
            held_events: self.total.held_events.saturating_sub(shown.held_events),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixed(prefix: &'static [u8]) -> (Bytes, Bytes) {
        let entity_prefix = Some(Bytes::from_static(prefix));
        GateQuery { entity_prefix, ..GateQuery::default() }.entities()
    }

    #[test]
    fn the_range_of_a_prefix_has_every_key_that_begins_so_and_no_other() {
        let keys: [&[u8]; 9] =
            [b"a", b"a\0", b"a%", b"a_", b"a\xff", b"a\xff\xff", b"b", b"\xff", &[0xff; 1_024]];
        for prefix in [&b""[..], b"a", b"a%", b"a\0", b"a\xff", b"\xff", b"\xff\xff"] {
            let (from, until) = prefixed(prefix);
            for key in keys {
                let within = *key >= *from && *key < *until;
                assert_eq!(within, key.starts_with(prefix), "{key:?} and the prefix {prefix:?}");
            }
        }
    }

    #[test]
    fn an_entity_and_a_prefix_that_it_does_not_begin_with_leave_nothing() {
        let both = |entity: &'static [u8]| {
            let (entity, entity_prefix) = (Some(Bytes::from_static(entity)), Some(Bytes::from_static(b"ab")));
            let (from, until) = GateQuery { entity, entity_prefix, ..GateQuery::default() }.entities();
            from < until
        };
        assert!(both(b"ab") && both(b"abc"));
        assert!(!both(b"a") && !both(b"b") && !both(b"ac"));
    }

    #[test]
    fn what_is_in_no_group_is_the_rest() {
        let count = |entities| Count { entities, held_events: entities * 2 };
        let group = |entities| CountedGroup { name: None, count: count(entities) };
        let counts = Counts { groups: vec![group(3), group(1)], total: count(9) };
        assert_eq!(counts.rest(), count(5));
    }

    #[test]
    fn debug_shows_no_entity() {
        let secret = || Some(Bytes::from_static(b"secret"));
        let query = GateQuery { entity: secret(), entity_prefix: secret(), ..GateQuery::default() };
        assert!(!format!("{query:?}").contains("secret"));
    }
}
