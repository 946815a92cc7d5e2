//! The smallest failure log there can be: one gate and its rows.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test's helper fails by panicking on whatever it does not expect"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ordered_consumer::{
    Digest, Event, Index, StreamName, Timestamp,
    gate::{
        Action, Arrival, ClaimToken, Failure, Gate, Guard, Input, Logged, LoggedAt, Moment, Next, Operation,
        OperatorRefusal, Reply, Rows, Settings, Step, Verdict, step,
    },
};

pub(crate) fn index(at: u128) -> Index {
    Index::new(at)
}

pub(crate) fn token(token: u128) -> ClaimToken {
    ClaimToken::new(token)
}

pub(crate) fn failure() -> Failure {
    Failure::new("Error", "it failed")
}

pub(crate) fn event(at: u128) -> Event {
    event_with(at, "payload")
}

pub(crate) fn event_with(at: u128, payload: &'static str) -> Event {
    let stream = StreamName::new("s").expect("a legal name");
    Event::builder(stream, index(at), "entity").payload(payload).build()
}

pub(crate) fn settings() -> Settings {
    Settings {
        release_window: 2,
        redelivery_timeout: Duration::from_secs(10),
        claim_timeout: Duration::from_secs(30),
        attempts_max: 100,
        held_events_max: 100,
        held_bytes_max: 10_000,
        mirror_parked: false,
    }
}

/// Writes what steps say, as a store does.
pub(crate) struct Log {
    pub(crate) gate: Option<Gate>,
    pub(crate) rows: BTreeMap<Index, Event>,
    pub(crate) now: Timestamp,
    pub(crate) earlier_outcome: Option<Result<u64, OperatorRefusal>>,
    conflicts: BTreeSet<(Index, [u8; 16])>,
    pub(crate) settings: Settings,
    version: u64,
}

impl Default for Log {
    fn default() -> Self {
        Self::new(settings())
    }
}

impl Log {
    pub(crate) fn new(settings: Settings) -> Self {
        let now = Timestamp::from_micros(1_000_000);
        let (rows, conflicts) = (BTreeMap::new(), BTreeSet::new());
        Self { gate: None, rows, now, earlier_outcome: None, conflicts, settings, version: 0 }
    }

    pub(crate) fn gate(&self) -> Gate {
        self.gate.clone().expect("there is a gate")
    }

    pub(crate) fn later(&mut self, after: Duration) {
        self.now = self.now.plus(after);
    }

    pub(crate) fn step(&mut self, input: &Input) -> Step {
        self.step_as(Guard::Unguarded, input)
    }

    pub(crate) fn step_as(&mut self, guard: Guard, input: &Input) -> Step {
        self.version += 1;
        let rows = self.rows_for(input);
        let moment = Moment { now: self.now, version: self.version, settings: &self.settings };
        let step = step(self.gate.clone(), &rows, None, &guard, input, &moment);
        let given = |place: &usize| match input {
            Input::Arrive { events } => events[*place].event.clone(),
            Input::Fail { event, .. } => event.clone(),
            other => panic!("{other:?} inserts nothing"),
        };
        for event in step.insert.iter().map(given) {
            assert!(self.rows.insert(event.index(), event).is_none(), "a row is written once");
        }
        for event in step.insert_conflicts.iter().map(given) {
            assert!(self.conflicts.insert(at(&event, event.digest())), "a conflict is kept once");
        }
        if let Some((index, digest)) = step.delete_conflicts {
            let named =
                |(at, of): &(Index, [u8; 16])| *at == index && digest.is_none_or(|d| d.to_bytes() == *of);
            self.conflicts.retain(|conflict| !named(conflict));
        }
        if let Some(through) = step.delete_through {
            self.rows.retain(|index, _| *index > through);
        }
        self.gate = step.gate.clone();
        step
    }

    fn rows_for(&self, input: &Input) -> Rows {
        let logged = |event: &Event| {
            let conflict_known = self.conflicts.contains(&at(event, event.digest()));
            let row = self.rows.get(&event.index())?;
            Some(LoggedAt { digest: row.digest(), conflict_known })
        };
        let mut rows = Rows { earlier_outcome: self.earlier_outcome, ..Rows::default() };
        if let Input::Arrive { events } = input {
            rows.logged = events.iter().map(|arrival| logged(&arrival.event)).collect();
        }
        if let Input::Fail { event, .. } = input {
            rows.logged = vec![logged(event)];
        }
        if let Input::Operate(Operation { action: Action::VoidConflict { index, digest }, .. }) = input {
            let named =
                |(at, of): &&(Index, [u8; 16])| *at == *index && digest.is_none_or(|d| d.to_bytes() == *of);
            rows.conflicts_named = u32::try_from(self.conflicts.iter().filter(named).count()).expect("few");
        }
        let Some(bound) = self.gate.as_ref().and_then(|gate| input.bound(gate)) else { return rows };
        let (passed, above): (Vec<_>, Vec<_>) = self.rows.iter().partition(|(index, _)| **index <= bound);
        rows.passed_events = passed.len() as u64;
        rows.passed_bytes = passed.iter().map(|(_, event)| event.size() as u64).sum();
        rows.passed_last = passed.last().map(|(index, _)| **index);
        rows.next = above.first().map(|(index, _)| **index);
        rows.window_end =
            above.iter().take(self.settings.release_window as usize).next_back().map(|(index, _)| **index);
        rows
    }

    pub(crate) fn arrive(&mut self, indexes: &[u128]) -> Vec<Verdict> {
        let events = indexes.iter().map(|at| Arrival { event: event(*at), suspect: false }).collect();
        match self.step(&Input::Arrive { events }).reply {
            Reply::Arrived(verdicts) => verdicts,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn fail(&mut self, at: u128, attempts: u32, next: Next) -> Logged {
        let fail = Input::Fail { event: event(at), attempts, failure: failure(), next };
        match self.step(&fail).reply {
            Reply::Logged(logged) => logged,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn claim(&mut self, at: u128, attempts: u32, by: u128) -> Reply {
        self.step(&Input::Claim { index: index(at), attempts, token: token(by) }).reply
    }

    pub(crate) fn resolve(&mut self, by: u128, next: Option<u128>) -> Reply {
        let next = next.map(token);
        self.step(&Input::Resolve { token: token(by), in_process: true, next, ignored: None }).reply
    }

    /// The operation of somebody who looks at the gate now.
    pub(crate) fn operation(&self, action: Action) -> Input {
        let gate = self.gate.clone().unwrap_or_default();
        let (index, version) = (gate.head, gate.version);
        let (by, why) = ("me".into(), "because".into());
        Input::Operate(Operation { action, index, version, by, why, request_id: Some("r".into()) })
    }

    pub(crate) fn operate(&mut self, action: Action) -> Result<u64, OperatorRefusal> {
        match self.step(&self.operation(action)).reply {
            Reply::Operated { version } => Ok(version),
            Reply::OperatorRefused(refusal) => Err(refusal),
            other => panic!("{other:?}"),
        }
    }
}

fn at(event: &Event, digest: Digest) -> (Index, [u8; 16]) {
    (event.index(), digest.to_bytes())
}
