//! What a replay on a SQLite file leaves beside it, so that the next process can go on: which replay it was, and how
//! far its broker, which lives in memory, had been told that events are done.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::{EventLog, Options};

/// The layout of the file; another one is refused.
const FORMAT: u32 = 1;

/// Which replay it is, and how far the broker is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Saved {
    format: u32,
    file: String,
    entity_column: String,
    log_digest: u64,
    seed: u64,
    fail: f64,
    park: usize,
    /// For each partition, the index that the broker would deliver next.
    pub(super) next: Vec<u64>,
}

impl Saved {
    /// A replay that begins.
    pub(super) fn begin(log: &EventLog, options: &Options, partitions: usize) -> Self {
        Self {
            format: FORMAT,
            file: log.title.clone(),
            entity_column: log.entity_column.clone(),
            log_digest: log.digest,
            seed: options.seed,
            fail: options.fail,
            park: options.park,
            next: vec![0; partitions],
        }
    }

    /// Refuses to go on with a replay that is another one: its rows or its failures would not be these.
    pub(super) fn check(&self, asked: &Self, store: &Path) -> Result<()> {
        let store = store.display();
        let advice = "replay with the same arguments to resume it, or name another path";
        if self.entity_column != asked.entity_column {
            let (was, is) = (&self.entity_column, &asked.entity_column);
            bail!("{store} holds a replay by the entity column `{was}`, not `{is}`; {advice}");
        }
        if self.log_digest != asked.log_digest {
            let (was, is) = (&self.file, &asked.file);
            bail!("{store} holds a replay of {was} as it was then, and {is} has another content; {advice}");
        }
        if self.seed != asked.seed {
            bail!("{store} holds a replay with seed {}, not {}; {advice}", self.seed, asked.seed);
        }
        let (was, is) = ((self.fail, self.park), (asked.fail, asked.park));
        if was != is {
            let (was_fail, was_park) = was;
            bail!("{store} holds a replay with --fail {was_fail} and --park {was_park}; {advice}");
        }
        if self.next.len() != asked.next.len() {
            bail!("{store} holds a replay over {} partitions; name another path", self.next.len());
        }
        Ok(())
    }

    /// What an earlier replay on this store left, if one did.
    pub(super) fn load(store: &Path) -> Result<Option<Self>> {
        let path = beside(store, "replay.json");
        let said = || format!("cannot use {}, which says how far the replay is", path.display());
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(said),
        };
        let saved: Self = serde_json::from_slice(&text).with_context(said)?;
        if saved.format != FORMAT {
            bail!("{}: its format is {}, and this program knows {FORMAT}", said(), saved.format);
        }
        Ok(Some(saved))
    }

    /// Writes it beside the store: all of it or, if the process dies meanwhile, nothing of it.
    pub(super) fn store(&self, store: &Path) -> Result<()> {
        let path = beside(store, "replay.json");
        let said = || format!("cannot write {}", path.display());
        let new = beside(store, "replay.json.new");
        fs::write(&new, serde_json::to_vec(self)?).with_context(said)?;
        fs::rename(&new, &path).with_context(said)
    }
}

/// The path of a file beside the store: `failures.db` has `failures.db.replay.json`.
pub(super) fn beside(store: &Path, ending: &str) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn saved(args: &[&str], csv: &[u8], column: &str) -> Saved {
        let options = Options::try_parse_from([&["replay"], args].concat()).unwrap();
        Saved::begin(&EventLog::parse("log.csv", column, csv).unwrap(), &options, 8)
    }

    #[test]
    fn what_was_stored_is_loaded_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("failures.db");
        assert_eq!(Saved::load(&store).unwrap(), None);
        let mut one = saved(&["--fail", "0.1"], b"id\na\n", "id");
        one.next[3] = 7;
        one.store(&store).unwrap();
        assert_eq!(Saved::load(&store).unwrap(), Some(one));
    }

    #[test]
    fn another_file_column_seed_or_chance_is_refused_in_plain_words() {
        let csv = b"id,other\na,b\n";
        let one = saved(&[], csv, "id");
        let refused =
            |other: &Saved| format!("{:#}", one.check(other, Path::new("failures.db")).unwrap_err());
        assert!(refused(&saved(&["--seed", "2"], csv, "id")).contains("with seed 1, not 2"));
        assert!(refused(&saved(&[], csv, "other")).contains("the entity column `id`, not `other`"));
        assert!(refused(&saved(&[], b"id,other\na,c\n", "id")).contains("another content"));
        assert!(refused(&saved(&["--fail", "0.5"], csv, "id")).contains("--fail 0.05"));
        assert!(one.check(&saved(&["--crash", "4"], csv, "id"), Path::new("failures.db")).is_ok());
    }
}
