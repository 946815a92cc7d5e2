//! What a user writes.

use std::sync::Arc;

use crate::{Event, HandlerError};

/// Handles events, one call for each attempt.
///
/// Every async function or closure from [`Event`] to a `Result<(), E>` is a handler, whatever `E` is, as long as it
/// is an error, `anyhow::Error` or [`HandlerError`]. Wrap a function that takes your own type in
/// [`json`](crate::json()). Implement the trait for a type that has state of its own.
///
/// * `Ok` means that the event is done with, for good.
/// * `Err` means that it failed; what follows is up to the [`HandlerError`] and the
///   [`RetryPolicy`](crate::RetryPolicy). Later events of the same entity are held meanwhile.
/// * An event may come more than once, for instance when the process dies after the handler's success and before its
///   record: handlers should be idempotent. [`Event::context`] tells which attempt it is.
/// * A handler's future may be dropped at any of its await points: at its timeout, at the end of a shutdown, or when
///   the right to run the event is lost. The event then comes again.
///
/// ```
/// use ordered_consumer::{Event, Handler, HandlerError};
///
/// async fn charge(event: Event) -> Result<(), std::io::Error> {
///     println!("{event}");
///     Ok(())
/// }
///
/// struct Counter(std::sync::atomic::AtomicU64);
///
/// impl Handler for Counter {
///     async fn handle(&self, _event: Event) -> Result<(), HandlerError> {
///         self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
///         Ok(())
///     }
/// }
///
/// fn takes_handler(_: impl Handler) {}
/// takes_handler(charge);
/// takes_handler(|_event: Event| async { Err("not today") });
/// takes_handler(Counter(0.into()));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event handler",
    label = "this is not an event handler",
    note = "a handler is an async function from `Event` to a result: \
            `async fn charge(event: Event) -> Result<(), E>`, where `E` is any error type",
    note = "wrap a function that takes your own type: `json(charge)` for `async fn charge(order: OrderPaid) -> ..`",
    note = "or implement `Handler` for your type: `async fn handle(&self, event: Event) -> Result<(), HandlerError>`",
    note = "its future must be `Send`: keep no `Rc`, `RefCell` borrow or lock guard across an `.await`"
)]
pub trait Handler: Send + Sync + 'static {
    /// Handles the event.
    ///
    /// # Errors
    /// Any error fails the event; [`HandlerError`] says what may follow.
    ///
    /// # Cancel safety
    /// The future may be dropped at any await point, and the event then comes again.
    fn handle(&self, event: Event) -> impl Future<Output = Result<(), HandlerError>> + Send;
}

impl<F, Fut, E> Handler for F
where
    F: Fn(Event) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send,
    E: Into<HandlerError>,
{
    async fn handle(&self, event: Event) -> Result<(), HandlerError> {
        self(event).await.map_err(Into::into)
    }
}

// Left out of the compiler's advice, so that it keeps to what is wrong with the function.
#[diagnostic::do_not_recommend]
impl<H: Handler> Handler for Arc<H> {
    fn handle(&self, event: Event) -> impl Future<Output = Result<(), HandlerError>> + Send {
        H::handle(self, event)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::{FailureKind, Index, StreamName, permanent};

    #[derive(Debug, thiserror::Error)]
    #[error("mine")]
    struct MyError;

    async fn by_anyhow(event: Event) -> anyhow::Result<()> {
        anyhow::bail!("{event}")
    }

    async fn by_own_error(_event: Event) -> Result<(), MyError> {
        Err(MyError)
    }

    async fn by_handler_error(_event: Event) -> Result<(), HandlerError> {
        Err(permanent(MyError))
    }

    #[derive(Default)]
    struct OwnType {
        calls: AtomicU32,
    }

    impl Handler for OwnType {
        async fn handle(&self, _event: Event) -> Result<(), HandlerError> {
            tokio::task::yield_now().await;
            self.calls.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }

    async fn run(handler: impl Handler) -> Result<(), String> {
        let event = Event::builder(StreamName::new("orders/0").unwrap(), Index::new(7), "e").build();
        // Spawned, so that a future that is not `Send` would not compile here.
        let run = tokio::spawn(async move {
            handler.handle(event).await.map_err(|error| format!("{:?} {error}", error.kind()))
        });
        run.await.unwrap()
    }

    #[tokio::test]
    async fn async_functions_with_any_error_type_are_handlers() {
        assert_eq!(run(by_anyhow).await.unwrap_err(), "Retry event 7 of stream orders/0");
        assert_eq!(run(by_own_error).await.unwrap_err(), "Retry mine");
        assert_eq!(run(by_handler_error).await.unwrap_err(), format!("{:?} mine", FailureKind::Permanent));
    }

    #[tokio::test]
    async fn closures_own_types_and_arcs_of_either_are_handlers() {
        let seen = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&seen);
        let closure = move |event: Event| {
            let counted = Arc::clone(&counted);
            async move {
                counted.fetch_add(event.context().attempt, Ordering::Relaxed);
                Ok::<(), MyError>(())
            }
        };
        run(closure.clone()).await.unwrap();
        run(Arc::new(closure)).await.unwrap();
        assert_eq!(seen.load(Ordering::Relaxed), 2);

        let own = Arc::new(OwnType::default());
        run(Arc::clone(&own)).await.unwrap();
        assert_eq!(own.calls.load(Ordering::Relaxed), 1);
    }
}
