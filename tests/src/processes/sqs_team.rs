//! Processes that read one queue of a real SQS endpoint.

use serde::{Deserialize, Serialize};

use super::{recorded::Plan, team::Team};
use crate::sqs::SqsQueue;

/// How a process reads a queue.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SqsReading {
    /// Where SQS is: for each process in turn one of these.
    pub endpoints: Vec<String>,
    /// The queue.
    pub url: String,
    /// The queue for copies; without one, failed events come back in the process.
    pub retry_url: Option<String>,
}

/// Processes, and the queue that they read.
pub type SqsTeam = Team<SqsQueue>;

/// How a team gets to its servers, where it is not the plain way.
#[derive(Clone, Debug, Default)]
pub struct Ways {
    /// Where SQS is: for each process in turn one of these.
    pub endpoints: Vec<String>,
    /// Where PostgreSQL is.
    pub postgres: Option<String>,
}

impl SqsTeam {
    /// Nothing runs yet. The seed decides the plan and whatever is drawn.
    #[must_use]
    pub fn new(program: &str, queue: SqsQueue, plan: Plan, retry: bool, ways: Ways) -> Self {
        let Ways { mut endpoints, postgres } = ways;
        if endpoints.is_empty() {
            endpoints.push(queue.endpoint.clone());
        }
        let retry_url = retry.then(|| queue.retry_url.clone());
        let reading = SqsReading { endpoints, url: queue.url.clone(), retry_url };
        let postgres = postgres.unwrap_or_else(crate::postgres::url);
        Self::muster(program, queue, plan, reading, &postgres)
    }
}
