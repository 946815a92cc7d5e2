//! Everything that can happen when streams are added twice, on the real rule: two processes, one of which may die, see
//! counts late, ask, look and admit in any order, while an entity moves from an old stream to the first new one, and from
//! there to the second. Breadth-first, so that the first violation found is the shortest; and rules that are wrong, which
//! it must find out.
#![expect(clippy::unwrap_used, reason = "numbers below five fit into anything")]

use std::collections::{HashSet, VecDeque};

use ordered_consumer::{
    Index,
    gate::{LayoutChange, LayoutRecord, LayoutStep, Standing, StreamRecord, has_passed, step_layout},
};

const STREAMS: usize = 4;
/// Where the entity's events go, one after the other. Stream 1 has one of another entity.
const PATH: [usize; 3] = [0, 2, 3];
const OTHER: usize = 1;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    Right,
    /// The gates are looked at first, and then what is settled.
    GatesBeforeTheRecord,
    /// Only what is settled counts.
    NoGates,
    /// Only the first of the old streams is looked at.
    OneOldStream,
    /// It is taken down how far streams reach when the consumer begins.
    ReachOfTheBeginning,
    /// Whatever waits is admitted together.
    AllChangesAtOnce,
    /// Nobody waits.
    Continue,
}

/// What a process finds out for a stream that waits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Wait {
    generation: u64,
    change: LayoutChange,
    last: Option<Vec<Option<u8>>>,
    passed: usize,
    /// What was read first about the next old stream.
    half: Option<(Option<u8>, bool)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Stream {
    published: u8,
    taken: bool,
    running: bool,
    done: u8,
    settled: Option<u8>,
    gated: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    broker: u32,
    record: Option<LayoutRecord>,
    streams: [Stream; STREAMS],
    waits: [Option<Wait>; 2],
    crashed: bool,
}

impl State {
    fn seen(&self, streams: u32) -> bool {
        self.record
            .as_ref()
            .is_some_and(|record| record.admitted >= streams || record.waiting.contains(&streams))
    }

    /// An event that begins to run while an earlier one of its entity, in an earlier stream, is not resolved.
    fn overtakes(&self, stream: usize) -> bool {
        let before = PATH.iter().take_while(|earlier| **earlier != stream);
        PATH.contains(&stream)
            && before.into_iter().any(|earlier| {
                let earlier = &self.streams[*earlier];
                earlier.done < earlier.published || earlier.gated || earlier.running
            })
    }

    fn step(&mut self, step: &LayoutStep) -> LayoutRecord {
        let record = step_layout(self.record.as_ref(), step);
        self.record = Some(record.clone());
        record
    }
}

/// Every state that may come next, with what leads to it; or an event that overtakes.
fn next(state: &State, rule: Rule) -> Result<Vec<State>, &'static str> {
    let mut next = Vec::new();
    broker_moves(state, &mut next);
    for stream in 0..STREAMS {
        stream_moves(state, stream, &mut next)?;
    }
    for process in 0..2 {
        see_moves(state, rule, process, &mut next);
        wait_moves(state, rule, process, &mut next);
    }
    Ok(next)
}

fn broker_moves(state: &State, next: &mut Vec<State>) {
    // A change is seen by somebody before the next one comes; what nobody sees apart counts as one.
    if state.broker < 4 && state.seen(state.broker) {
        next.push(State { broker: state.broker + 1, ..state.clone() });
    }
    let sent = PATH.iter().filter(|stream| state.streams[**stream].published > 0).count();
    // The producer knows of every change at once.
    if sent < PATH.len() && u32::try_from(sent).unwrap() + 2 == state.broker {
        let mut after = state.clone();
        after.streams[PATH[sent]].published = 1;
        next.push(after);
    }
    if state.streams[OTHER].published == 0 {
        let mut after = state.clone();
        after.streams[OTHER].published = 1;
        next.push(after);
    }
}

fn stream_moves(state: &State, stream: usize, next: &mut Vec<State>) -> Result<(), &'static str> {
    let mut with = |change: &dyn Fn(&mut Stream)| {
        let mut after = state.clone();
        change(&mut after.streams[stream]);
        next.push(after);
    };
    let now = &state.streams[stream];
    if now.taken && now.done < now.published && !now.running {
        if state.overtakes(stream) {
            return Err("an event has overtaken an earlier one");
        }
        if stream == OTHER {
            // Nothing is in order with it, so that its run may be one step.
            with(&|stream| stream.done = 1);
            with(&|stream| (stream.done, stream.gated) = (1, true));
        } else {
            with(&|stream| stream.running = true);
        }
    }
    if now.running {
        with(&|stream| (stream.running, stream.done) = (false, 1));
        with(&|stream| (stream.running, stream.done, stream.gated) = (false, 1, true));
    }
    if now.gated {
        with(&|stream| stream.gated = false);
    }
    if now.settled.is_none() && now.done > 0 {
        with(&|stream| stream.settled = Some(0));
    }
    Ok(())
}

