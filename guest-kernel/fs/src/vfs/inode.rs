//! What a file system has to offer.

use super::Location;
use crate::special::{Slot, SpecialFile};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{DirEntry, Errno, File, FileType, Frame, Result, Sink, Source, Stat};
use core::any::Any;

/// What a permission check needs to know of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Type and permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Attributes {
    /// The type bits. File systems only make valid ones.
    pub fn file_type(&self) -> FileType {
        FileType::from_mode(self.mode).unwrap_or(FileType::Regular)
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.file_type() == FileType::Directory
    }
}

/// What kind of node to make, with what only that kind has.
#[derive(Clone, Copy, Debug)]
pub enum Kind<'a> {
    /// An empty regular file.
    Regular,
    /// An empty directory.
    Directory,
    /// A symbolic link to these bytes.
    Symlink(&'a [u8]),
    /// A FIFO.
    Fifo,
    /// The name of a socket.
    Socket,
    /// A character device with this number.
    CharDevice(u64),
    /// A block device with this number.
    BlockDevice(u64),
}

impl Kind<'_> {
    /// The type bits.
    pub fn file_type(&self) -> FileType {
        match self {
            Kind::Regular => FileType::Regular,
            Kind::Directory => FileType::Directory,
            Kind::Symlink(_) => FileType::Symlink,
            Kind::Fifo => FileType::Fifo,
            Kind::Socket => FileType::Socket,
            Kind::CharDevice(_) => FileType::CharDevice,
            Kind::BlockDevice(_) => FileType::BlockDevice,
        }
    }
}

/// A node to be made. The directory's set-group-ID bit is the file system's matter.
#[derive(Clone, Copy, Debug)]
pub struct NewNode<'a> {
    /// What it is.
    pub kind: Kind<'a>,
    /// Permission bits, the umask already taken off.
    pub permissions: u32,
    /// Owner.
    pub uid: u32,
    /// Group, unless the directory hands down its own.
    pub gid: u32,
}

/// A time to set (`utimensat(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// `UTIME_OMIT`.
    Keep,
    /// `UTIME_NOW`.
    Now,
    /// Nanoseconds since 1970.
    At(i64),
}

/// Attributes to change; the rights have been checked.
#[derive(Clone, Copy, Debug)]
pub struct Changes {
    /// New permission bits.
    pub permissions: Option<u32>,
    /// New owner.
    pub uid: Option<u32>,
    /// New group.
    pub gid: Option<u32>,
    /// New access time.
    pub atime: SetTime,
    /// New modification time.
    pub mtime: SetTime,
}

impl Changes {
    /// No change at all.
    pub const NONE: Self =
        Self { permissions: None, uid: None, gid: None, atime: SetTime::Keep, mtime: SetTime::Keep };
}

/// How a rename treats an existing target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameMode {
    /// It is replaced.
    Replace,
    /// The two change places (`RENAME_EXCHANGE`).
    Exchange,
}

/// Where a symbolic link leads.
pub enum Target {
    /// To a path, which is resolved from the link's directory.
    Path(Vec<u8>),
    /// Straight to a file, whatever its name (the links in `/proc/PID`).
    Jump(Location),
}

/// What `statfs(2)` reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "statfs(2)")]
pub struct Statfs {
    pub kind: u64,
    pub block_size: u64,
    pub blocks: u64,
    pub blocks_free: u64,
    pub files: u64,
    pub files_free: u64,
    pub id: u64,
    pub name_length: u64,
    /// `ST_*`, as the mount has them.
    pub flags: u64,
}

/// One mountable file system.
pub trait FileSystem: Send + Sync {
    /// The type, as `/proc/mounts` names it.
    fn type_name(&self) -> &'static str;
    /// `st_dev` of its inodes.
    fn device(&self) -> u64;
    /// The root directory.
    fn root(&self) -> Arc<dyn Inode>;
    /// Sizes.
    fn statfs(&self) -> Statfs;
    /// Options for `/proc/mounts`, each with a leading comma.
    fn options(&self) -> String {
        String::new()
    }
    /// Whether it can never be written to.
    fn read_only(&self) -> bool {
        false
    }
    /// Applies new options (`MS_REMOUNT`).
    fn remount(&self, data: &[u8]) -> Result<()> {
        let _ = data;
        Ok(())
    }
}

