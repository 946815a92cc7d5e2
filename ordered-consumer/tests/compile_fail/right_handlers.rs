//! Every kind of handler there is.

use std::sync::Arc;

use ordered_consumer::{Event, Handler, HandlerError, json, json_with_event};

#[derive(Debug)]
struct MyError;

impl std::fmt::Display for MyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("mine")
    }
}

impl std::error::Error for MyError {}

#[derive(serde::Deserialize)]
struct OrderPaid {}

async fn with_anyhow(_event: Event) -> anyhow::Result<()> {
    Ok(())
}

async fn with_own_error(_event: Event) -> Result<(), MyError> {
    Err(MyError)
}

async fn with_handler_error(_event: Event) -> Result<(), HandlerError> {
    Err(MyError)?;
    Ok(())
}

async fn of_order(_order: OrderPaid) -> anyhow::Result<()> {
    Ok(())
}

async fn of_order_and_event(_order: OrderPaid, _event: Event) -> Result<(), MyError> {
    Ok(())
}

struct OwnType;

impl Handler for OwnType {
    async fn handle(&self, _event: Event) -> Result<(), HandlerError> {
        Ok(())
    }
}

fn assert_handler<H: Handler>(_handler: H) {}

pub(crate) fn main() {
    assert_handler(with_anyhow);
    assert_handler(with_own_error);
    assert_handler(with_handler_error);
    assert_handler(|event: Event| async move {
        drop(event);
        Ok::<(), MyError>(())
    });
    assert_handler(json(of_order));
    assert_handler(json_with_event(of_order_and_event));
    assert_handler(OwnType);
    assert_handler(Arc::new(OwnType));
    assert_handler(Arc::new(with_anyhow));
    assert_handler(Arc::new(json(of_order)));
}
