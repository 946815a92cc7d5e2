//! Showing the mirror of parked events what it has not, or has no more.

use super::{Operator, OperatorError};
use crate::{
    GateQuery, GatedEntity,
    gate::{Action, Reply, State},
};

/// Entities listed, and asked for in one transaction.
const PAGE: u32 = 200;

impl Operator {
    /// Has the head of a parked entity published to the mirror (again), for instance because it had parked before there
    /// was one; see [`with_parked_mirror`](crate::OrderedConsumer::with_parked_mirror). Nothing else about the entity
    /// changes, not even its version. A publish that is under way at this moment counts; a consumer without a mirror
    /// forgets the request.
    ///
    /// # Errors
    /// As [`retry`](Self::retry), and when the entity is not parked.
    pub async fn mirror(&self, seen: &GatedEntity, why: impl AsRef<str>) -> Result<(), OperatorError> {
        self.operate(seen, Action::Mirror, why.as_ref()).await
    }

    /// As [`mirror`](Self::mirror), for every parked entity that the query matches, whatever its state, page and limit
    /// say; returns how many are due for the mirror now. One that an operator un-parks meanwhile is left out. Each gets a
    /// line in the audit.
    ///
    /// # Errors
    /// [`OperatorError::TextTooLong`], [`OperatorError::TextWithNul`] and [`OperatorError::FailureLog`]; entities that were
    /// asked for before it stay so, and to do it again does no harm.
    pub async fn mirror_all(&self, query: &GateQuery, why: impl AsRef<str>) -> Result<u64, OperatorError> {
        let mut page = GateQuery { state: Some(State::Parked), after: None, limit: PAGE, ..query.clone() };
        let mut due = 0;
        loop {
            let found = self.list(&page).await?;
            let Some(last) = found.last() else { return Ok(due) };
            page.after = Some(last.key.clone());
            let requests: Result<Vec<_>, OperatorError> =
                found.iter().map(|seen| self.request(seen, Action::Mirror, why.as_ref())).collect();
            let answers = self.ask(&requests?).await?.answers;
            due +=
                answers.iter().filter(|answer| matches!(answer.reply, Reply::Operated { .. })).count() as u64;
            self.wake();
        }
    }
}
