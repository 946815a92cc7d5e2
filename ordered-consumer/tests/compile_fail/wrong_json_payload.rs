//! A payload type that cannot be read from JSON.

use ordered_consumer::{Handler, json};

struct OrderPaid;

async fn charge(_order: OrderPaid) -> Result<(), std::io::Error> {
    Ok(())
}

fn assert_handler<H: Handler>(_handler: H) {}

fn main() {
    assert_handler(json(charge));
}
