//! What faulty stores do to events, requests and settings.

use ordered_consumer::{
    Event, Headers, Index, Request,
    gate::{Input, Settings},
};

use crate::{fault::Fault, mutant::Mutant};

impl Mutant {
    /// The settings by which a log goes that does not go by those it is given.
    pub(crate) fn settings(&self, settings: &Settings) -> Settings {
        let mut settings = settings.clone();
        settings.held_events_max += u64::from(self.has(Fault::HoldsOneEventTooMany));
        settings.held_bytes_max += u64::from(self.has(Fault::HoldsOneByteTooMany));
        if self.has(Fault::NeverParksLostRuns) {
            settings.attempts_max = u32::MAX;
        }
        if self.has(Fault::ForgetsToMirror) {
            settings.mirror_parked = false;
        }
        if self.has(Fault::MirrorsWithoutAMirror) {
            settings.mirror_parked = true;
        }
        if self.has(Fault::ReleasesOneByOne) {
            settings.release_window = 1;
        }
        settings
    }
}

/// The event with other headers and another payload.
fn rebuilt(event: &Event, index: Index, headers: Headers, payload: Option<Vec<u8>>) -> Event {
    let mut builder = Event::builder(event.stream().clone(), index, event.entity().clone()).headers(headers);
    if let Some(id) = event.id() {
        builder = builder.id(id.clone());
    }
    if let Some(event_type) = event.event_type() {
        builder = builder.event_type(event_type.clone());
    }
    if let Some(time) = event.time() {
        builder = builder.time(time);
    }
    match payload {
        Some(payload) => builder.payload(payload).build(),
        None => builder.build(),
    }
}

fn payload(event: &Event) -> Option<Vec<u8>> {
    event.payload().map(|payload| payload.to_vec())
}

pub(crate) fn without_repeats(event: &Event) -> Event {
    let mut headers = Headers::default();
    for (name, value) in event.headers().iter() {
        if headers.iter().all(|(known, _)| known != name) {
            headers.push(name.clone(), value.cloned());
        }
    }
    rebuilt(event, event.index(), headers, payload(event))
}

pub(crate) fn as_text(event: &Event) -> Event {
    let text = payload(event).map(|payload| String::from_utf8_lossy(&payload).into_owned().into_bytes());
    rebuilt(event, event.index(), event.headers().clone(), text)
}

pub(crate) fn null_as_empty(event: &Event) -> Event {
    let payload = payload(event).unwrap_or_default();
    rebuilt(event, event.index(), event.headers().clone(), Some(payload))
}

pub(crate) fn in_64_bits(event: &Event) -> Event {
    let index = Index::new(event.index().get() & u128::from(u64::MAX));
    rebuilt(event, index, event.headers().clone(), payload(event))
}

/// The events that come with a request, each changed.
pub(crate) fn each_event(request: &mut Request, change: impl Fn(&Event) -> Event) {
    match &mut request.input {
        Input::Arrive { events } => {
            for arrival in events {
                arrival.event = change(&arrival.event);
            }
        }
        Input::Fail { event, .. } => *event = change(event),
        Input::Claim { .. }
        | Input::FailAgain { .. }
        | Input::GiveBack { .. }
        | Input::Ignore { .. }
        | Input::Mirrored { .. }
        | Input::Operate(_)
        | Input::Renew { .. }
        | Input::Resolve { .. }
        | Input::Take => {}
    }
}
