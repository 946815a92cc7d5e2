//! What a recorder has been told.
#![expect(clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeMap;

use metrics_util::{
    MetricKind,
    debugging::{DebugValue, DebuggingRecorder, Snapshotter},
};

/// One metric with its labels, and what it is worth.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) kind: MetricKind,
    pub(crate) unit: Option<metrics::Unit>,
    pub(crate) described: bool,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: DebugValue,
}

/// A recorder for this thread.
pub(crate) struct Metrics {
    snapshotter: Snapshotter,
    _guard: metrics::LocalRecorderGuard<'static>,
}

/// Everything that was seen at one moment.
pub(crate) struct Snapshot(pub(crate) Vec<Seen>);

impl Metrics {
    /// Records from here on whatever this thread does, as long as it is kept.
    pub(crate) fn install() -> Self {
        let recorder = Box::leak(Box::new(DebuggingRecorder::new()));
        let snapshotter = recorder.snapshotter();
        Self { snapshotter, _guard: metrics::set_default_local_recorder(recorder) }
    }

    /// What has been recorded. It begins anew with it.
    pub(crate) fn taken(&self) -> Snapshot {
        let seen = self.snapshotter.snapshot().into_vec().into_iter().map(|(key, unit, about, value)| Seen {
            name: key.key().name().to_owned(),
            kind: key.kind(),
            unit,
            described: about.is_some_and(|about| !about.is_empty()),
            labels: key.key().labels().map(|l| (l.key().to_owned(), l.value().to_owned())).collect(),
            value,
        });
        Snapshot(seen.collect())
    }
}

impl Snapshot {
    fn find(&self, name: &str, labels: &[(&str, &str)]) -> Vec<&Seen> {
        let has = |seen: &Seen| {
            labels.iter().all(|(label, value)| seen.labels.get(*label).is_some_and(|v| v == value))
        };
        let found: Vec<_> = self.0.iter().filter(|seen| seen.name == name && has(seen)).collect();
        assert!(!found.is_empty(), "{name} {labels:?} is not recorded");
        found
    }

    /// What a counter has counted, of all that have these labels.
    pub(crate) fn counter(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let count = |seen: &&Seen| match seen.value {
            DebugValue::Counter(count) => count,
            DebugValue::Gauge(_) | DebugValue::Histogram(_) => panic!("{name} is no counter"),
        };
        self.find(name, labels).iter().map(count).sum()
    }

    pub(crate) fn gauge(&self, name: &str) -> f64 {
        match self.find(name, &[])[..] {
            [Seen { value: DebugValue::Gauge(value), .. }] => value.into_inner(),
            ref other => panic!("{other:?}"),
        }
    }

    /// Every value of a histogram, in order.
    pub(crate) fn histogram(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        let mut all = Vec::new();
        for seen in self.find(name, labels) {
            match &seen.value {
                DebugValue::Histogram(values) => all.extend(values.iter().map(|value| value.into_inner())),
                DebugValue::Counter(_) | DebugValue::Gauge(_) => panic!("{name} is no histogram"),
            }
        }
        all.sort_by(f64::total_cmp);
        all
    }
}
