//! Scenarios 55 to 57: names and words full of SQL, and error texts that are long, loop, or act upon terminals.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{error::Error, fmt, sync::Arc};

use ordered_consumer::{
    CountBy, Counts, Event, FailureLog, GateQuery, HandlerError, Index, MemoryFailureLog, NameError,
    OrderedConsumer, Outcome, ProcessError, RunError, StreamName, TakeOverOptions,
    gate::FAILURE_TEXT_BYTES_MAX,
};
use ordered_consumer_tests::{
    Scripted, World, on_both_logs,
    world::{NAME, gates, operator, seconds},
};

on_both_logs!(
    sql_in_names_keys_and_reasons_is_only_text,
    names_that_like_would_match_stay_apart,
    search_words_are_taken_byte_by_byte,
    terminal_escapes_in_an_error_text_are_shown_escaped,
    escapes_and_html_come_back_as_they_were_and_only_what_is_shown_is_escaped,
    an_error_text_of_a_megabyte_is_cut_and_kept,
    an_error_chain_that_loops_ends,
);

fn event(stream: &str, index: u128, entity: &str) -> Event {
    let stream = StreamName::new(stream).unwrap();
    Event::builder(stream, Index::new(index), entity.to_owned()).payload("text").build()
}

/// A consumer of this name whose handler fails with what `error` makes.
fn failing<E>(
    name: &str,
    log: &Arc<dyn FailureLog>,
    error: impl Fn() -> E + Send + Sync + 'static,
) -> OrderedConsumer<impl ordered_consumer::Handler>
where
    E: Into<HandlerError> + Send + 'static,
{
    let handler = move |_: Event| {
        let error = error().into();
        async move { Err::<(), HandlerError>(error) }
    };
    OrderedConsumer::new(name, handler, Arc::clone(log)).with_retry_policy(seconds())
}

async fn sql_in_names_keys_and_reasons_is_only_text(log: Arc<dyn FailureLog>) {
    let sql = "x'); drop table gate; delete from event; --\" %_ \\";
    let consumer = failing(sql, &log, || "'; drop table audit; --");
    let other = failing(NAME, &log, || "not yet");
    other.process(event("orders/0", 1, "a")).await.unwrap();
    assert!(matches!(consumer.process(event(sql, 1, sql)).await.unwrap(), Outcome::RetryScheduled { .. }));
    assert_eq!(consumer.process(event(sql, 2, sql)).await.unwrap(), Outcome::Held);
    let operator = consumer.operator(sql).unwrap();
    let query = GateQuery {
        stream: Some(StreamName::new(sql).unwrap()),
        entity: Some(sql.into()),
        limit: 10,
        ..GateQuery::default()
    };
    let seen = operator.list(&query).await.unwrap().remove(0);
    assert_eq!(seen.gate.held_events, 2);
    operator.park(&seen, sql).await.unwrap();
    let line = operator.audit(Some(&seen.key), 10).await.unwrap().remove(0);
    assert_eq!((&*line.audit.by, &*line.audit.why), (sql, sql));
    assert_eq!(line.key, seen.key);
    let text = operator.explain(sql).await.unwrap();
    assert!(text.contains("'; drop table audit; --"), "{text}");
    assert_eq!(gates(&log).await.len(), 1, "the other consumer's gate is there still");
}

async fn names_that_like_would_match_stay_apart(log: Arc<dyn FailureLog>) {
    let names = ["a", "A", "%", "_", "a%", "a_", "ab", "a b"];
    for name in names {
        for stream in names {
            let outcome = failing(name, &log, || "no").process(event(stream, 1, "e")).await.unwrap();
            assert!(matches!(outcome, Outcome::RetryScheduled { .. }), "{name} {stream}: {outcome}");
        }
    }
    for name in names {
        let operator = failing(name, &log, || "no").operator("ann").unwrap();
        assert_eq!(operator.totals().await.unwrap().gated_entities, 8, "{name}");
        for stream in names {
            let stream = Some(StreamName::new(stream).unwrap());
            let query = GateQuery { stream, limit: 10, ..GateQuery::default() };
            assert_eq!(operator.list(&query).await.unwrap().len(), 1, "{name}");
        }
    }
}

