//! Everything the broker knows, behind one lock.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{
    BrokerError, MemberId,
    group::{Group, Topics, later},
    member::Place,
    topic::Topic,
};
use crate::{SourceError, SourceMessage, StreamName};

/// What clones of a broker, its sources and its publishers share.
#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Tells whoever waits that something has changed.
    pub(super) changed: Notify,
}

/// Everything the broker knows.
#[derive(Default)]
pub(super) struct State {
    pub(super) topics: Topics,
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) unavailable: bool,
    pub(super) latency: Duration,
    /// Whether something fell due that others may be waiting for.
    pub(super) expired: bool,
    ids: u64,
}

/// What a source's `next` has to do.
pub(super) enum Turn {
    Say(Result<SourceMessage, SourceError>),
    WaitUntil(Option<Instant>),
}

impl Shared {
    /// The state, to look at. A panic elsewhere leaves it usable: no change is made in several steps that may panic.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes whoever waits.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = change(&mut self.lock());
        self.changed.notify_waiters();
        result
    }

    /// Waits for a source's next message. Cancel safe: what is taken is returned at once.
    pub(super) async fn wait_for(
        &self,
        mut turn: impl FnMut(&mut State) -> Turn,
    ) -> Result<SourceMessage, SourceError> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Enabled before the look, so that a change between look and wait is not missed.
            changed.as_mut().enable();
            let (turn, expired) = {
                let mut state = self.lock();
                let turn = turn(&mut state);
                (turn, std::mem::take(&mut state.expired))
            };
            if expired {
                self.changed.notify_waiters();
            }
            match turn {
                Turn::Say(message) => return message,
                Turn::WaitUntil(None) => changed.await,
                Turn::WaitUntil(Some(at)) => {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
            }
        }
    }
}

impl State {
    /// A number that was never given before.
    pub(super) fn new_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    pub(super) fn topic(&mut self, name: &str) -> Result<&mut Topic, BrokerError> {
        self.topics.get_mut(name).ok_or_else(|| BrokerError::Unknown { name: name.to_owned() })
    }

    /// The topic, if it still takes events.
    pub(super) fn open_topic(&mut self, name: &str) -> Result<&mut Topic, BrokerError> {
        let topic = self.topic(name)?;
        if topic.closed { Err(BrokerError::Closed { name: name.to_owned() }) } else { Ok(topic) }
    }

    pub(super) fn group(&mut self, name: &str) -> Result<&mut Group, BrokerError> {
        self.groups.get_mut(name).ok_or_else(|| BrokerError::Unknown { name: name.to_owned() })
    }

    /// The place of a stream in a group.
    pub(super) fn place(&self, group: &str, stream: &StreamName) -> Result<Place, BrokerError> {
        let positions = self.groups.get(group).map(|group| &group.positions);
        let place = positions.and_then(|positions| positions.iter().find(|(_, at)| at.stream == *stream));
        let place = place.map(|(place, _)| place.clone());
        place.ok_or_else(|| BrokerError::Unknown { name: stream.to_string() })
    }

    /// Changes a group that has this member, with its alarms looked after and what may be dropped dropped.
    pub(super) fn with_group<R>(
        &mut self,
        group: &str,
        change: impl FnOnce(&mut Group, &Topics, Instant) -> R,
    ) -> Result<R, BrokerError> {
        let now = Instant::now();
        let found = self.groups.get_mut(group);
        let found = found.ok_or_else(|| BrokerError::Unknown { name: group.to_owned() })?;
        self.expired |= found.expire(&self.topics, now);
        let result = change(found, &self.topics, now);
        let to_trim = std::mem::take(&mut found.to_trim);
        for place in to_trim {
            self.trim(&place);
        }
        Ok(result)
    }

    /// Drops what every group has settled.
    fn trim(&mut self, place: &Place) {
        let positions = self.groups.values().filter_map(|group| group.positions.get(place));
        let Some(Some(through)) = positions.map(|at| at.committed).min() else { return };
        let Ok(number) = usize::try_from(place.partition) else { return };
        let topic = self.topics.get_mut(&*place.topic);
        if let Some(partition) = topic.and_then(|topic| topic.partitions.get_mut(number)) {
            partition.drop_through(through);
        }
    }

    /// What a member's `next` has to do now.
    pub(super) fn turn_of(&mut self, group: &str, id: MemberId) -> Turn {
        if let Err(unavailable) = self.available() {
            return Turn::Say(Err(unavailable));
        }
        let latency = self.latency;
        let turn = self.with_group(group, |group, topics, now| {
            let Some(member) = group.members.get_mut(&id) else { return gone() };
            if let Some(at) = member.ready_at.filter(|at| *at > now) {
                return Turn::WaitUntil(Some(at));
            }
            let Some(message) = group.next_for(id, topics, now) else {
                return Turn::WaitUntil(group.next_alarm());
            };
            if let Some(member) = group.members.get_mut(&id) {
                member.ready_at = (!latency.is_zero()).then(|| later(now, latency));
            }
            Turn::Say(Ok(message))
        });
        turn.unwrap_or_else(|_| gone())
    }

    /// An error while the broker was told to be unavailable.
    pub(super) fn available(&self) -> Result<(), SourceError> {
        if self.unavailable {
            return Err(SourceError::Unavailable("it was told to be unavailable".into()));
        }
        Ok(())
    }
}

fn gone() -> Turn {
    let why = "the broker has declared this member dead; subscribe again".to_owned();
    Turn::Say(Err(SourceError::Fatal { why, source: None }))
}
