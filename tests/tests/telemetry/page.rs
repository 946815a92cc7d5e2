//! The page and the code name the same metrics.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use metrics_util::MetricKind;
use ordered_consumer::{Event, Handler, Index, OrderedConsumer};
use ordered_consumer_tests::{Scripted, World};

use crate::metrics_seen::Metrics;

/// What the page's tables say: of each metric its type, unit and labels.
fn page() -> BTreeMap<String, (String, String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/telemetry.md");
    let text = fs::read_to_string(path).unwrap();
    let cells =
        |line: &str| line.trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect::<Vec<_>>();
    let rows = text.lines().filter(|line| line.starts_with("| `")).map(cells);
    // The tables of metrics have a column for the unit; those of spans and labels have fewer.
    rows.filter(|row| row.len() == 6)
        .map(|row| (row[0].trim_matches('`').to_owned(), (row[1].clone(), row[2].clone(), row[3].clone())))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn every_metric_that_the_code_names_is_on_the_page_as_it_is_and_the_reverse() {
    let metrics = Metrics::install();
    let world = World::with(&["a1", "a2", "b1"]);
    let handler = Scripted::failing(&[("a1", 1)]);
    let running = world.start(&handler);
    world.until_done(&handler.runs).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    running.stop().await;
    let observed = OrderedConsumer::observe_only("observed", Scripted::calm());
    let event = Event::builder(world.stream(0), Index::new(1), "e").payload("e1").build();
    observed.handle(event).await.unwrap();
    let mut code = BTreeMap::<String, (String, String, Vec<String>)>::new();
    for seen in metrics.taken().0 {
        assert!(seen.described, "{} has no description", seen.name);
        let kind = match seen.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        let units =
            [(metrics::Unit::Seconds, "s"), (metrics::Unit::Bytes, "bytes"), (metrics::Unit::Count, "count")];
        let (_, unit) = units.iter().find(|(unit, _)| Some(*unit) == seen.unit).unwrap();
        let entry = code.entry(seen.name).or_insert((kind.to_owned(), (*unit).to_owned(), Vec::new()));
        entry.2.extend(seen.labels.into_keys());
    }
    let page = page();
    assert_eq!(page.keys().collect::<Vec<_>>(), code.keys().collect::<Vec<_>>());
    for (name, (kind, unit, mut labels)) in code {
        labels.sort();
        labels.dedup();
        let (kind_told, unit_told, labels_told) = &page[&name];
        assert_eq!((kind_told, unit_told), (&kind, &unit), "{name}");
        for label in labels {
            assert!(labels_told.contains(&label), "{name} has a label {label}, which the page does not tell");
        }
    }
}
