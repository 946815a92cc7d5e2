//! The main stream where one process at a time owns it, as with Kafka.

use ordered_consumer::gate::{Guard, Reply, StreamRecord, TakeOver, Verdict, take_over};

use crate::{
    model::Model,
    moves::{Broken, Moves},
    mutation::Mutant,
    state::{Late, LateCall, Main, MainPhase, Ownership, State, bit, has},
};

impl Model {
    pub(crate) fn owned_main(&self, s: &State, i: usize, moves: &mut Moves) {
        let main = s.mains[i];
        if main.ownership == Ownership::None {
            return;
        }
        if usize::from(s.owner) != i {
            let mut t = *s;
            if main.phase == MainPhase::Failed && s.late.is_none() {
                t.late = Some(late_failure(&main));
            }
            t.mains[i] = Main::default();
            moves.go("main notices that it has lost the stream", [number(i), 0, 0], Ok(t));
        }
        if main.ownership != Ownership::Active {
            let (what, to) = self.next_of_takeover(s, i);
            moves.go(what, [number(i), 0, s.generation], to);
            return;
        }
        if main.batched != 0 {
            let mut t = *s;
            let to =
                self.apply(&mut t, Self::owned(main.generation), &self.fail(main.batched)).map(|reply| {
                    if let Reply::Fenced(_) = reply {
                        t.mains[i] = self.refused(s, i);
                    } else {
                        t.mains[i].batched = 0;
                    }
                    t
                });
            moves.go("main: the batch logs the failure", [number(i), main.batched, 0], to);
        }
        match main.phase {
            MainPhase::Idle if self.may_deliver(s, main.next) => self.next_event(s, i, moves),
            MainPhase::Idle => {}
            MainPhase::Running => self.main_ends(s, i, moves),
            MainPhase::Failed | MainPhase::FailedAndChecked => self.main_logs_failure(s, i, moves),
        }
        self.beside_the_events(s, i, moves);
    }

    /// Whether there is another event, and room for it among those that the broker has not been told of.
    fn may_deliver(&self, s: &State, next: u8) -> bool {
        next <= self.scope.events && next < s.committed.saturating_add(self.scope.uncommitted_max)
    }

    /// Read the generation, have the broker confirm the assignment, raise it from what was read, load the gates.
    fn next_of_takeover(&self, s: &State, i: usize) -> (&'static str, Result<State, Broken>) {
        let mut t = *s;
        let main = &mut t.mains[i];
        match s.mains[i].ownership {
            Ownership::Assigned if self.breaks(Mutant::FenceNotCompareAndSet) => {
                main.generation = s.generation;
                ("main raises the generation, whatever it is", self.raise(t, i))
            }
            Ownership::Assigned => {
                main.generation = s.generation;
                main.ownership = Ownership::GenerationRead;
                ("main reads the generation", Ok(t))
            }
            Ownership::GenerationRead => {
                if usize::from(s.owner) == i {
                    main.ownership = Ownership::Confirmed;
                } else {
                    *main = Main::default();
                }
                ("main asks the broker whether the stream is still its own", Ok(t))
            }
            Ownership::Confirmed => ("main raises the generation from what it read", self.raise(t, i)),
            Ownership::Raised => {
                let gate = s.gate;
                let tombstone = gate.is_some_and(|gate| gate.head == 0 && gate.parked.is_none());
                main.cached = gate.is_some() && !(tombstone && self.breaks(Mutant::CacheWithoutTombstones));
                main.ownership = Ownership::Active;
                main.next = s.committed;
                ("main loads the gates", Ok(t))
            }
            Ownership::None | Ownership::Active => ("nothing", Ok(t)),
        }
    }

    fn raise(&self, mut t: State, i: usize) -> Result<State, Broken> {
        let record = self.record(&t);
        let asked = TakeOver {
            seen_generation: t.mains[i].generation.into(),
            identity: None,
            position: (t.committed <= self.scope.events).then(|| self.index(t.committed)),
            uncommitted_max: self.scope.uncommitted_max.into(),
        };
        match take_over(Some(&record), &asked) {
            Ok(raised) => {
                t.generation = u8::try_from(raised.generation).unwrap_or(u8::MAX);
                t.clean = raised.clean;
                let (ownership, generation) = (Ownership::Raised, t.generation);
                let suspects = if record.clean { 0 } else { self.suspects(&record, t.committed) };
                t.mains[i] = Main { ownership, generation, suspects, ..Main::default() };
                Ok(t)
            }
            Err(ordered_consumer::gate::StreamRefusal::Raised { .. }) => {
                t.mains[i] = Main { ownership: Ownership::Assigned, ..Main::default() };
                Ok(t)
            }
            Err(other) => Err(Broken::books(format!("a takeover was refused: {other}"))),
        }
    }

