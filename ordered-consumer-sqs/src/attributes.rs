//! Message attributes and headers: what one becomes as the other, and what SQS allows.
//!
//! A header has no type, an attribute has. What a reader would guess wrongly (`Number`, a label, bytes that happen to be
//! text) is kept in a header of its own, `NAME:type`; no attribute can have that name, because a colon is not allowed.

use bytes::Bytes;
use ordered_consumer::Headers;

use crate::incoming::Attribute;

/// As many as SQS allows.
pub(crate) const ATTRIBUTES_MAX: usize = 10;
const NAME_BYTES_MAX: usize = 256;
const TYPE_SUFFIX: &str = ":type";

fn guessed(value: &[u8]) -> &'static str {
    match std::str::from_utf8(value) {
        Ok(text) if !text.is_empty() && text.chars().all(is_allowed) => "String",
        Ok(_) | Err(_) => "Binary",
    }
}

/// Whether SQS takes the character in a body or in an attribute that is a string.
pub(crate) fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

/// The headers that attributes become.
pub(crate) fn to_headers<'a>(attributes: impl Iterator<Item = &'a (String, Attribute)>) -> Headers {
    let mut headers = Headers::default();
    for (name, attribute) in attributes {
        headers.push(Bytes::from(name.clone()), Some(attribute.value.clone()));
        if attribute.data_type != guessed(&attribute.value) {
            headers.push(
                Bytes::from(format!("{name}{TYPE_SUFFIX}")),
                Some(Bytes::from(attribute.data_type.clone())),
            );
        }
    }
    headers
}

/// The attributes that headers become again.
///
/// # Errors
/// What SQS does not allow, without the header's value.
pub(crate) fn from_headers(headers: &Headers) -> Result<Vec<(String, Attribute)>, String> {
    let mut attributes: Vec<(String, Attribute)> = Vec::with_capacity(headers.len());
    for (name, value) in headers.iter() {
        let Ok(name) = std::str::from_utf8(name) else {
            return Err("a header's name is not text".to_owned());
        };
        if let Some(of) = name.strip_suffix(TYPE_SUFFIX) {
            let typed = attributes.iter_mut().find(|(named, _)| named == of);
            if let (Some((_, attribute)), Some(Ok(data_type))) =
                (typed, value.map(|v| std::str::from_utf8(v)))
            {
                data_type.clone_into(&mut attribute.data_type);
                continue;
            }
        }
        check_name(name)?;
        if attributes.iter().any(|(named, _)| named == name) {
            return Err("two headers have one name, and attributes cannot".to_owned());
        }
        let value = value.filter(|value| !value.is_empty());
        let value = value.ok_or("a header has no value, and an attribute must have one")?.clone();
        let data_type = guessed(&value).to_owned();
        attributes.push((name.to_owned(), Attribute { data_type, value }));
    }
    attributes.iter().try_for_each(|(_, attribute)| check_type(attribute))?;
    Ok(attributes)
}

fn check_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let lower = name.to_ascii_lowercase();
    let dots = name.starts_with('.') || name.ends_with('.') || name.contains("..");
    let reserved = lower.starts_with("aws.") || lower.starts_with("amazon.");
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(allowed) || dots || reserved {
        return Err("a header's name cannot be an attribute's".to_owned());
    }
    Ok(())
}

fn check_type(attribute: &Attribute) -> Result<(), String> {
    let base = attribute.data_type.split('.').next().unwrap_or_default();
    let fits = match base {
        "Binary" => true,
        "String" | "Number" => guessed(&attribute.value) == "String",
        _ => false,
    };
    let short = attribute.data_type.len() <= NAME_BYTES_MAX;
    if fits && short { Ok(()) } else { Err("a header's value is not of the type that it names".to_owned()) }
}

/// The bytes of an attribute that count against the queue's limit: name, type and value.
pub(crate) fn size(name: &str, attribute: &Attribute) -> usize {
    name.len() + attribute.data_type.len() + attribute.value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(data_type: &str, value: &'static [u8]) -> Attribute {
        Attribute { data_type: data_type.to_owned(), value: Bytes::from_static(value) }
    }

    #[test]
    fn every_type_of_attribute_survives_being_a_header() {
        let attributes = [
            ("a".to_owned(), attribute("String", b"text")),
            ("b".to_owned(), attribute("Number", b"12")),
            ("c".to_owned(), attribute("Binary", b"\xff\0")),
            ("d".to_owned(), attribute("Binary", b"looks like text")),
            ("e.f-g_h".to_owned(), attribute("Number.int", b"3")),
        ];
        let headers = to_headers(attributes.iter());
        assert_eq!(headers.get("b"), Some(&Bytes::from_static(b"12")));
        assert_eq!(headers.get("b:type"), Some(&Bytes::from_static(b"Number")));
        assert_eq!(headers.get("a:type"), None, "what would be guessed anyway is not said");
        assert!(from_headers(&headers).unwrap() == attributes);
    }

    #[test]
    fn headers_that_no_attribute_can_be_are_refused() {
        let refused = |name: &[u8], value: Option<&'static [u8]>| {
            let mut headers = Headers::default();
            headers.push(Bytes::copy_from_slice(name), value.map(Bytes::from_static));
            from_headers(&headers).is_err()
        };
        assert!(!refused(b"fine", Some(b"x")));
        assert!(!refused("n".repeat(256).as_bytes(), Some(b"x")), "at the limit");
        assert!(refused("n".repeat(257).as_bytes(), Some(b"x")));
        for name in [&b""[..], b"a b", b"AWS.x", b"amazon.x", b".x", b"x.", b"a..b", b"\xff", b"x:type"] {
            assert!(refused(name, Some(b"x")), "{name:?}");
        }
        assert!(refused(b"empty", Some(b"")));
        assert!(refused(b"null", None));
        let twice: Headers = [("a", "1"), ("a", "2")].into_iter().collect();
        assert!(from_headers(&twice).is_err());
        let lies: Headers = [("a", "\0"), ("a:type", "String")].into_iter().collect();
        assert!(from_headers(&lies).is_err());
    }
}
