//! The proxy that the tests over a server use, on a server that sends back what it gets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use ordered_consumer_tests::delaying_proxy::{Cut, DelayingProxy};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A server that answers every byte with itself, and remembers what it got.
async fn echo() -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, got) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let keeps = Arc::clone(&got);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let got = Arc::clone(&keeps);
            tokio::spawn(async move {
                let mut buffer = [0; 1024];
                while let Ok(read @ 1..) = client.read(&mut buffer).await {
                    got.lock().unwrap().extend_from_slice(&buffer[..read]);
                    if client.write_all(&buffer[..read]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, got)
}

async fn ask(client: &mut TcpStream, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    client.write_all(bytes).await?;
    let mut answer = vec![0; bytes.len()];
    client.read_exact(&mut answer).await?;
    Ok(answer)
}

/// Waits for what the server does by itself.
async fn until(so: impl Fn() -> bool) {
    while !so() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn bytes_come_through_whole_in_small_pieces() {
    let (server, got) = echo().await;
    let proxy = DelayingProxy::start(server).await.unwrap();
    proxy.delay(3, Duration::from_micros(100));
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let sent: Vec<u8> = (0..=255).collect();
    assert_eq!(ask(&mut client, &sent).await.unwrap(), sent);
    assert_eq!(*got.lock().unwrap(), sent);
    assert!(proxy.pieces() >= 2 * 256_usize.div_ceil(3), "{} pieces", proxy.pieces());
    assert_eq!((proxy.connections(), proxy.cuts_made()), (1, 0));
}

#[tokio::test]
async fn cut_before_a_question_the_server_never_gets_it() {
    let (server, got) = echo().await;
    let proxy = DelayingProxy::start(server).await.unwrap();
    proxy.cut_at(Cut::Before(b"COMMIT".to_vec()));
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut client, b"BEGIN").await.unwrap(), b"BEGIN");
    assert!(ask(&mut client, b"COMMIT").await.is_err());
    assert_eq!(*got.lock().unwrap(), b"BEGIN");
    let mut again = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut again, b"COMMIT").await.unwrap(), b"COMMIT", "it cuts once");
    assert_eq!((proxy.connections(), proxy.cuts_made()), (2, 1));
}

#[tokio::test]
async fn cut_before_an_answer_the_server_has_the_question_and_the_client_nothing() {
    let (server, got) = echo().await;
    let proxy = DelayingProxy::start(server).await.unwrap();
    proxy.delay(2, Duration::from_micros(100));
    proxy.cut_at(Cut::BeforeAnswerTo(b"COMMIT".to_vec()));
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut client, b"BEGIN").await.unwrap(), b"BEGIN");
    // Sent in two halves, so that what is looked for lies across two reads.
    client.write_all(b"COM").await.unwrap();
    until(|| got.lock().unwrap().ends_with(b"COM")).await;
    let mut answer = [0; 3];
    client.read_exact(&mut answer).await.unwrap();
    assert!(ask(&mut client, b"MIT").await.is_err(), "the answer is not passed on");
    assert!(got.lock().unwrap().starts_with(b"BEGINCOMM"), "the server has it");
    assert_eq!(proxy.cuts_made(), 1);
}

#[tokio::test]
async fn cut_all_ends_what_is_connected_and_not_what_comes() {
    let (server, _) = echo().await;
    let proxy = DelayingProxy::start(server).await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut client, b"x").await.unwrap(), b"x");
        clients.push(client);
    }
    proxy.cut_all();
    for mut client in clients {
        assert_eq!(client.read(&mut [0; 1]).await.unwrap_or(0), 0, "it is closed");
    }
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut client, b"y").await.unwrap(), b"y");
    drop(proxy);
    assert_eq!(client.read(&mut [0; 1]).await.unwrap_or(0), 0, "it ends with its proxy");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_connection_that_ends() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let proxy = DelayingProxy::start(address).await.unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(client.read(&mut [0; 1]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn while_it_is_shut_nothing_comes_through_and_then_everything_again() {
    let (server, got) = echo().await;
    let proxy = DelayingProxy::start(server).await.unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut client, b"one").await.unwrap(), b"one");
    proxy.shut();
    assert!(ask(&mut client, b"two").await.is_err(), "who was connected is cut off");
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(ask(&mut client, b"three").await.is_err(), "who connects is cut off");
    proxy.open();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut client, b"four").await.unwrap(), b"four");
    assert_eq!(*got.lock().unwrap(), b"onefour");
}
