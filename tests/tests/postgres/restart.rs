//! A server that is restarted in the middle of everything: one of the test's own.

use std::process::Command;

use ordered_consumer_tests::postgres::{TestSchema, variable};

use crate::support::{apply, arrive, fail, held, try_apply};

/// A server in a directory of its own, stopped when this is dropped.
struct Server(tempfile::TempDir);

impl Server {
    fn run(&self, action: &str) -> String {
        let mut command = Command::new(variable("POSTGRES_SERVICE"));
        let command = command.arg(action).arg(self.0.path().join("server"));
        let ran = command.env_remove("DATABASE_URL").env_remove("PGBOUNCER_URL").output().unwrap();
        assert!(ran.status.success(), "{action}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    }

    fn start() -> (Self, String) {
        let server = Self(tempfile::tempdir().unwrap());
        let told = server.run("start");
        let url = told.lines().find_map(|line| line.strip_prefix("export DATABASE_URL=")).unwrap();
        (server, url.to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.run("stop");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_server_loses_nothing_acknowledged_and_is_got_over() {
    let (server, url) = Server::start();
    let schema = TestSchema::at(&url);
    let log = schema.builder().connect().await.unwrap();
    apply(&log, &[fail("e", 1)]).await;
    held(&log, "e").await;
    // Idle connections have died with it, which nobody notices.
    server.run("restart");
    apply(&log, &[arrive("e", 2)]).await;
    assert_eq!(held(&log, "e").await, [1, 2]);
    let writing = {
        let log = log.clone();
        tokio::spawn(async move {
            let mut last = 2;
            for index in 3..400 {
                // Whatever is transient is asked again, as consumers do.
                while let Err(error) = try_apply(&log, &[arrive("e", index)]).await {
                    assert!(error.is_transient(), "{error:?}");
                    tokio::task::yield_now().await;
                }
                last = index;
            }
            last
        })
    };
    server.run("restart");
    let last = writing.await.unwrap();
    assert_eq!(held(&log, "e").await, (1..=last).collect::<Vec<_>>());
    log.close().await;
    drop(schema);
    drop(server);
}
