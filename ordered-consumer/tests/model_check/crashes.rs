//! Processes die: by chance, or of an event.

use crate::{
    model::Model,
    moves::{Broken, Moves, Promise},
    owned::{late_failure, number},
    relay::drop_copy,
    runs::late_result,
    state::{DEAD, Main, MainPhase, Ownership, Relay, RunPhase, Runner, State},
};

impl Model {
    /// An event has killed its process: once on the main stream, and then once for each attempt, but not more often.
    pub(crate) fn kill(&self, s: &State, i: usize) -> Result<State, Broken> {
        let mut t = *s;
        t.kills += 1;
        if t.kills > self.scope.attempts_max + 1 {
            let why =
                format!("killed {} processes, with {} attempts allowed", t.kills, self.scope.attempts_max);
            return Err(Broken::new(Promise::CrashLoop, why));
        }
        Ok(self.crash(&t, i))
    }

    fn crash(&self, s: &State, i: usize) -> State {
        let mut t = *s;
        let main = s.mains[i];
        let late_fail = main.phase == MainPhase::Failed && !(self.scope.shared && main.expired);
        let late = if late_fail { Some(late_failure(&main)) } else { late_result(&s.runners[i]) };
        t.late = s.late.or(late);
        t.mains[i] = Main::default();
        if self.scope.shared {
            t.in_flight.iter_mut().filter(|taker| **taker == number(i) + 1).for_each(|taker| *taker = DEAD);
        } else if usize::from(s.owner) == i {
            t.mains[i].ownership = Ownership::Assigned;
        }
        if s.runners[i].phase != RunPhase::Idle {
            drop_copy(&mut t, i);
        }
        t.runners[i] = Runner::default();
        t.relays[i] = Relay::default();
        t
    }

    pub(crate) fn crash_moves(&self, s: &State, moves: &mut Moves) {
        if s.left.crashes == 0 {
            return;
        }
        for i in 0..2 {
            let main = s.mains[i];
            let untold = main.ownership == Ownership::Active && s.committed < main.next;
            let busy = main.phase != MainPhase::Idle
                || s.runners[i].phase != RunPhase::Idle
                || s.relays[i] != Relay::default()
                || (untold && usize::from(s.owner) == i)
                || main.received | main.to_delete != 0;
            if busy {
                let mut t = *s;
                t.left.crashes -= 1;
                moves.fault("a process crashes", [number(i), 0, 0], Ok(self.crash(&t, i)));
            }
        }
    }
}
