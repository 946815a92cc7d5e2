//! A worker: owns the turns of its share of the entities, and polls their handlers without a task per event.

mod revoke;
mod turns;

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

use super::{
    core::Core,
    fingerprint::{BuildIdentity, Fingerprint},
    lane::Lane,
    life::{Dispatched, NotDone},
    stream_state::StreamState,
    watchdog::Watched,
};
use crate::{Handler, Index, Outcome, gate::Verdict, telemetry};

/// After which what could not start is looked at again: an outage, somebody who runs alone.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What the conductor tells a worker.
pub(crate) enum ToWorker {
    /// A stream of which events will come.
    Stream(Arc<StreamState>),
    /// Events to take care of, of one stream.
    Events(Vec<Dispatched>),
    /// Nothing of this assignment starts any more; say when nothing of it runs.
    Revoke { slot: u64 },
    /// What still runs of this assignment is dropped.
    Drop { slot: u64 },
}

/// What became of one delivery.
pub(crate) struct Done {
    pub(crate) slot: u64,
    pub(crate) sequence: u64,
    pub(crate) index: Index,
    pub(crate) receipt: u64,
    pub(crate) bytes: usize,
    /// None: it is not done with, and given back.
    pub(crate) outcome: Option<Outcome>,
}

/// What a worker tells the conductor.
pub(crate) enum FromWorker {
    Done(Vec<Done>),
    /// A write was refused: the stream is somebody else's, or must be taken over again.
    Fenced {
        slot: u64,
    },
    /// The failure log refuses an event for good: its stream cannot go on.
    Stopped {
        slot: u64,
        index: Index,
        why: String,
    },
    /// Whether an entity of the stream waits for a limit on what is held.
    Limited {
        slot: u64,
        limited: bool,
    },
    /// Nothing of a revoked assignment runs any more; `clean`, if nothing had to be dropped.
    Drained {
        slot: u64,
        clean: bool,
    },
}

/// A worker's and a stream's handles in one allocation, so that events do not contend for them with other workers.
struct Station<H> {
    core: Arc<Core<H>>,
    stream: Arc<StreamState>,
}

/// A worker's view of one assignment.
struct Assigned<H> {
    station: Arc<Station<H>>,
    ready: VecDeque<Fingerprint>,
    running: usize,
    limited: usize,
    /// Nothing of it starts any more.
    closed: bool,
    /// The conductor waits to hear that nothing of it runs.
    revoked: bool,
    clean: bool,
}

/// How a life that was begun ended.
enum Ended {
    Handled(Result<Outcome, NotDone>),
    Decided(Result<Vec<Verdict>, NotDone>),
}

type Life = Pin<Box<dyn Future<Output = Ended> + Send>>;

struct Running {
    slot: u64,
    entity: Fingerprint,
    index: Index,
    life: Option<Life>,
    watched: Arc<Watched>,
}

impl Future for Running {
    type Output = (Fingerprint, Option<Ended>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let running = &mut *self;
        let Some(life) = &mut running.life else { return Poll::Ready((running.entity, None)) };
        running.watched.begin(running.slot, running.index);
        let polled = life.as_mut().poll(cx);
        running.watched.end();
        polled.map(|ended| (running.entity, Some(ended)))
    }
}

/// See the module.
pub(crate) struct Worker<H> {
    core: Arc<Core<H>>,
    place: usize,
    running_max: usize,
    inbox: mpsc::UnboundedReceiver<ToWorker>,
    conductor: mpsc::UnboundedSender<FromWorker>,
    watched: Arc<Watched>,
    streams: HashMap<u64, Assigned<H>, BuildIdentity>,
    lanes: HashMap<Fingerprint, Lane, BuildIdentity>,
    /// Entities whose first events the failure log must be asked about.
    asking: Vec<Fingerprint>,
    /// Those of them that wait for the end of an outage.
    postponed: Vec<Fingerprint>,
    running: FuturesUnordered<Running>,
    /// Handlers among what runs.
    handlers: usize,
    done: Vec<Done>,
    /// Whether this place counts as running handlers, for whoever wants to run alone.
    entered: bool,
    look_again: bool,
    /// When entities that wait for a limit ask again.
    ask_limited_at: Option<Instant>,
}

