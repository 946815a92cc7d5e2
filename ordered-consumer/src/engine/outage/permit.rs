//! The right to run while a stream's breaker is not closed.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Outage;

/// How a run was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The breaker was closed.
    Free,
    /// It was half-open.
    Ramp,
    /// It was open, and this one probes.
    Probe,
}

/// Given back when it is dropped.
pub(crate) struct Permit<'a> {
    outage: Option<&'a Outage>,
    kind: Kind,
}

impl<'a> Permit<'a> {
    pub(crate) const FREE: Self = Self { outage: None, kind: Kind::Free };

    pub(super) fn of(outage: &'a Outage, kind: Kind) -> Self {
        Self { outage: Some(outage), kind }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let Some(outage) = self.outage else { return };
        let mut inner = outage.inner();
        match self.kind {
            Kind::Free => {}
            Kind::Ramp => inner.running = inner.running.saturating_sub(1),
            Kind::Probe => inner.probing = false,
        }
        drop(inner);
        outage.changed.notify_waiters();
    }
}

/// One that waits to be let in.
pub(super) struct Waiting<'a>(pub(super) &'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
