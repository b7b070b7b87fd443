//! A file on the host that takes what comes out of a guest: complete under its name, or not there at all.

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fchmod, linkat, open, openat, renameat, statat, unlinkat};
use rustix::io::{Errno, write};
use rustix::process::getpid;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use thiserror::Error;

/// Permissions before the process's umask: whether a guest's file is executable is all that is taken over.
const PLAIN: u32 = 0o666;
const EXECUTABLE: u32 = 0o777;

/// A file that cannot be written.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("cannot {action} {}: {errno}", .path.display())]
pub struct HostFileError {
    action: &'static str,
    path: PathBuf,
    errno: Errno,
}

/// A place for a file. The directory is opened at once and kept, so that it cannot be exchanged for another.
///
/// The content goes to a file without a name (or, where the file system has no such thing, with a name of its own)
/// in that directory; [`commit`](HostFile::commit) gives it its name. A symbolic link of that name is replaced, not
/// followed.
#[derive(Debug)]
pub struct HostFile {
    path: PathBuf,
    directory: OwnedFd,
    name: OsString,
    content: Option<Content>,
}

#[derive(Debug)]
struct Content {
    file: OwnedFd,
    /// The name that the file has while it is not complete.
    temporary: Option<OsString>,
}

impl HostFile {
    /// Opens the directory that is to have the file, and looks whether it may be there.
    pub fn new(path: &Path) -> Result<Self, HostFileError> {
        let failed = |action, errno| HostFileError { action, path: path.to_owned(), errno };
        let name = path.file_name().ok_or_else(|| failed("write to", Errno::ISDIR))?.to_owned();
        let parent = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(parent, flags, Mode::empty()).map_err(|errno| HostFileError {
            action: "open the directory",
            path: parent.into(),
            errno,
        })?;
        match statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed("look at", errno)),
            Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile | FileType::Symlink => {}
                FileType::Directory => return Err(failed("write to", Errno::ISDIR)),
                // Taking the place of a device or a pipe is never what is meant.
                _ => return Err(failed("replace a special file", Errno::INVAL)),
            },
        }
        Ok(Self { path: path.to_owned(), directory, name, content: None })
    }

    /// Where the file is to be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Another descriptor of the content, for writing in other ways than by appending.
    pub fn file(&mut self) -> Result<OwnedFd, HostFileError> {
        self.create()?;
        let failed = || self.failed("write to", Errno::BADF);
        let content = self.content.as_ref().ok_or_else(failed)?;
        content
            .file
            .try_clone()
            .map_err(|error| self.failed("write to", Errno::from_io_error(&error).unwrap_or(Errno::IO)))
    }

    /// Appends to the content.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), HostFileError> {
        self.create()?;
        let Some(content) = &self.content else { return Ok(()) };
        while !bytes.is_empty() {
            match write(&content.file, bytes) {
                Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.failed("write to", errno)),
            }
        }
        Ok(())
    }

    /// The content is complete: gives the file its name.
    pub fn commit(mut self, executable: bool) -> Result<(), HostFileError> {
        self.create()?;
        let Some(mut content) = self.content.take() else { return Ok(()) };
        let result = self.publish(&mut content, executable);
        if let (Err(_), Some(name)) = (&result, &content.temporary) {
            let _ = unlinkat(&self.directory, name, AtFlags::empty());
        }
        result
    }

    fn publish(&self, content: &mut Content, executable: bool) -> Result<(), HostFileError> {
        if executable {
            // The umask was taken off when the file was created; there is no way to ask for it without changing it.
            let mode =
                rustix::fs::fstat(&content.file).map_err(|errno| self.failed("look at", errno))?.st_mode;
            let readable = mode & 0o444;
            let mode = Mode::from_raw_mode((mode | readable >> 2) & EXECUTABLE);
            fchmod(&content.file, mode).map_err(|errno| self.failed("make executable", errno))?;
        }
        let temporary = match content.temporary.clone() {
            Some(name) => name,
            None => match self.link(&content.file, &self.name) {
                Ok(()) => return Ok(()),
                Err(Errno::EXIST) => {
                    let name = temporary_name();
                    self.link(&content.file, &name).map_err(|errno| self.failed("create", errno))?;
                    content.temporary = Some(name.clone());
                    name
                }
                Err(errno) => return Err(self.failed("create", errno)),
            },
        };
        renameat(&self.directory, &temporary, &self.directory, &self.name)
            .map_err(|errno| self.failed("create", errno))
    }

    fn link(&self, file: &OwnedFd, name: &OsStr) -> rustix::io::Result<()> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        linkat(rustix::fs::CWD, path, &self.directory, name, AtFlags::SYMLINK_FOLLOW)
    }

    fn create(&mut self) -> Result<(), HostFileError> {
        if self.content.is_some() {
            return Ok(());
        }
        let mode = Mode::from_raw_mode(PLAIN);
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let content = match openat(&self.directory, ".", flags | OFlags::TMPFILE, mode) {
            Ok(file) => Content { file, temporary: None },
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => {
                let name = temporary_name();
                let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
                let file = openat(&self.directory, &name, flags, mode)
                    .map_err(|errno| self.failed("create", errno))?;
                Content { file, temporary: Some(name) }
            }
            Err(errno) => return Err(self.failed("create", errno)),
        };
        self.content = Some(content);
        Ok(())
    }

    fn failed(&self, action: &'static str, errno: Errno) -> HostFileError {
        HostFileError { action, path: self.path.clone(), errno }
    }
}

impl Drop for HostFile {
    fn drop(&mut self) {
        if let Some(Content { temporary: Some(name), .. }) = &self.content {
            let _ = unlinkat(&self.directory, name, AtFlags::empty());
        }
    }
}

/// A name that nothing else has: other processes have other ids, and this one counts.
fn temporary_name() -> OsString {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!(".ampoule-{}-{count}", getpid().as_raw_nonzero()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn names(directory: &Path) -> Vec<OsString> {
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn a_file_is_there_when_it_is_complete_and_not_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        let mut file = HostFile::new(&path).unwrap();
        file.write(b"hello").unwrap();
        assert!(!path.exists());
        file.commit(true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"hello");
        assert_ne!(fs::metadata(&path).unwrap().permissions().mode() & 0o100, 0);
        let mut again = HostFile::new(&path).unwrap();
        again.write(b"new").unwrap();
        again.commit(false).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(directory.path()), ["out"]);
    }

    #[test]
    fn an_empty_file_is_a_file_and_a_dropped_one_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let mut dropped = HostFile::new(&directory.path().join("dropped")).unwrap();
        dropped.write(b"x").unwrap();
        drop(dropped);
        HostFile::new(&directory.path().join("empty")).unwrap().commit(false).unwrap();
        assert_eq!(names(directory.path()), ["empty"]);
    }

    #[test]
    fn a_symbolic_link_is_replaced_and_its_target_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (target, link) = (directory.path().join("target"), directory.path().join("link"));
        fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let mut file = HostFile::new(&link).unwrap();
        file.write(b"new").unwrap();
        file.commit(false).unwrap();
        assert_eq!(
            (fs::read(&target).unwrap(), fs::read(&link).unwrap()),
            (b"old".to_vec(), b"new".to_vec())
        );
        assert!(!fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn places_that_are_none_are_told_at_once() {
        let directory = tempfile::tempdir().unwrap();
        for path in
            [directory.path().to_owned(), directory.path().join("no/file"), "/dev/null".into(), "/".into()]
        {
            assert!(HostFile::new(&path).is_err(), "{}", path.display());
        }
    }
}
