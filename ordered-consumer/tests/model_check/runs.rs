//! Runs under claims: of copies from the retry topic, and in-process. The handler's success, and its record, are two
//! steps, and anything may happen between them.

use ordered_consumer::gate::{ClaimToken, Grant, Guard, Input, Reply};

use crate::{
    checks::forget_copies,
    model::{BACKOFF, Model},
    moves::{Broken, Moves, Promise},
    mutation::Mutant,
    owned::number,
    state::{Late, LateCall, RunPhase, Runner, State, TOPIC_MAX, has},
};

impl Model {
    pub(crate) fn runner_moves(&self, s: &State, i: usize, moves: &mut Moves) {
        let run = s.runners[i];
        match run.phase {
            RunPhase::Idle if !s.topic_taken && s.topic_next < s.topic_len => {
                let copy = s.topic[usize::from(s.topic_next)];
                let (event, attempt, edited) = (copy.event, copy.attempts, copy.edited);
                let asked = Runner { event, attempt, edited, has_copy: true, ..Runner::default() };
                self.claim(s, i, asked, moves);
            }
            RunPhase::Idle => {}
            RunPhase::Claiming => self.claim(s, i, run, moves),
            RunPhase::Running => self.run_ends(s, i, moves),
            RunPhase::Succeeded | RunPhase::Failed | RunPhase::GivingBack => self.report(s, i, moves),
        }
    }

    /// Asks for a claim, for the first time or again. Refused: done with it, the log has the event.
    pub(crate) fn claim(&self, s: &State, i: usize, asked: Runner, moves: &mut Moves) {
        let token = if asked.token > 0 { asked.token } else { s.free_token(0) };
        let details = [number(i), asked.event, asked.attempt];
        let input = Input::Claim {
            index: self.index(asked.event),
            attempts: asked.attempt.into(),
            token: ClaimToken::new(token.into()),
        };
        let mut t = *s;
        t.topic_taken |= asked.has_copy;
        match self.apply(&mut t, Guard::Unguarded, &input) {
            Err(broken) => moves.go("retry: claims", details, Err(broken)),
            Ok(Reply::Claimed(grant)) => {
                if s.left.unknowns > 0 && asked.token == 0 {
                    let mut unknown = t;
                    unknown.left.unknowns -= 1;
                    unknown.runners[i] = Runner { phase: RunPhase::Claiming, token, ..asked };
                    moves.fault("retry: claims, and gets no answer", details, Ok(unknown));
                }
                t.runners[i] = Runner { token, ..asked };
                let what =
                    if asked.in_process { "in-process: runs, claimed" } else { "retry: runs, claimed" };
                moves.go(what, details, self.begin(t, i, grant, asked.token > 0));
            }
            Ok(_) => {
                t.runners[i] = asked;
                moves.go("retry: a duplicate, or out of turn", details, Ok(let_go(t, i)));
            }
        }
    }

    /// A handler starts under a claim, with the log's payload. A claim that is answered again was granted before, and
    /// an operator who has parked meanwhile saw a running head.
    fn begin(&self, mut t: State, i: usize, grant: Grant, again: bool) -> Result<State, Broken> {
        let run = &mut t.runners[i];
        run.phase = RunPhase::Running;
        run.event = self.position(grant.index)?;
        run.attempt = u8::try_from(grant.attempt).unwrap_or(u8::MAX);
        let edited = has(t.edited, run.event);
        if !self.breaks(Mutant::PayloadOfTheCopy) {
            run.edited = edited;
        }
        let run = *run;
        let event = run.event;
        if t.operator_parked && !again {
            let why = format!("event {event} runs although an operator parked the entity");
            return Err(Broken::new(Promise::Operator, why));
        }
        if edited && !run.edited {
            let why = format!("event {event} runs with the payload from before the edit");
            return Err(Broken::new(Promise::Operator, why));
        }
        self.may_start(&t, event, false)?;
        if self.scope.killer == event { self.kill(&t, i) } else { Ok(t) }
    }

    fn run_ends(&self, s: &State, i: usize, moves: &mut Moves) {
        let run = s.runners[i];
        let details = [number(i), run.event, run.attempt];
        let mut t = *s;
        t.runners[i].phase = RunPhase::Succeeded;
        let to = if has(s.edited, run.event) && !run.edited && !run.zombie {
            let why = format!("event {} was edited while it ran with the old payload", run.event);
            Err(Broken::new(Promise::Operator, why))
        } else {
            self.succeeds(t, run.event, run.zombie)
        };
        moves.go("retry: the handler succeeds", details, to);
        if s.left.failures > 0 {
            let mut t = *s;
            t.left.failures -= 1;
            t.runners[i].phase = RunPhase::Failed;
            moves.go("retry: the handler fails", details, Ok(t));
        }
        if s.left.give_backs > 0 {
            let mut t = *s;
            t.left.give_backs -= 1;
            t.runners[i].phase = RunPhase::GivingBack;
            moves.fault("retry: the handler is broken off", details, Ok(t));
        }
    }

