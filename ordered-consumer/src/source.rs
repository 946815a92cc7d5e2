//! What an adapter implements to hand over a broker's events.

use std::{
    fmt,
    future::{Future, ready},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use crate::{BoxError, Event, Index, Layout, StreamName};

/// Who may receive a stream's next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// One consumer at a time reads the stream, as with Kafka's partitions.
    Owned,
    /// Any consumer may receive the next event, as with SQS queues.
    Shared,
}

/// One assignment of a stream to this source. When a stream is assigned again, the epoch is another one, so that
/// whatever belongs to an assignment that is gone can be told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Assignment {
    /// The stream.
    pub stream: StreamName,
    /// Different for each assignment by this source.
    pub epoch: u64,
}

/// A stream that the broker has assigned to this source.
#[derive(Clone, Debug)]
pub struct AssignedStream {
    /// The assignment.
    pub assignment: Assignment,
    /// Until when an owned stream is known to be this source's, extended with every proof of it: nothing of the stream
    /// starts later. None where the broker gives no such time.
    pub lease: Option<Lease>,
}

/// What the broker says of a stream once it has confirmed the assignment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confirmation {
    /// What tells the stream from another one of the same name, where the broker has such a thing: what was deleted and
    /// created again has another one. Whoever confirms the stream says the same of it, in whatever process.
    pub identity: Option<Bytes>,
    /// Of an owned stream, the index of the next event that the broker will deliver, where it tells: everything below is
    /// done with.
    pub position: Option<Index>,
    /// Of an owned stream, among which streams the broker spreads the entities of its topic; none where it never adds any.
    pub layout: Option<Layout>,
}

/// The broker's answer to [`EventSource::confirm`], which may be waited for while the source is used: what it says of the
/// stream, or nothing when the assignment is not this source's any more.
pub type Confirming = Pin<Box<dyn Future<Output = Result<Option<Confirmation>, SourceError>> + Send>>;

/// The last index that there has ever been in each of a layout's first streams, in the order of their numbers; none for
/// one that never had an event.
pub type LastIndexes = Pin<Box<dyn Future<Output = Result<Vec<Option<Index>>, SourceError>> + Send>>;

/// One event handed over.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The event; its context says whether the broker has delivered it before.
    pub event: Event,
    /// The source's own name for this delivery, given back when it is settled or abandoned.
    pub receipt: u64,
    /// On a shared stream, until when the broker gives the event to nobody else.
    pub lease: Option<Lease>,
}

/// A copy that came back from the retry stream. Nothing else that it carries is believed: the failure log has the
/// event.
#[derive(Clone, Debug)]
pub struct ReturnedCopy {
    /// The stream that the event first came from.
    pub stream: StreamName,
    /// Its entity.
    pub entity: Bytes,
    /// Its index there.
    pub index: Index,
    /// Attempts made on it when it was published.
    pub attempts: u32,
    /// The source's own name for this delivery.
    pub receipt: u64,
}

impl From<Event> for Delivery {
    fn from(event: Event) -> Self {
        Self { event, receipt: 0, lease: None }
    }
}

/// What a source has to say.
#[derive(Debug)]
#[non_exhaustive]
pub enum SourceMessage {
    /// Streams were assigned. Of an owned stream nothing may be delivered before the engine has confirmed it; of a shared one
    /// something may, and waits for that.
    Assigned(Vec<AssignedStream>),
    /// Streams are being taken away. The engine lets running handlers end, settles what it can, and calls
    /// [`EventSource::release`]; when they are `lost`, the broker has given them to somebody else already.
    Revoked {
        /// Which.
        assignments: Vec<Assignment>,
        /// Whether it has happened already.
        lost: bool,
    },
    /// Events of one stream, by ascending index; of a shared stream, those of one receive.
    Events {
        /// The assignment under which they were delivered.
        assignment: Assignment,
        /// At least one.
        deliveries: Vec<Delivery>,
    },
    /// What is at this index of the stream cannot be handed over as an event. What came before it goes on; the stream
    /// stops there, and waits for an operator.
    Unreadable {
        /// The assignment under which it was delivered.
        assignment: Assignment,
        /// Where it is.
        index: Index,
        /// What is wrong with it, and what to do; without its key or payload.
        why: String,
    },
    /// Copies that came back from the retry stream.
    Copies(Vec<ReturnedCopy>),
    /// The broker has confirmed that everything up to and including this index is done.
    Settled {
        /// The stream's assignment.
        assignment: Assignment,
        /// The index.
        through: Index,
    },
    /// There will be nothing more.
    Ended,
}

