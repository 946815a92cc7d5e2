//! A TCP proxy that makes a server slow, cuts connections at a moment of a test's choice, and has the server be away.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream, ToSocketAddrs,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// Where a connection is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// When a client sends these bytes: the server never gets them.
    Before(Vec<u8>),
    /// When the server has begun to answer these bytes, and the client has seen nothing of the answer: what the client
    /// asked for has happened, and it cannot know.
    BeforeAnswerTo(Vec<u8>),
}

impl Cut {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Before(bytes) | Self::BeforeAnswerTo(bytes) => bytes,
        }
    }
}

/// Forwards connections to a server, in small pieces, with a pause before each, so that whoever waits for an answer
/// waits many times. Stops when it is dropped.
#[derive(Debug)]
pub struct DelayingProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    piece_bytes: AtomicUsize,
    pause_micros: AtomicU64,
    /// What to cut at next, each once.
    cuts: Mutex<Vec<Cut>>,
    /// Whoever connects is cut off at once.
    shut: AtomicBool,
    /// Raised to cut whatever is connected.
    generation: watch::Sender<u64>,
    connections: AtomicUsize,
    pieces: AtomicUsize,
    cut: AtomicUsize,
}

impl DelayingProxy {
    /// A proxy in front of this server, on a port of its own of the loopback interface, which does not delay yet.
    ///
    /// # Errors
    /// When there is no port, or the server's address cannot be resolved.
    pub async fn start(server: impl ToSocketAddrs) -> std::io::Result<Self> {
        let server = tokio::net::lookup_host(server).await?.next();
        let server = server.ok_or_else(|| std::io::Error::other("the server has no address"))?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            piece_bytes: AtomicUsize::new(64 * 1024),
            pause_micros: AtomicU64::new(0),
            cuts: Mutex::default(),
            shut: AtomicBool::new(false),
            generation: watch::Sender::new(0),
            connections: AtomicUsize::new(0),
            pieces: AtomicUsize::new(0),
            cut: AtomicUsize::new(0),
        });
        let accepting = tokio::spawn(accept(listener, server, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    /// Where clients connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on bytes go through in pieces of at most so many, with so long a pause before each.
    pub fn delay(&self, piece_bytes: usize, pause: Duration) {
        self.shared.piece_bytes.store(piece_bytes.max(1), Ordering::SeqCst);
        let micros = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
        self.shared.pause_micros.store(micros, Ordering::SeqCst);
    }

    /// Cuts the next connection that comes to this point, once.
    pub fn cut_at(&self, cut: Cut) {
        self.shared.cuts().push(cut);
    }

    /// Forgets where it was to cut.
    pub fn spare(&self) {
        self.shared.cuts().clear();
    }

    /// Cuts every connection that there is now; those to come are forwarded.
    pub fn cut_all(&self) {
        self.shared.generation.send_modify(|generation| *generation += 1);
    }

    /// Cuts every connection, and those to come, until it is [opened](Self::open): the server is away.
    pub fn shut(&self) {
        self.shared.shut.store(true, Ordering::SeqCst);
        self.cut_all();
    }

    /// From now on connections are forwarded again.
    pub fn open(&self) {
        self.shared.shut.store(false, Ordering::SeqCst);
    }

    /// How many connections were accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many pieces were forwarded so far.
    #[must_use]
    pub fn pieces(&self) -> usize {
        self.shared.pieces.load(Ordering::SeqCst)
    }

    /// How many connections were cut at a point that [`cut_at`](Self::cut_at) named.
    #[must_use]
    pub fn cuts_made(&self) -> usize {
        self.shared.cut.load(Ordering::SeqCst)
    }
}

impl Drop for DelayingProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut_all();
    }
}

impl Shared {
    fn cuts(&self) -> std::sync::MutexGuard<'_, Vec<Cut>> {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first planned cut whose bytes are in what was sent, which is then planned no more.
    fn due(&self, sent: &[u8]) -> Option<Cut> {
        let mut cuts = self.cuts();
        let found = cuts.iter().position(|cut| {
            !cut.bytes().is_empty() && sent.windows(cut.bytes().len()).any(|window| window == cut.bytes())
        })?;
        self.cut.fetch_add(1, Ordering::SeqCst);
        Some(cuts.remove(found))
    }

    /// How many bytes before the next ones may belong to what is looked for.
    fn longest(&self) -> usize {
        self.cuts().iter().map(|cut| cut.bytes().len()).max().unwrap_or(0)
    }

    async fn forward(&self, bytes: &[u8], to: &mut OwnedWriteHalf) -> std::io::Result<()> {
        for piece in bytes.chunks(self.piece_bytes.load(Ordering::SeqCst)) {
            let pause = Duration::from_micros(self.pause_micros.load(Ordering::SeqCst));
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            to.write_all(piece).await?;
            self.pieces.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let mut generation = shared.generation.subscribe();
            let mine = *generation.borrow();
            // Asked after the generation is read: of whoever shuts it now, one or the other is seen.
            if shared.shut.load(Ordering::SeqCst) {
                return;
            }
            let cut = generation.wait_for(|now| *now != mine);
            tokio::select! {
                // Whatever ends it ends both directions: their halves are dropped.
                _ = connection(client, server, &shared) => {}
                _ = cut => {}
            }
        });
    }
}

async fn connection(client: TcpStream, server: SocketAddr, shared: &Shared) -> std::io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let swallow = watch::Sender::new(false);
    tokio::select! {
        asked = questions(from_client, to_server, shared, &swallow) => asked,
        answered = answers(from_server, to_client, shared, &swallow) => answered,
    }
}

/// From the client to the server. Ends when the connection is to be cut.
async fn questions(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shared: &Shared,
    swallow: &watch::Sender<bool>,
) -> std::io::Result<()> {
    let (mut buffer, mut recent) = (vec![0; 16 * 1024], Vec::new());
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let bytes = &buffer[..read];
        // What is looked for may lie across two reads.
        recent.extend_from_slice(bytes);
        match shared.due(&recent) {
            Some(Cut::Before(_)) => return Ok(()),
            Some(Cut::BeforeAnswerTo(_)) => {
                swallow.send_replace(true);
            }
            None => {}
        }
        let keep = shared.longest().saturating_sub(1).min(recent.len());
        recent.drain(..recent.len() - keep);
        shared.forward(bytes, &mut to).await?;
    }
}

/// From the server to the client. Ends with the first answer that the client is not to see.
async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shared: &Shared,
    swallow: &watch::Sender<bool>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 || *swallow.borrow() {
            return Ok(());
        }
        shared.forward(&buffer[..read], &mut to).await?;
    }
}
