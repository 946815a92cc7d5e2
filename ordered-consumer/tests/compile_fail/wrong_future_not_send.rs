//! A handler that keeps an `Rc` across an await point.

use std::rc::Rc;

use ordered_consumer::{Event, Handler};

async fn charge(_event: Event) -> Result<(), std::io::Error> {
    let amount = Rc::new(5);
    std::future::ready(()).await;
    drop(amount);
    Ok(())
}

fn assert_handler<H: Handler>(_handler: H) {}

fn main() {
    assert_handler(charge);
}
