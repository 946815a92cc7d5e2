//! What a handler's failure is, and what is to follow it.

use std::{
    any::{Any, type_name},
    error::Error,
    fmt,
    time::Duration,
};

use crate::{
    BoxError, display_safe,
    error_chain::chain_text,
    gate::{FAILURE_TEXT_BYTES_MAX, Failure},
};

/// What a failure calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// Try again, as the [`RetryPolicy`](crate::RetryPolicy) says. What every error means unless it says otherwise.
    Retry,
    /// Try again after so long, whatever the schedule says; the attempt counts, and the policy's limits hold.
    RetryAfter(Duration),
    /// Retrying cannot help: park the entity at once, until an operator acts.
    Permanent,
    /// The event is of no interest: it is resolved, counted, and written into the audit.
    Ignore,
    /// Something that every event needs is away: the stream pauses and probes, and no attempt is counted.
    Unavailable,
}

/// An error of a handler, with what is to follow it.
///
/// Any error becomes one by `?`, `anyhow::Error` too, and is then retried. [`permanent`], [`ignore`], [`retry_after`]
/// and [`unavailable`] ask for something else.
///
/// Like `anyhow::Error`, it is not itself a [`std::error::Error`]: that is what lets every other error convert. A
/// handler that returns `anyhow::Result` therefore cannot pass one on by `?`; let it return
/// `Result<(), HandlerError>`, or let [`RetryPolicy::classify`](crate::RetryPolicy::classify) look at its errors.
///
/// ```
/// # use ordered_consumer::{Event, HandlerError, permanent};
/// async fn charge(event: Event) -> Result<(), HandlerError> {
///     let payload = event.payload().ok_or_else(|| permanent("the event has no payload"))?;
///     let amount: u64 = std::str::from_utf8(payload)?.parse().map_err(permanent)?;
/// #   let _ = amount;
///     Ok(())
/// }
/// ```
pub struct HandlerError {
    // Boxed, so that the result of a handler that succeeds is no larger than a pointer.
    content: Box<Content>,
}

struct Content {
    kind: FailureKind,
    class: &'static str,
    error: BoxError,
}

/// Boxes the error in such a way that `downcast_ref` finds it.
///
/// anyhow's own conversion hides the error behind a type of anyhow's, so that
/// [`RetryPolicy::classify`](crate::RetryPolicy::classify) could not tell what a handler that returns `anyhow::Result`
/// failed with. Its other conversion does not, and has to be asked for by name.
fn boxed<E: Into<BoxError> + 'static>(error: E) -> BoxError {
    let mut error = Some(error);
    let any: &mut dyn Any = &mut error;
    if let Some(error) = any.downcast_mut::<Option<anyhow::Error>>().and_then(Option::take) {
        return error.reallocate_into_boxed_dyn_error_without_backtrace();
    }
    error.map_or_else(|| BoxError::from("an error without content"), Into::into)
}

impl HandlerError {
    /// The same failure under a class of the engine's own, such as `panic`.
    pub(crate) fn with_class(mut self, class: &'static str) -> Self {
        self.content.class = class;
        self
    }

    fn of<E: Into<BoxError> + 'static>(kind: FailureKind, error: E) -> Self {
        Self { content: Box::new(Content { kind, class: type_name::<E>(), error: boxed(error) }) }
    }

    /// Retrying cannot help: the entity is parked at once. See [`permanent`](permanent()).
    pub fn permanent(error: impl Into<BoxError> + 'static) -> Self {
        Self::of(FailureKind::Permanent, error)
    }

    /// The event is of no interest. See [`ignore`](ignore()).
    pub fn ignore(error: impl Into<BoxError> + 'static) -> Self {
        Self::of(FailureKind::Ignore, error)
    }

    /// The event is to be tried again after so long. See [`retry_after`](retry_after()).
    pub fn retry_after(delay: Duration, error: impl Into<BoxError> + 'static) -> Self {
        Self::of(FailureKind::RetryAfter(delay), error)
    }

    /// Something that every event needs is away. See [`unavailable`](unavailable()).
    pub fn unavailable(error: impl Into<BoxError> + 'static) -> Self {
        Self::of(FailureKind::Unavailable, error)
    }

    /// What the handler asked for; [`RetryPolicy::kind_of`](crate::RetryPolicy::kind_of) has the last word.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.content.kind
    }

    /// The name of the error's type, to group failures by; `anyhow::Error` for all of anyhow's.
    #[must_use]
    pub fn class(&self) -> &str {
        self.content.class
    }

    /// The error itself.
    #[must_use]
    pub fn error(&self) -> &(dyn Error + 'static) {
        &*self.content.error
    }

    /// What the error and its sources say, joined by `: `, without repetitions, cut to
    /// [`FAILURE_TEXT_BYTES_MAX`] bytes.
    ///
    /// It may contain control characters: show it by [`display_safe`].
    #[must_use]
    pub fn text(&self) -> String {
        chain_text(self.error(), FAILURE_TEXT_BYTES_MAX)
    }

    /// The failure, as the failure log keeps it.
    #[must_use]
    pub fn to_failure(&self) -> Failure {
        Failure::new(self.class(), &self.text())
    }
}

