//! Messages of clear groups from SQS, against what people write without us.

use std::{hint::black_box, sync::Arc};

use ordered_consumer::SqliteFailureLog;
use tokio::runtime::Runtime;

use crate::{
    arms::{self, Samples},
    report::{Report, Target},
    rig::{self, Nothing},
    sizes::Sizes,
    sqs_bare::Bare,
    sqs_rig::{self, Queue},
    sqs_tally::{Measured, Tally},
};

const NAME: &str = "sqs-quiet";
const ARMS: usize = 4;
const BARE: usize = 0;
const OURS: usize = 1;
const OURS_UNTUNED: usize = 2;
const BARE_FOUR: usize = 3;
const WHAT: [(usize, &str); ARMS] = [
    (BARE, "a bare loop"),
    (OURS, "consumer"),
    (OURS_UNTUNED, "consumer with its defaults"),
    (BARE_FOUR, "four bare loops"),
];

pub(crate) fn measure(sizes: &Sizes, report: &mut Report) -> anyhow::Result<()> {
    let runtime = rig::runtime()?;
    let mut rates: [Samples; ARMS] = Default::default();
    let mut requests: [Samples; ARMS] = Default::default();
    let mut cpu: [Samples; ARMS] = Default::default();
    arms::alternate::<ARMS, _>(
        sizes.rounds,
        |arm, _| run(&runtime, arm, sizes),
        |arm, measured| {
            rates[arm].push(measured.rate);
            requests[arm].push(measured.requests);
            cpu[arm].push(measured.cpu_nanos / 1_000.0);
        },
    )?;
    for (arm, what) in WHAT {
        report.add(NAME, format!("{what}, per second"), "messages", &rates[arm], Target::None);
    }
    let share = |arm: usize, of: usize| rates[arm].paired(&rates[of], |ours, bare| ours / bare);
    for (arm, of, what, target) in [
        (OURS, BARE, "consumer / the bare loop", Target::AtLeast(0.9)),
        (OURS_UNTUNED, BARE, "consumer with its defaults / the bare loop", Target::None),
        (OURS, BARE_FOUR, "consumer / four bare loops", Target::None),
        (BARE_FOUR, BARE, "four bare loops / the bare loop", Target::None),
    ] {
        report.add(NAME, what, "", &share(arm, of), target);
    }
    for (arm, what) in WHAT {
        let target = if arm == BARE || arm == BARE_FOUR { Target::None } else { Target::AtMost(0.25) };
        report.add(NAME, format!("{what}, requests for each message"), "", &requests[arm], target);
    }
    for (arm, what) in WHAT {
        let what = format!("{what}, CPU time for each message, all threads of this process");
        report.add(NAME, what, "us", &cpu[arm], Target::None);
    }
    Ok(())
}

fn run(runtime: &Runtime, arm: usize, sizes: &Sizes) -> anyhow::Result<Measured> {
    let (messages, groups) = (sizes.sqs.messages, sizes.sqs.groups);
    // Of each run's own: the endpoint remembers what was sent to a queue, and is slower for that.
    let queue = Queue::create(runtime, "quiet", &[])?;
    queue.fill((0..messages).map(|number| rig::entity("group", number % groups)))?;
    let tally = Tally::new(messages, None);
    let loops = match arm {
        BARE => 1,
        BARE_FOUR => 4,
        _ => {
            let directory = tempfile::tempdir()?;
            let failures = SqliteFailureLog::open(directory.path().join("failures.db"));
            let failures = runtime.block_on(failures)?;
            let tuning = (arm == OURS).then_some(sqs_rig::TUNED);
            sqs_rig::ours(&queue, None, tuning, Nothing, failures, &tally)?;
            return tally.measured();
        }
    };
    let handle = Arc::new(|message: &aws_sdk_sqs::types::Message| {
        black_box(message);
        true
    });
    let until = Arc::clone(&tally);
    Bare { handle, receivers: loops }.run_until(&queue, &tally, async move { until.done().await })?;
    tally.measured()
}
