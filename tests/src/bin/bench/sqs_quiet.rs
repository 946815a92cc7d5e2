//! Messages of clear groups from SQS, against what people write without us.

use std::{hint::black_box, sync::Arc};

use ordered_consumer::{MemoryFailureLog, SqliteFailureLog};

use crate::{
    arms::{self, Samples},
    report::{Report, Target},
    rig::{self, Nothing},
    sizes::Sizes,
    sqs_bare::{Bare, DELETES_BESIDE},
    sqs_rig::{self, Queue},
    sqs_tally::{Measured, Tally},
};

const NAME: &str = "sqs-quiet";
const ARMS: usize = 5;
const BARE: usize = 0;
const BARE_WAITING: usize = 1;
const OURS: usize = 2;
const OURS_IN_MEMORY: usize = 3;
const BARE_BESIDE_LOCKED: usize = 4;
const WHAT: [(usize, &str); ARMS] = [
    (BARE, "a bare loop"),
    (BARE_WAITING, "a bare loop that waits for each delete"),
    (OURS, "consumer"),
    (OURS_IN_MEMORY, "consumer with its failure log in memory"),
    (BARE_BESIDE_LOCKED, "a bare loop that waits, beside groups that somebody else has in flight"),
];

pub(crate) fn measure(sizes: &Sizes, report: &mut Report) -> anyhow::Result<()> {
    let runtime = rig::runtime()?;
    let queue = Queue::create(&runtime, "quiet", &[])?;
    let mut rates: [Samples; ARMS] = Default::default();
    let mut requests: [Samples; ARMS] = Default::default();
    let mut cpu: [Samples; ARMS] = Default::default();
    arms::alternate::<ARMS, _>(
        sizes.rounds,
        |arm, _| run(&queue, arm, sizes),
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
        (OURS, BARE_WAITING, "consumer / the bare loop that waits", Target::AtLeast(0.9)),
        (OURS, BARE_BESIDE_LOCKED, "consumer / the bare loop beside groups in flight", Target::None),
        (OURS, OURS_IN_MEMORY, "consumer / consumer with its failure log in memory", Target::None),
    ] {
        report.add(NAME, what, "", &share(arm, of), target);
    }
    for (arm, what) in WHAT {
        let target = if arm == OURS { Target::AtMost(0.25) } else { Target::None };
        report.add(NAME, format!("{what}, requests for each message"), "", &requests[arm], target);
    }
    for (arm, what) in WHAT {
        let what = format!("{what}, CPU time for each message, all threads of this process");
        report.add(NAME, what, "us", &cpu[arm], Target::None);
    }
    Ok(())
}

fn run(queue: &Queue<'_>, arm: usize, sizes: &Sizes) -> anyhow::Result<Measured> {
    let (messages, groups) = (sizes.sqs.messages, sizes.sqs.groups);
    queue.fill((0..messages).map(|number| rig::entity("group", number % groups)))?;
    let locked = if arm == BARE_BESIDE_LOCKED { queue.lock(sizes.sqs.locked)? } else { Vec::new() };
    let tally = Tally::new(messages - locked.len(), None);
    let directory = tempfile::tempdir()?;
    match arm {
        OURS => {
            let failures = SqliteFailureLog::open(directory.path().join("failures.db"));
            sqs_rig::ours(queue, None, Nothing, queue.runtime.block_on(failures)?, &tally)?;
        }
        OURS_IN_MEMORY => sqs_rig::ours(queue, None, Nothing, MemoryFailureLog::new(), &tally)?,
        _ => {
            let handle = Arc::new(|message: &aws_sdk_sqs::types::Message| {
                black_box(message);
                true
            });
            let bare = Bare { handle, deletes_beside: if arm == BARE { DELETES_BESIDE } else { 0 } };
            let until = Arc::clone(&tally);
            bare.run_until(queue, &tally, async move { until.done().await })?;
        }
    }
    queue.delete(locked)?;
    tally.measured()
}
