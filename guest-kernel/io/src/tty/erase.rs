//! `VERASE`, `VWERASE` and `VKILL`, and how the screen follows.

use super::discipline::Discipline;
use super::echo::Echo;
use super::output::{is_continuation, is_control};
use linux_raw_sys::general::{ECHO, ECHOCTL, ECHOE, ECHOK, ECHOKE, ECHOPRT, VERASE, VKILL, VWERASE};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kill {
    Character,
    Word,
    Line,
}

/// Whether a byte belongs to a word: letters (of Latin-1), digits and the underscore.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || matches!(byte, 0xc0..=0xd6 | 0xd8..=0xf6 | 0xf8..=0xff)
}

/// Erases what the typed `byte` stands for.
pub fn erase(tty: &mut Discipline, byte: u8) {
    if tty.input.edited() == 0 {
        return;
    }
    let kill = if tty.is(byte, VERASE) {
        Kill::Character
    } else if tty.is(byte, VWERASE) {
        Kill::Word
    } else {
        if !tty.termios.local(ECHO) || !tty.termios.local(ECHOK | ECHOKE | ECHOE) {
            return kill_unseen(tty);
        }
        Kill::Line
    };
    erase_characters(tty, kill);
    if tty.input.edited() == 0 && tty.termios.local(ECHO) {
        tty.finish_erasing();
    }
}

/// Drops the line without rubbing it out.
fn kill_unseen(tty: &mut Discipline) {
    tty.input.cut_edited(0);
    if !tty.termios.local(ECHO) {
        return;
    }
    tty.finish_erasing();
    let kill = tty.termios.char(VKILL);
    tty.echoes.push_char(kill, &tty.termios);
    if tty.termios.local(ECHOK) {
        tty.echoes.push(Echo::Byte(b'\n'));
    }
}

fn erase_characters(tty: &mut Discipline, kill: Kill) {
    let mut in_word = false;
    while tty.input.edited() > 0 {
        let Some((start, first)) = last_character(tty) else { break };
        if kill == Kill::Word {
            if is_word(first) {
                in_word = true;
            } else if in_word {
                break;
            }
        }
        if tty.termios.local(ECHO) {
            show_erasure(tty, kill, start, first);
        }
        tty.input.cut_edited(start);
        if kill == Kill::Character {
            break;
        }
    }
}

/// Where the last character begins, and its first byte; none if only the middle of one is there.
fn last_character(tty: &Discipline) -> Option<(usize, u8)> {
    let mut start = tty.input.edited();
    loop {
        start = start.checked_sub(1)?;
        let byte = tty.input.edited_byte(start)?;
        if !is_continuation(byte, &tty.termios) {
            return Some((start, byte));
        }
    }
}

fn show_erasure(tty: &mut Discipline, kill: Kill, start: usize, first: u8) {
    let termios = tty.termios;
    if termios.local(ECHOPRT) {
        show_printed(tty, start, first);
    } else if kill == Kill::Character && !termios.local(ECHOE) {
        tty.echoes.push_char(termios.char(VERASE), &termios);
    } else if first == b'\t' {
        let (columns, after_tab) = columns_before(tty, start);
        tty.echoes.push(Echo::EraseTab { columns, after_tab });
    } else {
        let shown =
            [is_control(first) && termios.local(ECHOCTL), !is_control(first) || termios.local(ECHOCTL)];
        for _ in shown.into_iter().filter(|shown| *shown) {
            [8, b' ', 8].into_iter().for_each(|byte| tty.echoes.push(Echo::Byte(byte)));
        }
    }
}

/// `ECHOPRT`: what is erased is printed, in slashes.
fn show_printed(tty: &mut Discipline, start: usize, first: u8) {
    if !tty.erasing {
        tty.echoes.push(Echo::Byte(b'\\'));
        tty.erasing = true;
    }
    tty.echoes.push_char(first, &tty.termios);
    for index in start + 1..tty.input.edited() {
        if let Some(byte) = tty.input.edited_byte(index) {
            tty.echoes.push(Echo::Byte(byte));
            tty.echoes.push(Echo::MoveBack);
        }
    }
}

/// Columns that the characters before position `end` take, back to another tab (true) or to the beginning of the line.
fn columns_before(tty: &Discipline, end: usize) -> (u8, bool) {
    let mut columns = 0usize;
    for index in (0..end).rev() {
        match tty.input.edited_byte(index) {
            Some(b'\t') => return ((columns % 8) as u8, true),
            Some(byte) if is_control(byte) => columns += if tty.termios.local(ECHOCTL) { 2 } else { 0 },
            Some(byte) if !is_continuation(byte, &tty.termios) => columns += 1,
            _ => {}
        }
    }
    ((columns % 8) as u8, false)
}
