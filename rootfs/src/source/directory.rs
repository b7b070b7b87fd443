//! A directory of the host as a source.
//!
//! The walk goes from directory descriptor to directory descriptor, opening one name at a time and never following a
//! symbolic link, so a tree that is changed meanwhile cannot lead it outside. A file that vanishes is left out; one that
//! grows is taken with the length it had when opened; one that shrinks, with the length it turns out to have.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::builder::ImageBuilder;
use crate::error::{Error, PathProblem, printable};
use crate::options::Time;
use crate::tree::{DeviceNumber, Meta, NodeId, Special};

/// Adds the tree at `path`; if `path` is a symbolic link to a directory, that one (it is the caller's own word).
pub(super) fn add(builder: &mut ImageBuilder<'_>, path: &Path) -> Result<(), Error> {
    let bytes = path.as_os_str().as_bytes();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, path, flags, Mode::empty())
        .map_err(|errno| Error::io("open directory", bytes, errno))?;
    let output = builder.output_identity();
    let mut walk = Walk { builder, source: bytes.to_vec(), path: Vec::new(), links: HashMap::new(), output };
    walk.directory(root, 0)
}

struct Walk<'b, 'o> {
    builder: &'b mut ImageBuilder<'o>,
    /// Path of the source, for messages.
    source: Vec<u8>,
    /// Path inside the image of what is being added.
    path: Vec<u8>,
    /// Inodes with several links, by device and inode number.
    links: HashMap<(u64, u64), NodeId>,
    /// The image itself, should it lie in its own source.
    output: Option<(u64, u64)>,
}

/// What became of a system call on a name that somebody may have removed meanwhile.
fn unless_gone<T>(result: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

impl Walk<'_, '_> {
    /// Adds an opened directory and, by recursion, all in it. `Limits::depth` bounds the recursion.
    fn directory(&mut self, directory: OwnedFd, depth: usize) -> Result<(), Error> {
        let stat = rustix::fs::fstat(&directory).map_err(|errno| self.failed("examine", errno))?;
        self.builder.directory(&self.path, meta(&stat))?;
        if depth > self.builder.options().limits.depth {
            return Err(Error::path(&self.path, PathProblem::Deep(self.builder.options().limits.depth)));
        }
        for name in self.names(&directory)? {
            let length = self.path.len();
            self.path.push(b'/');
            self.path.extend(&name);
            self.entry(directory.as_fd(), &name, depth)?;
            self.path.truncate(length);
        }
        Ok(())
    }

    /// The names in a directory, sorted: the order on disk is chance, the image must not depend on it.
    fn names(&self, directory: &OwnedFd) -> Result<Vec<Vec<u8>>, Error> {
        let limit = self.builder.options().limits.entries;
        let failed = |errno| self.failed("list", errno);
        let mut names = Vec::new();
        for entry in Dir::read_from(directory).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(name);
            }
            if names.len() as u64 > limit {
                return Err(Error::Limit { what: "entries", limit });
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn entry(&mut self, directory: BorrowedFd<'_>, name: &[u8], depth: usize) -> Result<(), Error> {
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
        let Some(stat) = unless_gone(stat).map_err(|errno| self.failed("examine", errno))? else {
            return Ok(());
        };
        let identity = (stat.st_dev, stat.st_ino);
        if self.output == Some(identity) {
            return Ok(());
        }
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            return match self.open(directory, name, OFlags::DIRECTORY)? {
                Some(opened) => self.directory(opened, depth + 1),
                None => Ok(()),
            };
        }
        if let Some(&first) = self.links.get(&identity) {
            return self.builder.add_link(&self.path, first);
        }
        let added = match kind {
            FileType::RegularFile => self.file(directory, name)?,
            FileType::Symlink => self.symlink(directory, name, &stat)?,
            _ => Some(self.special(kind, &stat)?),
        };
        if let Some(node) = added.filter(|_| stat.st_nlink > 1) {
            self.links.insert(identity, node);
        }
        Ok(())
    }

    /// Opens a name without following it; `None` if it is gone.
    fn open(&self, directory: BorrowedFd<'_>, name: &[u8], extra: OFlags) -> Result<Option<OwnedFd>, Error> {
        // NONBLOCK: should the name have become a pipe, opening it must not wait for a writer.
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC | extra;
        match unless_gone(rustix::fs::openat(directory, name, flags, Mode::empty())) {
            Ok(opened) => Ok(opened),
            Err(Errno::LOOP | Errno::NOTDIR | Errno::NXIO) => Err(self.changed()),
            Err(errno) => Err(self.failed("open", errno)),
        }
    }

    fn file(&mut self, directory: BorrowedFd<'_>, name: &[u8]) -> Result<Option<NodeId>, Error> {
        let Some(file) = self.open(directory, name, OFlags::empty())? else {
            return Ok(None);
        };
        // What was opened counts, not what was there a moment ago.
        let stat = rustix::fs::fstat(&file).map_err(|errno| self.failed("examine", errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(self.changed());
        }
        if matches!(rustix::fs::flistxattr(&file, &mut [0u8; 0]), Ok(1..)) {
            self.builder.note_xattrs();
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        self.builder.reserve(size)?;
        let mut content = File::from(file).take(size);
        self.builder.add_file(&self.path, meta(&stat), &mut content).map(Some)
    }

    fn symlink(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        stat: &Stat,
    ) -> Result<Option<NodeId>, Error> {
        match unless_gone(rustix::fs::readlinkat(directory, name, Vec::new())) {
            Ok(Some(target)) => self.builder.add_symlink(&self.path, meta(stat), target.to_bytes()).map(Some),
            Ok(None) => Ok(None),
            Err(Errno::INVAL) => Err(self.changed()),
            Err(errno) => Err(self.failed("read link", errno)),
        }
    }

    fn special(&mut self, kind: FileType, stat: &Stat) -> Result<NodeId, Error> {
        let number = || {
            let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
            DeviceNumber::new(major, minor)
                .ok_or_else(|| self.failed("keep device number of", Errno::OVERFLOW))
        };
        let special = match kind {
            FileType::Fifo => Special::Fifo,
            FileType::Socket => Special::Socket,
            FileType::CharacterDevice => Special::CharDevice(number()?),
            FileType::BlockDevice => Special::BlockDevice(number()?),
            _ => return Err(self.failed("copy", Errno::NOTSUP)),
        };
        self.builder.add_special(&self.path, meta(stat), special)
    }

    fn full_path(&self) -> Vec<u8> {
        [self.source.as_slice(), &self.path].concat()
    }

    fn failed(&self, action: &'static str, errno: Errno) -> Error {
        Error::io(action, &self.full_path(), errno)
    }

    fn changed(&self) -> Error {
        Error::Changed { path: printable(&self.full_path()) }
    }
}

fn meta(stat: &Stat) -> Meta {
    Meta {
        permissions: (stat.st_mode & 0o7777) as u16,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: Time { seconds: stat.st_mtime, nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or(0) },
    }
}
