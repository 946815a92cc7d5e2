//! The thread that owns the broker's client: it polls always, and never waits for a handler.
//!
//! It does in turn what the engine asked for, what the client called back with, and what is due: confirmations
//! (`confirm.rs`), rebalances (`rebalance.rs`), commits and leases (`commit.rs`), and reading (`read.rs`). When there is
//! nothing to do it sleeps until a queue fills, a command comes, or something is due. What the client only offers as a
//! blocking question to the broker is asked by a short-lived thread beside it (`look_up.rs`).

mod commit;
mod committer;
mod confirm;
mod look_up;
mod partition;
mod range;
mod read;
mod rebalance;
mod trouble;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use ordered_consumer::{SourceError, SourceMessage};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};
use tokio::sync::{mpsc::UnboundedSender, oneshot};

pub(crate) use look_up::Looked;
use {commit::InFlight, committer::Committer, partition::Partition, rebalance::Revocation};

use crate::{
    KafkaConfig, RecordMapping,
    copier::Copier,
    source_context::{FromClient, Place, SourceContext},
    source_link::{Command, Link, Said},
    source_options::SourceOptions,
};

/// The client's consumer.
pub(crate) type Client = BaseConsumer<SourceContext>;

/// Nothing that is due comes sooner than this after the last look, and nothing is later by more.
const SLEEP_MAX: Duration = Duration::from_millis(100);
/// Callbacks served in one go, so that a flood of log lines does not keep events waiting.
const SERVED_MAX: usize = 64;

/// See the module.
pub(crate) struct PollThread {
    client: Arc<Client>,
    options: SourceOptions,
    records: RecordMapping,
    copier: Copier,
    commands: mpsc::Receiver<Command>,
    /// For look-ups, which answer as if the engine had said it.
    tell: mpsc::Sender<Command>,
    say: UnboundedSender<Said>,
    link: Arc<Link>,
    partitions: BTreeMap<u64, Partition>,
    places: HashMap<Place, u64>,
    /// The epoch of the partition that was looked at last for something to read.
    last_read: u64,
    revocation: Option<Revocation>,
    in_flight: Option<InFlight>,
    committer: Option<Committer>,
    commit_at: Instant,
    /// After a refusal.
    commit_not_before: Instant,
    commit_now: bool,
    looking: bool,
    check_topics_at: Option<Instant>,
    warned: HashMap<&'static str, Instant>,
    /// Something was assigned once, so that the topics were there.
    was_assigned: bool,
    /// A reason to stop was said.
    failed: bool,
    is_silent: bool,
    copies_paused: bool,
    /// Receipts of copies: their partition's epoch, and their offset.
    copies: HashMap<u64, (u64, i64)>,
    next_receipt: u64,
    closing: Option<(oneshot::Sender<()>, Instant)>,
}

impl PollThread {
    /// Makes the client, and starts the thread.
    pub(crate) fn start(
        config: &ClientConfig,
        options: SourceOptions,
        records: RecordMapping,
        (tell, commands): (mpsc::Sender<Command>, mpsc::Receiver<Command>),
        say: UnboundedSender<Said>,
        link: Arc<Link>,
    ) -> Result<(), SourceError> {
        let refused = |source: KafkaError| SourceError::Fatal {
            why: "the broker's client refuses the configuration".to_owned(),
            source: Some(Box::new(KafkaConfig::client_error(&source))),
        };
        // From now on, and not from when the thread runs: the engine may be asking by then.
        link.asks(false);
        let context = SourceContext::default();
        let mut client: Client = config.create_with_context(context).map_err(refused)?;
        let woken = Arc::clone(&link);
        client.set_nonempty_callback(move || woken.wake());
        let now = Instant::now();
        let no_thread = |source: std::io::Error| SourceError::Fatal {
            why: "a thread for the broker's client cannot be started".to_owned(),
            source: Some(Box::new(source)),
        };
        let client = Arc::new(client);
        let committer =
            Committer::start(Arc::clone(&client), tell.clone(), Arc::clone(&link)).map_err(no_thread)?;
        let poll_thread = Self {
            client,
            options,
            records,
            copier: Copier::with_chunks(),
            commands,
            tell,
            say,
            link,
            partitions: BTreeMap::new(),
            places: HashMap::new(),
            last_read: 0,
            revocation: None,
            in_flight: None,
            committer: Some(committer),
            commit_at: now,
            commit_not_before: now,
            commit_now: false,
            looking: false,
            check_topics_at: None,
            warned: HashMap::new(),
            was_assigned: false,
            failed: false,
            is_silent: false,
            copies_paused: false,
            copies: HashMap::new(),
            next_receipt: 1,
            closing: None,
        };
        let named = thread::Builder::new().name("kafka-source".to_owned());
        named.spawn(move || poll_thread.run()).map(drop).map_err(no_thread)
    }