/// A file of any type. The caller has checked permissions, the length of names, and that the mount may be written to;
/// names are neither empty nor `.` nor `..`.
#[expect(unused_variables, reason = "default methods")]
pub trait Inode: Send + Sync + Any {
    /// The inode number, unique in its file system while the inode lives.
    fn ino(&self) -> u64;
    /// Type, permissions, owner.
    fn attributes(&self) -> Attributes;
    /// Status.
    fn stat(&self) -> Stat;
    /// Changes attributes.
    fn change(&self, changes: &Changes) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// The entry `name` of this directory.
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        Err(Errno::ENOTDIR)
    }
    /// The directory that this one is in (the root: itself); for other files, the one it was last found in.
    fn parent(&self) -> Option<Arc<dyn Inode>> {
        None
    }
    /// The name in [`parent`](Self::parent), and whether the file still has it; none: it never had one.
    fn name(&self) -> Option<(Vec<u8>, bool)> {
        None
    }
    /// Makes a new entry; `EEXIST` if there is one.
    fn create(&self, name: &[u8], node: &NewNode<'_>) -> Result<Arc<dyn Inode>> {
        Err(Errno::EPERM)
    }
    /// Makes a regular file without a name (`O_TMPFILE`). `linkable`: it may get one later.
    fn create_unnamed(&self, node: &NewNode<'_>, linkable: bool) -> Result<Arc<dyn Inode>> {
        Err(Errno::EOPNOTSUPP)
    }
    /// Gives `target`, an inode of the same file system, a further name here.
    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<()> {
        Err(Errno::EPERM)
    }
    /// Removes a name; `EISDIR` for a directory.
    fn unlink(&self, name: &[u8]) -> Result<()> {
        Err(Errno::EPERM)
    }
    /// Removes an empty directory.
    fn rmdir(&self, name: &[u8]) -> Result<()> {
        Err(Errno::EPERM)
    }
    /// Moves an entry to `to`, a directory of the same file system. The caller has checked types and loops; whether a
    /// directory that is replaced is empty is checked here.
    fn rename(&self, name: &[u8], to: &Arc<dyn Inode>, to_name: &[u8], mode: RenameMode) -> Result<()> {
        Err(Errno::EPERM)
    }
    /// As [`File::read_directory`], without `.` and `..`, which the caller makes up; positions start at 2.
    fn read_directory(&self, offset: u64, each: &mut dyn FnMut(DirEntry) -> bool) -> Result<()> {
        Err(Errno::ENOTDIR)
    }

    /// Where this symbolic link leads.
    fn target(&self) -> Result<Target> {
        Err(Errno::EINVAL)
    }
    /// The text of this symbolic link, which for a [`Target::Jump`] only describes it.
    fn read_link(&self) -> Result<Vec<u8>> {
        match self.target()? {
            Target::Path(path) => Ok(path),
            Target::Jump(location) => Ok(location.describe()),
        }
    }

    /// Reads a regular file.
    fn read(&self, offset: u64, sink: &mut dyn Sink) -> Result<usize> {
        Err(Errno::EINVAL)
    }
    /// Writes to a regular file.
    fn write(&self, offset: u64, source: &mut dyn Source) -> Result<usize> {
        Err(Errno::EINVAL)
    }
    /// A page of a regular file; see [`File::page`]. `keep`: others will write to the file, so the page must be the
    /// one that they write to.
    fn page(&self, index: u64, write: bool, keep: bool) -> Result<Frame> {
        Err(Errno::ENODEV)
    }
    /// See [`File::page_run`].
    fn page_run(&self, index: u64, most: u64, keep: bool) -> Result<(Frame, u64)> {
        Ok((self.page(index, false, keep)?, 1))
    }
    /// Sets the length of a regular file.
    fn truncate(&self, length: u64) -> Result<()> {
        Err(Errno::EINVAL)
    }
    /// `fallocate(2)` with `FALLOC_FL_*` flags.
    fn allocate(&self, flags: u32, offset: u64, length: u64) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }
    /// The next data (or the next hole) at or after `offset`, which is less than the size.
    fn seek(&self, offset: u64, hole: bool) -> Result<u64> {
        let size = self.stat().size;
        Ok(if hole { size } else { offset })
    }
    /// The seals of a memfd; `EINVAL` for other files.
    fn seals(&self) -> Result<u32> {
        Err(Errno::EINVAL)
    }
    /// Adds seals to a memfd.
    fn add_seals(&self, seals: u32) -> Result<()> {
        Err(Errno::EINVAL)
    }

    /// Where a FIFO's pipe or a bound socket is kept.
    fn slot(&self) -> Option<&Slot> {
        None
    }
    /// Told when a file is opened for writing and closed again (`+1`, `-1`), and when it starts and ceases to be
    /// executed; `ETXTBSY` where the one forbids the other.
    fn count_writers(&self, change: WriterChange) -> Result<()> {
        Ok(())
    }
    /// A file of its own for each opening, for inodes that do not fit the operations here. `place` is the same file as
    /// the file system sees it.
    fn open(&self, flags: u32, place: &Arc<dyn File>) -> Result<Option<SpecialFile>> {
        Ok(None)
    }
    /// What `/proc/PID/fd` shows for files that have no path.
    fn describe(&self) -> Option<Vec<u8>> {
        None
    }
    /// For downcasts to the concrete type.
    fn as_any(&self) -> &dyn Any;
}

/// See [`Inode::count_writers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriterChange {
    /// Opened for writing.
    WriterAdded,
    /// Closed by a writer.
    WriterGone,
    /// A process executes it.
    ExecutorAdded,
    /// The process has ended, or executes another file.
    ExecutorGone,
}
