//! Observing a source of this crate's, for those who have no loop of their own to observe.

use std::{future::Future, pin::pin, time::Duration};

use futures::FutureExt;
use tokio::time::sleep;

use super::ObserveOnly;
use crate::{
    Delivery, Event, EventSource, Handler, HandlerError, RunError, Settlement, SourceError, SourceMessage,
};

/// How long a source that is unavailable is left alone.
const SOURCE_WAIT: Duration = Duration::from_secs(1);

impl<H: Handler> ObserveOnly<H> {
    /// Consumes a source as a plain loop does, until it ends or `shutdown` is ready: one event after another, each once;
    /// a failure is told to `on_error`, and the event is acknowledged all the same.
    ///
    /// It is for comparing, with a group of its own: where there is a loop already, put the observed handler into that.
    ///
    /// # Errors
    /// [`RunError::Source`].
    pub async fn run_until<S: EventSource>(
        &self,
        source: S,
        on_error: impl Fn(&Event, &HandlerError) + Send,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), RunError> {
        let looped = self.looped(source, on_error, shutdown).await;
        looped.map_err(|source| RunError::Source { source })
    }

    async fn looped<S: EventSource>(
        &self,
        mut source: S,
        on_error: impl Fn(&Event, &HandlerError) + Send,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), SourceError> {
        let mut shutdown = pin!(shutdown.fuse());
        loop {
            let said = tokio::select! {
                said = source.next() => said,
                () = &mut shutdown => return source.close().await,
            };
            match said {
                Ok(SourceMessage::Assigned(streams)) => {
                    for stream in streams {
                        source.confirm(&stream.assignment).await?;
                    }
                }
                Ok(SourceMessage::Revoked { assignments, .. }) => {
                    assignments.iter().for_each(|assignment| source.release(assignment));
                }
                Ok(SourceMessage::Events { assignment, deliveries }) => {
                    let watermark = deliveries.last().map(|delivery| delivery.event.index());
                    let mut events = Vec::with_capacity(deliveries.len());
                    for Delivery { event, receipt, .. } in deliveries {
                        events.push((event.index(), receipt));
                        if let Err(error) = self.handle(event.clone()).await {
                            on_error(&event, &error);
                        }
                    }
                    source.settle(Settlement { assignment, events, held: Vec::new(), watermark });
                }
                Ok(SourceMessage::Unreadable { assignment, index, why }) => {
                    let stream = assignment.stream;
                    let why = format!("index {index} of stream {stream} cannot be handed over: {why}");
                    return Err(SourceError::Fatal { why, source: None });
                }
                Ok(SourceMessage::Copies(_) | SourceMessage::Settled { .. }) => {}
                Ok(SourceMessage::Ended) => return source.close().await,
                Err(SourceError::Unavailable(_)) => sleep(SOURCE_WAIT).await,
                Err(error) => return Err(error),
            }
        }
    }
}
