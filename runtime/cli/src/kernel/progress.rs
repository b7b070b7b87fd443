//! How far a build is: one line on a terminal, which the next one replaces. Elsewhere, nothing.

use ampoule_kernels::build::Step;
use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// How often the line changes at most.
const INTERVAL: Duration = Duration::from_millis(200);
/// Back to the beginning of the line, and the rest of it erased.
const ERASE: &str = "\r\x1b[K";

/// The line.
pub struct Progress {
    on_terminal: bool,
    shown: Option<(Step, Instant)>,
    begin: Instant,
}

impl Progress {
    /// There is no line yet.
    pub fn new() -> Self {
        Self { on_terminal: stderr().is_terminal(), shown: None, begin: Instant::now() }
    }

    /// Says how far it is, if that is new.
    pub fn show(&mut self, step: Step, count: usize) {
        let new = self.shown.is_none_or(|(shown, at)| shown != step || at.elapsed() >= INTERVAL);
        if self.on_terminal && new {
            self.shown = Some((step, Instant::now()));
            write(&format!("{ERASE}{} ({} s)", line(step, count), self.begin.elapsed().as_secs()));
        }
    }

    /// The line goes.
    pub fn end(&mut self) {
        if self.shown.take().is_some() {
            write(ERASE);
        }
    }
}

fn line(step: Step, count: usize) -> String {
    match step {
        Step::Unpack => format!("unpacking the source: {count} files"),
        Step::Configure => "configuring".into(),
        Step::Compile => format!("compiling: {count} files"),
    }
}

fn write(text: &str) {
    // Nobody may be there to see it.
    let _ = stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_and_how_much() {
        assert_eq!(line(Step::Unpack, 500), "unpacking the source: 500 files");
        assert_eq!(line(Step::Compile, 0), "compiling: 0 files");
    }
}
