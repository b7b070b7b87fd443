//! Text from a guest or a VMM, made safe to show.

use std::fmt;

/// Most lines of a log that a message shows.
const TAIL_LINES: usize = 8;
/// Most characters of such a line.
const LINE_CHARS: usize = 200;

/// The last lines of a guest's kernel log. `Display` gives each on a line of its own, indented, with control
/// characters escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogTail(Vec<String>);

impl LogTail {
    /// The end of a log.
    pub fn new(log: &str) -> Self {
        let mut lines: Vec<String> = log
            .lines()
            .rev()
            .filter(|line| !line.trim().is_empty())
            .take(TAIL_LINES)
            .map(printable)
            .collect();
        lines.reverse();
        Self(lines)
    }

    /// The lines, oldest first, safe to print.
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for LogTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| write!(f, "\n  | {line}"))
    }
}

/// One line of text, cut if it is long, with control characters escaped.
pub fn printable(line: &str) -> String {
    let mut out = String::new();
    for character in line.trim_end().chars().take(LINE_CHARS) {
        push(&mut out, character);
    }
    out
}

/// Sentences for a terminal, which may quote anybody: lines stay lines, other control characters are escaped.
pub fn harmless(sentences: &str) -> String {
    let mut out = String::with_capacity(sentences.len());
    for character in sentences.chars() {
        match character {
            '\n' | '\t' => out.push(character),
            _ => push(&mut out, character),
        }
    }
    out
}

/// Adds a character, escaped if it would control a terminal, or have it show what follows in another order than it is
/// (Unicode, `Bidi_Control`).
pub(crate) fn push(out: &mut String, character: char) {
    let changes_direction = matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    match character.is_control() || changes_direction {
        true => out.extend(character.escape_default()),
        false => out.push(character),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_short_and_harmless() {
        let log: String = (0..100).map(|i| format!("line {i}\n\n")).collect();
        let tail = LogTail::new(&log);
        assert_eq!(tail.lines().len(), TAIL_LINES);
        assert_eq!(tail.lines().last().map(String::as_str), Some("line 99"));
        assert_eq!(LogTail::new("\u{1b}[2Jx\u{7f}").to_string(), "\n  | \\u{1b}[2Jx\\u{7f}");
        assert_eq!(harmless("a\tb\u{1b}c\u{202e}\nd\r\u{9b}"), "a\tb\\u{1b}c\\u{202e}\nd\\r\\u{9b}");
        assert_eq!(LogTail::new(&"x".repeat(10_000)).lines()[0].len(), LINE_CHARS);
        assert_eq!(LogTail::new("").to_string(), "");
    }
}
