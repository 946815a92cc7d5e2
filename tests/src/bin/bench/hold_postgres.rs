//! Holding events of gated entities into PostgreSQL, durably, beside a plain insert of the same rows.

use anyhow::Context as _;
use ordered_consumer::{
    BATCH_REQUESTS_MAX, ConsumerName, FailureLog, OrderedConsumer, PostgresFailureLog, Request,
    in_memory_broker::InMemoryBroker,
};
use ordered_consumer_tests::postgres::TestSchema;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokio::{runtime::Runtime, task::JoinSet, time::Instant};

use crate::{
    arms::{self, Samples},
    report::{Report, Target},
    rig::{self, BATCH, Nothing},
    seed,
    sizes::Sizes,
};

const NAME: &str = "hold-postgres";
/// Past every index at which an entity's head has failed.
const FIRST: u128 = 1_000_000_000;
/// Batches under way at once in the store's own arm, each with entities of its own, as several consumers have.
const WRITERS: usize = 4;
const STORE: usize = 0;
const PLAIN: usize = 1;
const CONSUMER: usize = 2;

/// Every entity's head has failed and is parked; everything that comes is held.
pub(crate) fn measure(sizes: &Sizes, report: &mut Report) -> anyhow::Result<()> {
    let runtime = rig::runtime()?;
    let broker = rig::filled(FIRST, sizes.hold_events, sizes.hold_entities, "gated")?;
    let mut rates: [Samples; 3] = Default::default();
    let mut statements = Samples::default();
    arms::alternate::<3, _>(
        sizes.rounds,
        |arm, round| {
            let schema = TestSchema::new();
            let log = runtime.block_on(schema.builder().connect())?;
            runtime.block_on(seed::parked(&log, &ConsumerName::new("bench")?, sizes.hold_entities))?;
            let before = log.statements();
            let rate = match arm {
                STORE => runtime.block_on(store_alone(&log, sizes))?,
                PLAIN => runtime.block_on(plain_inserts(&schema, sizes))?,
                _ => through_consumer(&runtime, &broker, log.clone(), sizes, round)?,
            };
            let spent = (log.statements() - before) as f64;
            Ok((rate, spent / sizes.hold_events as f64))
        },
        |arm, (rate, spent)| {
            rates[arm].push(rate);
            if arm == CONSUMER {
                statements.push(spent * 1_000.0);
            }
        },
    )?;
    let stored = "the store alone, four writers of batches of 500";
    report.add(NAME, stored, "events", &rates[STORE], Target::AtLeast(40_000.0));
    report.add(NAME, "a plain insert of the same rows, likewise", "events", &rates[PLAIN], Target::None);
    let ratio = rates[STORE].paired(&rates[PLAIN], |store, plain| store / plain);
    report.add(NAME, "the store alone / the plain insert", "", &ratio, Target::None);
    report.add(NAME, "one consumer, held durably per second", "events", &rates[CONSUMER], Target::None);
    report.add(NAME, "statements per 1,000 held events", "", &statements, Target::None);
    Ok(())
}

fn through_consumer(
    runtime: &Runtime,
    broker: &InMemoryBroker,
    log: PostgresFailureLog,
    sizes: &Sizes,
    round: usize,
) -> anyhow::Result<f64> {
    let last = FIRST + (sizes.hold_events + BATCH - 1) as u128;
    let (source, slot) = rig::subscribe(broker, &format!("hold-{round}"), last)?;
    let counted = log.clone();
    let timed = rig::run(runtime, OrderedConsumer::new("bench", Nothing, log), source, &slot)?;
    let totals = runtime.block_on(counted.totals(&ConsumerName::new("bench")?))?;
    let expected = sizes.hold_events + BATCH + sizes.hold_entities;
    anyhow::ensure!(totals.held_events == expected as u64, "{} are held, not {expected}", totals.held_events);
    Ok(sizes.hold_events as f64 * 1e9 / timed.wall_nanos)
}

/// The events that one writer holds, in batches of one event each of many entities.
fn batches(writer: usize, sizes: &Sizes) -> anyhow::Result<Vec<Vec<Request>>> {
    let own: Vec<usize> = (0..sizes.hold_entities).filter(|entity| entity % WRITERS == writer).collect();
    let events = sizes.hold_events / WRITERS;
    let requests = (0..events).map(|number| {
        let index = FIRST + number as u128;
        seed::arrived(rig::entity("gated", own[number % own.len()]), index..index + 1)
    });
    let requests = requests.collect::<anyhow::Result<Vec<_>>>()?;
    Ok(requests.chunks(BATCH_REQUESTS_MAX.min(own.len())).map(<[Request]>::to_vec).collect())
}

/// What the store takes when nothing is in its way.
async fn store_alone(log: &PostgresFailureLog, sizes: &Sizes) -> anyhow::Result<f64> {
    let prepared = (0..WRITERS).map(|writer| batches(writer, sizes)).collect::<anyhow::Result<Vec<_>>>()?;
    let started = Instant::now();
    let mut writers = JoinSet::new();
    for batches in prepared {
        let log = log.clone();
        writers.spawn(async move {
            let consumer = ConsumerName::new("bench")?;
            for batch in batches {
                log.apply(&consumer, &seed::settings(), &batch).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended??;
    }
    Ok(sizes.hold_events as f64 / started.elapsed().as_secs_f64())
}

/// One statement and a commit for every 500 rows of the same size, into a table with the same columns and key.
async fn plain_inserts(schema: &TestSchema, sizes: &Sizes) -> anyhow::Result<f64> {
    schema.execute("create table {schema}.plain (like {schema}.event including all)").await;
    let event = rig::event(rig::entity("gated", 0), 0)?;
    let (payload, digest) = (event.payload().context("a payload")?.clone(), event.digest().to_bytes());
    let insert = format!(
        "insert into {}.plain (stream_id, bytes, entity, idx, digest, headers, payload) \
         select 1, 200, u.entity, u.idx, $2, '', $3 from unnest($1::bytea[], $4::bytea[]) as u (entity, idx)",
        schema.name
    );
    let started = Instant::now();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (insert, payload, events) = (insert.clone(), payload.clone(), sizes.hold_events / WRITERS);
        let mut connection: PgConnection = schema.connection().await;
        writers.spawn(async move {
            for batch in 0..events / BATCH_REQUESTS_MAX {
                let numbers = batch * BATCH_REQUESTS_MAX..(batch + 1) * BATCH_REQUESTS_MAX;
                let entities: Vec<Vec<u8>> = numbers
                    .clone()
                    .map(|n| rig::entity("gated", n * WRITERS + writer).into_bytes())
                    .collect();
                let indexes: Vec<[u8; 16]> = numbers.map(|n| (FIRST + n as u128).to_be_bytes()).collect();
                let query = sqlx::query(AssertSqlSafe(insert.clone())).bind(entities).bind(&digest[..]);
                connection.execute(query.bind(&payload[..]).bind(indexes)).await?;
            }
            connection.close().await?;
            anyhow::Ok(())
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended??;
    }
    let inserted = sizes.hold_events / WRITERS / BATCH_REQUESTS_MAX * BATCH_REQUESTS_MAX * WRITERS;
    Ok(inserted as f64 / started.elapsed().as_secs_f64())
}
