//! Texts from outside, made safe to show.

use std::fmt;

/// Shows a text with its control characters escaped.
///
/// What a handler's error says is kept as it is, but may carry bytes from anywhere: terminal escapes that clear a
/// screen, line breaks that forge a log line, marks that turn the direction of writing around. Use it wherever such a
/// text is shown to people. It does not escape HTML: a page must do that, too.
///
/// ```
/// # use ordered_consumer::display_safe;
/// assert_eq!(display_safe("red \x1b[31m\nfine").to_string(), r"red \u{1b}[31m\nfine");
/// ```
#[must_use]
pub fn display_safe(text: &str) -> DisplaySafe<'_> {
    DisplaySafe(text)
}

/// What [`display_safe`] returns: it displays, without a copy.
#[derive(Clone, Copy)]
pub struct DisplaySafe<'a>(&'a str);

/// Whether a terminal or an editor would act upon this character instead of showing it.
fn acts(c: char) -> bool {
    // The ranges are: line and paragraph separators with the embedding and override marks; isolates; the marks of
    // direction; the byte order mark.
    c.is_control()
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{feff}')
}

impl fmt::Display for DisplaySafe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| acts(*c)) {
            write!(f, "{}{}", &rest[..at], c.escape_default())?;
            rest = &rest[at + c.len_utf8()..];
        }
        f.write_str(rest)
    }
}

impl fmt::Debug for DisplaySafe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_escapes_line_breaks_and_direction_marks_are_escaped() {
        let shown = display_safe("a\x1b]0;x\x07b\u{9b}2Jc\r\nd\u{202e}e\0").to_string();
        assert_eq!(shown, r"a\u{1b}]0;x\u{7}b\u{9b}2Jc\r\nd\u{202e}e\u{0}");
        assert!(!shown.chars().any(acts));
    }

    #[test]
    fn ordinary_text_of_any_script_is_left_alone() {
        for text in ["", "plain", "déjà vu 注文 \\n 🙂", "<b>"] {
            assert_eq!(display_safe(text).to_string(), text);
        }
    }
}
