//! `ioctl_tty(2)`.
//!
//! Settings belong to the slave, whichever side asks. Not there: packet mode, and the device-specific rest.

use super::pair::Pair;
use super::session;
use super::termios;
use alloc::sync::Arc;
use alloc::vec;
use ampoule_kbase::{Errno, Result, UserMemory, platform};
use linux_raw_sys::general::{
    SIGTTOU, SIGWINCH, TCIFLUSH, TCIOFF, TCIOFLUSH, TCION, TCOFLUSH, TCOOFF, TCOON, VSTART, VSTOP,
};
use linux_raw_sys::ioctl::{
    FIONREAD, TCFLSH, TCGETS, TCGETS2, TCSBRK, TCSBRKP, TCSETS, TCSETS2, TCSETSF, TCSETSF2, TCSETSW,
    TCSETSW2, TCXONC, TIOCEXCL, TIOCGETD, TIOCGEXCL, TIOCGPGRP, TIOCGPTLCK, TIOCGPTN, TIOCGSID, TIOCGWINSZ,
    TIOCNOTTY, TIOCNXCL, TIOCOUTQ, TIOCPKT, TIOCSCTTY, TIOCSETD, TIOCSPGRP, TIOCSPTLCK, TIOCSTI, TIOCSWINSZ,
    TIOCVHANGUP,
};

/// From where a terminal is controlled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// `/dev/ptmx`.
    Master,
    /// `/dev/pts/N`.
    Slave,
}

/// Carries out a command.
pub fn control(
    pair: &Arc<Pair>,
    side: Side,
    command: u32,
    argument: u64,
    memory: &dyn UserMemory,
) -> Result<u64> {
    match command {
        TCGETS | TCGETS2 => {
            let termios = pair.state.lock().discipline.termios;
            memory.write_bytes(argument, &termios.to_bytes(command == TCGETS2))?;
        }
        TCSETS | TCSETSW | TCSETSF | TCSETS2 | TCSETSW2 | TCSETSF2 => {
            set_termios(pair, command, argument, memory)?;
        }
        TIOCGWINSZ => {
            let window = pair.state.lock().window;
            memory.write_bytes(argument, &window)?;
        }
        TIOCSWINSZ => set_window(pair, argument, memory)?,
        FIONREAD => {
            let bytes = readable(pair, side);
            memory.write_u32(argument, bytes as u32)?;
        }
        TIOCOUTQ => memory.write_u32(argument, 0)?,
        TCFLSH | TCXONC | TCSBRK | TCSBRKP => {
            session::check_foreground(pair, SIGTTOU)?;
            flow(pair, side, command, argument)?;
        }
        TIOCGETD => memory.write_u32(argument, 0)?,
        TIOCSETD if memory.read_u32(argument)? == 0 => {}
        TIOCSETD | TIOCPKT => return Err(Errno::EINVAL),
        TIOCSTI => return Err(Errno::EIO),
        TIOCEXCL | TIOCNXCL => pair.state.lock().exclusive = command == TIOCEXCL,
        TIOCGEXCL => {
            let exclusive = pair.state.lock().exclusive;
            memory.write_u32(argument, exclusive.into())?;
        }
        TIOCVHANGUP if platform().caller().fsuid != 0 => return Err(Errno::EPERM),
        TIOCVHANGUP => pair.hang_up(),
        _ if side == Side::Master => return control_master(pair, command, argument, memory),
        _ => return control_slave(pair, command, argument, memory),
    }
    Ok(0)
}

/// Commands that only a master has, and those that do not depend on who calls.
fn control_master(pair: &Arc<Pair>, command: u32, argument: u64, memory: &dyn UserMemory) -> Result<u64> {
    match command {
        TIOCGPTN => memory.write_u32(argument, pair.index)?,
        TIOCSPTLCK => {
            let locked = memory.read_u32(argument)? != 0;
            pair.state.lock().locked = locked;
        }
        TIOCGPTLCK => {
            let locked = pair.state.lock().locked;
            memory.write_u32(argument, locked.into())?;
        }
        TIOCGPGRP => write_foreground(pair, argument, memory)?,
        TIOCSPGRP => set_foreground(pair, argument, memory)?,
        TIOCGSID => write_session(pair, argument, memory)?,
        _ => return Err(Errno::ENOTTY),
    }
    Ok(0)
}

