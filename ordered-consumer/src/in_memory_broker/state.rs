//! Everything the broker knows, behind one lock.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{
    BrokerError, MemberId,
    group::{Group, Topics, later},
    member::Place,
    new_event::NewEvent,
    queue::Queue,
    topic::Topic,
};
use crate::{Index, SourceError, SourceMessage, StreamName};

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
    pub(super) queues: BTreeMap<String, Queue>,
    pub(super) unavailable: bool,
    pub(super) latency: Duration,
    /// What was told while the broker was unavailable, in order.
    untold: Vec<Untold>,
    /// Whether something fell due that others may be waiting for.
    pub(super) expired: bool,
    ids: u64,
}

type Untold = Box<dyn FnOnce(&mut State) + Send>;

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

    /// Appends an event, and wakes whoever waits if that was possible.
    pub(super) fn try_append(
        &self,
        name: &str,
        event: &NewEvent,
    ) -> Result<(StreamName, Index), BrokerError> {
        let published = self.lock().append(name, None, event.clone());
        if published.is_ok() {
            self.changed.notify_waiters();
        }
        published
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

    pub(super) fn queue(&mut self, name: &str) -> Result<&mut Queue, BrokerError> {
        self.queues.get_mut(name).ok_or_else(|| BrokerError::Unknown { name: name.to_owned() })
    }

    /// That no topic and no queue has this name.
    pub(super) fn is_free(&self, name: &str) -> Result<(), BrokerError> {
        if self.topics.contains_key(name) || self.queues.contains_key(name) {
            return Err(BrokerError::Exists { name: name.to_owned() });
        }
        Ok(())
    }

    /// Appends to a queue, or to a topic's partition: that of the key's hash, if none is named.
    pub(super) fn append(
        &mut self,
        name: &str,
        partition: Option<u32>,
        event: NewEvent,
    ) -> Result<(StreamName, Index), BrokerError> {
        let closed = || BrokerError::Closed { name: name.to_owned() };
        if partition.is_none()
            && let Some(queue) = self.queues.get_mut(name)
        {
            return if queue.closed { Err(closed()) } else { queue.append(event) };
        }
        let topic = self.topic(name)?;
        if topic.closed {
            return Err(closed());
        }
        let Some(partition) = partition else {
            return topic.append(topic.partition_of(&event.key), event);
        };
        let number = usize::try_from(partition).ok().filter(|number| *number < topic.partitions.len());
        let number =
            number.ok_or_else(|| BrokerError::NoSuchPartition { topic: name.to_owned(), partition })?;
        topic.append(number, event)
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

    /// Has groups know every partition of a topic that has others than before.
    pub(super) fn follow_again(&mut self, name: &str) {
        let now = Instant::now();
        for group in self.groups.values_mut() {
            let followed = group.members.values().flat_map(|member| &member.topics);
            let followed = followed.filter(|topic| ***topic == *name).map(Arc::clone).next();
            if let Some((followed, topic)) = followed.zip(self.topics.get(name)) {
                group.follow(&followed, topic);
            }
            group.rebalance(&self.topics, now);
        }
    }

    /// Changes a queue, with its alarms looked after.
    pub(super) fn with_queue<R>(
        &mut self,
        queue: &str,
        change: impl FnOnce(&mut Queue, Instant) -> R,
    ) -> Result<R, BrokerError> {
        let now = Instant::now();
        let expired = self.queue(queue)?.expire(now);
        self.expired |= expired;
        Ok(change(self.queue(queue)?, now))
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
            member.is_heard(now, group.options.session_timeout);
            if let Some(at) = member.ready_at.filter(|at| *at > now) {
                return Turn::WaitUntil([Some(at), group.next_alarm(id)].into_iter().flatten().min());
            }
            let Some(message) = group.next_for(id, topics, now) else {
                return Turn::WaitUntil(group.next_alarm(id));
            };
            if let Some(member) = group.members.get_mut(&id) {
                member.ready_at = (!latency.is_zero()).then(|| later(now, latency));
            }
            Turn::Say(Ok(message))
        });
        turn.unwrap_or_else(|_| gone())
    }

    /// What a queue's consumer's `next` has to do now.
    pub(super) fn queue_turn_of(&mut self, queue: &str, id: MemberId) -> Turn {
        if let Err(unavailable) = self.available() {
            return Turn::Say(Err(unavailable));
        }
        let latency = self.latency;
        let turn = self.with_queue(queue, |queue, now| {
            queue.beat(id, now);
            let Some(consumer) = queue.consumers.get_mut(&id) else { return gone() };
            if let Some(at) = consumer.ready_at.filter(|at| *at > now) {
                return Turn::WaitUntil([Some(at), queue.next_alarm(id)].into_iter().flatten().min());
            }
            let Some(message) = queue.next_for(id, now) else {
                return Turn::WaitUntil(queue.next_alarm(id));
            };
            if let Some(consumer) = queue.consumers.get_mut(&id) {
                consumer.ready_at = (!latency.is_zero()).then(|| later(now, latency));
            }
            Turn::Say(Ok(message))
        });
        turn.unwrap_or_else(|_| gone())
    }

    /// Does what a source tells the broker: now, or once the broker is available.
    pub(super) fn tell(&mut self, told: impl FnOnce(&mut Self) + Send + 'static) {
        if self.unavailable {
            // Bounded by what was delivered before: nothing more is while the broker is away.
            self.untold.push(Box::new(told));
        } else {
            told(self);
        }
    }

    /// Makes the broker unavailable, or available again.
    pub(super) fn set_unavailable(&mut self, unavailable: bool) {
        self.unavailable = unavailable;
        if !unavailable {
            for told in std::mem::take(&mut self.untold) {
                told(self);
            }
        }
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
