//! A type of one's own without an implementation.

use ordered_consumer::Handler;

struct Charger;

fn assert_handler<H: Handler>(_handler: H) {}

fn main() {
    assert_handler(Charger);
}