/// Events of one stream that are done with: handled, or durable in the failure log.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The assignment under which they were delivered.
    pub assignment: Assignment,
    /// The index and receipt of each, in the order in which they became done; within an entity, that is index order.
    pub events: Vec<(Index, u64)>,
    /// The receipts of those among them that the failure log holds, because an earlier event of their entity is in it. There is
    /// no hurry with what comes next of these entities: it will only be held, too.
    pub held: Vec<u64>,
    /// Every event delivered under this assignment up to and including this index is done.
    pub watermark: Option<Index>,
}

/// Why a source failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The broker cannot be reached at the moment; the source goes on trying when it is asked again.
    #[error("the broker is unavailable")]
    Unavailable(#[source] BoxError),
    /// The source cannot go on.
    #[error("the source cannot go on: {why}")]
    Fatal {
        /// What happened, and what to do.
        why: String,
        /// What the broker's client said.
        #[source]
        source: Option<BoxError>,
    },
}

/// An adapter's consuming half. The engine calls everything from one task, and never waits for a handler in between.
///
/// For an adapter to be correct,
/// * `next` is **cancel safe**: a dropped call has taken nothing that a later call will not return;
/// * events of a stream come by ascending index within an assignment, and a stream that comes again begins at or
///   before the first event that was not settled;
/// * nothing is told "done" to the broker that was not settled, and on an owned stream nothing past the watermark;
/// * on a shared stream, messages of an entity are told "done" in order, and once one is refused the rest of its
///   receive is abandoned;
/// * a settlement of an assignment that is gone is dropped.
#[async_trait]
pub trait EventSource: Send {
    /// What it reads, in a few words, without credentials: `Kafka topics orders (group billing)`.
    fn describe(&self) -> String;

    /// Whether its streams are owned or shared.
    fn sharing(&self) -> Sharing;

    /// Waits for the next thing to say. Cancel safe.
    ///
    /// # Errors
    /// [`SourceError::Unavailable`] is reported and asked again; [`SourceError::Fatal`] ends the run.
    async fn next(&mut self) -> Result<SourceMessage, SourceError>;

    /// Has the broker confirm that the assignment is still this source's, after the failure log's generation was read.
    /// If it is, its events are delivered from here on, from the first one that is not settled, even if some of them
    /// were delivered before: a stream that must be taken over again is confirmed again. Whatever `next` has returned of
    /// the assignment before this call counts for nothing any more, and whatever it returns afterwards belongs to the
    /// new beginning, be it before or after the answer is ready.
    ///
    /// A shared stream is confirmed, too, so that the engine learns its identity before it believes what the failure log says of
    /// its indexes. It is this source's for as long as the source lives, and what was delivered before still counts.
    ///
    /// The source is used while the answer is waited for, so that it may ask its broker about many assignments at once.
    /// Dropping the answer takes nothing back.
    ///
    /// # Errors
    /// The answer's are as those of [`next`](Self::next).
    fn confirm(&mut self, assignment: &Assignment) -> Confirming;

