//! A consumer group in a file: what a broker's coordinator knows.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    file_lock,
    recording::{Line, Recording, now_ms},
};

/// How long a member may be silent before it is declared dead.
pub const SESSION: Duration = Duration::from_millis(1_500);

/// The group's state, in `group.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Raised with every assignment.
    pub epochs: u64,
    /// When each member last spoke, in milliseconds since 1970.
    pub members: BTreeMap<u32, u64>,
    /// Each partition's owner and position.
    pub partitions: Vec<Partition>,
}

/// One partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// Which member has it.
    pub owner: Option<u32>,
    /// The assignment under which it has it.
    pub epoch: u64,
    /// Whether it was asked to let go of it.
    pub revoked: bool,
    /// The index of the next event that is not done with.
    pub committed: u64,
}

impl Group {
    /// Lets a member speak, declares silent ones dead, and divides the partitions anew if need be. Returns those that
    /// have been declared dead.
    pub fn beat(&mut self, member: u32) -> Vec<u32> {
        let now = now_ms();
        self.members.insert(member, now);
        let session = u64::try_from(SESSION.as_millis()).unwrap_or(u64::MAX);
        let dead: Vec<u32> = self
            .members
            .iter()
            .filter(|(_, spoke)| now.saturating_sub(**spoke) > session)
            .map(|(member, _)| *member)
            .collect();
        for member in &dead {
            self.leave(*member);
        }
        self.divide(member);
        dead
    }

    /// A member is gone, and what it had is nobody's.
    pub fn leave(&mut self, member: u32) {
        self.members.remove(&member);
        for partition in &mut self.partitions {
            if partition.owner == Some(member) {
                (partition.owner, partition.revoked) = (None, false);
            }
        }
    }

    /// The member takes what is nobody's up to its share, and is asked for what it has above it.
    fn divide(&mut self, member: u32) {
        let share = self.partitions.len().div_ceil(self.members.len().max(1));
        let mut owned =
            self.partitions.iter().filter(|one| one.owner == Some(member) && !one.revoked).count();
        for partition in &mut self.partitions {
            if partition.owner.is_none() && owned < share {
                self.epochs += 1;
                (partition.owner, partition.epoch, partition.revoked) = (Some(member), self.epochs, false);
                owned += 1;
            } else if partition.owner == Some(member) && !partition.revoked && owned > share {
                partition.revoked = true;
                owned -= 1;
            }
        }
    }

    /// Whether the partition is the member's under this assignment.
    #[must_use]
    pub fn owns(&self, member: u32, partition: usize, epoch: u64) -> bool {
        self.partitions.get(partition).is_some_and(|one| one.owner == Some(member) && one.epoch == epoch)
    }
}

/// Where a test's shared files are.
#[derive(Clone, Debug)]
pub struct Files(PathBuf);

impl Files {
    /// The files in this directory.
    #[must_use]
    pub fn in_directory(directory: &Path) -> Self {
        Self(directory.to_owned())
    }

    /// The group's state.
    #[must_use]
    pub fn group(&self) -> PathBuf {
        self.0.join("group.json")
    }

    /// The queue's state.
    #[must_use]
    pub fn queue(&self) -> PathBuf {
        self.0.join("queue.json")
    }

    /// What everybody records.
    #[must_use]
    pub fn recording(&self) -> PathBuf {
        self.0.join("recording.jsonl")
    }

    /// A partition's events.
    #[must_use]
    pub fn partition(&self, partition: usize) -> PathBuf {
        self.0.join(format!("partition{partition}.json"))
    }

    /// Changes the group, as a member that speaks; whoever is declared dead by it is recorded.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn speak<T>(&self, member: u32, change: impl FnOnce(&mut Group) -> T) -> std::io::Result<T> {
        let recording = Recording::open(&self.recording())?;
        file_lock::change(&self.group(), |group: &mut Group| {
            // Written before anybody can act on it.
            for process in group.beat(member) {
                recording.append(&Line::DeclaredDead { process })?;
            }
            Ok(change(group))
        })?
    }
}
