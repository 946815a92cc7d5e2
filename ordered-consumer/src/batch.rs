//! What every failure log asks of a batch of requests, and what the batch brings with it.

use std::collections::HashSet;

use bytes::Bytes;

use crate::{
    BATCH_REQUESTS_MAX, Event, FailureLogError, Headers, Request,
    gate::{Action, Input, Operation},
};

/// Whether the batch keeps the trait's contract.
pub(crate) fn check(requests: &[Request]) -> Result<(), FailureLogError> {
    let misused = |what| Err(FailureLogError::Misused { what });
    if requests.is_empty() {
        return misused("a batch needs at least one request");
    }
    if requests.len() > BATCH_REQUESTS_MAX {
        return misused("a batch has more requests than allowed");
    }
    let mut gates = HashSet::with_capacity(requests.len());
    for Request { key, input, .. } in requests {
        if !gates.insert(key) {
            return misused("a batch has two requests for one gate");
        }
        if matches!(input, Input::Arrive { events } if events.is_empty()) {
            return misused("a request has no events");
        }
        if offered(input).iter().any(|event| *event.entity() != key.entity || *event.stream() != key.stream) {
            return misused("a request has events of another gate");
        }
    }
    Ok(())
}

/// The events that come with an input.
pub(crate) fn offered(input: &Input) -> Vec<&Event> {
    match input {
        Input::Arrive { events } => events.iter().map(|arrival| &arrival.event).collect(),
        Input::Fail { event, .. } => vec![event],
        Input::Ignore { .. }
        | Input::Take
        | Input::Claim { .. }
        | Input::Renew { .. }
        | Input::Resolve { .. }
        | Input::FailAgain { .. }
        | Input::GiveBack { .. }
        | Input::Mirrored { .. }
        | Input::Operate(_) => Vec::new(),
    }
}

/// What an operator puts in the place of the head's payload and headers.
pub(crate) fn edit(input: &Input) -> Option<(Option<&Bytes>, &Headers)> {
    match input {
        Input::Operate(Operation { action: Action::Edit { payload, headers }, .. }) => {
            Some((payload.as_ref(), headers))
        }
        Input::Operate(_)
        | Input::Arrive { .. }
        | Input::Fail { .. }
        | Input::Ignore { .. }
        | Input::Take
        | Input::Claim { .. }
        | Input::Renew { .. }
        | Input::Resolve { .. }
        | Input::FailAgain { .. }
        | Input::GiveBack { .. }
        | Input::Mirrored { .. } => None,
    }
}

/// A place in a batch, as the statements of a database know it.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) fn position(position: usize) -> Result<i64, FailureLogError> {
    i64::try_from(position).map_err(|_| FailureLogError::Misused { what: "a batch is too long" })
}
