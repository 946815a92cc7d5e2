//! Handlers of JSON payloads.

use std::{any::type_name, fmt, marker::PhantomData};

use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::{Event, Handler, HandlerError, permanent};

/// Makes a handler of a function that takes your own type, read from the event's JSON payload.
///
/// An event whose payload is missing or does not fit the type is parked, because trying it again cannot help: the
/// failure is a [`PayloadError`] that names line and column, and never quotes the payload.
///
/// ```
/// # use ordered_consumer::{Handler, json};
/// #[derive(serde::Deserialize)]
/// struct OrderPaid {
///     amount: u64,
/// }
///
/// async fn charge(order: OrderPaid) -> Result<(), std::io::Error> {
///     println!("{} paid", order.amount);
///     Ok(())
/// }
///
/// let handler = json(charge);
/// # fn takes_handler(_: impl Handler) {}
/// # takes_handler(handler);
/// ```
pub fn json<T, F, Fut, E>(function: F) -> Json<T, F>
where
    T: DeserializeOwned + 'static,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send,
    E: Into<HandlerError>,
{
    Json { function, payload: PhantomData }
}

/// As [`json()`], for a function that also wants the event: its entity, its headers, or by [`Event::context`] which
/// attempt this is, whether it may have been handled before, and when it first failed.
///
/// ```
/// # use ordered_consumer::{Event, Handler, HandlerError, json_with_event};
/// # #[derive(serde::Deserialize)]
/// # struct OrderPaid;
/// async fn charge(order: OrderPaid, event: Event) -> Result<(), HandlerError> {
///     if event.context().redelivered { /* ask whether it has been charged */ }
///     # let _ = order;
///     Ok(())
/// }
///
/// let handler = json_with_event(charge);
/// # fn takes_handler(_: impl Handler) {}
/// # takes_handler(handler);
/// ```
pub fn json_with_event<T, F, Fut, E>(function: F) -> JsonWithEvent<T, F>
where
    T: DeserializeOwned + 'static,
    F: Fn(T, Event) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send,
    E: Into<HandlerError>,
{
    JsonWithEvent { function, payload: PhantomData }
}

/// The handler that [`json()`] makes.
pub struct Json<T, F> {
    function: F,
    payload: PhantomData<fn() -> T>,
}

/// The handler that [`json_with_event`] makes.
pub struct JsonWithEvent<T, F> {
    function: F,
    payload: PhantomData<fn() -> T>,
}

#[diagnostic::do_not_recommend]
impl<T, F, Fut, E> Handler for Json<T, F>
where
    T: DeserializeOwned + 'static,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send,
    E: Into<HandlerError>,
{
    async fn handle(&self, event: Event) -> Result<(), HandlerError> {
        // The future is made before anything is awaited, so that `T` itself need not be `Send`.
        let run = {
            let payload = read::<T>(&event).map_err(permanent)?;
            // The event would otherwise keep its payload in memory for as long as the handler runs.
            drop(event);
            (self.function)(payload)
        };
        run.await.map_err(Into::into)
    }
}

#[diagnostic::do_not_recommend]
impl<T, F, Fut, E> Handler for JsonWithEvent<T, F>
where
    T: DeserializeOwned + 'static,
    F: Fn(T, Event) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send,
    E: Into<HandlerError>,
{
    async fn handle(&self, event: Event) -> Result<(), HandlerError> {
        let run = {
            let payload = read::<T>(&event).map_err(permanent)?;
            (self.function)(payload, event)
        };
        run.await.map_err(Into::into)
    }
}

/// Why a payload could not be read.
///
/// It says where, never what stands there: serde_json's own messages quote values, and an error's text is kept and
/// shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The event has no payload.
    #[error(
        "the event has no payload (it is null, such as a Kafka tombstone); JSON for `{expected}` was expected"
    )]
    Missing {
        /// The type that was expected.
        expected: &'static str,
    },
    /// The payload is empty, or ends too early.
    #[error("the payload ends too early to be JSON for `{expected}`, at {at}")]
    Truncated {
        /// The type that was expected.
        expected: &'static str,
        /// Where it ends.
        at: PayloadPosition,
    },
    /// The payload is not JSON.
    #[error("the payload is not JSON: error at {at}")]
    NotJson {
        /// The type that was expected.
        expected: &'static str,
        /// The first character that cannot be.
        at: PayloadPosition,
    },
    /// The payload is JSON, but does not fit the type: a field is missing, or a value has another type.
    #[error("the payload's JSON does not fit `{expected}`: a missing field or an unexpected value at {at}")]
    Unexpected {
        /// The type that was expected.
        expected: &'static str,
        /// Where reading stopped; for a missing field, the end of its object.
        at: PayloadPosition,
    },
}

