//! Runs a handler once: with a timeout, and with whatever it does, panics too, turned into a result.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use futures::FutureExt;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{Event, Handler, HandlerError, Lease, telemetry::RunSpan};

/// How a run ended.
pub(crate) enum Ran {
    /// The handler succeeded.
    Handled,
    /// It failed, panicked or took too long.
    Failed(HandlerError),
    /// It was dropped, because its lease was about to end.
    Dropped,
}

/// Runs the handler on the event. Quiet handlers, which never wait, pay for no timer.
pub(crate) async fn run<H: Handler>(
    handler: &H,
    event: Event,
    timeout: Duration,
    lease: Option<&Lease>,
    span: &RunSpan,
) -> Ran {
    // The call itself may panic, as well as any poll and the drop.
    let running = AssertUnwindSafe(async move { handler.handle(event).await }).catch_unwind();
    let mut running = pin!(Some(running));
    let mut limit = Limit { timeout, lease, started: None, sleep: None };
    let ran = std::future::poll_fn(|cx| {
        let entered = span.enter();
        let Some(polled) = running.as_mut().as_pin_mut().map(|future| future.poll(cx)) else {
            return Poll::Ready(Ran::Dropped);
        };
        drop(entered);
        match polled {
            Poll::Ready(Ok(Ok(()))) => Poll::Ready(Ran::Handled),
            Poll::Ready(Ok(Err(error))) => Poll::Ready(Ran::Failed(error)),
            Poll::Ready(Err(panic)) => Poll::Ready(Ran::Failed(panicked("handler panicked", &*panic))),
            Poll::Pending => limit.poll(cx),
        }
    })
    .await;
    let dropped = {
        let _entered = span.enter();
        catch_unwind(AssertUnwindSafe(|| running.set(None)))
    };
    let ran = match dropped {
        Ok(()) => ran,
        Err(panic) => Ran::Failed(panicked("handler panicked when it was dropped", &*panic)),
    };
    if let Ran::Failed(error) = &ran {
        span.failed(error);
    }
    ran
}

/// When a handler that waits must be dropped.
struct Limit<'a> {
    timeout: Duration,
    lease: Option<&'a Lease>,
    started: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Limit<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ran> {
        loop {
            let now = Instant::now();
            let started = *self.started.get_or_insert(now);
            let left = self.timeout.saturating_sub(started.elapsed());
            if left.is_zero() {
                let text = format!("handler took longer than {:?} and was dropped", self.timeout);
                return Poll::Ready(Ran::Failed(HandlerError::from(text).with_class("timeout")));
            }
            // A lease that was extended meanwhile lets the handler go on.
            let lease = self.lease.map_or(Duration::MAX, Lease::remaining);
            if lease.is_zero() {
                return Poll::Ready(Ran::Dropped);
            }
            let until = now + left.min(lease).min(Duration::from_secs(86_400));
            let sleep = match &mut self.sleep {
                Some(sleep) if sleep.is_elapsed() => {
                    sleep.as_mut().reset(until);
                    sleep
                }
                Some(sleep) => sleep,
                none @ None => none.insert(Box::pin(sleep_until(until))),
            };
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

fn panicked(what: &str, panic: &(dyn Any + Send)) -> HandlerError {
    let text = panic.downcast_ref::<&str>().copied();
    let text =
        text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a text");
    HandlerError::from(format!("{what}: {text}")).with_class("panic")
}
