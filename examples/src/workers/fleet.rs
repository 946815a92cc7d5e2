//! The worker processes, as the broker sees them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::mpsc,
    task::JoinHandle,
};

use super::Options;

/// What a worker says about a partition: that it is settled up to here, not including it, or consumed to its end.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) partition: usize,
    pub(super) next: usize,
    pub(super) ended: bool,
}

struct Worker {
    process: Child,
    orders: ChildStdin,
    listening: JoinHandle<()>,
}

/// All workers that live.
pub(super) struct Fleet {
    options: Options,
    name: String,
    diary: PathBuf,
    workers: BTreeMap<u32, Worker>,
    started: u32,
    said: mpsc::UnboundedSender<Result<Settled>>,
}

impl Fleet {
    pub(super) fn new(
        options: &Options,
        name: &str,
        diary: &Path,
    ) -> (Self, mpsc::UnboundedReceiver<Result<Settled>>) {
        let (said, heard) = mpsc::unbounded_channel();
        let (options, name, diary) = (options.clone(), name.to_owned(), diary.to_owned());
        (Self { options, name, diary, workers: BTreeMap::new(), started: 0, said }, heard)
    }

    /// Starts one more worker, and returns its number.
    pub(super) fn start(&mut self) -> Result<u32> {
        self.started += 1;
        let number = self.started;
        let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
        command
            .arg("--worker")
            .arg(number.to_string())
            .arg("--name")
            .arg(&self.name)
            .arg("--diary")
            .arg(&self.diary);
        for (flag, value) in [
            ("--partitions", self.options.partitions.to_string()),
            ("--seed", self.options.seed.to_string()),
            ("--fail", self.options.fail.to_string()),
        ] {
            command.arg(flag).arg(value);
        }
        // Not as an argument, which every user of the machine may read: there may be a password in it.
        command.env("DATABASE_URL", &self.options.store);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().context("cannot start a worker")?;
        let orders = process.stdin.take().context("a worker has no input")?;
        let answers = process.stdout.take().context("a worker has no output")?;
        let listening = tokio::spawn(listen(number, answers, self.said.clone()));
        self.workers.insert(number, Worker { process, orders, listening });
        Ok(number)
    }

    /// Gives a partition to a worker, to be consumed from this place on.
    pub(super) async fn give(&mut self, worker: u32, partition: usize, from: usize) -> Result<()> {
        let worker = self.workers.get_mut(&worker).context("that worker is gone")?;
        let order = format!("{partition} {from}\n");
        worker.orders.write_all(order.as_bytes()).await.context("a worker does not listen any more")
    }

    /// Kills a worker as `kill -9` does. When this returns, all that it had said has been heard.
    pub(super) async fn kill(&mut self, worker: u32) -> Result<()> {
        let mut worker = self.workers.remove(&worker).context("that worker is gone")?;
        worker.process.kill().await.context("cannot kill a worker")?;
        worker.listening.await.context("a worker's listener has ended badly")
    }

    /// Lets every worker end in good order.
    pub(super) async fn stop(mut self) -> Result<()> {
        for (number, worker) in std::mem::take(&mut self.workers) {
            let Worker { mut process, orders, .. } = worker;
            drop(orders);
            let status = process.wait().await.context("cannot wait for a worker")?;
            ensure!(status.success(), "worker {number} has ended with {status}");
        }
        Ok(())
    }
}

async fn listen(number: u32, answers: ChildStdout, said: mpsc::UnboundedSender<Result<Settled>>) {
    let mut lines = BufReader::new(answers).lines();
    // A worker that was killed in the middle of a line has not said it.
    while let Ok(Some(line)) = lines.next_line().await {
        let understood = parse(&line).with_context(|| format!("worker {number} said what is not understood"));
        if said.send(understood).is_err() {
            return;
        }
    }
}

fn parse(line: &str) -> Result<Settled> {
    let words: Vec<&str> = line.split(' ').collect();
    let [what @ ("settled" | "ended"), partition, next] = words[..] else { anyhow::bail!("{line}") };
    Ok(Settled { partition: partition.parse()?, next: next.parse()?, ended: what == "ended" })
}
