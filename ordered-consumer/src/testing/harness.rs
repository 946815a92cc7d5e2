//! The way to test your own handlers under failure.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    BoxError, Event, GateQuery, GatedEntity, Handler, HandlerError, Limits, MemoryFailureLog, Operator,
    OrderedConsumer, RetryPolicy, RunError, Stats, StreamName,
    gate::State,
    in_memory_broker::{InMemoryBroker, NewEvent},
};

const TOPIC: &str = "events";
const NAME: &str = "test";
/// How often it is looked whether everything has come to rest, in tokio's time, which tests pause.
const LOOK: Duration = Duration::from_millis(5);

/// One run of the handler under test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The event's payload.
    pub payload: Bytes,
    /// Which attempt on the event it was, counted from 1.
    pub attempt: u32,
    /// Whether it succeeded.
    pub ok: bool,
}

/// Runs your handler behind a consumer, with a broker and a failure log in memory.
///
/// Pause tokio's clock (`#[tokio::test(start_paused = true)]`, tokio's feature `test-util`), and backoffs take no time.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// use std::time::Duration;
/// use ordered_consumer::{Event, RetryPolicy, testing::Harness};
///
/// async fn charge(event: Event) -> Result<(), std::io::Error> {
///     Ok(())
/// }
///
/// let policy = RetryPolicy::fixed(Duration::from_millis(1)).attempts_max(3);
/// let harness = Harness::start(charge, policy)?;
/// harness.fail_run("order-1", 1);          // the first run of any event of order-1 fails
/// harness.fail_always("order-2", "paid");  // this event never succeeds, so it parks
/// harness.send("order-1", "created")?;
/// harness.send("order-1", "paid")?;
/// harness.send("order-2", "paid")?;
/// harness.send("order-2", "shipped")?;
/// harness.come_to_rest().await?;
/// harness.assert_handled("order-1", ["created", "paid"]);
/// harness.assert_handled("order-2", [""; 0]);
/// harness.assert_parked(["order-2"]).await?;
/// # Ok(())
/// # }
/// ```
pub struct Harness {
    broker: InMemoryBroker,
    record: Arc<Record>,
    operator: Operator,
    stats: Box<dyn Fn() -> Stats + Send + Sync>,
    stopped: Box<dyn Fn() -> Vec<(StreamName, String)> + Send + Sync>,
    running: JoinHandle<Result<(), RunError>>,
}

/// What the handler did, and what it is made to fail at.
#[derive(Default)]
struct Record(Mutex<Recorded>);

#[derive(Default)]
struct Recorded {
    runs: BTreeMap<Bytes, Vec<Run>>,
    fail_runs: Vec<(Bytes, usize)>,
    fail_always: Vec<(Bytes, Bytes)>,
}

impl Record {
    fn lock(&self) -> MutexGuard<'_, Recorded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Your handler, watched.
struct Watched<H> {
    handler: H,
    record: Arc<Record>,
}

impl<H: Handler> Handler for Watched<H> {
    async fn handle(&self, event: Event) -> Result<(), HandlerError> {
        let payload = event.payload().cloned().unwrap_or_default();
        let (entity, attempt) = (event.entity().clone(), event.context().attempt);
        let injected = {
            let recorded = self.record.lock();
            let run = recorded.runs.get(&entity).map_or(0, Vec::len) + 1;
            recorded.fail_runs.contains(&(entity.clone(), run))
                || recorded.fail_always.contains(&(entity.clone(), payload.clone()))
        };
        let result = if injected {
            Err(HandlerError::from("made to fail by the test"))
        } else {
            self.handler.handle(event).await
        };
        let run = Run { payload, attempt, ok: result.is_ok() };
        self.record.lock().runs.entry(entity).or_default().push(run);
        result
    }
}

impl Harness {
    /// Starts a consumer around the handler; it stops when the harness is dropped.
    ///
    /// # Errors
    /// An error of the in-memory parts, which does not happen with sensible arguments.
    pub fn start(handler: impl Handler, policy: RetryPolicy) -> Result<Self, BoxError> {
        let (broker, record) = (InMemoryBroker::new(), Arc::<Record>::default());
        broker.create_topic(TOPIC, 1)?;
        let watched = Watched { handler, record: Arc::clone(&record) };
        let consumer = OrderedConsumer::new(NAME, watched, MemoryFailureLog::new())
            .with_retry_policy(policy)
            .with_limits(Limits { workers: 1, ..Limits::default() });
        let consumer = Arc::new(consumer);
        let operator = consumer.operator("test")?;
        let source = broker.subscribe(NAME, &[TOPIC])?;
        let (counted, asked) = (Arc::clone(&consumer), Arc::clone(&consumer));
        let running = tokio::spawn(async move { consumer.run(source).await });
        Ok(Self {
            broker,
            record,
            operator,
            stats: Box::new(move || counted.stats()),
            stopped: Box::new(move || asked.stopped_streams()),
            running,
        })
    }

