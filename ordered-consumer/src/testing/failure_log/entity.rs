//! One entity on the bench: what rules do to it, in a word each.

use std::{sync::Arc, time::Duration};

use super::bench::{Bench, sound};
use crate::{
    Answer, Event, EventBuilder, GateKey, GateQuery, Index, Request,
    gate::{
        Action, Arrival, ClaimToken, Failure, Gate, Grant, Guard, Input, Logged, Next, Operation, Reply,
        State, Verdict,
    },
};

/// Another attempt in a second.
pub(super) const RETRY: Next = Next::Retry(Duration::from_secs(1));

/// An entity, and a shorthand for each input.
pub(super) struct Entity<'b> {
    bench: &'b Bench,
    pub(super) key: GateKey,
}

impl<'b> Entity<'b> {
    pub(super) fn new(bench: &'b Bench, key: GateKey) -> Self {
        Self { bench, key }
    }

    pub(super) fn builder(&self, index: u128) -> EventBuilder {
        let event = Event::builder(self.key.stream.clone(), Index::new(index), self.key.entity.clone());
        event.id(format!("id {index}")).payload(format!("payload {index}"))
    }

    /// The event that belongs at this index.
    pub(super) fn event(&self, index: u128) -> Event {
        self.builder(index).build()
    }

    /// Another event at the same index.
    pub(super) fn impostor(&self, index: u128) -> Event {
        self.builder(index).payload("another payload").build()
    }

    pub(super) fn request(&self, input: Input) -> Request {
        Request { key: self.key.clone(), guard: Guard::Unguarded, input }
    }

    pub(super) async fn ask(&self, input: Input) -> Answer {
        self.ask_under(Guard::Unguarded, input).await
    }

    pub(super) async fn ask_under(&self, guard: Guard, input: Input) -> Answer {
        let request = Request { guard, ..self.request(input) };
        match self.bench.apply(&[request]).await.answers.pop() {
            Some(answer) => answer,
            None => panic!("one request has no answer"),
        }
    }

    pub(super) fn arrival(&self, indexes: &[u128]) -> Input {
        arrival(indexes.iter().map(|index| self.event(*index)))
    }

    /// The events at these indexes arrive together.
    pub(super) async fn arrive(&self, indexes: &[u128]) -> Vec<Verdict> {
        verdicts(self.ask(self.arrival(indexes)).await.reply)
    }

    pub(super) async fn arrive_as(&self, event: Event) -> Vec<Verdict> {
        verdicts(self.ask(arrival([event])).await.reply)
    }

    pub(super) fn failed(&self, index: u128) -> Input {
        failed(self.event(index), RETRY)
    }

    /// The handler failed on the event at this index, and it is to be tried again in a second.
    pub(super) async fn fail(&self, index: u128) -> Logged {
        self.fail_as(self.event(index), RETRY).await
    }

    pub(super) async fn fail_as(&self, event: Event, next: Next) -> Logged {
        let reply = self.ask(failed(event, next)).await.reply;
        let Reply::Logged(logged) = reply else { panic!("a failure is answered by {reply:?}") };
        logged
    }

    /// The first of these failed, and the others are held behind it.
    pub(super) async fn fill(&self, indexes: &[u128]) {
        let Some((head, behind)) = indexes.split_first() else { return };
        let logged = self.fail(*head).await;
        assert!(matches!(logged, Logged::Retrying { .. }), "the head is logged: {logged:?}");
        if !behind.is_empty() {
            assert_eq!(self.arrive(behind).await, vec![Verdict::Held; behind.len()]);
        }
    }

    pub(super) async fn claim(&self, index: u128, attempts: u32, token: u128) -> Answer {
        let token = ClaimToken::new(token);
        self.ask(Input::Claim { index: Index::new(index), attempts, token }).await
    }

    /// A claim that must be granted, and the event to run.
    pub(super) async fn run(&self, index: u128, attempts: u32, token: u128) -> (Grant, Event) {
        match self.claim(index, attempts, token).await {
            Answer { reply: Reply::Claimed(grant), event: Some(event) } => (grant, event),
            other => panic!("the claim on {index} is answered by {other:?}"),
        }
    }

    pub(super) async fn resolve(&self, token: u128, next: Option<u128>) -> Answer {
        let (token, next) = (ClaimToken::new(token), next.map(ClaimToken::new));
        self.ask(Input::Resolve { token, in_process: true, next, ignored: None }).await
    }

