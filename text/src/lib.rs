//! Text of strangers (a guest, an image, a package, a compiler), made safe to show.
//!
//! What a terminal would obey, or would show in another order than it is, is escaped as Rust writes it: `\u{1b}`.
//!
//! - [`push`]: one character. [`line`]: a line, cut if it is long. [`sentences`]: text of several lines.
//!
//! Without the standard library, since the guest's agent uses it as well.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::String;
use core::fmt::{self, Write};

/// What stands for the rest of a line that was cut.
const CUT: &str = "...";

/// Writes a character, escaped if it would control a terminal (Unicode, general category `Cc`), or have it show what
/// follows in another order than it is (`Bidi_Control`).
pub fn push(out: &mut impl Write, character: char) -> fmt::Result {
    let changes_direction = matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    match character.is_control() || changes_direction {
        true => write!(out, "{}", character.escape_default()),
        false => out.write_char(character),
    }
}

/// One line: everything is escaped that is no plain character. After `most` characters it is cut, and ends with `...`.
#[must_use]
pub fn line(text: &str, most: usize) -> String {
    let mut out = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == most {
            out.push_str(CUT);
            break;
        }
        // Writing to a string does not fail.
        let _ = push(&mut out, character);
    }
    out
}

/// Text of any length: lines stay lines, and tabs are left.
#[must_use]
pub fn sentences(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => out.push(character),
            _ => {
                // Writing to a string does not fail.
                let _ = push(&mut out, character);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_controls_terminals_is_escaped() {
        assert_eq!(line("a\u{1b}[31mb\tc\n", 99), "a\\u{1b}[31mb\\tc\\n");
        assert_eq!(
            line("\u{9b}31m \u{202e}txt \u{2066}\u{61c}", 99),
            "\\u{9b}31m \\u{202e}txt \\u{2066}\\u{61c}"
        );
        assert_eq!(sentences("a\tb\u{1b}c\u{202e}\nd\r\u{9b}"), "a\tb\\u{1b}c\\u{202e}\nd\\r\\u{9b}");
        assert_eq!(sentences("Grüße, 世界 \u{1f600}"), "Grüße, 世界 \u{1f600}");
    }

    #[test]
    fn long_lines_are_cut() {
        assert_eq!(line(&"ä".repeat(5), 5), "äääää");
        assert_eq!(line(&"ä".repeat(6), 5), "äääää...");
        assert_eq!(line("", 0), "");
    }

    proptest! {
        #[test]
        fn nothing_else_comes_through(text: String, most in 0_usize..100) {
            let shown = line(&text, most);
            prop_assert!(!shown.chars().any(char::is_control));
            // The longest escape is `\u{10ffff}`.
            prop_assert!(shown.len() <= most * 10 + CUT.len());
            prop_assert!(!sentences(&text).chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
        }
    }
}
