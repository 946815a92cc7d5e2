//! Processes that read one input of a real broker: started, done harm to, and judged by what they recorded.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use ordered_consumer::{ConsumerName, FailureLog, PostgresFailureLog, Totals};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::{
    checker::{self, Sent, Verdict},
    recorded::Plan,
    recording::{Line, Recording},
};
use crate::postgres::TestSchema;

/// What a team reads.
pub trait Input {
    /// What is done with everything that was sent.
    const DONE: &'static str;

    /// What was sent.
    fn sent(&self) -> &Sent;

    /// Sends an event of each of these entities, in this order, and waits until the broker has them.
    fn send(&mut self, entities: Vec<String>);

    /// How many events are not done with; nothing while the broker does not answer.
    fn lag(&self) -> Option<i64>;
}

/// What every process of a team is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Orders<R> {
    /// What handlers do.
    pub plan: Plan,
    /// Where the failure log is: its schema, and the server's address.
    pub failure_log: (String, String),
    /// How to read.
    pub reading: R,
}

/// Where the orders are.
#[must_use]
pub fn orders_in(directory: &Path) -> PathBuf {
    directory.join("orders.json")
}

/// Where what was done is recorded.
#[must_use]
pub fn recording_in(directory: &Path) -> PathBuf {
    directory.join("recording")
}

/// Where a process logs.
#[must_use]
pub fn log_in(directory: &Path, process: u32) -> PathBuf {
    directory.join(format!("log-{process}"))
}

/// Processes, and what they share.
pub struct Team<I: Input> {
    /// What they read.
    pub input: I,
    seed: u64,
    drawn: u64,
    program: PathBuf,
    directory: Option<TempDir>,
    recording: Recording,
    runtime: Runtime,
    log: PostgresFailureLog,
    /// Dropped last: the log is in it.
    schema: TestSchema,
    workers: BTreeMap<u32, Child>,
    numbers: u32,
}

#[expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "this is for tests, which fail by panicking"
)]
impl<I: Input> Team<I> {
    /// Nothing runs yet. The seed decides the plan and whatever is drawn. The processes find PostgreSQL at this address.
    #[must_use]
    pub fn muster(program: &str, input: I, plan: Plan, reading: impl Serialize, postgres: &str) -> Self {
        let seed = plan.seed;
        let directory = tempfile::tempdir().unwrap();
        let recording = Recording::open(&recording_in(directory.path())).unwrap();
        let schema = TestSchema::new();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let log = runtime.block_on(schema.builder().connect()).unwrap();
        let orders = Orders { plan, failure_log: (schema.name.clone(), postgres.to_owned()), reading };
        std::fs::write(orders_in(directory.path()), serde_json::to_string(&orders).unwrap()).unwrap();
        Self {
            input,
            seed,
            drawn: seed,
            program: PathBuf::from(program),
            directory: Some(directory),
            recording,
            runtime,
            log,
            schema,
            workers: BTreeMap::new(),
            numbers: 0,
        }
    }

    /// The next number of a sequence that the seed alone decides (SplitMix64).
    pub fn draw(&mut self, below: u64) -> u64 {
        self.drawn = self.drawn.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.drawn;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % below
    }

    /// One of those that run.
    pub fn one(&mut self) -> u32 {
        let place = usize::try_from(self.draw(self.workers.len() as u64)).unwrap();
        *self.workers.keys().nth(place).unwrap()
    }

    /// Sends so many events of `entities` entities, drawn.
    pub fn send(&mut self, count: u64, entities: u64) {
        let drawn: Vec<String> = (0..count).map(|_| format!("e{}", self.draw(entities))).collect();
        self.input.send(drawn);
    }

    fn directory(&self) -> &Path {
        self.directory.as_ref().unwrap().path()
    }

    /// Starts a process.
    pub fn join(&mut self) -> u32 {
        self.numbers += 1;
        let mut command = Command::new(&self.program);
        let command = command.arg(self.numbers.to_string()).arg(self.directory()).stdin(Stdio::piped());
        let child = command.spawn().unwrap();
        self.workers.insert(self.numbers, child);
        self.numbers
    }

    /// Kills a process: dead when it is written down, which is before its session or visibility has run out.
    pub fn kill(&mut self, process: u32) {
        let mut child = self.workers.remove(&process).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        self.recording.append(&Line::Kill { process }).unwrap();
    }

    /// Lets a process stand still for so long.
    pub fn stop_for(&mut self, process: u32, time: Duration) {
        self.stop_until(process, |_, stopped| stopped.elapsed() >= time);
    }

