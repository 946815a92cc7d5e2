//! Between the check's small gate and the protocol's own: every change of a gate goes through [`Model::apply`].

use ordered_consumer::{
    Index, Timestamp,
    gate::{
        Action, ClaimToken, Gate, Guard, Input, LoggedAt, Moment, Operation, Reply, Rows, Step, StreamRecord,
    },
};

use crate::{
    model::{BACKOFF, CLAIM_TIMEOUT, Model, NOW, REDELIVERY_TIMEOUT, VERSION, VERSION_NEW},
    moves::{Broken, Promise},
    mutation::Mutant,
    state::{Due, SmallGate, State, bit, has, highest, lowest, through},
};

impl Model {
    /// Does what every store does: loads the gate, asks the protocol, and writes down what it says.
    pub(crate) fn apply(&self, s: &mut State, guard: Guard, input: &Input) -> Result<Reply, Broken> {
        let gate = s.gate.map(|gate| self.expand(s, &gate));
        let rows = self.rows(s, gate.as_ref(), input);
        let record = self.record(s);
        let record = (!self.scope.shared).then_some(&record);
        let moment = Moment { now: NOW, version: self.next_version(s), settings: &self.settings };
        let step = self.step(gate, &rows, record, guard, input, &moment);
        self.write(s, input, step)
    }

    pub(crate) fn record(&self, s: &State) -> StreamRecord {
        let settled = (s.committed > 1).then(|| self.index(s.committed - 1));
        StreamRecord {
            identity: None,
            generation: s.generation.into(),
            settled,
            clean: s.clean,
            uncommitted_max: self.scope.uncommitted_max.into(),
        }
    }

    /// The protocol's gate, at [`NOW`].
    pub(crate) fn expand(&self, s: &State, small: &SmallGate) -> Gate {
        let index = |position: u8| (position > 0).then(|| self.index(position));
        Gate {
            resolved: index(small.resolved),
            head: index(small.head),
            released: index(small.released),
            attempts: small.attempts.into(),
            due_at: match small.due {
                Due::Never => None,
                Due::Now => Some(NOW),
                Due::Redelivery => Some(NOW.plus(REDELIVERY_TIMEOUT)),
                Due::Deadline => Some(NOW.plus(CLAIM_TIMEOUT)),
            },
            claim: (small.claim > 0).then(|| ClaimToken::new(small.claim.into())),
            parked: small.parked,
            conflicts: small.conflicts.into(),
            held_events: s.rows.count_ones().into(),
            held_bytes: self.bytes(s.rows),
            version: if self.breaks(Mutant::VersionReused) {
                VERSION + u64::from(small.version)
            } else {
                VERSION
            },
            since: NOW,
            ..Gate::default()
        }
    }

    fn bytes(&self, rows: u8) -> u64 {
        let sizes = self.events.iter().zip(0_u8..);
        sizes.filter(|(_, position)| has(rows, *position)).map(|(event, _)| event.size() as u64).sum()
    }

    fn next_version(&self, s: &State) -> u64 {
        if self.breaks(Mutant::VersionReused) {
            return VERSION + 1 + s.gate.map_or(0, |gate| u64::from(gate.version));
        }
        VERSION_NEW
    }

    fn rows(&self, s: &State, gate: Option<&Gate>, input: &Input) -> Rows {
        let mut rows = Rows::default();
        let logged = |event: &ordered_consumer::Event| {
            let position = self.position(event.index()).unwrap_or(0);
            let row = self.events.get(usize::from(position))?;
            let other = event.digest() != row.digest();
            let conflict_known = other && has(s.conflicts, position);
            has(s.rows, position).then(|| LoggedAt { digest: row.digest(), conflict_known })
        };
        if let Input::Arrive { events } = input {
            rows.logged = events.iter().map(|arrival| logged(&arrival.event)).collect();
        }
        if let Input::Fail { event, .. } = input {
            rows.logged = vec![logged(event)];
        }
        if let Input::Operate(Operation { action: Action::VoidConflict { index, .. }, .. }) = input {
            let named = self.position(*index).is_ok_and(|position| has(s.conflicts, position));
            rows.conflicts_named = named.into();
        }
        let Some(bound) = gate.and_then(|gate| input.bound(gate)) else { return rows };
        let below = through(self.position(bound).unwrap_or(0));
        let passed = s.rows & below;
        let index = |position: u8| (position > 0).then(|| self.index(position));
        rows.passed_events = passed.count_ones().into();
        rows.passed_bytes = self.bytes(passed);
        rows.passed_last = index(highest(passed));
        let mut above = s.rows & !below;
        rows.next = index(lowest(above));
        for _ in 0..self.scope.window {
            rows.window_end = index(lowest(above)).or(rows.window_end);
            above &= !bit(lowest(above));
        }
        rows
    }

