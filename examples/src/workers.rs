//! Several processes, one failure log.
//!
//! The process that is started is the broker: it has the partitions, says which worker owns which, keeps what each has
//! settled, kills some workers and gives what they owned to others. The workers are processes of the same program.
//! Everything that a handler does is a line in one file that all of them append to, and by those lines alone the order
//! is judged at the end.

mod broker;
mod diary;
mod fleet;
mod options;
pub(crate) mod store;
mod summary;
mod worker;

use std::process::ExitCode;

use clap::Parser as _;

pub use options::Options;

/// Reads the arguments and runs the broker, or one worker of it.
#[must_use]
pub fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(async {
        match options.worker {
            Some(number) => worker::work(&options, number).await.map(|()| ExitCode::SUCCESS),
            None => broker::serve(&options).await.map(|summary| {
                print!("{summary}");
                summary.exit_code()
            }),
        }
    });
    ended.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
