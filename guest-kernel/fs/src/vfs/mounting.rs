//! `mount(2)`, `umount2(2)`, and the texts that list mounts.

use super::mount::{Location, Mount, MountFlags};
use super::walk::Follow;
use super::{Context, Credentials, FileSystem};
use crate::volume::{Limits, Volume};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, FileType, Result};
use linux_raw_sys::general::{
    MS_BIND, MS_MGC_MSK, MS_MGC_VAL, MS_MOVE, MS_PRIVATE, MS_REC, MS_REMOUNT, MS_SHARED, MS_SLAVE,
    MS_UNBINDABLE,
};

/// `umount2(2)`: take it out of the tree even if it is busy.
const MNT_DETACH: u32 = 2;
const MNT_FORCE: u32 = 1;
const UMOUNT_NOFOLLOW: u32 = 8;
/// Mounts at a time.
const MOUNTS_MAX: usize = 1000;

impl Context {
    /// `mount(2)` with `MS_*` flags. `data` are the options, without the final zero byte.
    pub fn mount(&self, source: &[u8], target: &[u8], kind: &[u8], flags: u32, data: &[u8]) -> Result<()> {
        if !Credentials::current().is_root() {
            return Err(Errno::EPERM);
        }
        let flags = if flags & MS_MGC_MSK == MS_MGC_VAL { flags & !MS_MGC_MSK } else { flags };
        let target = self.resolve(&self.cwd, target, Follow::Last)?;
        let mount_flags = MountFlags::from_bits_truncate(flags);
        if flags & MS_REMOUNT != 0 {
            return remount(&target, mount_flags, flags & MS_BIND != 0, data);
        }
        if flags & MS_BIND != 0 {
            let source = self.resolve(&self.cwd, source, Follow::Last)?;
            return bind(&source, &target, flags & MS_REC != 0);
        }
        if flags & (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE) != 0 {
            // There is one mount namespace, so there is nowhere to propagate to.
            return if target.is_mount_root() { Ok(()) } else { Err(Errno::EINVAL) };
        }
        if flags & MS_MOVE != 0 {
            let source = self.resolve(&self.cwd, source, Follow::Last)?;
            return move_mount(&source, &target);
        }
        let fs = self.make_file_system(kind, source, data)?;
        self.mount_at(fs, source, &target, mount_flags)
    }

    /// Mounts a file system on a directory. The kernel uses it at start-up.
    pub fn mount_at(
        &self,
        fs: Arc<dyn FileSystem>,
        source: &[u8],
        target: &Location,
        flags: MountFlags,
    ) -> Result<()> {
        if !target.attributes().is_directory() {
            return Err(Errno::ENOTDIR);
        }
        if target.is_mount_root() && Arc::ptr_eq(&target.mount.fs, &fs) {
            return Err(Errno::EBUSY);
        }
        check_count(target)?;
        let root = fs.root();
        Mount::attach(Mount::new(fs, root, source, flags), target);
        Ok(())
    }

    fn make_file_system(&self, kind: &[u8], source: &[u8], data: &[u8]) -> Result<Arc<dyn FileSystem>> {
        Ok(match kind {
            b"tmpfs" | b"ramfs" => Volume::tmpfs(Limits::parse(data)?),
            b"proc" => crate::proc::file_system()?,
            b"sysfs" => crate::dev::sysfs(),
            b"devtmpfs" => crate::dev::devfs(),
            b"devpts" => crate::dev::devpts(),
            b"erofs" => {
                let device = self.resolve(&self.cwd, source, Follow::Last)?;
                if device.attributes().file_type() != FileType::BlockDevice {
                    return Err(Errno::ENOTBLK);
                }
                let image = crate::special::special()?.image(device.stat().rdev)?;
                Volume::read_only(image)?
            }
            _ => return Err(Errno::ENODEV),
        })
    }

    /// `umount2(2)`.
    pub fn unmount(&self, target: &[u8], flags: u32) -> Result<()> {
        if flags & !(MNT_DETACH | MNT_FORCE | UMOUNT_NOFOLLOW) != 0 {
            return Err(Errno::EINVAL);
        }
        if !Credentials::current().is_root() {
            return Err(Errno::EPERM);
        }
        let follow = if flags & UMOUNT_NOFOLLOW != 0 { Follow::Never } else { Follow::Last };
        let target = self.resolve(&self.cwd, target, follow)?;
        if !target.is_mount_root() {
            return Err(Errno::EINVAL);
        }
        let mount = target.mount;
        if mount.mount_point().is_none() {
            return Err(Errno::EBUSY);
        }
        // One reference here, one in the parent's list; any other is a directory or a file that somebody has open.
        if flags & MNT_DETACH == 0 && (mount.has_children() || Arc::strong_count(&mount) > 2) {
            return Err(Errno::EBUSY);
        }
        mount.detach();
        Ok(())
    }
}

fn remount(target: &Location, flags: MountFlags, only_mount: bool, data: &[u8]) -> Result<()> {
    if !target.is_mount_root() {
        return Err(Errno::EINVAL);
    }
    if !only_mount {
        target.mount.fs.remount(data)?;
    }
    target.mount.set_flags(flags);
    Ok(())
}

