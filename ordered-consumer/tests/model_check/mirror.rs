//! The mirror of parked events: the relay publishes the head of a parked gate, and tells the log.

use ordered_consumer::gate::{Gate, Guard, Input, ParkedHead, Reply};

use crate::{
    model::{Model, VERSION, VERSION_PAST},
    moves::{Broken, Moves, Promise},
    owned::number,
    state::{Mirroring, Relay, SmallGate, State},
};

impl Model {
    pub(crate) fn taken_parked(&self, mut t: State, i: usize, parked: &ParkedHead) -> Result<State, Broken> {
        let head = self.position(parked.index)?;
        t.relays[i] = Relay { head, mirroring: Mirroring::ToPublish, fresh: true, ..Relay::default() };
        Ok(t)
    }

    pub(crate) fn mirror_moves(&self, s: &State, i: usize, moves: &mut Moves) {
        let relay = s.relays[i];
        let details = [number(i), relay.head, 0];
        let mut t = *s;
        match relay.mirroring {
            Mirroring::No => {}
            Mirroring::ToPublish => {
                // What was taken before the gate changed says nothing about what it is now.
                t.mirrored |= relay.fresh;
                t.relays[i].mirroring = Mirroring::ToTell;
                moves.go("relay: publishes to the mirror", details, Ok(t));
                if s.left.mirror_faults > 0 {
                    let mut away = *s;
                    away.left.mirror_faults -= 1;
                    away.relays[i] = Relay::default();
                    moves.fault("relay: the mirror is away", details, Ok(away));
                    away.mirrored |= relay.fresh;
                    moves.fault("relay: publishes to the mirror, and gets no answer", details, Ok(away));
                }
            }
            Mirroring::ToTell => {
                let version = if relay.fresh { VERSION } else { VERSION_PAST };
                let input = Input::Mirrored { index: self.index(relay.head), version, refused: None };
                let to = self.apply(&mut t, Guard::Unguarded, &input).map(|reply| {
                    let unknown =
                        (s.left.unknowns > 0 && reply == Reply::Mirrored { counts: true }).then(|| {
                            let mut unknown = t;
                            unknown.left.unknowns -= 1;
                            unknown
                        });
                    t.relays[i] = Relay::default();
                    (t, unknown)
                });
                match to {
                    Err(broken) => moves.go("relay: tells that it is mirrored", details, Err(broken)),
                    Ok((t, unknown)) => {
                        moves.go("relay: tells that it is mirrored", details, Ok(t));
                        if let Some(unknown) = unknown {
                            moves.fault("relay: tells, and gets no answer", details, Ok(unknown));
                        }
                    }
                }
            }
        }
    }

    /// A parked head is due for the mirror until the mirror has it; whatever un-parks it, or makes it another park,
    /// makes the mirror's copy one of something else.
    pub(crate) fn mirrors(
        &self,
        s: &mut State,
        before: Option<SmallGate>,
        after: Option<&Gate>,
    ) -> Result<(), Broken> {
        if !self.scope.mirror {
            return Ok(());
        }
        let park = |gate: Option<SmallGate>| gate.and_then(|gate| Some((gate.head, gate.parked?)));
        let is_same = park(before) == park(s.gate);
        s.mirrored &= is_same;
        let waits = after.is_some_and(|gate| {
            gate.parked.is_some() && gate.head.is_some() && gate.claim.is_none() && gate.due_at.is_none()
        });
        if waits && !s.mirrored {
            let why = format!("the head is parked, and nobody will ever mirror it: {:?}", s.gate);
            return Err(Broken::new(Promise::Mirrored, why));
        }
        Ok(())
    }
}
