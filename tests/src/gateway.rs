//! The way to a server, which a test can shut: for tests of several processes, which have no runtime of their own.

use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use crate::delaying_proxy::DelayingProxy;

/// Forwards connections to a server until it is dropped.
pub struct Gateway {
    proxy: DelayingProxy,
    /// Dropped last: the proxy is in it.
    _runtime: Runtime,
}

#[expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "this is for tests, which fail by panicking"
)]
impl Gateway {
    /// The way to the server of this URL, and the URL that goes this way.
    #[must_use]
    pub fn to(url: &str) -> (Self, String) {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (place, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, server) = place.rsplit_once('@').map_or(("", place), |(user, server)| (user, server));
        let user = if user.is_empty() { String::new() } else { format!("{user}@") };
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let proxy = runtime.block_on(DelayingProxy::start(server)).unwrap();
        let url = format!("{scheme}://{user}{}{path}", proxy.address());
        (Self { proxy, _runtime: runtime }, url)
    }

    /// The server is away, until it is [back](Self::open).
    pub fn shut(&self) {
        self.proxy.shut();
    }

    /// It is back.
    pub fn open(&self) {
        self.proxy.open();
    }

    /// Waits until somebody has tried in vain so often since now.
    pub fn until_tried(&self, times: usize) {
        let (before, begin) = (self.proxy.connections(), Instant::now());
        while self.proxy.connections() < before + times {
            assert!(begin.elapsed() < Duration::from_secs(120), "nobody tries");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
