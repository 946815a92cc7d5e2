//! What faulty stores make of layouts.

use ordered_consumer::{
    ConsumerName, FailureLog, FailureLogError, Index, StreamName,
    gate::{LayoutChange, LayoutRecord, LayoutStep, step_layout},
};

use crate::{fault::Fault, mutant::Mutant};

impl Mutant {
    pub(crate) async fn bent_layout(
        &self,
        consumer: &ConsumerName,
        layout: &StreamName,
        step: &LayoutStep,
    ) -> Result<LayoutRecord, FailureLogError> {
        if self.has(Fault::KeepsLayoutsOfNewStreams) || self.has(Fault::LooksAtLayoutsWithoutALock) {
            return Ok(self.own_layout(consumer, layout, step).await);
        }
        let before = self.inner.layout(consumer, layout, &LayoutStep::Look).await?;
        let mut step = step.clone();
        if let LayoutStep::See { identity, streams } = &step {
            if self.has(Fault::ForgetsLayoutIdentities) {
                step = LayoutStep::See { identity: None, streams: *streams };
            } else if self.has(Fault::CountsStreamsIn16Bits) {
                step = LayoutStep::See { identity: identity.clone(), streams: streams & 0xFFFF };
            } else if self.has(Fault::AdmitsWhateverItSees) {
                step = LayoutStep::AdmitAll { identity: identity.clone(), streams: *streams };
            }
        }
        match &step {
            LayoutStep::Look if self.has(Fault::SeesAStreamWhenItLooks) => {
                step = LayoutStep::See { identity: None, streams: 1 };
            }
            LayoutStep::Admit { .. } if self.has(Fault::AdmitsAnyChange) => {
                let now = before.waiting.first().copied().unwrap_or(before.admitted);
                let change = LayoutChange { old: before.admitted, now };
                step = LayoutStep::Admit { generation: before.generation, change };
            }
            LayoutStep::AdmitAll { identity, streams } if self.has(Fault::NeverAdmitsAll) => {
                step = LayoutStep::See { identity: identity.clone(), streams: *streams };
            }
            LayoutStep::Look
            | LayoutStep::See { .. }
            | LayoutStep::AdmitAll { .. }
            | LayoutStep::Admit { .. }
            | LayoutStep::Forget => {}
        }
        self.inner.layout(consumer, layout, &step).await
    }

    /// Layouts beside the log that is broken, where a decision about a stream does not find them.
    async fn own_layout(
        &self,
        consumer: &ConsumerName,
        layout: &StreamName,
        step: &LayoutStep,
    ) -> LayoutRecord {
        let key = (consumer.clone(), layout.clone());
        let before = self.memory.lock().unwrap().layouts.get(&key).cloned();
        if self.has(Fault::LooksAtLayoutsWithoutALock) {
            tokio::task::yield_now().await;
        }
        let record = step_layout(before.as_ref(), step);
        self.memory.lock().unwrap().layouts.insert(key, record.clone());
        record
    }

    pub(crate) async fn bent_unresolved(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        through: Index,
    ) -> Result<bool, FailureLogError> {
        if self.has(Fault::TakesTombstonesForUnresolved) {
            let gated = self.inner.gated_entities(consumer, stream, None, 1, false).await?;
            return Ok(!gated.is_empty());
        }
        if self.has(Fault::OverlooksTheUnresolved) {
            return Ok(false);
        }
        self.inner.has_unresolved(consumer, stream, through).await
    }
}
