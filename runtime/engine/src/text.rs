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
pub(crate) fn printable(line: &str) -> String {
    ampoule_text::line(line.trim_end(), LINE_CHARS)
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
        assert_eq!(LogTail::new(&"x".repeat(10_000)).lines()[0].len(), LINE_CHARS + 3);
        assert_eq!(LogTail::new("").to_string(), "");
    }
}
