//! An error with its sources, read within bounds: a chain may loop, and a text may have megabytes.

use std::{
    error::Error,
    fmt::{self, Write as _},
    ops::Range,
};

/// How many errors of a chain are looked at, the first among them.
pub(crate) const CHAIN_DEPTH_MAX: usize = 32;

/// The error and its sources, the outermost first; no more than [`CHAIN_DEPTH_MAX`] of them, because a chain may loop.
pub(crate) fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source()).take(CHAIN_DEPTH_MAX)
}

/// Looks for an error of type `T` in an error and its sources, the outermost first.
///
/// For [`RetryPolicy::classify`](crate::RetryPolicy::classify): libraries wrap errors, and the one that tells whether
/// retrying helps is seldom the outermost. At most 32 errors of a chain are looked at.
///
/// ```
/// # use std::{error::Error, io};
/// # use ordered_consumer::{FailureKind, find_cause};
/// fn kind(error: &(dyn Error + 'static)) -> FailureKind {
///     match find_cause::<io::Error>(error) {
///         Some(io) if io.kind() == io::ErrorKind::ConnectionRefused => FailureKind::Unavailable,
///         _ => FailureKind::Retry,
///     }
/// }
/// # assert_eq!(kind(&io::Error::from(io::ErrorKind::ConnectionRefused)), FailureKind::Unavailable);
/// ```
#[must_use]
pub fn find_cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// The texts of an error and its sources, joined by `: `, in at most `bytes_max` bytes.
///
/// A text that has been said already is skipped: many errors repeat their source's.
pub(crate) fn chain_text(error: &(dyn Error + 'static), bytes_max: usize) -> String {
    let mut bounded = Bounded { text: String::new(), bytes_max, is_full: false };
    let mut said: Vec<Range<usize>> = Vec::new();
    for error in chain(error) {
        let before = bounded.text.len();
        if before > 0 {
            bounded.push(": ");
        }
        let start = bounded.text.len();
        // An error here comes from the bound, or from the `Display` of the error: what was written is kept either way.
        let _ = write!(bounded, "{error}");
        let (earlier, part) = bounded.text.split_at(start);
        let earlier = &earlier[..before];
        let is_repeated = earlier.ends_with(part) || said.iter().any(|range| &earlier[range.clone()] == part);
        if part.is_empty() || is_repeated {
            bounded.text.truncate(before);
        } else {
            said.push(start..bounded.text.len());
        }
        if bounded.is_full {
            break;
        }
    }
    bounded.text
}

/// Takes what fits, and says no to the rest, so that a well-behaved `Display` stops early.
struct Bounded {
    text: String,
    bytes_max: usize,
    is_full: bool,
}

impl Bounded {
    fn push(&mut self, more: &str) {
        let room = self.bytes_max.saturating_sub(self.text.len());
        let end = if self.is_full { 0 } else { more.floor_char_boundary(room) };
        self.text.push_str(&more[..end]);
        self.is_full |= end < more.len();
    }
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        self.push(more);
        if self.is_full { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error that is its own source.
    #[derive(Debug)]
    struct Looping(&'static str);
    impl fmt::Display for Looping {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }
    impl Error for Looping {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(self)
        }
    }

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);
    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }
    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|layer| layer as _)
        }
    }

    fn layers(texts: &[&'static str]) -> Layer {
        let mut layers = texts.iter().rev();
        let innermost = Layer(layers.next().unwrap(), None);
        layers.fold(innermost, |inner, text| Layer(text, Some(Box::new(inner))))
    }

    /// Writes far more than fits, piece by piece, and does not stop when it is told to.
    #[derive(Debug)]
    struct Endless(std::cell::Cell<usize>);
    impl fmt::Display for Endless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            for _ in 0..100_000 {
                let refused = f.write_str("écrit ").is_err();
                self.0.set(self.0.get() + usize::from(refused));
            }
            Ok(())
        }
    }
    impl Error for Endless {}

    #[test]
    fn a_chain_that_loops_is_told_once() {
        assert_eq!(chain_text(&Looping("round"), 100), "round");
        assert_eq!(chain(&Looping("round")).count(), CHAIN_DEPTH_MAX);
        assert!(find_cause::<fmt::Error>(&Looping("round")).is_none());
    }

    #[test]
    fn sources_are_told_in_order_and_repeated_or_empty_texts_are_skipped() {
        let text = |texts| chain_text(&layers(texts), 100);
        assert_eq!(text(&["charging", "connecting", "refused"]), "charging: connecting: refused");
        assert_eq!(text(&["charging: refused", "refused"]), "charging: refused");
        assert_eq!(text(&["a", "b", "a", "b"]), "a: b");
        assert_eq!(text(&["a", "", "b"]), "a: b");
        assert_eq!(text(&["", "b"]), "b");
        assert_eq!(text(&[""]), "");
    }

    #[test]
    fn a_text_is_cut_at_a_character_within_its_bound() {
        let endless = Endless(std::cell::Cell::new(0));
        let text = chain_text(&endless, 99);
        assert!(text.len() <= 99 && text.len() > 90, "{}", text.len());
        assert!(endless.0.get() > 0, "the text says when it has enough");
        assert_eq!(chain_text(&layers(&["abc", "def"]), 6), "abc: d");
        assert_eq!(chain_text(&layers(&["abc", "def"]), 5), "abc", "no separator is left hanging");
    }

    #[test]
    fn a_cause_is_found_below_other_errors() {
        let error = Layer("outer", Some(Box::new(Layer("inner", None))));
        assert_eq!(
            find_cause::<Layer>(&error).map(|layer| layer.0),
            Some("outer"),
            "the outermost comes first"
        );
        let io = std::io::Error::other(error);
        assert_eq!(
            find_cause::<std::io::Error>(&io).map(std::io::Error::kind),
            Some(std::io::ErrorKind::Other)
        );
        assert_eq!(find_cause::<Layer>(&io).map(|layer| layer.0), Some("inner"));
        assert!(find_cause::<fmt::Error>(&io).is_none());
    }
}
