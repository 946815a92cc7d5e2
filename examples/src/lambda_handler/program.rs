//! The program.

use std::{
    io::{Read as _, stdin},
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, anyhow};
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use clap::Parser as _;
use lambda_runtime::{LambdaEvent, service_fn};
use ordered_consumer::{Handler, Operator, OrderedConsumer, RetryPolicy};
use ordered_consumer_sqs::SqsBatches;
use tokio::time::sleep;

use super::Options;
use crate::{
    orders::{Charge, asked_to_end, run_logged, tell, waits_only_for_operators},
    workers::store,
};

/// What is left of an invocation's time for answering.
const TO_ANSWER: Duration = Duration::from_millis(500);

/// Reads the arguments and runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let options = Options::parse();
    run_logged(run(&options))
}

async fn run(options: &Options) -> Result<()> {
    let failures = store::open(&options.store).await?;
    let handler = Charge::new(&options.watched);
    let consumer = OrderedConsumer::new(&options.consumer, handler, failures)
        .with_retry_policy(RetryPolicy::exponential(Duration::from_secs(1), 2.0).attempts_max(8));
    if options.retries {
        return retries(&consumer, options.until_idle).await;
    }
    let batches = SqsBatches::new(consumer);
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() {
        return function(Arc::new(batches)).await;
    }
    let mut text = String::new();
    stdin().read_to_string(&mut text)?;
    let event: SqsEvent =
        serde_json::from_str(&text).context("standard input is no batch of SQS messages")?;
    let response = batches.handle_batch(event).await;
    println!("{}", serde_json::to_string(&response)?);
    Ok(())
}

/// Answers invocations until Lambda ends the process.
async fn function(batches: Arc<SqsBatches<impl Handler>>) -> Result<()> {
    let invoked = service_fn(move |invocation: LambdaEvent<SqsEvent>| {
        let batches = Arc::clone(&batches);
        async move {
            let ends = invocation.context.deadline();
            let left = ends.duration_since(SystemTime::now()).unwrap_or_default().saturating_sub(TO_ANSWER);
            let response: SqsBatchResponse = batches.handle_batch_within(invocation.payload, left).await;
            Ok::<_, lambda_runtime::Error>(response)
        }
    });
    lambda_runtime::run(invoked).await.map_err(|error| anyhow!(error))
}

async fn retries(consumer: &OrderedConsumer<impl Handler>, until_idle: bool) -> Result<()> {
    let operator = consumer.operator("lambda_handler")?;
    let until = async {
        tokio::select! {
            () = asked_to_end() => {}
            () = nothing_waits(&operator), if until_idle => {}
        }
    };
    consumer.run_retries_until(until).await?;
    tell(&consumer.stats(), &operator).await
}

/// Waits until nothing waits but for an operator.
async fn nothing_waits(operator: &Operator) {
    while !waits_only_for_operators(operator).await {
        sleep(Duration::from_millis(100)).await;
    }
}
