//! A function that is not async.

use ordered_consumer::{Event, Handler};

fn charge(_event: Event) -> Result<(), std::io::Error> {
    Ok(())
}

fn assert_handler<H: Handler>(_handler: H) {}

fn main() {
    assert_handler(charge);
}
