//! Directories: the current one, the root, the umask, listings.

use super::handle::{self, PathArgument, usable};
use super::{Args, Call, call, file};
use crate::mm::user;
use crate::task::{credentials::capability, current};
use alloc::vec::Vec;
use ampoule_kbase::{DirEntry, Errno, Result};
use ampoule_kfs::location;
use linux_raw_sys::general as linux;

/// The calls of this family.
pub const CALLS: &[Call] = &[
    call(linux::__NR_getcwd, "getcwd", "xu", getcwd),
    call(linux::__NR_chdir, "chdir", "s", chdir),
    call(linux::__NR_fchdir, "fchdir", "d", fchdir),
    call(linux::__NR_chroot, "chroot", "s", chroot),
    call(linux::__NR_umask, "umask", "o", umask),
    call(linux::__NR_getdents, "getdents", "dxu", |args| list(args, push_old_entry)),
    call(linux::__NR_getdents64, "getdents64", "dxu", |args| list(args, push_entry)),
];

fn getcwd(args: &Args) -> Result<u64> {
    let mut path = handle::context().current_directory()?;
    path.push(0);
    if path.len() as u64 > args[1] {
        return Err(Errno::ERANGE);
    }
    user::write_bytes(args[0], &path)?;
    Ok(path.len() as u64)
}

fn chdir(args: &Args) -> Result<u64> {
    let directory = PathArgument::here(args[0])?.resolve(0)?;
    handle::change_context(|context| context.set_cwd(directory))?;
    Ok(0)
}

fn fchdir(args: &Args) -> Result<u64> {
    let open = file(args[0])?;
    let directory = location(&open).ok_or(Errno::ENOTDIR)?.clone();
    handle::change_context(|context| context.set_cwd(directory))?;
    Ok(0)
}

fn chroot(args: &Args) -> Result<u64> {
    let directory = PathArgument::here(args[0])?.resolve(0)?;
    if directory.attributes().is_directory()
        && !current().process.credentials.lock().has(capability::SYS_CHROOT)
    {
        return Err(Errno::EPERM);
    }
    handle::change_context(|context| context.set_root(directory))?;
    Ok(0)
}

fn umask(args: &Args) -> Result<u64> {
    let mask = args[0] as u32 & 0o777;
    Ok(handle::change_context(|context| core::mem::replace(&mut context.umask, mask)).into())
}

/// Bytes of a listing that are collected before they are copied out.
const LISTING_MAX: usize = 64 << 10;

/// Appends entries, each by `push` unless there is no room for it, and moves the directory's offset behind the last.
fn list(args: &Args, push: fn(&mut Vec<u8>, &DirEntry, usize) -> bool) -> Result<u64> {
    let open = usable(args[0])?;
    let room = (args[2] as u32 as usize).min(LISTING_MAX);
    let mut listing = Vec::with_capacity(room.min(4096));
    let mut at = *open.offset.lock();
    let mut full = false;
    open.file.read_directory(at, &mut |entry| {
        full = !push(&mut listing, &entry, room);
        if !full {
            at = entry.next_offset;
        }
        !full
    })?;
    if full && listing.is_empty() {
        return Err(Errno::EINVAL);
    }
    user::write_bytes(args[1], &listing)?;
    *open.offset.lock() = at;
    Ok(listing.len() as u64)
}

/// Starts a record of inode number, next offset, length; `false` where it has no room. `fixed`: bytes beside the name.
fn start_record(listing: &mut Vec<u8>, entry: &DirEntry, fixed: usize, room: usize) -> Option<usize> {
    let length = (fixed + entry.name.len()).next_multiple_of(8);
    let end = listing.len() + length;
    if end > room {
        return None;
    }
    listing.extend_from_slice(&entry.ino.to_ne_bytes());
    listing.extend_from_slice(&entry.next_offset.to_ne_bytes());
    listing.extend_from_slice(&(length as u16).to_ne_bytes());
    Some(end)
}

/// `struct linux_dirent64`: the type before the name.
fn push_entry(listing: &mut Vec<u8>, entry: &DirEntry, room: usize) -> bool {
    let Some(end) = start_record(listing, entry, 8 + 8 + 2 + 1 + 1, room) else { return false };
    listing.push(entry.file_type.dirent_type());
    listing.extend_from_slice(&entry.name);
    listing.resize(end, 0);
    true
}

/// `struct linux_dirent`: the type in the last byte.
fn push_old_entry(listing: &mut Vec<u8>, entry: &DirEntry, room: usize) -> bool {
    let Some(end) = start_record(listing, entry, 8 + 8 + 2 + 1 + 1, room) else { return false };
    listing.extend_from_slice(&entry.name);
    listing.resize(end - 1, 0);
    listing.push(entry.file_type.dirent_type());
    true
}
