//! Regular files and directories that are open; for special files, their place in the file system.

use super::inode::WriterChange;
use super::{Inode, Location};
use crate::locks;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{DirEntry, Errno, File, FileType, Frame, OpenFile, Result, Sink, Source, Stat};
use core::any::Any;
use linux_raw_sys::general::{O_ACCMODE, O_PATH, O_RDONLY};

/// A file as one `open(2)` found it.
pub struct VfsFile {
    location: Location,
    file_type: FileType,
    /// Counted as a writer of the inode.
    writes: bool,
    /// Whether `flock(2)` was ever called on it.
    pub(crate) flocked: locks::Flocked,
}

impl VfsFile {
    /// An opening with `flags`; `ETXTBSY` if it wants to write and the file is being executed.
    pub(crate) fn new(location: Location, flags: u32) -> Result<Arc<Self>> {
        let file_type = location.attributes().file_type();
        let writes = file_type == FileType::Regular && flags & O_ACCMODE != O_RDONLY && flags & O_PATH == 0;
        if writes {
            location.inode.count_writers(WriterChange::WriterAdded)?;
        }
        Ok(Arc::new(Self { location, file_type, writes, flocked: locks::Flocked::default() }))
    }

    /// Where it was found.
    pub fn location(&self) -> &Location {
        &self.location
    }

    fn inode(&self) -> &dyn Inode {
        &*self.location.inode
    }
}

impl Drop for VfsFile {
    fn drop(&mut self) {
        if self.writes {
            // Taking a writer away cannot be refused.
            let _ = self.inode().count_writers(WriterChange::WriterGone);
        }
        locks::closed(self);
    }
}

/// Where an open file was found in the file systems; none for pipes, sockets and other files without a name. This is
/// what `fchdir`, `fchmod`, `openat` and others of that kind work on.
pub fn location(open: &OpenFile) -> Option<&Location> {
    vfs_file(open).map(VfsFile::location)
}

pub(crate) fn vfs_file(open: &OpenFile) -> Option<&VfsFile> {
    open.place.as_ref().unwrap_or(&open.file).as_any().downcast_ref::<VfsFile>()
}

impl File for VfsFile {
    fn read(&self, offset: u64, sink: &mut dyn Sink) -> Result<usize> {
        match self.file_type {
            FileType::Directory => Err(Errno::EISDIR),
            _ => self.inode().read(offset, sink),
        }
    }

    fn write(&self, offset: u64, source: &mut dyn Source) -> Result<usize> {
        self.inode().write(offset, source)
    }

    fn seekable(&self) -> bool {
        true
    }

    fn stat(&self) -> Result<Stat> {
        Ok(self.location.stat())
    }

    fn truncate(&self, length: u64) -> Result<()> {
        if self.file_type == FileType::Directory {
            return Err(Errno::EISDIR);
        }
        self.inode().truncate(length)
    }

    fn page(&self, index: u64, write: bool) -> Result<Frame> {
        self.inode().page(index, write, self.writes)
    }

    fn page_run(&self, index: u64, most: u64) -> Result<(Frame, u64)> {
        self.inode().page_run(index, most, self.writes)
    }

    fn read_directory(&self, offset: u64, each: &mut dyn FnMut(DirEntry) -> bool) -> Result<()> {
        if self.file_type != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        let inode = self.inode();
        if inode.stat().nlink == 0 {
            return Err(Errno::ENOENT);
        }
        let dots: [(&[u8], u64); 2] = [(b".", inode.ino()), (b"..", self.parent_ino())];
        for (position, (name, ino)) in (0u64..).zip(dots).skip_while(|(position, _)| *position < offset) {
            let entry = DirEntry {
                ino,
                next_offset: position + 1,
                file_type: FileType::Directory,
                name: name.to_vec(),
            };
            if !each(entry) {
                return Ok(());
            }
        }
        inode.read_directory(offset.max(2), each)
    }

    fn proc_name(&self) -> Vec<u8> {
        self.location.describe()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl VfsFile {
    fn parent_ino(&self) -> u64 {
        let at = self.location.clone().uncovered();
        at.inode.parent().map_or(at.inode.ino(), |parent| parent.ino())
    }
}
