//! Many entities retried by one call: previewed, paced, and stopped when they fail again.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use super::{Operator, OperatorError, Pace, sample::Sample};
use crate::{
    BATCH_REQUESTS_MAX, Count, CountBy, Counts, GateQuery, GatedEntity, ParkCause,
    engine::life,
    gate::{Action, OperatorRefusal, Reply, State},
};

/// Between two batches.
const STEP: Duration = Duration::from_millis(100);
/// Between two looks at what became of those that were retried.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Entities that a preview shows.
const PREVIEWED: u32 = 10;

/// What [`Operator::retry_all`] would retry.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RetryAllPreview {
    /// How many entities, and why they are parked; none for those that are not parked.
    pub by_cause: Counts,
    /// Entities that match and would be left alone, because they wait for somebody's decision.
    pub left_alone: Count,
    /// The first of those that would be retried, at most 10.
    pub sample: Vec<GatedEntity>,
}

/// How far [`Operator::retry_all`] has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryAllProgress {
    /// Entities retried.
    pub retried: u64,
    /// Entities that had changed since they were listed, and were left as they are.
    pub stale: u64,
    /// Entities whose head ran at that moment, or of which nothing was held any more.
    pub not_retried: u64,
    /// Entities that wait for somebody's decision, and were left alone.
    pub left_alone: u64,
    /// Of the retried ones that were looked at again: those whose event has succeeded.
    pub known_succeeded: u64,
    /// Of the retried ones that were looked at again: those whose event has failed again.
    pub known_failed: u64,
    /// Entities per second now.
    pub per_second: u32,
}

/// Why [`Operator::retry_all`] has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryAllEnd {
    /// Everything that matched was retried or counted as left.
    Done,
    /// Too many of those that were retried failed again: what caused it has not gone. The rest is as it was.
    TooManyFailed,
}

/// What [`Operator::retry_all`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryAllReport {
    /// How far it has come.
    pub progress: RetryAllProgress,
    /// Why it has ended.
    pub end: RetryAllEnd,
}

impl std::fmt::Display for RetryAllReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let RetryAllProgress {
            retried, stale, not_retried, left_alone, known_succeeded, known_failed, ..
        } = self.progress;
        let known = known_succeeded + known_failed;
        match self.end {
            RetryAllEnd::Done => write!(f, "done: {retried} entities retried")?,
            RetryAllEnd::TooManyFailed => {
                write!(f, "stopped: too many fail again; {retried} entities retried, the rest is as it was")?;
            }
        }
        write!(f, "; of {known} looked at again, {known_failed} failed again")?;
        write!(f, "; not retried: {stale} changed meanwhile, {not_retried} ran or held nothing")?;
        write!(f, ", {left_alone} wait for a decision")
    }
}

impl Operator {
    /// Says what [`retry_all`](Self::retry_all) would retry with this query, and changes nothing.
    ///
    /// # Errors
    /// [`OperatorError::FailureLog`].
    pub async fn preview_retry_all(&self, query: &GateQuery) -> Result<RetryAllPreview, OperatorError> {
        let query = retried_by(query);
        let mut by_cause = self.counts(&query, CountBy::Cause).await?;
        let mut left_alone = Count::default();
        if query.cause.is_none() {
            by_cause.groups.retain(|group| {
                let cause = group.name.as_ref().and_then(named_cause);
                let left = cause.is_some_and(awaits_a_decision);
                if left {
                    left_alone.entities += group.count.entities;
                    left_alone.held_events += group.count.held_events;
                }
                !left
            });
            by_cause.total.entities = by_cause.total.entities.saturating_sub(left_alone.entities);
            by_cause.total.held_events = by_cause.total.held_events.saturating_sub(left_alone.held_events);
        }
        let mut sample = Vec::new();
        let mut page = GateQuery { after: None, limit: 100, ..query };
        while sample.len() < PREVIEWED as usize && by_cause.total.entities > 0 {
            let found = self.list(&page).await?;
            let Some(last) = found.last() else { break };
            page.after = Some(last.key.clone());
            sample.extend(found.into_iter().filter(|found| is_retried(&page, found)));
        }
        sample.truncate(PREVIEWED as usize);
        Ok(RetryAllPreview { by_cause, left_alone, sample })
    }

    /// Retries every entity that matches the query, at this pace; without a state in the query, those that are parked.
    ///
    /// Entities that an operator parked or paused and those with a conflict wait for somebody's decision, and are left
    /// alone unless the query names that [`cause`](GateQuery::cause). Each is retried as by [`retry`](Self::retry):
    /// what has changed since it was listed is left as it is, and counted. [`GateQuery::after`] and
    /// [`limit`](GateQuery::limit) do not matter.
    ///
    /// The call looks at some of those that it has retried, and stops when more of them fail again than the pace
    /// allows. It becomes faster only while they succeed; without a running consumer it therefore stays at its first
    /// rate. `progress` is called after every batch.
    ///
    /// It may be dropped at any time and called again: what was retried is parked no more, and does not match again.
    ///
    /// # Errors
    /// [`OperatorError::TextTooLong`] and [`TextWithNul`](OperatorError::TextWithNul) for texts that cannot be kept;
    /// [`OperatorError::FailureLog`]: what `progress` was told of has been done.
    pub async fn retry_all(
        &self,
        query: &GateQuery,
        pace: &Pace,
        why: impl AsRef<str> + Send,
        mut progress: impl FnMut(&RetryAllProgress) + Send,
    ) -> Result<RetryAllReport, OperatorError> {
        let mut going = Going::new(retried_by(query), *pace);
        loop {
            let page = self.list(&going.page()).await?;
            let Some(last) = page.last() else { return Ok(going.ended(RetryAllEnd::Done)) };
            going.query.after = Some(last.key.clone());
            let listed = page.len();
            let page: Vec<_> = page.into_iter().filter(|found| is_retried(&going.query, found)).collect();
            going.done.left_alone += (listed - page.len()) as u64;
            if page.is_empty() {
                continue;
            }
            self.retry_batch(page, why.as_ref(), &mut going).await?;
            progress(&going.done);
            if self.look_back(&mut going).await? {
                return Ok(going.ended(RetryAllEnd::TooManyFailed));
            }
            sleep_until(going.next_batch()).await;
        }
    }

