//! Starts processes, does them harm by a seed, and waits until everything is done with in spite of it.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    checker::{self, Sent, Verdict},
    file_lock,
    file_queue::{self, Queue, Queued},
    file_source::{Stored, stream_of},
    group_file::{Files, Group, Partition},
    recording::{Line, Recording},
};

const PARTITIONS: usize = 4;
const ENTITIES: u64 = 6;
/// Rounds of harm; some events are sent in each.
const ROUNDS: u64 = 10;
/// Events in each partition, and in the queue.
const EVENTS: u64 = 60;

/// What is done to processes in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    Kill,
    /// Stopped for so long: longer than a session, it is a zombie when it goes on.
    Stop(Duration),
}

/// What a test knows of the store that the processes share.
pub trait SharedStore {
    /// Where workers find it.
    fn address(&self) -> String;

    /// Whether a write goes through within a moment.
    fn is_writable(&self) -> bool;

    /// How many entities are gated.
    fn gated_entities(&self) -> u64;

    /// Harm of the store's own for this round, if it has any; whether it did some.
    fn harm(&self, round: u64) -> bool {
        let _ = round;
        false
    }
}

/// Processes, and what they share.
pub struct Driver<'s> {
    program: PathBuf,
    directory: PathBuf,
    files: Files,
    recording: Recording,
    store: &'s dyn SharedStore,
    seed: u64,
    drawn: u64,
    sent: Sent,
    queued: u64,
    workers: BTreeMap<u32, (&'static str, Child)>,
    numbers: u32,
}

#[expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "this is for tests, which fail by panicking"
)]
impl<'s> Driver<'s> {
    /// Nothing runs yet.
    #[must_use]
    pub fn new(program: &Path, directory: &Path, store: &'s dyn SharedStore, seed: u64) -> Self {
        let files = Files::in_directory(directory);
        let group = Group { partitions: vec![Partition::default(); PARTITIONS], ..Group::default() };
        file_lock::change(&files.group(), |stored: &mut Group| *stored = group).unwrap();
        for partition in 0..PARTITIONS {
            std::fs::write(files.partition(partition), "[]").unwrap();
        }
        Self {
            program: program.to_owned(),
            directory: directory.to_owned(),
            recording: Recording::open(&files.recording()).unwrap(),
            files,
            store,
            seed,
            drawn: seed,
            sent: Sent::new(),
            queued: 0,
            workers: BTreeMap::new(),
            numbers: 0,
        }
    }

    /// The next number of a sequence that the seed alone decides (SplitMix64).
    fn draw(&mut self, below: u64) -> u64 {
        self.drawn = self.drawn.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.drawn;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % below
    }

    fn spawn(&mut self, role: &'static str) {
        self.numbers += 1;
        let child = Command::new(&self.program)
            .args([role, &self.numbers.to_string()])
            .arg(&self.directory)
            .args([self.store.address(), self.seed.to_string()])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        self.workers.insert(self.numbers, (role, child));
    }

    /// Sends so many events to each partition and to the queue.
    fn send(&mut self, count: u64) {
        for partition in 0..PARTITIONS {
            let path = self.files.partition(partition);
            let mut events: Vec<Stored> =
                serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            for _ in 0..count {
                let entity = format!("e{}", self.draw(ENTITIES));
                let place = (stream_of(partition).to_string(), entity.clone());
                self.sent.entry(place).or_default().insert(events.len() as u128);
                events.push(Stored { payload: format!("event {}", events.len()), entity });
            }
            let new = path.with_extension("new");
            std::fs::write(&new, serde_json::to_string(&events).unwrap()).unwrap();
            std::fs::rename(new, path).unwrap();
        }
        let entities: Vec<String> = (0..count).map(|_| format!("q{}", self.draw(ENTITIES))).collect();
        let first = self.queued;
        self.queued += count;
        for (index, entity) in (first..).zip(&entities) {
            self.sent
                .entry((file_queue::stream().to_string(), entity.clone()))
                .or_default()
                .insert(index.into());
        }
        file_lock::change(&self.files.queue(), |queue: &mut Queue| {
            for (index, entity) in (first..).zip(entities) {
                let payload = format!("event {index}");
                queue.events.insert(index, Queued { entity, payload, ..Queued::default() });
            }
        })
        .unwrap();
    }

