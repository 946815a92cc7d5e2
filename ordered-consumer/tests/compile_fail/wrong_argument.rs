//! A function of one's own type, without `json(..)` around it.

use ordered_consumer::Handler;

struct OrderPaid;

async fn charge(_order: OrderPaid) -> Result<(), std::io::Error> {
    Ok(())
}

fn assert_handler<H: Handler>(_handler: H) {}

fn main() {
    assert_handler(charge);
}
