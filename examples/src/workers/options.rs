//! What the program is asked to do.

use std::path::PathBuf;

use clap::Parser;

/// Several processes consume one topic's partitions and share one failure log; some of them are killed on the way.
#[derive(Clone, Debug, Parser)]
#[command(name = "postgres_workers")]
#[command(
    after_help = "Exit status: 0 when every entity's order held and every event was handled; 1 when not, or when \
                        something broke; 2 when an argument is wrong."
)]
pub struct Options {
    /// The failure log that all workers share.
    #[arg(long, value_name = "postgres://…|sqlite:PATH", env = "DATABASE_URL", hide_env_values = true)]
    pub store: String,
    /// How many worker processes there are.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub workers: u32,
    /// How many partitions the topic has.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub partitions: u32,
    /// How many workers are killed on the way, each replaced by a new one.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=16))]
    pub kill: u32,
    /// The chance that one attempt of the handler fails, from 0 to 0.5.
    #[arg(long, default_value_t = 0.05, value_parser = chance)]
    pub fail: f64,
    /// Which attempts fail.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Which worker this process is; the program itself starts them so.
    #[arg(long, hide = true, requires_all = ["name", "diary"])]
    pub worker: Option<u32>,
    /// The consumer's name, which all workers share.
    #[arg(long, hide = true)]
    pub name: Option<String>,
    /// The file that every handler appends to.
    #[arg(long, hide = true)]
    pub diary: Option<PathBuf>,
}

fn chance(text: &str) -> Result<f64, String> {
    let chance: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    (0.0..=0.5).contains(&chance).then_some(chance).ok_or_else(|| "not between 0 and 0.5".to_owned())
}
