//! What a stream that was added to its topic waits for.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::{core::Core, persist};
use crate::{
    FailureLogError, Handler, Index, Layout, StreamsAdded,
    gate::{LayoutChange, LayoutRecord, LayoutStep, has_passed},
};

/// See the module.
pub(crate) struct LayoutWait {
    pub(crate) layout: Layout,
    pub(crate) identity: Option<Bytes>,
    pub(crate) since: Instant,
    /// How far the old streams reach, once that was asked.
    pub(crate) reach: Option<Reach>,
    /// What was told last; a log line is written when it changes.
    pub(crate) told: Option<Blocker>,
}

/// How far the old streams of a change reached at a time after it.
#[derive(Clone)]
pub(crate) struct Reach {
    generation: u64,
    change: LayoutChange,
    last: Arc<Vec<Option<Index>>>,
    /// So many of them have passed it, and so for good.
    passed: u32,
}

/// What is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Blocker {
    /// Producers may not have noticed the change yet.
    Producers,
    /// The source does not tell how far the old streams reach.
    Source(String),
    /// An earlier change's streams have not been admitted.
    EarlierChange(LayoutChange),
    /// An old stream has not settled all that it held.
    Settling { old: u32, last: Index, settled: Option<Index> },
    /// Something of that is not resolved.
    Unresolved { old: u32, last: Index },
    /// The failure log refuses.
    Log(String),
}

impl Reach {
    pub(crate) fn new(generation: u64, change: LayoutChange, last: Vec<Option<Index>>) -> Self {
        Self { generation, change, last: Arc::new(last), passed: 0 }
    }

    pub(crate) fn is_of(&self, generation: u64, change: LayoutChange) -> bool {
        self.generation == generation && self.change == change
    }
}

impl Blocker {
    /// What it is in few words, however far it has come.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Settling { old, .. }, Self::Settling { old: other, .. })
            | (Self::Unresolved { old, .. }, Self::Unresolved { old: other, .. }) => old == other,
            (one, other) => one == other,
        }
    }

    pub(crate) fn tell(&self, layout: &Layout) -> String {
        let name = &layout.name;
        match self {
            Self::Producers => format!("producers may not have noticed that streams were added to {name}"),
            Self::Source(why) => format!("the broker does not tell how far the old streams reach: {why}"),
            Self::EarlierChange(change) => format!(
                "streams {name}/{} to {name}/{}, which were added before it, wait themselves",
                change.old,
                change.now.saturating_sub(1)
            ),
            Self::Settling { old, last, settled } => {
                let settled = settled.map_or_else(|| "nothing".to_owned(), |index| format!("index {index}"));
                format!("stream {name}/{old} is to be settled up to index {last}, and is up to {settled}")
            }
            Self::Unresolved { old, last } => format!(
                "stream {name}/{old} has events in the failure log, up to index {last}, that are not resolved"
            ),
            Self::Log(why) => format!("the failure log refuses: {why}"),
        }
    }
}

/// Takes note of what the broker says of a layout.
pub(crate) async fn see<H: Handler>(
    core: &Core<H>,
    layout: &Layout,
    identity: Option<&Bytes>,
) -> Result<LayoutRecord, FailureLogError> {
    // The stream itself is there, whatever the source has counted.
    let streams = layout.streams.max(layout.number.saturating_add(1));
    let identity = identity.cloned();
    let step = match core.streams_added {
        StreamsAdded::Wait => LayoutStep::See { identity, streams },
        StreamsAdded::Continue => LayoutStep::AdmitAll { identity, streams },
    };
    persist::persist(&core.name, &core.streams, "looking at a layout", || {
        core.log.layout(&core.name, &layout.name, &step)
    })
    .await
}

/// Looks whether the old streams have passed; admits the new ones if they have.
pub(crate) async fn try_to_admit<H: Handler>(
    core: &Core<H>,
    layout: &Layout,
    identity: Option<&Bytes>,
    reach: &mut Reach,
) -> Result<LayoutRecord, Blocker> {
    let refused = |error: FailureLogError| Blocker::Log(crate::error_text(&error));
    while reach.passed < reach.change.old {
        let old = reach.passed;
        let last = usize::try_from(old).ok().and_then(|place| reach.last.get(place)).copied();
        let last = last.ok_or_else(|| Blocker::Source("it tells of fewer streams than there were".into()))?;
        if let Some(last) = last {
            passes(core, layout, identity, (old, last)).await?;
        }
        reach.passed += 1;
    }
    let step = LayoutStep::Admit { generation: reach.generation, change: reach.change };
    let admit = || core.log.layout(&core.name, &layout.name, &step);
    persist::persist(&core.name, &core.streams, "admitting streams", admit).await.map_err(refused)
}

async fn passes<H: Handler>(
    core: &Core<H>,
    layout: &Layout,
    identity: Option<&Bytes>,
    (old, last): (u32, Index),
) -> Result<(), Blocker> {
    let refused = |error: FailureLogError| Blocker::Log(crate::error_text(&error));
    let name = layout.stream(old).map_err(|error| Blocker::Source(error.to_string()))?;
    let doing = "looking at a stream";
    let read = || core.log.stream(&core.name, &name);
    let record = persist::persist(&core.name, &core.streams, doing, read).await.map_err(refused)?;
    if !has_passed(record.as_ref(), identity, Some(last), false) {
        let settled = record.and_then(|record| record.settled);
        return Err(Blocker::Settling { old, last, settled });
    }
    // After the record: what was settled is in the log by then, if it was not handled.
    let find = || core.log.has_unresolved(&core.name, &name, last);
    let unresolved = persist::persist(&core.name, &core.streams, doing, find).await.map_err(refused)?;
    if has_passed(record.as_ref(), identity, Some(last), unresolved) {
        return Ok(());
    }
    Err(Blocker::Unresolved { old, last })
}
