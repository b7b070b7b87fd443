//! Reading, writing and seeking.

use super::handle::{offset as checked_offset, only};
use super::transfer::{self, Mode};
use super::{Args, Call, call, file};
use crate::mm::user::UserBuffers;
use ampoule_kbase::{Errno, FileType, OpenFile, Result};
use ampoule_kfs::dev::{Memory, MemoryDevice};
use ampoule_kfs::location;
use linux_raw_sys::general as linux;
use linux_raw_sys::general::{RWF_APPEND, RWF_DSYNC, RWF_HIPRI, RWF_NOWAIT, RWF_SYNC};

/// The calls of this family.
pub const CALLS: &[Call] = &[
    call(linux::__NR_read, "read", "dxu", read),
    call(linux::__NR_write, "write", "dxu", write),
    call(linux::__NR_readv, "readv", "dxu", readv),
    call(linux::__NR_writev, "writev", "dxu", writev),
    call(linux::__NR_pread64, "pread64", "dxui", pread),
    call(linux::__NR_pwrite64, "pwrite64", "dxui", pwrite),
    call(linux::__NR_preadv, "preadv", "dxui", preadv),
    call(linux::__NR_pwritev, "pwritev", "dxui", pwritev),
    call(linux::__NR_preadv2, "preadv2", "dxuiix", preadv2),
    call(linux::__NR_pwritev2, "pwritev2", "dxuiix", pwritev2),
    call(linux::__NR_lseek, "lseek", "dii", lseek),
];

/// `RWF_NOAPPEND`, which the headers do not name yet.
const RWF_NOAPPEND: u32 = 0x20;
const PLAIN: Mode = Mode { nowait: false, append: None };

fn read(args: &Args) -> Result<u64> {
    let open = file(args[0])?;
    let mut buffers = UserBuffers::one(args[1], args[2])?;
    Ok(transfer::read(&open, &mut buffers, None, PLAIN)? as u64)
}

fn write(args: &Args) -> Result<u64> {
    let open = file(args[0])?;
    let mut buffers = UserBuffers::one(args[1], args[2])?;
    Ok(transfer::write(&open, &mut buffers, None, PLAIN)? as u64)
}

/// An `iovec` array, once the descriptor is known to be open for what is wanted.
fn vector(allowed: bool, args: &Args) -> Result<UserBuffers> {
    if allowed { UserBuffers::vector(args[1], args[2]) } else { Err(Errno::EBADF) }
}

fn readv(args: &Args) -> Result<u64> {
    let open = file(args[0])?;
    let mut buffers = vector(open.readable(), args)?;
    Ok(transfer::read(&open, &mut buffers, None, PLAIN)? as u64)
}

fn writev(args: &Args) -> Result<u64> {
    let open = file(args[0])?;
    let mut buffers = vector(open.writable(), args)?;
    Ok(transfer::write(&open, &mut buffers, None, PLAIN)? as u64)
}

/// The descriptor of a call that brings its own position.
fn positioned(fd: u64, position: u64) -> Result<(alloc::sync::Arc<OpenFile>, Option<u64>)> {
    let position = checked_offset(position)?;
    let open = super::handle::usable(fd)?;
    if open.file.seekable() { Ok((open, Some(position))) } else { Err(Errno::ESPIPE) }
}

fn pread(args: &Args) -> Result<u64> {
    let (open, position) = positioned(args[0], args[3])?;
    let mut buffers = UserBuffers::one(args[1], args[2])?;
    Ok(transfer::read(&open, &mut buffers, position, PLAIN)? as u64)
}

fn pwrite(args: &Args) -> Result<u64> {
    let (open, position) = positioned(args[0], args[3])?;
    let mut buffers = UserBuffers::one(args[1], args[2])?;
    Ok(transfer::write(&open, &mut buffers, position, PLAIN)? as u64)
}

fn preadv(args: &Args) -> Result<u64> {
    let (open, position) = positioned(args[0], args[3])?;
    let mut buffers = vector(open.readable(), args)?;
    Ok(transfer::read(&open, &mut buffers, position, PLAIN)? as u64)
}

fn pwritev(args: &Args) -> Result<u64> {
    let (open, position) = positioned(args[0], args[3])?;
    let mut buffers = vector(open.writable(), args)?;
    Ok(transfer::write(&open, &mut buffers, position, PLAIN)? as u64)
}

/// The position argument of the newest calls, where -1 stands for the file's own.
fn file_or_position(args: &Args) -> Result<(alloc::sync::Arc<OpenFile>, Option<u64>)> {
    if args[3] == u64::MAX { Ok((file(args[0])?, None)) } else { positioned(args[0], args[3]) }
}

fn mode_of(flags: u64) -> Result<Mode> {
    const KNOWN: u32 = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND | RWF_NOAPPEND;
    let flags = only(flags, KNOWN).map_err(|_| Errno::EOPNOTSUPP)?;
    let append = match flags & (RWF_APPEND | RWF_NOAPPEND) {
        0 => None,
        RWF_APPEND => Some(true),
        RWF_NOAPPEND => Some(false),
        _ => return Err(Errno::EINVAL),
    };
    Ok(Mode { nowait: flags & RWF_NOWAIT != 0, append })
}

fn preadv2(args: &Args) -> Result<u64> {
    let (open, position) = file_or_position(args)?;
    let mut buffers = vector(open.readable(), args)?;
    Ok(transfer::read(&open, &mut buffers, position, mode_of(args[5])?)? as u64)
}

fn pwritev2(args: &Args) -> Result<u64> {
    let (open, position) = file_or_position(args)?;
    let mut buffers = vector(open.writable(), args)?;
    Ok(transfer::write(&open, &mut buffers, position, mode_of(args[5])?)? as u64)
}

fn lseek(args: &Args) -> Result<u64> {
    let open = super::handle::usable(args[0])?;
    let (distance, whence) = (args[1] as i64, args[2] as u32);
    if whence > linux::SEEK_MAX {
        return Err(Errno::EINVAL);
    }
    if !open.file.seekable() {
        // Event files have no type, and an offset that stays 0.
        let is_event = FileType::from_mode(open.file.stat()?.mode).is_none();
        return if is_event { Ok(0) } else { Err(Errno::ESPIPE) };
    }
    if let Some(memory) = open.file.as_any().downcast_ref::<Memory>() {
        // As Linux: these have an offset, but one that stays where it is.
        return Ok(if memory.device() == MemoryDevice::Random { *open.offset.lock() } else { 0 });
    }
    let new = match whence {
        linux::SEEK_SET => Some(distance),
        linux::SEEK_CUR => (*open.offset.lock() as i64).checked_add(distance),
        linux::SEEK_END => (open.file.stat()?.size as i64).checked_add(distance),
        _ => return seek_data(&open, distance, whence == linux::SEEK_HOLE),
    };
    let new = new.and_then(|new| u64::try_from(new).ok()).ok_or(Errno::EINVAL)?;
    *open.offset.lock() = new;
    Ok(new)
}

/// `SEEK_DATA` and `SEEK_HOLE`.
fn seek_data(open: &OpenFile, from: i64, hole: bool) -> Result<u64> {
    let size = open.file.stat()?.size;
    let from = u64::try_from(from).ok().filter(|from| *from < size).ok_or(Errno::ENXIO)?;
    let found = match location(open) {
        Some(place) if open.place.is_none() => place.inode().seek(from, hole)?,
        _ if hole => size,
        _ => from,
    };
    *open.offset.lock() = found;
    Ok(found)
}
