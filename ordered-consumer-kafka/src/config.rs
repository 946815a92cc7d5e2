//! How brokers are reached, and as which group.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rdkafka::{ClientConfig, error::KafkaError};

use crate::{ConfigError, config_rules};

/// Where a partition begins of which the group has no committed offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartAt {
    /// At the first event that the partition still has. The default.
    #[default]
    Earliest,
    /// At its end: what was there before the group began is not read.
    Latest,
    /// Nowhere: it is an error, and an operator commits an offset first.
    Error,
}

/// How brokers are reached, and as which group: one configuration for consumer, producer and admin client.
///
/// Any property of librdkafka may be set (its
/// [list](https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md)); those that only consumers or only
/// producers have go to these, all others to all. What would break the product's promises is refused when a client is
/// made, with a sentence that says why. [`Debug`](fmt::Debug) and [`Display`](fmt::Display) never show a password,
/// key or token.
///
/// | property | unless set |
/// | --- | --- |
/// | `enable.auto.commit`, `enable.auto.offset.store` | `false`, and nothing else is taken |
/// | `enable.partition.eof` | `true`, and nothing else is taken |
/// | `auto.offset.reset` | `earliest`; read as [`StartAt`], for partitions without a committed offset. The client gets `error`, so that an offset out of range is never skipped silently |
/// | `partition.assignment.strategy` | `cooperative-sticky` |
/// | `queued.min.messages`, `queued.max.messages.kbytes` | 10,000 and 8,192, for each partition: what the client fetches ahead |
/// | `fetch.queue.backoff.ms`, `fetch.wait.max.ms` | 50 and 100 |
/// | `enable.idempotence`, `acks`, `partitioner` | `true`, `all`, `murmur2_random` (Java's) |
/// | `message.timeout.ms` | 20,000 |
/// | `linger.ms` | 1 |
/// | `queue.buffering.max.kbytes` | 65,536 |
/// | `allow.auto.create.topics` | `false` |
/// | `client.id` | `ordered-consumer` |
///
/// ```
/// # use ordered_consumer_kafka::KafkaConfig;
/// let config = KafkaConfig::new("kafka-1:9093,kafka-2:9093", "billing")
///     .set("security.protocol", "sasl_ssl")
///     .set("sasl.mechanism", "SCRAM-SHA-512")
///     .set("sasl.username", "billing")
///     .set("sasl.password", "hush");
/// assert!(!format!("{config:?} {config}").contains("hush"));
/// ```
#[derive(Clone)]
pub struct KafkaConfig {
    shared: BTreeMap<String, String>,
    consumer: BTreeMap<String, String>,
    producer: BTreeMap<String, String>,
    /// Clones of one configuration warn once.
    warned: Arc<AtomicBool>,
}

const SERVERS: &str = "bootstrap.servers";
const GROUP: &str = "group.id";
const STRATEGY: &str = "partition.assignment.strategy";

impl KafkaConfig {
    /// Brokers to begin with, `host:port` with commas between, and the consumer group.
    pub fn new(bootstrap_servers: impl Into<String>, group: impl Into<String>) -> Self {
        Self::from_properties::<[(String, String); 0], _, _>([])
            .set(SERVERS, bootstrap_servers)
            .set(GROUP, group)
    }

    /// Everything from properties, `bootstrap.servers` and `group.id` among them: of a file, or of the environment.
    pub fn from_properties<I, K, V>(properties: I) -> Self
    where
        I: IntoIterator<Item = (K, V)>,
        K: Into<String>,
        V: Into<String>,
    {
        let shared = properties.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        Self { shared, consumer: BTreeMap::new(), producer: BTreeMap::new(), warned: Arc::default() }
    }

