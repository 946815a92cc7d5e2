//! What a fault makes of requests and answers.

use std::{sync::Arc, time::Duration};

use ordered_consumer::{
    Answer, Answers, ConsumerName, DueGates, Event, FailureLog, FailureLogError, GateKey, GateQuery, Index,
    ParkCause, Request, TakenGate, TakenParked, Timestamp,
    gate::{
        Action, ClaimRefusal, ClaimToken, Failure, Gate, Grant, Guard, Input, Logged, Next, Operation,
        OperatorRefusal, Reply, Resolved, Settings, State, Taken, Verdict,
    },
};

use crate::{bend, fault::Fault, mutant::Mutant};

impl Mutant {
    pub(crate) async fn gate(&self, consumer: &ConsumerName, key: &GateKey) -> Option<Gate> {
        for state in [None, Some(State::Cleared)] {
            let (stream, entity) = (Some(key.stream.clone()), Some(key.entity.clone()));
            let query = GateQuery { stream, entity, state, limit: 1, ..GateQuery::default() };
            if let Some(found) = self.inner.list(consumer, &query).await.unwrap().pop() {
                return Some(found.gate);
            }
        }
        None
    }

    pub(crate) async fn logged(&self, consumer: &ConsumerName, key: &GateKey) -> Vec<Event> {
        let all = (Index::MIN, Index::MAX);
        self.inner.held_events(consumer, key, all, u32::MAX, u64::MAX).await.unwrap()
    }

    pub(crate) fn event(&self, event: &Event) -> Event {
        if self.has(Fault::LosesRepeatedHeaders) {
            bend::without_repeats(event)
        } else if self.has(Fault::TakesPayloadsForText) {
            bend::as_text(event)
        } else if self.has(Fault::TakesNullForEmpty) {
            bend::null_as_empty(event)
        } else {
            event.clone()
        }
    }

    /// The version that people see.
    pub(crate) fn version(&self, gate: &Gate) -> u64 {
        if self.has(Fault::ResetsVersions) {
            1
        } else if self.has(Fault::UsesVersionsAgain) {
            gate.version % 5 + 1
        } else if self.has(Fault::ChangesVersionsWithHolds) {
            gate.version * 1_000 + gate.held_events
        } else {
            gate.version
        }
    }

    fn token(&self, token: &mut ClaimToken, gate: Option<&Gate>) {
        let Some(live) = gate.and_then(|gate| gate.claim) else { return };
        let half = |token: ClaimToken| token.get() & u128::from(u64::MAX);
        if self.has(Fault::TakesAResultWithoutItsToken)
            || (self.has(Fault::ComparesHalfOfAToken) && half(*token) == half(live))
        {
            *token = live;
        }
    }

    fn operation(&self, operation: &mut Operation, gate: &Gate) {
        let voids = matches!(operation.action, Action::VoidConflict { .. });
        if self.has(Fault::LetsAStaleOperatorAct) || (voids && self.has(Fault::LetsAStaleVoidThrough)) {
            operation.version = gate.version;
            operation.index = gate.head;
        }
        if operation.version == self.version(gate) {
            operation.version = gate.version;
        }
        if self.has(Fault::ForgetsRequests) || self.has(Fault::SharesRequestsAmongEntities) {
            operation.request_id = None;
        }
        if self.has(Fault::RunsWhatWasThereBeforeAnEdit) && matches!(operation.action, Action::Edit { .. }) {
            operation.action = Action::Retry;
        }
    }

