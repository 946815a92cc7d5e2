//! What the relay takes when it looks for what is due.

use std::time::Duration;

use crate::{
    GateKey, Timestamp,
    gate::{Gate, ParkedHead, Reply, Taken},
};

/// A gate that the relay has taken.
#[derive(Clone, Debug)]
pub struct TakenGate {
    /// The gate.
    pub key: GateKey,
    /// What may be published.
    pub taken: Taken,
}

/// A parked gate that the relay has taken, to mirror its head and nothing else.
#[derive(Clone, Debug)]
pub struct TakenParked {
    /// The gate.
    pub key: GateKey,
    /// What is to be mirrored.
    pub head: ParkedHead,
}

/// What the relay found.
#[derive(Clone, Debug, Default)]
pub struct DueGates {
    /// Gates taken, the longest due first.
    pub taken: Vec<TakenGate>,
    /// Parked gates taken for the mirror: never to be run, nor published to the retry stream.
    pub to_mirror: Vec<TakenParked>,
    /// When the next gate falls due, as far as is known: none when no gate of the consumer has a due time.
    pub next_due_in: Option<Duration>,
    /// Gates that this look has parked, because the last run that they may have was lost.
    pub parked: Vec<GateKey>,
    /// For how long the longest due of what was found had been due, the mirror's aside: how far behind the relay is.
    pub overdue: Duration,
}

impl DueGates {
    /// Takes down what [`Take`](crate::gate::Input::Take) did to one gate, `before` which it was this.
    pub fn note(&mut self, key: GateKey, before: &Gate, reply: &Reply, now: Timestamp) {
        let parks = matches!(reply, Reply::TakenParked(_) | Reply::NotTaken { parked: Some(_) });
        if before.parked.is_none() {
            self.overdue = self.overdue.max(before.due_at.map_or(Duration::ZERO, |due_at| now.since(due_at)));
            if parks {
                self.parked.push(key.clone());
            }
        }
        if let Reply::Taken(taken) = reply {
            self.taken.push(TakenGate { key, taken: *taken });
        } else if let Reply::TakenParked(head) = reply {
            self.to_mirror.push(TakenParked { key, head: head.clone() });
        }
    }
}
