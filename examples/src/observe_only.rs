//! An existing consume loop with an existing handler, and an observer between the two: what would have been held?
//!
//! The loop reads the orders of `examples/data/orders.csv` in the order of their times, calls the handler for each, logs
//! what fails and goes on, as many loops do. The clock is the file's own, so that every run tells the same.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use ordered_consumer::{
    Clock, Event, Handler, HandlerError, Index, ObserveReport, OrderedConsumer, RetryPolicy, StreamName,
    Timestamp, permanent,
};

/// The bank was away between these times, and whoever asked it for a payment was told so.
const BANK_AWAY: (&str, &str) = ("2025-03-05T09:00:00.000Z", "2025-03-05T15:00:00.000Z");

/// Observes, and prints the summary.
///
/// # Errors
/// When the file of orders cannot be read.
pub fn main() -> anyhow::Result<()> {
    let report = observe()?;
    println!(
        "Every event has run, in the order of the file, and nothing was written. With an ordered consumer:\n"
    );
    println!("{report}");
    Ok(())
}

/// The handler as it has always been.
async fn handle(event: Event) -> Result<(), HandlerError> {
    let text = |bytes: Option<&[u8]>| bytes.map(String::from_utf8_lossy).unwrap_or_default().into_owned();
    let what = text(event.event_type().map(AsRef::as_ref));
    let at = text(event.payload().map(AsRef::as_ref));
    let order = text(Some(event.entity().as_ref()));
    let number: u32 = order.trim_start_matches("order-").parse().map_err(permanent)?;
    match what.as_str() {
        "payment requested" if (BANK_AWAY.0..BANK_AWAY.1).contains(&at.as_str()) => {
            Err("the bank is away".into())
        }
        "payment received" if number.is_multiple_of(40) => Err(permanent("no such account")),
        _ => Ok(()),
    }
}

/// The loop, with the observer in front of the handler.
///
/// # Errors
/// When the file of orders cannot be read.
pub fn observe() -> anyhow::Result<ObserveReport> {
    let rows = rows()?;
    let start = rows.first().context("the file has no rows")?.at;
    let clock = Clock::manual(start);
    // The one line that an existing program adds; where it called `handle`, it calls `observed.handle`.
    let observed = OrderedConsumer::observe_only("orders", handle)
        .with_retry_policy(RetryPolicy::default())
        .with_clock(clock.clone());
    let stream = StreamName::new("orders/0")?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let (mut now, mut failures) = (start, Vec::new());
    for (index, row) in (0_u32..).zip(rows) {
        clock.advance(row.at.since(now));
        now = row.at;
        let event = Event::builder(stream.clone(), Index::new(index.into()), row.order)
            .event_type(row.what)
            .payload(row.text)
            .build();
        if let Err(error) = runtime.block_on(observed.handle(event)) {
            // As it has always been: told, and on to the next.
            failures.push(error.text());
        }
    }
    let report = observed.observer().report();
    anyhow::ensure!(report.total().failed == failures.len() as u64, "the observer has missed a failure");
    Ok(report)
}

struct Row {
    order: String,
    what: String,
    text: String,
    at: Timestamp,
}

/// The file's rows, by time.
fn rows() -> anyhow::Result<Vec<Row>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/orders.csv");
    let mut reader =
        csv::Reader::from_path(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record?;
        let column = |place: usize| record.get(place).map(str::to_owned).context("a row is too short");
        let text = column(2)?;
        let at = time(&text).with_context(|| format!("{text} is no time"))?;
        rows.push(Row { order: column(0)?, what: column(1)?, at, text });
    }
    rows.sort_by_key(|row| row.at);
    Ok(rows)
}

/// The time in a text such as `2025-03-03T06:05:05.629Z`.
fn time(text: &str) -> Option<Timestamp> {
    let mut numbers = text.trim_end_matches('Z').split(['-', 'T', ':', '.']).map(str::parse::<i64>);
    let mut next = || numbers.next()?.ok();
    let (year, month, day) = (next()?, next()?, next()?);
    let (hour, minute, second, milli) = (next()?, next()?, next()?, next()?);
    // Days since 1970, with years that begin in March, so that the leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    Some(Timestamp::from_micros(seconds * 1_000_000).plus(Duration::from_millis(u64::try_from(milli).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are() {
        let micros = |text| time(text).map(Timestamp::as_micros);
        assert_eq!(micros("1970-01-01T00:00:00.000Z"), Some(0));
        assert_eq!(micros("2024-02-29T12:00:00.001Z"), Some(1_709_208_000_001_000));
        assert_eq!(micros("never"), None);
    }
}
