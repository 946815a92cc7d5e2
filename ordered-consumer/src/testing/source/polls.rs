//! Dropping a future at its n-th poll: the cheapest way to find what it loses.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// Polls a future so many times at most, and gives none when it is not ready by then.
pub(super) struct Polls<F> {
    pub(super) future: F,
    pub(super) left: usize,
}

impl<F: Future + Unpin> Future for Polls<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        match Pin::new(&mut self.future).poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}
