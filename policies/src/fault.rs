//! Where in a policy file something is wrong, as it is shown.

use core::fmt;
use core::ops::Range;

/// Most characters of a line that are shown.
const SHOWN: usize = 120;

/// Something wrong in a policy file. `Display` shows the line, and marks the place:
///
/// ```text
/// line 2, column 14: `machine.memory_mib` is 1
///   |
/// 2 | memory_mib = 1
///   |              ^ it must be between 32 and 262144
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What is allowed; may be empty.
    pub help: String,
    shown: String,
    marked: usize,
}

impl Fault {
    /// Something wrong at a range of bytes of the text.
    pub(crate) fn at(
        text: &str,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        let start = floor(text, span.start);
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let rest = text.get(line_start..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default();
        let column = text.get(line_start..start).unwrap_or_default().chars().count();
        let end = floor(text, span.end.max(start)).min(line_start + line.trim_end().len()).max(start);
        let marked = text.get(start..end).unwrap_or_default().chars().count();
        Self {
            line: before.matches('\n').count() + 1,
            column: column + 1,
            message: message.into(),
            help: help.into(),
            shown: line
                .trim_end()
                .chars()
                .take(SHOWN)
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect(),
            marked: marked.clamp(1, SHOWN.saturating_sub(column).max(1)),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "line {}, column {}: {}", self.line, self.column, self.message)?;
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(f, "{margin} |")?;
        writeln!(f, "{number} | {}", self.shown)?;
        write!(f, "{margin} | ")?;
        if self.column <= SHOWN {
            write!(f, "{}{}", " ".repeat(self.column - 1), "^".repeat(self.marked))?;
        }
        match self.help.is_empty() {
            true => Ok(()),
            false => write!(f, " {}", self.help),
        }
    }
}

/// The character boundary at or before an index.
fn floor(text: &str, index: usize) -> usize {
    (0..=index.min(text.len())).rev().find(|&index| text.is_char_boundary(index)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters() {
        let text = "a = 1\nö = \"x\" # y\n";
        let at = text.find("\"x\"").unwrap();
        let fault = Fault::at(text, at..at + 3, "wrong", "say y");
        assert_eq!((fault.line, fault.column), (2, 5));
        assert_eq!(fault.to_string(), "line 2, column 5: wrong\n  |\n2 | ö = \"x\" # y\n  |     ^^^ say y");
    }

    #[test]
    fn no_span_is_too_wild() {
        let text = "ä\n";
        for (start, end) in [(0, 0), (1, 1), (2, 900), (900, 901), (3, 1), (usize::MAX, usize::MAX)] {
            let fault = Fault::at(text, start..end, "m", "");
            assert!(fault.line >= 1 && fault.column >= 1 && !fault.to_string().is_empty());
        }
        let long = "x".repeat(5000);
        assert!(Fault::at(&long, 4000..4500, "m", "h").to_string().len() < 400);
    }
}
