//! What the compiler says about a wrong handler must tell how to write a right one.
//!
//! The expected texts are those of the toolchain in `rust-toolchain.toml`; after a change of it, look at the new ones
//! and write them down by `TRYBUILD=overwrite cargo test -p ordered-consumer --test compile_fail`.

#[path = "compile_fail/right_handlers.rs"]
mod right_handlers;

#[test]
fn every_kind_of_right_handler_compiles_so_that_the_wrong_ones_fail_for_the_reason_they_name() {
    right_handlers::main();
}

#[test]
fn a_wrong_handler_gets_a_message_that_tells_how_to_write_a_right_one() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/wrong_*.rs");
}