    async fn bent(&self, consumer: &ConsumerName, request: &Request) -> Request {
        let mut request = request.clone();
        let gate = self.gate(consumer, &request.key).await;
        if let (Guard::Owned { generation }, true) =
            (request.guard, self.has(Fault::ReadsTheFenceWithoutALock))
        {
            let record = self.inner.stream(consumer, &request.key.stream).await.unwrap();
            if record.is_some_and(|record| record.generation == generation) {
                tokio::task::yield_now().await;
                request.guard = Guard::Unguarded;
            }
        }
        match &mut request.guard {
            Guard::Owned { .. } if self.has(Fault::ForgetsTheFence) => request.guard = Guard::Unguarded,
            Guard::Shared { deadline } if self.has(Fault::IgnoresTheDeadline) => *deadline = None,
            Guard::Owned { .. } | Guard::Shared { .. } | Guard::Unguarded => {}
        }
        match &mut request.input {
            Input::GiveBack { token, after } if self.has(Fault::CountsWhatIsGivenBack) => {
                let (failure, next) = (Failure::new("GivenBack", ""), Next::Retry(*after));
                request.input = Input::FailAgain { token: *token, failure, next };
            }
            Input::Renew { token }
            | Input::GiveBack { token, .. }
            | Input::FailAgain { token, .. }
            | Input::Resolve { token, .. } => self.token(token, gate.as_ref()),
            Input::Operate(operation) => self.operation(operation, &gate.unwrap_or_default()),
            Input::Claim { attempts, .. } if self.has(Fault::BelievesWhateverACopySays) => {
                *attempts = gate.map_or(0, |gate| gate.attempts);
            }
            Input::Claim { index, .. } if self.has(Fault::Keeps64BitsOfAnIndex) => {
                *index = Index::new(index.get() & u128::from(u64::MAX));
            }
            Input::Fail { .. } if self.has(Fault::ResumesOnAFailure) => {
                if gate.is_some_and(|gate| gate.state() == State::Paused) {
                    self.act(consumer, &request.key, Action::Resume).await;
                }
            }
            Input::Mirrored { version, .. } if self.has(Fault::CountsALaterParkAsMirrored) => {
                *version = gate.map_or(0, |gate| gate.version);
            }
            Input::Mirrored { version, .. } if self.has(Fault::MirrorsForEver) => *version = u64::MAX,
            Input::Arrive { .. } | Input::Fail { .. } | Input::Ignore { .. } | Input::Mirrored { .. } => {}
            Input::Take | Input::Claim { .. } => {}
        }
        if self.has(Fault::Keeps64BitsOfAnIndex) {
            bend::each_event(&mut request, bend::in_64_bits);
        }
        request
    }

    /// What a faulty log answers without asking the sound one.
    async fn made_up(
        &self,
        consumer: &ConsumerName,
        settings: &Settings,
        request: &Request,
    ) -> Option<Reply> {
        let Request { key, input, .. } = request;
        match input {
            Input::Arrive { events } => {
                let gate = self.gate(consumer, key).await?;
                let first = &events.first()?.event;
                let logged = self.logged(consumer, key).await;
                let at_first = logged.iter().find(|event| event.index() == first.index());
                let discarded = self.memory.lock().unwrap().discarded.get(key).copied();
                let verdict = if self.has(Fault::ForgetsAHold) && gate.head.is_some() && at_first.is_none() {
                    Verdict::Held
                } else if self.has(Fault::ForgetsTombstones) && gate.state() == State::Cleared {
                    Verdict::Run
                } else if self.has(Fault::DropsConflicts) && at_first.is_some()
                    || discarded.is_some_and(|through| first.index() <= through)
                {
                    Verdict::Duplicate
                } else {
                    return None;
                };
                Some(Reply::Arrived(vec![verdict; events.len()]))
            }
            Input::Fail { event, .. }
                if self.has(Fault::DropsConflicts) || self.has(Fault::CountsAFailureAgain) =>
            {
                let again = self.logged(consumer, key).await.iter().any(|held| held.index() == event.index());
                let logged = if self.has(Fault::DropsConflicts) { Logged::Known } else { Logged::Held };
                again.then_some(Reply::Logged(logged))
            }
            Input::Claim { token, .. } if self.has(Fault::RefusesARepeatedClaim) => {
                let repeated = self.gate(consumer, key).await?.claim == Some(*token);
                repeated.then_some(Reply::ClaimRefused(ClaimRefusal::Running))
            }
            Input::Fail { .. } if self.has(Fault::LimitsFailures) => {
                let gate = self.gate(consumer, key).await?;
                (gate.held_events >= settings.held_events_max).then_some(Reply::Logged(Logged::Held))
            }
            Input::Operate(Operation { request_id: Some(id), .. })
                if self.has(Fault::SharesRequestsAmongEntities) =>
            {
                self.memory.lock().unwrap().requests.get(id).cloned()
            }
            Input::Fail { .. } | Input::Ignore { .. } | Input::Take | Input::Claim { .. } => None,
            Input::Renew { .. } | Input::Resolve { .. } | Input::FailAgain { .. } => None,
            Input::GiveBack { .. } | Input::Mirrored { .. } | Input::Operate(_) => None,
        }
    }

