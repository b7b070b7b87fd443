//! Where a guest's log goes. A guest is not to control the user's terminal by it, nor to fill the user's disk.

use super::sink::Sink;
use std::fmt::Write as _;
use std::os::fd::BorrowedFd;

/// Most bytes that wait for a slow reader. What is more is dropped.
const WAITING: usize = 256 * 1024;
/// What a log ends with that is longer than it may be.
const CUT: &[u8] = b"\n[the rest of the guest's log is left out: it is longer than --output-limit]\n";
/// Longest character of UTF-8, in bytes.
const CHARACTER: usize = 4;

/// A sink for a guest's log.
#[derive(Debug)]
pub struct Log {
    sink: Sink,
    form: Form,
    room: Room,
}

/// How much may still be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Any,
    Bytes(u64),
    /// There was more than that, and it was said.
    Exceeded,
}

#[derive(Debug)]
enum Form {
    /// As the guest says it.
    Raw,
    /// What is not text is escaped.
    Terminal(Escape),
}

/// How a line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineEnd {
    /// A terminal, or a file, as it usually is.
    Plain,
    /// A raw terminal starts a line where the one before it ended, unless it is told otherwise.
    RawTerminal,
}

impl Log {
    /// A log that is passed on as it is: to a file or a program.
    pub fn raw(sink: Sink) -> Self {
        Self { sink, form: Form::Raw, room: Room::Any }
    }

    /// A log for a terminal: lines of text, in which everything by which a terminal could be controlled is escaped.
    pub fn terminal(sink: Sink) -> Self {
        Self { sink, form: Form::Terminal(Escape::default()), room: Room::Any }
    }

    /// The same, of which no more bytes are written than this, and a line that says so. None is any number.
    #[must_use]
    pub fn limited(self, bytes: Option<u64>) -> Self {
        Self { room: bytes.map_or(Room::Any, Room::Bytes), ..self }
    }

    /// Takes what the guest wrote.
    pub(crate) fn write(&mut self, bytes: &[u8], end: LineEnd) {
        if self.room == Room::Exceeded || self.sink.waiting() >= WAITING {
            return;
        }
        match &mut self.form {
            Form::Raw => self.put(bytes),
            Form::Terminal(escape) => {
                let text = escape.escape(bytes, end);
                self.put(text.as_bytes());
            }
        }
    }

    /// Writes what is allowed, which is counted as it is written: escaped text is longer than what the guest wrote.
    fn put(&mut self, bytes: &[u8]) {
        let allowed = match self.room {
            Room::Any => bytes.len(),
            Room::Bytes(left) => usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len()),
            Room::Exceeded => 0,
        };
        let most = bytes.get(..allowed).unwrap_or_default();
        self.sink.write(most);
        if let Room::Bytes(left) = &mut self.room {
            *left = left.saturating_sub(most.len() as u64);
        }
        if most.len() < bytes.len() {
            self.sink.write(CUT);
            self.room = Room::Exceeded;
        }
    }

    pub(crate) fn flush(&mut self) {
        self.sink.flush();
    }

    pub(crate) fn wants_room(&self) -> Option<BorrowedFd<'_>> {
        self.sink.wants_room()
    }
}

/// Escapes a stream of bytes, which may be cut anywhere.
#[derive(Debug, Default)]
struct Escape {
    /// The beginning of a character: fewer bytes than it has.
    begun: Vec<u8>,
    /// The last character was a carriage return, which belongs to the end of a line or overwrites one.
    returned: bool,
}

