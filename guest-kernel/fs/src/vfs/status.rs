//! Attributes of files: `access`, `chmod`, `chown`, `utimensat`, `truncate`, `statfs`, `readlink`, rights to execute.

use super::inode::{Changes, SetTime, Statfs, WriterChange};
use super::{Access, Attributes, Context, Credentials, Inode, Location, MountFlags};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, FileType, Result};
use linux_raw_sys::general::{AT_EMPTY_PATH, S_ISGID, S_ISUID, S_IXGRP};

impl Location {
    /// `faccessat2(2)`: `mode` is a set of `R_OK` (4), `W_OK` (2), `X_OK` (1), or 0: it exists.
    pub fn access(&self, mode: u32, credentials: Credentials) -> Result<()> {
        let access = Access::from_bits(mode).ok_or(Errno::EINVAL)?;
        let attributes = self.attributes();
        let file_type = attributes.file_type();
        if access.contains(Access::EXECUTE)
            && file_type == FileType::Regular
            && self.mount.flags().contains(MountFlags::NO_EXECUTE)
        {
            return Err(Errno::EACCES);
        }
        credentials.check(&attributes, access)?;
        let stored = matches!(file_type, FileType::Regular | FileType::Directory | FileType::Symlink);
        if access.contains(Access::WRITE) && stored { self.mount.check_writable() } else { Ok(()) }
    }

    /// `EACCES` unless this is a regular file that the caller may execute.
    pub fn check_execute(&self) -> Result<()> {
        if self.attributes().file_type() != FileType::Regular {
            return Err(Errno::EACCES);
        }
        self.access(Access::EXECUTE.bits(), Credentials::current())
    }

    /// Whether set-user-ID and set-group-ID bits count here.
    pub fn honours_setuid(&self) -> bool {
        !self.mount.flags().contains(MountFlags::NO_SETUID)
    }

    /// Keeps others from opening the file for writing while it is executed; `ETXTBSY` if somebody has.
    pub fn deny_writers(&self) -> Result<WritersDenied> {
        self.inode.count_writers(WriterChange::ExecutorAdded)?;
        Ok(WritersDenied(self.inode.clone()))
    }

    /// `chmod(2)`.
    pub fn chmod(&self, mode: u32) -> Result<()> {
        self.mount.check_writable()?;
        let attributes = self.attributes();
        if attributes.file_type() == FileType::Symlink {
            return Err(Errno::EOPNOTSUPP);
        }
        let credentials = Credentials::current();
        if !credentials.owns(&attributes) {
            return Err(Errno::EPERM);
        }
        let mut permissions = mode & 0o7777;
        if !credentials.is_root() && !credentials.in_group(attributes.gid) {
            permissions &= !S_ISGID;
        }
        self.inode.change(&Changes { permissions: Some(permissions), ..Changes::NONE })
    }

    /// `chown(2)`; none: stays as it is.
    pub fn chown(&self, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        self.mount.check_writable()?;
        let attributes = self.attributes();
        let credentials = Credentials::current();
        if !credentials.is_root() {
            let owner = credentials.uid == attributes.uid;
            let keeps_owner = uid.is_none_or(|uid| owner && uid == attributes.uid);
            let own_group =
                gid.is_none_or(|gid| owner && (gid == attributes.gid || credentials.in_group(gid)));
            if !keeps_owner || !own_group {
                return Err(Errno::EPERM);
            }
        }
        let permissions = (!attributes.is_directory()).then(|| without_set_ids(&attributes, credentials));
        let drops_bits = permissions.is_some_and(|permissions| permissions != attributes.mode & 0o7777);
        if drops_bits && !credentials.owns(&attributes) {
            return Err(Errno::EPERM);
        }
        self.inode.change(&Changes { permissions, uid, gid, ..Changes::NONE })
    }

    /// `utimensat(2)`; the null pointer means [`SetTime::Now`] for both.
    pub fn set_times(&self, atime: SetTime, mtime: SetTime) -> Result<()> {
        if (atime, mtime) == (SetTime::Keep, SetTime::Keep) {
            return Ok(());
        }
        self.mount.check_writable()?;
        let attributes = self.attributes();
        let credentials = Credentials::current();
        if !credentials.owns(&attributes) {
            if (atime, mtime) != (SetTime::Now, SetTime::Now) {
                return Err(Errno::EPERM);
            }
            credentials.check(&attributes, Access::WRITE)?;
        }
        self.inode.change(&Changes { atime, mtime, ..Changes::NONE })
    }

    /// `truncate(2)`.
    pub fn truncate(&self, length: u64) -> Result<()> {
        let attributes = self.attributes();
        match attributes.file_type() {
            FileType::Regular => {}
            FileType::Directory => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        }
        self.mount.check_writable()?;
        Credentials::current().check(&attributes, Access::WRITE)?;
        self.inode.count_writers(WriterChange::WriterAdded)?;
        let result = self.inode.truncate(length);
        self.inode.count_writers(WriterChange::WriterGone)?;
        result
    }

    /// `statfs(2)`.
    pub fn statfs(&self) -> Statfs {
        /// `ST_VALID`: the flags mean something.
        const VALID: u64 = 0x20;
        let flags = self.mount.flags();
        let mut answer = self.mount.fs.statfs();
        let low = flags
            & (MountFlags::READ_ONLY
                | MountFlags::NO_SETUID
                | MountFlags::NO_DEVICES
                | MountFlags::NO_EXECUTE);
        answer.flags =
            VALID | u64::from(low.bits()) | if self.mount.check_writable().is_err() { 1 } else { 0 };
        answer.flags |= if flags.contains(MountFlags::NO_ACCESS_TIME) { 0x400 } else { 0 };
        answer.id = self.mount.fs.device();
        answer
    }
}

/// The permissions after a change of contents or owner: without the set-user-ID bit, and without the set-group-ID bit
/// unless that is a mere mark on a file of one's own group.
pub(crate) fn without_set_ids(attributes: &Attributes, credentials: Credentials) -> u32 {
    let mode = attributes.mode;
    let foreign = || !credentials.is_root() && !credentials.in_group(attributes.gid);
    let drops_group = mode & S_ISGID != 0 && (mode & S_IXGRP != 0 || foreign());
    mode & 0o7777 & !S_ISUID & !(if drops_group { S_ISGID } else { 0 })
}

/// Nobody can write to the file while this lives: see [`Location::deny_writers`].
pub struct WritersDenied(Arc<dyn Inode>);

impl Clone for WritersDenied {
    fn clone(&self) -> Self {
        // There is one executor already, so a further one cannot be refused.
        let _ = self.0.count_writers(WriterChange::ExecutorAdded);
        Self(self.0.clone())
    }
}

impl Drop for WritersDenied {
    fn drop(&mut self) {
        // Taking an executor away cannot be refused.
        let _ = self.0.count_writers(WriterChange::ExecutorGone);
    }
}

impl Context {
    /// `readlinkat(2)`.
    pub fn read_link(&self, base: &Location, path: &[u8]) -> Result<Vec<u8>> {
        let location =
            self.resolve_at(base, path, AT_EMPTY_PATH | linux_raw_sys::general::AT_SYMLINK_NOFOLLOW)?;
        if location.attributes().file_type() != FileType::Symlink {
            return Err(if path.is_empty() { Errno::ENOENT } else { Errno::EINVAL });
        }
        location.inode.read_link()
    }
}
