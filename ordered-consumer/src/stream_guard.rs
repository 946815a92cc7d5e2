//! Owning a stream without `run`.

use std::{
    fmt,
    future::Future,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;

use crate::{
    Delivery, Handler, Index, OrderedConsumer, Outcome, ProcessError, RunError, StreamName,
    engine::{
        core::Core,
        persist,
        stream_state::StreamState,
        takeover::{self, TakenOver},
    },
    gate::{Settle, TakeOver},
    process,
};

/// What is known of a stream that is taken over.
#[derive(Clone, Debug, Default)]
pub struct TakeOverOptions {
    /// What tells the stream from another one of the same name, such as a topic's id.
    pub identity: Option<Bytes>,
    /// The index of the next event that the broker will deliver.
    pub position: Option<Index>,
}

impl<H: Handler> OrderedConsumer<H> {
    /// Takes over a stream that its broker gives to one consumer at a time, as Kafka does with partitions. The guard
    /// processes its events without a look-up in the failure log, as long as their entities are clear.
    ///
    /// Call it after the broker has assigned the stream. `confirm` is called after the stream's generation has been
    /// read and before it is raised, and must have the broker confirm that the stream is still yours (on Kafka: a
    /// commit in this group generation); without that, a late takeover could shut out the true owner.
    ///
    /// # Errors
    /// [`RunError::TakeOver`] when `confirm` says no, or when the stream is not what it was.
    pub async fn take_over<Confirmed>(
        &self,
        stream: StreamName,
        options: TakeOverOptions,
        // Not an async closure: nobody could spawn this future, because such a one cannot be said to be `Send`.
        mut confirm: impl FnMut() -> Confirmed + Send,
    ) -> Result<StreamGuard<H>, RunError>
    where
        Confirmed: Future<Output = bool> + Send,
    {
        let core = self.start()?;
        let refused = |why: String| RunError::TakeOver { stream: stream.clone(), why };
        loop {
            let call = || core.log.stream(&core.name, &stream);
            let record = persist::persist(&core.name, &core.streams, "taking a stream over", call).await?;
            if !confirm().await {
                return Err(refused("the broker has not confirmed that it is this consumer's".to_owned()));
            }
            let asked = TakeOver {
                seen_generation: record.map_or(0, |record| record.generation),
                identity: options.identity.clone(),
                position: options.position,
                uncommitted_max: core.limits.uncommitted_max as u64,
            };
            match takeover::raise_and_load(&core, &stream, 0, &asked, None).await {
                TakenOver::Ready { mut state, suspects } => {
                    state.patience = Some(core.timeouts.failure_log);
                    state.suspects_left.store(suspects, Ordering::Release);
                    return Ok(StreamGuard { core, state: Arc::from(state) });
                }
                TakenOver::Raised => {}
                TakenOver::Stopped(why) => return Err(refused(why)),
            }
        }
    }
}

/// A stream that this process owns, for those with a consume loop of their own.
///
/// Dropping it without [`release`](Self::release) is what a crash is: the next owner looks at the first events with
/// suspicion. At most [`uncommitted_max`](crate::Limits::uncommitted_max) events may lie between the first that is not
/// done with and the last that was given to [`process`](Self::process).
pub struct StreamGuard<H> {
    core: Arc<Core<H>>,
    state: Arc<StreamState>,
}

impl<H: Handler> StreamGuard<H> {
    /// As [`OrderedConsumer::process`], for an event of the owned stream; no look-up for an entity that is clear.
    ///
    /// # Errors
    /// As there; [`ProcessError::Fenced`] also when the event is of another stream, or the stream somebody else's.
    pub async fn process(&self, event: impl Into<Delivery>) -> Result<Outcome, ProcessError> {
        let delivery = event.into();
        if *delivery.event.stream() != self.state.name || self.state.is_gone() {
            return Err(ProcessError::Fenced { event: (&delivery.event).into() });
        }
        let processed = process::process(&self.core, &self.state, &delivery, false).await;
        if matches!(&processed, Err(ProcessError::Fenced { .. })) {
            self.state.gone.store(true, Ordering::Release);
        }
        processed
    }

    /// The stream that it owns.
    #[must_use]
    pub fn stream(&self) -> &StreamName {
        &self.state.name
    }

    /// Lets go of the stream in good order: nothing of it runs any more, and the broker was told that everything up to
    /// `settled` is done.
    ///
    /// # Errors
    /// [`RunError`]; the stream is let go of nevertheless, as by a crash.
    pub async fn release(self, settled: Option<Index>) -> Result<(), RunError> {
        let let_go = self.state.suspects_left.load(Ordering::Acquire) == 0;
        let report = Settle { generation: self.state.generation, settled, let_go };
        match self.core.log.settle(&self.core.name, &self.state.name, &report).await? {
            Ok(_) => Ok(()),
            Err(refusal) => {
                Err(RunError::TakeOver { stream: self.state.name.clone(), why: refusal.to_string() })
            }
        }
    }
}

impl<H> fmt::Debug for StreamGuard<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamGuard").field("stream", &self.state.name).finish_non_exhaustive()
    }
}
