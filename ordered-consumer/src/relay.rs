//! The relay: takes gates that are due, and brings their events back, through the broker or in this process.

mod audit;
mod claimed;
mod copies;
mod mirror;
mod outbox;
mod postponed;

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use self::{copies::Copies, mirror::Mirroring, postponed::Postponed};
use crate::{DueGates, GateKey, Handler, ParkCause, ReturnedCopy, TakenGate, engine::core::Core};

/// What the conductor tells the relay.
pub(crate) enum ToRelay {
    /// Copies came back from the retry stream.
    Copies(Vec<ReturnedCopy>),
    /// Nothing new begins; what runs may end, within the time for that.
    Stop,
}

/// How far the relay has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stopping {
    No,
    /// Runs end, and claim nothing more.
    Soon,
    /// Runs are dropped, and their claims given back.
    Now,
}

/// What a piece of the relay's work has come to.
pub(crate) enum Ended {
    Looked(DueGates),
    /// Old lines of the audit were dropped, or it was tried.
    Swept,
    /// A gate was published, or run.
    Gate,
    /// Its stream's breaker is not closed.
    Paused(TakenGate),
    /// The broker refuses the head for good, so it goes back in-process.
    Refused(TakenGate),
    /// A copy is done with.
    Copy(GateKey, u64),
    /// A parked event was mirrored, or it was tried.
    Mirrored,
}

/// See the module.
pub(crate) struct Relay<H> {
    core: Arc<Core<H>>,
    inbox: mpsc::UnboundedReceiver<ToRelay>,
    settled_copies: mpsc::UnboundedSender<Vec<u64>>,
    work: FuturesUnordered<BoxFuture<'static, Ended>>,
    /// Gates and copies among the work.
    busy: usize,
    looking: bool,
    /// When old lines of the audit are dropped next; none while they are.
    sweep_at: Option<Instant>,
    copies: Copies,
    postponed: Postponed,
    mirroring: Mirroring,
    stopping: watch::Sender<Stopping>,
    drop_at: Option<Instant>,
}

impl<H: Handler> Relay<H> {
    pub(crate) fn new(
        core: Arc<Core<H>>,
        inbox: mpsc::UnboundedReceiver<ToRelay>,
        settled_copies: mpsc::UnboundedSender<Vec<u64>>,
    ) -> Self {
        Self {
            core,
            inbox,
            settled_copies,
            work: FuturesUnordered::new(),
            busy: 0,
            looking: false,
            sweep_at: Some(Instant::now() + audit::SWEEP_FIRST),
            copies: Copies::default(),
            postponed: Postponed::default(),
            mirroring: Mirroring::default(),
            stopping: watch::Sender::new(Stopping::No),
            drop_at: None,
        }
    }

    /// Runs until it is told to stop and nothing runs any more.
    pub(crate) async fn run(mut self) {
        // At the start, look at once: a release may have been committed, and its relay died.
        self.look();
        loop {
            let stopping = *self.stopping.borrow() != Stopping::No;
            if stopping && self.work.is_empty() {
                return;
            }
            let free = !stopping && !self.looking && self.room() > 0;
            let core = Arc::clone(&self.core);
            let look_at = self.postponed.look_at();
            tokio::select! {
                told = self.inbox.recv(), if !stopping => match told {
                    Some(ToRelay::Copies(copies)) => self.copies.add(copies),
                    Some(ToRelay::Stop) | None => self.stop(),
                },
                Some(ended) = self.work.next(), if !self.work.is_empty() => self.ended(ended),
                () = core.due.wait(core.timeouts.poll), if free => self.look(),
                () = sleep_until(look_at.unwrap_or_else(Instant::now)), if look_at.is_some() => {}
                () = sleep_until(self.drop_at.unwrap_or_else(Instant::now)), if self.drop_at.is_some() => {
                    self.drop_at = None;
                    self.stopping.send_replace(Stopping::Now);
                }
            }
            self.start_copies();
            self.start_mirroring();
            let room = self.room();
            for taken in self.postponed.take(&core, room) {
                self.bring_back(taken);
            }
        }
    }

    fn room(&self) -> usize {
        self.core.limits.retries_running_max.max(1).saturating_sub(self.busy)
    }

