//! The failure log, with how long its calls take and whether they fail.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use metrics::{Histogram, Label};
use tracing::Instrument;

use super::{Telemetry, names, since};
use crate::{
    Answers, ConsumerName, DueGates, Event, FailureLog, FailureLogError, GateKey, Index, Request, StreamName,
    Timestamp, Totals,
    gate::{LayoutRecord, LayoutStep, Settings, Settle, StreamRecord, StreamRefusal, TakeOver},
};

/// What the engine asks of the failure log. Not a [`FailureLog`] itself, because operators' calls are none of the
/// engine's.
pub(crate) struct MeteredLog {
    log: Arc<dyn FailureLog>,
    telemetry: Arc<Telemetry>,
    calls: [Histogram; 13],
}

#[derive(Clone, Copy)]
enum Call {
    Apply,
    TakeDue,
    HeldEvents,
    Stream,
    TakeOver,
    Settle,
    GatedEntities,
    WhichGated,
    DropTombstones,
    Totals,
    DropAudit,
    Layout,
    HasUnresolved,
}

impl Call {
    const ALL: [Self; 13] = [
        Self::Apply,
        Self::TakeDue,
        Self::HeldEvents,
        Self::Stream,
        Self::TakeOver,
        Self::Settle,
        Self::GatedEntities,
        Self::WhichGated,
        Self::DropTombstones,
        Self::Totals,
        Self::DropAudit,
        Self::Layout,
        Self::HasUnresolved,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::TakeDue => "take_due",
            Self::HeldEvents => "held_events",
            Self::Stream => "stream",
            Self::TakeOver => "take_over",
            Self::Settle => "settle",
            Self::GatedEntities => "gated_entities",
            Self::WhichGated => "which_gated",
            Self::DropTombstones => "drop_tombstones",
            Self::Totals => "totals",
            Self::DropAudit => "drop_audit",
            Self::Layout => "layout",
            Self::HasUnresolved => "has_unresolved",
        }
    }

    const fn place(self) -> usize {
        match self {
            Self::Apply => 0,
            Self::TakeDue => 1,
            Self::HeldEvents => 2,
            Self::Stream => 3,
            Self::TakeOver => 4,
            Self::Settle => 5,
            Self::GatedEntities => 6,
            Self::WhichGated => 7,
            Self::DropTombstones => 8,
            Self::Totals => 9,
            Self::DropAudit => 10,
            Self::Layout => 11,
            Self::HasUnresolved => 12,
        }
    }
}

/// What kind of error it was, in few words.
fn error_type(error: &FailureLogError) -> &'static str {
    if error.is_outcome_unknown() {
        "outcome_unknown"
    } else if error.is_transient() {
        "unavailable"
    } else {
        "refused"
    }
}

impl MeteredLog {
    pub(crate) fn new(log: Arc<dyn FailureLog>, telemetry: Arc<Telemetry>) -> Self {
        let calls = Call::ALL.map(|call| telemetry.log_calls(call.as_str()));
        Self { log, telemetry, calls }
    }

