//! The checker of the tests over several processes finds what is wrong with a recording, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use ordered_consumer_tests::processes::checker::{Sent, Verdict, check};

const STREAM: &str = "orders/0";

fn sent() -> Sent {
    let entity = |name: &str| (STREAM.to_owned(), name.to_owned());
    BTreeMap::from([(entity("a"), BTreeSet::from([0, 2, 3])), (entity("b"), BTreeSet::from([1]))])
}

fn run(what: &str, process: u32, run: u32, event: (&str, u128)) -> String {
    let (entity, index) = event;
    format!(
        r#"{{"what":"{what}","process":{process},"run":{run},"stream":"{STREAM}","entity":"{entity}","index":"{index}","attempt":1,"at_ms":0}}"#
    )
}

fn trouble(what: &str, process: u32) -> String {
    format!(r#"{{"what":"{what}","process":{process}}}"#)
}

/// A run that begins and succeeds at once.
fn done(process: u32, number: u32, event: (&str, u128)) -> Vec<String> {
    vec![run("began", process, number, event), run("succeeded", process, number, event)]
}

fn good() -> Vec<String> {
    [
        vec![run("began", 1, 0, ("a", 0)), run("began", 2, 0, ("b", 1)), run("failed", 1, 0, ("a", 0))],
        done(1, 1, ("a", 0)),
        vec![run("succeeded", 2, 0, ("b", 1))],
        done(1, 2, ("a", 2)),
        done(2, 3, ("a", 3)),
    ]
    .concat()
}

fn judged(lines: &[String]) -> Verdict {
    check(&sent(), &lines.join("\n"))
}

fn with(more: &[Vec<String>]) -> Vec<String> {
    [good(), more.concat()].concat()
}

#[track_caller]
fn rejected(lines: &[String], because: &str) {
    let verdict = judged(lines);
    assert!(verdict.wrong.iter().any(|wrong| wrong.contains(because)), "{because}: {verdict:#?}");
}

#[track_caller]
fn accepted(lines: &[String]) -> Verdict {
    let verdict = judged(lines);
    assert!(verdict.wrong.is_empty(), "{verdict:#?}");
    verdict
}

#[test]
fn a_good_recording_is_accepted_and_counted() {
    let verdict = accepted(&good());
    assert_eq!((verdict.runs, verdict.failures, verdict.duplicates, verdict.overlaps), (5, 1, 0, 0));
}

#[test]
fn any_line_that_is_left_out_but_a_failed_run_is_noticed() {
    for left_out in 0..good().len() {
        let mut lines = good();
        lines.remove(left_out);
        assert!(!judged(&lines).wrong.is_empty(), "without line {left_out}");
    }
}

#[test]
fn any_two_lines_of_an_entity_that_change_places_are_noticed() {
    let of_a: Vec<usize> =
        (0..good().len()).filter(|line| good()[*line].contains(r#""entity":"a""#)).collect();
    for pair in of_a.windows(2) {
        let mut lines = good();
        lines.swap(pair[0], pair[1]);
        assert!(!judged(&lines).wrong.is_empty(), "{pair:?}");
    }
}

#[test]
fn overtaking_is_never_excused() {
    let mut lines = good();
    lines.truncate(3);
    for excuse in ["kill", "stop", "declared_dead", "continue", "store_trouble"] {
        let late = [lines.clone(), vec![trouble(excuse, 1)], done(1, 9, ("a", 2))].concat();
        rejected(&late, "began before 0 had succeeded");
        rejected(&late, "succeeded before 0");
    }
}

#[test]
fn what_is_missing_unknown_or_garbled_is_rejected() {
    rejected(&good()[..8], "never succeeded: [3]");
    rejected(&with(&[done(1, 9, ("a", 1))]), "was never sent");
    rejected(&with(&[done(1, 9, ("c", 0))]), "was never sent");
    rejected(&with(&[vec!["rubbish".to_owned()]]), "is no JSON");
    rejected(&with(&[vec![trouble("hiccup", 1)]]), "nobody says");
    rejected(&with(&[vec![run("succeeded", 1, 9, ("a", 3))]]), "had not begun");
}

#[test]
fn a_line_without_its_end_is_that_of_a_process_that_was_killed() {
    let whole = run("began", 3, 0, ("a", 3));
    let torn = whole[..whole.len() / 2].to_owned();
    accepted(&with(&[vec![torn.clone(), String::new(), trouble("kill", 3)]]));
    rejected(&with(&[vec![torn.clone()]]), "have no end");
    rejected(&with(&[vec![torn.clone(), torn, trouble("kill", 3)]]), "2 lines have no end");
}

#[test]
fn a_duplicate_needs_trouble_since_its_last_success() {
    rejected(&with(&[done(1, 9, ("a", 3))]), "ran again without a reason");
    for excuse in ["kill", "stop", "declared_dead"] {
        let explained = with(&[vec![trouble(excuse, 2)], done(1, 9, ("a", 3))]);
        assert_eq!(accepted(&explained).duplicates, 1);
        let of_another = with(&[vec![trouble(excuse, 1)], done(1, 9, ("a", 3))]);
        rejected(&of_another, "ran again without a reason");
        let twice = with(&[vec![trouble(excuse, 2)], done(1, 9, ("a", 3)), done(1, 10, ("a", 3))]);
        rejected(&twice, "ran again without a reason");
        let before = [vec![trouble(excuse, 2)], good(), done(1, 9, ("a", 3))].concat();
        rejected(&before, "ran again without a reason");
    }
    accepted(&with(&[vec![trouble("store_trouble", 0)], done(1, 9, ("a", 3))]));
}

#[test]
fn an_event_given_out_again_or_handed_over_may_come_again_and_no_other() {
    let about = |what: &str, index: u128| {
        vec![format!(r#"{{"what":"{what}","process":2,"stream":"{STREAM}","index":"{index}"}}"#)]
    };
    accepted(&with(&[about("time_ran_out", 3), done(1, 9, ("a", 3))]));
    rejected(&with(&[about("time_ran_out", 2), done(1, 9, ("a", 3))]), "ran again without a reason");
    accepted(&with(&[about("handed_over", 3), done(1, 9, ("a", 3))]));
    accepted(&with(&[about("handed_over", 1), done(1, 9, ("a", 3))]));
    rejected(&with(&[about("handed_over", 4), done(1, 9, ("a", 3))]), "ran again without a reason");
}

#[test]
fn two_runs_of_an_entity_at_once_need_trouble_of_the_older_one() {
    let open = || vec![run("began", 1, 9, ("a", 3))];
    let before = || good()[..8].to_vec();
    let younger = || done(2, 9, ("a", 3));
    rejected(&[before(), open(), younger()].concat(), "while 3 ran in process 1");
    for excuse in ["kill", "stop", "declared_dead"] {
        let explained = [before(), open(), vec![trouble(excuse, 1)], younger()].concat();
        assert_eq!(accepted(&explained).overlaps, 1);
        rejected(
            &[before(), open(), vec![trouble(excuse, 2)], younger()].concat(),
            "while 3 ran in process 1",
        );
        rejected(
            &[before(), vec![trouble(excuse, 1)], open(), younger()].concat(),
            "while 3 ran in process 1",
        );
    }
}

#[test]
fn of_a_process_that_goes_on_the_first_run_of_an_entity_may_be_late_and_no_second_one() {
    let stopped = || vec![trouble("stop", 1), trouble("continue", 1)];
    let late = with(&[stopped(), done(1, 9, ("a", 3))]);
    assert_eq!(accepted(&late).duplicates, 1);
    rejected(&with(&[stopped(), done(1, 9, ("a", 3)), done(1, 10, ("a", 3))]), "ran again without a reason");
    rejected(&with(&[stopped(), done(2, 9, ("a", 3))]), "ran again without a reason");
    // While it runs late, others may run.
    let both = [
        good()[..7].to_vec(),
        stopped(),
        vec![run("began", 1, 9, ("a", 0))],
        done(2, 9, ("a", 3)),
        vec![run("succeeded", 1, 9, ("a", 0))],
    ];
    let lines = [good()[..8].to_vec(), both[1..].concat()].concat();
    assert_eq!(accepted(&lines).overlaps, 1);
}

#[test]
fn indexes_beyond_64_bits_are_told_from_their_neighbours() {
    let first = u128::from(u64::MAX) + 1;
    let sent = BTreeMap::from([((STREAM.to_owned(), "a".to_owned()), BTreeSet::from([first, first + 1]))]);
    let [one, two] = [done(1, 0, ("a", first)), done(1, 1, ("a", first + 1))];
    assert_eq!(check(&sent, &[one.clone(), two.clone()].concat().join("\n")).wrong, [""; 0]);
    let overtaken = check(&sent, &[two, one].concat().join("\n")).wrong;
    assert!(overtaken[0].contains(&format!("began before {first} had succeeded")), "{overtaken:?}");
}
