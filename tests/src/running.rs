//! A consumer that runs beside its test.

use std::{ops::Deref, sync::Arc, time::Duration};

use ordered_consumer::{EventSource, Handler, OrderedConsumer, RunError};
use tokio::{sync::oneshot, task::JoinHandle};

/// Waits until something is so, by tokio's clock: for a quarter of an hour, which under a paused clock takes no time.
///
/// # Panics
/// When it does not come to be so, with what was waited for.
#[expect(clippy::panic, reason = "a test that waits in vain has failed")]
pub async fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..90_000 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain until {what}");
}

/// A consumer whose `run` is under way; it is the consumer, too.
#[derive(Debug)]
pub struct Running<H> {
    consumer: Arc<OrderedConsumer<H>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), RunError>>,
}

impl<H: Handler> Running<H> {
    /// Begins to run a consumer.
    pub fn start(consumer: OrderedConsumer<H>, source: impl EventSource + 'static) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let consumer = Arc::new(consumer);
        let runs = Arc::clone(&consumer);
        let task = tokio::spawn(async move { runs.run_until(source, told(stopped)).await });
        Self { consumer, stop, task }
    }

    /// Begins to run a consumer's retries alone.
    pub fn start_retries(consumer: Arc<OrderedConsumer<H>>) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let runs = Arc::clone(&consumer);
        let task = tokio::spawn(async move { runs.run_retries_until(told(stopped)).await });
        Self { consumer, stop, task }
    }

    /// Stops in good order.
    ///
    /// # Panics
    /// When the run has panicked, or has ended with an error.
    #[expect(clippy::expect_used, reason = "a run that goes wrong has failed its test")]
    pub async fn stop(self) {
        drop(self.stop);
        self.task.await.expect("the run has panicked").expect("the run has ended with an error");
    }

    /// Waits until the run ends by itself.
    ///
    /// # Errors
    /// What the run said.
    ///
    /// # Panics
    /// When the run did.
    #[expect(clippy::expect_used, reason = "a run that panics has failed its test")]
    pub async fn ended(self) -> Result<(), RunError> {
        let Self { task, stop, .. } = self;
        let ended = task.await.expect("the run has panicked");
        drop(stop);
        ended
    }

    /// Breaks off whatever it does, as when its process dies.
    pub async fn crash(self) {
        self.task.abort();
        // It says that it was cancelled, which is what was asked for.
        let _ = self.task.await;
        drop(self.consumer);
        // The tasks of the consumer are told to end, and are dropped when their turn comes.
        for _ in 0..32 {
            tokio::task::yield_now().await;
        }
    }
}

async fn told(stopped: oneshot::Receiver<()>) {
    // That the sender is gone is what it says.
    let _ = stopped.await;
}

impl<H> Deref for Running<H> {
    type Target = OrderedConsumer<H>;

    fn deref(&self) -> &Self::Target {
        &self.consumer
    }
}
