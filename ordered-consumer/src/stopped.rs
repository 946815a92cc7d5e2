//! Streams that are not consumed, and why.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use crate::StreamName;

/// Streams that wait, for an operator or for other streams, with why.
#[derive(Debug, Default)]
pub(crate) struct Stopped(Mutex<BTreeMap<StreamName, String>>);

impl Stopped {
    pub(crate) fn add(&self, stream: StreamName, why: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(stream, why.to_owned());
    }

    pub(crate) fn remove(&self, stream: &StreamName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(stream);
    }

    pub(crate) fn all(&self) -> Vec<(StreamName, String)> {
        let stopped = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stopped.iter().map(|(stream, why)| (stream.clone(), why.clone())).collect()
    }
}
