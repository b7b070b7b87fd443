//! `renameat2(2)`.

use super::inode::RenameMode;
use super::names::check_delete;
use super::walk::{Last, Walk};
use super::{Access, Attributes, Context, Location};
use alloc::sync::Arc;
use ampoule_kbase::{Errno, FileType, Result};
use linux_raw_sys::general::{RENAME_EXCHANGE, RENAME_NOREPLACE};

/// One side of a rename: the directory, and the entry in it.
struct Side<'a> {
    walk: Walk<'a>,
    directory: Attributes,
    entry: Option<(Location, Attributes)>,
}

impl<'a> Side<'a> {
    fn new(walk: Walk<'a>) -> Result<Self> {
        let entry = match walk.child_uncovered() {
            Ok(entry) => {
                let attributes = entry.attributes();
                Some((entry, attributes))
            }
            Err(Errno::ENOENT) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { directory: walk.at.attributes(), walk, entry })
    }

    /// Whether this side's entry is the directory `other`, or lies above it.
    fn is_above(&self, other: &Location) -> bool {
        let Some((entry, attributes)) = &self.entry else { return false };
        attributes.is_directory() && is_above(entry, other)
    }
}

/// Whether directory `upper` is `lower` or lies above it, in one mount.
fn is_above(upper: &Location, lower: &Location) -> bool {
    let mut at = lower.inode.clone();
    loop {
        if at.ino() == upper.inode.ino() {
            return true;
        }
        match at.parent() {
            Some(parent) if parent.ino() != at.ino() => at = parent,
            _ => return false,
        }
    }
}

impl Context {
    /// `renameat2(2)`; `flags` are `RENAME_*`.
    pub fn rename(&self, old: (&Location, &[u8]), new: (&Location, &[u8]), flags: u32) -> Result<()> {
        if flags & !(RENAME_NOREPLACE | RENAME_EXCHANGE) != 0 || flags == RENAME_NOREPLACE | RENAME_EXCHANGE {
            return Err(Errno::EINVAL);
        }
        let mut from = Walk::new(self, old.0, old.1)?;
        let from_last = from.go_to_last()?;
        let mut to = Walk::new(self, new.0, new.1)?;
        let to_last = to.go_to_last()?;
        if !Arc::ptr_eq(&from.at.mount, &to.at.mount) {
            return Err(Errno::EXDEV);
        }
        if from_last != Last::Name {
            return Err(Errno::EBUSY);
        }
        if to_last != Last::Name {
            return Err(if flags & RENAME_NOREPLACE != 0 { Errno::EEXIST } else { Errno::EBUSY });
        }
        from.at.mount.check_writable()?;
        let from = Side::new(from)?;
        if from.entry.is_none() {
            return Err(Errno::ENOENT);
        }
        rename(&from, &Side::new(to)?, flags)
    }
}

fn rename(from: &Side<'_>, to: &Side<'_>, flags: u32) -> Result<()> {
    let exchange = flags & RENAME_EXCHANGE != 0;
    let (source, source_attributes) = from.entry.as_ref().ok_or(Errno::ENOENT)?;
    match &to.entry {
        Some(_) if flags & RENAME_NOREPLACE != 0 => return Err(Errno::EEXIST),
        None if exchange => return Err(Errno::ENOENT),
        Some((_, target)) if exchange && to.walk.wants_directory && !target.is_directory() => {
            return Err(Errno::ENOTDIR);
        }
        _ => {}
    }
    let slashes = from.walk.wants_directory || (!exchange && to.walk.wants_directory);
    if !source_attributes.is_directory() && slashes {
        return Err(Errno::ENOTDIR);
    }
    if from.is_above(&to.walk.at) {
        return Err(Errno::EINVAL);
    }
    if to.is_above(&from.walk.at) {
        return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
    }
    if to.entry.as_ref().is_some_and(|(target, _)| target == source) {
        return Ok(());
    }
    check_rights(from, to, exchange)?;
    let mounted = |side: &Side<'_>| side.entry.as_ref().is_some_and(|(entry, _)| entry.is_mount_point());
    if mounted(from) || mounted(to) {
        return Err(Errno::EBUSY);
    }
    let mode = if exchange { RenameMode::Exchange } else { RenameMode::Replace };
    from.walk.at.inode.rename(from.walk.name(), &to.walk.at.inode, to.walk.name(), mode)
}

/// The checks of Linux's `vfs_rename`, in its order.
fn check_rights(from: &Side<'_>, to: &Side<'_>, exchange: bool) -> Result<()> {
    let credentials = from.walk.credentials;
    let Some((_, source)) = &from.entry else { return Err(Errno::ENOENT) };
    check_delete(credentials, &from.directory, source, source.file_type())?;
    match &to.entry {
        None => credentials.check(&to.directory, Access::WRITE | Access::EXECUTE)?,
        Some((_, target)) => {
            let wanted = if exchange { target.file_type() } else { source.file_type() };
            check_delete(credentials, &to.directory, target, wanted)?;
        }
    }
    if from.walk.at == to.walk.at {
        return Ok(());
    }
    // A directory that moves gets another `..`: that is a change of the directory itself.
    if source.is_directory() {
        credentials.check(source, Access::WRITE)?;
    }
    match &to.entry {
        Some((_, target)) if exchange && target.file_type() == FileType::Directory => {
            credentials.check(target, Access::WRITE)
        }
        _ => Ok(()),
    }
}
