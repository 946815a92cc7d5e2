//! What this process uses, as Linux tells it; nothing elsewhere.

use std::fs;

/// Bytes of memory in use (the resident set).
pub(crate) fn resident_bytes() -> f64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<f64>().ok());
    // A page has 4 KiB on every machine that this is measured on.
    pages.unwrap_or(f64::NAN) * 4_096.0
}

/// Nanoseconds that the process's threads have spent on a core: beside other processes, steadier than wall time.
pub(crate) fn cpu_nanos() -> f64 {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return f64::NAN };
    let of_task = |path: std::path::PathBuf| {
        let text = fs::read_to_string(path.join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    };
    tasks.flatten().filter_map(|task| of_task(task.path())).sum()
}

/// Nanoseconds that the process has spent on a core, in steps of ten milliseconds, with what threads that have ended
/// spent.
#[cfg(feature = "services")]
pub(crate) fn cpu_nanos_with_ended() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The program's name may have spaces in it, and ends with the last parenthesis; user and system time are the 14th
    // and 15th field.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks =
        |place: usize| fields.split_whitespace().nth(place).and_then(|ticks| ticks.parse::<f64>().ok());
    ticks(11).zip(ticks(12)).map_or(f64::NAN, |(user, system)| (user + system) * 1e7)
}
