//! One FIFO queue: groups, visibility, receipts, deduplication and sizes, as AWS documents them.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;

/// The first sequence number: 20 digits, above `u64`, as AWS's are.
const SEQUENCE: u128 = 98_849_496_460_467_696_128;
/// What the queue says that a message may have.
const BYTES_MAX: usize = 262_144;

#[derive(Debug)]
struct Message {
    group: String,
    body: String,
    deduplication: String,
    attributes: Value,
    sequence: u128,
    receives: u32,
    visible_at: Option<Instant>,
    /// The newest receipt; older ones are lost.
    handle: String,
}

impl Message {
    fn is_in_flight(&self) -> bool {
        self.visible_at.is_some_and(|at| at > Instant::now())
    }

    fn given(&self) -> Value {
        json!({
            "MessageId": self.sequence.to_string(),
            "ReceiptHandle": self.handle,
            "Body": self.body,
            "MessageAttributes": self.attributes,
            "Attributes": {
                "MessageGroupId": self.group,
                "MessageDeduplicationId": self.deduplication,
                "SequenceNumber": self.sequence.to_string(),
                "ApproximateReceiveCount": self.receives.to_string(),
                "SentTimestamp": "1700000000000",
            },
        })
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct FakeQueue {
    arn: String,
    /// What a queue of the same name that was made before it, or is made after, does not share.
    created: u64,
    visibility: Duration,
    messages: Vec<Message>,
    /// What a request may have: less than the queue says of itself, if it was changed.
    pub(crate) bytes_max: usize,
    seen: HashSet<String>,
    deleted: HashSet<String>,
    numbers: u128,
}

impl FakeQueue {
    pub(crate) fn new(name: &str, created: u64, visibility: Duration) -> Self {
        let (bytes_max, numbers) = (BYTES_MAX, SEQUENCE);
        Self {
            arn: format!("arn:aws:sqs:eu-west-1:1:{name}"),
            created,
            visibility,
            messages: Vec::new(),
            bytes_max,
            seen: HashSet::new(),
            deleted: HashSet::new(),
            numbers,
        }
    }

    pub(crate) fn send(&mut self, group: &str, body: &str, deduplication: &str, attributes: Value) -> u128 {
        self.numbers += 256;
        // Accepted, and not delivered again.
        if self.seen.insert(deduplication.to_owned()) {
            self.messages.push(Message {
                group: group.to_owned(),
                body: body.to_owned(),
                deduplication: deduplication.to_owned(),
                attributes,
                sequence: self.numbers,
                receives: 0,
                visible_at: None,
                handle: String::new(),
            });
        }
        self.numbers
    }

    /// The bodies of what is not deleted.
    pub(crate) fn kept(&self) -> Vec<&str> {
        self.messages.iter().map(|message| message.body.as_str()).collect()
    }

    /// How many groups have something that is not deleted.
    pub(crate) fn groups(&self) -> usize {
        self.messages.iter().map(|message| &message.group).collect::<HashSet<_>>().len()
    }

    /// The bodies of what is in flight.
    pub(crate) fn in_flight(&self) -> Vec<&str> {
        let in_flight = self.messages.iter().filter(|message| message.is_in_flight());
        in_flight.map(|message| message.body.as_str()).collect()
    }

    /// Every visibility runs out now, as if everybody who has received something had stood still for long.
    pub(crate) fn run_out(&mut self) {
        self.messages.iter_mut().for_each(|message| message.visible_at = None);
    }

    /// When something may become visible by itself.
    pub(crate) fn next_visible(&self) -> Option<Instant> {
        self.messages.iter().filter_map(|message| message.visible_at).filter(|at| *at > Instant::now()).min()
    }

    /// What an operation answers, or the code with which the whole of it is refused.
    pub(crate) fn act(&mut self, operation: &str, asked: &Value) -> Result<Value, &'static str> {
        let entries = || asked["Entries"].as_array().unwrap().iter();
        match operation {
            "GetQueueAttributes" => Ok(json!({ "Attributes": {
                "FifoQueue": "true",
                "VisibilityTimeout": self.visibility.as_secs().to_string(),
                "MaximumMessageSize": BYTES_MAX.to_string(),
                "QueueArn": self.arn,
                "CreatedTimestamp": self.created.to_string(),
            } })),
            "ReceiveMessage" => Ok(json!({ "Messages": self.receive(asked) })),
            "DeleteMessageBatch" => Ok(each(entries(), |entry| self.delete(&entry["ReceiptHandle"]))),
            "ChangeMessageVisibilityBatch" => Ok(each(entries(), |entry| self.change(entry))),
            "SendMessageBatch" => {
                if entries().map(size).sum::<usize>() > self.bytes_max {
                    return Err("BatchRequestTooLong");
                }
                Ok(each(entries(), |entry| self.take_in(entry)))
            }
            other => panic!("nobody asks for {other}"),
        }
    }

    fn receive(&mut self, asked: &Value) -> Vec<Value> {
        let locked: HashSet<String> =
            self.messages.iter().filter(|one| one.is_in_flight()).map(|one| one.group.clone()).collect();
        let visible_at = Instant::now() + Duration::from_secs(asked["VisibilityTimeout"].as_u64().unwrap());
        let max = usize::try_from(asked["MaxNumberOfMessages"].as_u64().unwrap()).unwrap();
        let free = self.messages.iter_mut().filter(|message| !locked.contains(&message.group)).take(max);
        let numbers = &mut self.numbers;
        free.map(|message| {
            *numbers += 1;
            message.handle = format!("handle {numbers}");
            message.visible_at = Some(visible_at);
            message.receives += 1;
            message.given()
        })
        .collect()
    }

    fn delete(&mut self, handle: &Value) -> Result<(), (&'static str, &'static str)> {
        let handle = handle.as_str().unwrap();
        if self.deleted.contains(handle) {
            return Ok(());
        }
        let place = self.place(handle)?;
        self.messages.remove(place);
        self.deleted.insert(handle.to_owned());
        Ok(())
    }

    fn change(&mut self, entry: &Value) -> Result<(), (&'static str, &'static str)> {
        let place = self.place(entry["ReceiptHandle"].as_str().unwrap())?;
        let lasts = Duration::from_secs(entry["VisibilityTimeout"].as_u64().unwrap());
        self.messages[place].visible_at = Some(Instant::now() + lasts).filter(|_| !lasts.is_zero());
        Ok(())
    }

    /// Where the message of this receipt is; an expired one is refused, as AWS does on FIFO queues.
    fn place(&self, handle: &str) -> Result<usize, (&'static str, &'static str)> {
        let place = self.messages.iter().position(|message| message.handle == handle);
        let place = place.ok_or(("ReceiptHandleIsInvalid", "it is not valid"))?;
        if self.messages[place].is_in_flight() {
            return Ok(place);
        }
        Err((
            "InvalidParameterValue",
            "the parameter ReceiptHandle is invalid: the receipt handle has expired",
        ))
    }

    fn take_in(&mut self, entry: &Value) -> Result<(), (&'static str, &'static str)> {
        let text = |name: &str| entry[name].as_str().unwrap();
        assert!(entry["DelaySeconds"].is_null(), "the failure log does the waiting");
        let attributes: HashMap<String, Value> =
            serde_json::from_value(entry["MessageAttributes"].clone()).unwrap();
        if attributes.len() > 10 {
            return Err(("InvalidParameterValue", "too many attributes"));
        }
        let (group, id) = (text("MessageGroupId"), text("MessageDeduplicationId"));
        for id in [group, id] {
            let allowed = |c: char| c.is_ascii_graphic();
            assert!(!id.is_empty() && id.len() <= 128 && id.chars().all(allowed), "{id}");
        }
        self.send(group, text("MessageBody"), id, entry["MessageAttributes"].clone());
        Ok(())
    }
}

/// The bytes of an entry that count, with attributes' names, types and values.
fn size(entry: &Value) -> usize {
    let of = |value: &Value| value.as_str().map_or(0, str::len);
    let attributes = entry["MessageAttributes"].as_object().into_iter().flatten();
    let attributes =
        attributes.map(|(name, with)| name.len() + of(&with["DataType"]) + of(&with["StringValue"]));
    of(&entry["MessageBody"]) + attributes.sum::<usize>()
}

fn each<'e>(
    entries: impl Iterator<Item = &'e Value>,
    mut act: impl FnMut(&Value) -> Result<(), (&'static str, &'static str)>,
) -> Value {
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for entry in entries {
        let id = &entry["Id"];
        match act(entry) {
            Ok(()) => done.push(json!({ "Id": id, "MessageId": "m", "MD5OfMessageBody": "" })),
            Err((code, text)) => {
                failed.push(json!({ "Id": id, "SenderFault": true, "Code": code, "Message": text }));
            }
        }
    }
    json!({ "Successful": done, "Failed": failed })
}
