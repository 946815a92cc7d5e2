//! The relay: it takes what is due, and sends it back, event by event.

use ordered_consumer::gate::{Guard, Input, Reply};

use crate::{
    model::Model,
    moves::{Broken, Moves},
    mutation::Mutant,
    owned::number,
    scope::Way,
    state::{
        Copied, Due, MainPhase, Mirroring, Ownership, Relay, RunPhase, Runner, State, TOPIC_MAX, bit, has,
        lowest, through,
    },
};

impl Model {
    pub(crate) fn relay_moves(&self, s: &State, i: usize, moves: &mut Moves) {
        if s.relays[i].left != 0 {
            return self.publish(s, i, moves);
        }
        if s.relays[i].mirroring != Mirroring::No {
            return self.mirror_moves(s, i, moves);
        }
        let Some(gate) = s.gate else { return };
        if gate.due == Due::Now {
            self.take(s, i, "relay: takes", false, moves);
        }
        if gate.due == Due::Redelivery && i == 0 && s.left.early_looks > 0 {
            let mut t = *s;
            t.left.early_looks -= 1;
            t.gate.as_mut().into_iter().for_each(|gate| gate.due = Due::Now);
            moves.fault("the redelivery timeout is over early", [0, gate.head, 0], Ok(t));
        }
        if gate.due != Due::Deadline {
            return;
        }
        let mut late = *s;
        late.gate.as_mut().into_iter().for_each(|gate| gate.due = Due::Now);
        let Some(run) = s.living_claimant() else {
            return self.take(&late, i, "relay: finds the claim of a dead run", false, moves);
        };
        if s.left.expiries == 0 {
            return;
        }
        late.left.expiries -= 1;
        late.runners[run].zombie = true;
        self.take(&late, i, "relay: finds a claim that has run out, its handler goes on", true, moves);
        if s.runners[run].phase == RunPhase::Running {
            drop_copy(&mut late, run);
            late.runners[run] = Runner::default();
            self.take(
                &late,
                i,
                "relay: finds a claim that has run out, its handler was dropped",
                true,
                moves,
            );
        }
    }

    fn take(&self, s: &State, i: usize, what: &'static str, fault: bool, moves: &mut Moves) {
        let mut t = *s;
        let details = [number(i), s.gate.map_or(0, |gate| gate.head), 0];
        let to = match self.apply(&mut t, Guard::Unguarded, &Input::Take) {
            Err(broken) => Err(broken),
            Ok(Reply::Taken(taken)) => {
                if s.left.unknowns > 0 {
                    let mut unknown = t;
                    unknown.left.unknowns -= 1;
                    moves.fault("relay: takes, and gets no answer", details, Ok(unknown));
                }
                self.taken(t, i, taken)
            }
            Ok(Reply::TakenParked(parked)) => self.taken_parked(t, i, &parked),
            Ok(_) => Ok(t),
        };
        if fault { moves.fault(what, details, to) } else { moves.go(what, details, to) }
    }

    fn taken(&self, mut t: State, i: usize, taken: ordered_consumer::gate::Taken) -> Result<State, Broken> {
        let (head, released) = (self.position(taken.head)?, self.position(taken.released)?);
        let attempts = u8::try_from(taken.attempts).unwrap_or(u8::MAX);
        let left = t.rows & through(released) & !through(head - 1);
        t.relays[i] = Relay { left, head, attempts, ..Relay::default() };
        Ok(t)
    }

    fn publish(&self, s: &State, i: usize, moves: &mut Moves) {
        let relay = s.relays[i];
        let event = lowest(relay.left);
        let attempts = if event == relay.head { relay.attempts } else { 0 };
        let mut t = *s;
        t.relays[i].left &= !bit(event);
        if t.relays[i].left == 0 {
            t.relays[i] = Relay::default();
        }
        if self.scope.way != Way::InProcess && usize::from(s.topic_len) < TOPIC_MAX {
            let mut t = t;
            t.topic[usize::from(s.topic_len)] = Copied { event, attempts, edited: has(s.edited, event) };
            t.topic_len += 1;
            moves.go("relay: publishes, with attempts", [number(i), event, attempts], Ok(t));
        }
        if self.scope.way != Way::Broker && !self.turn_is_taken(s, i) {
            // In its own process the head's success brings on the next one, so the rest of the window is let go.
            t.relays[i] = if self.scope.way == Way::InProcess { Relay::default() } else { t.relays[i] };
            let idle = (0..self.scope.runners).find(|run| s.runners[*run].phase == RunPhase::Idle);
            if let Some(run) = idle {
                let edited = has(s.edited, event);
                let asked =
                    Runner { event, attempt: attempts, edited, in_process: true, ..Runner::default() };
                self.claim(&t, run, asked, moves);
            }
        }
    }

    /// Only a mutant's: an event that waits for room keeps the turn that the in-process run needs.
    fn turn_is_taken(&self, s: &State, i: usize) -> bool {
        let main = s.mains[i];
        let waits = main.ownership == Ownership::Active && main.phase == MainPhase::Idle && main.cached;
        self.breaks(Mutant::WaitingEventKeepsTurn) && waits && main.next <= self.scope.events
    }
}

/// The copy is delivered again, to whoever asks next.
pub(crate) fn drop_copy(s: &mut State, run: usize) {
    if s.runners[run].has_copy {
        s.topic_taken = false;
        s.topic_next = 0;
    }
}
