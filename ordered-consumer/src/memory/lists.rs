//! What people ask for: gates by what is known of them, counts, and what is kept beside the log.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound,
};

use bytes::Bytes;

use crate::{
    COUNT_GROUPS_MAX, Count, CountBy, CountedGroup, Counts, Digest, Event, GateKey, GateQuery, GatedEntity,
    Index, StreamName, Timestamp,
    gate::State,
    memory::table::{Table, count, first_bytes},
};

impl Table {
    pub(super) fn list(&self, query: &GateQuery, limit: u32, now: Timestamp) -> Vec<GatedEntity> {
        self.matching(query, query.after.as_ref(), now).take(count(limit)).collect()
    }

    pub(super) fn counts(&self, query: &GateQuery, by: CountBy, now: Timestamp) -> Counts {
        let mut groups: HashMap<Option<Bytes>, Count> = HashMap::new();
        let mut total = Count::default();
        for found in self.matching(query, None, now) {
            let group = groups.entry(by.name_of(&found, || self.head_type(&found.key))).or_default();
            for count in [group, &mut total] {
                count.entities += 1;
                count.held_events += found.gate.held_events;
            }
        }
        let mut groups: Vec<_> =
            groups.into_iter().map(|(name, count)| CountedGroup { name, count }).collect();
        groups.sort_by(|one, other| {
            let larger = other.count.entities.cmp(&one.count.entities);
            larger.then_with(|| one.name.cmp(&other.name))
        });
        groups.truncate(COUNT_GROUPS_MAX);
        Counts { groups, total }
    }

    fn matching<'t>(
        &'t self,
        query: &'t GateQuery,
        after: Option<&GateKey>,
        now: Timestamp,
    ) -> impl Iterator<Item = GatedEntity> + 't {
        let from = match (after, &query.stream) {
            (Some(after), Some(stream)) if after.stream < *stream => Bound::Included(first_of(stream)),
            (Some(after), _) => Bound::Excluded(after.clone()),
            (None, Some(stream)) => Bound::Included(first_of(stream)),
            (None, None) => Bound::Unbounded,
        };
        let keys = if query.state == Some(State::Cleared) { &self.order } else { &self.uncleared };
        let keys = Between { keys, next: from, entities: query.entities() };
        let keys = keys.take_while(|key| query.stream.as_ref().is_none_or(|stream| *stream == key.stream));
        keys.filter_map(move |key| {
            let gate = self.gate(key)?.clone();
            let found = GatedEntity { key: key.clone(), gate, now };
            query.matches(&found, || self.head_type(key)).then_some(found)
        })
    }

    fn head_type(&self, key: &GateKey) -> Option<Bytes> {
        let entity = self.entity(key)?;
        entity.rows.get(&entity.gate.head?)?.event.event_type().cloned()
    }

    pub(super) fn conflicts(
        &self,
        key: &GateKey,
        after: Option<(Index, Digest)>,
        limit: u32,
        bytes_max: u64,
    ) -> Vec<Event> {
        let Some(entity) = self.entity(key) else { return Vec::new() };
        let place = |index: Index, digest: Digest| (index, digest.to_bytes());
        let after = after.map(|(index, digest)| place(index, digest));
        let mut kept: Vec<_> =
            entity.conflicts.iter().map(|event| (place(event.index(), event.digest()), event)).collect();
        kept.sort_unstable_by_key(|(place, _)| *place);
        let kept = kept.into_iter().filter(|(place, _)| after.is_none_or(|after| *place > after));
        first_bytes(kept.map(|(_, event)| event).take(count(limit)), bytes_max)
    }
}

/// Gates of the entities from the first up to and without the second, in each stream: the others are leapt over.
struct Between<'t> {
    keys: &'t BTreeSet<GateKey>,
    next: Bound<GateKey>,
    entities: (Bytes, Bytes),
}

impl<'t> Iterator for Between<'t> {
    type Item = &'t GateKey;

    fn next(&mut self) -> Option<&'t GateKey> {
        let (from, until) = &self.entities;
        loop {
            let key = self.keys.range((self.next.clone(), Bound::Unbounded)).next()?;
            let in_stream = |entity: &Bytes| GateKey { stream: key.stream.clone(), entity: entity.clone() };
            if key.entity < *from && from < until {
                self.next = Bound::Included(in_stream(from));
            } else if key.entity >= *until || from >= until {
                // Past every key, for none is so long.
                self.next = Bound::Excluded(in_stream(&Bytes::from_static(&[0xff; 1_025])));
            } else {
                self.next = Bound::Excluded(key.clone());
                return Some(key);
            }
        }
    }
}

fn first_of(stream: &StreamName) -> GateKey {
    GateKey { stream: stream.clone(), entity: Bytes::new() }
}