impl<E: Into<BoxError> + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::of(FailureKind::Retry, error)
    }
}

impl fmt::Display for HandlerError {
    /// The [text](HandlerError::text), with its control characters escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&display_safe(&self.text()), f)
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerError")
            .field("kind", &self.kind())
            .field("class", &self.class())
            .field("text", &display_safe(&self.text()))
            .finish()
    }
}

/// Retrying cannot help: the entity is parked at once, until an operator acts; its later events are held.
///
/// ```
/// # use ordered_consumer::{FailureKind, permanent};
/// let error = "12 apples".parse::<u32>().map_err(permanent).unwrap_err();
/// assert_eq!(error.kind(), FailureKind::Permanent);
/// ```
pub fn permanent(error: impl Into<BoxError> + 'static) -> HandlerError {
    HandlerError::permanent(error)
}

/// The event is of no interest: it is resolved as if it had been handled, counted, and written into the audit.
pub fn ignore(error: impl Into<BoxError> + 'static) -> HandlerError {
    HandlerError::ignore(error)
}

/// The event is to be tried again after so long, whatever the schedule says; the attempt counts, and the delay is cut
/// to the policy's `max_delay`.
pub fn retry_after(delay: Duration, error: impl Into<BoxError> + 'static) -> HandlerError {
    HandlerError::retry_after(delay, error)
}

/// Something that every event needs is away, such as a database: the stream pauses and probes until it is back, and no
/// attempt is counted.
pub fn unavailable(error: impl Into<BoxError> + 'static) -> HandlerError {
    HandlerError::unavailable(error)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[derive(Debug, PartialEq, thiserror::Error)]
    #[error("card {0} was refused")]
    struct Refused(u32);

    fn by_question_mark<E>(error: E) -> HandlerError
    where
        HandlerError: From<E>,
    {
        fn handler<E>(error: E) -> Result<(), HandlerError>
        where
            HandlerError: From<E>,
        {
            Err(error)?;
            Ok(())
        }
        handler(error).unwrap_err()
    }

    #[test]
    fn any_error_converts_and_is_retried_and_its_type_is_its_class() {
        let own = by_question_mark(Refused(7));
        assert_eq!((own.kind(), own.text().as_str()), (FailureKind::Retry, "card 7 was refused"));
        assert!(own.class().ends_with("Refused"), "{}", own.class());
        assert_eq!(own.error().downcast_ref(), Some(&Refused(7)));
        assert_eq!(by_question_mark(anyhow::anyhow!("no")).class(), "anyhow::Error");
        assert_eq!(by_question_mark("text").text(), "text");
        assert_eq!(by_question_mark(String::from("text")).text(), "text");
        let boxed: BoxError = Box::new(Refused(1));
        assert_eq!(by_question_mark(boxed).text(), "card 1 was refused");
    }

    #[test]
    fn a_question_mark_keeps_what_a_handler_error_asks_for() {
        let second = Duration::from_secs(1);
        let kinds = [permanent("e"), ignore("e"), retry_after(second, "e"), unavailable("e")]
            .map(|error| by_question_mark(error).kind());
        let asked = [
            FailureKind::Permanent,
            FailureKind::Ignore,
            FailureKind::RetryAfter(second),
            FailureKind::Unavailable,
        ];
        assert_eq!(kinds, asked);
    }

    #[test]
    fn the_text_tells_an_anyhow_error_with_its_context() {
        let error = anyhow::Error::new(Refused(7)).context("charging").context("order 3");
        assert_eq!(HandlerError::from(error).text(), "order 3: charging: card 7 was refused");
    }

    #[test]
    fn a_cause_inside_an_anyhow_error_is_found() {
        let bare = HandlerError::from(anyhow::Error::new(Refused(7)));
        assert_eq!(crate::find_cause::<Refused>(bare.error()), Some(&Refused(7)));
        let wrapped = HandlerError::from(Err::<(), _>(Refused(7)).context("charging").unwrap_err());
        assert_eq!(crate::find_cause::<Refused>(wrapped.error()), Some(&Refused(7)));
    }

    #[test]
    fn terminal_escapes_are_kept_in_the_failure_and_escaped_where_shown() {
        let error = HandlerError::from("\x1b[2Jgone");
        assert_eq!(&*error.to_failure().text, "\x1b[2Jgone");
        assert_eq!(error.to_string(), r"\u{1b}[2Jgone");
        assert!(!format!("{error:?}").contains('\x1b'));
    }

    #[test]
    fn a_result_of_a_handler_is_as_large_as_a_pointer() {
        assert_eq!(size_of::<Result<(), HandlerError>>(), size_of::<usize>());
    }
}