    /// Sets a property, for every client that has it.
    #[must_use]
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.shared.insert(key.into(), value.into());
        self
    }

    /// Sets many.
    #[must_use]
    pub fn set_all<I, K, V>(mut self, properties: I) -> Self
    where
        I: IntoIterator<Item = (K, V)>,
        K: Into<String>,
        V: Into<String>,
    {
        self.shared.extend(properties.into_iter().map(|(key, value)| (key.into(), value.into())));
        self
    }

    /// Sets a property for consumers alone, over what [`set`](Self::set) has said.
    #[must_use]
    pub fn set_for_consumer(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.consumer.insert(key.into(), value.into());
        self
    }

    /// Sets a property for producers alone, over what [`set`](Self::set) has said.
    #[must_use]
    pub fn set_for_producer(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.producer.insert(key.into(), value.into());
        self
    }

    /// The consumer group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.consumer_property(GROUP).unwrap_or_default()
    }

    /// The brokers to begin with.
    #[must_use]
    pub fn bootstrap_servers(&self) -> &str {
        self.shared.get(SERVERS).map_or("", String::as_str)
    }

    /// Where a partition begins of which the group has no committed offset: the property `auto.offset.reset`.
    ///
    /// # Errors
    /// [`ConfigError::Refused`]: the property is something else.
    pub fn start_at(&self) -> Result<StartAt, ConfigError> {
        let key = "auto.offset.reset";
        match self.consumer_property(key) {
            None | Some("earliest" | "smallest" | "beginning") => Ok(StartAt::Earliest),
            Some("latest" | "largest" | "end") => Ok(StartAt::Latest),
            Some("error" | "none") => Ok(StartAt::Error),
            Some(other) => Err(ConfigError::Refused {
                key: key.to_owned(),
                value: other.to_owned(),
                why: "`earliest`, `latest` and `error` are understood",
            }),
        }
    }

    /// A property as it was set for consumers; none where librdkafka's or this crate's default holds.
    #[must_use]
    pub fn consumer_property(&self, key: &str) -> Option<&str> {
        self.consumer.get(key).or_else(|| self.shared.get(key)).map(String::as_str)
    }

    /// A property as it was set for producers; none where librdkafka's or this crate's default holds.
    #[must_use]
    pub fn producer_property(&self, key: &str) -> Option<&str> {
        self.producer.get(key).or_else(|| self.shared.get(key)).map(String::as_str)
    }

    /// What a consumer is made of, with this crate's defaults. Warns of plaintext, once.
    ///
    /// # Errors
    /// [`ConfigError`]: a property is refused, by this crate or by librdkafka.
    pub fn consumer_config(&self) -> Result<ClientConfig, ConfigError> {
        let start = self.start_at().map(|_| ());
        let mut client = self.client(&self.consumer, config_rules::is_producer_only, CONSUMER_DEFAULTS)?;
        start?;
        // With the new protocol it is the broker that assigns, and the client refuses to be told how.
        if self.consumer_property(STRATEGY).is_none()
            && self.consumer_property("group.protocol") != Some("consumer")
        {
            client.set(STRATEGY, "cooperative-sticky");
        }
        client.set("auto.offset.reset", "error");
        self.checked(client)
    }

    /// What a producer is made of, with this crate's defaults. Warns of plaintext, once.
    ///
    /// # Errors
    /// As [`consumer_config`](Self::consumer_config).
    pub fn producer_config(&self) -> Result<ClientConfig, ConfigError> {
        let mut client = self.client(&self.producer, config_rules::is_consumer_only, PRODUCER_DEFAULTS)?;
        // librdkafka knows some properties by two names, and our default must not stand beside the other one.
        for (ours, other) in PRODUCER_ALIASES {
            if self.producer_property(other).is_some() && self.producer_property(ours).is_none() {
                client.remove(ours);
            }
        }
        self.checked(client)
    }

    /// What an admin client is made of. Warns of plaintext, once.
    ///
    /// # Errors
    /// As [`consumer_config`](Self::consumer_config).
    pub fn admin_config(&self) -> Result<ClientConfig, ConfigError> {
        let neither = |key: &str| config_rules::is_consumer_only(key) || config_rules::is_producer_only(key);
        let client = self.client(&BTreeMap::new(), neither, &[NO_TOPICS])?;
        self.checked(client)
    }

    /// An error of the client, without the value of a property that may be secret.
    #[must_use]
    pub fn client_error(error: &KafkaError) -> ConfigError {
        let KafkaError::ClientConfig(_, why, key, _) = error else {
            return ConfigError::Client { why: error.to_string() };
        };
        let secret = config_rules::is_secret(key);
        let why = if secret { "its value is not valid".to_owned() } else { why.clone() };
        ConfigError::Property { key: key.clone(), why }
    }

    fn client(
        &self,
        own: &BTreeMap<String, String>,
        is_of_others: impl Fn(&str) -> bool,
        defaults: &[(&str, &str)],
    ) -> Result<ClientConfig, ConfigError> {
        if self.bootstrap_servers().trim().is_empty() && !self.shared.contains_key("test.mock.num.brokers") {
            let what = "name at least one broker as `host:port`";
            return Err(ConfigError::Missing { key: SERVERS, what });
        }
        if self.group().trim().is_empty() {
            let what = "name the consumer group";
            return Err(ConfigError::Missing { key: GROUP, what });
        }
        // A refusal is said by whichever client is made first, whosever property it is.
        for (key, value) in self.shared.iter().chain(&self.consumer).chain(&self.producer) {
            config_rules::check(key, value)?;
        }
        let mut client = ClientConfig::new();
        for (key, value) in defaults {
            client.set(*key, *value);
        }
        for (key, value) in self.shared.iter().filter(|(key, _)| !is_of_others(key)) {
            client.set(key, value);
        }
        for (key, value) in own {
            client.set(key, value);
        }
        Ok(client)
    }

    /// Has librdkafka look at the properties, and warns of plaintext.
    fn checked(&self, client: ClientConfig) -> Result<ClientConfig, ConfigError> {
        if client.get("security.protocol").is_some_and(is_tls) && !has_tls()? {
            return Err(ConfigError::NoTls { key: "security.protocol" });
        }
        client.create_native_config().map_err(|error| Self::client_error(&error))?;
        if let Some(host) = plaintext_host(&client)
            && !self.warned.swap(true, Ordering::SeqCst)
        {
            tracing::warn!(
                host,
                "events and credentials go to the broker in plaintext; set security.protocol to ssl or sasl_ssl"
            );
        }
        Ok(client)
    }
}

