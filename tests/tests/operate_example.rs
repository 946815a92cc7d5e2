//! The example `operate` does what it says, and shows the same each time.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::process::Command;

fn shown() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_operate-program")).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_example_lists_explains_counts_edits_retries_and_shows_the_audit_the_same_each_time() {
    let text = shown();
    for part in [
        "ann: parked, 3 held",
        "is parked, because its handler said that retrying cannot help; 2 later events wait behind it",
        "permanent: 2 entities, 4 events",
        "refused: the entity has changed since",
        "It came as \"12,50\".",
        "1 entity retried.",
        "Nothing is held any more.",
        "olga: edit ann (a comma in the amount): parked -> waiting",
        "olga: skip ann (on second thoughts): refused",
        "olga: skip cleo (a present): parked -> cleared",
    ] {
        assert!(text.contains(part), "{part:?} is missing:\n{text}");
    }
    assert_eq!(shown(), text);
}
