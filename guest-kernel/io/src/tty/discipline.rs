//! The line discipline `N_TTY`: what typed characters do (`termios(3)`).

use super::echo::{Echo, Echoes};
use super::erase;
use super::input::Input;
use super::output::Output;
use super::termios::Termios;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use linux_raw_sys::general::{
    ECHO, ECHOCTL, ECHONL, EXTPROC, ICANON, ICRNL, IEXTEN, IGNCR, INLCR, ISIG, ISTRIP, IUCLC, IXANY, IXON,
    NOFLSH, PARMRK, SIGINT, SIGQUIT, SIGTSTP, VEOF, VEOL, VEOL2, VERASE, VINTR, VKILL, VLNEXT, VQUIT,
    VREPRINT, VSTART, VSTOP, VSUSP, VWERASE,
};

/// Typed bytes that wait before the input queue at most.
pub const INCOMING_LIMIT: usize = 8192;
/// Output that a signal character leaves on its way to the master.
const OUTPUT_KEPT: usize = 4096;

/// A terminal between its two sides.
#[derive(Default)]
pub struct Discipline {
    /// The settings.
    pub termios: Termios,
    /// What the slave can read.
    pub input: Input,
    /// What the master can read.
    pub output: Output,
    /// What the master has written and the input queue has no room for.
    pub incoming: VecDeque<u8>,
    pub(super) echoes: Echoes,
    /// Output waits: `VSTOP` was typed.
    stopped: bool,
    /// Output waits: `tcflow(TCOOFF)`.
    pub suspended: bool,
    /// `ECHOPRT` shows erased characters; the closing slash is due.
    pub(super) erasing: bool,
    /// The next character is literal.
    literal: bool,
    /// Signals that typing has raised, for the foreground group.
    pub signals: Vec<u32>,
}

/// Lower case, of Latin-1.
fn lower(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' | 0xc0..=0xd6 | 0xd8..=0xde => byte + 32,
        other => other,
    }
}

impl Discipline {
    /// Input is read in lines.
    pub fn reads_lines(&self) -> bool {
        self.termios.local(ICANON) && !self.termios.local(EXTPROC)
    }

    /// Output waits.
    pub fn is_stopped(&self) -> bool {
        self.stopped || self.suspended
    }

    /// Whether typed `byte` is the control character at `index`, which 0 never is.
    pub(super) fn is(&self, byte: u8, index: u32) -> bool {
        byte != 0 && self.termios.char(index) == byte
    }

    /// Takes in what the master has written, as far as there is room.
    pub fn pump(&mut self) {
        if self.incoming.is_empty() {
            return;
        }
        let size = if self.termios.input(PARMRK) { 3 } else { 1 };
        while !self.incoming.is_empty() && self.input.make_room(size, self.termios.local(ICANON)) {
            let Some(byte) = self.incoming.pop_front() else { break };
            self.receive(byte);
        }
        // Echo from before it was switched off waits for output.
        let echoes = self.termios.local(ECHO) || self.termios.local(ECHONL);
        if echoes && !self.is_raw() {
            self.flush_echoes();
        }
    }

    /// Nothing typed has any meaning.
    fn is_raw(&self) -> bool {
        let input = ISTRIP | IUCLC | IGNCR | ICRNL | INLCR | IXON | PARMRK;
        self.termios.input & input == 0 && self.termios.local & (ICANON | ISIG | ECHO) == 0
    }

    /// Shows what echo has to show, unless output is stopped.
    pub fn flush_echoes(&mut self) {
        if !self.is_stopped() {
            self.echoes.flush(&mut self.output, &self.termios);
        }
    }

    /// Output goes on, unless it was suspended otherwise.
    fn start(&mut self) {
        self.stopped = false;
        self.flush_echoes();
    }

    fn restart_on_any(&mut self) {
        if self.stopped && !self.suspended && self.termios.input(IXON) && self.termios.input(IXANY) {
            self.start();
        }
    }

    fn receive(&mut self, byte: u8) {
        let termios = self.termios;
        let mut byte = byte;
        if termios.input(ISTRIP) {
            byte &= 0x7f;
        }
        if termios.input(IUCLC) && termios.local(IEXTEN) {
            byte = lower(byte);
        }
        if core::mem::take(&mut self.literal) {
            self.receive_plain(byte);
        } else if termios.local(EXTPROC) {
            self.input.push(byte);
        } else if self.is_special(byte) {
            self.receive_special(byte);
        } else {
            self.receive_plain(byte);
        }
    }

    /// Whether a byte may be more than itself.
    fn is_special(&self, byte: u8) -> bool {
        let termios = &self.termios;
        let any = |indices: &[u32]| indices.iter().any(|index| self.is(byte, *index));
        let extended = termios.local(ICANON | IEXTEN);
        (byte == b'\r' && (termios.input(IGNCR) || termios.input(ICRNL)))
            || (byte == b'\n' && (termios.input(INLCR) || termios.local(ICANON)))
            || (termios.local(ICANON) && any(&[VERASE, VKILL, VEOF, VEOL]))
            || (extended && any(&[VWERASE, VLNEXT, VEOL2]))
            || (extended && termios.local(ECHO) && any(&[VREPRINT]))
            || (termios.input(IXON) && any(&[VSTART, VSTOP]))
            || (termios.local(ISIG) && any(&[VINTR, VQUIT, VSUSP]))
    }