    /// The last event that the last owner may have had running.
    fn suspects(&self, record: &StreamRecord, next: u8) -> u8 {
        let max = u8::try_from(record.uncommitted_max).unwrap_or(u8::MAX);
        let max = if self.breaks(Mutant::TooFewSuspects) { max - 1 } else { max };
        (next - 1).saturating_add(max).min(self.scope.events)
    }

    /// What becomes of a process whose write was refused as stale.
    fn refused(&self, s: &State, i: usize) -> Main {
        let assigned = usize::from(s.owner) == i && !self.breaks(Mutant::RefusedOwnerGivesUp);
        let ownership = if assigned { Ownership::Assigned } else { Ownership::None };
        Main { ownership, ..Main::default() }
    }

    fn next_event(&self, s: &State, i: usize, moves: &mut Moves) {
        let main = s.mains[i];
        let event = main.next;
        let mut t = *s;
        let suspicious = event <= main.suspects && !self.breaks(Mutant::NoSuspects);
        if has(main.told, event) {
            t.mains[i].told &= !bit(event);
            return self.start_main(&t, i, event, "main: runs, as its batch was told", moves);
        }
        if !main.cached && !suspicious {
            return self.start_main(&t, i, event, "main: runs, the cache says clear", moves);
        }
        let two = self.scope.batch > 1 && self.may_deliver(s, event + 1);
        let arrive = self.arrive(event, suspicious, two);
        match self.apply(&mut t, Self::owned(main.generation), arrive) {
            Err(broken) => moves.go("main: asks the log", [number(i), event, 0], Err(broken)),
            Ok(Reply::Arrived(verdicts)) => self.decided(s, t, i, &verdicts, moves),
            Ok(_) => {
                t.mains[i] = self.refused(s, i);
                moves.go("main: refused as stale", [number(i), event, 0], Ok(t));
            }
        }
    }

    fn decided(&self, s: &State, mut t: State, i: usize, verdicts: &[Verdict], moves: &mut Moves) {
        let first = s.mains[i].next;
        let wrote = t.rows != s.rows;
        if wrote && s.left.unknowns > 0 {
            let mut unknown = t;
            unknown.left.unknowns -= 1;
            unknown.mains[i].cached = true;
            moves.fault("main: holds, and gets no answer", [number(i), first, 0], Ok(unknown));
        }
        let mut run = 0;
        for verdict in verdicts {
            let main = &mut t.mains[i];
            match verdict {
                Verdict::Duplicate => main.next += 1,
                Verdict::Held | Verdict::Suspect | Verdict::Conflict => {
                    main.cached = true;
                    main.next += 1;
                }
                Verdict::Run if run == 0 => {
                    run = main.next;
                    main.cached = false;
                }
                // Only a mutant's: a second event of one batch that is told to run.
                Verdict::Run => main.told |= bit(run + 1),
                Verdict::Full | Verdict::Undecided => break,
            }
        }
        if run > 0 {
            self.start_main(&t, i, run, "main: runs, the log says clear", moves);
        } else if t.mains[i].next > first {
            let what = match verdicts.first() {
                Some(Verdict::Held) => "main: holds",
                Some(Verdict::Suspect) => "main: logs a suspect without running it",
                _ => "main: duplicate",
            };
            moves.go(what, [number(i), first, t.mains[i].next - first], Ok(t));
        }
    }

    pub(crate) fn start_main(&self, s: &State, i: usize, event: u8, what: &'static str, moves: &mut Moves) {
        let zombie = !self.scope.shared && usize::from(s.owner) != i;
        let mut t = *s;
        t.mains[i].phase = MainPhase::Running;
        t.mains[i].event = event;
        let to = self
            .may_start(s, event, zombie)
            .and_then(|()| if self.scope.killer == event { self.kill(&t, i) } else { Ok(t) });
        moves.go(what, [number(i), event, 0], to);
    }

