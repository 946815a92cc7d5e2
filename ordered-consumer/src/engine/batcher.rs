//! Groups writes: what has gathered while the last commit ran goes into the next.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::persist::persist;

use crate::{
    Answer, Answers, BATCH_REQUESTS_MAX, ConsumerName, FailureLogError, GateKey, Request, Timestamp,
    engine::known_streams::KnownStreams,
    gate::{Input, Settings},
    telemetry::MeteredLog,
};

/// Requests that wait for a batch; further callers wait to be let in.
const QUEUE_MAX: usize = 4_096;
/// Bytes of events in one batch, beyond the first request's.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Events in one batch, beyond the first request's.
const BATCH_EVENTS_MAX: usize = 2_000;

/// From the beginning of a write that several shared to that of the next, at least: a commit costs about as much for one
/// request as for twenty, and it takes the time from events that have nothing to do with what failed. Whoever writes alone waits
/// for nothing.
pub(crate) const PACE: Duration = Duration::from_millis(5);

struct Queued {
    request: Request,
    answer: oneshot::Sender<Result<(Answer, Timestamp), FailureLogError>>,
}

/// Hands requests to the one task that writes them. A request that was handed over is made even if its caller goes
/// away, and made again for as long as the failure log is unavailable or its outcome is unknown.
#[derive(Clone)]
pub(crate) struct Batcher {
    queue: mpsc::Sender<Queued>,
    _task: Arc<AbortOnDrop>,
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Batcher {
    pub(crate) fn start(writer: Writer) -> Self {
        let (queue, requests) = mpsc::channel(QUEUE_MAX);
        let task = tokio::spawn(writer.run(requests));
        Self { queue, _task: Arc::new(AbortOnDrop(task)) }
    }

    /// Waits until the request is durable or refused for good. Cancel safe: what was handed over is made anyway.
    pub(crate) async fn ask(&self, request: Request) -> Result<(Answer, Timestamp), FailureLogError> {
        let (answer, answered) = oneshot::channel();
        let gone = || FailureLogError::Misused { what: "the consumer that asked is gone" };
        self.queue.send(Queued { request, answer }).await.map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// The task behind a [`Batcher`].
pub(crate) struct Writer {
    pub(crate) log: Arc<MeteredLog>,
    pub(crate) consumer: ConsumerName,
    pub(crate) settings: Arc<Settings>,
    pub(crate) streams: Arc<KnownStreams>,
    /// See [`PACE`]; zero where each write is waited for before the next can be asked for.
    pub(crate) pace: Duration,
}

impl Writer {
    async fn run(self, mut requests: mpsc::Receiver<Queued>) {
        let mut waiting = VecDeque::new();
        let mut not_before = None;
        loop {
            if waiting.is_empty() {
                match requests.recv().await {
                    Some(first) => waiting.push_back(first),
                    None => return,
                }
            }
            if let Some(not_before) = not_before.filter(|_| waiting.len() < BATCH_REQUESTS_MAX) {
                sleep_until(not_before).await;
            }
            while waiting.len() < QUEUE_MAX
                && let Ok(more) = requests.try_recv()
            {
                waiting.push_back(more);
            }
            let (requests, answers) = gather(&mut waiting);
            let is_shared = requests.len() > 1 && !self.pace.is_zero();
            not_before = is_shared.then(|| Instant::now() + self.pace);
            self.write(requests, answers).await;
        }
    }

    async fn write(&self, requests: Vec<Request>, answers: Vec<Sender>) {
        match self.persist(&requests).await {
            Ok(written) => answer(written, answers),
            Err(error) if requests.len() == 1 => {
                if let Some(sender) = answers.into_iter().next() {
                    drop(sender.send(Err(error)));
                }
            }
            Err(_) => {
                // One request that the log refuses for good must not take the others with it.
                for (request, sender) in requests.into_iter().zip(answers) {
                    match self.persist(std::slice::from_ref(&request)).await {
                        Ok(written) => answer(written, vec![sender]),
                        Err(error) => drop(sender.send(Err(error))),
                    }
                }
            }
        }
    }

    async fn persist(&self, requests: &[Request]) -> Result<Answers, FailureLogError> {
        let call = || self.log.apply(&self.consumer, &self.settings, requests);
        persist(&self.consumer, &self.streams, "writing", call).await
    }
}

type Sender = oneshot::Sender<Result<(Answer, Timestamp), FailureLogError>>;

/// Takes what fits into one batch, no two requests for one gate; what does not stays, in order.
fn gather(waiting: &mut VecDeque<Queued>) -> (Vec<Request>, Vec<Sender>) {
    let mut keys = HashSet::<GateKey>::with_capacity(waiting.len().min(BATCH_REQUESTS_MAX));
    let (mut requests, mut answers) = (Vec::new(), Vec::new());
    let (mut events, mut bytes, mut left) = (0, 0, VecDeque::new());
    for queued in waiting.drain(..) {
        let (more, size) = weight(&queued.request.input);
        let fits =
            requests.is_empty() || (events + more <= BATCH_EVENTS_MAX && bytes + size <= BATCH_BYTES_MAX);
        // A gate that must wait keeps its key taken, so that its later requests do not overtake.
        let free = keys.insert(queued.request.key.clone());
        if fits && free && requests.len() < BATCH_REQUESTS_MAX {
            (events, bytes) = (events + more, bytes + size);
            requests.push(queued.request);
            answers.push(queued.answer);
        } else {
            left.push_back(queued);
        }
    }
    *waiting = left;
    (requests, answers)
}

fn weight(input: &Input) -> (usize, usize) {
    match input {
        Input::Arrive { events } => (events.len(), events.iter().map(|arrival| arrival.event.size()).sum()),
        Input::Fail { event, .. } => (1, event.size()),
        Input::Ignore { .. }
        | Input::Take
        | Input::Claim { .. }
        | Input::Renew { .. }
        | Input::Resolve { .. }
        | Input::FailAgain { .. }
        | Input::GiveBack { .. }
        | Input::Mirrored { .. }
        | Input::Operate(_) => (1, 0),
    }
}

fn answer(written: Answers, senders: Vec<Sender>) {
    for (answer, sender) in written.answers.into_iter().zip(senders) {
        // Whoever asked may be gone; what was written stays written.
        drop(sender.send(Ok((answer, written.now))));
    }
}

#[cfg(test)]
mod tests;
