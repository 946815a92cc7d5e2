//! `SCENARIOS.md` names, for every scenario, tests that there are.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{fs, path::Path};

/// Scenarios for which nothing is built yet.
const LATER: [u32; 1] = [25];

fn sources(directory: &Path, into: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// The number and the tests of each row.
fn rows(table: &str) -> Vec<(u32, Vec<String>)> {
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let number = cells.next()?.trim().parse().ok()?;
        let tests = cells.nth(1)?.split('`').skip(1).step_by(2);
        let named = tests.filter(|name| !name.contains(['.', ' ', '-'])).map(str::to_owned).collect();
        Some((number, named))
    };
    table.lines().filter_map(row).collect()
}

#[test]
fn every_scenario_names_tests_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rows = rows(&fs::read_to_string(root.join("SCENARIOS.md")).unwrap());
    let numbers: Vec<u32> = rows.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=57).collect::<Vec<_>>(), "each once, and in order");
    let mut code = String::new();
    let packages =
        ["ordered-consumer", "ordered-consumer-kafka"].map(|package| format!("../{package}/tests"));
    sources(&root.join("../ordered-consumer/src/testing"), &mut code);
    for directory in packages.into_iter().chain(["tests".to_owned()]) {
        sources(&root.join(directory), &mut code);
    }
    for (number, tests) in rows {
        assert_eq!(tests.is_empty(), LATER.contains(&number), "scenario {number} names {tests:?}");
        for test in tests {
            // Written as a function, or as the name that a macro makes one of.
            let is_there = code.contains(&format!("fn {test}(")) || code.contains(&format!("{test}: "));
            assert!(is_there, "scenario {number}: there is no test {test}");
        }
    }
}
