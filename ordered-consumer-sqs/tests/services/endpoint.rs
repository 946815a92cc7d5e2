//! An SQS endpoint for one test: queues of its own, a client that can be made to fail, and what an emulator does otherwise
//! than AWS, put right.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_sdk_sqs::{
    Client,
    config::{
        BehaviorVersion, Credentials, Region, StalledStreamProtectionConfig, retry::RetryConfig,
        timeout::TimeoutConfig,
    },
    types::QueueAttributeName,
};
use aws_smithy_http_client::Builder;
use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
        SharedHttpConnector,
    },
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};
use serde_json::{Value, json};

use crate::short_polls;

/// Which endpoint a test is run against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Emulator {
    /// `SQS_ENDPOINT_URL`: ElasticMQ, or LocalStack, or AWS.
    Main,
    /// `MOTO_ENDPOINT_URL`. Its sequence numbers are random digits, AWS's ascend: they are replaced by ascending ones, of 20
    /// digits, as messages are sent.
    Moto,
}

/// What goes wrong on purpose.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// So many deletes are refused, from the next one on.
    pub(crate) refuse_deletes: AtomicU32,
    /// Copies of these indexes are refused. AWS answers for each message of a batch; here none after the refused one is
    /// taken, which is what the suite's rule is about.
    pub(crate) refuse_copies: Mutex<HashSet<String>>,
    /// Nothing can be sent.
    pub(crate) away: AtomicBool,
    /// Nothing is kept invisible for longer, as if the process stood still.
    pub(crate) no_heartbeats: AtomicBool,
    /// Requests, by operation.
    pub(crate) requests: Mutex<HashMap<String, u64>>,
}

/// Puts moto's sequence numbers in order, for one test: by message id.
#[derive(Debug, Default)]
struct Sequences {
    by_message: Mutex<HashMap<String, u128>>,
}

impl Sequences {
    fn of(&self, message: &str) -> String {
        let mut all = self.by_message.lock().unwrap();
        let next = 18_849_496_460_467_696_128 + all.len() as u128;
        all.entry(message.to_owned()).or_insert(next).to_string()
    }

    fn correct(&self, operation: &str, answer: &mut Value) {
        let set = |entry: &mut Value| {
            if let Some(id) = entry["MessageId"].as_str().map(str::to_owned) {
                let number = Value::from(self.of(&id));
                if entry.get("Attributes").is_some() {
                    entry["Attributes"]["SequenceNumber"] = number;
                } else {
                    entry["SequenceNumber"] = number;
                }
            }
        };
        match operation {
            "SendMessage" => set(answer),
            "SendMessageBatch" => answer["Successful"].as_array_mut().into_iter().flatten().for_each(set),
            "ReceiveMessage" => answer["Messages"].as_array_mut().into_iter().flatten().for_each(set),
            _ => {}
        }
    }
}

#[derive(Clone, Debug)]
struct Through {
    inner: SharedHttpClient,
    faults: Arc<Faults>,
    sequences: Option<Arc<Sequences>>,
}

#[derive(Debug)]
struct Connector {
    inner: SharedHttpConnector,
    through: Through,
}

impl HttpClient for Through {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Connector { inner, through: self.clone() })
    }
}

impl HttpConnector for Connector {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.trim_start_matches("AmazonSQS.").to_owned();
        let Through { faults, sequences, .. } = self.through.clone();
        *faults.requests.lock().unwrap().entry(operation.clone()).or_default() += 1;
        let away = faults.away.load(Ordering::SeqCst) && operation == "SendMessageBatch";
        if away || faults.no_heartbeats.load(Ordering::SeqCst) && is_extension(&operation, &request) {
            return HttpConnectorFuture::ready(Err(ConnectorError::io("away on purpose".into())));
        }
        let failed = faults.take_out(&operation, &mut request);
        if let Some((failed, true)) = &failed {
            let answer = json!({ "Successful": [], "Failed": failed });
            return HttpConnectorFuture::ready(Ok(answer_of(&answer)));
        }
        // Only moto's answers are corrected.
        let called = match &sequences {
            Some(_) if operation == "ReceiveMessage" => short_polls::receive(self.inner.clone(), request),
            _ => self.inner.call(request),
        };
        HttpConnectorFuture::new(async move {
            let response = called.await?;
            if failed.is_none() && sequences.is_none() || !response.status().is_success() {
                return Ok(response);
            }
            let body = ByteStream::new(response.into_body()).collect().await;
            let body = body.map_err(|error| ConnectorError::io(error.into()))?.into_bytes();
            let mut answer: Value = serde_json::from_slice(&body).unwrap_or_default();
            if let Some(sequences) = sequences {
                sequences.correct(&operation, &mut answer);
            }
            if let Some((failed, _)) = failed {
                let mut all = answer["Failed"].as_array().cloned().unwrap_or_default();
                all.extend(failed);
                answer["Failed"] = Value::from(all);
            }
            Ok(answer_of(&answer))
        })
    }
}

