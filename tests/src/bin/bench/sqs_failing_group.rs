//! What one group that fails for good does to the others, and what becomes of its order; with ours and without.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName as System, QueueAttributeName as Attribute};
use ordered_consumer::{Event, Handler, HandlerError, SqliteFailureLog};
use tokio::{runtime::Runtime, sync::watch};

use crate::{
    arms::{self, Samples},
    report::{Report, Target},
    rig,
    sizes::Sizes,
    sqs_bare::Bare,
    sqs_rig::{self, Queue, TUNED},
    sqs_sizes::SqsSizes,
    sqs_tally::Tally,
};

const NAME: &str = "sqs-failing-group";
/// The group beside the others. ElasticMQ gives out groups in the order of their names' hashes, each until it is empty: this one
/// comes fourth among the thousand, so that it is there from the beginning.
const HOT: &str = "hot-28";
/// Bare loops beside each other.
const BARE_LOOPS: usize = 2;
/// After so many receives the bare loop's queue moves a message to its dead-letter queue.
const RECEIVES_MAX: u32 = 3;

const ARMS: usize = 4;
/// What each round of an arm comes to.
const CELLS: usize = 6;
const ALONE: usize = 0;
const FAILING: usize = 1;
const BARE_ALONE: usize = 2;
const BARE_FAILING: usize = 3;

/// What a run knows of the hot group: the first message of it that the run meets fails, whenever it is tried.
struct Hot {
    fails: bool,
    first: OnceLock<(u128, Instant)>,
    /// Messages of the group that were handled although that one was not.
    overtaking: watch::Sender<usize>,
    overtaken_at: OnceLock<Instant>,
}

impl Hot {
    fn new(fails: bool) -> Arc<Self> {
        let (first, overtaken_at) = (OnceLock::new(), OnceLock::new());
        Arc::new(Self { fails, first, overtaking: watch::Sender::new(0), overtaken_at })
    }

    /// Says whether the message is handled.
    fn handle(&self, group: &[u8], index: u128) -> bool {
        if !self.fails || group != HOT.as_bytes() {
            return true;
        }
        let (first, _) = *self.first.get_or_init(|| (index, Instant::now()));
        if first == index {
            return false;
        }
        self.overtaken_at.get_or_init(Instant::now);
        self.overtaking.send_modify(|count| *count += 1);
        true
    }

    /// From the first failure to the first message that overtakes.
    fn overtaken_after(&self) -> Option<Duration> {
        let (_, failed_at) = self.first.get()?;
        Some(self.overtaken_at.get()?.duration_since(*failed_at))
    }
}

struct Charge(Arc<Hot>);

impl Handler for Charge {
    async fn handle(&self, event: Event) -> Result<(), HandlerError> {
        if self.0.handle(event.entity(), event.index().get()) {
            return Ok(());
        }
        Err(anyhow::anyhow!("this message fails for good").into())
    }
}

/// An arm's queues of one round. They are new ones each time: what the endpoint remembers of them for five minutes would make
/// the next round another one than this.
struct Arm<'a> {
    queue: Queue<'a>,
    retry: Queue<'a>,
    /// With it, the queue gives up by itself.
    dead: Option<Queue<'a>>,
    /// Messages of the others.
    others: usize,
}

/// What one round of an arm came to.
#[derive(Default)]
struct Round {
    rate: f64,
    /// Messages of the hot group that left the queue, each second.
    taken: f64,
    /// Messages of it that left the queue while the clock ran.
    in_time: f64,
    overtaking: f64,
    overtaken_after: f64,
    dead: f64,
}

pub(crate) fn measure(sizes: &Sizes, report: &mut Report) -> anyhow::Result<()> {
    let runtime = rig::runtime()?;
    let mut arms = Vec::new();
    let mut filled_for = None;
    let mut rounds: [[Samples; ARMS]; CELLS] = Default::default();
    arms::alternate::<ARMS, _>(
        sizes.rounds,
        |arm, round| {
            if filled_for != Some(round) {
                // What is left of the last round goes first.
                arms.clear();
                arms = fill(&runtime, &sizes.sqs)?;
                filled_for = Some(round);
            }
            arms.get(arm).context("there is no such arm")?.run(arm, &sizes.sqs)
        },
        |arm, round| {
            let Round { rate, taken, in_time, overtaking, overtaken_after, dead } = round;
            let cells = [rate, taken, in_time, overtaking, overtaken_after, dead];
            for (samples, value) in rounds.iter_mut().zip(cells) {
                samples[arm].push(value);
            }
        },
    )?;
    tell(report, &sizes.sqs, &rounds);
    Ok(())
}

/// Fills the queues of a round before its first arm runs, all at once: that takes longer than the round does, because the
/// endpoint remembers for five minutes what was sent to a queue, in a list that it copies for each message.
fn fill<'a>(runtime: &'a Runtime, sizes: &SqsSizes) -> anyhow::Result<Vec<Arm<'a>>> {
    std::thread::scope(|scope| {
        let fill = |arm| scope.spawn(move || Arm::filled(runtime, arm, sizes));
        let filling: Vec<_> = (0..ARMS).map(fill).collect();
        filling
            .into_iter()
            .map(|filled| filled.join().map_err(|_| anyhow!("filling has panicked"))?)
            .collect()
    })
}