    fn stop(&mut self) {
        self.stopping.send_replace(Stopping::Soon);
        self.drop_at = Some(Instant::now() + self.core.timeouts.drain);
        self.copies.clear();
        self.postponed.clear();
        self.mirroring.clear();
    }

    /// Takes as many due gates as there is room for.
    fn look(&mut self) {
        self.sweep();
        self.looking = true;
        let core = Arc::clone(&self.core);
        let limit = u32::try_from(self.room()).unwrap_or(u32::MAX).min(1_000);
        self.work.push(Box::pin(async move {
            match core.log.take_due(&core.name, &core.settings, limit).await {
                Ok(due) => {
                    core.telemetry.relay_looked(due.overdue);
                    for key in &due.parked {
                        core.stream(&key.stream).tally.count_parked(ParkCause::LostRun);
                        tracing::error!(consumer = %core.name, stream = %key.stream, cause = ParkCause::LostRun.as_str(), "an entity is parked, because its last run was lost; its later events are held until an operator acts");
                    }
                    Ended::Looked(due)
                }
                Err(error) => {
                    let error = crate::error_text(&error);
                    tracing::warn!(consumer = %core.name, error, "the relay cannot look for what is due, and looks again later");
                    Ended::Looked(DueGates::default())
                }
            }
        }));
    }

    /// Drops old lines of the audit, every so often: the relay is what every consumer has, whoever reads its events.
    fn sweep(&mut self) {
        if self.sweep_at.take_if(|at| *at <= Instant::now()).is_some() {
            let (core, stopping) = (Arc::clone(&self.core), self.stopping.subscribe());
            self.work.push(Box::pin(async move { audit::sweep(&core, &stopping).await }));
        }
    }

    fn ended(&mut self, ended: Ended) {
        match ended {
            Ended::Looked(due) => {
                self.looking = false;
                let limit = self.room();
                if let Some(next) = due.next_due_in {
                    self.core.due.hint(next);
                }
                if due.taken.len() + due.to_mirror.len() >= limit {
                    self.core.due.hint(Duration::ZERO);
                }
                due.taken.into_iter().for_each(|taken| self.bring_back(taken));
                self.mirroring.add(due.to_mirror);
            }
            Ended::Swept => self.sweep_at = Some(Instant::now() + audit::SWEEP_EVERY),
            Ended::Gate => self.busy -= 1,
            Ended::Mirrored => self.mirroring.ended(),
            Ended::Paused(taken) => {
                self.busy -= 1;
                self.postponed.add(taken);
            }
            Ended::Refused(taken) => {
                self.busy -= 1;
                self.run_here(taken);
            }
            Ended::Copy(key, receipt) => {
                self.busy -= 1;
                self.copies.ended(&key);
                // A conductor that is gone has nobody to tell.
                drop(self.settled_copies.send(vec![receipt]));
            }
        }
    }

    fn bring_back(&mut self, taken: TakenGate) {
        if *self.stopping.borrow() != Stopping::No {
            // Its due time comes again.
            return;
        }
        if self.core.stream(&taken.key.stream).outage.try_admit().is_err() {
            self.postponed.add(taken);
            return;
        }
        match self.core.publisher.clone() {
            None => self.run_here(taken),
            Some(publisher) => {
                self.busy += 1;
                let core = Arc::clone(&self.core);
                self.work.push(Box::pin(async move { outbox::publish(&core, &*publisher, taken).await }));
            }
        }
    }

    fn run_here(&mut self, taken: TakenGate) {
        self.busy += 1;
        let (core, stopping) = (Arc::clone(&self.core), self.stopping.subscribe());
        self.work.push(Box::pin(async move {
            claimed::drain(&core, taken, stopping).await.map_or(Ended::Gate, Ended::Paused)
        }));
    }

    fn start_copies(&mut self) {
        while self.room() > 0
            && let Some(copy) = self.copies.take()
        {
            self.busy += 1;
            let (core, stopping) = (Arc::clone(&self.core), self.stopping.subscribe());
            self.work.push(Box::pin(async move {
                let key = copies::key_of(&copy);
                claimed::run_copy(&core, key.clone(), (copy.index, copy.attempts), stopping).await;
                Ended::Copy(key, copy.receipt)
            }));
        }
    }
}
