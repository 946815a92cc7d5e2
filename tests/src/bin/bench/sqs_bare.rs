//! A receive–delete loop on the SDK alone, as people write it without us.

use std::{
    collections::HashSet,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context as _;
use aws_sdk_sqs::{
    Client,
    types::{DeleteMessageBatchRequestEntry as Entry, Message, MessageSystemAttributeName as System},
};
use tokio::task::JoinSet;

use crate::{
    sqs_rig::{self, BATCH_MAX, Queue, WAIT, attribute},
    sqs_tally::Tally,
};

/// What a loop does with a message: whether it succeeded.
pub(crate) type Handle = dyn Fn(&Message) -> bool + Send + Sync;

/// See the module.
#[derive(Clone)]
pub(crate) struct Bare {
    pub(crate) handle: Arc<Handle>,
    /// How many do this at once.
    pub(crate) receivers: usize,
}

impl Bare {
    /// Runs receivers until the future ends; what they have received and not deleted comes again by itself. Receives that
    /// are under way are waited for: SQS would give somebody who has gone what is sent next.
    pub(crate) fn run_until(
        &self,
        queue: &Queue<'_>,
        tally: &Arc<Tally>,
        until: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let (bare, url, tally) = (self.clone(), queue.url.clone(), Arc::clone(tally));
        crate::rig::in_time(queue.runtime, async move {
            let client = sqs_rig::counted(&tally).await?;
            let mut receivers = JoinSet::new();
            let stopping = Arc::new(AtomicBool::new(false));
            for _ in 0..bare.receivers {
                let stopping = Arc::clone(&stopping);
                receivers.spawn(bare.clone().receive(client.clone(), url.clone(), stopping));
            }
            tokio::select! {
                () = until => {}
                Some(ended) = receivers.join_next() => ended??,
            }
            stopping.store(true, Ordering::Relaxed);
            while let Some(ended) = receivers.join_next().await {
                ended??;
            }
            Ok(())
        })
    }

    async fn receive(self, client: Client, url: String, stopping: Arc<AtomicBool>) -> anyhow::Result<()> {
        while !stopping.load(Ordering::Relaxed) {
            let received = client
                .receive_message()
                .queue_url(&url)
                .max_number_of_messages(i32::try_from(BATCH_MAX)?)
                .wait_time_seconds(i32::try_from(WAIT.as_secs())?)
                .message_system_attribute_names(System::All)
                .message_attribute_names("All")
                .send()
                .await?;
            let done = self.handle_all(&received.messages.unwrap_or_default());
            if !done.is_empty() {
                delete(client.clone(), url.clone(), done).await?;
            }
        }
        Ok(())
    }

    /// Gives the receipts of what is done with: after a failure, nothing more of its group.
    fn handle_all(&self, messages: &[Message]) -> Vec<String> {
        let mut stopped: HashSet<&str> = HashSet::new();
        let mut done = Vec::new();
        for message in messages {
            let group = attribute(message, &System::MessageGroupId);
            if stopped.contains(group) {
                continue;
            }
            if (self.handle)(message) {
                done.extend(message.receipt_handle().map(str::to_owned));
            } else {
                stopped.insert(group);
            }
        }
        done
    }
}

/// Deletes messages by one request.
pub(crate) async fn delete(client: Client, url: String, receipts: Vec<String>) -> anyhow::Result<()> {
    let entries = receipts.into_iter().enumerate();
    let entries = entries
        .map(|(place, receipt)| Entry::builder().id(place.to_string()).receipt_handle(receipt).build());
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    let deleting = client.delete_message_batch().queue_url(url).set_entries(Some(entries));
    let deleted = deleting.send().await.context("messages cannot be deleted")?;
    anyhow::ensure!(deleted.failed.is_empty(), "{} messages were not deleted", deleted.failed.len());
    Ok(())
}
