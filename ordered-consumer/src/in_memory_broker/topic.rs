//! A topic and its partitions.

use std::{collections::VecDeque, fmt::Write as _};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::{BrokerError, NewEvent, TopicOptions};
use crate::{Event, Index, NameError, StreamName};

/// Events in order, by the hash of their key.
pub(super) struct Topic {
    pub(super) options: TopicOptions,
    /// Another one for each topic ever created, so that a topic created again can be told from the first.
    pub(super) identity: Bytes,
    pub(super) partitions: Vec<Partition>,
    pub(super) closed: bool,
}

/// One partition's events, without a gap.
pub(super) struct Partition {
    pub(super) stream: StreamName,
    /// The index of the first entry, if there is one.
    first: u128,
    entries: VecDeque<Event>,
    /// The index of the next event; none once the highest is taken.
    next: Option<u128>,
}

impl Topic {
    pub(super) fn new(name: &str, options: TopicOptions, identity: u64) -> Result<Self, NameError> {
        let partition = |number| Partition::new(name, number, options.first_index);
        let partitions = (0..options.partitions).map(partition).collect::<Result<_, NameError>>()?;
        let identity = Bytes::from(format!("topic-{identity}"));
        Ok(Self { options, identity, partitions, closed: false })
    }

    /// Adds empty partitions, until there are so many. The hash of a key chooses among all of them from here on.
    pub(super) fn add_partitions(&mut self, name: &str, partitions: u32) -> Result<(), NameError> {
        let partition = |number| Partition::new(name, number, self.options.first_index);
        let more = (self.options.partitions..partitions).map(partition);
        let more = more.collect::<Result<Vec<_>, NameError>>()?;
        self.partitions.extend(more);
        self.options.partitions = self.options.partitions.max(partitions);
        Ok(())
    }

    /// The partition of a key: the same in every process and version, as long as the topic has as many partitions.
    pub(super) fn partition_of(&self, key: &[u8]) -> usize {
        let partitions = self.partitions.len() as u64;
        usize::try_from(xxh3_64(key) % partitions.max(1)).unwrap_or(0)
    }

    pub(super) fn append(
        &mut self,
        partition: usize,
        event: NewEvent,
    ) -> Result<(StreamName, Index), BrokerError> {
        let limit = self.options.retained_max;
        let Some(partition) = self.partitions.get_mut(partition) else {
            return Err(BrokerError::Nothing { what: "a topic", of: "partition" });
        };
        let stream = partition.stream.clone();
        if partition.entries.len() >= limit {
            return Err(BrokerError::Full { stream, limit });
        }
        let Some(index) = partition.next else {
            return Err(BrokerError::IndexesUsedUp { stream });
        };
        partition.next = index.checked_add(1);
        partition.entries.push_back(event.at(stream.clone(), index));
        Ok((stream, Index::new(index)))
    }
}

impl Partition {
    fn new(topic: &str, number: u32, first_index: u128) -> Result<Self, NameError> {
        let mut stream = String::from(topic);
        // Writing into a String cannot fail.
        let _ = write!(stream, "/{number}");
        Ok(Self {
            stream: StreamName::new(stream)?,
            first: first_index,
            entries: VecDeque::new(),
            next: Some(first_index),
        })
    }

    /// The last index ever given to an event, of a partition that begins with this one.
    pub(super) fn last_index(&self, first_index: u128) -> Option<Index> {
        match self.next {
            Some(next) => next.checked_sub(1).filter(|last| *last >= first_index).map(Index::new),
            None => Some(Index::MAX),
        }
    }

    /// How many entries lie up to and including this index.
    fn entries_through(&self, index: Option<u128>) -> usize {
        match index {
            Some(index) if index >= self.first => {
                usize::try_from(index - self.first).unwrap_or(usize::MAX).saturating_add(1)
            }
            Some(_) | None => 0,
        }
    }

    /// The events after this index, in order; from the start if it is none.
    pub(super) fn after(&self, index: Option<u128>) -> impl Iterator<Item = &Event> {
        self.entries.iter().skip(self.entries_through(index))
    }

    /// How many events there are after this index.
    pub(super) fn count_after(&self, index: Option<u128>) -> usize {
        self.entries.len().saturating_sub(self.entries_through(index))
    }

    pub(super) fn keeps(&self, index: u128) -> bool {
        index >= self.first && self.entries_through(Some(index)) <= self.entries.len()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The index of the event that a consumer would get that has settled everything up to and including this one.
    pub(super) fn position_after(&self, index: Option<u128>) -> Option<Index> {
        let next = match index {
            Some(index) => index.checked_add(1)?,
            None => self.first,
        };
        Some(Index::new(next.max(self.first)))
    }

    /// How many events have been published since this index, kept or not.
    pub(super) fn published_since(&self, first: u128) -> u128 {
        match self.next {
            Some(next) => next.saturating_sub(first),
            None => (u128::MAX - first).saturating_add(1),
        }
    }

    pub(super) fn drop_through(&mut self, index: u128) {
        let settled = self.entries_through(Some(index)).min(self.entries.len());
        self.entries.drain(..settled);
        self.first = self.first.saturating_add(settled as u128);
    }
}
