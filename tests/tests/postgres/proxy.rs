//! A proxy that breaks a connection off at its commit.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// Where the next commit is broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Cut {
    Nowhere = 0,
    /// The server never hears of it.
    Before = 1,
    /// The server has carried it out, and its answer is lost.
    After = 2,
}

pub(crate) struct Proxy {
    pub(crate) url: String,
    cut: Arc<AtomicU8>,
}

/// How the driver says it.
const COMMIT: &[u8] = b"Q\0\0\0\x0bcommit\0";

impl Proxy {
    pub(crate) async fn start(url: &str) -> Self {
        let (user, place) = url.split_once('@').unwrap();
        let (server, database) = place.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{user}@{}/{database}", listener.local_addr().unwrap());
        let cut = Arc::new(AtomicU8::new(Cut::Nowhere as u8));
        let (server, planned) = (server.to_owned(), Arc::clone(&cut));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(forward(client, server, Arc::clone(&planned)));
            }
        });
        Self { url, cut }
    }

    /// Breaks the next commit off here.
    pub(crate) fn cut_next(&self, cut: Cut) {
        self.cut.store(cut as u8, Ordering::SeqCst);
    }

    pub(crate) fn has_cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst) == Cut::Nowhere as u8
    }
}

async fn forward(client: TcpStream, server: TcpStream, cut: Arc<AtomicU8>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let back = tokio::spawn(copy(from_server, to_client));
    requests(from_client, to_server, cut, back).await;
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    tokio::io::copy(&mut from, &mut to).await.ok();
}

async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    cut: Arc<AtomicU8>,
    back: tokio::task::JoinHandle<()>,
) {
    let mut buffer = vec![0; 1 << 20];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let chunk = &buffer[..read];
        if chunk.ends_with(COMMIT) {
            let planned = cut.swap(Cut::Nowhere as u8, Ordering::SeqCst);
            if planned != Cut::Nowhere as u8 {
                // Nothing comes back from here on.
                back.abort();
                back.await.ok();
                if planned == Cut::After as u8 {
                    to.write_all(chunk).await.unwrap();
                    to.flush().await.unwrap();
                    // The server reads what it was sent before it sees the end.
                    to.shutdown().await.ok();
                }
                return;
            }
        }
        if to.write_all(chunk).await.is_err() {
            break;
        }
    }
    back.abort();
}
