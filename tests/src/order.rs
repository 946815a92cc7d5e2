//! An order check that knows nothing of how the product works: it has only what was sent and what handlers did.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ordered_consumer::{Index, StreamName};

use crate::{Run, RunEnd, Sent};

type Entity = (StreamName, Bytes);

/// What is wrong with the order of these runs: for each entity of each stream, no run may begin while another one is
/// under way, nor before every earlier event that was sent is done with. An event is done with once a run of it has
/// succeeded, or if it is among `given_up`.
#[must_use]
pub fn violations(sent: &[Sent], runs: &[Run], given_up: &[&str]) -> Vec<String> {
    let mut waiting = BTreeMap::<Entity, BTreeSet<Index>>::new();
    for sent in sent.iter().filter(|sent| !given_up.contains(&&*sent.text)) {
        waiting.entry((sent.stream.clone(), sent.entity.clone())).or_default().insert(sent.index);
    }
    let mut moments: Vec<(usize, bool, &Run)> = Vec::new();
    for run in runs {
        moments.push((run.began, true, run));
        moments.extend(run.ended.map(|ended| (ended, false, run)));
    }
    moments.sort_unstable_by_key(|(when, ..)| *when);
    let (mut under_way, mut wrong) = (BTreeMap::<Entity, usize>::new(), Vec::new());
    for (when, begins, run) in moments {
        let entity = (run.stream.clone(), run.entity.clone());
        let running = under_way.entry(entity.clone()).or_default();
        if !begins {
            *running -= 1;
            if run.end == RunEnd::Succeeded {
                waiting.entry(entity).or_default().remove(&run.index);
            }
            continue;
        }
        if *running > 0 {
            wrong
                .push(format!("at {when}, {} began while another run of its entity was under way", run.text));
        }
        *running += 1;
        let first = waiting.get(&entity).and_then(|waiting| waiting.first());
        if first.is_some_and(|first| *first < run.index) {
            wrong.push(format!("at {when}, {} overtook an earlier event of its entity", run.text));
        }
    }
    wrong
}

/// The texts of events that were sent, and of which no run has succeeded.
#[must_use]
pub fn missing(sent: &[Sent], runs: &[Run]) -> Vec<String> {
    let done: BTreeSet<_> = runs
        .iter()
        .filter(|run| run.end == RunEnd::Succeeded)
        .map(|run| (&run.stream, &run.entity, run.index))
        .collect();
    let undone = sent.iter().filter(|sent| !done.contains(&(&sent.stream, &sent.entity, sent.index)));
    undone.map(|sent| sent.text.clone()).collect()
}

#[cfg(test)]
mod tests {
    use ordered_consumer::Event;

    use super::*;
    use crate::Recorder;

    fn event(index: u128) -> Event {
        let stream = StreamName::new("s").unwrap();
        Event::builder(stream, Index::new(index), "e").payload(format!("e{index}")).build()
    }

    fn sent() -> Vec<Sent> {
        (1..=2).map(|index| Sent::from(&event(index))).collect()
    }

    #[test]
    fn an_event_that_overtakes_is_found() {
        let recorder = Recorder::default();
        recorder.begin(&event(1)).ends(RunEnd::Failed);
        recorder.begin(&event(2)).ends(RunEnd::Succeeded);
        assert_eq!(violations(&sent(), &recorder.runs(), &[]).len(), 1);
        assert!(violations(&sent(), &recorder.runs(), &["e1"]).is_empty());
        assert_eq!(missing(&sent(), &recorder.runs()), ["e1"]);
    }

    #[test]
    fn two_runs_of_an_entity_at_once_are_found_and_one_after_another_is_in_order() {
        let recorder = Recorder::default();
        let first = recorder.begin(&event(1));
        recorder.begin(&event(1)).ends(RunEnd::Succeeded);
        first.ends(RunEnd::Succeeded);
        assert_eq!(violations(&sent(), &recorder.runs(), &[]).len(), 1);
        let recorder = Recorder::default();
        recorder.begin(&event(1)).ends(RunEnd::Failed);
        recorder.begin(&event(1)).ends(RunEnd::Succeeded);
        recorder.begin(&event(2)).ends(RunEnd::Succeeded);
        assert_eq!(violations(&sent(), &recorder.runs(), &[]), Vec::<String>::new());
    }
}
