//! The promises, and the normal form of a state.

use ordered_consumer::gate::{Gate, State as GateState};

use crate::{
    model::Model,
    moves::{Broken, Promise},
    mutation::Mutant,
    state::{Copied, Main, MainPhase, RunPhase, SmallGate, State, bit, has, lowest},
};

impl Model {
    /// The outside effects of a handler that nobody could stop are documented, and count only where they are in order.
    fn is_excused(&self, zombie: bool) -> bool {
        zombie && !self.breaks(Mutant::ZombiesCount)
    }

    pub(crate) fn may_start(&self, s: &State, event: u8, zombie: bool) -> Result<(), Broken> {
        if self.is_excused(zombie) {
            return Ok(());
        }
        if event <= s.floor {
            let why = format!("event {event} runs again after it was resolved");
            return Err(Broken::new(Promise::Regress, why));
        }
        no_earlier_row(s, event, "starts")
    }

    pub(crate) fn succeeds(&self, mut s: State, event: u8, zombie: bool) -> Result<State, Broken> {
        let missing = (s.last + 1..event).find(|earlier| !has(s.skipped, *earlier));
        if self.is_excused(zombie) {
            if event > s.last && missing.is_none() {
                s.last = event;
            }
            s.done |= bit(event);
            return Ok(s);
        }
        if let Some(missing) = missing {
            return Err(Broken::new(Promise::Order, format!("event {event} succeeds before {missing}")));
        }
        no_earlier_row(&s, event, "succeeds")?;
        if event <= s.floor && s.last > event {
            let why = format!("event {event} succeeds after {} had succeeded", s.last);
            return Err(Broken::new(Promise::Regress, why));
        }
        s.done |= bit(event);
        s.last = event;
        Ok(s)
    }

    /// The broker is told "done" only after a success, a row or an operator's word.
    pub(crate) fn nothing_lost(&self, s: &State) -> Result<(), Broken> {
        let told = if self.scope.shared { s.deleted } else { crate::state::through(s.committed - 1) };
        match lowest(told & !(s.done | s.rows | s.skipped)) {
            0 => Ok(()),
            lost => {
                let why =
                    format!("event {lost} is neither handled, logged nor skipped, and the broker forgets it");
                Err(Broken::new(Promise::Lost, why))
            }
        }
    }

    /// The gate agrees with the rows and with itself.
    pub(crate) fn books(&self, s: &State, gate: Option<&Gate>) -> Result<(), Broken> {
        let wrong = |why: &str| Err(Broken::books(format!("{why}: rows {:#b}, {:?}", s.rows, s.gate)));
        let (Some(gate), Some(small)) = (gate, s.gate) else {
            let empty = s.rows == 0 && s.conflicts == 0;
            return if empty { Ok(()) } else { wrong("there are rows or conflicts, and no gate") };
        };
        let bytes: u64 = (1..=self.scope.events)
            .filter(|event| has(s.rows, *event))
            .map(|event| self.events[usize::from(event)].size() as u64)
            .sum();
        if small.head != lowest(s.rows) {
            return wrong("the head is not the lowest row");
        }
        if gate.held_events != u64::from(s.rows.count_ones()) || gate.held_bytes != bytes {
            return wrong("events or bytes are not counted right");
        }
        if gate.conflicts != s.conflicts.count_ones() {
            return wrong("conflicts are not counted right");
        }
        if gate.released < gate.head || gate.released.is_some() != gate.head.is_some() {
            return wrong("`released` is not at or past the head");
        }
        if gate.head.is_some() && gate.resolved >= gate.head {
            return wrong("the head is resolved");
        }
        let released = s.rows & crate::state::through(small.released);
        // A resumed head goes out beside a whole window of events behind it.
        if released.count_ones() > u32::from(self.scope.window) + 1 {
            return wrong("more is released than the window allows");
        }
        let waits = gate.state() == GateState::Waiting || gate.claim.is_some();
        let mirrors = self.scope.mirror && gate.state() == GateState::Parked && gate.claim.is_none();
        if waits != gate.due_at.is_some() && !mirrors {
            return wrong("it waits without a due time, or is due for nothing");
        }
        if gate.claim.is_some() && gate.head.is_none() {
            return wrong("a claim without a head");
        }
        Ok(())
    }

