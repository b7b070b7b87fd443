//! Directories of `/proc`.

use super::names::{Global, LINKS, PROCESS, TOP};
use super::node::{ProcNode, Task, What};
use super::processes;
use crate::vfs::Inode;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{DirEntry, Errno, FileType, Result};

/// Positions of numbered entries start here, the number added.
const NUMBERED: u64 = 1 << 32;

/// A decimal number as the kernel writes it: no sign, no leading zero.
fn parse_number(name: &[u8]) -> Option<u32> {
    let text = core::str::from_utf8(name).ok()?;
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

/// The directory of `top` or below it that `child` is in; none: `top` itself.
pub(super) fn global_parent(top: &'static [Global], child: &Global) -> Option<&'static Global> {
    let mut todo: Vec<&'static Global> = top.iter().collect();
    while let Some(global) = todo.pop() {
        if let Global::Directory(_, children) = global {
            if children.iter().any(|other| core::ptr::eq(other, child)) {
                return Some(global);
            }
            todo.extend(children.iter());
        }
    }
    None
}

fn find_global(globals: &'static [Global], name: &[u8]) -> Result<What> {
    globals.iter().find(|global| global.name().as_bytes() == name).map(What::Global).ok_or(Errno::ENOENT)
}

fn find_process(name: &[u8]) -> Result<What> {
    let pid = parse_number(name).ok_or(Errno::ENOENT)?;
    let task = Task { pid, tid: pid, as_thread: false };
    task.check()?;
    Ok(What::Task(task))
}

fn find_in_task(task: Task, name: &[u8]) -> Result<What> {
    task.check()?;
    match name {
        b"fd" => return Ok(What::Fds(task)),
        b"fdinfo" => return Ok(What::FdInfos(task)),
        b"task" if !task.as_thread => return Ok(What::Threads(task)),
        _ => {}
    }
    if let Some(link) = LINKS.iter().find(|link| link.as_bytes() == name) {
        return Ok(What::Link(task, link));
    }
    let text = PROCESS.iter().find(|text| text.name.as_bytes() == name).ok_or(Errno::ENOENT)?;
    Ok(What::Text(task, text))
}

fn find_thread(task: Task, name: &[u8]) -> Result<What> {
    let tid = parse_number(name).ok_or(Errno::ENOENT)?;
    if !processes()?.threads(task.pid).contains(&tid) {
        return Err(Errno::ENOENT);
    }
    Ok(What::Task(Task { pid: task.pid, tid, as_thread: true }))
}

fn find_fd(task: Task, name: &[u8]) -> Result<u32> {
    let fd = parse_number(name).ok_or(Errno::ENOENT)?;
    processes()?.fd(task.pid, task.tid, fd).map_err(|_| Errno::ENOENT)?;
    Ok(fd)
}

impl ProcNode {
    /// `lookup`.
    pub(super) fn find(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let what = match self.what {
            What::Root => match name {
                b"self" => What::SelfLink,
                b"thread-self" => What::ThreadSelfLink,
                _ if name.first().is_some_and(u8::is_ascii_digit) => find_process(name)?,
                _ => find_global(TOP, name)?,
            },
            What::Global(Global::Directory(_, children)) => find_global(children, name)?,
            What::Task(task) => find_in_task(task, name)?,
            What::Threads(task) => find_thread(task, name)?,
            What::Fds(task) => What::Fd(task, find_fd(task, name)?),
            What::FdInfos(task) => What::FdInfo(task, find_fd(task, name)?),
            _ => return Err(Errno::ENOTDIR),
        };
        Ok(self.with(what))
    }

    /// `read_directory`: fixed entries from position 2 on, then numbered ones.
    pub(super) fn list(&self, offset: u64, each: &mut dyn FnMut(DirEntry) -> bool) -> Result<()> {
        let fixed = self.fixed_entries()?;
        for (position, (name, what)) in (2u64..).zip(&fixed).skip_while(|(position, _)| *position < offset) {
            if !each(entry(name.as_bytes().to_vec(), *what, position + 1)) {
                return Ok(());
            }
        }
        let from = offset.saturating_sub(NUMBERED);
        for number in self.numbers()?.into_iter().filter(|number| u64::from(*number) >= from) {
            let what = self.numbered(number);
            if !each(entry(format!("{number}").into_bytes(), what, NUMBERED + u64::from(number) + 1)) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn fixed_entries(&self) -> Result<Vec<(&'static str, What)>> {
        Ok(match self.what {
            What::Root => {
                let links = [("self", What::SelfLink), ("thread-self", What::ThreadSelfLink)];
                links
                    .into_iter()
                    .chain(TOP.iter().map(|global| (global.name(), What::Global(global))))
                    .collect()
            }
            What::Global(Global::Directory(_, children)) => {
                children.iter().map(|global| (global.name(), What::Global(global))).collect()
            }
            What::Task(task) => {
                task.check()?;
                let mut entries: Vec<_> = LINKS.iter().map(|name| (*name, What::Link(task, name))).collect();
                entries.extend([("fd", What::Fds(task)), ("fdinfo", What::FdInfos(task))]);
                if !task.as_thread {
                    entries.push(("task", What::Threads(task)));
                }
                entries.extend(PROCESS.iter().map(|text| (text.name, What::Text(task, text))));
                entries
            }
            What::Threads(_) | What::Fds(_) | What::FdInfos(_) => Vec::new(),
            _ => return Err(Errno::ENOTDIR),
        })
    }

    fn numbers(&self) -> Result<Vec<u32>> {
        let processes = processes()?;
        Ok(match self.what {
            What::Root => processes.pids(),
            What::Threads(task) => processes.threads(task.pid),
            What::Fds(task) | What::FdInfos(task) => {
                processes.fds(task.pid, task.tid).map_err(|_| Errno::ENOENT)?
            }
            _ => Vec::new(),
        })
    }

    fn numbered(&self, number: u32) -> What {
        match self.what {
            What::Threads(task) => What::Task(Task { pid: task.pid, tid: number, as_thread: true }),
            What::Fds(task) => What::Fd(task, number),
            What::FdInfos(task) => What::FdInfo(task, number),
            _ => What::Task(Task { pid: number, tid: number, as_thread: false }),
        }
    }

    /// Names of this inode: a directory has one more for each directory in it.
    pub(super) fn link_count(&self) -> u32 {
        match self.what {
            What::Root => {
                let fixed = TOP.iter().filter(|global| matches!(global, Global::Directory(..))).count();
                let pids = processes().map_or(0, |processes| processes.pids().len());
                (2 + fixed + pids) as u32
            }
            What::Global(Global::Directory(_, children)) => {
                2 + children.iter().filter(|global| matches!(global, Global::Directory(..))).count() as u32
            }
            What::Task(task) => {
                if task.as_thread {
                    4
                } else {
                    5
                }
            }
            What::Threads(task) => {
                2 + processes().map_or(0, |processes| processes.threads(task.pid).len()) as u32
            }
            _ if self.what.file_type() == FileType::Directory => 2,
            _ => 1,
        }
    }
}

fn entry(name: Vec<u8>, what: What, next_offset: u64) -> DirEntry {
    DirEntry { ino: what.ino(), next_offset, file_type: what.file_type(), name }
}
