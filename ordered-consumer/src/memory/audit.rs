//! What was done, by whom and why; and the originals of what operators edited.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use crate::{
    AuditLine, Event, GateKey, Index, StreamName, Timestamp,
    gate::{Audit, OperatorRefusal},
    memory::table::{Table, count},
};

/// Lines kept at most, whatever their age: memory is all there is.
const LINES_MAX: usize = 100_000;

/// The audit's lines, oldest first, and what came of requests that have a name.
#[derive(Default)]
pub(super) struct AuditTrail {
    lines: VecDeque<AuditLine>,
    outcomes: HashMap<(GateKey, Arc<str>), Result<u64, OperatorRefusal>>,
    /// Events as they came, before an operator edited them for the first time, and when that was.
    originals: BTreeMap<(GateKey, Index), (Timestamp, Event)>,
}

impl AuditTrail {
    fn drop_first(&mut self) {
        let Some(line) = self.lines.pop_front() else { return };
        if let Some(request_id) = line.audit.request_id {
            self.outcomes.remove(&(line.key, request_id));
        }
    }
}

impl Table {
    pub(super) fn write_audit(&mut self, line: AuditLine) {
        let Audit { request_id, outcome, .. } = &line.audit;
        if let Some(request_id) = request_id {
            let request = (line.key.clone(), Arc::clone(request_id));
            self.audit.outcomes.entry(request).or_insert(*outcome);
        }
        self.audit.lines.push_back(line);
        if self.audit.lines.len() > LINES_MAX {
            self.audit.drop_first();
        }
    }

    /// What came of an operator's request for this gate when it was first made.
    pub(super) fn earlier_outcome(
        &self,
        key: &GateKey,
        request_id: &Arc<str>,
    ) -> Option<Result<u64, OperatorRefusal>> {
        self.audit.outcomes.get(&(key.clone(), Arc::clone(request_id))).copied()
    }

    pub(super) fn audit(&self, key: Option<&GateKey>, limit: u32) -> Vec<AuditLine> {
        let lines = self.audit.lines.iter().rev().filter(|line| key.is_none_or(|key| *key == line.key));
        lines.take(count(limit)).cloned().collect()
    }

    /// Keeps an event as it came, in the place of one that was at its index in another life of its stream.
    pub(super) fn keep_original(&mut self, key: &GateKey, event: Event, now: Timestamp) {
        self.audit.originals.insert((key.clone(), event.index()), (now, event));
    }

    pub(super) fn original(&self, key: &GateKey, index: Index) -> Option<Event> {
        self.audit.originals.get(&(key.clone(), index)).map(|(_, event)| event.clone())
    }

    /// The originals of a stream that is set apart go with it.
    pub(super) fn move_originals(&mut self, from: &StreamName, to: &StreamName) {
        let originals = std::mem::take(&mut self.audit.originals).into_iter();
        let moved = originals.map(|((key, index), (at, event))| {
            if key.stream != *from {
                return ((key, index), (at, event));
            }
            let key = GateKey { stream: to.clone(), ..key };
            ((key, index), (at, event.with_stream(to.clone())))
        });
        self.audit.originals = moved.collect();
    }

    pub(super) fn drop_audit(&mut self, kept_since: Timestamp, limit: u32) -> u64 {
        let mut dropped = 0;
        while dropped < u64::from(limit) && self.audit.lines.front().is_some_and(|line| line.at < kept_since)
        {
            self.audit.drop_first();
            dropped += 1;
        }
        let still_there = |table: &Self, (key, index): &(GateKey, Index)| {
            table.entity(key).is_some_and(|entity| entity.rows.contains_key(index))
        };
        let mut originals = std::mem::take(&mut self.audit.originals);
        originals.retain(|of, (at, _)| *at >= kept_since || still_there(self, of));
        self.audit.originals = originals;
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn lines_are_bounded_and_their_requests_forgotten_with_them() {
        let mut table = Table::default();
        let key = GateKey { stream: StreamName::new("s").unwrap(), entity: Bytes::from_static(b"e") };
        let line = |number: usize| AuditLine {
            at: Timestamp::default(),
            key: key.clone(),
            audit: Audit {
                action: "note",
                index: None,
                by: "ann".into(),
                why: "why".into(),
                request_id: Some(number.to_string().into()),
                outcome: Ok(0),
                before: None,
                after: None,
            },
        };
        for number in 0..LINES_MAX + 5 {
            table.write_audit(line(number));
        }
        assert_eq!((table.audit.lines.len(), table.audit.outcomes.len()), (LINES_MAX, LINES_MAX));
        assert_eq!(table.earlier_outcome(&key, &"4".into()), None);
        assert_eq!(table.earlier_outcome(&key, &"5".into()), Some(Ok(0)));
    }
}
