//! An event log, read from a CSV file.

use std::{collections::HashMap, fs::File, hash::Hasher as _, io::Read, path::Path};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use bytes::Bytes;
use csv::StringRecord;
use ordered_consumer::ENTITY_BYTES_MAX;
use serde_json::{Map, Value};
use siphasher::sip::SipHasher13;

use super::Options;

/// The log that is replayed when no file is named.
const ORDERS: &[u8] = include_bytes!("../../data/orders.csv");

/// Columns that commonly say what happened, the likeliest first.
const ACTIVITY_COLUMNS: [&str; 5] = ["concept:name", "event", "activity", "event_type", "type"];

/// One row of the file.
#[derive(Clone, Debug)]
pub struct LoggedEvent {
    /// Which of [`EventLog::entities`] it belongs to.
    pub entity: usize,
    /// What happened, for people to read; empty where no column says so.
    pub activity: String,
    /// The row as JSON.
    pub payload: Bytes,
}

/// An event log.
#[derive(Clone, Debug)]
pub struct EventLog {
    /// The file's name, for people to read.
    pub title: String,
    /// The column that names the entity.
    pub entity_column: String,
    /// Every entity's name, in the order of first appearance.
    pub entities: Vec<String>,
    /// Every row, in the file's order.
    pub events: Vec<LoggedEvent>,
    /// The rows of each entity, ascending.
    pub rows_of: Vec<Vec<usize>>,
    /// What tells this log from another: the same for the same content and entity column.
    pub digest: u64,
}

impl EventLog {
    /// Reads the log that the options name.
    ///
    /// # Errors
    /// The file cannot be opened, has no such column or no events, or a row cannot be read.
    pub fn read(options: &Options) -> Result<Self> {
        let column = options.entity.as_deref();
        let Some(path) = &options.file else {
            return Self::parse("examples/data/orders.csv", column.unwrap_or("order_id"), ORDERS);
        };
        let title = path.display().to_string();
        let bytes = read_file(path).with_context(|| format!("cannot read {title}"))?;
        let column = column.ok_or_else(|| anyhow!("--file needs --entity COLUMN"))?;
        Self::parse(&title, column, &bytes)
    }

    /// The log of orders that comes with the examples.
    ///
    /// # Errors
    /// None, as long as the file is what it was.
    pub fn orders() -> Result<Self> {
        Self::parse("examples/data/orders.csv", "order_id", ORDERS)
    }

    /// Reads a log from the bytes of a CSV file.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(title: &str, entity_column: &str, bytes: &[u8]) -> Result<Self> {
        let mut reader = csv::Reader::from_reader(bytes);
        let header = reader.headers().with_context(|| format!("cannot read the header of {title}"))?.clone();
        let entity_at = header.iter().position(|name| name == entity_column);
        let Some(entity_at) = entity_at else { bail!(unknown_column(title, entity_column, &header)) };
        let activity_at =
            ACTIVITY_COLUMNS.iter().find_map(|wanted| header.iter().position(|name| name == *wanted));

        let mut log = Self {
            title: title.to_owned(),
            entity_column: entity_column.to_owned(),
            entities: Vec::new(),
            events: Vec::new(),
            rows_of: Vec::new(),
            digest: digest(entity_column, bytes),
        };
        let mut known = HashMap::new();
        for (row, record) in reader.into_records().enumerate() {
            let record = record.with_context(|| format!("cannot read row {row} of {title}"))?;
            let name = record.get(entity_at).unwrap_or_default();
            check_entity(name).with_context(|| format!("row {row} of {title}"))?;
            let entity = *known.entry(name.to_owned()).or_insert_with(|| {
                log.entities.push(name.to_owned());
                log.rows_of.push(Vec::new());
                log.entities.len() - 1
            });
            log.rows_of[entity].push(row);
            let activity = activity_at.and_then(|at| record.get(at)).unwrap_or_default().to_owned();
            log.events.push(LoggedEvent { entity, activity, payload: as_json(&header, &record)? });
        }
        ensure!(!log.events.is_empty(), "{title} has a header and no events");
        Ok(log)
    }

    /// The name of the row's entity.
    #[must_use]
    pub fn entity_of(&self, row: usize) -> &str {
        &self.entities[self.events[row].entity]
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unknown_column(title: &str, wanted: &str, header: &StringRecord) -> String {
    let names: Vec<&str> = header.iter().collect();
    format!("{title} has no column `{wanted}`; it has: {}", names.join(", "))
}

fn check_entity(name: &str) -> Result<()> {
    ensure!(!name.is_empty(), "the entity column is empty; every event needs an entity");
    let bytes = name.len();
    ensure!(bytes <= ENTITY_BYTES_MAX, "the entity has {bytes} bytes; {ENTITY_BYTES_MAX} are allowed");
    Ok(())
}

fn as_json(header: &StringRecord, record: &StringRecord) -> Result<Bytes> {
    let fields = header.iter().zip(record);
    let row: Map<String, Value> =
        fields.map(|(name, field)| (name.to_owned(), Value::String(field.to_owned()))).collect();
    Ok(serde_json::to_vec(&row)?.into())
}

fn digest(entity_column: &str, bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(entity_column.as_bytes());
    hasher.write_u8(0);
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(csv: &[u8], column: &str) -> String {
        format!("{:#}", EventLog::parse("log.csv", column, csv).unwrap_err())
    }

    #[test]
    fn rows_keep_their_place_in_the_file_and_their_entity() {
        let log = EventLog::parse("log.csv", "id", b"id,event\nb,x\na,y\nb,z\n").unwrap();
        assert_eq!(log.entities, ["b", "a"]);
        assert_eq!(log.rows_of, [vec![0, 2], vec![1]]);
        assert_eq!((log.entity_of(2), log.events[2].activity.as_str()), ("b", "z"));
    }

    #[test]
    fn an_unknown_column_is_refused_with_those_there_are() {
        assert_eq!(error(b"id,event\na,x\n", "case"), "log.csv has no column `case`; it has: id, event");
    }

    #[test]
    fn a_row_that_cannot_be_read_is_named() {
        assert!(error(b"id,event\na,x\nb\n", "id").contains("cannot read row 1 of log.csv"));
        assert!(error(b"id,event\na,x\nb,\xff\n", "id").contains("cannot read row 1 of log.csv"));
        assert!(error(b"id,event\n,x\n", "id").contains("row 0 of log.csv"));
        assert!(error(b"id,event\n", "id").contains("no events"));
    }

    #[test]
    fn the_log_that_comes_with_the_program_is_an_interleaved_order_workflow() {
        let log = EventLog::parse("orders", "order_id", ORDERS).unwrap();
        assert!(log.events.len() >= 2_500 && log.entities.len() >= 300);
        let neighbours = log.events.windows(2).filter(|pair| pair[0].entity == pair[1].entity).count();
        assert!(neighbours * 2 < log.events.len(), "{neighbours} events follow one of their own entity");
    }
}
