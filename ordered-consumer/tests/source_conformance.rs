//! The in-memory adapter keeps every rule of the suite, and sources that break one are found out.
#![cfg(feature = "testing")]

#[cfg(test)]
#[path = "source_conformance/broken.rs"]
mod broken;
#[cfg(test)]
#[path = "source_conformance/broken_publisher.rs"]
mod broken_publisher;
#[cfg(test)]
#[path = "source_conformance/fixture.rs"]
mod fixture;
#[cfg(test)]
#[path = "source_conformance/mutants.rs"]
mod mutants;

mod topic {
    ordered_consumer::source_conformance!(paused; any, owned, layouts, copies, publisher; super::fixture::topic());
}

mod topic_with_sessions {
    ordered_consumer::source_conformance!(
        paused; any, owned, sessions, copies, publisher; super::fixture::topic_with_sessions()
    );
}

mod queue {
    ordered_consumer::source_conformance!(paused; any, shared, copies, publisher; super::fixture::queue());
}

mod queue_with_heartbeats {
    ordered_consumer::source_conformance!(paused; any, heartbeats; super::fixture::queue_with_heartbeats());
}

// The wrappers of fault tests must not be faults themselves.
mod wrapped_topic {
    ordered_consumer::source_conformance!(
        paused; any, owned, layouts, sessions, copies, publisher; super::fixture::wrapped_topic()
    );
}

mod wrapped_queue {
    ordered_consumer::source_conformance!(
        paused; any, heartbeats, copies, publisher; super::fixture::wrapped_queue()
    );
}
