//! The adapter against real endpoints: ElasticMQ (`SQS_ENDPOINT_URL`), and moto (`MOTO_ENDPOINT_URL`) as a second opinion.
//! `./tests/run` starts both; without them these tests fail, they are not skipped.
//!
//! Where the emulators differ from what AWS's documentation says of FIFO queues, and what is done about it:
//! * ElasticMQ 1.7.1 gives a group's first message once it is visible, even if later ones of the group are still in flight;
//!   AWS and moto give nothing of it. What is given back is made visible by one request, the first message last, so that
//!   all of it comes again together. And it gives the first message of a batch before it has taken in the second.
//! * ElasticMQ lets a receive go on waiting when a delete makes a group free: what is behind comes with the next receive.
//! * ElasticMQ's sequence numbers count from 0 for all queues; moto's are random digits. Those of moto are replaced by
//!   ascending ones of 20 digits, see `endpoint.rs`.
//! * moto gives a group's last message first, and alone, when the visibility of several of them runs out by itself; see
//!   `moto.rs` for the rules that it can therefore not be asked about.
//! * Both delete by a receipt whose visibility has run out, as long as nobody has received the message again; moto even
//!   afterwards. AWS refuses an expired receipt on a FIFO queue. That a lost receipt is recognised is shown by unit tests.
//! * ElasticMQ sets no limit of twelve hours on invisibility; moto refuses what AWS refuses.
//! * moto spins while it waits for a group that is in flight: the tests ask it by short polls instead, see `short_polls.rs`.
//! * moto takes eleven attributes, empty ones, control characters, and any group id; AWS and ElasticMQ refuse them.
//! * ElasticMQ names no `MaximumMessageSize`; 256 KiB is believed of it.
#![cfg(feature = "services")]

#[cfg(test)]
#[path = "services/endpoint.rs"]
mod endpoint;
#[cfg(test)]
#[path = "services/fixture.rs"]
mod fixture;
#[cfg(test)]
#[path = "services/short_polls.rs"]
mod short_polls;

mod elasticmq {
    ordered_consumer::source_conformance!(
        real; any, shared, copies, heartbeats, publisher;
        crate::fixture::fixture(crate::endpoint::Emulator::Main, crate::fixture::Retry::OwnQueue)
    );
}

mod elasticmq_same_queue {
    ordered_consumer::source_conformance!(
        real; copies; crate::fixture::fixture(crate::endpoint::Emulator::Main, crate::fixture::Retry::SameQueue)
    );
}

#[cfg(test)]
#[path = "services/consumer.rs"]
mod consumer;
#[cfg(test)]
#[path = "services/queues.rs"]
mod queues;

#[cfg(test)]
#[path = "services/moto.rs"]
mod moto;