    /// Runs the head, which must be this one and untried, and resolves it.
    pub(super) async fn run_and_resolve(&self, index: u128, attempts: u32) {
        let token = index.wrapping_add(0xABCD);
        self.run(index, attempts, token).await;
        let reply = self.resolve(token, None).await.reply;
        assert!(matches!(reply, Reply::Resolved(_)), "a success under its claim counts: {reply:?}");
    }

    pub(super) async fn fail_again(&self, token: u128, next: Next) -> Reply {
        let failure = Failure::new("Second", "no again");
        self.ask(Input::FailAgain { token: ClaimToken::new(token), failure, next }).await.reply
    }

    pub(super) async fn give_back(&self, token: u128) -> Reply {
        let after = Duration::from_secs(2);
        self.ask(Input::GiveBack { token: ClaimToken::new(token), after }).await.reply
    }

    pub(super) async fn renew(&self, token: u128) -> Reply {
        self.ask(Input::Renew { token: ClaimToken::new(token) }).await.reply
    }

    /// The entity's gate, as people see it.
    pub(super) async fn gate(&self) -> Option<Gate> {
        let query = |state| GateQuery {
            stream: Some(self.key.stream.clone()),
            entity: Some(self.key.entity.clone()),
            state,
            limit: 2,
            ..GateQuery::default()
        };
        let mut found = Vec::new();
        for state in [None, Some(State::Cleared)] {
            found.extend(sound(self.bench.log.list(&self.bench.consumer, &query(state)).await));
        }
        assert!(found.len() <= 1, "an entity of a stream has one gate");
        let found = found.pop()?;
        assert_eq!(found.key, self.key, "the gate is the one that was asked for");
        Some(found.gate)
    }

    /// The entity's gate, which it must have.
    pub(super) async fn the_gate(&self) -> Gate {
        self.gate().await.unwrap_or_else(|| panic!("the entity has no gate"))
    }

    /// An action by somebody who has just looked.
    pub(super) async fn operation(&self, action: Action) -> Operation {
        let gate = self.gate().await.unwrap_or_default();
        Operation {
            action,
            index: gate.head,
            version: gate.version,
            by: Arc::from("ann"),
            why: Arc::from("because"),
            request_id: None,
        }
    }

    pub(super) async fn operate(&self, action: Action) -> Reply {
        let operation = self.operation(action).await;
        self.operate_as(operation).await
    }

    pub(super) async fn operate_as(&self, operation: Operation) -> Reply {
        self.ask(Input::Operate(operation)).await.reply
    }

    /// An action that must be carried out.
    pub(super) async fn operated(&self, action: Action) {
        let reply = self.operate(action).await;
        assert!(matches!(reply, Reply::Operated { .. }), "the operator's action is carried out: {reply:?}");
    }

    /// Every event of the entity in the log.
    pub(super) async fn events(&self) -> Vec<Event> {
        let (log, consumer) = (&self.bench.log, &self.bench.consumer);
        let all = (Index::MIN, Index::MAX);
        sound(log.held_events(consumer, &self.key, all, 10_000, u64::MAX).await)
    }

    /// Where they are.
    pub(super) async fn logged(&self) -> Vec<u128> {
        self.events().await.iter().map(|event| event.index().get()).collect()
    }
}

pub(super) fn arrival(events: impl IntoIterator<Item = Event>) -> Input {
    let arrival = |event| Arrival { event, suspect: false };
    Input::Arrive { events: events.into_iter().map(arrival).collect() }
}

pub(super) fn failed(event: Event, next: Next) -> Input {
    Input::Fail { event, attempts: 1, failure: Failure::new("First", "no"), next }
}

pub(super) fn verdicts(reply: Reply) -> Vec<Verdict> {
    let Reply::Arrived(verdicts) = &reply else { panic!("an arrival is answered by {reply:?}") };
    verdicts.clone()
}

/// Whether two events are the same in everything that a log keeps.
pub(super) fn assert_same_event(found: &Event, expected: &Event) {
    assert_eq!(found.stream(), expected.stream(), "the stream");
    assert_eq!(found.index(), expected.index(), "the index");
    assert_eq!(found.entity(), expected.entity(), "the entity");
    assert_eq!(found.id(), expected.id(), "the id");
    assert_eq!(found.event_type(), expected.event_type(), "the type");
    assert_eq!(found.payload(), expected.payload(), "the payload");
    assert_eq!(found.time(), expected.time(), "the time");
    let headers = |event: &Event| -> Vec<_> {
        event.headers().iter().map(|(name, value)| (name.clone(), value.cloned())).collect()
    };
    assert_eq!(headers(found), headers(expected), "the headers, in order and with repeats");
}
