//! Making, moving and removing names.

use super::handle::{PathArgument, offset as checked_offset, only};
use super::transfer::check_size;
use super::{Args, Call, call};
use crate::mm::user;
use ampoule_kbase::{Errno, Result};
use linux_raw_sys::general as linux;
use linux_raw_sys::general::{AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_FOLLOW};

/// The calls of this family.
pub const CALLS: &[Call] = &[
    call(linux::__NR_mkdir, "mkdir", "so", |args| mkdir(HERE, args[0], args[1])),
    call(linux::__NR_mkdirat, "mkdirat", "dso", |args| mkdir(args[0], args[1], args[2])),
    call(linux::__NR_mknod, "mknod", "sox", |args| mknod(HERE, args[0], args[1], args[2])),
    call(linux::__NR_mknodat, "mknodat", "dsox", |args| mknod(args[0], args[1], args[2], args[3])),
    call(linux::__NR_rmdir, "rmdir", "s", |args| rmdir(HERE, args[0])),
    call(linux::__NR_unlink, "unlink", "s", |args| unlink(HERE, args[0])),
    call(linux::__NR_unlinkat, "unlinkat", "dsx", unlinkat),
    call(linux::__NR_rename, "rename", "ss", |args| rename((HERE, args[0]), (HERE, args[1]), 0)),
    call(linux::__NR_renameat, "renameat", "dsds", |args| rename((args[0], args[1]), (args[2], args[3]), 0)),
    call(linux::__NR_renameat2, "renameat2", "dsdsx", |args| {
        rename((args[0], args[1]), (args[2], args[3]), args[4])
    }),
    call(linux::__NR_link, "link", "ss", |args| link((HERE, args[0]), (HERE, args[1]), 0)),
    call(linux::__NR_linkat, "linkat", "dsdsx", |args| link((args[0], args[1]), (args[2], args[3]), args[4])),
    call(linux::__NR_symlink, "symlink", "ss", |args| symlink(args[0], HERE, args[1])),
    call(linux::__NR_symlinkat, "symlinkat", "sds", |args| symlink(args[0], args[1], args[2])),
    call(linux::__NR_readlink, "readlink", "sxi", |args| readlink(HERE, args[0], args[1], args[2])),
    call(linux::__NR_readlinkat, "readlinkat", "dsxi", |args| readlink(args[0], args[1], args[2], args[3])),
    call(linux::__NR_truncate, "truncate", "si", truncate),
];

/// What stands for the working directory.
const HERE: u64 = AT_FDCWD as u64;

fn mkdir(directory: u64, path: u64, mode: u64) -> Result<u64> {
    let place = PathArgument::at(directory, path)?;
    place.context.mkdir(&place.base, &place.path, mode as u32)?;
    Ok(0)
}

fn mknod(directory: u64, path: u64, mode: u64, device: u64) -> Result<u64> {
    let place = PathArgument::at(directory, path)?;
    place.context.mknod(&place.base, &place.path, mode as u32 & 0o177_777, u64::from(device as u32))?;
    Ok(0)
}

fn rmdir(directory: u64, path: u64) -> Result<u64> {
    let place = PathArgument::at(directory, path)?;
    place.context.rmdir(&place.base, &place.path)?;
    Ok(0)
}

fn unlink(directory: u64, path: u64) -> Result<u64> {
    let place = PathArgument::at(directory, path)?;
    place.context.unlink(&place.base, &place.path)?;
    Ok(0)
}

fn unlinkat(args: &Args) -> Result<u64> {
    match only(args[2], AT_REMOVEDIR)? {
        0 => unlink(args[0], args[1]),
        _ => rmdir(args[0], args[1]),
    }
}

fn rename(old: (u64, u64), new: (u64, u64), flags: u64) -> Result<u64> {
    let flags = only(flags, linux::RENAME_NOREPLACE | linux::RENAME_EXCHANGE)?;
    let old = PathArgument::at(old.0, old.1)?;
    let new = PathArgument::at(new.0, new.1)?;
    old.context.rename(old.pair(), new.pair(), flags)?;
    Ok(0)
}

fn link(old: (u64, u64), new: (u64, u64), flags: u64) -> Result<u64> {
    let flags = only(flags, AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)?;
    let old = PathArgument::at(old.0, old.1)?;
    let new = PathArgument::at(new.0, new.1)?;
    old.context.link(old.pair(), new.pair(), flags)?;
    Ok(0)
}

fn symlink(target: u64, directory: u64, path: u64) -> Result<u64> {
    let target = user::read_path(target)?;
    let place = PathArgument::at(directory, path)?;
    place.context.symlink(&target, &place.base, &place.path)?;
    Ok(0)
}

fn readlink(directory: u64, path: u64, buffer: u64, size: u64) -> Result<u64> {
    let size = usize::try_from(size as i32).ok().filter(|size| *size > 0).ok_or(Errno::EINVAL)?;
    let place = PathArgument::at(directory, path)?;
    let text = place.context.read_link(&place.base, &place.path)?;
    let text = &text[..text.len().min(size)];
    user::write_bytes(buffer, text)?;
    Ok(text.len() as u64)
}

fn truncate(args: &Args) -> Result<u64> {
    let length = checked_offset(args[1])?;
    let location = PathArgument::here(args[0])?.resolve(0)?;
    check_size(location.stat().size, length)?;
    location.truncate(length)?;
    Ok(0)
}