/// Scenario 55: a prefix, an error's class and a type with what SQL would take for a pattern.
async fn search_words_are_taken_byte_by_byte(log: Arc<dyn FailureLog>) {
    let consumer = failing(NAME, &log, || "no");
    let keys = ["a%b", "a_b", "axb", "a'b", "A%b", "%", "_", "a\0b"];
    for (index, key) in (1..).zip(keys) {
        consumer.process(event("orders/0", index, key)).await.unwrap();
    }
    let operator = operator(Arc::clone(&log));
    let any = GateQuery { limit: 100, ..GateQuery::default() };
    let found = async |prefix: &'static str| -> Vec<String> {
        let query = GateQuery { entity_prefix: Some(prefix.into()), ..any.clone() };
        let found = operator.list(&query).await.unwrap();
        found.iter().map(|found| String::from_utf8_lossy(&found.key.entity).into_owned()).collect()
    };
    for key in keys {
        assert_eq!(found(key).await, [key], "{key:?}");
    }
    assert_eq!(found("a").await, ["a\0b", "a%b", "a'b", "a_b", "axb"]);
    assert!(found("a%b%").await.is_empty() && found("' or 1=1 --").await.is_empty());
    for word in ["%", "_", "' or 1=1 --", "{rows}", "?", "$.class"] {
        let class = GateQuery { error_class: Some(word.into()), ..any.clone() };
        assert!(operator.list(&class).await.unwrap().is_empty(), "{word}");
        let of_type = GateQuery { event_type: Some(word.into()), ..any.clone() };
        assert_eq!(operator.counts(&of_type, CountBy::EventType).await.unwrap(), Counts::default(), "{word}");
    }
}

/// Scenario 56: what operators and handlers wrote is kept as it is, and what is put into sentences is escaped.
async fn escapes_and_html_come_back_as_they_were_and_only_what_is_shown_is_escaped(log: Arc<dyn FailureLog>) {
    let evil = "\x1b]0;x\x07<script>alert(1)</script>\u{202e}\n";
    let consumer = failing(NAME, &log, move || evil);
    let payload = Event::builder(StreamName::new("s").unwrap(), Index::new(1), evil.to_owned());
    consumer.process(payload.payload(evil).header(evil, evil).build()).await.unwrap();
    let operator = operator(Arc::clone(&log));
    let seen = gates(&log).await.remove(0);
    operator.note(&seen, evil).await.unwrap();
    let inspection = operator.inspect(&seen.key).await.unwrap().unwrap();
    assert_eq!(inspection.held[0].payload().unwrap(), evil);
    assert_eq!(&*inspection.audit[0].audit.why, evil);
    let acts = |text: &str| text.chars().any(|c| c.is_control() || c == '\u{202e}');
    let explained = operator.explain(evil).await.unwrap();
    assert!(!acts(&explained) && explained.contains("<script>"), "{explained:?}");
    let debugged = format!("{:?} {:?}", inspection.held, inspection.entity.key);
    assert!(!acts(&debugged) && !debugged.contains("script"), "{debugged:?}");
}

async fn terminal_escapes_in_an_error_text_are_shown_escaped(log: Arc<dyn FailureLog>) {
    let evil = "a\x1b[2J\x1b]0;title\x07\r\nforged: line\u{202e}\u{9b}31m\0<b>end";
    let consumer = failing(NAME, &log, move || evil);
    consumer.process(event("orders/0", 1, "a\x1b[2J")).await.unwrap();
    let operator = operator(Arc::clone(&log));
    let text = operator.explain("a\x1b[2J").await.unwrap();
    assert!(text.contains(r"\u{1b}[2J") && text.contains("end"), "{text:?}");
    let acts = |c: char| c.is_control() || c == '\u{202e}';
    assert!(!text.chars().any(acts), "{text:?}");
    let kept = gates(&log).await.remove(0).gate.last_failure.unwrap();
    assert!(kept.text.starts_with("a\x1b[2J"), "it is kept as it is: {:?}", kept.text);
    assert!(!kept.text.contains('\0'), "but for NUL, which PostgreSQL cannot keep");
    let unavailable = failing("other", &log, move || ordered_consumer::unavailable(evil));
    let refused = unavailable.process(event("orders/0", 1, "a")).await.unwrap_err();
    assert!(matches!(refused, ProcessError::Unavailable { .. }));
    assert!(!refused.to_string().chars().any(acts), "{refused:?}");
}

