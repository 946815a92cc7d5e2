//! Dropping a future wherever it waits: the cheapest way to find what it loses.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::Poll,
};

use tokio::time::Instant;

/// Where a sweep gives up: after so many rounds the future will never be ready.
const ROUNDS_MAX: usize = 100_000;
/// The same, of what is polled eagerly and cut ever more sparsely.
const ROUNDS_SPARSE_MAX: usize = 250;
/// Eager polls in a row while the clock stands still: it may be paused, and goes on only when nothing is running.
const EAGER_POLLS_MAX: usize = 64;

/// Polls a future until it has been pending `n` times, and drops it there: none. With zero it is dropped before it was
/// ever polled. A future that is ready before gives its output.
///
/// Between polls it waits to be woken, as a task would.
///
/// ```
/// # use ordered_consumer::testing::cancelled_at_poll;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let waits_once = async || tokio::task::yield_now().await;
/// assert_eq!(cancelled_at_poll(0, waits_once()).await, None);
/// assert_eq!(cancelled_at_poll(1, waits_once()).await, None);
/// assert_eq!(cancelled_at_poll(2, waits_once()).await, Some(()));
/// # }
/// ```
pub async fn cancelled_at_poll<F: Future>(n: usize, future: F) -> Option<F::Output> {
    if n == 0 {
        return None;
    }
    let mut future = pin!(future);
    let mut left = n;
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => {
            left -= 1;
            if left == 0 { Poll::Ready(None) } else { Poll::Pending }
        }
    })
    .await
}

/// The future, polled again and again instead of only when it is woken.
///
/// What waits for another thread or process is pending once, however long that takes. Polled eagerly, it is pending
/// ever so often meanwhile, so that a sweep drops it at different moments of the other side's work.
///
/// Where tokio's clock is paused, it goes on only when nothing is running: after 64 polls at the same moment the future
/// waits to be woken once, and is polled eagerly again.
pub async fn polled_eagerly<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let (mut moment, mut polls) = (Instant::now(), 0);
    poll_fn(|context| {
        let polled = future.as_mut().poll(context);
        let now = Instant::now();
        if now != moment {
            (moment, polls) = (now, 0);
        }
        polls += 1;
        if polls == EAGER_POLLS_MAX {
            polls = 0;
        } else if polled.is_pending() {
            context.waker().wake_by_ref();
        }
        polled
    })
    .await
}

/// Which polls a [`sweep`] cuts at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cuts {
    /// At every one.
    Every,
    /// At each of the first eight, then ever more sparsely, always by an eighth of the way: for what is polled eagerly,
    /// and pending many thousand times.
    Widening,
    /// As `Widening`, by half of the way each time: where a round takes long.
    Sparse,
}

impl Cuts {
    const fn after(self, n: usize) -> usize {
        match self {
            Self::Every => n + 1,
            Self::Widening => n.saturating_add(1 + n / 8),
            Self::Sparse => n.saturating_add(1 + n / 2),
        }
    }

    const fn rounds_max(self) -> usize {
        match self {
            Self::Every => ROUNDS_MAX,
            Self::Widening | Self::Sparse => ROUNDS_SPARSE_MAX,
        }
    }
}

/// One round of a [`sweep`]: what [`cut`](Self::cut) is given is dropped at this round's poll.
pub struct CutAt {
    n: usize,
    ready: AtomicUsize,
    dropped: AtomicUsize,
}

impl CutAt {
    /// How often the future is pending before it is dropped; zero: it is not even polled.
    #[must_use]
    pub fn polls(&self) -> usize {
        self.n
    }

    /// Runs a future as far as this round lets it come. None: it was dropped. To be called once in a round.
    pub async fn cut<F: Future>(&self, future: F) -> Option<F::Output> {
        let output = cancelled_at_poll(self.n, future).await;
        let count = if output.is_some() { &self.ready } else { &self.dropped };
        count.fetch_add(1, Ordering::Relaxed);
        output
    }
}

impl fmt::Debug for CutAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cut at poll {}", self.n)
    }
}

/// Runs `round` again and again: first with its future dropped unpolled, then at its first pending poll, at its second,
/// and so on, until a round's future is ready before it is cut. Returns how many rounds were cut at a pending poll.
///
/// A round makes a world of its own, runs one operation through [`CutAt::cut`], and checks what is left: that nothing
/// is half done, and that the same operation made again leads to where it would have led.
///
/// # Panics
/// When fewer than `cuts_min` rounds were cut at a pending poll, because a sweep that cuts nothing shows nothing; when
/// a round does not cut exactly once; and when the future is never ready.
///
/// ```
/// # use ordered_consumer::testing::{Cuts, sweep};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let cuts = sweep(Cuts::Every, 2, async |at| {
///     let mut done = Vec::new();
///     let operation = async {
///         tokio::task::yield_now().await;
///         done.extend(["first", "second"]);
///         tokio::task::yield_now().await;
///     };
///     at.cut(operation).await;
///     assert!(done.is_empty() || done.len() == 2, "half done when {at:?}");
/// })
/// .await;
/// assert_eq!(cuts, 2);
/// # }
/// ```
#[expect(clippy::panic, reason = "a sweep that shows nothing must fail its test")]
pub async fn sweep(cuts: Cuts, cuts_min: usize, mut round: impl AsyncFnMut(&CutAt)) -> usize {
    let (mut n, mut cut, mut rounds) = (0_usize, 0, 0);
    loop {
        let at = CutAt { n, ready: AtomicUsize::new(0), dropped: AtomicUsize::new(0) };
        round(&at).await;
        let (ready, dropped) = (at.ready.into_inner(), at.dropped.into_inner());
        assert_eq!(ready + dropped, 1, "a round cuts one future, once");
        if ready == 1 {
            break;
        }
        if n > 0 {
            cut += 1;
        }
        n = cuts.after(n);
        rounds += 1;
        assert!(rounds <= cuts.rounds_max(), "the future is never ready");
    }
    if cut < cuts_min {
        panic!("cut at {cut} polls only, of {cuts_min} at least");
    }
    cut
}

/// Is pending so many times, each time waking its own task.
pub(super) async fn yields(times: u32) {
    for _ in 0..times {
        let mut yielded = false;
        poll_fn(|context| {
            if yielded {
                return Poll::Ready(());
            }
            yielded = true;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    #[tokio::test(start_paused = true)]
    async fn what_is_polled_eagerly_lets_a_paused_clock_go_on() {
        let mut polls = 0;
        let waits_twice = async {
            tokio::time::sleep(LONG).await;
            tokio::time::sleep(LONG).await;
        };
        let mut waits_twice = pin!(waits_twice);
        polled_eagerly(poll_fn(|context| {
            polls += 1;
            waits_twice.as_mut().poll(context)
        }))
        .await;
        assert!(polls > EAGER_POLLS_MAX, "polled {polls} times only");
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_another_task_is_polled_eagerly_while_that_works() {
        let mut polls = 0;
        let mut other = tokio::spawn(yields(1_000));
        polled_eagerly(poll_fn(|context| {
            polls += 1;
            pin!(&mut other).poll(context)
        }))
        .await
        .unwrap();
        // Woken once only, it would be polled twice.
        assert!(polls > 10, "polled {polls} times only");
    }
}
