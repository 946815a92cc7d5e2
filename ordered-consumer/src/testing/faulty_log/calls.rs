//! How often each method was called.

/// How often each method of a failure log was called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Calls of `apply`.
    pub apply: u64,
    /// Requests in these calls.
    pub requests: u64,
    /// Calls of `take_due`.
    pub take_due: u64,
    /// Calls of `held_events`.
    pub held_events: u64,
    /// Calls of `stream`.
    pub stream: u64,
    /// Calls of `take_over`.
    pub take_over: u64,
    /// Calls of `settle`.
    pub settle: u64,
    /// Calls of `decide_stream`.
    pub decide_stream: u64,
    /// Calls of `layout`.
    pub layout: u64,
    /// Calls of `has_unresolved`.
    pub has_unresolved: u64,
    /// Calls of `gated_entities`.
    pub gated_entities: u64,
    /// Calls of `which_gated`.
    pub which_gated: u64,
    /// Calls of `drop_tombstones`.
    pub drop_tombstones: u64,
    /// Calls of `list`.
    pub list: u64,
    /// Calls of `counts`.
    pub counts: u64,
    /// Calls of `conflicts`.
    pub conflicts: u64,
    /// Calls of `original`.
    pub original: u64,
    /// Calls of `audit`.
    pub audit: u64,
    /// Calls of `drop_audit`.
    pub drop_audit: u64,
    /// Calls of `totals`.
    pub totals: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Apply,
    TakeDue,
    HeldEvents,
    Stream,
    TakeOver,
    Settle,
    DecideStream,
    Layout,
    HasUnresolved,
    GatedEntities,
    WhichGated,
    DropTombstones,
    List,
    Counts,
    Conflicts,
    Original,
    Audit,
    DropAudit,
    Totals,
}

impl Method {
    /// Whether a lost connection leaves it unknown what is written.
    pub(super) const fn writes(self) -> bool {
        match self {
            Self::Apply | Self::TakeDue | Self::TakeOver | Self::Settle => true,
            Self::DecideStream | Self::Layout | Self::DropTombstones | Self::DropAudit => true,
            Self::HeldEvents | Self::Stream | Self::GatedEntities | Self::WhichGated => false,
            Self::List | Self::Counts | Self::Conflicts | Self::Original => false,
            Self::Audit | Self::Totals | Self::HasUnresolved => false,
        }
    }
}

impl Calls {
    /// All calls together.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.apply
            + self.take_due
            + self.held_events
            + self.stream
            + self.take_over
            + self.settle
            + self.decide_stream
            + self.layout
            + self.has_unresolved
            + self.gated_entities
            + self.which_gated
            + self.drop_tombstones
            + self.list
            + self.counts
            + self.conflicts
            + self.original
            + self.audit
            + self.drop_audit
            + self.totals
    }

    pub(super) fn count(&mut self, method: Method, requests: usize) {
        let calls = match method {
            Method::Apply => &mut self.apply,
            Method::TakeDue => &mut self.take_due,
            Method::HeldEvents => &mut self.held_events,
            Method::Stream => &mut self.stream,
            Method::TakeOver => &mut self.take_over,
            Method::Settle => &mut self.settle,
            Method::DecideStream => &mut self.decide_stream,
            Method::Layout => &mut self.layout,
            Method::HasUnresolved => &mut self.has_unresolved,
            Method::GatedEntities => &mut self.gated_entities,
            Method::WhichGated => &mut self.which_gated,
            Method::DropTombstones => &mut self.drop_tombstones,
            Method::List => &mut self.list,
            Method::Counts => &mut self.counts,
            Method::Conflicts => &mut self.conflicts,
            Method::Original => &mut self.original,
            Method::Audit => &mut self.audit,
            Method::DropAudit => &mut self.drop_audit,
            Method::Totals => &mut self.totals,
        };
        *calls += 1;
        self.requests += requests as u64;
    }
}
