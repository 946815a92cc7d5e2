//! A failure log that fails when it is told to, and counts its calls.

mod calls;
mod delegate;
mod plan;

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use self::{calls::Method, plan::Plan};
use super::cancelled::{cancelled_at_poll, yields};
use crate::{FailureLog, FailureLogError};

pub use self::calls::Calls;

/// How a call to a [`FaultyFailureLog`] goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogFault {
    /// The store cannot be reached: nothing is written, and the call fails as
    /// [`Unavailable`](FailureLogError::Unavailable).
    Unavailable,
    /// The connection is lost before the write: nothing is written, but the caller cannot know that
    /// ([`OutcomeUnknown`](FailureLogError::OutcomeUnknown)). A call that only reads is unavailable instead.
    UnknownUnwritten,
    /// The connection is lost after the write, while the outcome is reported. A call that only reads is unavailable
    /// instead.
    UnknownWritten,
    /// The call waits before the write until [`FaultyFailureLog::unstall`] lets it go on.
    StallsUnwritten,
    /// The call waits after the write, before it returns, until [`FaultyFailureLog::unstall`] lets it go on.
    StallsWritten,
    /// The call is dropped when it is pending for this time, counted from 1, and the caller is told that the outcome is
    /// unknown. A call that only reads is unavailable instead, and one that is ready before says what it has to say.
    /// Beside [`FaultyFailureLog::slow`], which makes a call wait at known places.
    DroppedAt(u32),
}

/// A failure log around another one, which fails by a plan and counts its calls. Clones share plan and counts.
///
/// Without a plan it is the log that it is around. Dropping a call that stalls leaves what was written, or was not.
///
/// ```
/// # use ordered_consumer::{ConsumerName, FailureLog, MemoryFailureLog};
/// # use ordered_consumer::testing::{FaultyFailureLog, LogFault};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let log = FaultyFailureLog::new(MemoryFailureLog::new());
/// let consumer = ConsumerName::new("billing")?;
/// log.fail_next(1, LogFault::Unavailable);
/// assert!(log.totals(&consumer).await.is_err());
/// assert!(log.totals(&consumer).await.is_ok());
/// assert_eq!(log.calls().totals, 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct FaultyFailureLog<L> {
    log: L,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// How often stalled calls were let go on, and whether every call stalls.
    gate: watch::Sender<StallGate>,
    /// How many calls wait at this moment.
    stalled: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    plan: Plan,
    calls: Calls,
    slow: Slow,
    drops_each_at: Option<u32>,
}

/// How often each call is pending, before and after what it does.
#[derive(Clone, Copy, Debug, Default)]
struct Slow {
    before: u32,
    after: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct StallGate {
    opened: u64,
    closed: bool,
}

impl<L> FaultyFailureLog<L> {
    /// A log without faults yet.
    #[must_use]
    pub fn new(log: L) -> Self {
        let shared = Shared {
            state: Mutex::default(),
            gate: watch::Sender::new(StallGate::default()),
            stalled: watch::Sender::new(0),
        };
        Self { log, shared: Arc::new(shared) }
    }

    /// The log that this one is around, which has no faults.
    pub const fn inner(&self) -> &L {
        &self.log
    }

    /// The next `calls` calls, of whatever method, go wrong in this way; after those that were planned already.
    pub fn fail_next(&self, calls: usize, fault: LogFault) {
        self.script(std::iter::repeat_n(Some(fault), calls));
    }

    /// The call after `calls` sound ones goes wrong in this way; counted after those that were planned already.
    pub fn fail_after(&self, calls: usize, fault: LogFault) {
        self.script(std::iter::repeat_n(None, calls).chain([Some(fault)]));
    }

    /// What happens to the next calls, one after another, of whatever method; none: nothing. After those that were
    /// planned already.
    pub fn script(&self, faults: impl IntoIterator<Item = Option<LogFault>>) {
        self.state().plan.script(faults);
    }

    /// Once the script has ended, one call in `one_in` goes wrong, in one of these ways, by this seed. Zero for
    /// `one_in`, or no ways, is never.
    pub fn fail_randomly(&self, seed: u64, one_in: u64, ways: &[LogFault]) {
        self.state().plan.random(seed, one_in, ways);
    }

    /// Forgets what was planned. Calls that stall go on stalling.
    pub fn recover(&self) {
        self.state().plan = Plan::default();
    }

