//! The handler of the tests over several processes: it records what it does, and fails by a plan.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ordered_consumer::{Event, Handler, HandlerError, Index};
use serde::{Deserialize, Serialize};

use super::recording::{Line, Recording, Run, now_ms};

/// What a handler does with which event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Decides how long a run takes, and that one event in six fails once or twice.
    pub seed: u64,
    /// Runs take less than so many milliseconds.
    pub pause_below_ms: u64,
    /// Events of this entity take so long.
    pub slow: Option<(String, Duration)>,
    /// Events of entities that begin with this fail for as long as there is this file.
    pub hot: Option<(String, PathBuf)>,
    /// Runs of entities that begin with this do not end for as long as there is this file.
    pub waiting: Option<(String, PathBuf)>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { seed: 0, pause_below_ms: 120, slow: None, hot: None, waiting: None }
    }
}

/// Records what it does, and fails as the plan says.
#[derive(Clone)]
pub struct Recorded {
    recording: Arc<Recording>,
    process: u32,
    runs: Arc<AtomicU64>,
    plan: Plan,
}

impl Recorded {
    /// The handler of a process.
    #[must_use]
    pub fn new(recording: Arc<Recording>, process: u32, plan: Plan) -> Self {
        Self { recording, process, runs: Arc::default(), plan }
    }
}

/// Says how its run ended: not with success, unless it is told so.
struct Begun {
    recording: Arc<Recording>,
    run: Run,
    succeeded: bool,
}

impl Drop for Begun {
    fn drop(&mut self) {
        let run = Run { at_ms: now_ms(), ..self.run.clone() };
        let line = if self.succeeded { Line::Succeeded(run) } else { Line::Failed(run) };
        // A line that cannot be written is a run that has not ended, which the checker finds.
        drop(self.recording.append(&line));
    }
}

/// Whether the file is this entity's, and is there.
fn is_marked(mark: &Option<(String, PathBuf)>, entity: &str) -> bool {
    mark.as_ref().is_some_and(|(of, file)| entity.starts_with(of.as_str()) && file.exists())
}

/// The next number of a sequence (SplitMix64).
fn mixed(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Indexes of some brokers are beyond 64 bits, and differ in the lowest ones.
fn lowest_bits(index: Index) -> u64 {
    let bytes = index.get().to_le_bytes();
    bytes.iter().take(8).rev().fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}

impl Handler for Recorded {
    async fn handle(&self, event: Event) -> Result<(), HandlerError> {
        let index = event.index();
        let attempt = event.context().attempt;
        let run = Run {
            process: self.process,
            run: self.runs.fetch_add(1, Ordering::Relaxed),
            stream: event.stream().to_string(),
            entity: String::from_utf8_lossy(event.entity()).into_owned(),
            index,
            attempt,
            at_ms: now_ms(),
        };
        let entity = run.entity.clone();
        let bytes = event.entity().iter().map(|byte| u64::from(*byte)).sum::<u64>();
        let drawn = mixed(self.plan.seed ^ mixed(lowest_bits(index)) ^ bytes);
        self.recording.append(&Line::Began(run.clone()))?;
        let mut begun = Begun { recording: Arc::clone(&self.recording), run, succeeded: false };
        let pause = match &self.plan.slow {
            Some((slow, pause)) if *slow == entity => *pause,
            Some(_) | None => Duration::from_millis(drawn % self.plan.pause_below_ms.max(1)),
        };
        tokio::time::sleep(pause).await;
        while is_marked(&self.plan.waiting, &entity) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if is_marked(&self.plan.hot, &entity) {
            return Err("for as long as the plan says".into());
        }
        // One event in six fails once or twice.
        if drawn.is_multiple_of(6) && attempt <= u32::from(drawn.is_multiple_of(12)) + 1 {
            return Err("as the seed says".into());
        }
        begun.succeeded = true;
        Ok(())
    }
}
