//! Which properties belong to whom, which are secret, and which would break the product.

use crate::ConfigError;

/// Properties that only consumers have; producers and admin clients would warn of them.
const CONSUMER_ONLY: &[&str] = &[
    "auto.commit.enable",
    "auto.commit.interval.ms",
    "auto.offset.reset",
    "check.crcs",
    "consume.callback.max.messages",
    "coordinator.query.interval.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.protocol.type",
    "group.remote.assignor",
    "heartbeat.interval.ms",
    "isolation.level",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "offset.store.method",
    "offset.store.path",
    "offset.store.sync.interval.ms",
    "partition.assignment.strategy",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "session.timeout.ms",
];

/// Properties that only producers have.
const PRODUCER_ONLY: &[&str] = &[
    "acks",
    "batch.num.messages",
    "batch.size",
    "compression.codec",
    "compression.level",
    "compression.type",
    "delivery.report.only.error",
    "delivery.timeout.ms",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "linger.ms",
    "message.send.max.retries",
    "message.timeout.ms",
    "partitioner",
    "produce.offset.report",
    "queue.buffering.backpressure.threshold",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "queuing.strategy",
    "request.required.acks",
    "request.timeout.ms",
    "retries",
    "sticky.partitioning.linger.ms",
    "transaction.timeout.ms",
    "transactional.id",
];

/// Parts of names whose properties' values are never shown. `sasl.` is all but the mechanism.
const SECRET_PARTS: &[&str] = &[
    "password",
    "passphrase",
    "secret",
    "jaas",
    "token",
    "oauth",
    "credential",
    "private",
    "ssl.key",
    "ssl_key",
    "keystore",
    "pkcs12",
    "assertion",
];

pub(crate) fn is_consumer_only(key: &str) -> bool {
    CONSUMER_ONLY.contains(&key)
}

pub(crate) fn is_producer_only(key: &str) -> bool {
    PRODUCER_ONLY.contains(&key)
}

/// Whether the property's value must not be shown. Said of too many rather than too few.
pub(crate) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    if matches!(key.as_str(), "sasl.mechanism" | "sasl.mechanisms") {
        return false;
    }
    key.starts_with("sasl.") || SECRET_PARTS.iter().any(|part| key.contains(part))
}

/// What a property must not be, as a predicate on its value in lower case, and why.
type Rule = (&'static [&'static str], fn(&str) -> bool, &'static str);

const COMMITS: &str = "offsets are committed once their events are handled or in the failure log, and this would commit those that are neither; leave the property out";
const ACKS: &str =
    "a copy that only one broker has may be lost with it; leave the property out, which is `all`";
const PARTITIONER: &str = "a copy must land where Java's clients put its key, or the entity's order is lost; leave the property out, which is `murmur2_random`";
const BOUNDED: &str = "a publish must end some day, so that the event is tried again; give a time in milliseconds, such as 20000";
const OFFSETS: &str =
    "offsets are kept by the broker, beside the group; leave the property out, which is `broker`";

const RULES: &[Rule] = &[
    (&["enable.auto.commit", "auto.commit.enable"], is_true, COMMITS),
    (&["enable.auto.offset.store"], is_true, COMMITS),
    (
        &["enable.partition.eof"],
        is_false,
        "without it nobody sees that a partition is read to its end, and its committed offset stays behind; leave the property out",
    ),
    (
        &["enable.idempotence"],
        is_false,
        "the client's own retries would reorder an entity's copies; leave the property out",
    ),
    (&["acks", "request.required.acks"], |value| !matches!(value, "all" | "-1"), ACKS),
    (&["partitioner"], |value| !matches!(value, "murmur2_random" | "murmur2"), PARTITIONER),
    (&["message.timeout.ms", "delivery.timeout.ms"], |value| value.parse() == Ok(0_i64), BOUNDED),
    (
        &["transactional.id"],
        |value| !value.is_empty(),
        "copies are published one by one, never in a transaction; leave the property out",
    ),
    (
        &["delivery.report.only.error"],
        is_true,
        "a publish ends when the broker says that it has the copy; leave the property out",
    ),
    (
        &["max.in.flight", "max.in.flight.requests.per.connection"],
        |value| value.parse().is_ok_and(|requests: i64| requests > 5),
        "an idempotent producer has at most 5 requests on their way; leave the property out",
    ),
    (
        &["retries", "message.send.max.retries"],
        |value| value.parse() == Ok(0_i64),
        "an idempotent producer must be able to send again; leave the property out",
    ),
    (
        &["queuing.strategy"],
        |value| value == "lifo",
        "an entity's copies would overtake each other; leave the property out",
    ),
    (&["offset.store.method"], |value| value == "file", OFFSETS),
];

fn is_true(value: &str) -> bool {
    matches!(value, "true" | "t" | "1" | "yes" | "on")
}

fn is_false(value: &str) -> bool {
    matches!(value, "false" | "f" | "0" | "no" | "off")
}

/// Refuses what would break the product.
pub(crate) fn check(key: &str, value: &str) -> Result<(), ConfigError> {
    let lower = value.trim().to_ascii_lowercase();
    let broken = RULES.iter().find(|(keys, breaks, _)| keys.contains(&key) && breaks(&lower));
    match broken {
        Some((_, _, why)) => Err(ConfigError::Refused { key: key.to_owned(), value: value.to_owned(), why }),
        None => Ok(()),
    }
}
