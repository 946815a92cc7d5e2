//! The program around the replay.

use std::{
    io::{IsTerminal as _, Write as _, stderr, stdout},
    process::{ExitCode, exit},
    thread,
};

use clap::Parser as _;
use tracing_subscriber::{
    Layer as _, filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use super::{Interrupt, Options, replay};

/// Reads the arguments, replays, prints what came of it, and says by the exit status whether all is as promised.
#[must_use]
pub fn main() -> ExitCode {
    let options = Options::parse();
    // `RUST_LOG=ordered_consumer=debug`; without it, only the report is shown.
    let filter: Targets =
        std::env::var("RUST_LOG").ok().and_then(|filter| filter.parse().ok()).unwrap_or_default();
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr).with_ansi(stderr().is_terminal());
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    let interrupt = Interrupt::new();
    if let Err(error) = listen_for_ctrl_c(interrupt.clone()) {
        eprintln!("Ctrl-C will end the replay at once, because it cannot be listened for: {error}");
    }
    match replay(&options, &interrupt) {
        Ok(report) => {
            // Whoever reads it may have gone, as `head` does; the exit status says the verdict all the same.
            let _ = write!(stdout(), "{report}");
            report.exit_code()
        }
        Err(error) => {
            eprintln!("error: {error}");
            error.exit_code()
        }
    }
}

/// The first Ctrl-C asks the replay to stop; the second one ends the process.
fn listen_for_ctrl_c(interrupt: Interrupt) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    thread::Builder::new().name("ctrl-c".to_owned()).spawn(move || {
        runtime.block_on(async {
            if tokio::signal::ctrl_c().await.is_ok() {
                interrupt.ask();
                eprintln!("Stopping; Ctrl-C again ends it at once.");
            }
            if tokio::signal::ctrl_c().await.is_ok() {
                exit(130);
            }
        });
    })?;
    Ok(())
}