/// A place in a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PayloadPosition {
    /// The line, counted from 1; 0 where it is not known.
    pub line: usize,
    /// The column in bytes, counted from 1; 0 before the line's first byte.
    pub column: usize,
}

impl fmt::Display for PayloadPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str("an unknown place"),
            line => write!(f, "line {line}, column {}", self.column),
        }
    }
}

fn read<T: DeserializeOwned>(event: &Event) -> Result<T, PayloadError> {
    let expected = type_name::<T>();
    let payload = event.payload().ok_or(PayloadError::Missing { expected })?;
    serde_json::from_slice(payload).map_err(|error| {
        let at = PayloadPosition { line: error.line(), column: error.column() };
        match error.classify() {
            Category::Eof => PayloadError::Truncated { expected, at },
            Category::Data => PayloadError::Unexpected { expected, at },
            // Reading from memory never fails otherwise.
            Category::Syntax | Category::Io => PayloadError::NotJson { expected, at },
        }
    })
}

#[cfg(test)]
mod tests {
    use std::{rc::Rc, sync::Mutex};

    use super::*;
    use crate::{FailureKind, Index, StreamName};

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Order {
        amount: u32,
    }

    fn event(payload: Option<&'static str>) -> Event {
        let event = Event::builder(StreamName::new("orders/0").unwrap(), Index::new(7), "e");
        payload.map_or(event.clone(), |payload| event.payload(payload)).build()
    }

    async fn refuse(payload: Option<&'static str>) -> String {
        let handler = json(|_: Order| async { Err::<(), _>("the handler ran") });
        let error = handler.handle(event(payload)).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Permanent);
        assert!(error.class().ends_with("PayloadError"), "{}", error.class());
        error.text().replace(type_name::<Order>(), "Order")
    }

    #[tokio::test]
    async fn a_function_of_ones_own_type_gets_it_from_the_payload() {
        let seen = std::sync::Arc::new(Mutex::new(Vec::new()));
        let (one, two) = (std::sync::Arc::clone(&seen), std::sync::Arc::clone(&seen));
        let plain = json(move |order: Order| {
            one.lock().unwrap().push((order.amount, 0));
            async { anyhow::Ok(()) }
        });
        plain.handle(event(Some(r#"{"amount": 12}"#))).await.unwrap();
        let with_event = json_with_event(move |order: Order, event: Event| {
            two.lock().unwrap().push((order.amount, event.context().attempt));
            async { Ok::<(), HandlerError>(()) }
        });
        with_event.handle(event(Some(r#"{"amount": 13}"#))).await.unwrap();
        assert_eq!(*seen.lock().unwrap(), [(12, 0), (13, 1)]);
    }

    #[tokio::test]
    async fn an_error_of_the_function_is_passed_on_as_it_is() {
        let handler = json(|_: Order| async { Err::<(), _>(std::io::Error::other("later")) });
        let error = handler.handle(event(Some(r#"{"amount": 1}"#))).await.unwrap_err();
        assert_eq!((error.kind(), error.text().as_str()), (FailureKind::Retry, "later"));
    }

    #[tokio::test]
    async fn a_payload_that_cannot_be_read_parks_and_says_where_the_error_is() {
        let missing =
            "the event has no payload (it is null, such as a Kafka tombstone); JSON for `Order` was expected";
        assert_eq!(refuse(None).await, missing);
        let empty = "the payload ends too early to be JSON for `Order`, at line 1, column 0";
        assert_eq!(refuse(Some("")).await, empty);
        assert_eq!(refuse(Some("{\n  oops}")).await, "the payload is not JSON: error at line 2, column 3");
        let unexpected = refuse(Some("{\"amount\": 1,\n\"colour\": 2}")).await;
        assert!(unexpected.contains("does not fit `Order`") && unexpected.contains("line 2"), "{unexpected}");
    }

    #[tokio::test]
    async fn an_error_about_a_payload_never_quotes_it() {
        let quoted = [
            r#"{"amount": "secret"}"#,
            r#"{"secret": 1}"#,
            r#"{"amount": -77777}"#,
            r#""secret""#,
            "secret",
            r#"{"amount": 1} secret"#,
            r#"{"amount": "secret"#,
        ];
        for payload in quoted {
            let text = refuse(Some(payload)).await;
            assert!(!text.contains("secret") && !text.contains("77777"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_type_that_is_not_send_may_be_read_as_long_as_the_future_is() {
        #[derive(serde::Deserialize)]
        #[serde(from = "u32")]
        struct Local(Rc<u32>);
        impl From<u32> for Local {
            fn from(number: u32) -> Self {
                Self(Rc::new(number))
            }
        }
        let handler = json(|local: Local| {
            let number = *local.0;
            async move { if number == 5 { Ok(()) } else { Err("another number") } }
        });
        let run = tokio::spawn(async move { handler.handle(event(Some("5"))).await.is_ok() });
        assert!(run.await.unwrap());
    }
}