    /// From now on every call waits before it does anything, until [`unstall`](Self::unstall).
    pub fn stall(&self) {
        self.shared.gate.send_modify(|gate| gate.closed = true);
    }

    /// Lets every call go on that waits, for whatever reason, and those to come.
    pub fn unstall(&self) {
        self.shared.gate.send_modify(|gate| {
            gate.closed = false;
            gate.opened += 1;
        });
    }

    /// From now on every call is pending so many times before it does anything, and so many times after it has done it.
    /// It wakes itself, and needs no clock.
    pub fn slow(&self, before: u32, after: u32) {
        self.state().slow = Slow { before, after };
    }

    /// From now on every call is dropped when it is pending for this time, counted from 1, and is then made again; with
    /// none, no more. What a caller sees is the second call.
    pub fn drop_each_call_at(&self, pending: Option<u32>) {
        self.state().drops_each_at = pending;
    }

    /// How often each method has been called so far, whatever came of it.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.state().calls
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<L: FailureLog> FaultyFailureLog<L> {
    /// Waits until at least `calls` calls stall at the same time. Cancel safe.
    pub async fn until_stalled(&self, calls: usize) {
        let mut stalled = self.shared.stalled.subscribe();
        // The sender is in `self`, so it cannot be gone.
        let _ = stalled.wait_for(|now| *now >= calls).await;
    }

    /// One call: counted, then done as the plan says.
    async fn through<T: Send, F: Future<Output = Result<T, FailureLogError>> + Send>(
        &self,
        method: Method,
        requests: usize,
        call: impl Fn() -> F + Send + Sync,
    ) -> Result<T, FailureLogError> {
        let (fault, slow, drops_each_at) = {
            let mut state = self.state();
            state.calls.count(method, requests);
            (state.plan.next(), state.slow, state.drops_each_at)
        };
        self.shared.stall_while(|gate, _| gate.closed).await;
        let call = || slowly(slow, call());
        if let Some(pending) = drops_each_at
            && let Some(outcome) = cancelled_at_poll(polls(pending), call()).await
        {
            return outcome;
        }
        match fault {
            None => call().await,
            Some(LogFault::Unavailable) => Err(unavailable()),
            Some(LogFault::UnknownUnwritten) => Err(unknown(method)),
            Some(LogFault::UnknownWritten) => {
                call().await?;
                Err(unknown(method))
            }
            Some(LogFault::StallsUnwritten) => {
                self.shared.stall_while(|gate, since| gate.opened == since.opened).await;
                call().await
            }
            Some(LogFault::StallsWritten) => {
                let outcome = call().await;
                self.shared.stall_while(|gate, since| gate.opened == since.opened).await;
                outcome
            }
            Some(LogFault::DroppedAt(pending)) => {
                let outcome = cancelled_at_poll(polls(pending), call()).await;
                outcome.unwrap_or_else(|| Err(unknown(method)))
            }
        }
    }
}

fn polls(pending: u32) -> usize {
    usize::try_from(pending).unwrap_or(usize::MAX)
}

async fn slowly<T: Send>(slow: Slow, call: impl Future<Output = T> + Send) -> T {
    yields(slow.before).await;
    let outcome = call.await;
    yields(slow.after).await;
    outcome
}

impl Shared {
    async fn stall_while(&self, stalls: fn(StallGate, StallGate) -> bool) {
        let mut gate = self.gate.subscribe();
        let since = *gate.borrow();
        if !stalls(since, since) {
            return;
        }
        let _counted = Stalled::new(&self.stalled);
        // The sender is in `self`, so it cannot be gone.
        let _ = gate.wait_for(|now| !stalls(*now, since)).await;
    }
}

/// Counts a call that stalls for as long as it does, also when it is dropped.
struct Stalled<'s>(&'s watch::Sender<usize>);

impl<'s> Stalled<'s> {
    fn new(stalled: &'s watch::Sender<usize>) -> Self {
        stalled.send_modify(|calls| *calls += 1);
        Self(stalled)
    }
}

impl Drop for Stalled<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|calls| *calls -= 1);
    }
}

fn unavailable() -> FailureLogError {
    FailureLogError::Unavailable { doing: "a planned fault", source: "the store is away, as planned".into() }
}

fn unknown(method: Method) -> FailureLogError {
    if !method.writes() {
        return unavailable();
    }
    let source = "the connection was lost, as planned".into();
    FailureLogError::OutcomeUnknown { doing: "a planned fault", source }
}
