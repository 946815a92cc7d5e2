//! What faulty stores make of what people ask for.

use ordered_consumer::{GateQuery, GatedEntity};

use crate::{fault::Fault, mutant::Mutant};

impl Mutant {
    /// What a log looks for that does not look for everything that is asked.
    pub(crate) fn query(&self, query: &GateQuery) -> GateQuery {
        let mut query = query.clone();
        if self.has(Fault::ListsByPattern) || self.has(Fault::IgnoresPrefixes) {
            query.entity_prefix = None;
        }
        if self.has(Fault::IgnoresAges) {
            query.older_than = None;
        }
        if self.has(Fault::IgnoresWhatIsTheMatter) {
            (query.error_class, query.event_type, query.cause) = (None, None, None);
        }
        query
    }

    /// Lists by a pattern in which `%` stands for anything and `_` for any byte, as SQL's `LIKE` does.
    pub(crate) fn like(&self, asked: &GateQuery, found: &mut Vec<GatedEntity>) {
        let Some(prefix) = asked.entity_prefix.as_ref().filter(|_| self.has(Fault::ListsByPattern)) else {
            return;
        };
        found.retain(|entity| is_like(&entity.key.entity, &[prefix, &b"%"[..]].concat()));
    }
}

fn is_like(text: &[u8], pattern: &[u8]) -> bool {
    match (text, pattern) {
        ([], []) => true,
        (_, [b'%', rest @ ..]) => (0..=text.len()).any(|from| is_like(&text[from..], rest)),
        ([_, text @ ..], [b'_', rest @ ..]) => is_like(text, rest),
        ([byte, text @ ..], [wanted, rest @ ..]) => byte.eq_ignore_ascii_case(wanted) && is_like(text, rest),
        _ => false,
    }
}
