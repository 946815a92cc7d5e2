//! A cluster in this process.

use std::{sync::mpsc, thread};

use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};

type Cluster = MockCluster<'static, DefaultProducerContext>;
type Job = Box<dyn FnOnce(&Cluster) + Send>;

/// A mock cluster, which must stay in the thread that made it.
pub(crate) struct Mock {
    jobs: mpsc::Sender<Job>,
    servers: String,
}

impl Mock {
    /// A cluster of one broker with these topics, by name and partitions.
    pub(crate) fn new(topics: &[(&str, i32)]) -> Self {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let cluster = MockCluster::new(1).expect("there is a mock cluster");
            tell.send(cluster.bootstrap_servers()).expect("its maker waits");
            while let Ok(job) = queue.recv() {
                job(&cluster);
            }
        });
        let servers = told.recv().expect("it has started");
        let mock = Self { jobs, servers };
        for (topic, partitions) in topics {
            let (topic, partitions) = ((*topic).to_owned(), *partitions);
            mock.run(move |cluster| cluster.create_topic(&topic, partitions, 1).expect("it is made"));
        }
        mock
    }

    pub(crate) fn servers(&self) -> &str {
        &self.servers
    }

    /// Has something done to the cluster, and waits for it.
    pub(crate) fn run<R: Send + 'static>(&self, job: impl FnOnce(&Cluster) -> R + Send + 'static) -> R {
        let (tell, told) = mpsc::channel();
        let job = move |cluster: &Cluster| tell.send(job(cluster)).expect("somebody waits");
        self.jobs.send(Box::new(job)).expect("the cluster's thread runs");
        told.recv().expect("the job has run")
    }

    /// Has every broker vanish, or come back.
    pub(crate) fn away(&self, away: bool) {
        let done =
            move |cluster: &Cluster| if away { cluster.broker_down(-1) } else { cluster.broker_up(-1) };
        self.run(done).expect("brokers go and come");
    }
}