    async fn measured<T>(
        &self,
        call: Call,
        requests: usize,
        made: impl Future<Output = Result<T, FailureLogError>> + Send,
    ) -> Result<T, FailureLogError> {
        let began = self.telemetry.begin();
        let operation = call.as_str();
        let span = tracing::debug_span!(target: "ordered_consumer::failure_log", "failure_log", operation, requests, error.r#type = tracing::field::Empty);
        let done = made.instrument(span.clone()).await;
        let error = done.as_ref().err().map(error_type);
        if let Some(error) = error {
            span.record("error.type", error);
        }
        match (began, error) {
            (None, _) => {}
            (Some(began), None) => self.calls[call.place()].record(since(began)),
            (Some(began), Some(error)) => {
                let mut labels = self.telemetry.log_labels(operation);
                labels.push(Label::from_static_parts(names::ERROR_TYPE, error));
                metrics::histogram!(names::LOG_CALLS.name, labels).record(since(began));
            }
        }
        done
    }

    pub(crate) fn describe(&self) -> String {
        self.log.describe()
    }

    pub(crate) async fn apply(
        &self,
        consumer: &ConsumerName,
        settings: &Settings,
        requests: &[Request],
    ) -> Result<Answers, FailureLogError> {
        self.measured(Call::Apply, requests.len(), self.log.apply(consumer, settings, requests)).await
    }

    pub(crate) async fn take_due(
        &self,
        consumer: &ConsumerName,
        settings: &Settings,
        limit: u32,
    ) -> Result<DueGates, FailureLogError> {
        self.measured(Call::TakeDue, 1, self.log.take_due(consumer, settings, limit)).await
    }

    pub(crate) async fn held_events(
        &self,
        consumer: &ConsumerName,
        key: &GateKey,
        range: (Index, Index),
        limit: u32,
        bytes_max: u64,
    ) -> Result<Vec<Event>, FailureLogError> {
        let made = self.log.held_events(consumer, key, range, limit, bytes_max);
        self.measured(Call::HeldEvents, 1, made).await
    }

    pub(crate) async fn stream(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
    ) -> Result<Option<StreamRecord>, FailureLogError> {
        self.measured(Call::Stream, 1, self.log.stream(consumer, stream)).await
    }

    pub(crate) async fn take_over(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        asked: &TakeOver,
    ) -> Result<Result<(Option<StreamRecord>, StreamRecord), StreamRefusal>, FailureLogError> {
        self.measured(Call::TakeOver, 1, self.log.take_over(consumer, stream, asked)).await
    }

    pub(crate) async fn settle(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        report: &Settle,
    ) -> Result<Result<StreamRecord, StreamRefusal>, FailureLogError> {
        self.measured(Call::Settle, 1, self.log.settle(consumer, stream, report)).await
    }

    pub(crate) async fn layout(
        &self,
        consumer: &ConsumerName,
        layout: &StreamName,
        step: &LayoutStep,
    ) -> Result<LayoutRecord, FailureLogError> {
        self.measured(Call::Layout, 1, self.log.layout(consumer, layout, step)).await
    }

    pub(crate) async fn has_unresolved(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        through: Index,
    ) -> Result<bool, FailureLogError> {
        self.measured(Call::HasUnresolved, 1, self.log.has_unresolved(consumer, stream, through)).await
    }

    pub(crate) async fn gated_entities(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        after: Option<&Bytes>,
        limit: u32,
        paused_only: bool,
    ) -> Result<Vec<Bytes>, FailureLogError> {
        let made = self.log.gated_entities(consumer, stream, after, limit, paused_only);
        self.measured(Call::GatedEntities, 1, made).await
    }

    pub(crate) async fn which_gated(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        entities: &[Bytes],
    ) -> Result<(Vec<bool>, Timestamp), FailureLogError> {
        let made = self.log.which_gated(consumer, stream, entities);
        self.measured(Call::WhichGated, entities.len(), made).await
    }

    pub(crate) async fn drop_tombstones(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        retention: Option<Duration>,
        limit: u32,
    ) -> Result<u64, FailureLogError> {
        let made = self.log.drop_tombstones(consumer, stream, retention, limit);
        self.measured(Call::DropTombstones, 1, made).await
    }

    pub(crate) async fn drop_audit(
        &self,
        consumer: &ConsumerName,
        retention: Duration,
        limit: u32,
    ) -> Result<u64, FailureLogError> {
        self.measured(Call::DropAudit, 1, self.log.drop_audit(consumer, retention, limit)).await
    }

    pub(crate) async fn totals(&self, consumer: &ConsumerName) -> Result<Totals, FailureLogError> {
        let totals = self.measured(Call::Totals, 1, self.log.totals(consumer)).await?;
        self.telemetry.totals(&totals);
        Ok(totals)
    }
}
