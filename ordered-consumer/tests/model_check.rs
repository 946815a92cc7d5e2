//! An exhaustive small-scope check of the gate protocol, run on the very functions of [`ordered_consumer::gate`].
//!
//! One entity, up to four events, and every order in which its processes, its broker, its relays, its operators and a
//! budget of faults can act. Each change of a gate is a call of `gate::step`; the model only supplies what surrounds it.
//! Every state that can be reached is visited, breadth first, so that a counter-example is a shortest one.
//!
//! `ORDERED_CONSUMER_MODEL=wide cargo test --release -p ordered-consumer --test model_check` checks larger scopes.

#[path = "model_check/apply.rs"]
mod apply;
#[path = "model_check/checks.rs"]
mod checks;
#[path = "model_check/crashes.rs"]
mod crashes;
#[path = "model_check/mirror.rs"]
mod mirror;
#[path = "model_check/model.rs"]
mod model;
#[path = "model_check/moves.rs"]
mod moves;
#[path = "model_check/mutants.rs"]
mod mutants;
#[path = "model_check/mutation.rs"]
mod mutation;
#[path = "model_check/operators.rs"]
mod operators;
#[path = "model_check/owned.rs"]
mod owned;
#[path = "model_check/relay.rs"]
mod relay;
#[path = "model_check/runs.rs"]
mod runs;
#[path = "model_check/scenarios.rs"]
mod scenarios;
#[path = "model_check/scope.rs"]
mod scope;
#[path = "model_check/search.rs"]
mod search;
#[path = "model_check/shared.rs"]
mod shared;
#[path = "model_check/state.rs"]
mod state;
#[path = "model_check/stream.rs"]
mod stream;