fn tell(report: &mut Report, sizes: &SqsSizes, rounds: &[[Samples; ARMS]; CELLS]) {
    let behind = sizes.behind;
    let [rates, taken, in_time, overtaking, overtaken_after, dead] = rounds;
    let mut add = |what: &str, unit, samples: &Samples, target| report.add(NAME, what, unit, samples, target);
    for (arm, beside) in [
        (ALONE, "consumer, no other group".to_owned()),
        (FAILING, format!("consumer, beside a group that fails with {behind} behind")),
        (BARE_ALONE, "a bare loop, no other group".to_owned()),
        (BARE_FAILING, format!("a bare loop, beside a group that fails with {behind} behind")),
    ] {
        add(&format!("others per second, {beside}"), "messages", &rates[arm], Target::None);
    }
    let share = |of: usize, to: usize| rates[of].paired(&rates[to], |beside, alone| beside / alone);
    let alone = Target::AtLeast(0.95);
    add("others per second, beside the failing group / none", "", &share(FAILING, ALONE), alone);
    let what = "others per second, a bare loop, beside the failing group / none";
    add(what, "", &share(BARE_FAILING, BARE_ALONE), Target::None);
    let what = format!("held of the failing group per second, {behind} behind");
    add(&what, "messages", &taken[FAILING], Target::None);
    let what = "deleted of the failing group while the others were counted, ten a turn";
    add(what, "messages", &in_time[FAILING], Target::None);
    let what = "messages that overtook the failed one";
    add(&format!("consumer, {what}"), "messages", &overtaking[FAILING], Target::AtMost(0.0));
    let what = format!("a bare loop, {what}, until the round was ended");
    add(&what, "messages", &overtaking[BARE_FAILING], Target::None);
    let what = "a bare loop, from the failure to the first that overtook it";
    add(what, "s", &overtaken_after[BARE_FAILING], Target::None);
    let what = "a bare loop, in the dead-letter queue without ever being tried";
    add(what, "messages", &dead[BARE_FAILING], Target::None);
}

impl<'a> Arm<'a> {
    fn filled(runtime: &'a Runtime, arm: usize, sizes: &SqsSizes) -> anyhow::Result<Self> {
        let is_bare = arm == BARE_ALONE || arm == BARE_FAILING;
        let dead = is_bare.then(|| Queue::create(runtime, "dead", &[])).transpose()?;
        let policy = dead.as_ref().map(|dead| {
            let arn = dead.attribute(&Attribute::QueueArn)?;
            anyhow::Ok(format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":{RECEIVES_MAX}}}"#))
        });
        let policy = policy.transpose()?;
        let visibility = sizes.visibility_seconds.to_string();
        let mut attributes = Vec::new();
        if let Some(policy) = &policy {
            attributes.extend([
                (Attribute::RedrivePolicy, policy.as_str()),
                (Attribute::VisibilityTimeout, visibility.as_str()),
            ]);
        }
        let queue = Queue::create(runtime, "failing", &attributes)?;
        let hot = match arm {
            ALONE | BARE_ALONE => 0,
            _ => sizes.behind + 1,
        };
        queue.fill((0..hot).map(|_| HOT.to_owned()))?;
        let others = if is_bare { sizes.messages } else { sizes.others };
        queue.fill((0..others).map(|number| rig::entity("group", number % sizes.groups)))?;
        Ok(Self { queue, retry: Queue::create(runtime, "failing-retry", &[])?, dead, others })
    }

    fn run(&self, arm: usize, sizes: &SqsSizes) -> anyhow::Result<Round> {
        let tally = Tally::new(self.others, Some(HOT));
        let hot = Hot::new(matches!(arm, FAILING | BARE_FAILING));
        let begin = Instant::now();
        if self.dead.is_some() {
            self.bare(&hot, &tally, sizes)?;
        } else {
            let directory = tempfile::tempdir()?;
            let failures = SqliteFailureLog::open(directory.path().join("failures.db"));
            let failures = self.queue.runtime.block_on(failures)?;
            let handler = Charge(Arc::clone(&hot));
            sqs_rig::ours(&self.queue, Some(&self.retry), Some(TUNED), handler, failures, &tally)?;
        }
        let elapsed = begin.elapsed().as_secs_f64();
        let measured = tally.measured()?;
        Ok(Round {
            rate: measured.rate,
            taken: tally.deleted_apart() as f64 / elapsed,
            in_time: measured.apart as f64,
            overtaking: *hot.overtaking.borrow() as f64,
            overtaken_after: hot.overtaken_after().map_or(f64::NAN, |after| after.as_secs_f64()),
            dead: self.dead()?.saturating_sub(1) as f64,
        })
    }

    /// Until the others are done with, and until it is seen what becomes of the group that fails.
    fn bare(&self, hot: &Arc<Hot>, tally: &Arc<Tally>, sizes: &SqsSizes) -> anyhow::Result<()> {
        let with = Arc::clone(hot);
        let handle = move |message: &Message| {
            let index = sqs_rig::attribute(message, &System::SequenceNumber).parse().unwrap_or_default();
            with.handle(sqs_rig::attribute(message, &System::MessageGroupId).as_bytes(), index)
        };
        let bare = Bare { handle: Arc::new(handle), receivers: BARE_LOOPS };
        let (until, hot, enough) = (Arc::clone(tally), Arc::clone(hot), sizes.overtaking);
        bare.run_until(&self.queue, tally, async move {
            until.done().await;
            if hot.fails {
                let mut overtaking = hot.overtaking.subscribe();
                // The sender lives as long as the group does, so that there is no error.
                drop(overtaking.wait_for(|count| *count >= enough).await);
            }
        })
    }

    /// Messages that the queue has given up.
    fn dead(&self) -> anyhow::Result<usize> {
        let Some(dead) = &self.dead else { return Ok(0) };
        Ok(dead.attribute(&Attribute::ApproximateNumberOfMessages)?.parse()?)
    }
}