    /// Writes a step down, and looks at every promise that a single step can break.
    fn write(&self, s: &mut State, input: &Input, step: Step) -> Result<Reply, Broken> {
        let before = s.gate;
        let version_before = before.map_or(0, |gate| self.expand(s, &gate).version);
        for place in &step.insert {
            let index = match input {
                Input::Arrive { events } => events.get(*place).map(|arrival| arrival.event.index()),
                Input::Fail { event, .. } => Some(event.index()),
                Input::Ignore { .. }
                | Input::Take
                | Input::Claim { .. }
                | Input::Renew { .. }
                | Input::Resolve { .. }
                | Input::FailAgain { .. }
                | Input::GiveBack { .. }
                | Input::Mirrored { .. }
                | Input::Operate(_) => None,
            };
            let index = index.ok_or_else(|| Broken::books("a step inserts what it was not given"))?;
            s.rows |= bit(self.position(index)?);
        }
        self.write_conflicts(s, input, &step)?;
        let operates = matches!(input, Input::Operate(_));
        if let Some(last) = step.delete_through {
            let last = self.position(last)?;
            if operates {
                s.skipped |= s.rows & through(last);
            }
            s.rows &= !through(last);
            s.floor = s.floor.max(last);
        }
        if let Some(edited) = step.edit_head {
            s.edited |= bit(self.position(edited)?);
        }
        s.edited &= s.rows;
        s.gate = step.gate.as_ref().map(|gate| self.shrink(gate)).transpose()?;
        self.books(s, step.gate.as_ref())?;
        let unparked = before.is_some_and(|gate| gate.parked.is_some())
            && s.gate.is_none_or(|gate| gate.parked.is_none());
        if unparked && !operates {
            return Err(Broken::new(Promise::Operator, "un-parked, and no operator has said so"));
        }
        let version = step.gate.as_ref().map_or(0, |gate| gate.version);
        let notes = matches!(input, Input::Operate(Operation { action: Action::Note, .. }));
        if notes && (s.gate != before || version != version_before) {
            return Err(Broken::new(Promise::Operator, "a note changes the gate"));
        }
        self.note_versions(s, before, version_before, step.gate.as_ref())?;
        self.mirrors(s, before, step.gate.as_ref())?;
        Ok(step.reply)
    }

    fn write_conflicts(&self, s: &mut State, input: &Input, step: &Step) -> Result<(), Broken> {
        if let (Input::Arrive { events }, false) = (input, step.insert_conflicts.is_empty()) {
            for event in step.insert_conflicts.iter().filter_map(|place| events.get(*place)) {
                let position = self.position(event.event.index())?;
                if event.event.digest() == self.events[usize::from(position)].digest() {
                    return Err(Broken::books("the same event was taken for a conflict"));
                }
                s.conflicts |= bit(position);
            }
        } else if !step.insert_conflicts.is_empty() {
            return Err(Broken::books("a conflict comes from nowhere"));
        }
        if let Some((index, _)) = step.delete_conflicts {
            s.conflicts &= !bit(self.position(index)?);
        }
        Ok(())
    }

    /// Forgets times and failures, and what the rows say already.
    fn shrink(&self, gate: &Gate) -> Result<SmallGate, Broken> {
        let position = |index: Option<Index>| index.map_or(Ok(0), |index| self.position(index));
        let version =
            if self.breaks(Mutant::VersionReused) { gate.version.saturating_sub(VERSION) } else { 1 };
        let small = |number: u128| u8::try_from(number.min(200)).unwrap_or(200);
        Ok(SmallGate {
            resolved: position(gate.resolved)?,
            head: position(gate.head)?,
            released: position(gate.released)?,
            attempts: small(gate.attempts.into()).min(9),
            due: due(gate.due_at)?,
            claim: gate.claim.map_or(0, |claim| small(claim.get())),
            parked: gate.parked,
            conflicts: small(gate.conflicts.into()),
            version: small(version.into()),
        })
    }
}

fn due(due_at: Option<Timestamp>) -> Result<Due, Broken> {
    match due_at {
        None => Ok(Due::Never),
        Some(at) if at <= NOW.plus(BACKOFF) => Ok(Due::Now),
        Some(at) if at == NOW.plus(REDELIVERY_TIMEOUT) => Ok(Due::Redelivery),
        Some(at) if at == NOW.plus(CLAIM_TIMEOUT) => Ok(Due::Deadline),
        Some(at) => Err(Broken::books(format!("due at {at:?}, which no rule explains"))),
    }
}