    /// What a faulty log makes of what it has taken for the mirror.
    pub(crate) async fn mirror(&self, consumer: &ConsumerName, due: &mut DueGates) {
        if self.has(Fault::CountsTheMirrorAsLate) && !due.to_mirror.is_empty() {
            due.overdue += Duration::from_secs(1);
        }
        if self.has(Fault::TakesForTheMirrorForGood) {
            for TakenParked { key, head } in &due.to_mirror {
                let (index, version) = (head.index, head.version);
                self.alone(consumer, key, Input::Mirrored { index, version, refused: None }).await;
            }
        }
        if self.has(Fault::RunsWhatIsParked) {
            let run = |TakenParked { key, head }| {
                let (head, attempts) = (head.index, head.attempts);
                TakenGate { key, taken: Taken { head, released: head, attempts, alone: false } }
            };
            due.taken.extend(due.to_mirror.drain(..).map(run));
        }
    }

    /// What a faulty log makes of a sound answer.
    ///
    /// `seen_claimed` is false where it has seen the gate without a claim, and decides by what it has seen.
    async fn spoilt(
        &self,
        consumer: &ConsumerName,
        request: &Request,
        answer: Answer,
        seen_claimed: bool,
    ) -> Answer {
        let Answer { mut reply, event } = answer;
        let mut event = event.map(|event| self.event(&event));
        match (&mut reply, &request.input) {
            (Reply::Claimed(grant), _) if self.has(Fault::CountsAnAttemptTwice) => grant.attempt += 1,
            (Reply::FailedAgain(_), Input::GiveBack { .. }) => reply = Reply::GivenBack,
            (Reply::ClaimRefused(ClaimRefusal::Running), _)
                if self.has(Fault::GrantsAClaimTwice) || !seen_claimed =>
            {
                let gate = self.gate(consumer, &request.key).await.unwrap();
                event = self.logged(consumer, &request.key).await.into_iter().next();
                reply = Reply::Claimed(Grant {
                    index: gate.head.unwrap(),
                    attempt: gate.attempts,
                    first_failed_at: None,
                    alone: false,
                    deadline: gate.due_at.unwrap(),
                    since: gate.since,
                });
            }
            (Reply::FailedAgain(Logged::Parked(ParkCause::Operator)), _)
                if self.has(Fault::UnparksOnALateResult) =>
            {
                self.act(consumer, &request.key, Action::Resume).await;
            }
            (Reply::Arrived(_), _)
                if self.has(Fault::WritesOnTheQuietPath)
                    && self.gate(consumer, &request.key).await.is_none() =>
            {
                self.act(consumer, &request.key, Action::Pause).await;
            }
            (Reply::ClaimLost, Input::Resolve { .. }) if self.has(Fault::AnswersAResultTwice) => {
                reply = Reply::Resolved(Resolved { next: None, head: None });
            }
            (Reply::OperatorRefused(OperatorRefusal::NothingHeld | OperatorRefusal::NotParked), _)
                if self.has(Fault::AcceptsAnyAction) =>
            {
                reply = Reply::Operated { version: 0 };
            }
            (Reply::Operated { .. }, Input::Operate(operation))
                if self.has(Fault::VoidsEveryConflict) || self.has(Fault::ResumesOnAVoid) =>
            {
                self.after_a_void(consumer, &request.key, &operation.action).await;
            }
            (Reply::Operated { .. }, Input::Operate(Operation { action: Action::Note, .. }))
                if self.has(Fault::CountsANoteAsAChange) =>
            {
                self.act(consumer, &request.key, Action::Park).await;
            }
            (Reply::Operated { version }, _) if self.has(Fault::ResetsVersions) => *version = 1,
            (reply, Input::Operate(operation)) => self.remember(&request.key, operation, reply),
            _ => {}
        }
        Answer { reply, event }
    }

