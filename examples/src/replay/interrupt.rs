//! A way to ask a replay to stop.

use tokio::sync::watch;

/// Asks a replay to stop gracefully, as Ctrl-C does. Clones ask the same one.
#[derive(Clone, Debug)]
pub struct Interrupt(watch::Sender<bool>);

impl Interrupt {
    /// Nobody has asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Asks.
    pub fn ask(&self) {
        self.0.send_replace(true);
    }

    /// Waits until somebody asks. Cancel safe.
    pub async fn asked(&self) {
        let mut asked = self.0.subscribe();
        // Cannot fail: the sender is in `self`.
        let _ = asked.wait_for(|asked| *asked).await;
    }
}

impl Default for Interrupt {
    fn default() -> Self {
        Self::new()
    }
}
