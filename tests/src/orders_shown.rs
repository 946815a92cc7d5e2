//! What the examples with orders show, whatever broker the orders come from.

#![expect(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "this is for tests, which fail by panicking"
)]

use std::process::Command;

/// A name that no other run has, so that a broker may keep what earlier runs left.
#[must_use]
pub fn name(what: &str) -> String {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    format!("{what}-{}-{}", std::process::id(), since.as_nanos())
}

/// What a program shows, which must end well.
pub fn shown_by(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// The lines that say so of an order, in the order in which they were printed.
fn lines<'t>(text: &'t str, order: &str) -> Vec<&'t str> {
    text.lines().filter(|line| line.contains(&format!(" {order} "))).collect()
}

/// Demands of what was shown that one order is charged at once, one fails twice and then goes on, and one is parked.
pub fn every_order_keeps_its_order(text: &str) {
    assert!(text.contains("produced 30 events of 10 orders"), "{text}");
    let of = |order| lines(text, order);
    assert_eq!(of("order-1"), ["✓ order-1 created", "✓ order-1 paid", "✓ order-1 shipped"], "{text}");
    let failing = of("order-2");
    assert_eq!(failing.len(), 5, "{text}");
    assert!(failing[..2].iter().all(|line| line.starts_with("✗ order-2 created: the bank")), "{text}");
    assert_eq!(failing[2..], ["✓ order-2 created", "✓ order-2 paid", "✓ order-2 shipped"], "{text}");
    // What is parked is tried once, and what comes behind it never.
    let parked = lines(text, "order-3");
    assert_eq!(parked[0], "✗ order-3 created: the card is not valid", "{text}");
    assert!(parked[1].contains("parked, 3 held"), "{text}");
    assert!(text.contains("2 later events wait behind it"), "{text}");
}
