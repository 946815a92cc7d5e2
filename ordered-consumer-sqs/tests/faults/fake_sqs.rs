//! FIFO queues in memory and in tokio's time, behind an ordinary AWS client: what AWS documents of them, and the faults that no
//! emulator can be made to have.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use aws_sdk_sqs::{
    Client,
    config::{
        BehaviorVersion, Config, Credentials, Region, StalledStreamProtectionConfig, retry::RetryConfig,
    },
};
use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

use crate::fake_queue::FakeQueue;

/// What credentials are made of, none of which may be seen anywhere.
pub(crate) const SECRETS: [&str; 3] = ["AKIDofTHEtest", "secretKEYofTHEtest", "sessionTOKENofTHEtest"];

/// What goes wrong with requests of one operation, so many times.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The whole request is refused, with this code.
    Refused(&'static str),
    /// Each of the batch's entries is, and nothing is done: the code, and whether it is the sender's fault.
    Entries(&'static str, bool),
    /// It is done, and the answer is lost.
    AnswerLost,
}

#[derive(Debug, Default)]
struct State {
    queues: HashMap<String, FakeQueue>,
    /// How many were ever made.
    made: u64,
    faults: HashMap<String, (u32, Fault)>,
    /// How long requests of an operation take.
    slow: HashMap<String, Duration>,
    requests: Vec<(String, Instant, Value)>,
}

/// See the module. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct FakeSqs {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

impl FakeSqs {
    /// The client that everybody has, without retries of its own, so that each of ours is seen.
    pub(crate) fn client(&self) -> Client {
        let [id, secret, token] = SECRETS.map(str::to_owned);
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .endpoint_url("http://sqs.invalid")
            .credentials_provider(Credentials::new(id, secret, Some(token), None, "tests"))
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .http_client(self.clone());
        Client::from_conf(config.build())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Makes a queue, in the place of one of the same name; gives its URL.
    pub(crate) fn make(&self, name: &str, visibility: Duration) -> String {
        let mut state = self.state();
        state.made += 1;
        let queue = FakeQueue::new(name, state.made, visibility);
        state.queues.insert(name.to_owned(), queue);
        format!("http://sqs.invalid/1/{name}")
    }

    /// Makes a queue, if there is none of its name; gives its URL.
    pub(crate) fn make_unless_made(&self, name: &str, visibility: Duration) -> String {
        if !self.state().queues.contains_key(name) {
            return self.make(name, visibility);
        }
        format!("http://sqs.invalid/1/{name}")
    }

    /// Deletes a queue.
    pub(crate) fn delete(&self, name: &str) {
        self.state().queues.remove(name);
        self.changed.notify_waiters();
    }

    /// Looks into a queue, or changes it.
    pub(crate) fn queue<T>(&self, name: &str, change: impl FnOnce(&mut FakeQueue) -> T) -> T {
        let changed = change(self.state().queues.get_mut(name).unwrap());
        self.changed.notify_waiters();
        changed
    }

    /// Sends a message; gives its sequence number.
    pub(crate) fn send(&self, name: &str, group: &str, body: &str) -> u128 {
        self.queue(name, |queue| queue.send(group, body, &format!("{group} {body}"), json!({})))
    }

    /// From now on so many requests of an operation fail.
    pub(crate) fn fail(&self, operation: &str, times: u32, fault: Fault) {
        self.state().faults.insert(operation.to_owned(), (times, fault));
    }

    /// From now on requests of an operation take so long before anything is done.
    pub(crate) fn slow_down(&self, operation: &str, by: Duration) {
        self.state().slow.insert(operation.to_owned(), by);
    }

    /// What was asked of an operation, and when.
    pub(crate) fn requests(&self, operation: &str) -> Vec<(Instant, Value)> {
        let state = self.state();
        let of = state.requests.iter().filter(|(asked, ..)| asked == operation);
        of.map(|(_, at, asked)| (*at, asked.clone())).collect()
    }

    fn fault(&self, operation: &str) -> Option<Fault> {
        let mut state = self.state();
        let (left, fault) = state.faults.get_mut(operation)?;
        *left = left.checked_sub(1)?;
        Some(fault.clone())
    }

    async fn answer(self, operation: String, asked: Value) -> Result<HttpResponse, ConnectorError> {
        self.state().requests.push((operation.clone(), Instant::now(), asked.clone()));
        let slow = self.state().slow.get(&operation).copied();
        if let Some(by) = slow {
            sleep(by).await;
        }
        let fault = self.fault(&operation);
        match &fault {
            Some(Fault::Refused(code)) => return Ok(refusal(code)),
            Some(Fault::Entries(code, sender)) => {
                return Ok(of_json(200, &entries_fail(&asked, code, *sender)));
            }
            Some(Fault::AnswerLost) | None => {}
        }
        let answer = self.act(&operation, &asked).await;
        if fault.is_some() {
            return Err(ConnectorError::io("the connection is lost on purpose".into()));
        }
        Ok(answer)
    }

    async fn act(&self, operation: &str, asked: &Value) -> HttpResponse {
        let name = asked["QueueUrl"].as_str().unwrap().rsplit('/').next().unwrap();
        let wait = Duration::from_secs(asked["WaitTimeSeconds"].as_u64().unwrap_or_default());
        let until = Instant::now() + wait;
        loop {
            let changed = self.changed.notified();
            let (answer, look_at) = {
                let mut state = self.state();
                let Some(queue) = state.queues.get_mut(name) else { return refusal("QueueDoesNotExist") };
                match queue.act(operation, asked) {
                    Ok(answer) => (answer, queue.next_visible().unwrap_or(until).min(until)),
                    Err(code) => return refusal(code),
                }
            };
            let nothing = operation == "ReceiveMessage" && answer["Messages"] == json!([]);
            if !nothing || Instant::now() >= until {
                if operation != "ReceiveMessage" {
                    self.changed.notify_waiters();
                }
                return of_json(200, &answer);
            }
            // Whether something has changed, or time may have changed something, it is looked again.
            let left = look_at.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            drop(timeout(left, changed).await);
        }
    }
}

fn entries_fail(asked: &Value, code: &str, sender: bool) -> Value {
    let fail = |entry: &Value| json!({ "Id": entry["Id"], "SenderFault": sender, "Code": code });
    let failed: Vec<Value> = asked["Entries"].as_array().unwrap().iter().map(fail).collect();
    json!({ "Successful": [], "Failed": failed })
}

/// As SQS refuses: with a text that quotes what must not be seen, as its texts about signatures do.
fn refusal(code: &str) -> HttpResponse {
    let quoted: HashSet<&str> = SECRETS.into_iter().collect();
    let text = if code.contains("Token") || code.contains("Signature") {
        format!("the canonical string was {quoted:?}")
    } else {
        "a reason".to_owned()
    };
    of_json(400, &json!({ "__type": format!("com.amazonaws.sqs#{code}"), "message": text }))
}

fn of_json(status: u16, answer: &Value) -> HttpResponse {
    let body = SdkBody::from(answer.to_string());
    let mut response = HttpResponse::new(status.try_into().unwrap(), body);
    response.headers_mut().insert("content-type", "application/x-amz-json-1.0");
    response
}

impl HttpClient for FakeSqs {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for FakeSqs {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.trim_start_matches("AmazonSQS.").to_owned();
        let asked = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        HttpConnectorFuture::new(self.clone().answer(operation, asked))
    }
}