impl Escape {
    fn escape(&mut self, bytes: &[u8], end: LineEnd) -> String {
        let mut input = std::mem::take(&mut self.begun);
        input.extend_from_slice(bytes);
        let mut out = String::with_capacity(input.len());
        let mut chunks = input.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            chunk.valid().chars().for_each(|character| self.push(&mut out, character, end));
            let invalid = chunk.invalid();
            if chunks.peek().is_none() && is_begun(invalid) {
                self.begun = invalid.to_vec();
                break;
            }
            if !invalid.is_empty() {
                self.settle_return(&mut out, None);
            }
            for byte in invalid {
                // Writing to a string does not fail.
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
        out
    }

    fn push(&mut self, out: &mut String, character: char, end: LineEnd) {
        self.settle_return(out, Some(character));
        match character {
            '\n' if end == LineEnd::RawTerminal => out.push_str("\r\n"),
            '\n' | '\t' => out.push(character),
            '\r' => self.returned = true,
            _ => {
                // Writing to a string does not fail.
                let _ = ampoule_text::push(out, character);
            }
        }
    }

    /// Shows a carriage return before this character, unless both end a line.
    fn settle_return(&mut self, out: &mut String, next: Option<char>) {
        if std::mem::take(&mut self.returned) && next != Some('\n') {
            out.push_str("\\r");
        }
    }
}

/// Whether these bytes, which end the input, may be the beginning of a character.
fn is_begun(bytes: &[u8]) -> bool {
    let error = std::str::from_utf8(bytes).err();
    bytes.len() < CHARACTER && error.is_some_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(pieces: &[&[u8]]) -> String {
        let mut log = Log::terminal(Sink::memory(1 << 20));
        pieces.iter().for_each(|piece| log.write(piece, LineEnd::Plain));
        String::from_utf8(log.sink.into_kept().0).unwrap()
    }

    #[test]
    fn what_controls_terminals_is_escaped() {
        for (said, shown) in [
            ("a line\n\tof text\r\n", "a line\n\tof text\n"),
            ("\x1b[2J\x1b]0;title\x07", "\\u{1b}[2J\\u{1b}]0;title\\u{7}"),
            // A control sequence in one character, and the order of what follows turned round.
            ("\u{9b}31m \u{202e}txt", "\\u{9b}31m \\u{202e}txt"),
            ("overwritten\rby this\x08\x7f", "overwritten\\rby this\\u{8}\\u{7f}"),
            ("Grüße, 世界", "Grüße, 世界"),
        ] {
            assert_eq!(escaped(&[said.as_bytes()]), shown);
        }
        assert_eq!(escaped(&[b"\x9b2J\xff\xc3("]), "\\x9b2J\\xff\\xc3(");
    }

    #[test]
    fn characters_may_be_cut() {
        let said = "ü世\u{1f600}\u{9b}".as_bytes();
        let bytes: Vec<&[u8]> = said.chunks(1).collect();
        assert_eq!(escaped(&bytes), "ü世\u{1f600}\\u{9b}");
        assert_eq!(escaped(&[b"\xe4\xb8", b"\n"]), "\\xe4\\xb8\n");
    }

    #[test]
    fn raw_is_raw_and_a_raw_terminal_has_its_line_ends() {
        let mut log = Log::raw(Sink::memory(100));
        log.write(b"\x1b[2J\r\n\xff", LineEnd::RawTerminal);
        assert_eq!(log.sink.into_kept().0, b"\x1b[2J\r\n\xff");
        let mut log = Log::terminal(Sink::memory(100));
        log.write(b"a\nb", LineEnd::RawTerminal);
        assert_eq!(log.sink.into_kept().0, b"a\r\nb");
    }

    #[test]
    fn no_more_is_written_than_is_allowed_and_that_is_said_once() {
        let kept = |limit, pieces: &[&str]| {
            let mut log = Log::raw(Sink::memory(1000)).limited(limit);
            pieces.iter().for_each(|piece| log.write(piece.as_bytes(), LineEnd::Plain));
            String::from_utf8(log.sink.into_kept().0).unwrap()
        };
        let cut = String::from_utf8(CUT.to_vec()).unwrap();
        assert_eq!(kept(Some(6), &["abc", "def"]), "abcdef");
        assert_eq!(kept(Some(6), &["abc", "def", "g", "h"]), format!("abcdef{cut}"));
        assert_eq!(kept(Some(4), &["abc", "def", "ghi"]), format!("abcd{cut}"));
        assert_eq!(kept(None, &["abc", "def"]), "abcdef");
        // What escapes add counts.
        let mut log = Log::terminal(Sink::memory(1000)).limited(Some(8));
        log.write(b"\x1b\x1b\x1b\x1b", LineEnd::Plain);
        assert_eq!(log.sink.into_kept().0, [b"\\u{1b}\\u", CUT].concat());
    }

    proptest! {
        #[test]
        fn nothing_else_comes_through(said: Vec<u8>, cut: usize) {
            let (first, second) = said.split_at(cut % (said.len() + 1));
            let shown = escaped(&[first, second]);
            prop_assert!(!shown.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{shown:?}");
            prop_assert_eq!(shown, escaped(&[&said]));
        }
    }
}
