//! What handlers did, in the order in which they did it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use ordered_consumer::{Context, Event, Index, StreamName};

/// How a run of a handler ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// It has not ended.
    Running,
    /// The event was handled, or ignored.
    Succeeded,
    /// It failed, by an error or a panic.
    Failed,
    /// Its future was dropped before it ended.
    Dropped,
}

/// One run of a handler.
#[derive(Clone, Debug)]
pub struct Run {
    /// The event's stream.
    pub stream: StreamName,
    /// Its entity.
    pub entity: Bytes,
    /// Its index.
    pub index: Index,
    /// Its payload as text; empty where there is none.
    pub text: String,
    /// What the handler was told.
    pub context: Context,
    /// When it began, counted over all beginnings and ends.
    pub began: usize,
    /// When it ended, counted likewise.
    pub ended: Option<usize>,
    /// How it ended.
    pub end: RunEnd,
}

/// The runs of every handler that shares it. Clones share the record.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Record>>);

#[derive(Debug, Default)]
struct Record {
    runs: Vec<Run>,
    clock: usize,
}

impl Record {
    fn tick(&mut self) -> usize {
        self.clock += 1;
        self.clock
    }
}

impl Recorder {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run begins; it was dropped, unless it is told otherwise before what this returns is dropped.
    #[must_use]
    pub fn begin(&self, event: &Event) -> Begun {
        let mut record = self.record();
        let began = record.tick();
        let place = record.runs.len();
        record.runs.push(Run {
            stream: event.stream().clone(),
            entity: event.entity().clone(),
            index: event.index(),
            text: text_of(event),
            context: event.context(),
            began,
            ended: None,
            end: RunEnd::Running,
        });
        Begun { recorder: self.clone(), place, end: RunEnd::Dropped }
    }

    /// Every run, in the order in which they began.
    #[must_use]
    pub fn runs(&self) -> Vec<Run> {
        self.record().runs.clone()
    }

    /// The texts of all runs, in the order in which they began.
    #[must_use]
    pub fn began(&self) -> Vec<String> {
        self.record().runs.iter().map(|run| run.text.clone()).collect()
    }

    /// The texts of the runs that succeeded, in the order in which they ended.
    #[must_use]
    pub fn succeeded(&self) -> Vec<String> {
        let mut runs = self.runs();
        runs.retain(|run| run.end == RunEnd::Succeeded);
        runs.sort_unstable_by_key(|run| run.ended);
        runs.into_iter().map(|run| run.text).collect()
    }

    /// The texts of the runs of one entity that succeeded, in the order in which they ended.
    #[must_use]
    pub fn succeeded_of(&self, entity: &str) -> Vec<String> {
        let mut runs = self.runs();
        runs.retain(|run| run.end == RunEnd::Succeeded && run.entity == entity.as_bytes());
        runs.sort_unstable_by_key(|run| run.ended);
        runs.into_iter().map(|run| run.text).collect()
    }

    /// How often a run of the event with this text has begun.
    #[must_use]
    pub fn times(&self, text: &str) -> usize {
        self.record().runs.iter().filter(|run| run.text == text).count()
    }

    /// How often a run of the event with this text has ended like this.
    #[must_use]
    pub fn ended(&self, text: &str, end: RunEnd) -> usize {
        self.record().runs.iter().filter(|run| run.text == text && run.end == end).count()
    }

    /// Whether the event with this text has been handled.
    #[must_use]
    pub fn has(&self, text: &str) -> bool {
        self.ended(text, RunEnd::Succeeded) > 0
    }

    /// Which attempts were made at the event with this text, as its handler was told.
    #[must_use]
    pub fn attempts(&self, text: &str) -> Vec<u32> {
        let record = self.record();
        record.runs.iter().filter(|run| run.text == text).map(|run| run.context.attempt).collect()
    }
}

/// An event's payload as text; empty where there is none.
#[must_use]
pub fn text_of(event: &Event) -> String {
    event.payload().map(|payload| String::from_utf8_lossy(payload).into_owned()).unwrap_or_default()
}

/// A run under way. When it is dropped, the run has ended.
#[derive(Debug)]
pub struct Begun {
    recorder: Recorder,
    place: usize,
    end: RunEnd,
}

impl Begun {
    /// How the run ends.
    pub fn ends(mut self, end: RunEnd) {
        self.end = end;
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let mut record = self.recorder.record();
        let ended = record.tick();
        if let Some(run) = record.runs.get_mut(self.place) {
            (run.ended, run.end) = (Some(ended), self.end);
        }
    }
}
