//! The example `lambda_handler`: by hand, as AWS Lambda runs it, and the process with its retries.
#![cfg(feature = "services")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::mpsc,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_lambda-handler-program");
/// What the batch has at its end: a message without a sequence number, which stays in its queue.
const UNMAPPED: &str = "059f36b4-87a3-44ab-83d2-661975975109";

fn event() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data/sqs_event.json")
}

fn store(directory: &Path) -> String {
    format!("sqlite:{}", directory.join("orders.db").display())
}

fn text(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// What an order's handlers said, and what Lambda is told.
fn told(text: &str, order: &str) -> Vec<String> {
    text.lines().filter(|line| line.contains(&format!(" {order} "))).map(str::to_owned).collect()
}

fn only_the_unmapped_stays(response: &Value) {
    assert_eq!(*response, json!({ "batchItemFailures": [{ "itemIdentifier": UNMAPPED }] }));
}

#[test]
fn a_batch_is_answered_and_what_it_left_behind_comes_back_in_order_in_the_other_process() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let by_hand = File::open(event()).unwrap();
    let first = text(Command::new(PROGRAM).args(["--store", &store]).stdin(by_hand).output().unwrap());
    only_the_unmapped_stays(&serde_json::from_str(first.lines().last().unwrap()).unwrap());
    assert_eq!(told(&first, "order-1"), ["✓ order-1 created", "✓ order-1 paid", "✓ order-1 shipped"]);
    // It fails in place, is logged, and what is behind it is held.
    let failed = told(&first, "order-2");
    assert!(!failed.is_empty() && failed.iter().all(|line| line.starts_with("✗ order-2 created")), "{first}");
    assert_eq!(told(&first, "order-3"), ["✗ order-3 created: the card is not valid"]);

    let retries = ["--store", &store, "--retries", "--until-idle"];
    let second = text(Command::new(PROGRAM).args(retries).output().unwrap());
    let ended: Vec<String> =
        told(&second, "order-2").into_iter().filter(|line| line.starts_with('✓')).collect();
    assert_eq!(ended, ["✓ order-2 created", "✓ order-2 paid", "✓ order-2 shipped"], "{second}");
    assert!(second.contains("2 later events wait behind it"), "{second}");
}

/// One request of the function to Lambda: its first line, and its body.
fn asked(stream: &TcpStream) -> (String, Vec<u8>) {
    let mut lines = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    lines.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(of) = line.strip_prefix("content-length:") {
            length = of.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    lines.read_exact(&mut body).unwrap();
    (first, body)
}

/// Lambda's own side: gives one invocation, and passes on what it is answered.
fn lambda(listener: &TcpListener, answers: &mpsc::Sender<(String, Value)>) {
    let ends = SystemTime::UNIX_EPOCH.elapsed().unwrap() + Duration::from_secs(60);
    let batch = std::fs::read_to_string(event()).unwrap();
    let mut waiting = Vec::new();
    for (number, stream) in listener.incoming().enumerate() {
        let mut stream = stream.unwrap();
        let (first, body) = asked(&stream);
        if first.starts_with("GET") && number == 0 {
            let with = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n\
                 lambda-runtime-aws-request-id: request-1\r\nlambda-runtime-deadline-ms: {}\r\n\
                 lambda-runtime-invoked-function-arn: arn\r\ncontent-length: {}\r\n\r\n",
                ends.as_millis(),
                batch.len()
            );
            stream.write_all(with.as_bytes()).unwrap();
            stream.write_all(batch.as_bytes()).unwrap();
        } else if first.starts_with("GET") {
            // There is no other invocation, for which it waits.
            waiting.push(stream);
        } else {
            let taken = b"HTTP/1.1 202 Accepted\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(taken).unwrap();
            if answers.send((first, serde_json::from_slice(&body).unwrap_or_default())).is_err() {
                return;
            }
        }
    }
}

#[test]
fn as_a_function_it_answers_lambdas_invocation() {
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (answers, answered) = mpsc::channel();
    std::thread::spawn(move || lambda(&listener, &answers));
    let mut function = Command::new(PROGRAM)
        .args(["--store", &store(directory.path())])
        .env("AWS_LAMBDA_RUNTIME_API", address)
        .env("AWS_LAMBDA_FUNCTION_NAME", "orders")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
        .env("AWS_LAMBDA_LOG_STREAM_NAME", "stream")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", "group")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let answer = answered.recv_timeout(Duration::from_secs(60));
    function.kill().unwrap();
    function.wait().unwrap();
    let (first, response) = answer.unwrap();
    assert!(first.contains("/invocation/request-1/response"), "{first}: {response}");
    only_the_unmapped_stays(&response);
}
