//! Files that a sandbox is made of: kernel, images, the VMM itself.

use rustix::fs::{SealFlags, fcntl_add_seals, sendfile};
use rustix::io::Errno;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// A range of an open file, such as a part of an executable's own file. Cheap to clone.
#[derive(Clone)]
pub struct Artifact {
    name: Arc<str>,
    file: Arc<OwnedFd>,
    offset: u64,
    len: u64,
}

impl Artifact {
    /// `len` bytes of `file` from `offset` on. `name` is for messages.
    pub fn new(name: &str, file: Arc<OwnedFd>, offset: u64, len: u64) -> Self {
        Self { name: name.into(), file, offset, len }
    }

    /// What to call it in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that it is in.
    pub fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// Where it starts in the file, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies it into a memfd, which is sealed then.
    pub(crate) fn copy_to(&self, memory: &OwnedFd) -> rustix::io::Result<()> {
        let mut offset = self.offset;
        let end = self.offset.saturating_add(self.len);
        while offset < end {
            let rest = usize::try_from(end - offset).unwrap_or(usize::MAX);
            if sendfile(memory, self.file.as_fd(), Some(&mut offset), rest)? == 0 {
                return Err(Errno::NODATA);
            }
        }
        fcntl_add_seals(memory, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)
    }
}

impl fmt::Debug for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes at {})", self.name, self.len, self.offset)
    }
}
