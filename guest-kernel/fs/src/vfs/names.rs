//! Making and removing names: `mkdir`, `mknod`, `symlink`, `link`, `unlink`, `rmdir`.

use super::inode::Kind;
use super::walk::{Follow, Last, Walk};
use super::{Access, Attributes, Context, Credentials, Location};
use ampoule_kbase::{Errno, FileType, Result};
use linux_raw_sys::general::{AT_EMPTY_PATH, AT_SYMLINK_FOLLOW, S_ISGID, S_ISUID, S_IXGRP};

/// The checks of Linux's `may_delete` for removing `victim` from `directory`, where a directory is `wanted` or not.
pub(super) fn check_delete(
    credentials: Credentials,
    directory: &Attributes,
    victim: &Attributes,
    wanted: FileType,
) -> Result<()> {
    credentials.check(directory, Access::WRITE | Access::EXECUTE)?;
    credentials.check_sticky(directory, victim)?;
    match (wanted == FileType::Directory, victim.is_directory()) {
        (true, false) => Err(Errno::ENOTDIR),
        (false, true) => Err(Errno::EISDIR),
        _ => Ok(()),
    }
}

/// What `fs.protected_hardlinks` forbids, as all distributions set it: names for what one could not write to oneself.
fn check_link(credentials: Credentials, target: &Attributes) -> Result<()> {
    let harmless = target.file_type() == FileType::Regular
        && target.mode & S_ISUID == 0
        && target.mode & (S_ISGID | S_IXGRP) != S_ISGID | S_IXGRP
        && credentials.check(target, Access::READ | Access::WRITE).is_ok();
    if harmless || credentials.owns(target) { Ok(()) } else { Err(Errno::EPERM) }
}

impl Context {
    /// Walks to where a new name is to be made; `EEXIST` if it is there.
    fn walk_to_new<'a>(&'a self, base: &Location, path: &'a [u8], kind: FileType) -> Result<Walk<'a>> {
        let mut walk = Walk::new(self, base, path)?;
        if walk.go_to_last()? != Last::Name {
            return Err(Errno::EEXIST);
        }
        match walk.child() {
            Ok(_) => Err(Errno::EEXIST),
            Err(Errno::ENOENT) if walk.wants_directory && kind != FileType::Directory => Err(Errno::ENOENT),
            Err(Errno::ENOENT) => Ok(walk),
            Err(error) => Err(error),
        }
    }

    /// `mkdirat(2)`.
    pub fn mkdir(&self, base: &Location, path: &[u8], mode: u32) -> Result<Location> {
        let walk = self.walk_to_new(base, path, FileType::Directory)?;
        self.create_at(&walk, Kind::Directory, mode & 0o1777)
    }

    /// `mknodat(2)` with the type and permissions in `mode`. Also makes the name of a socket for `bind(2)`.
    pub fn mknod(&self, base: &Location, path: &[u8], mode: u32, device: u64) -> Result<Location> {
        let kind = match FileType::from_mode(mode) {
            Some(FileType::Regular) => Kind::Regular,
            None if mode & linux_raw_sys::general::S_IFMT == 0 => Kind::Regular,
            Some(FileType::Fifo) => Kind::Fifo,
            Some(FileType::Socket) => Kind::Socket,
            Some(FileType::CharDevice) => Kind::CharDevice(device),
            Some(FileType::BlockDevice) => Kind::BlockDevice(device),
            Some(FileType::Directory) => return Err(Errno::EPERM),
            Some(FileType::Symlink) | None => return Err(Errno::EINVAL),
        };
        let walk = self.walk_to_new(base, path, kind.file_type())?;
        self.create_at(&walk, kind, mode)
    }

    /// `symlinkat(2)`.
    pub fn symlink(&self, target: &[u8], base: &Location, path: &[u8]) -> Result<Location> {
        if target.is_empty() {
            return Err(Errno::ENOENT);
        }
        if target.len() >= 4096 {
            return Err(Errno::ENAMETOOLONG);
        }
        let walk = self.walk_to_new(base, path, FileType::Symlink)?;
        self.create_at(&walk, Kind::Symlink(target), 0)
    }

    /// `linkat(2)`, of which `AT_SYMLINK_FOLLOW` and `AT_EMPTY_PATH` count. Linux allows the latter only to who has opened
    /// the file: that is for the caller to check, if it matters.
    pub fn link(&self, old: (&Location, &[u8]), new: (&Location, &[u8]), flags: u32) -> Result<()> {
        if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(Errno::EINVAL);
        }
        let target = if old.1.is_empty() && flags & AT_EMPTY_PATH != 0 {
            old.0.clone()
        } else {
            let follow = if flags & AT_SYMLINK_FOLLOW != 0 { Follow::Last } else { Follow::Never };
            self.resolve(old.0, old.1, follow)?
        };
        let walk = self.walk_to_new(new.0, new.1, FileType::Regular)?;
        let directory = &walk.at;
        if !alloc::sync::Arc::ptr_eq(&directory.mount, &target.mount) {
            return Err(Errno::EXDEV);
        }
        check_link(walk.credentials, &target.attributes())?;
        directory.mount.check_writable()?;
        walk.credentials.check(&directory.attributes(), Access::WRITE | Access::EXECUTE)?;
        if target.attributes().is_directory() {
            return Err(Errno::EPERM);
        }
        directory.inode.link(walk.name(), &target.inode)
    }

    /// `unlinkat(2)` without `AT_REMOVEDIR`.
    pub fn unlink(&self, base: &Location, path: &[u8]) -> Result<()> {
        let mut walk = Walk::new(self, base, path)?;
        if walk.go_to_last()? != Last::Name {
            return Err(Errno::EISDIR);
        }
        walk.at.mount.check_writable()?;
        let victim = walk.child_uncovered()?;
        let attributes = victim.attributes();
        if walk.wants_directory {
            return Err(if attributes.is_directory() { Errno::EISDIR } else { Errno::ENOTDIR });
        }
        check_delete(walk.credentials, &walk.at.attributes(), &attributes, FileType::Regular)?;
        if victim.is_mount_point() {
            return Err(Errno::EBUSY);
        }
        walk.at.inode.unlink(walk.name())
    }

    /// `rmdir(2)`.
    pub fn rmdir(&self, base: &Location, path: &[u8]) -> Result<()> {
        let mut walk = Walk::new(self, base, path)?;
        match walk.go_to_last()? {
            Last::None => return Err(Errno::EBUSY),
            Last::Dot => return Err(Errno::EINVAL),
            Last::DotDot => return Err(Errno::ENOTEMPTY),
            Last::Name => {}
        }
        walk.at.mount.check_writable()?;
        let victim = walk.child_uncovered()?;
        check_delete(walk.credentials, &walk.at.attributes(), &victim.attributes(), FileType::Directory)?;
        if victim.is_mount_point() {
            return Err(Errno::EBUSY);
        }
        walk.at.inode.rmdir(walk.name())
    }
}
