//! A stream's breaker: when what every event needs is away, one event probes, and the others wait.

mod permit;
mod window;

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

pub(crate) use self::permit::Permit;
use self::{permit::Kind, window::Window};
use super::fingerprint::Fingerprint;
use crate::{OutagePolicy, telemetry::Level};

/// Nothing has failed lately: the quiet path looks no further.
const QUIET: u8 = 0;
/// Something has failed lately: successes are counted.
const WATCHING: u8 = 1;
/// A few run at once.
const HALF_OPEN: u8 = 2;
/// One probes.
const OPEN: u8 = 3;

/// So many at once, and it is closed.
const RAMP_MAX: usize = 32;
/// How many entities' failures are remembered while it is open.
const SPARED_MAX: usize = 10_000;
/// A failed retry counts this part of a first failure: what is in the log is known to fail.
const RETRIES_PER_FAILURE: usize = 5;
/// Successes between two looks at whether all is quiet again.
const LOOK_EVERY: u64 = 1_024;
/// For how long whoever finds no room in a half-open stream should stay away.
const RAMP_WAIT: Duration = Duration::from_millis(50);

/// What a run that ended has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    Nothing,
    Opened,
    HalfOpened,
    Closed,
}

/// What becomes of an event whose run failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// The failure is its own: an attempt is counted.
    Counts,
    /// It is not counted; the event is run again when its turn to probe comes.
    Spared,
}

/// See the module.
pub(crate) struct Outage {
    policy: OutagePolicy,
    shown: Level,
    phase: AtomicU8,
    /// Runs that succeeded while it was watching.
    successes: AtomicU64,
    /// Runs that wait to be let in.
    waiting: AtomicUsize,
    /// Whoever waits does so in the order of the calls.
    turn: tokio::sync::Mutex<()>,
    changed: Notify,
    inner: Mutex<Inner>,
}

struct Inner {
    /// It was opened by a handler that said so, not by failures.
    was_told: bool,
    wait: Duration,
    next_probe: Instant,
    next_suspect: Instant,
    probing: bool,
    /// While it is half-open: how many run, and how many may.
    running: usize,
    running_max: usize,
    firsts: Window,
    retries: Window,
    /// How often entities have failed since it opened.
    spared: HashMap<Fingerprint, u32>,
}

impl Outage {
    pub(crate) fn new(shown: Level, policy: OutagePolicy) -> Self {
        let now = Instant::now();
        let inner = Inner {
            was_told: false,
            wait: Duration::ZERO,
            next_probe: now,
            next_suspect: now,
            probing: false,
            running: 0,
            running_max: 0,
            firsts: Window::new(policy.entities),
            retries: Window::new(policy.entities * RETRIES_PER_FAILURE),
            spared: HashMap::new(),
        };
        Self {
            policy,
            shown,
            phase: AtomicU8::new(QUIET),
            successes: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            turn: tokio::sync::Mutex::default(),
            changed: Notify::new(),
            inner: Mutex::new(inner),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn phase(&self) -> u8 {
        self.phase.load(Ordering::Acquire)
    }

    /// Whether whoever wants to run may, without asking.
    pub(crate) fn is_closed(&self) -> bool {
        self.phase() <= WATCHING
    }

    /// Whether nobody needs to be told of a success.
    pub(crate) fn is_quiet(&self) -> bool {
        self.phase() == QUIET
    }

    /// Whether it is worth starting another event, which asks to be let in when it is started.
    pub(crate) fn lets_start(&self) -> bool {
        match self.phase() {
            QUIET | WATCHING => true,
            _ if self.waiting.load(Ordering::Acquire) > 0 => false,
            HALF_OPEN => {
                let inner = self.inner();
                inner.running < inner.running_max
            }
            _ => !self.inner().probing,
        }
    }

    /// Whether an event that must be logged before it runs may be: while it is open, one for each probe, because the
    /// relay then probes with it.
    pub(crate) fn lets_suspect(&self) -> bool {
        if self.phase() != OPEN {
            return true;
        }
        let now = Instant::now();
        let mut inner = self.inner();
        let lets = self.waiting.load(Ordering::Acquire) == 0
            && !inner.probing
            && now >= inner.next_probe.max(inner.next_suspect);
        if lets {
            inner.next_suspect = now + inner.wait.max(self.policy.wait_min);
        }
        lets
    }

    /// Lets a run in, or says how long to wait before asking again.
    pub(crate) fn try_admit(&self) -> Result<Permit<'_>, Duration> {
        if self.is_closed() {
            return Ok(Permit::FREE);
        }
        let mut inner = self.inner();
        match self.phase() {
            QUIET | WATCHING => Ok(Permit::FREE),
            HALF_OPEN if inner.running < inner.running_max => {
                inner.running += 1;
                Ok(Permit::of(self, Kind::Ramp))
            }
            HALF_OPEN => Err(RAMP_WAIT),
            _ => {
                let left = inner.next_probe.saturating_duration_since(Instant::now());
                if inner.probing {
                    return Err(inner.wait.max(RAMP_WAIT));
                }
                if !left.is_zero() {
                    return Err(left);
                }
                inner.probing = true;
                Ok(Permit::of(self, Kind::Probe))
            }
        }
    }

    /// Waits until a run is let in, after those who asked before. Cancel safe.
    pub(crate) async fn admit(&self) -> Permit<'_> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let waiting = permit::Waiting(&self.waiting);
        let turn = self.turn.lock().await;
        loop {
            let changed = self.changed.notified();
            match self.try_admit() {
                Ok(permit) => {
                    drop((turn, waiting));
                    return permit;
                }
                Err(wait) => tokio::select! { () = changed => {} () = sleep(wait) => {} },
            }
        }
    }