    fn receive_plain(&mut self, byte: u8) {
        self.restart_on_any();
        if self.termios.local(ECHO) {
            self.finish_erasing();
            self.echo_at_start(byte);
        }
        self.queue(byte);
    }

    fn queue(&mut self, byte: u8) {
        self.double_if_marked(byte);
        self.input.push(byte);
    }

    /// Where errors are marked with 0xff, that byte itself is doubled.
    fn double_if_marked(&mut self, byte: u8) {
        if byte == 0xff && self.termios.input(PARMRK) {
            self.input.push(byte);
        }
    }

    /// Echoes a character, and notes the column if it is the first of its line.
    fn echo_at_start(&mut self, byte: u8) {
        if self.input.edited() == 0 {
            self.echoes.push(Echo::SetCanonColumn);
        }
        self.echoes.push_char(byte, &self.termios);
    }

    /// `ECHOPRT`: closes the run of erased characters.
    pub(super) fn finish_erasing(&mut self) {
        if core::mem::take(&mut self.erasing) {
            self.echoes.push(Echo::Byte(b'/'));
        }
    }

    fn receive_special(&mut self, byte: u8) {
        if self.control_flow(byte) || self.raise_signal(byte) {
            return;
        }
        self.restart_on_any();
        let mut byte = byte;
        if byte == b'\r' {
            if self.termios.input(IGNCR) {
                return;
            }
            if self.termios.input(ICRNL) {
                byte = b'\n';
            }
        } else if byte == b'\n' && self.termios.input(INLCR) {
            byte = b'\r';
        }
        if self.termios.local(ICANON) && self.edit(byte) {
            return;
        }
        if self.termios.local(ECHO) {
            self.finish_erasing();
            if byte == b'\n' {
                self.echoes.push(Echo::Byte(b'\n'));
            } else {
                self.echo_at_start(byte);
            }
        }
        self.queue(byte);
    }

    fn control_flow(&mut self, byte: u8) -> bool {
        if !self.termios.input(IXON) {
            return false;
        }
        if self.is(byte, VSTART) {
            self.start();
            return true;
        }
        let stops = self.is(byte, VSTOP);
        self.stopped |= stops;
        stops
    }

    fn raise_signal(&mut self, byte: u8) -> bool {
        if !self.termios.local(ISIG) {
            return false;
        }
        let by_char = [(VINTR, SIGINT), (VQUIT, SIGQUIT), (VSUSP, SIGTSTP)];
        let Some((_, signal)) = by_char.into_iter().find(|(index, _)| self.is(byte, *index)) else {
            return false;
        };
        self.signals.push(signal);
        if !self.termios.local(NOFLSH) {
            self.echoes.clear();
            self.output.bytes().truncate(OUTPUT_KEPT);
            self.flush_input();
        }
        if self.termios.input(IXON) {
            self.stopped = false;
        }
        if self.termios.local(ECHO) {
            self.echoes.push_char(byte, &self.termios);
        } else {
            self.flush_echoes();
        }
        true
    }

    /// Forgets what was typed, as far as it has got here.
    pub fn flush_input(&mut self) {
        self.input.clear();
        self.erasing = false;
    }

    /// Characters that edit or end a line; false for all others.
    fn edit(&mut self, byte: u8) -> bool {
        let extended = self.termios.local(IEXTEN);
        let echo = self.termios.local(ECHO);
        if self.is(byte, VERASE) || self.is(byte, VKILL) || (extended && self.is(byte, VWERASE)) {
            erase::erase(self, byte);
        } else if extended && self.is(byte, VLNEXT) {
            self.literal = true;
            if echo {
                self.finish_erasing();
                if self.termios.local(ECHOCTL) {
                    self.echoes.push(Echo::Byte(b'^'));
                    self.echoes.push(Echo::Byte(8));
                }
            }
        } else if extended && echo && self.is(byte, VREPRINT) {
            self.reprint(byte);
        } else if byte == b'\n' {
            if echo || self.termios.local(ECHONL) {
                self.echoes.push(Echo::Byte(b'\n'));
            }
            self.input.push_end(byte);
        } else if self.is(byte, VEOF) {
            self.input.push_end(0);
        } else if self.is(byte, VEOL) || (extended && self.is(byte, VEOL2)) {
            if echo {
                self.echo_at_start(byte);
            }
            self.double_if_marked(byte);
            self.input.push_end(byte);
        } else {
            return false;
        }
        true
    }

    fn reprint(&mut self, byte: u8) {
        self.finish_erasing();
        self.echoes.push_char(byte, &self.termios);
        self.echoes.push(Echo::Byte(b'\n'));
        for index in 0..self.input.edited() {
            if let Some(byte) = self.input.edited_byte(index) {
                self.echoes.push_char(byte, &self.termios);
            }
        }
    }

    /// Changes the settings.
    pub fn set_termios(&mut self, new: Termios) {
        let old = core::mem::replace(&mut self.termios, new);
        if (old.local ^ new.local) & (ICANON | EXTPROC) != 0 {
            self.input.set_canonical(new.local(ICANON));
            self.erasing = false;
            self.literal = false;
        }
        if !new.input(IXON) && old.input(IXON) && !self.suspended {
            self.start();
        }
    }

    /// `tcflow(TCOOFF)` and `TCOON`. As on Linux, echo that has waited comes with the next output.
    pub fn suspend(&mut self, on: bool) {
        let was = core::mem::replace(&mut self.suspended, on);
        self.stopped &= on || !was;
    }
}