    /// Asks the broker how far the first `streams` streams of the assignment's [`Layout`] reach at this moment. Asked only
    /// when streams were added, and until they are admitted. Dropping the answer takes nothing back.
    ///
    /// What is told must not be older than the call, and it may be newer. It is the last index that there *has been*: that
    /// of an event which the broker keeps no longer counts, too, because it may be held in the failure log. For Kafka,
    /// that is one less than the high watermark. The stream's own source says that it is [settled](SourceMessage::Settled)
    /// so far once nothing is left to deliver, also when what lies there is no event.
    ///
    /// # Errors
    /// Whatever the error, the streams that were added go on waiting, and it is asked again.
    fn last_indexes(&mut self, assignment: &Assignment, streams: u32) -> LastIndexes {
        let _ = (assignment, streams);
        let why = "the source told of a layout, and does not tell how far its streams reach".to_owned();
        Box::pin(ready(Err(SourceError::Fatal { why, source: None })))
    }

    /// Asks for no more events of the stream until it is resumed; those under way may still come.
    fn pause(&mut self, assignment: &Assignment);

    /// Asks for the stream's events again.
    fn resume(&mut self, assignment: &Assignment);

    /// Takes note of events that are done with, to tell the broker. In any order, and without waiting.
    fn settle(&mut self, settlement: Settlement);

    /// Gives deliveries back that were not done with, in order, so that the broker may deliver them again soon.
    fn abandon(&mut self, assignment: &Assignment, receipts: &[u64]) {
        let _ = (assignment, receipts);
    }

    /// Asks for no more copies from the retry stream until they are resumed; those under way may still come.
    fn pause_copies(&mut self) {}

    /// Asks for copies again.
    fn resume_copies(&mut self) {}

    /// Takes note of copies from the retry stream that are done with.
    fn settle_copies(&mut self, receipts: &[u64]) {
        let _ = receipts;
    }

    /// Nothing of a revoked assignment runs any more: the broker may go on.
    fn release(&mut self, assignment: &Assignment);

    /// Tells the broker what is still to be told, and leaves. Called once, at the end.
    ///
    /// # Errors
    /// As [`next`](Self::next): what was not told is delivered again to whoever comes next.
    async fn close(&mut self) -> Result<(), SourceError>;
}

/// Until when the broker gives a shared stream's delivery to nobody else: one lease for all messages of an entity in
/// one receive, the earliest of theirs, less a margin. Clones share it; the source extends it while it can.
#[derive(Clone)]
pub struct Lease {
    start: Instant,
    end_after_micros: Arc<AtomicU64>,
}

/// It is over, however long it was to last.
const ENDED: u64 = u64::MAX;

impl Lease {
    /// A lease that begins now.
    #[must_use]
    pub fn new(lasts: Duration) -> Self {
        let lease = Self { start: Instant::now(), end_after_micros: Arc::default() };
        lease.extend(lasts);
        lease
    }

    /// Lets the lease last so long from now; never shortens it, and does nothing once it was [ended](Self::end).
    pub fn extend(&self, lasts: Duration) {
        let end = self.start.elapsed().saturating_add(lasts);
        let micros = u64::try_from(end.as_micros()).unwrap_or(ENDED).min(ENDED - 1);
        // The highest of all numbers is never raised: what was ended stays so.
        self.end_after_micros.fetch_max(micros, Ordering::SeqCst);
    }

    /// Ends the lease for good, as when the broker has said that it is gone, or an event of it is not done with: what is
    /// behind that must not start, whoever extends the lease meanwhile.
    pub fn end(&self) {
        self.end_after_micros.store(ENDED, Ordering::SeqCst);
    }

    /// How long it still lasts; zero once it is over.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        match self.end_after_micros.load(Ordering::SeqCst) {
            ENDED => Duration::ZERO,
            end => Duration::from_micros(end).saturating_sub(self.start.elapsed()),
        }
    }
}

/// Two leases are the same when one ends with the other.
impl PartialEq for Lease {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.end_after_micros, &other.end_after_micros)
    }
}

impl Eq for Lease {}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a lease for {:?}", self.remaining())
    }
}
