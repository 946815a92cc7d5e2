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
