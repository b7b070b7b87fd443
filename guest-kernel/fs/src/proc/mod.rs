//! `/proc`, as far as it is about names: the texts come from the kernel, through [`Processes`].
//!
//! ```text
//!   /proc/ self -> PID, thread-self -> PID/task/TID
//!          PID/  texts | exe, cwd, root -> | fd/N -> | fdinfo/N | task/TID/ (the same again)
//!          texts (meminfo ...) | sys/... | ampoule/boot
//! ```
//!
//! Nothing of it is kept: an inode is a few numbers and is made when it is looked up.

mod anonymous;
mod directory;
mod file;
mod names;
mod node;
#[cfg(test)]
mod tests;

use crate::vfs::{FileSystem, Inode, Location, Statfs};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Once, OpenFile, Result};
use node::ProcNode;

/// What the kernel tells about processes and about itself.
///
/// Names of texts are those of the files: for a process `stat`, `status`, `cmdline` and so on; for the system as a whole
/// the path below `/proc`: `meminfo`, `sys/kernel/hostname`. `ESRCH`: no such process or thread (any more).
#[expect(unused_variables, reason = "default methods")]
pub trait Processes: Sync {
    /// All processes, in ascending order.
    fn pids(&self) -> Vec<u32>;
    /// The threads of a process, in ascending order; none: no such process.
    fn threads(&self, pid: u32) -> Vec<u32>;
    /// The calling process and thread.
    fn current(&self) -> (u32, u32);
    /// User and group that a process's files belong to; none: no such process.
    fn owner(&self, pid: u32) -> Option<(u32, u32)>;
    /// The text of a file in `/proc/PID`, or in `/proc/PID/task/TID`. `mounts` and `mountinfo` are made here.
    fn text(&self, pid: u32, tid: u32, name: &str) -> Result<Vec<u8>>;
    /// Where `exe`, `cwd` or `root` leads.
    fn link(&self, pid: u32, tid: u32, name: &str) -> Result<Location>;
    /// Open descriptors, in ascending order.
    fn fds(&self, pid: u32, tid: u32) -> Result<Vec<u32>>;
    /// The open file description behind a descriptor; `EBADF`: it is not open.
    fn fd(&self, pid: u32, tid: u32, fd: u32) -> Result<Arc<OpenFile>>;
    /// Writes to a file in `/proc/PID`, all at once.
    fn write(&self, pid: u32, tid: u32, name: &str, bytes: &[u8]) -> Result<()> {
        Err(Errno::EACCES)
    }
    /// The text of a file that is about the system as a whole. `filesystems` is made here.
    fn global(&self, name: &str) -> Result<Vec<u8>>;
    /// Writes to such a file, all at once.
    fn set_global(&self, name: &str, bytes: &[u8]) -> Result<()> {
        Err(Errno::EACCES)
    }
}

static PROCESSES: Once<&'static dyn Processes> = Once::new();

/// Installs the kernel's part; the first call wins.
pub fn install(processes: &'static dyn Processes) -> bool {
    PROCESSES.set(processes)
}

fn processes() -> Result<&'static dyn Processes> {
    PROCESSES.get().copied().ok_or(Errno::ENODEV)
}

/// The file system of `/proc`; there is one. `ENODEV` before [`install`].
pub fn file_system() -> Result<Arc<dyn FileSystem>> {
    static CELL: Once<Arc<ProcFs>> = Once::new();
    processes()?;
    if CELL.get().is_none() {
        CELL.set(Arc::new(ProcFs { device: crate::volume::next_device() }));
    }
    let fs: Arc<dyn FileSystem> = CELL.get().ok_or(Errno::ENODEV)?.clone();
    Ok(fs)
}

struct ProcFs {
    device: u64,
}

impl FileSystem for ProcFs {
    fn type_name(&self) -> &'static str {
        "proc"
    }

    fn device(&self) -> u64 {
        self.device
    }

    fn root(&self) -> Arc<dyn Inode> {
        ProcNode::root(self.device)
    }

    fn statfs(&self) -> Statfs {
        Statfs { kind: 0x9fa0, block_size: 4096, name_length: 255, id: self.device, ..Statfs::default() }
    }

    fn remount(&self, _data: &[u8]) -> Result<()> {
        Ok(())
    }
}
