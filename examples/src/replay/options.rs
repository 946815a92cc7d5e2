//! What the replay is asked to do.

use std::{path::PathBuf, str::FromStr};

use clap::{Parser, ValueEnum};

/// Streams an event log through an ordered consumer whose handler fails now and then, and checks every entity's order.
///
/// Without arguments it replays a workflow of 300 orders that comes with the program.
#[derive(Clone, Debug, Parser)]
#[command(name = "replay")]
#[command(
    after_help = "Exit status: 0 when every entity's order held and every event is accounted for; 1 when not, \
                        or when the replay broke; 2 when what was asked for cannot be done; 130 when interrupted."
)]
pub struct Options {
    /// The event log: CSV with a header, one event per row, an entity's rows in its order.
    #[arg(long, value_name = "LOG.csv", requires = "entity")]
    pub file: Option<PathBuf>,

    /// The column that names an event's entity.
    #[arg(long, value_name = "COLUMN")]
    pub entity: Option<String>,

    /// The chance that one attempt fails, from 0 to 1.
    #[arg(long, value_name = "CHANCE", default_value_t = 0.05, value_parser = chance, allow_negative_numbers = true)]
    pub fail: f64,

    /// How many entities have one event that fails until an operator releases it.
    #[arg(long, value_name = "ENTITIES", default_value_t = 1)]
    pub park: usize,

    /// The failure log: `memory`, `sqlite:PATH`, which an interrupted replay resumes from, or, built with the feature
    /// `postgres`, `postgres://USER@HOST/DATABASE`, in a schema of its own. Unless given, SQLite in a temporary file.
    #[arg(long, value_name = "STORE")]
    pub store: Option<StoreChoice>,

    /// How often the consumer is dropped mid-flight, and started again from the broker's last committed position.
    #[arg(long, value_name = "TIMES", default_value_t = 0)]
    pub crash: usize,

    /// What every chance is drawn from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Release what is parked at the end, as an operator would, and drain it.
    #[arg(long)]
    pub release_parked: bool,

    /// Write one JSON line for each run of the handler, in the order in which they ended.
    #[arg(long, value_name = "OUT.jsonl")]
    pub trace: Option<PathBuf>,

    /// Send the same log, seed and failures through something else too.
    #[arg(long, value_name = "WHAT", value_enum)]
    pub compare: Option<Compare>,

    /// For tests: how long a run of the handler takes at most.
    #[arg(long, hide = true, value_name = "MS", default_value_t = 2)]
    pub run_ms_max: usize,

    /// For tests: the plain retry queue stands in for the product, so that the checks have something to find.
    #[arg(long, hide = true)]
    pub break_order: bool,

    /// For tests: after so many runs of the handler in this process, interrupt as Ctrl-C does.
    #[arg(long, hide = true, value_name = "RUNS")]
    pub interrupt_after: Option<usize>,

    /// For tests: after so many runs of the handler in this process, abort the process.
    #[arg(long, hide = true, value_name = "RUNS")]
    pub abort_after: Option<usize>,
}

/// What the product is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Compare {
    /// A plain retry queue: a failed event waits at its back while later ones go on.
    Naive,
}

/// Which failure log to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreChoice {
    /// In memory: gone with the process, not with a crashed consumer.
    Memory,
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL database.
    #[cfg(feature = "postgres")]
    Postgres(String),
}

impl FromStr for StoreChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        #[cfg(feature = "postgres")]
        let choices = "use `memory`, `sqlite:PATH` or `postgres://USER@HOST/DATABASE`";
        #[cfg(not(feature = "postgres"))]
        let choices = "use `memory` or `sqlite:PATH`";
        if text == "memory" {
            return Ok(Self::Memory);
        }
        #[cfg(feature = "postgres")]
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_owned()));
        }
        #[cfg(not(feature = "postgres"))]
        if text.starts_with("postgres:") || text.starts_with("postgresql:") {
            return Err(format!("this program was built without `--features postgres`; {choices}"));
        }
        match text.strip_prefix("sqlite:") {
            Some("") => Err(format!("`sqlite:` needs the path of a file; {choices}")),
            Some(path) if path.contains(":memory:") => {
                Err("a SQLite database in memory would be gone after a crash; use `memory`".to_owned())
            }
            Some(path) => Ok(Self::Sqlite(PathBuf::from(path))),
            None => Err(format!("unknown kind of failure log; {choices}")),
        }
    }
}

fn chance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(chance) if (0.0..=1.0).contains(&chance) => Ok(chance),
        Ok(_) => Err("a chance is a number from 0 to 1".to_owned()),
        Err(error) => Err(format!("{error}; a chance is a number from 0 to 1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(args: &[&str]) -> String {
        let args = [&["replay"], args].concat();
        Options::try_parse_from(args).unwrap_err().to_string()
    }

    #[test]
    fn a_chance_outside_0_to_1_is_refused() {
        for chance in ["-0.1", "1.01", "NaN", "often"] {
            assert!(refused(&["--fail", chance]).contains("a number from 0 to 1"), "{chance}");
        }
    }

    #[test]
    #[cfg(not(feature = "postgres"))]
    fn a_store_that_is_not_built_is_refused_with_what_there_is() {
        let postgres = refused(&["--store", "postgres://localhost/x"]);
        assert!(postgres.contains("--features postgres") && postgres.contains("sqlite:PATH"), "{postgres}");
    }

    #[test]
    fn a_store_that_is_not_known_is_refused_with_what_there_is() {
        for store in ["sqlite:", "mysql://x", ""] {
            assert!(refused(&["--store", store]).contains("sqlite:PATH"), "{store}");
        }
        assert!(refused(&["--store", "sqlite::memory:"]).contains("use `memory`"));
    }

    #[test]
    fn a_file_needs_its_entity_column() {
        assert!(refused(&["--file", "x.csv"]).contains("--entity"));
    }
}
