//! A broker of a test's own, in a directory of its own: for tests that do it harm.

use std::process::Command;

use crate::postgres::variable;

/// Runs until it is dropped.
#[derive(Debug)]
pub struct KafkaServer {
    directory: tempfile::TempDir,
    /// Where clients find it, whatever happens to it.
    pub address: String,
}

#[expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "this is for tests, which fail by panicking"
)]
impl KafkaServer {
    /// Starts one.
    #[must_use]
    pub fn start() -> Self {
        let mut server = Self { directory: tempfile::tempdir().unwrap(), address: String::new() };
        let told = server.run("start");
        let address = told.lines().find_map(|line| line.strip_prefix("export KAFKA_BOOTSTRAP_SERVERS="));
        server.address = address.unwrap().to_owned();
        server
    }

    /// Does what the script does: `restart`, `stop`, or `start` after that.
    pub fn run(&self, action: &str) -> String {
        let mut command = Command::new(variable("KAFKA_SERVICE"));
        let command = command.arg(action).arg(self.directory.path().join("kafka"));
        let ran = command.env_remove("KAFKA_BOOTSTRAP_SERVERS").output().unwrap();
        assert!(ran.status.success(), "{action}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    }
}

impl Drop for KafkaServer {
    fn drop(&mut self) {
        self.run("stop");
    }
}
