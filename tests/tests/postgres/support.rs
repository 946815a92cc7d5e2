//! Short ways to say what the tests do.

use std::time::Duration;

use bytes::Bytes;
use ordered_consumer::{
    Answers, ConsumerName, Event, FailureLog, FailureLogError, GateKey, Index, PostgresFailureLog, Request,
    StreamName,
    gate::{Arrival, ClaimToken, Failure, Guard, Input, Next, Reply, Settings, TakeOver},
};

pub(crate) fn settings() -> Settings {
    Settings {
        release_window: 4,
        redelivery_timeout: Duration::from_secs(30),
        claim_timeout: Duration::from_secs(60),
        attempts_max: 50,
        held_events_max: 1_000_000,
        held_bytes_max: 1 << 40,
        mirror_parked: false,
    }
}

pub(crate) fn consumer() -> ConsumerName {
    ConsumerName::new("billing").unwrap()
}

pub(crate) fn stream() -> StreamName {
    StreamName::new("orders/0").unwrap()
}

pub(crate) fn key(entity: impl Into<Bytes>) -> GateKey {
    GateKey { stream: stream(), entity: entity.into() }
}

pub(crate) fn event(entity: impl Into<Bytes>, index: u128) -> Event {
    Event::builder(stream(), Index::new(index), entity).payload(format!("payload {index}")).build()
}

pub(crate) fn request(event: &Event, input: Input) -> Request {
    let key = GateKey { stream: event.stream().clone(), entity: event.entity().clone() };
    Request { key, guard: Guard::Unguarded, input }
}

/// The event failed, and is due at once.
pub(crate) fn fail(entity: impl Into<Bytes>, index: u128) -> Request {
    let event = event(entity, index);
    let failure = Failure::new("Error", "it did not work");
    let next = Next::Retry(Duration::ZERO);
    request(&event.clone(), Input::Fail { event, attempts: 1, failure, next })
}

pub(crate) fn arrive(entity: impl Into<Bytes>, index: u128) -> Request {
    let event = event(entity, index);
    request(&event.clone(), Input::Arrive { events: vec![Arrival { event, suspect: false }] })
}

pub(crate) fn claim(entity: impl Into<Bytes>, index: u128, attempts: u32, token: u128) -> Request {
    let input = Input::Claim { index: Index::new(index), attempts, token: ClaimToken::new(token) };
    Request { key: key(entity), guard: Guard::Unguarded, input }
}

pub(crate) fn owned(request: Request, generation: u64) -> Request {
    Request { guard: Guard::Owned { generation }, ..request }
}

pub(crate) fn asked(seen_generation: u64) -> TakeOver {
    TakeOver { seen_generation, identity: None, position: None, uncommitted_max: 10 }
}

pub(crate) async fn try_apply(
    log: &PostgresFailureLog,
    requests: &[Request],
) -> Result<Answers, FailureLogError> {
    log.apply(&consumer(), &settings(), requests).await
}

pub(crate) async fn apply(log: &PostgresFailureLog, requests: &[Request]) -> Answers {
    try_apply(log, requests).await.unwrap()
}

pub(crate) async fn one(log: &PostgresFailureLog, request: Request) -> Reply {
    apply(log, &[request]).await.answers.remove(0).reply
}

/// The indexes of the entity's events in the log.
pub(crate) async fn held(log: &PostgresFailureLog, entity: impl Into<Bytes>) -> Vec<u128> {
    let all = (Index::MIN, Index::MAX);
    let events = log.held_events(&consumer(), &key(entity), all, 1_000_000, u64::MAX).await.unwrap();
    events.iter().map(|event| event.index().get()).collect()
}
