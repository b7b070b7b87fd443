//! What `/proc` shows: the contents of its files, in the formats of proc(5).

mod global;
mod process;

use crate::task::process as table;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, OpenFile, Result};
use ampoule_kfs::Location;

/// The kernel's processes, for the `/proc` file system.
pub struct Processes;

impl ampoule_kfs::proc::Processes for Processes {
    fn pids(&self) -> Vec<u32> {
        table::with_all(|all| all.map(|process| process.pid).collect())
    }

    fn threads(&self, pid: u32) -> Vec<u32> {
        table::find(pid)
            .map_or_else(Vec::new, |p| p.threads.lock().iter().map(|thread| thread.tid()).collect())
    }

    fn current(&self) -> (u32, u32) {
        crate::task::sched::try_current().map_or((1, 1), |this| (this.process.pid, this.tid()))
    }

    fn text(&self, pid: u32, tid: u32, name: &str) -> Result<Vec<u8>> {
        process::text(&*table::find(pid).ok_or(Errno::ESRCH)?, tid, name)
    }

    fn link(&self, pid: u32, _tid: u32, name: &str) -> Result<Location> {
        let process = table::find(pid).ok_or(Errno::ESRCH)?;
        let context = process.fs.lock().clone();
        let context = context.lock();
        match name {
            "cwd" => Ok(context.cwd.clone()),
            "root" => Ok(context.root.clone()),
            "exe" => {
                let file = process.program.lock().file.clone();
                file.as_deref().and_then(ampoule_kfs::location).cloned().ok_or(Errno::ENOENT)
            }
            _ => Err(Errno::ENOENT),
        }
    }

    fn fds(&self, pid: u32, _tid: u32) -> Result<Vec<u32>> {
        let files = table::find(pid).ok_or(Errno::ESRCH)?.files();
        let numbers = files.lock().numbers();
        Ok(numbers.into_iter().map(|fd| fd as u32).collect())
    }

    fn fd(&self, pid: u32, _tid: u32, fd: u32) -> Result<Arc<OpenFile>> {
        let files = table::find(pid).ok_or(Errno::ESRCH)?.files();
        let open = files.lock().get(fd as i32)?.open.clone();
        Ok(open)
    }

    fn owner(&self, pid: u32) -> Option<(u32, u32)> {
        table::find(pid).map(|p| {
            let credentials = p.credentials.lock();
            (credentials.euid, credentials.egid)
        })
    }

    fn write(&self, pid: u32, _tid: u32, name: &str, bytes: &[u8]) -> Result<()> {
        process::write(&*table::find(pid).ok_or(Errno::ESRCH)?, name, bytes)
    }

    fn set_global(&self, name: &str, bytes: &[u8]) -> Result<()> {
        match name {
            "sys/kernel/hostname" => crate::syscall::set_hostname(bytes.trim_ascii_end()),
            _ => return Err(Errno::EACCES),
        }
        Ok(())
    }

    fn global(&self, name: &str) -> Result<Vec<u8>> {
        global::text(name)
    }
}
