//! How a program begins.

use std::process::ExitCode;

use tracing_subscriber::filter::LevelFilter;

/// Runs a program to its end, with its warnings on standard error.
pub(crate) fn run_logged(program: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(LevelFilter::WARN).init();
    crate::program::run(program)
}
