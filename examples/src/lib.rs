//! What the examples share with the tests that run them.

pub mod observe_only;
pub mod operate;
pub mod replay;
pub mod workers;
