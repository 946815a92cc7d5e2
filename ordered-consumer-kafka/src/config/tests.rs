use super::*;

fn config() -> KafkaConfig {
    KafkaConfig::new("127.0.0.1:9092", "billing")
}

#[test]
fn any_property_is_passed_to_the_clients_that_have_it() {
    let config = config()
        .set("socket.timeout.ms", "1234")
        .set_all([("linger.ms", "3"), ("fetch.min.bytes", "4")])
        .set_for_consumer("client.id", "c")
        .set_for_producer("client.id", "p");
    let (consumer, producer) = (config.consumer_config().unwrap(), config.producer_config().unwrap());
    let admin = config.admin_config().unwrap();
    for client in [&consumer, &producer, &admin] {
        assert_eq!(client.get("socket.timeout.ms"), Some("1234"));
    }
    assert_eq!((consumer.get("linger.ms"), producer.get("linger.ms")), (None, Some("3")));
    assert_eq!((consumer.get("fetch.min.bytes"), producer.get("fetch.min.bytes")), (Some("4"), None));
    assert_eq!((consumer.get("client.id"), producer.get("client.id")), (Some("c"), Some("p")));
    assert_eq!((consumer.get("group.id"), producer.get("group.id")), (Some("billing"), None));
}

#[test]
fn properties_alone_make_a_configuration() {
    let config = KafkaConfig::from_properties([("bootstrap.servers", "localhost"), ("group.id", "g")]);
    assert_eq!((config.bootstrap_servers(), config.group()), ("localhost", "g"));
    config.consumer_config().unwrap();
}

#[test]
fn what_would_break_the_promises_is_refused_and_says_why() {
    let broken = [
        ("enable.auto.commit", "TRUE"),
        ("auto.commit.enable", "1"),
        ("enable.auto.offset.store", "true"),
        ("enable.partition.eof", "false"),
        ("enable.idempotence", "false"),
        ("acks", "1"),
        ("request.required.acks", "0"),
        ("partitioner", "consistent_random"),
        ("message.timeout.ms", "0"),
        ("delivery.timeout.ms", "0"),
        ("transactional.id", "x"),
        ("delivery.report.only.error", "true"),
        ("max.in.flight", "6"),
        ("message.send.max.retries", "0"),
        ("queuing.strategy", "lifo"),
        ("auto.offset.reset", "sometimes"),
    ];
    for (key, value) in broken {
        let error = config().set(key, value).consumer_config().unwrap_err();
        assert!(matches!(&error, ConfigError::Refused { key: of, .. } if of == key), "{key}: {error}");
        assert!(error.to_string().starts_with(&format!("`{key}` cannot be `{value}`: ")), "{error}");
    }
    let own = config().set_for_producer("acks", "1").consumer_config().unwrap_err();
    assert!(matches!(own, ConfigError::Refused { .. }), "whichever client is made first says it: {own}");
    config().set("enable.auto.commit", "false").set("acks", "-1").consumer_config().unwrap();
}

/// So that a producer is not found to be impossible by the first event that fails.
#[test]
fn what_is_accepted_makes_a_client() {
    use rdkafka::{consumer::BaseConsumer, producer::BaseProducer};
    let config = config().set("max.in.flight", "5").set("retries", "1").set("acks", "-1");
    drop(config.producer_config().unwrap().create::<BaseProducer>().unwrap());
    drop(config.consumer_config().unwrap().create::<BaseConsumer>().unwrap());
    let new_protocol = config.set("group.protocol", "consumer");
    drop(new_protocol.consumer_config().unwrap().create::<BaseConsumer>().unwrap());
}

#[test]
fn an_unknown_property_or_value_is_refused_with_its_name() {
    let unknown = config().set("no.such.property", "1").admin_config().unwrap_err();
    assert!(unknown.to_string().contains("no.such.property"), "{unknown}");
    let wrong = config().set("socket.timeout.ms", "soon").admin_config().unwrap_err();
    assert!(wrong.to_string().contains("socket.timeout.ms"), "{wrong}");
}

#[test]
fn neither_brokers_nor_group_may_be_empty() {
    let no_brokers = KafkaConfig::new(" ", "g").consumer_config().unwrap_err();
    assert!(no_brokers.to_string().contains("bootstrap.servers"), "{no_brokers}");
    let no_group = KafkaConfig::new("localhost", "").producer_config().unwrap_err();
    assert!(no_group.to_string().contains("group.id"), "{no_group}");
}

