//! One life of the consumer: from its start to its graceful end, or to its crash.

use std::{sync::Arc, thread, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail};
use ordered_consumer::{
    ConsumerName, FailureLog, Limits, OrderedConsumer, RetryPolicy, RunError, Stats, Timeouts, gate::State,
};
use tokio::{
    runtime::Builder,
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    handler::ReplayHandler,
    observed_source::ObservedSource,
    store,
    world::{Due, World},
};

/// The consumer's name, and the broker's group.
pub(super) const CONSUMER: &str = "replay";
/// The broker's topic.
pub(super) const TOPIC: &str = "log";

const FIRST_DELAY: Duration = Duration::from_millis(2);
const ATTEMPTS_MAX: u32 = 6;

/// How often it is looked whether everything is done.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How often what is parked is released, if it parks again by chance.
const RELEASES_MAX: u32 = 50;

/// After how long without the end of a run the replay gives up: nothing in it waits for as long.
const STALLED: Duration = Duration::from_secs(60);

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LifeEnd {
    /// The broker has nothing more, and whatever is left in the failure log is parked.
    Done,
    /// It was dropped mid-flight.
    Crashed,
    /// Somebody asked it to stop.
    Interrupted,
}

/// The delay before the next attempt, after so many; none when they are used up.
pub(super) fn retry_delay(attempts: u32) -> Option<Duration> {
    let factor = 2_u32.saturating_pow(attempts.saturating_sub(1));
    (attempts < ATTEMPTS_MAX).then(|| FIRST_DELAY.saturating_mul(factor))
}

fn retry_policy() -> RetryPolicy {
    RetryPolicy::exponential(FIRST_DELAY, 2.0).attempts_max(ATTEMPTS_MAX)
}

/// Lives one life, in a runtime of its own, on a thread of its own. When it crashes, that runtime is dropped with all
/// that runs in it: nothing gets to finish, as when a process dies.
pub(super) fn live(world: &World, life: u32) -> Result<(LifeEnd, Stats)> {
    let in_thread = || {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(Life::begin_and_follow(world, life))
    };
    let ended = thread::scope(|scope| scope.spawn(in_thread).join());
    ended.unwrap_or_else(|_| Err(anyhow!("the consumer's thread panicked")))
}

struct Life<'a> {
    world: &'a World,
    log: Arc<dyn FailureLog>,
    name: ConsumerName,
    consumer: Arc<Consumer>,
    stop: Option<oneshot::Sender<()>>,
    run: JoinHandle<Result<(), RunError>>,
    releases: u32,
    /// How many runs had ended when it was last looked at, and since when.
    moved: (usize, Instant),
}

type Consumer = OrderedConsumer<ReplayHandler>;

impl<'a> Life<'a> {
    async fn begin_and_follow(world: &'a World, life: u32) -> Result<(LifeEnd, Stats)> {
        let mut life = Self::begin(world, life).await?;
        let end = life.follow().await?;
        Ok((end, life.consumer.stats()))
    }

    async fn begin(world: &'a World, life: u32) -> Result<Self> {
        let log = world.store.open().await?;
        let handler = ReplayHandler {
            log: Arc::clone(&world.log),
            faults: Arc::clone(&world.faults),
            record: Arc::clone(&world.record),
            seed: world.options.seed,
            life,
            run_ms_max: world.options.run_ms_max,
        };
        let consumer = OrderedConsumer::new(CONSUMER, handler, Arc::clone(&log))
            .with_retry_policy(retry_policy())
            .with_limits(Limits { running_max: 64, uncommitted_max: 200, ..Limits::default() })
            // A run that a crash broke off is found when its claim ends, and nobody should have to wait for that.
            .with_timeouts(Timeouts {
                claim: Duration::from_secs(3),
                redelivery: Duration::from_secs(1),
                ..Timeouts::default()
            });
        let consumer = Arc::new(consumer);
        let source = ObservedSource {
            source: world.broker.subscribe(CONSUMER, &[TOPIC])?,
            record: Arc::clone(&world.record),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let running = Arc::clone(&consumer);
        let run = tokio::spawn(async move {
            let stopped = async move {
                // A life that is gone without a word stops too.
                let _ = stopped.await;
            };
            running.run_until(source, stopped).await
        });
        let name = ConsumerName::new(CONSUMER)?;
        Ok(Self {
            world,
            log,
            name,
            consumer,
            stop: Some(stop),
            run,
            releases: 0,
            moved: (0, Instant::now()),
        })
    }

    async fn follow(&mut self) -> Result<LifeEnd> {
        let world = self.world;
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                run = &mut self.run => {
                    run.context("the consumer's task broke")?.context("the consumer stopped")?;
                    bail!("the consumer stopped before everything was done");
                }
                () = world.record.alarm.notified() => match world.due() {
                    Some(Due::Crash) => return Ok(LifeEnd::Crashed),
                    Some(Due::Interrupt) => return self.end(LifeEnd::Interrupted).await,
                    None => {}
                },
                () = world.interrupt.asked() => return self.end(LifeEnd::Interrupted).await,
                _ = looks.tick() => {
                    world.look()?;
                    self.look_for_trouble()?;
                    if let Some(end) = self.look_for_end().await? {
                        return Ok(end);
                    }
                }
            }
        }
    }

    /// Stops gracefully.
    async fn end(&mut self, end: LifeEnd) -> Result<LifeEnd> {
        if let Some(stop) = self.stop.take() {
            // Whoever does not listen any more has stopped.
            let _ = stop.send(());
        }
        (&mut self.run).await.context("the consumer's task broke")?.context("the consumer stopped")?;
        Ok(end)
    }

    /// A replay that cannot come to its end says why.
    fn look_for_trouble(&mut self) -> Result<()> {
        if let Some((stream, why)) = self.consumer.stopped_streams().first() {
            bail!("stream {stream} has stopped: {why}");
        }
        let ended = self.world.record.ended_count();
        let (before, since) = self.moved;
        if ended != before {
            self.moved = (ended, Instant::now());
        } else if since.elapsed() >= STALLED {
            let lag = self.world.broker.lag(CONSUMER);
            bail!(
                "nothing has run for {STALLED:?}, with {lag} events left in the broker: {:?}",
                self.consumer.stats()
            );
        }
        Ok(())
    }

    async fn look_for_end(&mut self) -> Result<Option<LifeEnd>> {
        if self.world.broker.lag(CONSUMER) > 0 {
            return Ok(None);
        }
        let totals = self.log.totals(&self.name).await?;
        if totals.gated_entities > totals.parked_entities {
            return Ok(None);
        }
        if self.world.crashes_left() > 0 {
            // It came to its end before the last crashes were due: it is dropped all the same.
            return Ok(Some(LifeEnd::Crashed));
        }
        let releases = self.world.options.release_parked && self.releases < RELEASES_MAX;
        if releases && totals.parked_entities > 0 {
            self.release_parked().await?;
            return Ok(None);
        }
        self.end(LifeEnd::Done).await.map(Some)
    }

    /// Does what an operator does when what made events fail is mended.
    async fn release_parked(&mut self) -> Result<()> {
        self.releases += 1;
        let operator = self.consumer.operator("replay")?;
        // All of them first: one that parks again meanwhile has its turn in the next round.
        let gates = store::gates(&*self.log, &self.name).await?;
        for gate in gates.iter().filter(|gate| gate.gate.state() == State::Parked) {
            self.world.release(&gate.key.entity);
            operator.retry(gate, "what made it fail is mended").await?;
        }
        Ok(())
    }
}
