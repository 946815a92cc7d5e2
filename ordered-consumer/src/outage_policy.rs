//! When failures are an outage.

use std::{fmt, time::Duration};

/// When failures are taken for an outage of what all events need, and what is done then: the stream pauses and probes,
/// instead of filing every entity in the failure log.
///
/// The breaker of a stream **opens** when so many *different* entities have failed within a time, and their failures are
/// at least a share of all runs meanwhile; one entity counts once, however often it fails, and a handful of bad ones
/// never opens it. A failed retry counts a fifth. [`permanent`](crate::permanent()) and [`ignore`](crate::ignore())
/// count as successes: whoever says so has an answer. A handler that says [`unavailable`](crate::unavailable()) opens it
/// at once, whatever the policy says.
///
/// While it is open, one event at a time is tried, in turn, with growing pauses; no attempt is counted, nothing is
/// acknowledged, and retries from the failure log pause, too. An entity that fails as often as
/// [`probes_per_entity`](Self::probes_per_entity) says is filed after all, so that one that is truly bad does not keep
/// the others waiting. The first success lets a few run at once, each further one more, and after 32 it is closed.
///
/// ```
/// # use std::time::Duration;
/// # use ordered_consumer::OutagePolicy;
/// let policy = OutagePolicy::default().entities(50).window(Duration::from_secs(30));
/// assert_eq!(
///     policy.to_string(),
///     "opens when 50 entities fail within 30s, with 50 % of all runs; probes after 500ms up to 30s",
/// );
/// ```
///
/// # Limits
///
/// No value is refused: what lies outside a limit is set to the nearest value inside it.
#[derive(Clone, Debug, PartialEq)]
pub struct OutagePolicy {
    pub(crate) is_on: bool,
    pub(crate) entities: usize,
    pub(crate) share: f64,
    pub(crate) window: Duration,
    pub(crate) wait_min: Duration,
    pub(crate) wait_max: Duration,
    pub(crate) probes: u32,
}

impl Default for OutagePolicy {
    /// 20 entities within a minute, with half of all runs; probes after half a second, doubled up to 30 s; 5 probes for
    /// each entity.
    ///
    /// Twenty are more than a bad import or a few broken customers produce, and few enough that what is filed before it
    /// opens is looked through in a minute.
    fn default() -> Self {
        Self {
            is_on: true,
            entities: 20,
            share: 0.5,
            window: Duration::from_secs(60),
            wait_min: Duration::from_millis(500),
            wait_max: Duration::from_secs(30),
            probes: 5,
        }
    }
}

impl OutagePolicy {
    /// Failures never open the breaker, however many entities they come from: each is filed. A handler that says
    /// [`unavailable`](crate::unavailable()) still does.
    #[must_use]
    pub fn off() -> Self {
        Self { is_on: false, ..Self::default() }
    }

    /// How many different entities must have failed, 2 to 1,000.
    #[must_use]
    pub fn entities(mut self, entities: usize) -> Self {
        self.entities = entities.clamp(2, 1_000);
        self
    }

    /// Which share of all runs must have failed while those entities did, 0.01 to 1.
    #[must_use]
    pub fn share(mut self, share: f64) -> Self {
        // What is not a number is as good as the most careful share.
        self.share = if share.is_nan() { 1.0 } else { share.clamp(0.01, 1.0) };
        self
    }

    /// Within how long they must have failed, at most an hour.
    #[must_use]
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window.min(Duration::from_secs(3_600));
        self
    }

    /// How long to wait before the first probe, at least a millisecond, and at most between two; it doubles after each
    /// that fails.
    #[must_use]
    pub fn wait(mut self, first: Duration, longest: Duration) -> Self {
        self.wait_min = first.max(Duration::from_millis(1));
        self.wait_max = longest.max(self.wait_min);
        self
    }

    /// How often an entity may fail while the breaker is open before it is filed, 1 or more.
    #[must_use]
    pub fn probes_per_entity(mut self, probes: u32) -> Self {
        self.probes = probes.max(1);
        self
    }
}

impl fmt::Display for OutagePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entities, share, window, wait_min, wait_max, .. } = self;
        if !self.is_on {
            return write!(
                f,
                "off, but for handlers that say `unavailable`; probes after {wait_min:?} up to {wait_max:?}"
            );
        }
        let percent = share * 100.0;
        write!(
            f,
            "opens when {entities} entities fail within {window:?}, with {percent:.0} % of all runs; probes after {wait_min:?} up to {wait_max:?}"
        )
    }
}