    /// Makes the nth run (counted from 1, over all events of the entity) fail before the handler is called.
    pub fn fail_run(&self, entity: impl Into<Bytes>, nth: usize) {
        self.record.lock().fail_runs.push((entity.into(), nth));
    }

    /// Makes every run of the entity's events with this payload fail, until [`let_succeed`](Self::let_succeed).
    pub fn fail_always(&self, entity: impl Into<Bytes>, payload: impl Into<Bytes>) {
        self.record.lock().fail_always.push((entity.into(), payload.into()));
    }

    /// Ends what [`fail_always`](Self::fail_always) began for this entity.
    pub fn let_succeed(&self, entity: impl AsRef<[u8]>) {
        self.record.lock().fail_always.retain(|(failing, _)| failing != entity.as_ref());
    }

    /// Publishes an event of the entity.
    ///
    /// # Errors
    /// When the in-memory broker's limit on retained events is reached.
    pub fn send(&self, entity: impl Into<Bytes>, payload: impl Into<Bytes>) -> Result<(), BoxError> {
        self.broker.publish(TOPIC, entity, payload)?;
        Ok(())
    }

    /// Publishes an event with headers, id, type or time.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_event(&self, event: NewEvent) -> Result<(), BoxError> {
        self.broker.publish_event(TOPIC, event)?;
        Ok(())
    }

    /// Waits until every event is handled, or held by a parked entity.
    ///
    /// # Errors
    /// When the consumer has stopped, or a stream has, with why.
    pub async fn come_to_rest(&self) -> Result<(), BoxError> {
        loop {
            let totals = self.operator.totals().await?;
            if self.broker.lag(NAME) == 0 && totals.gated_entities == totals.parked_entities {
                return Ok(());
            }
            if let Some((stream, why)) = (self.stopped)().into_iter().next() {
                return Err(format!("stream {stream} has stopped: {why}").into());
            }
            if self.running.is_finished() {
                return Err("the consumer has stopped; see its log lines".into());
            }
            sleep(LOOK).await;
        }
    }

    /// The entity's runs so far, in the order in which they ended.
    #[must_use]
    pub fn runs(&self, entity: impl AsRef<[u8]>) -> Vec<Run> {
        self.record.lock().runs.get(entity.as_ref()).cloned().unwrap_or_default()
    }

    /// Asserts which of the entity's events were handled, in this order.
    ///
    /// # Panics
    /// When it is not so; the message shows the entity's runs.
    pub fn assert_handled<P: AsRef<[u8]>>(
        &self,
        entity: impl AsRef<[u8]>,
        payloads: impl IntoIterator<Item = P>,
    ) {
        let runs = self.runs(entity);
        let handled: Vec<&[u8]> = runs.iter().filter(|run| run.ok).map(|run| &*run.payload).collect();
        let expected: Vec<P> = payloads.into_iter().collect();
        let expected: Vec<&[u8]> = expected.iter().map(AsRef::as_ref).collect();
        assert!(handled == expected, "other events were handled, or in another order: {runs:?}");
    }

    /// Parked entities, in the order of their keys.
    ///
    /// # Errors
    /// None from the failure log in memory.
    pub async fn parked(&self) -> Result<Vec<GatedEntity>, BoxError> {
        let query = GateQuery { state: Some(State::Parked), limit: 1_000, ..GateQuery::default() };
        Ok(self.operator.list(&query).await?)
    }

    /// Asserts which entities are parked, and no other.
    ///
    /// # Errors
    /// As [`parked`](Self::parked).
    ///
    /// # Panics
    /// When it is not so.
    pub async fn assert_parked<E: Into<Bytes>>(
        &self,
        entities: impl IntoIterator<Item = E>,
    ) -> Result<(), BoxError> {
        let parked: Vec<Bytes> = self.parked().await?.into_iter().map(|entity| entity.key.entity).collect();
        let mut expected: Vec<Bytes> = entities.into_iter().map(Into::into).collect();
        expected.sort_unstable();
        assert!(
            parked == expected,
            "{} entities are parked, {} were expected, or others",
            parked.len(),
            expected.len()
        );
        Ok(())
    }

    /// What an operator can do with what is held: retry, skip, park, explain.
    #[must_use]
    pub fn operator(&self) -> &Operator {
        &self.operator
    }

    /// What the consumer has counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        (self.stats)()
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        self.running.abort();
    }
}
