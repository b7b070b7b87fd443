//! What the terminal shows of what is typed.
//!
//! Echo is queued as operations and carried out when output is not stopped and there is room, since the columns that
//! erasing needs are known only then.

use super::output::{OUTPUT_LIMIT, Output, is_control};
use super::termios::Termios;
use alloc::collections::VecDeque;
use linux_raw_sys::general::{ECHOCTL, OPOST};

/// Operations that wait at most; beyond that the oldest are lost, as on Linux.
const LIMIT: usize = 4096;

/// One thing to show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Echo {
    /// A byte, with output processing.
    Byte(u8),
    /// A control character, as `^X`.
    Control(u8),
    /// Goes back over a tab, behind so many columns of other characters.
    EraseTab {
        /// Columns between the tab and what is before it, modulo 8.
        columns: u8,
        /// They begin at another tab, not at the beginning of the line.
        after_tab: bool,
    },
    /// The line that is being edited begins here.
    SetCanonColumn,
    /// The last byte took no column of its own.
    MoveBack,
}

/// Echo that waits.
#[derive(Default)]
pub struct Echoes(VecDeque<Echo>);

impl Echoes {
    /// Queues an operation.
    pub fn push(&mut self, echo: Echo) {
        if self.0.len() >= LIMIT {
            self.0.pop_front();
        }
        self.0.push_back(echo);
    }

    /// Queues a typed character: control characters as `^X` where that is wanted.
    pub fn push_char(&mut self, byte: u8, termios: &Termios) {
        let shown = termios.local(ECHOCTL) && is_control(byte) && byte != b'\t';
        self.push(if shown { Echo::Control(byte) } else { Echo::Byte(byte) });
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Carries out as many operations as there is room for.
    pub fn flush(&mut self, output: &mut Output, termios: &Termios) {
        while let Some(echo) = self.0.front() {
            if !carry_out(*echo, output, termios) {
                break;
            }
            self.0.pop_front();
        }
    }
}

/// False if there is no room.
fn carry_out(echo: Echo, output: &mut Output, termios: &Termios) -> bool {
    match echo {
        Echo::SetCanonColumn => output.canon_column = output.column,
        Echo::MoveBack => output.column = output.column.saturating_sub(1),
        Echo::Control(byte) => {
            if output.room() < 2 {
                return false;
            }
            output.put_raw(b'^');
            output.put_raw(byte ^ 0o100);
            output.column += 2;
        }
        Echo::EraseTab { columns, after_tab } => {
            let before = usize::from(columns) + if after_tab { 0 } else { output.canon_column };
            let back = 8 - before % 8;
            if output.room() < back {
                return false;
            }
            output.bytes().extend(core::iter::repeat_n(8, back));
            output.column = output.column.saturating_sub(back);
        }
        // Linux echoes this byte, which it escapes, without output processing.
        Echo::Byte(0xff) if output.room() > 0 => {
            output.put_raw(0xff);
            output.column += 1;
        }
        Echo::Byte(byte) if termios.output(OPOST) => return output.put(byte, termios),
        Echo::Byte(byte) => {
            if output.len() >= OUTPUT_LIMIT {
                return false;
            }
            output.put_raw(byte);
        }
    }
    true
}