    fn signal(&self, process: u32, signal: Signal) {
        let (_, child) = self.workers.get(&process).unwrap();
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    fn do_harm(&mut self, process: u32, harm: Harm) {
        match harm {
            Harm::Kill => {
                let (role, mut child) = self.workers.remove(&process).unwrap();
                // Dead when it is written down, and nobody takes over before a session has run out.
                child.kill().unwrap();
                child.wait().unwrap();
                self.recording.append(&Line::Kill { process }).unwrap();
                self.spawn(role);
            }
            Harm::Stop(time) => {
                self.signal(process, Signal::STOP);
                self.until("it stands still", |driver| driver.stands_still(process));
                self.recording.append(&Line::Stop { process }).unwrap();
                thread::sleep(time);
                // Whoever holds a lock of what all share, and stands still, has all the others wait.
                if !self.store.is_writable() || self.input_is_locked() {
                    self.recording.append(&Line::StoreTrouble).unwrap();
                }
                self.recording.append(&Line::Continue { process }).unwrap();
                self.signal(process, Signal::CONT);
            }
        }
    }

    fn stands_still(&self, process: u32) -> bool {
        let (_, child) = self.workers.get(&process).unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    fn input_is_locked(&self) -> bool {
        [self.files.group(), self.files.queue()].iter().any(|path| {
            let lock =
                OpenOptions::new().create(true).truncate(false).write(true).open(path.with_extension("lock"));
            lock.unwrap().try_lock().is_err()
        })
    }

    fn until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        let begin = Instant::now();
        while !so(self) {
            assert!(
                begin.elapsed() < Duration::from_secs(120),
                "seed {}: waited in vain until {what}",
                self.seed
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn input_is_done(&self) -> bool {
        let group: Group =
            serde_json::from_str(&std::fs::read_to_string(self.files.group()).unwrap()).unwrap();
        let queue: Queue =
            serde_json::from_str(&std::fs::read_to_string(self.files.queue()).unwrap()).unwrap();
        queue.events.is_empty() && group.partitions.iter().all(|partition| partition.committed == EVENTS)
    }

    fn one_of(&mut self, roles: &[&str]) -> u32 {
        let processes: Vec<u32> = self
            .workers
            .iter()
            .filter(|(_, (role, _))| roles.contains(role))
            .map(|(process, _)| *process)
            .collect();
        let place = usize::try_from(self.draw(processes.len() as u64)).unwrap();
        processes[place]
    }

    /// Two to four consumers of owned streams, two of a queue, and two relays; kills, stops and zombies; then everything
    /// is done with, and the processes end well.
    ///
    /// # Panics
    /// When something is not done with in time, or a process does not end well.
    #[must_use]
    pub fn run(mut self) -> Verdict {
        let consumers = 2 + self.draw(3);
        for _ in 0..consumers {
            self.spawn("owned");
        }
        for role in ["queue", "queue", "relay", "relay"] {
            self.spawn(role);
        }
        for round in 0..ROUNDS {
            self.send(EVENTS / ROUNDS);
            thread::sleep(Duration::from_millis(50 + self.draw(250)));
            let process = self.one_of(&["owned", "queue", "relay"]);
            let harm = match self.draw(4) {
                0 => Harm::Stop(Duration::from_millis(50 + self.draw(300))),
                // An owner that is a zombie when it goes on.
                1 => Harm::Stop(Duration::from_millis(2_000 + self.draw(500))),
                _ => Harm::Kill,
            };
            self.do_harm(process, harm);
            if self.store.harm(round) {
                self.recording.append(&Line::StoreTrouble).unwrap();
            }
        }
        self.until("all input is done with", |driver| driver.input_is_done());
        self.until("nothing is held", |driver| driver.store.gated_entities() == 0);
        for (process, (_, mut child)) in std::mem::take(&mut self.workers) {
            drop(child.stdin.take());
            let ended = child.wait().unwrap();
            assert!(ended.success(), "seed {}: process {process} ended with {ended}", self.seed);
        }
        let recording = std::fs::read_to_string(self.files.recording()).unwrap();
        checker::check(&self.sent, &recording)
    }
}

impl Drop for Driver<'_> {
    fn drop(&mut self) {
        for (_, child) in self.workers.values_mut() {
            // It has ended already, or it ends now.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
