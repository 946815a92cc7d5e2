//! What the broker's client calls back with, put down for the poll thread.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use rdkafka::{
    ClientContext, Statistics, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol},
    error::{KafkaError, RDKafkaErrorCode},
    types::RDKafkaRespErr,
};

use crate::client_log;

/// A topic's partition.
pub(crate) type Place = (String, i32);

/// What the client has called back with.
#[derive(Debug)]
pub(crate) enum FromClient {
    Assigned(Vec<Place>),
    Revoked {
        places: Vec<Place>,
        lost: bool,
    },
    /// An error that is not of one partition, and what the client says of it.
    Failed {
        code: RDKafkaErrorCode,
        why: String,
    },
    /// Where partitions were seen to end.
    Ends(Vec<(Place, i64)>),
}

/// Callbacks come while the poll thread polls, on that thread. Nothing is done in them, so that what a rebalance asks for
/// can be done later, while polling goes on: the client waits for the (un)assign call, not for the callback to return.
#[derive(Debug, Default)]
pub(crate) struct SourceContext {
    called: Mutex<VecDeque<FromClient>>,
    /// Counts callbacks, so that a poll that served one can be told from one that found nothing.
    served: AtomicU64,
    /// The consumer is being closed: partitions are given up at once.
    closing: AtomicBool,
}

impl SourceContext {
    pub(crate) fn take(&self) -> Option<FromClient> {
        self.called.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    fn put(&self, called: FromClient) {
        self.called.lock().unwrap_or_else(PoisonError::into_inner).push_back(called);
        self.count();
    }

    fn count(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }
}

impl ClientContext for SourceContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.count();
        client_log::log(level, facility, text);
    }

    fn stats(&self, statistics: Statistics) {
        let mut ends = Vec::new();
        for (name, topic) in statistics.topics {
            for (partition, seen) in topic.partitions {
                if partition >= 0 && seen.eof_offset >= 0 {
                    ends.push(((name.clone(), partition), seen.eof_offset));
                }
            }
        }
        self.put(FromClient::Ends(ends));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // These are of one partition, and come out of its queue.
        let of_partition = [RDKafkaErrorCode::PartitionEOF, RDKafkaErrorCode::AutoOffsetReset];
        if let Some(code) = error.rdkafka_error_code().filter(|code| !of_partition.contains(code)) {
            self.put(FromClient::Failed { code, why: reason.to_owned() });
        }
    }
}

impl ConsumerContext for SourceContext {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        asked: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let assigned = asked == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Acquire) {
            let nothing = TopicPartitionList::new();
            let answered = match (consumer.rebalance_protocol(), assigned) {
                (RebalanceProtocol::Cooperative, true) => consumer.incremental_assign(&nothing),
                (RebalanceProtocol::Cooperative, false) => consumer.incremental_unassign(partitions),
                (RebalanceProtocol::Eager | RebalanceProtocol::None, true) => consumer.assign(&nothing),
                (RebalanceProtocol::Eager | RebalanceProtocol::None, false) => consumer.unassign(),
            };
            if let Err(error) = answered {
                tracing::debug!(%error, "a rebalance was not answered while the consumer is being closed");
            }
            self.count();
            return;
        }
        let places = partitions
            .elements()
            .iter()
            .map(|partition| (partition.topic().to_owned(), partition.partition()))
            .collect();
        if assigned {
            self.put(FromClient::Assigned(places));
        } else {
            // To be asked now: any assign call resets it.
            self.put(FromClient::Revoked { places, lost: consumer.assignment_lost() });
        }
    }
}
