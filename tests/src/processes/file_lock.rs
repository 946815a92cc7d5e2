//! A file that several processes change, one at a time.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
};

use serde::{Serialize, de::DeserializeOwned};

/// Changes what is in a file, as JSON, while no other process does. The lock is the operating system's, so that it goes
/// with its process; a process that is stopped while it holds it stops the others, too, until it goes on.
///
/// A change is written whole into a second file and moved over the first, so that a process that is killed in the middle
/// leaves the one or the other.
///
/// # Errors
/// When a file cannot be read or written, or has something else in it.
pub fn change<S: Serialize + DeserializeOwned + Default, T>(
    path: &Path,
    change: impl FnOnce(&mut S) -> T,
) -> std::io::Result<T> {
    let lock =
        OpenOptions::new().create(true).truncate(false).write(true).open(path.with_extension("lock"))?;
    lock.lock()?;
    let mut text = String::new();
    match File::open(path) {
        Ok(mut file) => drop(file.read_to_string(&mut text)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut state: S = if text.is_empty() { S::default() } else { serde_json::from_str(&text)? };
    let made = change(&mut state);
    let changed = serde_json::to_string(&state)?;
    if changed != text {
        let new = path.with_extension("new");
        let mut file = File::create(&new)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(changed.as_bytes())?;
        std::fs::rename(&new, path)?;
    }
    // Dropped, the lock is let go.
    drop(lock);
    Ok(made)
}
