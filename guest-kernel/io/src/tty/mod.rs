//! Terminals: pseudo-terminal pairs, their line discipline, and the controlling terminals of sessions.
//!
//! ```text
//!   master, slave     the two sides as files          ioctl    what both understand
//!   pair              a terminal's state; the table of all
//!   session           controlling terminals and job control
//!   discipline        what typed characters do: erase (line editing), input (the queue), echo, output
//!   termios           the settings
//! ```

mod discipline;
mod echo;
mod erase;
mod input;
mod ioctl;
mod master;
mod output;
mod pair;
mod session;
mod slave;
mod termios;
#[cfg(test)]
mod tests;

use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, File, Result, Stat, platform};
use master::Master;
use pair::Pair;
use slave::Slave;

/// `st_dev` of `/dev/pts`.
pub const DEVPTS_DEVICE: u64 = crate::anon::DEVPTS;

/// Opens `/dev/ptmx`: a new pair's master.
pub fn open_master(_flags: u32) -> Result<Arc<dyn File>> {
    Ok(Arc::new(Master { pair: Pair::new()? }))
}

/// Opens `/dev/pts/INDEX`. `flags` are `O_*`: without `O_NOCTTY`, a session leader that has no controlling terminal gets
/// this one. `EIO` while the pair is locked, `ENXIO` where there is none.
///
/// The file belongs to one open file description, and hears of `O_NONBLOCK` through `set_status_flags`.
pub fn open_slave(index: u32, flags: u32) -> Result<Arc<dyn File>> {
    Ok(Slave::open(Pair::find(index).ok_or(Errno::ENXIO)?, flags)?)
}

/// Opens `/dev/tty`, the caller's controlling terminal; `ENXIO` if it has none.
pub fn open_controlling(flags: u32) -> Result<Arc<dyn File>> {
    let pair = session::terminal_of(platform().caller().sid).ok_or(Errno::ENXIO)?;
    Ok(Slave::open(pair, flags)?)
}

/// `ioctl(TIOCGPTPEER)`: opens the slave of a master; `ENOTTY` for other files.
pub fn open_peer(master: &dyn File, flags: u32) -> Result<Arc<dyn File>> {
    let master: &Master = master.as_any().downcast_ref().ok_or(Errno::ENOTTY)?;
    Ok(Slave::open(master.pair.clone(), flags)?)
}

/// The numbers in `/dev/pts`, ascending.
pub fn slaves() -> Vec<u32> {
    Pair::all()
}

/// The status of `/dev/pts/INDEX`; `ENOENT` where there is none.
pub fn slave_stat(index: u32) -> Result<Stat> {
    Ok(Pair::find(index).ok_or(Errno::ENOENT)?.stat())
}

/// `chown` of `/dev/pts/INDEX`; rights are the caller's matter.
pub fn set_slave_owner(index: u32, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    let pair = Pair::find(index).ok_or(Errno::ENOENT)?;
    let mut state = pair.state.lock();
    state.owner = (uid.unwrap_or(state.owner.0), gid.unwrap_or(state.owner.1));
    Ok(())
}

/// `chmod` of `/dev/pts/INDEX`; rights are the caller's matter.
pub fn set_slave_mode(index: u32, permissions: u32) -> Result<()> {
    let pair = Pair::find(index).ok_or(Errno::ENOENT)?;
    pair.state.lock().permissions = permissions & 0o7777;
    Ok(())
}

/// The leader of session `sid` has exited: its terminal hangs up, the foreground group gets SIGHUP and SIGCONT, and the
/// session has no terminal any more.
pub fn session_ended(sid: u32) {
    session::ended(sid);
}

/// What `/proc/PID/stat` shows of a session's controlling terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Controlling {
    /// Device number, as `st_rdev` has it.
    pub rdev: u64,
    /// The foreground process group.
    pub foreground: Option<u32>,
}

/// The controlling terminal of session `sid`.
pub fn controlling(sid: u32) -> Option<Controlling> {
    let pair = session::terminal_of(sid)?;
    let foreground = pair.state.lock().foreground;
    Some(Controlling { rdev: pair.rdev(), foreground })
}
