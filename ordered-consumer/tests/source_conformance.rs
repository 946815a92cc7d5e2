//! The in-memory adapter keeps every rule of the suite, and sources that break one are found out.
#![cfg(feature = "testing")]

#[cfg(test)]
#[path = "source_conformance/broken.rs"]
mod broken;
#[cfg(test)]
#[path = "source_conformance/fixture.rs"]
mod fixture;
#[cfg(test)]
#[path = "source_conformance/mutants.rs"]
mod mutants;

mod topic {
    ordered_consumer::source_conformance!(paused; any, owned, copies; super::fixture::topic());
}

mod queue {
    ordered_consumer::source_conformance!(paused; any, shared, copies; super::fixture::queue());
}