    /// A run ended in a way that tells that what it needs is there.
    pub(crate) fn succeeded(&self, permit: &Permit<'_>) -> Changed {
        match self.phase() {
            QUIET => return Changed::Nothing,
            WATCHING => {
                let before = self.successes.fetch_add(1, Ordering::Relaxed);
                if before % LOOK_EVERY == LOOK_EVERY - 1 {
                    self.calm();
                }
                return Changed::Nothing;
            }
            _ => {}
        }
        let mut inner = self.inner();
        match (self.phase(), permit.kind()) {
            (OPEN, Kind::Probe) => {
                self.half_open(&mut inner);
                Changed::HalfOpened
            }
            (HALF_OPEN, Kind::Ramp) => {
                inner.running_max += 1;
                if inner.running_max > RAMP_MAX {
                    self.close(&mut inner);
                    return Changed::Closed;
                }
                self.changed.notify_waiters();
                Changed::Nothing
            }
            _ => Changed::Nothing,
        }
    }

    /// A run failed in a way that an outage would make it fail; `retry`: of an event that has failed before.
    pub(crate) fn failed(&self, entity: Fingerprint, retry: bool, permit: &Permit<'_>) -> (Failed, Changed) {
        if !self.policy.is_on && self.is_closed() {
            return (Failed::Counts, Changed::Nothing);
        }
        let mut inner = self.inner();
        match self.phase() {
            QUIET | WATCHING => {
                self.phase.store(WATCHING, Ordering::Release);
                let limits = (self.policy.window, self.policy.share);
                let window = if retry { &mut inner.retries } else { &mut inner.firsts };
                if !window.add(entity, self.successes.load(Ordering::Relaxed), limits) {
                    return (Failed::Counts, Changed::Nothing);
                }
                self.open(&mut inner, false);
                (self.spare(&mut inner, entity), Changed::Opened)
            }
            // A handler that tells an outage from other failures has found something else.
            OPEN if inner.was_told => match permit.kind() {
                Kind::Probe => {
                    self.half_open(&mut inner);
                    (Failed::Counts, Changed::HalfOpened)
                }
                Kind::Ramp | Kind::Free => (Failed::Counts, Changed::Nothing),
            },
            HALF_OPEN if permit.kind() == Kind::Ramp => {
                inner.running_max /= 2;
                if inner.running_max > 0 {
                    return (Failed::Counts, Changed::Nothing);
                }
                self.open(&mut inner, false);
                (self.spare(&mut inner, entity), Changed::Nothing)
            }
            _ => {
                if permit.kind() == Kind::Probe {
                    self.back_off(&mut inner);
                }
                (self.spare(&mut inner, entity), Changed::Nothing)
            }
        }
    }

    /// A handler said that what it needs is away.
    pub(crate) fn unavailable(&self, permit: &Permit<'_>) -> Changed {
        let mut inner = self.inner();
        match self.phase() {
            OPEN => {
                if permit.kind() == Kind::Probe {
                    self.back_off(&mut inner);
                }
                Changed::Nothing
            }
            phase => {
                self.open(&mut inner, true);
                if phase == HALF_OPEN { Changed::Nothing } else { Changed::Opened }
            }
        }
    }

    /// How long whoever is spared should wait before it asks to be let in.
    pub(crate) fn wait(&self) -> Duration {
        self.inner().wait.max(self.policy.wait_min)
    }

    /// Whether an entity's failure is not counted this time.
    fn spare(&self, inner: &mut Inner, entity: Fingerprint) -> Failed {
        if inner.spared.len() >= SPARED_MAX {
            inner.spared.clear();
        }
        let failures = inner.spared.entry(entity).or_default();
        *failures += 1;
        if *failures <= self.policy.probes {
            return Failed::Spared;
        }
        inner.spared.remove(&entity);
        Failed::Counts
    }

    fn open(&self, inner: &mut Inner, was_told: bool) {
        inner.was_told = was_told;
        inner.running = 0;
        self.back_off(inner);
        self.phase.store(OPEN, Ordering::Release);
        self.shown.set(2);
        self.changed.notify_waiters();
    }

    fn back_off(&self, inner: &mut Inner) {
        inner.wait = (inner.wait * 2).clamp(self.policy.wait_min, self.policy.wait_max);
        inner.next_probe = Instant::now() + inner.wait;
    }

    fn half_open(&self, inner: &mut Inner) {
        (inner.running, inner.running_max) = (0, 2);
        self.phase.store(HALF_OPEN, Ordering::Release);
        self.shown.set(1);
        self.changed.notify_waiters();
    }

    fn close(&self, inner: &mut Inner) {
        inner.wait = Duration::ZERO;
        inner.firsts.clear();
        inner.retries.clear();
        inner.spared = HashMap::new();
        self.phase.store(QUIET, Ordering::Release);
        self.shown.set(0);
        self.changed.notify_waiters();
    }

    /// Stops watching, if nothing has failed for as long as failures matter.
    fn calm(&self) {
        let mut inner = self.inner();
        let window = self.policy.window;
        if self.phase() == WATCHING && inner.firsts.is_calm(window) && inner.retries.is_calm(window) {
            inner.firsts.clear();
            inner.retries.clear();
            self.phase.store(QUIET, Ordering::Release);
        }
    }
}
