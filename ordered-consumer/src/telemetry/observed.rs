//! What an observer counts of one stream.

use metrics::Histogram;

use super::{Telemetry, meters::Counter, names};
use crate::StreamName;

/// The counters of one stream that is only observed.
pub(crate) struct ObservedMeters {
    pub(crate) runs: Counter,
    pub(crate) failed: Counter,
    pub(crate) gated: Counter,
    pub(crate) held: Counter,
    pub(crate) parked: Counter,
    pub(crate) gate_time: Histogram,
}

impl Telemetry {
    /// The counters of a stream that is only observed.
    pub(crate) fn observed(&self, stream: Option<&StreamName>) -> ObservedMeters {
        let counter = |metric: &names::Metric| Counter::bound(metric, self.labels(stream));
        ObservedMeters {
            runs: counter(&names::OBSERVED_RUNS),
            failed: counter(&names::OBSERVED_FAILED),
            gated: counter(&names::OBSERVED_GATED),
            held: counter(&names::OBSERVED_HELD),
            parked: counter(&names::OBSERVED_PARKED),
            gate_time: metrics::histogram!(names::OBSERVED_GATE_TIME.name, self.labels(stream)),
        }
    }
}
