//! Output processing (`OPOST` and its kin) and the columns it keeps.

use super::termios::Termios;
use alloc::collections::VecDeque;
use linux_raw_sys::general::{IUTF8, OCRNL, OLCUC, ONLCR, ONLRET, ONOCR, OPOST, TABDLY, XTABS};

/// Bytes that wait for the master at most.
pub const OUTPUT_LIMIT: usize = 12 << 10;

/// What the slave has written, on its way to the master.
#[derive(Default)]
pub struct Output {
    bytes: VecDeque<u8>,
    /// The cursor's column, as far as it can be known.
    pub column: usize,
    /// Where the line that is being edited began.
    pub canon_column: usize,
}

/// Whether a byte is a control character (the kernel's own table: no Latin-1 ones).
pub fn is_control(byte: u8) -> bool {
    byte < 32 || byte == 127
}

/// Whether a byte continues a UTF-8 character.
pub fn is_continuation(byte: u8, termios: &Termios) -> bool {
    termios.input(IUTF8) && byte & 0xc0 == 0x80
}

/// Upper case, of Latin-1 as the Linux kernel has it.
fn upper(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' | 0xdf..=0xf6 | 0xf8..=0xff => byte - 32,
        other => other,
    }
}

impl Output {
    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes that still fit.
    pub fn room(&self) -> usize {
        OUTPUT_LIMIT.saturating_sub(self.bytes.len())
    }

    /// The bytes that wait.
    pub fn bytes(&mut self) -> &mut VecDeque<u8> {
        &mut self.bytes
    }

    /// Puts a byte out as it is; the caller has asked for room.
    pub fn put_raw(&mut self, byte: u8) {
        self.bytes.push_back(byte);
    }

    /// Puts a byte out with whatever output processing makes of it; false if there is no room for that.
    #[must_use]
    pub fn put(&mut self, byte: u8, termios: &Termios) -> bool {
        if self.room() == 0 {
            return false;
        }
        if !termios.output(OPOST) {
            self.put_raw(byte);
            return true;
        }
        match byte {
            b'\n' => return self.put_newline(termios),
            b'\r' => return self.put_return(termios),
            b'\t' => return self.put_tab(termios),
            8 => self.column = self.column.saturating_sub(1),
            other if !is_control(other) => {
                let shown = if termios.output(OLCUC) { upper(other) } else { other };
                if !is_continuation(shown, termios) {
                    self.column += 1;
                }
                self.put_raw(shown);
                return true;
            }
            _ => {}
        }
        self.put_raw(byte);
        true
    }

    fn put_newline(&mut self, termios: &Termios) -> bool {
        if termios.output(ONLRET) {
            self.column = 0;
        }
        if termios.output(ONLCR) {
            if self.room() < 2 {
                return false;
            }
            (self.column, self.canon_column) = (0, 0);
            self.put_raw(b'\r');
        } else {
            self.canon_column = self.column;
        }
        self.put_raw(b'\n');
        true
    }

    fn put_return(&mut self, termios: &Termios) -> bool {
        if termios.output(ONOCR) && self.column == 0 {
            return true;
        }
        if termios.output(OCRNL) {
            if termios.output(ONLRET) {
                (self.column, self.canon_column) = (0, 0);
            }
            self.put_raw(b'\n');
        } else {
            (self.column, self.canon_column) = (0, 0);
            self.put_raw(b'\r');
        }
        true
    }

    fn put_tab(&mut self, termios: &Termios) -> bool {
        let spaces = 8 - self.column % 8;
        if termios.output & TABDLY == XTABS {
            if self.room() < spaces {
                return false;
            }
            self.bytes.extend(core::iter::repeat_n(b' ', spaces));
        } else {
            self.put_raw(b'\t');
        }
        self.column += spaces;
        true
    }
}