fn is_extension(operation: &str, request: &HttpRequest) -> bool {
    let asked = request.body().bytes().and_then(|body| serde_json::from_slice::<Value>(body).ok());
    let visible_at_once = |asked: &Value| asked["Entries"][0]["VisibilityTimeout"] == 0;
    operation == "ChangeMessageVisibilityBatch" && !asked.as_ref().is_some_and(visible_at_once)
}

fn answer_of(answer: &Value) -> HttpResponse {
    let mut response =
        HttpResponse::new(200.try_into().expect("it is a status"), SdkBody::from(answer.to_string()));
    response.headers_mut().insert("content-type", "application/x-amz-json-1.0");
    response
}

impl Faults {
    pub(crate) fn count(&self, operation: &str) -> u64 {
        self.requests.lock().unwrap().get(operation).copied().unwrap_or_default()
    }

    /// Takes out of the request what is to fail; gives its failures, and whether nothing is left of it.
    fn take_out(&self, operation: &str, request: &mut HttpRequest) -> Option<(Vec<Value>, bool)> {
        let mut asked: Value = serde_json::from_slice(request.body().bytes()?).ok()?;
        let entries = asked["Entries"].as_array_mut()?;
        let (from, code) = match operation {
            "DeleteMessageBatch" => {
                let refused = |left: u32| left.checked_sub(1);
                self.refuse_deletes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, refused).ok()?;
                (0..1, "InternalError")
            }
            "SendMessageBatch" => {
                let refused = self.refuse_copies.lock().unwrap();
                let from = entries.iter().position(|entry| {
                    let text = entry["MessageAttributes"]["ordered-consumer"]["StringValue"].as_str();
                    let carried: Value = serde_json::from_str(text.unwrap_or_default()).unwrap_or_default();
                    carried["index"].as_str().is_some_and(|index| refused.contains(index))
                })?;
                (from..entries.len(), "InvalidMessageContents")
            }
            _ => return None,
        };
        let failed: Vec<Value> = entries
            .drain(from)
            .map(|entry| json!({ "Id": entry["Id"], "SenderFault": code != "InternalError", "Code": code }))
            .collect();
        let empty = entries.is_empty();
        let body = asked.to_string();
        request.headers_mut().insert("content-length", body.len().to_string());
        *request.body_mut() = SdkBody::from(body);
        Some((failed, empty))
    }
}

/// See the module.
pub(crate) struct Endpoint {
    pub(crate) client: Client,
    pub(crate) faults: Arc<Faults>,
    name: String,
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run `eval \"$(tests/services/elasticmq start DIRECTORY)\"` or `moto`, or ./tests/run")
    })
}

impl Endpoint {
    /// With a name of its own for its queues.
    pub(crate) async fn new(emulator: Emulator) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let (url, sequences) = match emulator {
            Emulator::Main => (variable("SQS_ENDPOINT_URL"), None),
            Emulator::Moto => (variable("MOTO_ENDPOINT_URL"), Some(Arc::default())),
        };
        let faults = Arc::<Faults>::default();
        let through = Through { inner: Builder::new().build_http(), faults: Arc::clone(&faults), sequences };
        // What an emulator does not look at; AWS's own come from the environment.
        let mut config = aws_config::defaults(BehaviorVersion::latest()).http_client(through);
        // Where a server has no time to accept a connection or to read from it, that is no failure of the adapter.
        let timeouts = TimeoutConfig::builder().connect_timeout(Duration::from_secs(60)).build();
        config = config.timeout_config(timeouts);
        config = config.stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        config = config.retry_config(RetryConfig::disabled()).endpoint_url(url);
        if std::env::var_os("AWS_ACCESS_KEY_ID").is_none() {
            config = config.credentials_provider(Credentials::new("test", "test", None, None, "tests"));
        }
        if std::env::var_os("AWS_REGION").is_none() {
            config = config.region(Region::new("us-east-1"));
        }
        let client = Client::new(&config.load().await);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let name = format!("t{now:x}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        Self { client, faults, name }
    }

    /// Makes a queue; gives its URL.
    pub(crate) async fn queue(
        &self,
        suffix: &str,
        fifo: bool,
        visibility: Duration,
        with: &[(QueueAttributeName, &str)],
    ) -> String {
        let end = if fifo { ".fifo" } else { "" };
        let mut request = self
            .client
            .create_queue()
            .queue_name(format!("{}-{suffix}{end}", self.name))
            .attributes(QueueAttributeName::VisibilityTimeout, visibility.as_secs().to_string());
        if fifo {
            request = request.attributes(QueueAttributeName::FifoQueue, "true");
        }
        for (name, value) in with {
            request = request.attributes(name.clone(), *value);
        }
        request.send().await.expect("the queue is made").queue_url.expect("it has a URL")
    }

    /// Sends a message; gives its sequence number.
    pub(crate) async fn send(&self, url: &str, group: &str, body: &str) -> u128 {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let id = format!("{}-{}", self.name, COUNT.fetch_add(1, Ordering::Relaxed));
        let request = self.client.send_message().queue_url(url).message_body(body);
        let sent = request.message_group_id(group).message_deduplication_id(id).send().await;
        let number = sent.expect("it is sent").sequence_number.expect("it has a number");
        number.parse().expect("it is a number")
    }
}