    /// Versions change with head, state or attempts; an operator who has looked is told so, and only then.
    pub(crate) fn note_versions(
        &self,
        s: &mut State,
        before: Option<SmallGate>,
        version_before: u64,
        after: Option<&Gate>,
    ) -> Result<(), Broken> {
        let seen = |gate: SmallGate| {
            (gate.head, gate.parked.is_some(), gate.attempts, gate.claim > 0, gate.conflicts)
        };
        let changed = before.map(seen) != s.gate.map(seen);
        let version_changed = after.map_or(0, |gate| gate.version) != version_before;
        if changed && !version_changed && after.is_some() {
            return Err(Broken::books("head, state or attempts have changed, and the version has not"));
        }
        for relay in &mut s.relays {
            relay.fresh &= !version_changed;
        }
        if let Some(pending) = s.pending.as_mut() {
            pending.fresh &= !version_changed;
            pending.same = if pending.saw_gate { pending.same && !changed } else { after.is_none() };
        }
        Ok(())
    }

    /// What must be true when nothing is left to happen.
    pub(crate) fn at_rest(&self, s: &State) -> Result<(), Broken> {
        if self.scope.killer > 0 && s.gate.is_some_and(|gate| gate.parked.is_some()) {
            return Ok(());
        }
        let stalled = |why: String| Err(Broken::new(Promise::Stalled, why));
        if s.rows != 0 {
            return stalled(format!("event {} is in the log for ever, {:?}", lowest(s.rows), s.gate));
        }
        let missing = lowest(self.all() & !(s.done | s.skipped));
        if missing > 0 {
            return stalled(format!("event {missing} was never handled"));
        }
        let end = (1..=self.scope.events).rev().find(|event| !has(s.skipped, *event)).unwrap_or(0);
        if s.last < end {
            let why = format!("the last success is on {}, after {end} had succeeded", s.last);
            return Err(Broken::new(Promise::Regress, why));
        }
        Ok(())
    }

    /// States that differ only in names, or in what nothing looks at any more, are one.
    pub(crate) fn canonical(&self, s: &mut State) {
        let crashes = s.left.crashes > 0 || self.scope.killer > 0;
        if !crashes {
            s.relays[..self.scope.relays].sort_unstable();
            s.runners[..self.scope.runners].sort_unstable();
        }
        if !crashes && s.left.expiries == 0 {
            forget_copies(s);
        }
        for run in &mut s.runners {
            if run.phase == RunPhase::Idle {
                *run = Default::default();
            }
        }
        if !self.scope.shared {
            for main in &mut s.mains {
                if main.next > self.scope.events && main.phase == MainPhase::Idle {
                    *main = Main { cached: true, suspects: 0, ..*main };
                }
            }
        }
        if self.scope.operations == 0 {
            s.pending = None;
        }
        rename_tokens(s);
    }
}

fn no_earlier_row(s: &State, event: u8, does: &str) -> Result<(), Broken> {
    match (1..event).find(|earlier| has(s.rows, *earlier)) {
        None => Ok(()),
        Some(earlier) => {
            let why = format!("event {event} {does} while {earlier} is unresolved in the log");
            Err(Broken::new(Promise::Order, why))
        }
    }
}

/// Copies that are done with, and that nothing can bring back.
pub(crate) fn forget_copies(s: &mut State) {
    let gone = usize::from(s.topic_next);
    if gone == 0 {
        return;
    }
    s.topic.rotate_left(gone);
    s.topic_len -= s.topic_next;
    s.topic_next = 0;
    for copy in s.topic.iter_mut().skip(usize::from(s.topic_len)) {
        *copy = Copied::default();
    }
}

fn rename_tokens(s: &mut State) {
    let mut names = [0_u8; 16];
    let mut next = 1;
    let mut rename = |token: &mut u8| {
        if *token == 0 {
            return;
        }
        let name = &mut names[usize::from(*token & 15)];
        if *name == 0 {
            *name = next;
            next += 1;
        }
        *token = *name;
    };
    if let Some(gate) = s.gate.as_mut() {
        rename(&mut gate.claim);
    }
    for run in &mut s.runners {
        rename(&mut run.token);
        rename(&mut run.next_token);
    }
    if let Some(late) = s.late.as_mut().filter(|late| late.call != crate::state::LateCall::Fail) {
        rename(&mut late.right);
        rename(&mut late.next_token);
    }
}