async fn an_error_text_of_a_megabyte_is_cut_and_kept(log: Arc<dyn FailureLog>) {
    let consumer = failing(NAME, &log, || "é\0".repeat(350_000));
    let outcome = consumer.process(event("orders/0", 1, "a")).await.unwrap();
    assert!(matches!(outcome, Outcome::RetryScheduled { .. }));
    let gate = gates(&log).await.remove(0).gate;
    let kept = gate.last_failure.unwrap();
    assert!(kept.text.len() <= FAILURE_TEXT_BYTES_MAX && kept.text.len() > FAILURE_TEXT_BYTES_MAX / 2);
    assert_eq!(gate.first_failure.unwrap().text, kept.text);
    let text = operator(Arc::clone(&log)).explain("a").await.unwrap();
    assert!(text.len() < 4 * FAILURE_TEXT_BYTES_MAX, "{} bytes", text.len());
}

/// An error that is its own source.
#[derive(Debug)]
struct Looping;

impl fmt::Display for Looping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("round and round")
    }
}

impl Error for Looping {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self)
    }
}

async fn an_error_chain_that_loops_ends(log: Arc<dyn FailureLog>) {
    let consumer = failing(NAME, &log, || Looping);
    let outcome = consumer.process(event("orders/0", 1, "a")).await.unwrap();
    assert!(matches!(outcome, Outcome::RetryScheduled { .. }));
    let kept = gates(&log).await.remove(0).gate.last_failure.unwrap();
    assert_eq!(&*kept.text, "round and round", "what was said already is not said again");
}

#[tokio::test(start_paused = true)]
async fn a_consumer_name_that_cannot_be_used_is_refused_wherever_it_is_first_used() {
    let long = "n".repeat(ordered_consumer::NAME_BYTES_MAX + 1);
    let wrong = [
        ("", NameError::Empty { what: "consumer" }),
        (&*long, NameError::TooLong { what: "consumer", bytes: 256 }),
        ("a\0b", NameError::Control { what: "consumer", code: 0 }),
        ("a\nb", NameError::Control { what: "consumer", code: 10 }),
        ("a\x1b[2J", NameError::Control { what: "consumer", code: 27 }),
    ];
    for (name, why) in wrong {
        let world = World::with(&["a1"]);
        let consumer = OrderedConsumer::new(name, Scripted::calm(), MemoryFailureLog::new());
        assert!(matches!(consumer.run(world.source()).await, Err(RunError::Name(error)) if error == why));
        let refused = consumer.process(event("orders/0", 1, "a")).await;
        assert!(matches!(refused, Err(ProcessError::Name(error)) if error == why));
        assert_eq!(consumer.operator("ann").unwrap_err(), why);
        let options = TakeOverOptions::default();
        let refused = consumer.take_over(world.stream(0), options, async || true).await;
        assert!(matches!(refused, Err(RunError::Name(error)) if error == why));
        let shown = why.to_string();
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
        assert_eq!(world.broker.lag(NAME), 1, "nothing was taken");
    }
}

// What an operator reads, and what a developer prints.
#[tokio::test(start_paused = true)]
async fn neither_explanations_nor_debug_output_show_escapes_or_keys() {
    for text in ["\u{1b}[2J<script>\0\u{202e}".to_owned(), "x".repeat(1 << 20)] {
        let log: Arc<dyn FailureLog> = Arc::new(MemoryFailureLog::new());
        let consumer = failing(NAME, &log, move || text.clone());
        let key = "\u{1b}[31mred";
        consumer.process(event("orders/0", 1, key)).await.unwrap();
        let kept = gates(&log).await.remove(0);
        let explained = consumer.operator("ann").unwrap().explain(key).await.unwrap();
        for shown in [explained, format!("{kept:?}")] {
            assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown:?}");
            assert!(!shown.contains("red"), "no key is shown: {shown}");
        }
    }
}