    fn run(mut self) {
        self.link.runs_on(thread::current());
        self.subscribe();
        while !self.say.is_closed() && !self.has_closed() {
            if !self.turn() {
                thread::park_timeout(SLEEP_MAX);
            }
        }
        self.leave();
    }

    /// Does what is to be done, and says whether there may be more at once.
    fn turn(&mut self) -> bool {
        let mut busy = false;
        while let Ok(command) = self.commands.try_recv() {
            busy = true;
            self.obey(command);
        }
        busy |= self.serve();
        let now = Instant::now();
        self.go_on_with_revocation(now);
        self.go_on_with_confirmations(now);
        self.ask_for_ranges(now);
        self.rejoin();
        self.check_topics(now);
        self.mind_silence();
        self.commit_what_is_due(now);
        busy | self.read()
    }

    /// Polls the client for everything but events, which come through queues of their own.
    fn serve(&mut self) -> bool {
        let client = Arc::clone(&self.client);
        let mut busy = false;
        for _ in 0..SERVED_MAX {
            let served = client.context().served();
            match client.poll(Duration::ZERO) {
                // The context has been called with it, too.
                Some(Err(_)) => {}
                // Of a partition that was given up between the client's thread and this one.
                Some(Ok(_)) => {}
                None if client.context().served() == served => break,
                None => {}
            }
            busy = true;
        }
        while let Some(called) = client.context().take() {
            tracing::trace!(?called, "the broker's client calls back");
            match called {
                FromClient::Assigned(places) => self.assigned(places),
                FromClient::Revoked { places, lost } => self.revoked(places, lost),
                FromClient::Failed { code, why } => self.client_failed(code, &why),
                FromClient::Ends(ends) => self.ends(&ends),
            }
        }
        busy
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Confirm { epoch, beginning, reply } => self.confirm(epoch, beginning, reply),
            Command::Pause { epoch, paused } => {
                if let Some(partition) = self.partitions.get_mut(&epoch) {
                    partition.paused = paused;
                }
            }
            Command::PauseCopies(paused) => self.copies_paused = paused,
            Command::Settle { epoch, offsets } => {
                if let Some(partition) = self.partitions.get_mut(&epoch) {
                    offsets.into_iter().for_each(|offset| partition.tracker.done(offset));
                }
            }
            Command::SettleCopies(receipts) => self.settle_copies(&receipts),
            Command::LastOffsets { epoch, partitions, reply } => {
                // Of an assignment that is gone nobody waits for the answer, which is dropped.
                if let Some(partition) = self.partitions.get(&epoch) {
                    self.look_up_last_offsets(partition.place.0.clone(), partitions, reply);
                }
            }
            Command::Release { epoch } => self.released(epoch),
            Command::Close(reply) => {
                self.closing = Some((reply, Instant::now() + self.options.close_timeout / 2));
                self.commit_now = true;
            }
            Command::Looked(looked) => self.looked(looked),
            Command::Committed(refused) => self.committed(refused),
        }
    }

    fn settle_copies(&mut self, receipts: &[u64]) {
        for receipt in receipts {
            if let Some((epoch, offset)) = self.copies.remove(receipt)
                && let Some(partition) = self.partitions.get_mut(&epoch)
            {
                partition.tracker.done(offset);
            }
        }
    }

    /// Whether a close was asked for, and everything that is settled is committed, or the time for it is over.
    fn has_closed(&mut self) -> bool {
        let Some((_, until)) = &self.closing else { return false };
        let over = *until <= Instant::now();
        over || (self.in_flight.is_none() && !self.has_something_to_commit())
    }

    fn leave(mut self) {
        self.client.context().close();
        for partition in self.partitions.values() {
            partition.lease.end();
        }
        self.partitions.clear();
        let closing = self.closing.take();
        if let Some(committer) = self.committer.take() {
            committer.end();
        }
        // Leaves the group, and may take its time; that is what this thread is for.
        drop(self);
        if let Some((reply, _)) = closing {
            // Whoever closes may have stopped waiting.
            let _ = reply.send(());
        }
    }

    fn say(&self, said: Said) {
        // Nobody listens only once the source is dropped, which ends this thread.
        drop(self.say.send(said));
    }

    fn say_message(&self, message: SourceMessage) {
        self.say(Said::Message(message));
    }
}