/// A topic that comes to be by being asked for has whatever number of partitions the broker gives by default.
const NO_TOPICS: (&str, &str) = ("allow.auto.create.topics", "false");

const CONSUMER_DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "ordered-consumer"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
    // A partition has a queue of its own, so that these hold for each, where the client's own values (100,000, 64 MiB,
    // 1 s) mean all together: a hundred partitions behind slow handlers would take 6 GiB. Half full is seen soon
    // enough that a fast handler does not wait.
    ("queued.min.messages", "10000"),
    ("queued.max.messages.kbytes", "8192"),
    ("fetch.queue.backoff.ms", "50"),
    // The client has one request under way to a broker. When every partition with a backlog has its queue full, that one
    // asks for those at their end only, waits there for so long, and the queues run empty meanwhile: with the client's own
    // 500 ms a consumer with partitions of both kinds stood still half of the time.
    ("fetch.wait.max.ms", "100"),
];

const PRODUCER_DEFAULTS: &[(&str, &str)] = &[
    NO_TOPICS,
    ("client.id", "ordered-consumer"),
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("partitioner", "murmur2_random"),
    ("message.timeout.ms", "20000"),
    ("linger.ms", "1"),
    ("queue.buffering.max.kbytes", "65536"),
];

const PRODUCER_ALIASES: &[(&str, &str)] = &[
    ("acks", "request.required.acks"),
    ("message.timeout.ms", "delivery.timeout.ms"),
    ("linger.ms", "queue.buffering.max.ms"),
];

fn is_tls(protocol: &str) -> bool {
    matches!(protocol.trim().to_ascii_lowercase().as_str(), "ssl" | "sasl_ssl")
}

/// The first host beyond this machine that is spoken to without encryption.
fn plaintext_host(client: &ClientConfig) -> Option<&str> {
    if client.get("security.protocol").is_some_and(is_tls) {
        return None;
    }
    let servers = client.get(SERVERS).unwrap_or_default();
    servers.split(',').map(host).find(|host| !host.is_empty() && !is_loopback(host))
}

/// Asked of the library itself: a user may have turned TLS on in rdkafka instead of here.
fn has_tls() -> Result<bool, ConfigError> {
    let native =
        ClientConfig::new().create_native_config().map_err(|error| KafkaConfig::client_error(&error))?;
    let features = native.get("builtin.features").map_err(|error| KafkaConfig::client_error(&error))?;
    Ok(features.split(',').any(|feature| feature.trim() == "ssl"))
}

/// The host of `[protocol://]host[:port]`, with IPv6 addresses in brackets.
fn host(server: &str) -> &str {
    let server = server.trim();
    let server = server.split_once("://").map_or(server, |(_, rest)| rest);
    if let Some((host, _)) = server.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return host;
    }
    server.rsplit_once(':').map_or(server, |(host, _)| host)
}

fn is_loopback(host: &str) -> bool {
    let named = host.trim_end_matches('.').eq_ignore_ascii_case("localhost");
    named || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |of: &BTreeMap<String, String>| -> BTreeMap<String, String> {
            let value = |key: &str, value: &String| {
                if config_rules::is_secret(key) { "(not shown)".to_owned() } else { value.clone() }
            };
            of.iter().map(|(key, of)| (key.clone(), value(key, of))).collect()
        };
        f.debug_struct("KafkaConfig")
            .field("shared", &shown(&self.shared))
            .field("consumer", &shown(&self.consumer))
            .field("producer", &shown(&self.producer))
            .finish()
    }
}

impl fmt::Display for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (group {})", self.bootstrap_servers(), self.group())
    }
}

#[cfg(test)]
mod tests;