    /// Goes further than what was named.
    async fn after_a_void(&self, consumer: &ConsumerName, key: &GateKey, action: &Action) {
        if !matches!(action, Action::VoidConflict { .. }) {
            return;
        }
        if self.has(Fault::ResumesOnAVoid) {
            return self.act(consumer, key, Action::Resume).await;
        }
        let kept = self.inner.conflicts(consumer, key, None, u32::MAX, u64::MAX).await.unwrap();
        for event in kept {
            let void = Action::VoidConflict { index: event.index(), digest: None };
            self.act(consumer, key, void).await;
        }
    }

    fn remember(&self, key: &GateKey, operation: &Operation, reply: &Reply) {
        let mut memory = self.memory.lock().unwrap();
        if let Some(id) = &operation.request_id {
            memory.requests.insert(Arc::clone(id), reply.clone());
        }
        if let (Action::DiscardThrough(through), Reply::Operated { .. }) = (&operation.action, reply)
            && self.has(Fault::DiscardsWhatHasNotComeYet)
        {
            memory.discarded.insert(key.clone(), *through);
        }
    }

    pub(crate) async fn act(&self, consumer: &ConsumerName, key: &GateKey, action: Action) {
        let gate = self.gate(consumer, key).await.unwrap_or_default();
        let (by, why) = (Arc::from("nobody"), Arc::from("nothing"));
        let (index, version) = (gate.head, gate.version);
        let operation = Operation { action, index, version, by, why, request_id: None };
        self.alone(consumer, key, Input::Operate(operation)).await;
    }

    pub(crate) async fn alone(&self, consumer: &ConsumerName, key: &GateKey, input: Input) {
        let settings = Settings {
            release_window: 1,
            redelivery_timeout: Duration::from_secs(30),
            claim_timeout: Duration::from_secs(60),
            attempts_max: 5,
            held_events_max: 1,
            held_bytes_max: 1,
            mirror_parked: false,
        };
        let request = Request { key: key.clone(), guard: Guard::Unguarded, input };
        self.inner.apply(consumer, &settings, &[request]).await.unwrap();
    }

    pub(crate) async fn one(
        &self,
        consumer: &ConsumerName,
        settings: &Settings,
        request: &Request,
    ) -> Result<Answers, FailureLogError> {
        if let Some(reply) = self.made_up(consumer, settings, request).await {
            let (now, answers) = (Timestamp::default(), vec![Answer { reply, event: None }]);
            return Ok(Answers { answers, now });
        }
        let mut seen_claimed = true;
        if self.has(Fault::ForgetsTheLock) {
            seen_claimed = self.gate(consumer, &request.key).await.is_none_or(|gate| gate.claim.is_some());
            tokio::task::yield_now().await;
        }
        let bent = self.bent(consumer, request).await;
        let mut answers = self.inner.apply(consumer, settings, &[bent]).await?;
        let answer = answers.answers.remove(0);
        answers.answers.push(self.spoilt(consumer, request, answer, seen_claimed).await);
        Ok(answers)
    }
}