#[test]
fn no_secret_is_ever_shown() {
    let secrets = [
        "sasl.password",
        "ssl.key.password",
        "ssl.key.pem",
        "ssl.keystore.password",
        "sasl.jaas.config",
        "sasl.oauthbearer.config",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.assertion.private.key.pem",
        "SASL.Password",
        "my.token",
    ];
    for key in secrets {
        let config =
            config().set(key, "hush\u{1}").set_for_consumer(key, "hush").set_for_producer(key, "hush");
        let shown = format!("{config:?} {config} {:?}", config.consumer_config().err());
        assert!(!shown.contains("hush"), "{key}: {shown}");
        assert!(shown.contains(key), "{shown}");
    }
    let shown = format!("{:?}", config().set("sasl.mechanism", "PLAIN"));
    assert!(shown.contains("PLAIN"), "what is no secret is shown: {shown}");
}

#[test]
fn an_error_of_librdkafka_does_not_quote_a_secret() {
    for key in ["sasl.oauthbearer.method", "ssl.key.pem"] {
        match config().set(key, "hush").consumer_config() {
            Err(error) => assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}"),
            // Where TLS is built in, keys are read when a client is made.
            Ok(_) => assert!(key == "ssl.key.pem" && has_tls().unwrap(), "{key} is accepted"),
        }
    }
}

#[test]
fn tls_is_refused_where_it_was_not_built_in() {
    let secure = config().set("security.protocol", "SASL_SSL").consumer_config();
    match has_tls().unwrap() {
        true => assert!(secure.is_ok(), "{secure:?}"),
        false => assert!(secure.unwrap_err().to_string().contains("feature `tls`")),
    }
}

#[test]
fn plaintext_is_warned_of_only_beyond_this_machine() {
    let host_of = |config: KafkaConfig| {
        let mut client = ClientConfig::new();
        client.extend(config.shared);
        plaintext_host(&client).map(str::to_owned)
    };
    let host = |servers: &str| host_of(KafkaConfig::new(servers, "g"));
    for local in
        ["localhost", "LOCALHOST.:9092", "127.0.0.1:1,127.8.9.1", "[::1]:9092", "PLAINTEXT://localhost:1"]
    {
        assert_eq!(host(local), None, "{local}");
    }
    for (servers, far) in
        [("localhost, kafka:9092", "kafka"), ("[2001:db8::1]:9", "2001:db8::1"), ("10.0.0.1", "10.0.0.1")]
    {
        assert_eq!(host(servers).as_deref(), Some(far));
    }
    let secure = KafkaConfig::new("kafka:9093", "g").set("security.protocol", "Sasl_SSL");
    assert_eq!(host_of(secure), None);
    let sasl = KafkaConfig::new("kafka:9093", "g").set("security.protocol", "sasl_plaintext");
    assert_eq!(host_of(sasl).as_deref(), Some("kafka"));
}

#[test]
fn clones_warn_of_plaintext_once() {
    let config = KafkaConfig::new("kafka:9092", "g");
    assert!(!config.warned.load(Ordering::SeqCst));
    config.clone().consumer_config().unwrap();
    assert!(config.warned.load(Ordering::SeqCst));
}

#[test]
fn where_a_new_group_begins_is_told_and_never_left_to_the_client() {
    let starts = [("smallest", StartAt::Earliest), ("latest", StartAt::Latest), ("error", StartAt::Error)];
    for (value, start) in starts {
        let config = config().set("auto.offset.reset", value);
        assert_eq!(config.start_at(), Ok(start));
        assert_eq!(config.consumer_config().unwrap().get("auto.offset.reset"), Some("error"));
    }
    assert_eq!(config().start_at(), Ok(StartAt::Earliest));
}

#[test]
fn a_property_by_its_other_name_takes_our_defaults_place() {
    let producer = config().set("delivery.timeout.ms", "5000").producer_config().unwrap();
    assert_eq!(
        (producer.get("delivery.timeout.ms"), producer.get("message.timeout.ms")),
        (Some("5000"), None)
    );
}

#[test]
fn what_is_fetched_ahead_is_bounded_for_each_partition_and_may_be_set() {
    let ahead = |config: &KafkaConfig| {
        config.consumer_config().unwrap().get("queued.max.messages.kbytes").map(str::to_owned)
    };
    let config = KafkaConfig::new("localhost:9092", "billing");
    assert_eq!(ahead(&config).as_deref(), Some("8192"));
    assert_eq!(ahead(&config.set("queued.max.messages.kbytes", "1024")).as_deref(), Some("1024"));
}
