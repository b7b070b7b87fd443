//! Terminals: pseudo-terminal pairs, their line discipline, and the controlling terminals of sessions.

use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, File, Result, Stat};

/// `st_dev` of `/dev/pts`.
pub const DEVPTS_DEVICE: u64 = 24;

/// Opens `/dev/ptmx`: a new pair's master.
pub fn open_master(_flags: u32) -> Result<Arc<dyn File>> {
    Err(Errno::ENOSYS)
}

/// Opens `/dev/pts/INDEX`. `flags` are `O_*`: without `O_NOCTTY`, a session leader that has no controlling terminal gets
/// this one. `EIO` while the pair is locked, `ENXIO` where there is none.
pub fn open_slave(_index: u32, _flags: u32) -> Result<Arc<dyn File>> {
    Err(Errno::ENOSYS)
}

/// Opens `/dev/tty`, the caller's controlling terminal; `ENXIO` if it has none.
pub fn open_controlling(_flags: u32) -> Result<Arc<dyn File>> {
    Err(Errno::ENOSYS)
}

/// `ioctl(TIOCGPTPEER)`: opens the slave of a master; `ENOTTY` for other files.
pub fn open_peer(_master: &dyn File, _flags: u32) -> Result<Arc<dyn File>> {
    Err(Errno::ENOSYS)
}

/// The numbers in `/dev/pts`, ascending.
pub fn slaves() -> Vec<u32> {
    Vec::new()
}

/// The status of `/dev/pts/INDEX`; `ENOENT` where there is none.
pub fn slave_stat(_index: u32) -> Result<Stat> {
    Err(Errno::ENOSYS)
}

/// `chown` of `/dev/pts/INDEX`; rights are the caller's matter.
pub fn set_slave_owner(_index: u32, _uid: Option<u32>, _gid: Option<u32>) -> Result<()> {
    Err(Errno::ENOSYS)
}

/// `chmod` of `/dev/pts/INDEX`; rights are the caller's matter.
pub fn set_slave_mode(_index: u32, _permissions: u32) -> Result<()> {
    Err(Errno::ENOSYS)
}

/// The leader of session `sid` has exited: its terminal's foreground group gets SIGHUP and SIGCONT, and the session has
/// no terminal any more.
pub fn session_ended(_sid: u32) {}

/// What `/proc/PID/stat` shows of a session's controlling terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Controlling {
    /// Device number, as `st_rdev` has it.
    pub rdev: u64,
    /// The foreground process group.
    pub foreground: Option<u32>,
}

/// The controlling terminal of session `sid`.
pub fn controlling(_sid: u32) -> Option<Controlling> {
    None
}
