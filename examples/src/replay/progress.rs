//! A progress bar, on a terminal only.

use indicatif::{ProgressBar, ProgressStyle};

/// How many events have been handled, of how many. Elsewhere than on a terminal nothing is shown.
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new(events: usize) -> Self {
        // A bar on standard error draws nothing unless that is a terminal.
        let bar = ProgressBar::new(u64::try_from(events).unwrap_or(u64::MAX));
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} events handled{msg}");
        Self(match style {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        })
    }

    pub(super) fn show(&self, handled: usize, crashes: usize) {
        self.0.set_position(u64::try_from(handled).unwrap_or(u64::MAX));
        if crashes > 0 {
            self.0.set_message(format!(", {crashes} crashes"));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