    /// Lets a process stand still until something is so, of which it is told when that began.
    pub fn stop_until(&mut self, process: u32, so: impl Fn(&Self, Instant) -> bool) {
        let child = &self.workers[&process];
        let (id, stat) = (Pid::from_child(child), format!("/proc/{}/stat", child.id()));
        kill_process(id, Signal::STOP).unwrap();
        self.until("it stands still", |_| {
            let stat = std::fs::read_to_string(&stat).unwrap();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
        });
        self.recording.append(&Line::Stop { process }).unwrap();
        let stopped = Instant::now();
        let mut others_wait = false;
        while !so(self, stopped) {
            assert!(
                stopped.elapsed() < Duration::from_secs(120),
                "seed {}: it stands still in vain",
                self.seed
            );
            others_wait |= self.somebody_waits();
            thread::sleep(Duration::from_millis(20));
        }
        if others_wait {
            self.trouble();
        }
        self.recording.append(&Line::Continue { process }).unwrap();
        kill_process(id, Signal::CONT).unwrap();
    }

    /// Whether a write waits for a lock. A process that stands still may hold one, until the server ends what stays idle in a
    /// transaction; whatever others have done meanwhile, they cannot write down.
    fn somebody_waits(&self) -> bool {
        let waiting = "select count(*)::text from pg_stat_activity where wait_event_type = 'Lock' and query like '%{schema}%'";
        self.runtime.block_on(self.schema.rows(waiting)) != ["0"]
    }

    /// Has a process leave in good order, and waits until it has.
    pub fn leave(&mut self, process: u32) {
        let mut child = self.workers.remove(&process).unwrap();
        drop(child.stdin.take());
        let seed = self.seed;
        let ended = Self::wait(&mut child).unwrap_or_else(|| {
            drop(child.kill());
            panic!("seed {seed}: process {process} does not leave")
        });
        assert!(ended.success(), "seed {seed}: process {process} ended with {ended}");
    }

    fn wait(child: &mut Child) -> Option<std::process::ExitStatus> {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(60) {
            if let Some(ended) = child.try_wait().unwrap() {
                return Some(ended);
            }
            thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// Something happened to the broker or to the store: what ran meanwhile may have to run again.
    pub fn trouble(&self) {
        self.recording.append(&Line::StoreTrouble).unwrap();
    }

    /// Everything that was recorded.
    #[must_use]
    pub fn recorded(&self) -> String {
        std::fs::read_to_string(recording_in(self.directory())).unwrap()
    }

    /// What the processes have logged.
    #[must_use]
    pub fn logs(&self) -> String {
        let logs = (1..=self.numbers).map(|number| log_in(self.directory(), number));
        logs.filter_map(|log| std::fs::read_to_string(log).ok()).collect()
    }

    /// How many lines of the recording have all of these words in them.
    #[must_use]
    pub fn lines_with(&self, words: &[&str]) -> usize {
        self.recorded().lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }

    /// How many runs have succeeded.
    #[must_use]
    pub fn successes(&self) -> usize {
        self.lines_with(&["\"succeeded\""])
    }

    /// Bytes of memory in use by all processes, as Linux tells it.
    pub fn resident_bytes(&self) -> u64 {
        let of = |child: &Child| {
            let statm = std::fs::read_to_string(format!("/proc/{}/statm", child.id())).unwrap();
            // A page has 4 KiB wherever this runs.
            statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4_096
        };
        self.workers.values().map(of).sum()
    }

    /// Waits until something is so.
    pub fn until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        let begin = Instant::now();
        while !so(self) {
            if begin.elapsed() > Duration::from_secs(120) {
                panic!("seed {}: waited in vain until {what}; lag {:?}", self.seed, self.input.lag());
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// How much there is in the failure log; nothing while it cannot be told.
    #[must_use]
    pub fn held(&self) -> Option<Totals> {
        let consumer = ConsumerName::new("billing").unwrap();
        self.runtime.block_on(self.log.totals(&consumer)).ok()
    }

    /// How many entities are gated.
    #[must_use]
    pub fn gated(&self) -> u64 {
        self.held().map_or(u64::MAX, |totals| totals.gated_entities)
    }

    /// Waits until everything is done with, has all processes leave, and judges what they recorded.
    #[must_use]
    pub fn finish(self) -> Verdict {
        self.judge(|_| true)
    }

    /// The same where the group never came to rest, so that commits were refused although nobody died: events may have run
    /// again, but nothing may be missing, and nothing out of order.
    #[must_use]
    pub fn finish_with_repeats(self) -> Verdict {
        self.judge(|wrong| !wrong.contains(checker::RAN_AGAIN))
    }

    fn judge(mut self, counts: impl Fn(&str) -> bool) -> Verdict {
        self.until(I::DONE, |team| team.input.lag() == Some(0));
        self.until("nothing is held", |team| team.gated() == 0);
        for process in self.workers.keys().copied().collect::<Vec<_>>() {
            self.leave(process);
        }
        let mut verdict = checker::check(self.input.sent(), &self.recorded());
        verdict.wrong.retain(|wrong| counts(wrong));
        if !verdict.wrong.is_empty() {
            let kept = self.directory.take().unwrap().keep();
            panic!("seed {}, {}: {:#?}", self.seed, kept.display(), verdict.wrong);
        }
        println!("seed {}: {verdict:?}", self.seed);
        verdict
    }
}

impl<I: Input> Drop for Team<I> {
    fn drop(&mut self) {
        for child in self.workers.values_mut() {
            // It has ended already, or it ends now.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
