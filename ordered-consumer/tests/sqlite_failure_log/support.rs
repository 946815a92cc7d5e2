//! Short ways to say what the tests do.

use std::time::Duration;

use bytes::Bytes;
use ordered_consumer::{
    Answers, Clock, ConsumerName, Event, FailureLog, GateKey, GateQuery, GatedEntity, Index, Request,
    SqliteFailureLog, StreamName, Timestamp,
    gate::{Arrival, ClaimToken, Failure, Guard, Input, Next, Reply, Settings},
};

pub(crate) const START: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

pub(crate) fn settings() -> Settings {
    Settings {
        release_window: 4,
        redelivery_timeout: Duration::from_secs(30),
        claim_timeout: Duration::from_secs(60),
        attempts_max: 5,
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

pub(crate) fn fail(event: Event) -> Request {
    let failure = Failure::new("Error", "it did not work");
    let next = Next::Retry(Duration::from_secs(1));
    request(&event.clone(), Input::Fail { event, attempts: 1, failure, next })
}

pub(crate) fn arrive(event: Event) -> Request {
    request(&event.clone(), Input::Arrive { events: vec![Arrival { event, suspect: false }] })
}

pub(crate) fn claim(entity: &'static str, index: u128, attempts: u32, token: u128) -> Request {
    let input = Input::Claim { index: Index::new(index), attempts, token: ClaimToken::new(token) };
    Request { key: key(entity), guard: Guard::Unguarded, input }
}

pub(crate) async fn apply(log: &SqliteFailureLog, requests: &[Request]) -> Answers {
    log.apply(&consumer(), &settings(), requests).await.unwrap()
}

pub(crate) async fn one(log: &SqliteFailureLog, request: Request) -> Reply {
    apply(log, &[request]).await.answers.remove(0).reply
}

pub(crate) async fn held(log: &SqliteFailureLog, entity: impl Into<Bytes>) -> Vec<Event> {
    let all = (Index::MIN, Index::MAX);
    log.held_events(&consumer(), &key(entity), all, 1_000_000, u64::MAX).await.unwrap()
}

/// Every gate that is not cleared.
pub(crate) async fn listed(log: &SqliteFailureLog) -> Vec<GatedEntity> {
    let query = GateQuery { limit: 1_000, ..GateQuery::default() };
    log.list(&consumer(), &query).await.unwrap()
}

pub(crate) fn indexes(events: &[Event]) -> Vec<u128> {
    events.iter().map(|event| event.index().get()).collect()
}

/// A log in a directory that lasts as long as the test.
pub(crate) struct Bench {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) clock: Clock,
    pub(crate) log: SqliteFailureLog,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::manual(START);
        let log = SqliteFailureLog::open(directory.path().join("failures.db")).await.unwrap();
        Self { log: log.with_clock(clock.clone()), directory, clock }
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("failures.db")
    }

    /// Another log on the same file, as another process has.
    pub(crate) async fn another(&self) -> SqliteFailureLog {
        SqliteFailureLog::open(self.path()).await.unwrap().with_clock(self.clock.clone())
    }

    /// A connection to the file that knows nothing of the log.
    pub(crate) async fn stranger(&self) -> sqlx::SqliteConnection {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.path());
        sqlx::ConnectOptions::connect(&options).await.unwrap()
    }
}
