//! Long polls of moto, by short ones.
//!
//! A receive that waits in moto 5.2.5 spins, as long as the queue has a visible message of a group of which another one is in
//! flight: a whole processor for each, while every other request of its one process waits. And one whose client has gone goes on
//! waiting, and takes what comes. So the client asks without waiting, again and again, until the time that it would wait for is
//! over; less often the longer moto takes to answer.

use std::time::Duration;

use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// Between two of them, at least,
const EVERY: Duration = Duration::from_millis(400);
/// and at most.
const EVERY_MAX: Duration = Duration::from_secs(2);

/// Sends a receive, and waits as it asks to.
pub(crate) fn receive(inner: SharedHttpConnector, mut request: HttpRequest) -> HttpConnectorFuture {
    let body = request.body().bytes().unwrap_or_default();
    let mut asked: Value = serde_json::from_slice(body).expect("a receive is JSON");
    let wait = Duration::from_secs(asked["WaitTimeSeconds"].as_u64().unwrap_or_default());
    asked["WaitTimeSeconds"] = Value::from(0);
    let asked = asked.to_string();
    request.headers_mut().insert("content-length", asked.len().to_string());
    *request.body_mut() = SdkBody::from(asked);
    HttpConnectorFuture::new(async move {
        let begin = Instant::now();
        loop {
            let sent = Instant::now();
            let again = request.try_clone().expect("its body is in memory");
            let (answer, is_empty) = whole(inner.call(again).await?).await?;
            if !is_empty || begin.elapsed() >= wait {
                return Ok(answer);
            }
            sleep((sent.elapsed() * 8).clamp(EVERY, EVERY_MAX)).await;
        }
    })
}

/// The answer, and whether it is one without messages.
async fn whole(mut answer: HttpResponse) -> Result<(HttpResponse, bool), ConnectorError> {
    let body = std::mem::replace(answer.body_mut(), SdkBody::taken());
    let bytes =
        ByteStream::new(body).collect().await.map_err(|error| ConnectorError::io(error.into()))?.into_bytes();
    let told: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let is_empty = answer.status().is_success() && told["Messages"].as_array().is_none_or(Vec::is_empty);
    *answer.body_mut() = SdkBody::from(bytes);
    Ok((answer, is_empty))
}
