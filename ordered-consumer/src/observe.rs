//! In front of an existing handler: nothing changes, and what would have been held is reported.

mod ledger;
mod report;
mod run;

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use self::ledger::{Ledger, Ran};
pub use self::report::{ObserveReport, ObservedStream};
use crate::{
    Clock, ConsumerName, Event, Handler, HandlerError, NameError, OrderedConsumer, RetryPolicy,
    TelemetryOptions,
};

/// Entities that are remembered unless it is said otherwise.
const ENTITIES_MAX: usize = 100_000;

/// An existing handler, observed: every event runs, as it always did, errors pass through, nothing is held, and nothing
/// is written anywhere. What an [`OrderedConsumer`] *would* have held, and for how long, is
/// [reported](Observer::report), in metrics and in numbers. Made by [`OrderedConsumer::observe_only`].
///
/// It is a [`Handler`] itself: put it where the handler was, in a loop of your own or anywhere else.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use ordered_consumer::{Event, Handler, Index, OrderedConsumer, StreamName};
/// # async fn charge(event: Event) -> Result<(), String> {
/// #     if event.index().get() == 1 { Err("no".to_owned()) } else { Ok(()) }
/// # }
/// let observed = OrderedConsumer::observe_only("billing", charge);
/// let observer = observed.observer();
/// // Your loop, as it is:
/// for index in 1..=3 {
///     let event = Event::builder(StreamName::new("orders/0")?, Index::new(index), "order-1").build();
///     if let Err(error) = observed.handle(event).await {
///         println!("{error}");
///     }
/// }
/// let report = observer.report();
/// assert_eq!((report.total().failed, report.total().would_hold), (1, 2));
/// println!("{report}");
/// # Ok(())
/// # }
/// ```
///
/// # What it reckons
///
/// An entity would be *gated* from its event's failure on. Later events of it that begin before the gate would be gone
/// *would be held*: they overtake. When it would be gone is an estimate: the failed event is taken to succeed at the first
/// attempt, by the [retry policy](Self::with_retry_policy), after any run of its entity has succeeded; until none has, it
/// would be tried again and again, and parked in the end. If your loop tries the failed event again itself, its success
/// counts at once for an entity that would be parked.
///
/// # Safe in production
///
/// Memory is bounded: entities that failed are remembered, 100,000 unless [`entities_max`](Self::entities_max) says
/// otherwise, by 16 bytes of hash and not by key; the one unheard of for longest is forgotten, and counted. While nothing
/// has failed, an event costs a look at one number and a count.
pub struct ObserveOnly<H> {
    handler: H,
    observer: Observer,
}

/// A handle on what is observed. Clones are the same.
#[derive(Clone)]
pub struct Observer {
    observed: Arc<Observed>,
}

struct Observed {
    name: Result<ConsumerName, NameError>,
    policy: RetryPolicy,
    clock: Clock,
    entities_max: usize,
    telemetry: TelemetryOptions,
    /// Made with the first event, because whoever records metrics must have been installed by then.
    ledger: OnceLock<Option<Ledger>>,
}

impl<H: Handler> OrderedConsumer<H> {
    /// Puts an observer in front of an existing handler: nothing changes, and what would have been held is reported. It
    /// needs no failure log, and leaves nothing behind. See [`ObserveOnly`].
    pub fn observe_only(name: impl AsRef<str>, handler: H) -> ObserveOnly<H> {
        let observed = Observed {
            name: ConsumerName::new(name),
            policy: RetryPolicy::default(),
            clock: Clock::system(),
            entities_max: ENTITIES_MAX,
            telemetry: TelemetryOptions::default(),
            ledger: OnceLock::new(),
        };
        ObserveOnly { handler, observer: Observer { observed: Arc::new(observed) } }
    }
}

impl<H: Handler> ObserveOnly<H> {
    fn changed(mut self, change: impl FnOnce(&mut Observed)) -> Self {
        // Once somebody else has a handle, what is observed is settled.
        if let Some(observed) = Arc::get_mut(&mut self.observer.observed) {
            change(observed);
        }
        self
    }

    /// The policy by which failed events would be tried again. Set before [`observer`](Self::observer) is called.
    #[must_use]
    pub fn with_retry_policy(self, policy: RetryPolicy) -> Self {
        self.changed(|observed| observed.policy = policy)
    }

    /// The clock to go by: the system's, unless a test or a replay brings its own. Set before
    /// [`observer`](Self::observer) is called.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        self.changed(|observed| observed.clock = clock)
    }

    /// How many entities that have failed are remembered, 1 or more. Set before [`observer`](Self::observer) is called.
    #[must_use]
    pub fn entities_max(self, entities: usize) -> Self {
        self.changed(|observed| observed.entities_max = entities.max(1))
    }

    /// What metrics tell. Set before [`observer`](Self::observer) is called.
    #[must_use]
    pub fn with_telemetry(self, telemetry: TelemetryOptions) -> Self {
        self.changed(|observed| observed.telemetry = telemetry)
    }

    /// A handle on what is observed, to keep beside the loop.
    #[must_use]
    pub fn observer(&self) -> Observer {
        self.observer.clone()
    }
}

// Left out of the compiler's advice, so that it keeps to what is wrong with the function.
#[diagnostic::do_not_recommend]
impl<H: Handler> Handler for ObserveOnly<H> {
    /// Runs the handler and returns what it returns.
    async fn handle(&self, event: Event) -> Result<(), HandlerError> {
        let Some(ledger) = self.observer.observed.ledger() else { return self.handler.handle(event).await };
        ledger.begins(&event);
        let place = event.clone();
        let done = self.handler.handle(event).await;
        let ran = match &done {
            Ok(()) => Ran::Succeeded,
            Err(error) => Ran::Failed(ledger.kind_of(error)),
        };
        ledger.ended(&place, ran);
        done
    }
}

impl Observed {
    /// None when the name cannot be used, or the system has no random numbers: then nothing is observed, and the handler
    /// goes on undisturbed.
    fn ledger(&self) -> Option<&Ledger> {
        let made = self.ledger.get_or_init(|| {
            let mut random = [0; 16];
            let (Ok(name), Ok(())) = (&self.name, getrandom::fill(&mut random)) else {
                tracing::warn!("the observer's name cannot be used, or there are no random numbers: nothing is observed");
                return None;
            };
            tracing::info!(consumer = %name, retries = %self.policy, entities_max = self.entities_max, "an observer looks on; nothing is held and nothing written");
            Some(Ledger::new(name, self.policy.clone(), self.clock.clone(), self.entities_max, (u128::from_le_bytes(random), self.telemetry.clone())))
        });
        made.as_ref()
    }
}

impl Observer {
    /// What has been seen so far, and what would have been held by now.
    #[must_use]
    pub fn report(&self) -> ObserveReport {
        self.observed.ledger.get().and_then(Option::as_ref).map(Ledger::report).unwrap_or_default()
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").field("name", &self.observed.name).finish_non_exhaustive()
    }
}

impl<H> fmt::Debug for ObserveOnly<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObserveOnly").field("observer", &self.observer).finish_non_exhaustive()
    }
}