    fn main_ends(&self, s: &State, i: usize, moves: &mut Moves) {
        let event = s.mains[i].event;
        let after = main_after(s, i);
        let zombie = usize::from(s.owner) != i;
        moves.go("main: the handler succeeds", [number(i), event, 0], self.succeeds(after, event, zombie));
        if s.left.failures == 0 {
            return;
        }
        let mut t = *s;
        t.left.failures -= 1;
        t.mains[i].cached = true;
        t.mains[i].phase = MainPhase::Failed;
        if self.breaks(Mutant::SlotFreedEarly) {
            t = main_after(&t, i);
            t.mains[i].batched = event;
        }
        moves.go("main: the handler fails", [number(i), event, 0], Ok(t));
    }

    fn main_logs_failure(&self, s: &State, i: usize, moves: &mut Moves) {
        let main = s.mains[i];
        let details = [number(i), main.event, 0];
        let mut guard = Self::owned(main.generation);
        if self.breaks(Mutant::FenceUnlocked) {
            if main.phase == MainPhase::Failed && main.generation == s.generation {
                let mut t = *s;
                t.mains[i].phase = MainPhase::FailedAndChecked;
                return moves.go("main: has read the generation, and will log the failure", details, Ok(t));
            }
            guard = if main.phase == MainPhase::Failed { guard } else { Guard::Unguarded };
        }
        let mut t = *s;
        match self.apply(&mut t, guard, &self.fail(main.event)) {
            Err(broken) => moves.go("main: logs the failure", details, Err(broken)),
            Ok(Reply::Fenced(_)) => {
                t.mains[i] = self.refused(s, i);
                moves.go("main: its failure is refused as stale", details, Ok(t));
            }
            Ok(_) => {
                if s.left.unknowns > 0 {
                    let mut unknown = t;
                    unknown.left.unknowns -= 1;
                    moves.fault("main: logs the failure, and gets no answer", details, Ok(unknown));
                }
                moves.go("main: logs the failure", details, Ok(main_after(&t, i)));
            }
        }
    }

    /// Telling the broker, and refreshing the cache.
    fn beside_the_events(&self, s: &State, i: usize, moves: &mut Moves) {
        let main = s.mains[i];
        let done = if main.batched > 0 { main.batched } else { main.next };
        if usize::from(s.owner) == i && s.committed < done {
            let mut t = *s;
            t.committed = done;
            if self.breaks(Mutant::SuspicionEndsAtFirstCommit) {
                t.mains[i].suspects = 0;
            }
            let waits = main.next <= self.scope.events && !self.may_deliver(s, main.next);
            let (what, details) = ("main: tells the broker, next is", [number(i), done, 0]);
            if waits { moves.go(what, details, Ok(t)) } else { moves.idle(what, details, Ok(t)) }
        }
        if s.left.refreshes > 0 && main.refresh == 0 {
            let mut t = *s;
            t.left.refreshes -= 1;
            t.mains[i].refresh = 1 + u8::from(s.gate.is_some());
            moves.fault("main: a refresh reads the gates", [number(i), 0, u8::from(s.gate.is_some())], Ok(t));
        }
        if main.refresh > 0 {
            let mut t = *s;
            let found = main.refresh == 2;
            t.mains[i].refresh = 0;
            t.mains[i].cached = found || (main.cached && !self.breaks(Mutant::RefreshReplaces));
            moves.go("main: the refresh is installed", [number(i), 0, u8::from(found)], Ok(t));
        }
    }
}

/// The event is done with; the next one's turn has come.
fn main_after(s: &State, i: usize) -> State {
    let mut t = *s;
    let main = &mut t.mains[i];
    main.next = main.event + 1;
    main.event = 0;
    main.phase = MainPhase::Idle;
    t
}

pub(crate) fn late_failure(main: &Main) -> Late {
    Late { call: LateCall::Fail, event: main.event, right: main.generation, attempt: 1, next_token: 0 }
}

pub(crate) fn number(i: usize) -> u8 {
    u8::try_from(i).unwrap_or(u8::MAX)
}
