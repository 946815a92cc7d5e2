//! Why a configuration cannot be used.

/// Why a [`KafkaConfig`](crate::KafkaConfig) cannot be used. It never shows the value of a property that may be secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A name or address that must be there is empty.
    #[error("`{key}` is empty; {what}")]
    Missing {
        /// The property.
        key: &'static str,
        /// What to give.
        what: &'static str,
    },
    /// The property would break what the product promises.
    #[error("`{key}` cannot be `{value}`: {why}")]
    Refused {
        /// The property.
        key: String,
        /// The value that was asked for.
        value: String,
        /// What would go wrong, and what to do.
        why: &'static str,
    },
    /// librdkafka does not take the property or its value.
    #[error("librdkafka does not take the property `{key}`: {why}")]
    Property {
        /// The property.
        key: String,
        /// What librdkafka said; left out where it would quote a secret.
        why: String,
    },
    /// TLS is asked for, and this program's librdkafka was built without it.
    #[error(
        "`{key}` asks for TLS, which this program's librdkafka was built without; turn on the feature `tls` (the system's OpenSSL) or `tls-vendored` of ordered-consumer-kafka"
    )]
    NoTls {
        /// The property that asks for it.
        key: &'static str,
    },
    /// The client cannot be made.
    #[error("librdkafka cannot make a client: {why}")]
    Client {
        /// What librdkafka said.
        why: String,
    },
}
