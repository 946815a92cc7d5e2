//! Shared by the tests and the benchmark program.
