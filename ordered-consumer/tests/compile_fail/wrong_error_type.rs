//! An error type that is not an error.

use ordered_consumer::{Event, Handler};

struct NoError;

async fn charge(_event: Event) -> Result<(), NoError> {
    Err(NoError)
}

fn assert_handler<H: Handler>(_handler: H) {}

fn main() {
    assert_handler(charge);
}
