//! What is counted of one stream.

use metrics::{Histogram, Label};

use super::{
    meters::Counter,
    names::{
        self, BLOCKED, CAUSE, CLAIMS_LOST, CONSUMED, EVENTS, FAILED, FENCED, LIMITED, MIRRORED,
        OPERATION_NAME, OUTAGES, OUTCOME, PARKED, PROCESS, RESOLVED, RUN, RUNS, SENT, STOPPED,
    },
};
use crate::{Outcome, ParkCause, Stats};

macro_rules! tally {
    ($($field:ident: $metric:ident $(, $label:ident = $value:literal)?;)+) => {
        /// The counters and histograms of one stream; or of all, where streams are not told apart.
        pub(crate) struct Tally {
            $(pub(crate) $field: Counter,)+
            /// Runs that succeeded.
            pub(crate) process: Histogram,
            /// How long entities of resolved events had not flowed freely.
            pub(crate) blocked: Histogram,
        }

        impl Tally {
            /// Whose metrics have these labels.
            pub(super) fn new(labels: &[Label], system: &Label) -> Self {
                let with = |metric: &names::Metric, more: Option<(&'static str, &'static str)>| {
                    let mut labels = labels.to_vec();
                    if metric.name.starts_with("messaging.") {
                        labels.push(system.clone());
                    }
                    labels.extend(more.map(|(label, value)| Label::from_static_parts(label, value)));
                    labels
                };
                Self {
                    $($field: Counter::bound(&$metric, with(&$metric, tally!(@label $($label = $value)?))),)+
                    process: metrics::histogram!(
                        PROCESS.name,
                        with(&PROCESS, Some((OPERATION_NAME, "process")))
                    ),
                    blocked: metrics::histogram!(BLOCKED.name, with(&BLOCKED, None)),
                }
            }
        }
    };
    (@label $label:ident = $value:literal) => { Some(($label, $value)) };
    (@label) => { None };
}

tally! {
    consumed: CONSUMED, OPERATION_NAME = "receive";
    published: SENT, OPERATION_NAME = "publish";
    handled: EVENTS, OUTCOME = "handled";
    ignored: EVENTS, OUTCOME = "ignored";
    retry_scheduled: EVENTS, OUTCOME = "retry_scheduled";
    held: EVENTS, OUTCOME = "held";
    parked: EVENTS, OUTCOME = "parked";
    duplicates: EVENTS, OUTCOME = "duplicate";
    suspects: EVENTS, OUTCOME = "suspect";
    failed: FAILED;
    retries: RUNS, RUN = "retry";
    released: RUNS, RUN = "release";
    resolved: RESOLVED, OUTCOME = "handled";
    resolved_ignored: RESOLVED, OUTCOME = "ignored";
    parked_exhausted: PARKED, CAUSE = "exhausted";
    parked_permanent: PARKED, CAUSE = "permanent";
    parked_lost_run: PARKED, CAUSE = "lost_run";
    parked_conflict: PARKED, CAUSE = "conflict";
    parked_operator: PARKED, CAUSE = "operator";
    mirrored: MIRRORED, OUTCOME = "mirrored";
    mirror_refused: MIRRORED, OUTCOME = "refused";
    claims_lost: CLAIMS_LOST;
    fenced: FENCED;
    limited: LIMITED;
    outages: OUTAGES;
    stopped: STOPPED;
}

impl Tally {
    /// Counts an event of the main stream by what became of it.
    pub(crate) fn count(&self, outcome: &Outcome) {
        let counter = match outcome {
            Outcome::Handled => &self.handled,
            Outcome::RetryScheduled { .. } => &self.retry_scheduled,
            Outcome::Held => &self.held,
            Outcome::Suspect => &self.suspects,
            Outcome::Parked(cause) => {
                self.count_parked(*cause);
                &self.parked
            }
            Outcome::Duplicate => &self.duplicates,
            Outcome::Ignored => &self.ignored,
        };
        counter.add(1);
    }

    /// Counts that an entity was parked.
    pub(crate) fn count_parked(&self, cause: ParkCause) {
        let counter = match cause {
            ParkCause::Exhausted => &self.parked_exhausted,
            ParkCause::Permanent => &self.parked_permanent,
            ParkCause::LostRun => &self.parked_lost_run,
            ParkCause::Conflict => &self.parked_conflict,
            ParkCause::Operator => &self.parked_operator,
        };
        counter.add(1);
    }

    /// Adds what it has counted.
    pub(crate) fn add_to(&self, stats: &mut Stats) {
        let parked = [
            (&mut stats.parked_exhausted, &self.parked_exhausted),
            (&mut stats.parked_permanent, &self.parked_permanent),
            (&mut stats.parked_lost_run, &self.parked_lost_run),
            (&mut stats.parked_conflict, &self.parked_conflict),
            (&mut stats.parked_operator, &self.parked_operator),
        ];
        for (cause, counted) in parked {
            *cause += counted.get();
            stats.parked += counted.get();
        }
        stats.consumed += self.consumed.get();
        stats.handled += self.handled.get();
        stats.failed += self.failed.get();
        stats.retry_scheduled += self.retry_scheduled.get();
        stats.held += self.held.get();
        stats.suspects += self.suspects.get();
        stats.duplicates += self.duplicates.get();
        stats.ignored += self.ignored.get() + self.resolved_ignored.get();
        stats.retried += self.retries.get() + self.released.get();
        stats.released += self.released.get();
        stats.resolved += self.resolved.get() + self.resolved_ignored.get();
        stats.published += self.published.get();
        stats.mirrored += self.mirrored.get();
        stats.mirror_refused += self.mirror_refused.get();
        stats.claims_lost += self.claims_lost.get();
        stats.fenced += self.fenced.get();
        stats.limited += self.limited.get();
        stats.outages += self.outages.get();
        stats.stopped += self.stopped.get();
    }
}
