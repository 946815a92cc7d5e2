//! The main stream where any process may receive the next event, as with one group of an SQS FIFO queue.

use ordered_consumer::gate::{Reply, Verdict};

use crate::{
    model::Model,
    moves::Moves,
    mutation::Mutant,
    owned::number,
    state::{DEAD, Main, MainPhase, State, bit, has, lowest},
};

impl Model {
    pub(crate) fn shared_main(&self, s: &State, i: usize, moves: &mut Moves) {
        let main = s.mains[i];
        match main.phase {
            MainPhase::Idle if main.received != 0 => self.next_received(s, i, moves),
            MainPhase::Idle if main.to_delete == 0 => self.receive(s, i, moves),
            MainPhase::Idle => {}
            MainPhase::Running => self.shared_ends(s, i, moves),
            MainPhase::Failed | MainPhase::FailedAndChecked => self.shared_logs_failure(s, i, moves),
        }
        self.delete(s, i, moves);
        self.visibility(s, i, moves);
    }

    /// The first messages of the group, when none of it is in flight.
    fn receive(&self, s: &State, i: usize, moves: &mut Moves) {
        if s.in_flight.iter().any(|taker| *taker != 0) {
            return;
        }
        let mut t = *s;
        let waiting = (1..=self.scope.events).filter(|event| !has(s.deleted, *event));
        for event in waiting.take(usize::from(self.scope.batch)) {
            t.mains[i].received |= bit(event);
            t.in_flight[usize::from(event)] = number(i) + 1;
        }
        let received = t.mains[i].received;
        if received == 0 {
            return;
        }
        let main = &mut t.mains[i];
        main.redelivered = received & s.delivered;
        main.found_clear = s.gate.is_none();
        main.cached = false;
        main.expired = false;
        t.delivered |= received;
        moves.go("main: receives, from", [number(i), lowest(received), 0], Ok(t));
    }

    fn next_received(&self, s: &State, i: usize, moves: &mut Moves) {
        let main = s.mains[i];
        let event = lowest(main.received);
        let details = [number(i), event, 0];
        if main.expired && !self.breaks(Mutant::NoReceiptCheck) {
            return moves.go("main: its time is over, gives up the rest", details, Ok(give_up(s, i)));
        }
        let mut t = *s;
        t.mains[i].received &= !bit(event);
        let suspect = has(main.redelivered, event) && !self.breaks(Mutant::NoSuspects);
        if main.found_clear && !main.cached && !suspect {
            return self.start_main(&t, i, event, "main: runs, the look-up said clear", moves);
        }
        // Marked before the log is asked: an answer that is lost and asked for again is a mere "duplicate", and the
        // look-up must not be believed after it.
        t.mains[i].cached |= !self.breaks(Mutant::MarkedOnlyWhenHeld);
        match self.apply(&mut t, self.shared(main.expired), self.arrive(event, suspect, false)) {
            Err(broken) => moves.go("main: asks the log", details, Err(broken)),
            Ok(Reply::Arrived(verdicts)) => match verdicts.first() {
                Some(Verdict::Run) => self.start_main(&t, i, event, "main: runs, the log says clear", moves),
                Some(Verdict::Full | Verdict::Undecided) | None => {}
                Some(Verdict::Duplicate) => {
                    t.mains[i].to_delete |= bit(event);
                    moves.go("main: duplicate", details, Ok(t));
                }
                Some(Verdict::Held | Verdict::Suspect | Verdict::Conflict) => {
                    if s.left.unknowns > 0 {
                        let mut unknown = t;
                        unknown.left.unknowns -= 1;
                        unknown.mains[i] = Main { cached: t.mains[i].cached, ..main };
                        moves.fault("main: holds, and gets no answer", details, Ok(unknown));
                    }
                    t.mains[i].to_delete |= bit(event);
                    t.mains[i].cached = true;
                    moves.go("main: holds, or logs a redelivered one", details, Ok(t));
                }
            },
            Ok(_) => moves.go("main: refused past its deadline", details, Ok(give_up(s, i))),
        }
    }

