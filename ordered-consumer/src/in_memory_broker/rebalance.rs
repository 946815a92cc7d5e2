//! Dividing a group's streams among its members, each step through its old owner's release.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::{
    MemberId,
    group::{Group, Owner, Revoking, Topics, later, partition},
    member::{Held, Place},
};
use crate::{AssignedStream, Assignment, Index, Lease, SourceMessage};

impl Group {
    /// Gives away streams that nobody owns, and asks for streams of members that have more than their share.
    pub(super) fn rebalance(&mut self, topics: &Topics, now: Instant) {
        self.give_unowned(topics);
        self.even_out(now);
    }

    fn give_unowned(&mut self, topics: &Topics) {
        let mut loads = self.loads();
        let unowned: Vec<Place> = self
            .positions
            .iter()
            .filter(|(_, at)| at.owner.is_none())
            .map(|(place, _)| place.clone())
            .collect();
        let mut given: BTreeMap<MemberId, Vec<AssignedStream>> = BTreeMap::new();
        for place in unowned {
            let eligible = loads.iter().filter(|(id, _)| self.is_eligible(**id, &place));
            let Some(id) = eligible.min_by_key(|(id, load)| (**load, **id)).map(|(id, _)| *id) else {
                continue;
            };
            if let Some(assigned) = self.assign(&place, id, topics) {
                given.entry(id).or_default().push(assigned);
                *loads.entry(id).or_default() += 1;
            }
        }
        for (id, streams) in given {
            if let Some(member) = self.members.get_mut(&id) {
                member.notices.push_back(SourceMessage::Assigned(streams));
            }
        }
    }

    fn even_out(&mut self, now: Instant) {
        let mut loads = self.loads();
        let mut asked: BTreeMap<MemberId, Vec<Assignment>> = BTreeMap::new();
        while let Some((place, to)) = self.uneven(&loads) {
            let deadline = later(now, self.options.rebalance_timeout);
            let Some(assignment) = self.revoke(&place, Some(to), deadline) else { break };
            let from = self.positions.get(&place).and_then(|at| at.owner.as_ref()).map(|owner| owner.member);
            let Some(from) = from else { break };
            *loads.entry(from).or_default() -= 1;
            *loads.entry(to).or_default() += 1;
            asked.entry(from).or_default().push(assignment);
        }
        for (id, assignments) in asked {
            if let Some(member) = self.members.get_mut(&id) {
                member.notices.push_back(SourceMessage::Revoked { assignments, lost: false });
            }
        }
    }

    /// A stream whose owner has at least two more than somebody who could have it.
    fn uneven(&self, loads: &BTreeMap<MemberId, usize>) -> Option<(Place, MemberId)> {
        let load = |id: &MemberId| loads.get(id).copied().unwrap_or(0);
        self.positions.iter().rev().find_map(|(place, at)| {
            let owner = at.owner.as_ref().filter(|owner| owner.revoking.is_none())?;
            let eligible = loads.keys().filter(|id| self.is_eligible(**id, place));
            let poor = eligible.min_by_key(|id| (load(id), **id))?;
            (load(&owner.member) >= load(poor) + 2).then(|| (place.clone(), *poor))
        })
    }

    /// Streams per member, as they will be once what is promised has changed hands.
    fn loads(&self) -> BTreeMap<MemberId, usize> {
        let mut loads: BTreeMap<MemberId, usize> = self.members.keys().map(|id| (*id, 0)).collect();
        for owner in self.positions.values().filter_map(|at| at.owner.as_ref()) {
            let counts = match &owner.revoking {
                None => Some(owner.member),
                Some(revoking) => revoking.promised,
            };
            if let Some(load) = counts.and_then(|id| loads.get_mut(&id)) {
                *load += 1;
            }
        }
        loads
    }

    /// A member that does not know yet that it lost a stream cannot be given it again.
    fn is_eligible(&self, id: MemberId, place: &Place) -> bool {
        self.members
            .get(&id)
            .is_some_and(|member| member.topics.contains(&place.topic) && !member.is_unaware(place))
    }

    /// Gives a stream that nobody owns to whom it was promised, if that member is still there.
    pub(super) fn hand_over(&mut self, place: &Place, to: Option<MemberId>, topics: &Topics) {
        let Some(id) = to.filter(|id| self.is_eligible(*id, place)) else { return };
        let Some(assigned) = self.assign(place, id, topics) else { return };
        if let Some(member) = self.members.get_mut(&id) {
            member.notices.push_back(SourceMessage::Assigned(vec![assigned]));
        }
    }

    fn assign(&mut self, place: &Place, id: MemberId, topics: &Topics) -> Option<AssignedStream> {
        partition(topics, place)?;
        let at = self.positions.get_mut(place)?;
        let member = self.members.get_mut(&id)?;
        self.epochs += 1;
        let epoch = self.epochs;
        at.owner = Some(Owner { member: id, epoch, revoking: None });
        let after = at.again_after.take().unwrap_or(at.committed);
        let assignment = Assignment { stream: at.stream.clone(), epoch };
        let lease = self.options.session_timeout.map(Lease::new);
        member.held.push(Held {
            assignment: assignment.clone(),
            place: place.clone(),
            after,
            delivered: after,
            lease: lease.clone(),
            confirmed: false,
            paused: false,
            settled: None,
            lost: None,
        });
        Some(AssignedStream { assignment, lease })
    }

    /// Asks a stream of its owner; the caller tells it.
    fn revoke(&mut self, place: &Place, to: Option<MemberId>, deadline: Instant) -> Option<Assignment> {
        let at = self.positions.get_mut(place)?;
        let owner = at.owner.as_mut()?;
        owner.revoking = Some(Revoking { deadline, promised: to });
        Some(Assignment { stream: at.stream.clone(), epoch: owner.epoch })
    }

    /// Has everything from this index on delivered again, once the stream's owner has let go of it.
    pub(super) fn deliver_again(&mut self, place: &Place, index: Index, topics: &Topics, now: Instant) {
        let Some(at) = self.positions.get_mut(place) else { return };
        // Nothing unsettled may be left out.
        let after = index.before().map(Index::get).min(at.committed);
        at.again_after = Some(after);
        let owner = at.owner.as_ref().filter(|owner| owner.revoking.is_none()).map(|owner| owner.member);
        if let Some(owner) = owner {
            let deadline = later(now, self.options.rebalance_timeout);
            if let Some(assignment) = self.revoke(place, Some(owner), deadline)
                && let Some(member) = self.members.get_mut(&owner)
            {
                let assignments = vec![assignment];
                member.notices.push_back(SourceMessage::Revoked { assignments, lost: false });
            }
        }
        self.rebalance(topics, now);
    }

    /// Has the group's position go back, as when somebody resets it; the stream's owner loses it.
    pub(super) fn rewind(&mut self, place: &Place, index: Index, topics: &Topics, now: Instant) {
        let Some(at) = self.positions.get_mut(place) else { return };
        at.committed = index.before().map(Index::get);
        if let Some(owner) = at.owner.take() {
            self.tell_lost(place, &owner);
        }
        self.rebalance(topics, now);
    }

    /// Forgets all about a topic that is deleted; its owners lose its streams.
    pub(super) fn forget_topic(&mut self, topic: &str) {
        let places: Vec<Place> =
            self.positions.keys().filter(|place| &*place.topic == topic).cloned().collect();
        for place in places {
            if let Some(owner) = self.positions.get_mut(&place).and_then(|at| at.owner.take()) {
                self.tell_lost(&place, &owner);
            }
            self.positions.remove(&place);
        }
    }
}
