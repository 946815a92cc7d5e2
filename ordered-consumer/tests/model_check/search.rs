//! Breadth first through every state that can be reached.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    fmt::{self, Write as _},
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::atomic::{AtomicUsize, Ordering},
};

use xxhash_rust::xxh3::xxh3_64;

use crate::{
    model::Model,
    moves::{Broken, Kind, Moves},
    state::State,
};

/// States that all scenarios of this process have visited.
static STATES_TOTAL: AtomicUsize = AtomicUsize::new(0);

/// A broken promise, and the shortest way to it.
pub(crate) struct CounterExample {
    pub(crate) broken: Broken,
    pub(crate) way: Vec<String>,
}

impl fmt::Display for CounterExample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, line) in (1..).zip(&self.way) {
            writeln!(f, "{number:4}  {line}")?;
        }
        write!(f, "  =>  {}", self.broken)
    }
}

/// Visits every state; says how many there are, or which promise is broken.
pub(crate) fn search(model: &Model) -> Result<usize, Box<CounterExample>> {
    let first = State::first(&model.scope);
    let mut parents: HashMap<u64, u64, BuildHasherDefault<AsItIs>> = HashMap::default();
    let mut queue = VecDeque::from([first]);
    parents.insert(fingerprint(&first), 0);
    let mut moves = Moves::default();
    while let Some(state) = queue.pop_front() {
        let here = fingerprint(&state);
        let mut add = |to: State| {
            if let Entry::Vacant(vacant) = parents.entry(fingerprint(&to)) {
                vacant.insert(here);
                queue.push_back(to);
            }
        };
        model.moves(&state, &mut moves);
        let mut found = None;
        for next in &moves.list {
            match &next.to {
                Ok(to) => add(*to),
                Err(broken) => {
                    found = Some((next.to_string(), broken.clone()));
                    break;
                }
            }
        }
        if found.is_none() && !moves.list.iter().any(|next| next.kind == Kind::Go) {
            found = at_the_end(model, &state, &mut add);
        }
        if let Some((last, broken)) = found {
            let mut way = way_to(model, &parents, &state);
            way.push(last);
            return Err(Box::new(CounterExample { broken, way }));
        }
    }
    STATES_TOTAL.fetch_add(parents.len(), Ordering::Relaxed);
    Ok(parents.len())
}

pub(crate) fn states_total() -> usize {
    STATES_TOTAL.load(Ordering::Relaxed)
}

fn at_the_end(model: &Model, state: &State, add: &mut dyn FnMut(State)) -> Option<(String, Broken)> {
    match model.in_the_end(state) {
        Some((_, Ok(to))) => {
            add(to);
            None
        }
        Some((what, Err(broken))) => Some((what.into(), broken)),
        None => model.at_rest(state).err().map(|broken| ("nothing is left to happen".into(), broken)),
    }
}

/// Replays the way, since only fingerprints were kept.
fn way_to(model: &Model, parents: &HashMap<u64, u64, BuildHasherDefault<AsItIs>>, to: &State) -> Vec<String> {
    let mut prints = vec![fingerprint(to)];
    while let Some(parent) = prints.last().and_then(|print| parents.get(print)).filter(|parent| **parent != 0)
    {
        prints.push(*parent);
    }
    let mut state = State::first(&model.scope);
    let mut way = Vec::new();
    let mut moves = Moves::default();
    for print in prints.iter().rev().skip(1) {
        model.moves(&state, &mut moves);
        let step = moves.list.iter().find_map(|next| {
            let reached = next.to.as_ref().ok()?;
            (fingerprint(reached) == *print).then(|| (next.to_string(), *reached))
        });
        let ended = || model.in_the_end(&state).and_then(|(what, to)| Some((what.to_string(), to.ok()?)));
        let Some((mut line, reached)) = step.or_else(ended) else { break };
        if reached.gate != state.gate {
            let _ = write!(line, "\n          {:?}", reached.gate);
        }
        way.push(line);
        state = reached;
    }
    way
}

fn fingerprint(state: &State) -> u64 {
    let mut bytes = Bytes { buffer: [0; 256], len: 0 };
    state.hash(&mut bytes);
    bytes.finish()
}

/// Collects what a state hashes, which is small, to fingerprint it at once.
struct Bytes {
    buffer: [u8; 256],
    len: usize,
}

impl Hasher for Bytes {
    fn finish(&self) -> u64 {
        xxh3_64(&self.buffer[..self.len])
    }

    fn write(&mut self, bytes: &[u8]) {
        // A state that outgrows the buffer fails here, loudly, rather than being taken for another.
        self.buffer[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn write_u8(&mut self, byte: u8) {
        self.buffer[self.len] = byte;
        self.len += 1;
    }

    /// Discriminants of enums and lengths of arrays, all of them small.
    fn write_isize(&mut self, number: isize) {
        self.write_u8(number.to_le_bytes()[0]);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u8(number.to_le_bytes()[0]);
    }
}

/// Fingerprints are hashed already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0 << 8 | u64::from(*byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}
