//! What no emulator can be made to do: throttling, expired credentials, answers that are lost, receipts that run out, a message
//! that two receive at once, a queue whose limits have changed. On a fake queue, in tokio's time.

#[cfg(test)]
#[path = "faults/fake_queue.rs"]
mod fake_queue;
#[cfg(test)]
#[path = "faults/fake_sqs.rs"]
mod fake_sqs;
#[cfg(test)]
#[path = "faults/rig.rs"]
mod rig;

#[cfg(test)]
#[path = "faults/away.rs"]
mod away;
#[cfg(test)]
#[path = "faults/forwarded.rs"]
mod forwarded;
#[cfg(test)]
#[path = "faults/giving_way.rs"]
mod giving_way;
#[cfg(test)]
#[path = "faults/receipts.rs"]
mod receipts;
#[cfg(test)]
#[path = "faults/recreated.rs"]
mod recreated;
#[cfg(test)]
#[path = "faults/start.rs"]
mod start;
#[cfg(test)]
#[path = "faults/way_back.rs"]
mod way_back;