    async fn retry_batch(
        &self,
        page: Vec<GatedEntity>,
        why: &str,
        going: &mut Going,
    ) -> Result<(), OperatorError> {
        let requests: Result<Vec<_>, _> =
            page.iter().map(|seen| self.request(seen, Action::Retry, why)).collect();
        let answers = self.ask(&requests?).await?.answers;
        self.wake();
        going.due += u64::try_from(page.len()).unwrap_or(u64::MAX);
        let mut retried = Vec::with_capacity(page.len());
        for (seen, answer) in page.into_iter().zip(answers) {
            if let Reply::Operated { .. } = answer.reply {
                retried.push(seen);
            } else if let Reply::OperatorRefused(refusal) = answer.reply {
                let stale = matches!(refusal, OperatorRefusal::Stale { .. });
                *(if stale { &mut going.done.stale } else { &mut going.done.not_retried }) += 1;
            } else {
                return Err(life::unexpected(&answer.reply).into());
            }
        }
        going.done.retried += retried.len() as u64;
        if going.pace.looks_back() {
            going.sample.take(&retried);
        }
        Ok(())
    }

    /// Looks at what became of some, and says whether to stop. The rate is doubled where all is well.
    async fn look_back(&self, going: &mut Going) -> Result<bool, OperatorError> {
        let now = Instant::now();
        let looks_back = going.pace.looks_back();
        if looks_back && now >= going.look_at {
            going.sample.look(self).await?;
            going.look_at = Instant::now() + LOOK_EVERY;
            going.done.known_succeeded = going.sample.succeeded;
            going.done.known_failed = going.sample.failed;
            if going.sample.is_bad(&going.pace) {
                return Ok(true);
            }
        }
        if now >= going.double_at && (!looks_back || going.sample.is_enough(&going.pace)) {
            going.go_at(going.pace.doubled(going.done.per_second), now);
        }
        Ok(false)
    }
}

/// A bulk retry under way.
struct Going {
    query: GateQuery,
    pace: Pace,
    sample: Sample,
    done: RetryAllProgress,
    /// Since when it has gone at this rate.
    since: Instant,
    /// Entities asked for at this rate.
    due: u64,
    double_at: Instant,
    look_at: Instant,
}

impl Going {
    fn new(query: GateQuery, pace: Pace) -> Self {
        let now = Instant::now();
        let query = GateQuery { after: None, ..query };
        let (sample, done) = (Sample::default(), RetryAllProgress::default());
        let mut going =
            Self { query, pace, sample, done, since: now, due: 0, double_at: now, look_at: now + LOOK_EVERY };
        going.go_at(pace.first(), now);
        going
    }

    fn go_at(&mut self, per_second: u32, now: Instant) {
        self.done.per_second = per_second;
        (self.since, self.due) = (now, 0);
        self.double_at = now + self.pace.double_every.min(Duration::from_secs(86_400));
    }

    /// As many as one step's share of the rate.
    fn page(&self) -> GateQuery {
        let steps = u32::try_from(1_000 / STEP.as_millis()).unwrap_or(1);
        let most = u32::try_from(BATCH_REQUESTS_MAX).unwrap_or(u32::MAX);
        GateQuery { limit: (self.done.per_second / steps).clamp(1, most), ..self.query.clone() }
    }

    /// When as many as were asked for may have been. What a slow log kept back is not made up for by a burst.
    fn next_batch(&mut self) -> Instant {
        let rate = u64::from(self.done.per_second.max(1));
        let micros = self.due.saturating_mul(1_000_000) / rate;
        let (next, now) = (self.since + Duration::from_micros(micros), Instant::now());
        if next + STEP < now {
            (self.since, self.due) = (now, 0);
        }
        next
    }

    fn ended(self, end: RetryAllEnd) -> RetryAllReport {
        RetryAllReport { progress: self.done, end }
    }
}

/// Without a state, what is parked.
fn retried_by(query: &GateQuery) -> GateQuery {
    GateQuery { state: query.state.or(Some(State::Parked)), ..query.clone() }
}

fn named_cause(name: &Bytes) -> Option<ParkCause> {
    ParkCause::from_word(std::str::from_utf8(name).ok()?)
}

/// Whether somebody has to decide before it can go on.
fn awaits_a_decision(cause: ParkCause) -> bool {
    match cause {
        ParkCause::Conflict | ParkCause::Operator => true,
        ParkCause::Exhausted | ParkCause::Permanent | ParkCause::LostRun => false,
    }
}

fn is_retried(query: &GateQuery, found: &GatedEntity) -> bool {
    query.cause.is_some() || !found.gate.parked.is_some_and(awaits_a_decision)
}
