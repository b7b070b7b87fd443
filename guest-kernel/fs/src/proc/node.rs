//! One inode of `/proc`.

use super::file::ProcFile;
use super::names::{Global, LINKS, PROCESS, TOP, Text};
use super::{anonymous, processes};
use crate::special::SpecialFile;
use crate::vfs::{
    Attributes, Inode, Location, Mount, MountFlags, Target, location, mountinfo_text, mounts_text,
};
use crate::vfs::{Kind, NewNode};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{DirEntry, Errno, File, FileType, Result, Stat, platform};
use core::any::Any;
use core::ptr;

/// A process, or one of its threads, by the directory it is looked at through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Task {
    pub pid: u32,
    pub tid: u32,
    /// Through `/proc/PID/task/TID`.
    pub as_thread: bool,
}

/// What an inode is.
#[derive(Clone, Copy)]
pub(super) enum What {
    Root,
    SelfLink,
    ThreadSelfLink,
    Global(&'static Global),
    Task(Task),
    /// `/proc/PID/task`.
    Threads(Task),
    Text(Task, &'static Text),
    /// `cwd`, `exe` or `root`.
    Link(Task, &'static str),
    Fds(Task),
    Fd(Task, u32),
    FdInfos(Task),
    FdInfo(Task, u32),
}

pub(super) struct ProcNode {
    pub device: u64,
    pub what: What,
}

/// A position in a table, for an inode number.
fn index_in<T>(table: &[T], item: &T) -> u64 {
    table.iter().position(|other| ptr::eq(other, item)).unwrap_or(0) as u64
}

/// Inode numbers: what a task's inode is, above it the task.
mod ino {
    pub const ROOT: u64 = 1;
    pub const SELF: u64 = 2;
    pub const THREAD_SELF: u64 = 3;
    /// Above the address of a table's entry.
    pub const GLOBAL: u64 = 1 << 57;
    /// Above a task's number.
    pub const TASK_SHIFT: u32 = 24;
    pub const AS_THREAD: u64 = 1 << 56;
    pub const TASK: u64 = 1;
    pub const THREADS: u64 = 2;
    pub const FDS: u64 = 3;
    pub const FD_INFOS: u64 = 4;
    pub const LINK: u64 = 0x10;
    pub const TEXT: u64 = 0x100;
    pub const FD: u64 = 1 << 22;
    pub const FD_INFO: u64 = 1 << 23;
}

impl Task {
    fn ino(self, local: u64) -> u64 {
        let thread = if self.as_thread { ino::AS_THREAD } else { 0 };
        thread | u64::from(if self.as_thread { self.tid } else { self.pid }) << ino::TASK_SHIFT | local
    }

    /// `ENOENT` if it is gone.
    pub fn check(self) -> Result<()> {
        if processes()?.owner(self.pid).is_some() { Ok(()) } else { Err(Errno::ENOENT) }
    }
}

impl What {
    pub fn ino(self) -> u64 {
        match self {
            What::Root => ino::ROOT,
            What::SelfLink => ino::SELF,
            What::ThreadSelfLink => ino::THREAD_SELF,
            What::Global(global) => ino::GLOBAL | ptr::from_ref(global) as u64 & 0xffff_ffff,
            What::Task(task) => task.ino(ino::TASK),
            What::Threads(task) => task.ino(ino::THREADS),
            What::Text(task, text) => task.ino(ino::TEXT + index_in(PROCESS, text)),
            What::Link(task, name) => {
                let index = LINKS.iter().position(|other| *other == name).unwrap_or(0) as u64;
                task.ino(ino::LINK + index)
            }
            What::Fds(task) => task.ino(ino::FDS),
            What::FdInfos(task) => task.ino(ino::FD_INFOS),
            What::Fd(task, fd) => task.ino(ino::FD | u64::from(fd)),
            What::FdInfo(task, fd) => task.ino(ino::FD_INFO | u64::from(fd)),
        }
    }

    pub fn file_type(self) -> FileType {
        match self {
            What::Root | What::Task(_) | What::Threads(_) | What::Fds(_) | What::FdInfos(_) => {
                FileType::Directory
            }
            What::SelfLink | What::ThreadSelfLink | What::Link(..) | What::Fd(..) => FileType::Symlink,
            What::Text(..) | What::FdInfo(..) => FileType::Regular,
            What::Global(global) => match global {
                Global::Text(_) => FileType::Regular,
                Global::Link(..) => FileType::Symlink,
                Global::Directory(..) => FileType::Directory,
            },
        }
    }

    fn permissions(self) -> u32 {
        match self {
            What::Text(_, text) | What::Global(Global::Text(text)) => text.permissions,
            What::Fds(_) | What::FdInfos(_) => 0o500,
            What::FdInfo(..) => 0o400,
            What::Fd(task, fd) => fd_permissions(task, fd),
            _ if self.file_type() == FileType::Symlink => 0o777,
            _ => 0o555,
        }
    }

    pub fn task(self) -> Option<Task> {
        match self {
            What::Task(task)
            | What::Threads(task)
            | What::Text(task, _)
            | What::Link(task, _)
            | What::Fds(task)
            | What::Fd(task, _)
            | What::FdInfos(task)
            | What::FdInfo(task, _) => Some(task),
            _ => None,
        }
    }
}

/// A descriptor's link shows what it is open for.
fn fd_permissions(task: Task, fd: u32) -> u32 {
    let open = processes().and_then(|processes| processes.fd(task.pid, task.tid, fd));
    open.map_or(0, |open| {
        let read = if open.readable() || open.path_only() { 0o500 } else { 0 };
        let write = if open.writable() { 0o300 } else { 0 };
        read | write
    })
}

impl ProcNode {
    pub fn root(device: u64) -> Arc<Self> {
        Arc::new(Self { device, what: What::Root })
    }

    pub fn with(&self, what: What) -> Arc<dyn Inode> {
        Arc::new(Self { device: self.device, what })
    }

    /// The text of a regular file.
    pub fn text(&self) -> Result<Vec<u8>> {
        let processes = processes()?;
        match self.what {
            What::Text(task, text) => match text.name {
                "mounts" => Ok(mounts_text(&processes.link(task.pid, task.tid, "root")?)),
                "mountinfo" => Ok(mountinfo_text(&processes.link(task.pid, task.tid, "root")?)),
                name => processes.text(task.pid, task.tid, name),
            },
            What::FdInfo(task, fd) => {
                let open = processes.fd(task.pid, task.tid, fd).map_err(|_| Errno::ENOENT)?;
                let position = *open.offset.lock();
                Ok(format!("pos:\t{position}\nflags:\t0{:o}\nmnt_id:\t0\n", open.flags()).into_bytes())
            }
            What::Global(Global::Text(text)) if text.name == "filesystems" => {
                Ok(super::names::FILE_SYSTEMS.as_bytes().to_vec())
            }
            What::Global(Global::Text(text)) => processes.global(text.name),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Writes to a regular file.
    pub fn set_text(&self, bytes: &[u8]) -> Result<()> {
        let processes = processes()?;
        match self.what {
            What::Text(task, text) => processes.write(task.pid, task.tid, text.name, bytes),
            What::Global(Global::Text(text)) => processes.set_global(text.name, bytes),
            _ => Err(Errno::EINVAL),
        }
    }

    fn fd_target(&self, task: Task, fd: u32) -> Result<Location> {
        let open = processes()?.fd(task.pid, task.tid, fd).map_err(|_| Errno::ENOENT)?;
        if let Some(location) = location(&open) {
            return Ok(location.clone());
        }
        let mount = Mount::new_root(super::file_system()?, b"", MountFlags::empty());
        Ok(Location { mount, inode: Arc::new(anonymous::Anonymous::new(open)) })
    }
}

impl Inode for ProcNode {
    fn ino(&self) -> u64 {
        self.what.ino()
    }

    fn attributes(&self) -> Attributes {
        let owner = self.what.task().and_then(|task| processes().ok()?.owner(task.pid));
        let (uid, gid) = owner.unwrap_or((0, 0));
        Attributes { mode: self.what.file_type() as u32 | self.what.permissions(), uid, gid }
    }

    fn stat(&self) -> Stat {
        let Attributes { mode, uid, gid } = self.attributes();
        let now = platform().realtime_ns() as i64;
        Stat {
            dev: self.device,
            ino: self.ino(),
            mode,
            nlink: self.link_count(),
            uid,
            gid,
            size: if matches!(self.what, What::Fd(..)) { 64 } else { 0 },
            blksize: 1024,
            atime_ns: now,
            mtime_ns: now,
            ctime_ns: now,
            ..Stat::default()
        }
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        self.find(name)
    }

    fn create(&self, _name: &[u8], node: &NewNode<'_>) -> Result<Arc<dyn Inode>> {
        Err(if matches!(node.kind, Kind::Regular) { Errno::EACCES } else { Errno::EPERM })
    }

    fn parent(&self) -> Option<Arc<dyn Inode>> {
        Some(self.with(self.parent_of()))
    }

    fn name(&self) -> Option<(Vec<u8>, bool)> {
        let text = match self.what {
            What::Root => return None,
            What::SelfLink => "self".into(),
            What::ThreadSelfLink => "thread-self".into(),
            What::Global(global) => global.name().into(),
            What::Task(task) => format!("{}", if task.as_thread { task.tid } else { task.pid }),
            What::Threads(_) => "task".into(),
            What::Text(_, text) => text.name.into(),
            What::Link(_, name) => name.into(),
            What::Fds(_) => "fd".into(),
            What::FdInfos(_) => "fdinfo".into(),
            What::Fd(_, fd) | What::FdInfo(_, fd) => format!("{fd}"),
        };
        Some((text.into_bytes(), true))
    }

    fn read_directory(&self, offset: u64, each: &mut dyn FnMut(DirEntry) -> bool) -> Result<()> {
        self.list(offset, each)
    }

    fn target(&self) -> Result<Target> {
        let processes = processes()?;
        let (pid, tid) = processes.current();
        Ok(match self.what {
            What::SelfLink => Target::Path(format!("{pid}").into_bytes()),
            What::ThreadSelfLink => Target::Path(format!("{pid}/task/{tid}").into_bytes()),
            What::Global(Global::Link(_, target)) => Target::Path(target.as_bytes().to_vec()),
            What::Link(task, name) => Target::Jump(processes.link(task.pid, task.tid, name)?),
            What::Fd(task, fd) => Target::Jump(self.fd_target(task, fd)?),
            _ => return Err(Errno::EINVAL),
        })
    }

    fn truncate(&self, _length: u64) -> Result<()> {
        // Opening with `O_TRUNC` is how shells write here.
        Ok(())
    }

    fn open(&self, _flags: u32, place: &Arc<dyn File>) -> Result<Option<SpecialFile>> {
        if self.what.file_type() != FileType::Regular {
            return Ok(None);
        }
        let node = Self { device: self.device, what: self.what };
        let file: Arc<dyn File> = Arc::new(ProcFile::new(node, place.clone()));
        Ok(Some(file.into()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl ProcNode {
    fn parent_of(&self) -> What {
        match self.what {
            What::Task(task) if task.as_thread => {
                What::Threads(Task { tid: task.pid, as_thread: false, ..task })
            }
            What::Threads(task)
            | What::Text(task, _)
            | What::Link(task, _)
            | What::Fds(task)
            | What::FdInfos(task) => What::Task(task),
            What::Fd(task, _) => What::Fds(task),
            What::FdInfo(task, _) => What::FdInfos(task),
            What::Global(global) => {
                super::directory::global_parent(TOP, global).map_or(What::Root, What::Global)
            }
            What::Root | What::SelfLink | What::ThreadSelfLink | What::Task(_) => What::Root,
        }
    }
}