fn bind(source: &Location, target: &Location, recursive: bool) -> Result<()> {
    if source.attributes().is_directory() != target.attributes().is_directory() {
        return Err(Errno::ENOTDIR);
    }
    // The copies are made first, so that a mount below itself is not copied for ever.
    let copy = copy_mount(&source.mount, &source.inode);
    let mut todo = vec![(source.mount.clone(), copy.clone())];
    while let Some((original, copy)) = todo.pop() {
        for child in original.children() {
            let Some(point) = child.mount_point() else { continue };
            if !recursive || !lies_below(&point, source) {
                continue;
            }
            check_count(target)?;
            let child_copy = copy_mount(&child, &child.root);
            todo.push((child, child_copy.clone()));
            Mount::attach(child_copy, &Location { mount: copy.clone(), inode: point.inode });
        }
    }
    check_count(target)?;
    Mount::attach(copy, target);
    Ok(())
}

fn copy_mount(original: &Arc<Mount>, root: &Arc<dyn super::Inode>) -> Arc<Mount> {
    Mount::new(original.fs.clone(), root.clone(), &original.source, original.flags())
}

fn move_mount(source: &Location, target: &Location) -> Result<()> {
    if !source.is_mount_root() || source.mount.mount_point().is_none() {
        return Err(Errno::EINVAL);
    }
    if source.attributes().is_directory() != target.attributes().is_directory() {
        return Err(Errno::ENOTDIR);
    }
    if lies_below(target, source) {
        return Err(Errno::ELOOP);
    }
    source.mount.detach();
    Mount::attach(source.mount.clone(), target);
    Ok(())
}

/// Whether `lower` is `upper` or below it, mounts included.
fn lies_below(lower: &Location, upper: &Location) -> bool {
    lower.path(Some(upper)).reached
}

/// The root of all mounts.
fn tree_root(mount: &Arc<Mount>) -> Arc<Mount> {
    let mut at = mount.clone();
    while let Some(point) = at.mount_point() {
        at = point.mount;
    }
    at
}

/// All mounts, each one after the one it is mounted on.
fn all_mounts(root: &Arc<Mount>) -> Vec<Arc<Mount>> {
    let mut found = vec![root.clone()];
    let mut next = 0;
    while let Some(mount) = found.get(next) {
        let children = mount.children();
        found.extend(children);
        next += 1;
    }
    found.sort_by_key(|mount| mount.id);
    found
}

fn check_count(target: &Location) -> Result<()> {
    if all_mounts(&tree_root(&target.mount)).len() >= MOUNTS_MAX { Err(Errno::ENOSPC) } else { Ok(()) }
}

/// The options of the mount itself.
fn push_options(out: &mut Vec<u8>, mount: &Mount) {
    let flags = mount.flags();
    out.extend_from_slice(if mount.check_writable().is_err() { b"ro" } else { b"rw" });
    let names = [
        (MountFlags::NO_SETUID, ",nosuid"),
        (MountFlags::NO_DEVICES, ",nodev"),
        (MountFlags::NO_EXECUTE, ",noexec"),
        (MountFlags::NO_SYMLINKS, ",nosymfollow"),
    ];
    for (flag, name) in names {
        if flags.contains(flag) {
            out.extend_from_slice(name.as_bytes());
        }
    }
    // Access times are never kept, whatever was asked for.
    out.extend_from_slice(b",noatime");
}

/// Writes a name with blanks and backslashes in octal, as `getmntent(3)` wants them.
fn escape(out: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' | b'#' => out.extend_from_slice(format!("\\{byte:03o}").as_bytes()),
            _ => out.push(*byte),
        }
    }
}

fn push_source(out: &mut Vec<u8>, mount: &Mount) {
    if mount.source.is_empty() { out.extend_from_slice(b"none") } else { escape(out, &mount.source) }
}

/// `/proc/PID/mounts` for a process with this root directory.
pub fn mounts_text(root: &Location) -> Vec<u8> {
    let mut out = Vec::new();
    for mount in all_mounts(&tree_root(&root.mount)) {
        let path = mount.root().path(Some(root));
        if !path.reached {
            continue;
        }
        push_source(&mut out, &mount);
        out.push(b' ');
        escape(&mut out, &path.text);
        out.extend_from_slice(format!(" {} ", mount.fs.type_name()).as_bytes());
        push_options(&mut out, &mount);
        out.extend_from_slice(mount.fs.options().as_bytes());
        out.extend_from_slice(b" 0 0\n");
    }
    out
}

/// `/proc/PID/mountinfo` for a process with this root directory.
pub fn mountinfo_text(root: &Location) -> Vec<u8> {
    let mut out = Vec::new();
    for mount in all_mounts(&tree_root(&root.mount)) {
        let path = mount.root().path(Some(root));
        if !path.reached {
            continue;
        }
        let parent = mount.mount_point().map_or(mount.id, |point| point.mount.id);
        let device = mount.fs.device();
        let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xfff00);
        out.extend_from_slice(format!("{} {parent} {major}:{minor} ", mount.id).as_bytes());
        // The path inside the file system: as if it were mounted alone.
        let alone = Mount::new_root(mount.fs.clone(), b"", MountFlags::empty());
        escape(&mut out, &Location { mount: alone, inode: mount.root.clone() }.path(None).text);
        out.push(b' ');
        escape(&mut out, &path.text);
        out.push(b' ');
        push_options(&mut out, &mount);
        out.extend_from_slice(format!(" - {} ", mount.fs.type_name()).as_bytes());
        push_source(&mut out, &mount);
        out.extend_from_slice(if mount.fs.read_only() { b" ro" } else { b" rw" });
        out.extend_from_slice(mount.fs.options().as_bytes());
        out.push(b'\n');
    }
    out
}
