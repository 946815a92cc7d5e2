//! The handler: what a team has already. It knows nothing of the broker, nor of what fails around it.

use std::sync::{Mutex, PoisonError};

use anyhow::bail;
use ordered_consumer::{Event, Handler, HandlerError, display_safe, permanent};

use super::{OrderEvent, Watched};

/// Failures until the order to watch can be charged.
const FAILURES: u32 = 2;

/// Charges for orders, or says why not.
pub(crate) struct Charge {
    watched: Watched,
    failures: Mutex<u32>,
}

impl Charge {
    pub(crate) fn new(watched: &Watched) -> Self {
        Self { watched: watched.clone(), failures: Mutex::new(0) }
    }

    fn call_the_bank(&self, event: &OrderEvent) -> anyhow::Result<()> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if event.order == self.watched.fail && *failures < FAILURES {
            *failures += 1;
            bail!("the bank does not answer");
        }
        Ok(())
    }
}

impl Handler for Charge {
    async fn handle(&self, event: Event) -> Result<(), HandlerError> {
        let payload = event.payload().map_or(&[] as &[u8], |payload| payload);
        let order: OrderEvent = serde_json::from_slice(payload).map_err(permanent)?;
        let (name, what) = (display_safe(&order.order), display_safe(&order.what));
        if order.order == self.watched.park {
            println!("✗ {name} {what}: the card is not valid");
            return Err(permanent("the card is not valid"));
        }
        if let Err(error) = self.call_the_bank(&order) {
            println!("✗ {name} {what}: {error} (attempt {})", event.context().attempt);
            return Err(error.into());
        }
        println!("✓ {name} {what}");
        Ok(())
    }
}