    fn shared_ends(&self, s: &State, i: usize, moves: &mut Moves) {
        let main = s.mains[i];
        let details = [number(i), main.event, 0];
        let after = shared_after(s, i);
        // Past the deadline the handler is dropped; one that cannot be dropped is documented.
        let to = self.succeeds(after, main.event, main.expired);
        moves.go("main: the handler succeeds", details, to);
        if s.left.failures > 0 {
            let mut t = *s;
            t.left.failures -= 1;
            t.mains[i].cached = true;
            t.mains[i].phase = MainPhase::Failed;
            moves.go("main: the handler fails", details, Ok(t));
        }
        if main.expired {
            moves.go("main: drops the handler past its deadline", details, Ok(give_up(s, i)));
        }
    }

    fn shared_logs_failure(&self, s: &State, i: usize, moves: &mut Moves) {
        let main = s.mains[i];
        let details = [number(i), main.event, 0];
        let mut t = *s;
        match self.apply(&mut t, self.shared(main.expired), &self.fail(main.event)) {
            Err(broken) => moves.go("main: logs the failure", details, Err(broken)),
            Ok(Reply::Fenced(_)) => {
                moves.go("main: its failure is refused past its deadline", details, Ok(give_up(s, i)));
            }
            Ok(_) => {
                if s.left.unknowns > 0 {
                    let mut unknown = t;
                    unknown.left.unknowns -= 1;
                    moves.fault("main: logs the failure, and gets no answer", details, Ok(unknown));
                }
                moves.go("main: logs the failure", details, Ok(shared_after(&t, i)));
            }
        }
    }

    fn delete(&self, s: &State, i: usize, moves: &mut Moves) {
        let main = s.mains[i];
        let ordered = !self.breaks(Mutant::UnorderedDeletes);
        for event in (1..=self.scope.events).filter(|event| has(main.to_delete, *event)) {
            if ordered && event != lowest(main.to_delete) {
                continue;
            }
            let mut t = *s;
            t.mains[i].to_delete &= !bit(event);
            if s.in_flight[usize::from(event)] == number(i) + 1 {
                t.deleted |= bit(event);
                t.in_flight[usize::from(event)] = 0;
                moves.go("main: deletes", [number(i), event, 0], Ok(t));
            } else {
                if ordered {
                    t.mains[i].to_delete = 0;
                    t = give_up_all(&t, i);
                }
                moves.go("main: a delete is refused, its time is over", [number(i), event, 0], Ok(t));
            }
        }
    }

    fn visibility(&self, s: &State, i: usize, moves: &mut Moves) {
        for event in 1..=self.scope.events {
            let taker = s.in_flight[usize::from(event)];
            let mut t = *s;
            t.in_flight[usize::from(event)] = 0;
            if taker == number(i) + 1 && s.left.visibilities > 0 {
                t.left.visibilities -= 1;
                t.mains[i].expired = true;
                moves.fault("a message becomes visible under its process", [number(i), event, 0], Ok(t));
            } else if taker == DEAD && i == 0 {
                moves.go("a dead process's message becomes visible", [0, event, 0], Ok(t));
            }
        }
    }
}

fn shared_after(s: &State, i: usize) -> State {
    let mut t = *s;
    let main = &mut t.mains[i];
    main.to_delete |= bit(main.event);
    main.event = 0;
    main.phase = MainPhase::Idle;
    t
}

/// Nothing more of this receive starts; its messages come back, but for those that are done with.
fn give_up(s: &State, i: usize) -> State {
    give_up_but(s, i, s.mains[i].to_delete)
}

fn give_up_all(s: &State, i: usize) -> State {
    give_up_but(s, i, 0)
}

fn give_up_but(s: &State, i: usize, but: u8) -> State {
    let mut t = *s;
    let main = &mut t.mains[i];
    main.received = 0;
    if main.phase != MainPhase::Idle && but == s.mains[i].to_delete && s.mains[i].event > 0 {
        main.phase = MainPhase::Idle;
        main.event = 0;
    }
    for (event, taker) in (0_u8..).zip(t.in_flight.iter_mut()) {
        if *taker == number(i) + 1 && !has(but, event) {
            *taker = DEAD;
        }
    }
    t
}