    fn report(&self, s: &State, i: usize, moves: &mut Moves) {
        let run = s.runners[i];
        let asks_next = self.scope.claims_next && run.in_process && run.phase == RunPhase::Succeeded;
        let next_token = match run.next_token {
            0 if asks_next => s.free_token(run.token),
            token => token,
        };
        let input = self.result(&run, next_token);
        let what = if run.phase == RunPhase::Succeeded {
            "retry: resolves"
        } else if run.phase == RunPhase::Failed {
            "retry: logs the failure"
        } else {
            "retry: gives back"
        };
        let details = [number(i), run.event, run.attempt];
        let mut t = *s;
        let reply = match self.reported(&mut t, run.event, &input) {
            Err(broken) => return moves.go(what, details, Err(broken)),
            Ok(reply) => reply,
        };
        if s.left.unknowns > 0 && reply != Reply::ClaimLost {
            let mut unknown = t;
            unknown.left.unknowns -= 1;
            unknown.runners[i].next_token = next_token;
            moves.fault("retry: reports, and gets no answer", details, Ok(unknown));
        }
        if let Reply::Resolved(ordered_consumer::gate::Resolved { next: Some(grant), .. }) = reply {
            t.runners[i] = Runner { in_process: true, token: next_token, ..Runner::default() };
            let to = self.begin(t, i, grant, run.next_token > 0);
            return moves.go("in-process: resolves, and runs the next", details, to);
        }
        let what = if reply == Reply::ClaimLost { "retry: its result does not count" } else { what };
        moves.go(what, details, Ok(let_go(t, i)));
    }

    pub(crate) fn result(&self, run: &Runner, next_token: u8) -> Input {
        let token = ClaimToken::new(run.token.into());
        match run.phase {
            RunPhase::Failed => {
                let (failure, next) = (self.failure.clone(), self.next(run.attempt));
                Input::FailAgain { token, failure, next }
            }
            RunPhase::GivingBack => Input::GiveBack { token, after: BACKOFF },
            RunPhase::Idle | RunPhase::Claiming | RunPhase::Running | RunPhase::Succeeded => {
                let next = (next_token > 0).then(|| ClaimToken::new(next_token.into()));
                Input::Resolve { token, in_process: run.in_process, next, ignored: None }
            }
        }
    }

    /// Applies a result. One that counts must be about the event that ran.
    pub(crate) fn reported(&self, t: &mut State, event: u8, input: &Input) -> Result<Reply, Broken> {
        let floor = t.floor;
        let reply = self.apply(t, Guard::Unguarded, input)?;
        if t.floor > floor && t.floor != event {
            let why = format!("the success of event {event} resolved event {}", t.floor);
            return Err(Broken::new(Promise::Lost, why));
        }
        Ok(reply)
    }

    /// What the retry topic does by itself.
    pub(crate) fn topic_moves(&self, s: &State, moves: &mut Moves) {
        if s.topic_next > 0 {
            let mut t = *s;
            forget_copies(&mut t);
            let what = "retry: tells the topic what is done with";
            if usize::from(s.topic_len) == TOPIC_MAX {
                moves.go(what, [0; 3], Ok(t));
            } else {
                moves.idle(what, [0; 3], Ok(t));
            }
        }
        if s.left.expiries == 0 || (s.topic_next == 0 && !s.topic_taken) {
            return;
        }
        let mut t = *s;
        t.left.expiries -= 1;
        t.topic_next = 0;
        t.topic_taken = false;
        if let Some(run) = s.runners.iter().position(|run| run.has_copy) {
            t.runners[run].has_copy = false;
            if self.scope.polite {
                let late = late_result(&s.runners[run]);
                if late.is_some() && s.late.is_some() {
                    return;
                }
                t.late = s.late.or(late);
                t.runners[run] = Runner::default();
            }
        }
        moves.fault("the retry topic delivers again what was not told done", [0; 3], Ok(t));
    }
}

/// A result on its way, as a store call that its dropped caller does not stop.
pub(crate) fn late_result(run: &Runner) -> Option<Late> {
    let call = match run.phase {
        RunPhase::Succeeded => LateCall::Resolve,
        RunPhase::Failed => LateCall::FailAgain,
        RunPhase::Idle | RunPhase::Claiming | RunPhase::Running | RunPhase::GivingBack => return None,
    };
    let (right, next_token) = (run.token, run.next_token);
    Some(Late { call, event: run.event, right, attempt: run.attempt, next_token })
}

/// The run is over, and its copy done with.
fn let_go(mut t: State, i: usize) -> State {
    if t.runners[i].has_copy {
        t.topic_taken = false;
        t.topic_next += 1;
    }
    t.runners[i] = Runner::default();
    t
}
