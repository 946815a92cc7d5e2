//! An entity that moves to another partition.

use ordered_consumer_tests::{Latch, Running, Scripted, World, partitions::moving, world::TOPIC};

use crate::{failing_until, send, start, texts};

/// A world with an entity whose first event fails until it is mended, and which moves when partitions are added.
pub(crate) struct Moves {
    pub(crate) world: World,
    pub(crate) entity: String,
    pub(crate) mended: Latch,
    pub(crate) handler: Scripted,
    /// How many of its events were sent to the old partition.
    sent: u32,
    after: u32,
}

impl Moves {
    pub(crate) fn new((before, after): (u32, u32), places: (u32, u32), sent: u32) -> Self {
        let (world, entity) = (World::with_partitions(before), moving(before, after, places));
        send(&world, &entity, 1..=sent);
        let mended = Latch::new();
        let handler = failing_until(&mended, format!("{entity}1"));
        Self { world, entity, mended, handler, sent, after }
    }

    pub(crate) fn start(&self) -> Running<Scripted> {
        start(&self.world, &self.handler)
    }

    pub(crate) async fn add_partitions_once_it_is_gated(&self) {
        let held = u64::from(self.sent);
        self.world.until("it failed", &self.entity, |gate| gate.gate.held_events == held).await;
        self.world.broker.add_partitions(TOPIC, self.after).expect("the topic grows");
    }

    /// Sends its events up to this number, after those that were sent before.
    pub(crate) fn send_up_to(&self, number: u32) {
        send(&self.world, &self.entity, self.sent + 1..=number);
    }

    pub(crate) async fn succeeds_in_order_up_to(&self, number: u32) {
        self.mended.open();
        self.world.until_done(&self.handler.runs).await;
        assert_eq!(self.handler.runs.succeeded_of(&self.entity), texts(&self.entity, 1..=number));
    }
}
