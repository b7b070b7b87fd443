//! What was typed and not read yet.
//!
//! In canonical mode the queue has finished lines, which can be read, and behind them the line that is being edited. The last
//! byte of a finished line is marked; a marked zero byte is an end-of-file character, which is not read itself.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Bytes in the queue at most, one less than this.
const SIZE: usize = 4096;

#[derive(Clone, Copy)]
struct Cell {
    byte: u8,
    /// Ends a line.
    ends: bool,
}

/// The queue.
#[derive(Default)]
pub struct Input {
    cells: VecDeque<Cell>,
    /// How many of them are finished lines.
    finished: usize,
}

impl Input {
    /// All bytes.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Bytes of finished lines, with what ends them.
    pub fn finished(&self) -> usize {
        self.finished
    }

    /// Bytes that canonical reads will give: finished lines without end-of-file characters.
    pub fn readable_lines(&self) -> usize {
        self.cells.iter().take(self.finished).filter(|cell| cell.byte != 0 || !cell.ends).count()
    }

    /// Whether a byte of so many times the usual size fits. A line that fills the whole queue makes room: its last byte gives
    /// way, so that its end can still be typed.
    pub fn make_room(&mut self, size: usize, canonical: bool) -> bool {
        let free = SIZE.saturating_sub(self.cells.len()).div_ceil(size.max(1));
        if free > 1 {
            return true;
        }
        let overflows = canonical && self.finished == 0;
        if overflows && free == 0 {
            self.cells.pop_back();
        }
        overflows
    }

    /// Appends a typed byte.
    pub fn push(&mut self, byte: u8) {
        self.cells.push_back(Cell { byte, ends: false });
    }

    /// Appends the byte that ends a line.
    pub fn push_end(&mut self, byte: u8) {
        self.cells.push_back(Cell { byte, ends: true });
        self.finished = self.cells.len();
    }

    /// Bytes of the line that is being edited.
    pub fn edited(&self) -> usize {
        self.cells.len() - self.finished
    }

    /// A byte of that line, by its position.
    pub fn edited_byte(&self, index: usize) -> Option<u8> {
        self.cells.get(self.finished + index).map(|cell| cell.byte)
    }

    /// Cuts that line to `len` bytes.
    pub fn cut_edited(&mut self, len: usize) {
        self.cells.truncate(self.finished + len);
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Canonical mode was switched on or off.
    pub fn set_canonical(&mut self, canonical: bool) {
        self.cells.iter_mut().for_each(|cell| cell.ends = false);
        self.finished = 0;
        if canonical && let Some(last) = self.cells.back_mut() {
            // What was there is a line of its own, without a character that ends it.
            last.ends = true;
            self.finished = self.cells.len();
        }
    }

    /// Takes bytes for a raw read.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        let count = count.min(self.cells.len());
        self.finished = self.finished.saturating_sub(count);
        self.cells.drain(..count).map(|cell| cell.byte).collect()
    }

    /// Takes up to `count` bytes of the first line for a canonical read.
    pub fn take_line(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut ended = false;
        while bytes.len() < count && self.finished > 0 && !ended {
            let Some(cell) = self.pop_finished() else { break };
            ended = cell.ends;
            if !ended || cell.byte != 0 {
                bytes.push(cell.byte);
            }
        }
        // An end-of-file character right behind the last byte that was wanted would make the next read see an end.
        let eof_next = self.cells.front().is_some_and(|cell| cell.ends && cell.byte == 0);
        if !ended && count > 0 && self.finished > 0 && eof_next {
            self.pop_finished();
        }
        bytes
    }

    fn pop_finished(&mut self) -> Option<Cell> {
        self.finished = self.finished.checked_sub(1)?;
        self.cells.pop_front()
    }
}
