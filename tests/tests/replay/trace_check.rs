//! An independent check of a replay's trace: from the CSV file and the JSON lines alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde::Deserialize;

/// The rows of each entity, as the file has them.
pub(crate) struct Log {
    entity_of: Vec<String>,
    rows_of: BTreeMap<String, Vec<usize>>,
}

impl Log {
    pub(crate) fn read(path: &Path, column: &str) -> Self {
        let mut reader = csv::Reader::from_path(path).unwrap();
        let at = reader.headers().unwrap().iter().position(|name| name == column).unwrap();
        let entity_of: Vec<String> = reader.records().map(|row| row.unwrap()[at].to_owned()).collect();
        let mut rows_of: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (row, entity) in entity_of.iter().enumerate() {
            rows_of.entry(entity.clone()).or_default().push(row);
        }
        Self { entity_of, rows_of }
    }

    pub(crate) fn rows(&self) -> usize {
        self.entity_of.len()
    }

    /// How many entities these rows belong to, each of which must have all of its rows from one of them on among them.
    pub(crate) fn entities_that_end_with(&self, rows: &[usize]) -> usize {
        let rows: BTreeSet<usize> = rows.iter().copied().collect();
        let is_in = |row: &usize| rows.contains(row);
        let mut count = 0;
        for of_entity in self.rows_of.values().filter(|of_entity| of_entity.iter().any(is_in)) {
            assert!(of_entity.iter().skip_while(|row| !is_in(row)).all(is_in), "a gap in {of_entity:?}");
            count += 1;
        }
        count
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    entity: String,
    row: usize,
    attempt: u32,
    redelivered: bool,
    ok: bool,
}

/// The trace of a replay.
pub(crate) struct Trace {
    lines: Vec<Line>,
    of_entity: BTreeMap<String, (Vec<usize>, Vec<Line>)>,
    rows: usize,
}

impl Trace {
    pub(crate) fn read(path: &Path, log: &Log) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let lines: Vec<Line> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let entities = log.rows_of.iter().map(|(entity, rows)| (entity.clone(), (rows.clone(), Vec::new())));
        let mut of_entity: BTreeMap<_, _> = entities.collect();
        for line in &lines {
            assert_eq!(line.entity, log.entity_of[line.row], "row {}", line.row);
            of_entity.get_mut(&line.entity).unwrap().1.push(line.clone());
        }
        Self { lines, of_entity, rows: log.rows() }
    }

    /// Rows without a successful run.
    pub(crate) fn unhandled(&self) -> Vec<usize> {
        let handled: BTreeSet<usize> =
            self.lines.iter().filter(|line| line.ok).map(|line| line.row).collect();
        (0..self.rows).filter(|row| !handled.contains(row)).collect()
    }

    pub(crate) fn failures(&self) -> usize {
        self.lines.iter().filter(|line| !line.ok).count()
    }

    pub(crate) fn begins_with(&self, other: &Self) -> bool {
        self.lines.starts_with(&other.lines)
    }

    pub(crate) fn is_in_order(&self, crashes: usize) -> bool {
        self.of_entity.values().all(|(rows, lines)| order_of(rows, lines, crashes).is_ok())
    }

    #[track_caller]
    pub(crate) fn assert_in_order(&self, crashes: usize) {
        for (rows, lines) in self.of_entity.values() {
            if let Err(why) = order_of(rows, lines, crashes) {
                panic!("{why}: {lines:#?}");
            }
        }
    }
}

/// Walks through one entity's runs: after a failure the same row, after a success the next one, and back to an earlier
/// one, to go on in order from there, at most once for each crash.
fn order_of(rows: &[usize], lines: &[Line], crashes: usize) -> Result<(), String> {
    let (mut at, mut furthest, mut went_back) = (0, 0, 0);
    for line in lines {
        let place = rows.iter().position(|row| *row == line.row).ok_or("a row of another entity")?;
        if place > furthest {
            return Err(format!("row {} ran before row {} had succeeded", line.row, rows[furthest]));
        }
        // Ahead of where a replay has come to, but not of what had succeeded: duplicates in between did not run.
        if place < at {
            went_back += 1;
        }
        if went_back > crashes {
            return Err(format!("row {} ran again, and there was no crash", line.row));
        }
        if place == furthest && !line.redelivered && line.attempt != 1 {
            return Err(format!("attempt {} on row {} says it is the first", line.attempt, line.row));
        }
        at = if line.ok { place + 1 } else { place };
        furthest = furthest.max(at);
    }
    Ok(())
}