/// Commands about the caller's own controlling terminal.
fn control_slave(pair: &Arc<Pair>, command: u32, argument: u64, memory: &dyn UserMemory) -> Result<u64> {
    match command {
        TIOCSPGRP => set_foreground(pair, argument, memory)?,
        TIOCSCTTY => session::acquire(pair, argument == 1)?,
        TIOCNOTTY => session::give_up(pair)?,
        TIOCGPGRP | TIOCGSID if !session::controls_caller(pair) => return Err(Errno::ENOTTY),
        TIOCGPGRP => write_foreground(pair, argument, memory)?,
        TIOCGSID => write_session(pair, argument, memory)?,
        _ => return Err(Errno::ENOTTY),
    }
    Ok(0)
}

fn write_foreground(pair: &Pair, argument: u64, memory: &dyn UserMemory) -> Result<()> {
    let foreground = pair.state.lock().foreground;
    memory.write_u32(argument, foreground.unwrap_or(0))
}

fn write_session(pair: &Pair, argument: u64, memory: &dyn UserMemory) -> Result<()> {
    let session = pair.state.lock().session;
    memory.write_u32(argument, session.ok_or(Errno::ENOTTY)?)
}

fn set_foreground(pair: &Arc<Pair>, argument: u64, memory: &dyn UserMemory) -> Result<()> {
    match session::check_foreground(pair, SIGTTOU) {
        Err(Errno::EIO) => return Err(Errno::ENOTTY),
        other => other?,
    }
    if !session::controls_caller(pair) {
        return Err(Errno::ENOTTY);
    }
    session::set_foreground(pair, memory.read_u32(argument)? as i32)
}

fn set_termios(pair: &Arc<Pair>, command: u32, argument: u64, memory: &dyn UserMemory) -> Result<()> {
    session::check_foreground(pair, SIGTTOU)?;
    let long = matches!(command, TCSETS2 | TCSETSW2 | TCSETSF2);
    let mut bytes = vec![0; if long { termios::SIZE2 } else { termios::SIZE }];
    memory.read_bytes(argument, &mut bytes)?;
    pair.with(|state| {
        let discipline = &mut state.discipline;
        if matches!(command, TCSETSF | TCSETSF2) {
            discipline.flush_input();
        }
        let changed = discipline.termios.changed_by(&bytes);
        discipline.set_termios(changed);
        discipline.pump();
    });
    // What can be read and written may be quite different now.
    pair.slave_queue.wake(ampoule_kbase::Events::all());
    Ok(())
}

fn set_window(pair: &Pair, argument: u64, memory: &dyn UserMemory) -> Result<()> {
    let mut window = [0; 8];
    memory.read_bytes(argument, &mut window)?;
    let foreground = {
        let mut state = pair.state.lock();
        let changed = core::mem::replace(&mut state.window, window) != window;
        state.foreground.filter(|_| changed)
    };
    if let Some(group) = foreground {
        platform().signal_group(group, SIGWINCH);
    }
    Ok(())
}

fn readable(pair: &Pair, side: Side) -> usize {
    let state = pair.state.lock();
    match side {
        Side::Master => state.discipline.output.len(),
        Side::Slave if state.discipline.reads_lines() => state.discipline.input.readable_lines(),
        Side::Slave => state.discipline.input.len(),
    }
}

/// `tcflush`, `tcflow`, `tcdrain` and `tcsendbreak`. Nothing ever has to drain, since what is written is with the master
/// at once; and a break has no meaning.
fn flow(pair: &Pair, side: Side, command: u32, argument: u64) -> Result<()> {
    let argument = u32::try_from(argument).map_err(|_| Errno::EINVAL)?;
    match (command, argument) {
        (TCSBRK | TCSBRKP, _) => {}
        (TCFLSH, TCIFLUSH | TCIOFLUSH | TCOFLUSH) => {
            let input = argument != TCOFLUSH;
            pair.with(|state| match side {
                Side::Slave if input => {
                    state.discipline.incoming.clear();
                    state.discipline.flush_input();
                }
                Side::Master if input => state.discipline.output.bytes().clear(),
                _ => {}
            });
        }
        (TCXONC, TCOOFF | TCOON) if side == Side::Slave => {
            pair.with(|state| state.discipline.suspend(argument == TCOOFF));
        }
        (TCXONC, TCIOFF | TCION) if side == Side::Slave => pair.with(|state| {
            let index = if argument == TCIOFF { VSTOP } else { VSTART };
            let byte = state.discipline.termios.char(index);
            if byte != 0 && !state.discipline.suspended && state.discipline.output.room() > 0 {
                state.discipline.output.put_raw(byte);
            }
        }),
        (TCXONC, TCOOFF | TCOON | TCIOFF | TCION) => {}
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}