/// A process confirms a stream with the number of streams that it knows of.
fn see_moves(state: &State, rule: Rule, process: usize, next: &mut Vec<State>) {
    for number in 0..state.broker {
        let place = usize::try_from(number).unwrap();
        if state.streams[place].taken || state.waits[process].is_some() {
            continue;
        }
        // One process may see counts late, and may die; for the other one it would lead to the same.
        let oldest = if process == 0 { (number + 1).max(2) } else { state.broker };
        for view in oldest..=state.broker {
            let mut after = state.clone();
            let step = if rule == Rule::Continue {
                LayoutStep::AdmitAll { identity: None, streams: view }
            } else {
                LayoutStep::See { identity: None, streams: view }
            };
            let record = after.step(&step);
            match record.standing(number) {
                Standing::Admitted => after.streams[place].taken = true,
                Standing::Waits(change) => {
                    let generation = record.generation;
                    let last = (rule == Rule::ReachOfTheBeginning)
                        .then(|| vec![None; usize::try_from(change.old).unwrap()]);
                    after.waits[process] = Some(Wait { generation, change, last, passed: 0, half: None });
                }
                Standing::WaitsBehind(_) => {}
            }
            next.push(after);
        }
    }
}

fn wait_moves(state: &State, rule: Rule, process: usize, next: &mut Vec<State>) {
    let Some(wait) = &state.waits[process] else { return };
    let with = |changed: Option<Wait>| {
        let mut after = state.clone();
        after.waits[process] = changed;
        after
    };
    if !state.crashed && process == 0 {
        next.push(State { crashed: true, ..with(None) });
    }
    let old = usize::try_from(wait.change.old).unwrap();
    let Some(last) = &wait.last else {
        let reach = |stream: &Stream| stream.published.checked_sub(1);
        let last = Some(state.streams[..old].iter().map(reach).collect());
        next.push(with(Some(Wait { last, ..wait.clone() })));
        return;
    };
    if wait.passed == old || (rule == Rule::OneOldStream && wait.passed == 1) {
        let mut after = with(None);
        let record = after.step(&LayoutStep::Admit { generation: wait.generation, change: wait.change });
        if let (Rule::AllChangesAtOnce, Some(streams)) = (rule, record.waiting.last().copied()) {
            after.step(&LayoutStep::AdmitAll { identity: None, streams });
        }
        next.push(after);
        return;
    }
    let (stream, last) = (&state.streams[wait.passed], last[wait.passed]);
    let Some((settled, gated)) = wait.half else {
        next.push(with(Some(Wait { half: Some((stream.settled, stream.gated)), ..wait.clone() })));
        return;
    };
    // What is looked at second is as it is by now.
    let (settled, gated) = match rule {
        Rule::GatesBeforeTheRecord => (stream.settled, gated),
        Rule::NoGates => (settled, false),
        Rule::Right
        | Rule::OneOldStream
        | Rule::ReachOfTheBeginning
        | Rule::AllChangesAtOnce
        | Rule::Continue => (settled, stream.gated),
    };
    let index = |index: u8| Index::new(index.into());
    let record = StreamRecord { settled: settled.map(index), ..StreamRecord::default() };
    let passed = has_passed(Some(&record), None, last.map(index), gated);
    next.push(with(Some(Wait { half: None, passed: wait.passed + usize::from(passed), ..wait.clone() })));
}

/// The number of states, or what goes wrong after how many steps; and whether the last event was ever handled.
fn explore(rule: Rule) -> (Result<usize, (usize, &'static str)>, bool) {
    let first = State { broker: 2, ..State::default() };
    let mut known = HashSet::from([first.clone()]);
    let mut queue = VecDeque::from([(0, first)]);
    let mut handled = false;
    while let Some((depth, state)) = queue.pop_front() {
        handled |= state.streams[3].done > 0;
        match next(&state, rule) {
            Ok(next) => {
                let fresh = next.into_iter().filter(|state| known.insert(state.clone()));
                queue.extend(fresh.collect::<Vec<_>>().into_iter().map(|state| (depth + 1, state)));
            }
            Err(wrong) => return (Err((depth, wrong)), handled),
        }
    }
    (Ok(known.len()), handled)
}

#[test]
fn nothing_overtakes_whatever_happens_and_the_last_stream_is_consumed_in_the_end() {
    let (explored, handled) = explore(Rule::Right);
    let states = explored.unwrap();
    assert!(states > 10_000, "{states} states are not everything that can happen");
    assert!(handled, "nobody is ever admitted");
}

macro_rules! found_out {
    ($($test:ident: $rule:ident;)*) => {
        $(
            #[test]
            fn $test() {
                assert!(explore(Rule::$rule).0.is_err(), "nothing goes wrong");
            }
        )*
    };
}

found_out! {
    looking_at_gates_before_the_record_is_found_out: GatesBeforeTheRecord;
    not_looking_at_gates_is_found_out: NoGates;
    looking_at_one_old_stream_is_found_out: OneOldStream;
    a_reach_from_before_the_change_is_found_out: ReachOfTheBeginning;
    admitting_all_changes_at_once_is_found_out: AllChangesAtOnce;
    not_waiting_is_found_out: Continue;
}
