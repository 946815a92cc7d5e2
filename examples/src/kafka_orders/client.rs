//! What there must be at the broker before the program begins.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ordered_consumer_kafka::KafkaConfig;
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    types::RDKafkaErrorCode,
};

use super::Options;

/// How long the broker is waited for.
const TIMEOUT: Duration = Duration::from_secs(15);

/// One configuration for everything.
pub(super) fn config(options: &Options) -> KafkaConfig {
    KafkaConfig::new(&options.brokers, &options.group).set_all(options.properties.iter().cloned())
}

/// Makes the topic, with as many replicas as the brokers make by themselves, unless it is there already.
pub(super) async fn create_topic(config: &KafkaConfig, options: &Options) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = config.admin_config()?.create()?;
    let replicas = TopicReplication::Fixed(-1);
    let topic = NewTopic::new(&options.topic, options.partitions, replicas);
    let asked = AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT));
    let created = admin.create_topics([&topic], &asked).await;
    for created in created.with_context(|| format!("no broker at {}", options.brokers))? {
        match created {
            Ok(topic) => println!("made the topic {topic} with {} partitions", options.partitions),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, why)) => bail!("cannot make the topic {topic}: {why}"),
        }
    }
    Ok(())
}
