//! A handler that does what a test says, and records it.

use std::{future::pending, sync::Arc, thread, time::Duration};

use ordered_consumer::{Event, Handler, HandlerError, ignore, permanent, retry_after, unavailable};

use crate::{Latch, Recorder, RunEnd, recorder::text_of};

/// What a run of the handler does.
#[derive(Clone, Debug)]
pub enum Act {
    /// Succeeds at once.
    Succeed,
    /// Yields so many times, then succeeds.
    Yield(u32),
    /// Waits for so long by tokio's clock, then succeeds.
    Sleep(Duration),
    /// Fails with this text.
    Fail(&'static str),
    /// Says that retrying cannot help.
    Permanent,
    /// Says that the event is of no interest.
    Ignore,
    /// Asks to be tried again after so long.
    RetryAfter(Duration),
    /// Says that what it needs is away.
    Unavailable,
    /// Panics.
    Panic,
    /// Never returns, and panics when it is dropped.
    PanicInDrop,
    /// Never returns.
    Never,
    /// Waits for the latch, then does this.
    After(Latch, Box<Act>),
    /// Blocks its thread until the sender is gone, then succeeds.
    Block(Arc<std::sync::Mutex<std::sync::mpsc::Receiver<()>>>),
}

impl Act {
    /// Waits for the latch, then succeeds.
    #[must_use]
    pub fn wait(latch: &Latch) -> Self {
        Self::After(latch.clone(), Box::new(Self::Succeed))
    }

    /// Waits for the latch, then fails.
    #[must_use]
    pub fn wait_and_fail(latch: &Latch) -> Self {
        Self::After(latch.clone(), Box::new(Self::Fail("as the test says, after a while")))
    }

    /// Fails unless `succeeds`.
    #[must_use]
    pub fn succeed_if(succeeds: bool) -> Self {
        if succeeds { Self::Succeed } else { Self::Fail("as the test says") }
    }
}

type Script = dyn Fn(&str, u32) -> Act + Send + Sync;

/// A handler that acts by the event's text and attempt. Clones share script and record.
#[derive(Clone)]
pub struct Scripted {
    script: Arc<Script>,
    /// What was run.
    pub runs: Recorder,
}

impl Scripted {
    /// A handler that does what `script` says for an event's text and the number of the attempt.
    pub fn new(script: impl Fn(&str, u32) -> Act + Send + Sync + 'static) -> Self {
        Self { script: Arc::new(script), runs: Recorder::default() }
    }

    /// A handler that always succeeds.
    #[must_use]
    pub fn calm() -> Self {
        Self::new(|_, _| Act::Succeed)
    }

    /// A handler whose first attempts fail: so many for each of these texts.
    #[must_use]
    pub fn failing(failures: &'static [(&'static str, u32)]) -> Self {
        Self::new(|text, attempt| {
            let failing = failures.iter().find(|(failing, _)| *failing == text);
            Act::succeed_if(failing.is_none_or(|(_, attempts)| attempt > *attempts))
        })
    }

    /// Another handler with the same record, as in another process.
    #[must_use]
    pub fn beside(&self, script: impl Fn(&str, u32) -> Act + Send + Sync + 'static) -> Self {
        Self { script: Arc::new(script), runs: self.runs.clone() }
    }
}

struct Bomb(bool);

impl Drop for Bomb {
    #[expect(clippy::panic, reason = "handlers that panic when they are dropped are what is tested")]
    fn drop(&mut self) {
        if self.0 && !thread::panicking() {
            panic!("as the test says, in drop");
        }
    }
}

#[expect(clippy::panic, reason = "handlers that panic are what is tested")]
async fn act(mut act: Act) -> Result<(), HandlerError> {
    while let Act::After(latch, then) = act {
        latch.opened().await;
        act = *then;
    }
    match act {
        Act::Succeed | Act::After(..) => {}
        Act::Yield(times) => {
            for _ in 0..times {
                tokio::task::yield_now().await;
            }
        }
        Act::Sleep(time) => tokio::time::sleep(time).await,
        Act::Fail(text) => return Err(text.into()),
        Act::Permanent => return Err(permanent("as the test says, for good")),
        Act::Ignore => return Err(ignore("of no interest, as the test says")),
        Act::RetryAfter(delay) => return Err(retry_after(delay, "not before a while")),
        Act::Unavailable => return Err(unavailable("the downstream is away, as the test says")),
        Act::Panic => panic!("as the test says"),
        Act::PanicInDrop => {
            let _bomb = Bomb(true);
            pending::<()>().await;
        }
        Act::Never => pending().await,
        Act::Block(until) => {
            // An error says that the sender is gone, which is the signal.
            let _ = until.lock().map(|until| until.recv());
        }
    }
    Ok(())
}

impl Handler for Scripted {
    async fn handle(&self, event: Event) -> Result<(), HandlerError> {
        let begun = self.runs.begin(&event);
        let done = act((self.script)(&text_of(&event), event.context().attempt)).await;
        let resolved = match &done {
            Ok(()) => true,
            Err(error) => error.kind() == ordered_consumer::FailureKind::Ignore,
        };
        begun.ends(if resolved { RunEnd::Succeeded } else { RunEnd::Failed });
        done
    }
}