impl<H: Handler> Worker<H> {
    pub(crate) fn new(
        core: Arc<Core<H>>,
        (place, running_max): (usize, usize),
        inbox: mpsc::UnboundedReceiver<ToWorker>,
        conductor: mpsc::UnboundedSender<FromWorker>,
        watched: Watched,
    ) -> Self {
        Self {
            core,
            place,
            running_max,
            inbox,
            conductor,
            watched: Arc::new(watched),
            streams: HashMap::default(),
            lanes: HashMap::default(),
            asking: Vec::new(),
            postponed: Vec::new(),
            running: FuturesUnordered::new(),
            handlers: 0,
            done: Vec::new(),
            entered: false,
            look_again: false,
            ask_limited_at: None,
        }
    }

    /// Runs until the conductor is gone.
    pub(crate) async fn run(mut self) {
        loop {
            tokio::select! {
                message = self.inbox.recv() => {
                    let Some(message) = message else { return };
                    self.take(message);
                }
                Some((entity, ended)) = self.running.next(), if !self.running.is_empty() => {
                    self.ended(entity, ended);
                }
                () = sleep(LOOK_AGAIN), if self.look_again => {
                    self.look_again = false;
                    self.asking.append(&mut self.postponed);
                }
                () = sleep_until(self.ask_limited_at.unwrap_or_else(Instant::now)), if self.ask_limited_at.is_some() => {
                    self.ask_limited_at = None;
                    self.ask_limited();
                }
            }
            // Whatever else is there already shares this round's reports.
            while let Ok(message) = self.inbox.try_recv() {
                self.take(message);
            }
            while let Some(Some((entity, ended))) = self.running.next().now_or_never() {
                self.ended(entity, ended);
            }
            self.start_ready();
            self.report();
        }
    }

    fn take(&mut self, message: ToWorker) {
        match message {
            ToWorker::Stream(stream) => {
                let slot = stream.slot;
                let station = Arc::new(Station { core: Arc::clone(&self.core), stream });
                self.streams.insert(slot, Assigned::new(station));
            }
            ToWorker::Events(events) => {
                for event in events {
                    self.dispatch(event);
                }
            }
            ToWorker::Revoke { slot } => self.revoke(slot),
            ToWorker::Drop { slot } => self.drop_running(slot),
        }
    }

    fn tell(&self, message: FromWorker) {
        // A conductor that is gone has aborted this worker, or is about to.
        drop(self.conductor.send(message));
    }

    fn report(&mut self) {
        if !self.done.is_empty() {
            self.tell_done();
        }
        if self.entered && self.running.is_empty() {
            self.entered = false;
            self.core.solo.leave(self.place);
        }
    }

    fn tell_done(&mut self) {
        // The next round's are probably as many: growing step by step would copy them over and over.
        let next = Vec::with_capacity(self.done.len());
        let done = std::mem::replace(&mut self.done, next);
        self.tell(FromWorker::Done(done));
    }

    /// Gives a delivery back: it is not done with.
    fn give_back(&mut self, event: &Dispatched) {
        self.finish(event, None);
    }

    fn finish(&mut self, event: &Dispatched, outcome: Option<Outcome>) {
        let (slot, sequence, bytes) = (event.slot, event.sequence, event.bytes);
        let (index, receipt) = (event.delivery.event.index(), event.delivery.receipt);
        if let Some(outcome) = &outcome {
            telemetry::became(&self.core.name, &event.delivery.event, outcome);
        }
        self.done.push(Done { slot, sequence, index, receipt, bytes, outcome });
    }
}

impl<H> Assigned<H> {
    fn new(station: Arc<Station<H>>) -> Self {
        let ready = VecDeque::new();
        Self { station, ready, running: 0, limited: 0, closed: false, revoked: false, clean: true }
    }
}
