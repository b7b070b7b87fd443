//! Who may do what to an inode (`path_resolution(7)`, `credentials(7)`).

use super::Attributes;
use ampoule_kbase::platform::Caller;
use ampoule_kbase::{Errno, Result, platform};
use linux_raw_sys::general::{S_ISVTX, S_IXGRP, S_IXOTH, S_IXUSR};

bitflags::bitflags! {
    /// Kinds of access, with the values of `access(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Access: u32 {
        /// Read, or list a directory.
        const READ = 4;
        /// Write, or change a directory.
        const WRITE = 2;
        /// Execute, or look up in a directory.
        const EXECUTE = 1;
    }
}

/// The identity that a check is made for. User 0 has every right that capabilities would give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// User.
    pub uid: u32,
    /// Group; further groups come from the platform.
    pub gid: u32,
}

impl Credentials {
    /// The caller's file system identity, which nearly all checks are about.
    pub fn current() -> Self {
        let Caller { fsuid: uid, fsgid: gid, .. } = platform().caller();
        Self { uid, gid }
    }

    /// The caller's real identity, for `access(2)`.
    pub fn real() -> Self {
        let Caller { uid, gid, .. } = platform().caller();
        Self { uid, gid }
    }

    /// User 0.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Whether `gid` is one of the groups.
    pub fn in_group(&self, gid: u32) -> bool {
        self.gid == gid || platform().caller_in_group(gid)
    }

    /// Whether this is the owner, or root.
    pub fn owns(&self, attributes: &Attributes) -> bool {
        self.is_root() || self.uid == attributes.uid
    }

    /// `EACCES` unless all of `access` is granted.
    pub fn check(&self, attributes: &Attributes, access: Access) -> Result<()> {
        let mode = attributes.mode;
        if self.is_root() {
            let executable = attributes.is_directory() || mode & (S_IXUSR | S_IXGRP | S_IXOTH) != 0;
            return if access.contains(Access::EXECUTE) && !executable { Err(Errno::EACCES) } else { Ok(()) };
        }
        let granted = if self.uid == attributes.uid {
            mode >> 6
        } else if self.in_group(attributes.gid) {
            mode >> 3
        } else {
            mode
        };
        if access.bits() & !granted == 0 { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// `EPERM` where the sticky bit of `directory` keeps this identity from removing or renaming `victim`.
    pub fn check_sticky(&self, directory: &Attributes, victim: &Attributes) -> Result<()> {
        let kept = directory.mode & S_ISVTX != 0 && !self.owns(victim) && self.uid != directory.uid;
        if kept { Err(Errno::EPERM) } else { Ok(()) }
    }
}
