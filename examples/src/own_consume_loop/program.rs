//! The loop.

use std::{
    collections::HashMap,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::Parser as _;
use ordered_consumer::{
    Event, Handler, HandlerError, OrderedConsumer, ProcessError, RetryPolicy, StreamGuard, TakeOverOptions,
    display_safe,
};
use ordered_consumer_kafka::{RecordMapping, stream_name};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer as _, StreamConsumer},
    message::BorrowedMessage,
};
use tokio::{sync::watch, time::sleep};

use super::{Options, loop_context::LoopContext};
use crate::workers::store;

/// How long the client is waited for.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);
/// Failures until the entity to watch has recovered.
const FAILURES: u32 = 2;

type Client = StreamConsumer<LoopContext>;

/// Reads the arguments and runs the loop.
#[must_use]
pub fn main() -> ExitCode {
    let options = Options::parse();
    crate::program::run(run(options))
}

/// The handler that was there before: it knows nothing of Kafka, and nothing of us.
struct Orders {
    fail: String,
    failures: Mutex<u32>,
}

impl Handler for Orders {
    async fn handle(&self, event: Event) -> Result<(), HandlerError> {
        let order = String::from_utf8_lossy(event.entity()).into_owned();
        let what =
            String::from_utf8_lossy(event.payload().map_or(b"" as &[u8], |payload| payload)).into_owned();
        if order == self.fail {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            if *failures < FAILURES {
                *failures += 1;
                return Err(anyhow::anyhow!("the bank does not answer").into());
            }
        }
        println!("handled {} {}", display_safe(&order), display_safe(&what));
        Ok(())
    }
}

async fn run(options: Options) -> Result<()> {
    let failures = store::open(&options.store).await?;
    let handler = Orders { fail: options.fail.clone(), failures: Mutex::new(0) };
    let consumer = OrderedConsumer::new(&options.group, handler, Arc::clone(&failures))
        .with_retry_policy(RetryPolicy::exponential(Duration::from_millis(500), 2.0).attempts_max(5));
    let (stop, stopped) = watch::channel(false);
    let until = |mut stopped: watch::Receiver<bool>| async move {
        // A sender that is gone says the same.
        drop(stopped.wait_for(|stop| *stop).await);
    };
    let retries = consumer.run_retries_until(until(stopped.clone()));
    let looping = async {
        let done = tokio::select! {
            done = consume(&options, &consumer) => done,
            signal = tokio::signal::ctrl_c() => signal.context("cannot wait for Ctrl-C"),
        };
        stop.send_replace(true);
        done
    };
    let (retried, looped) = tokio::join!(retries, looping);
    looped?;
    retried?;
    println!("consumed {}, resolved by retries {}", consumer.stats().consumed, consumer.stats().resolved);
    Ok(())
}

fn client(options: &Options) -> Result<Arc<Client>> {
    let client: Client = ClientConfig::new()
        .set("bootstrap.servers", &options.brokers)
        .set("group.id", &options.group)
        .set("auto.offset.reset", "earliest")
        // What is stored is committed, every five seconds and at the end; and only what `process` said `Ok` to is stored.
        .set("enable.auto.offset.store", "false")
        .create_with_context(LoopContext::default())?;
    client.subscribe(&[&options.topic])?;
    Ok(Arc::new(client))
}

async fn consume(options: &Options, consumer: &OrderedConsumer<Orders>) -> Result<()> {
    let client = client(options)?;
    let mapping = RecordMapping::default();
    let mut guards: HashMap<i32, StreamGuard<Orders>> = HashMap::new();
    let mut done = 0;
    while options.events.is_none_or(|events| done < events) {
        let message = client.recv().await?;
        for partition in client.context().taken_away() {
            // Nothing of it runs, because this loop handles one event after the other.
            guards.remove(&partition);
        }
        let guard = match guards.entry(message.partition()) {
            std::collections::hash_map::Entry::Occupied(guard) => guard.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(take_over(&client, consumer, &message).await?)
            }
        };
        let event = mapping.event_from(&message)?;
        match guard.process(event).await {
            Ok(outcome) => {
                if !outcome.is_resolved() {
                    println!("{outcome}: {}", shown(&message));
                }
                client.store_offset_from_message(&message)?;
                done += 1;
            }
            Err(error) => {
                println!("not acknowledged: {error}");
                if matches!(error, ProcessError::Fenced { .. }) {
                    guards.remove(&message.partition());
                }
                again(&client, &message).await?;
            }
        }
    }
    // For the sake of a program that ends; one that goes on has its retries run beside it for ever.
    while consumer.operator("the example")?.totals().await?.held_events > 0 {
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn shown(message: &BorrowedMessage<'_>) -> String {
    let text =
        |bytes: Option<&[u8]>| display_safe(&String::from_utf8_lossy(bytes.unwrap_or_default())).to_string();
    format!("{} {}", text(message.key()), text(message.payload()))
}

/// The broker confirms by accepting a commit that the partition is still this group member's: of where it stands.
async fn take_over(
    client: &Arc<Client>,
    consumer: &OrderedConsumer<Orders>,
    message: &BorrowedMessage<'_>,
) -> Result<StreamGuard<Orders>> {
    let stream = stream_name(message.topic(), message.partition())?;
    let (topic, partition, offset) = (message.topic().to_owned(), message.partition(), message.offset());
    let position = Some(u64::try_from(offset)?.into());
    let confirm = || {
        let (client, topic) = (Arc::clone(client), topic.clone());
        let commit = move || {
            let mut here = TopicPartitionList::new();
            here.add_partition_offset(&topic, partition, Offset::Offset(offset))
                .and_then(|()| client.commit(&here, CommitMode::Sync))
                .is_ok()
        };
        async move { tokio::task::spawn_blocking(commit).await.unwrap_or(false) }
    };
    Ok(consumer
        .take_over(stream, TakeOverOptions { position, ..TakeOverOptions::default() }, confirm)
        .await?)
}

/// What was not acknowledged is received again, and so is everything behind it.
async fn again(client: &Arc<Client>, message: &BorrowedMessage<'_>) -> Result<()> {
    sleep(Duration::from_secs(1)).await;
    let (topic, partition, offset) = (message.topic().to_owned(), message.partition(), message.offset());
    let client = Arc::clone(client);
    let seek = move || client.seek(&topic, partition, Offset::Offset(offset), CLIENT_TIMEOUT);
    Ok(tokio::task::spawn_blocking(seek).await??)
}
