//! The benchmark program: `cargo run --release -p ordered-consumer-tests --bin bench -- NAME`.
//!
//! Arms alternate within one run, because the machine is never quiet; medians and spreads are printed, and what missed
//! its target is printed, too.

mod arms;
mod bulk_retry;
mod drain;
#[cfg(feature = "services")]
mod drain_postgres;
mod hold;
#[cfg(feature = "services")]
mod hold_postgres;
mod hot_entity;
#[cfg(feature = "services")]
mod kafka_concurrent;
#[cfg(feature = "services")]
mod kafka_failures;
#[cfg(feature = "services")]
mod kafka_quiet;
#[cfg(feature = "services")]
mod kafka_retry_topic;
#[cfg(feature = "services")]
mod kafka_rig;
#[cfg(feature = "services")]
mod kafka_sizes;
#[cfg(feature = "services")]
mod meter;
mod million_gates;
mod others;
mod process_use;
mod quiet;
mod report;
mod rig;
mod seed;
mod sizes;
#[cfg(feature = "services")]
mod sqs_bare;
#[cfg(feature = "services")]
mod sqs_failing_group;
#[cfg(feature = "services")]
mod sqs_quiet;
#[cfg(feature = "services")]
mod sqs_rig;
#[cfg(feature = "services")]
mod sqs_sizes;
#[cfg(feature = "services")]
mod sqs_tally;
mod timed_source;
#[cfg(feature = "services")]
mod zipf;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::{report::Report, sizes::Sizes};

/// Measures ordered-consumer against its targets.
#[derive(Parser)]
struct Arguments {
    /// What to measure.
    name: Name,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Small sizes that only show that everything runs; nothing is compared with a target.
    #[arg(long)]
    quick: bool,
    /// Measured rounds of each arm, instead of each benchmark's own number.
    #[arg(long)]
    rounds: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Events of clear entities, against calling the handler.
    Quiet,
    /// As `quiet`, beside a million gated entities.
    QuietGated,
    /// Holding into SQLite.
    HoldSqlite,
    /// Draining many entities in-process, from SQLite.
    DrainInprocess,
    /// One entity with very many held events.
    HotEntity,
    /// A million gated entities in SQLite.
    MillionGates,
    /// Holding into PostgreSQL, at DATABASE_URL.
    #[cfg(feature = "services")]
    HoldPostgres,
    /// Draining many entities from PostgreSQL, at DATABASE_URL, by two consumers.
    #[cfg(feature = "services")]
    DrainPostgres,
    /// Events of clear entities from Kafka, at KAFKA_BOOTSTRAP_SERVERS, against a bare loop.
    #[cfg(feature = "services")]
    KafkaQuiet,
    /// Handlers that wait, with keys drawn by a Zipf law, against one event after the other.
    #[cfg(feature = "services")]
    KafkaConcurrent,
    /// One failing entity in a hundred, beside the others.
    #[cfg(feature = "services")]
    KafkaFailures,
    /// Released events through the retry topic and back.
    #[cfg(feature = "services")]
    KafkaRetryTopic,
    /// The four benchmarks with Kafka.
    #[cfg(feature = "services")]
    Kafka,
    /// Messages of clear groups from SQS, at SQS_ENDPOINT_URL, against a bare receive-delete loop.
    #[cfg(feature = "services")]
    SqsQuiet,
    /// One group that fails for good, beside others, against a bare loop with a dead-letter queue.
    #[cfg(feature = "services")]
    SqsFailingGroup,
    /// The two benchmarks with SQS.
    #[cfg(feature = "services")]
    Sqs,
    /// Very many parked entities, retried by one call.
    BulkRetry,
    /// Everything.
    All,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match measure(&arguments) {
        Ok(report) if arguments.json => {
            println!("{}", report.to_json());
            ExitCode::SUCCESS
        }
        Ok(report) => {
            print!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> anyhow::Result<Report> {
    let sizes = Sizes::new(arguments.quick, arguments.rounds);
    let mut report = Report::new(arguments.quick);
    let asked = |name| arguments.name == name || arguments.name == Name::All;
    let say = |what: &str| eprintln!("measuring {what} ...");
    if asked(Name::Quiet) {
        say("quiet");
        quiet::measure(&sizes, 0, &mut report)?;
    }
    if asked(Name::QuietGated) {
        say("quiet-gated");
        quiet::measure(&sizes, sizes.gates, &mut report)?;
    }
    if asked(Name::HoldSqlite) {
        say("hold-sqlite");
        hold::measure(&sizes, &mut report)?;
    }
    if asked(Name::DrainInprocess) {
        say("drain-inprocess");
        drain::measure(&sizes, &mut report)?;
    }
    if asked(Name::HotEntity) {
        say("hot-entity");
        hot_entity::measure(&sizes, &mut report)?;
    }
    if asked(Name::MillionGates) {
        say("million-gates");
        million_gates::measure(&sizes, &mut report)?;
    }
    #[cfg(feature = "services")]
    if asked(Name::HoldPostgres) {
        say("hold-postgres");
        hold_postgres::measure(&sizes, &mut report)?;
    }
    #[cfg(feature = "services")]
    if asked(Name::DrainPostgres) {
        say("drain-postgres");
        drain_postgres::measure(&sizes, &mut report)?;
    }
    if asked(Name::BulkRetry) {
        say("bulk-retry");
        bulk_retry::measure(&sizes, &mut report)?;
    }
    #[cfg(feature = "services")]
    measure_with_brokers(arguments.name, &sizes, &mut report)?;
    Ok(report)
}

/// A benchmark that needs a broker.
#[cfg(feature = "services")]
struct OfBroker {
    name: Name,
    what: &'static str,
    /// The benchmarks that it is one of.
    group: Name,
    /// Why `all` skips it.
    skipped: Option<&'static str>,
    measure: fn(&Sizes, &mut Report) -> anyhow::Result<()>,
}

#[cfg(feature = "services")]
fn measure_with_brokers(name: Name, sizes: &Sizes, report: &mut Report) -> anyhow::Result<()> {
    let no_kafka = kafka_rig::servers().is_none().then_some("KAFKA_BOOTSTRAP_SERVERS names no broker");
    let no_sqs = sqs_rig::endpoint().is_none().then_some("SQS_ENDPOINT_URL names no endpoint");
    let kafka = |name, what, measure| OfBroker { name, what, group: Name::Kafka, skipped: no_kafka, measure };
    let sqs = |name, what, measure| OfBroker { name, what, group: Name::Sqs, skipped: no_sqs, measure };
    let benchmarks = [
        kafka(Name::KafkaQuiet, "kafka-quiet", kafka_quiet::measure),
        kafka(Name::KafkaConcurrent, "kafka-concurrent", kafka_concurrent::measure),
        kafka(Name::KafkaFailures, "kafka-failures", kafka_failures::measure),
        kafka(Name::KafkaRetryTopic, "kafka-retry-topic", kafka_retry_topic::measure),
        sqs(Name::SqsQuiet, "sqs-quiet", sqs_quiet::measure),
        sqs(Name::SqsFailingGroup, "sqs-failing-group", sqs_failing_group::measure),
    ];
    for OfBroker { name: this, what, group, skipped, measure } in benchmarks {
        if name != this && name != group && name != Name::All {
            continue;
        }
        if let Some(why) = skipped.filter(|_| name == Name::All) {
            eprintln!("skipping {what}: {why}");
            report.skip(what, why);
        } else {
            eprintln!("measuring {what} ...");
            measure(sizes, report)?;
        }
    }
    Ok(())
}
