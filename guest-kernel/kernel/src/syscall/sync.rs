//! Sizes and storage of open files: `ftruncate`, `fallocate`, `fsync` and their like, hints, `memfd_create`. Everything
//! lives in memory, so there is nothing to write back.

use super::handle::{offset as checked_offset, only, usable};
use super::transfer::{check_size, is_regular};
use super::{Args, Call, add_file, call, file};
use crate::mm::user;
use ampoule_kbase::{Errno, FileType, OpenFile, Result};
use ampoule_kfs::{location, volume};
use ampoule_kio::pipe::PipeEnd;
use linux_raw_sys::general as linux;

/// The calls of this family.
pub const CALLS: &[Call] = &[
    call(linux::__NR_ftruncate, "ftruncate", "di", ftruncate),
    call(linux::__NR_fallocate, "fallocate", "dxii", fallocate),
    call(linux::__NR_fsync, "fsync", "d", fsync),
    call(linux::__NR_fdatasync, "fdatasync", "d", fsync),
    call(linux::__NR_sync, "sync", "", |_| Ok(0)),
    call(linux::__NR_syncfs, "syncfs", "d", |args| usable(args[0]).map(|_| 0)),
    call(linux::__NR_sync_file_range, "sync_file_range", "diix", sync_file_range),
    call(linux::__NR_fadvise64, "fadvise64", "diii", fadvise),
    call(linux::__NR_readahead, "readahead", "diu", readahead),
    call(linux::__NR_memfd_create, "memfd_create", "sx", memfd_create),
];

fn ftruncate(args: &Args) -> Result<u64> {
    let length = checked_offset(args[1])?;
    let open = usable(args[0])?;
    if !open.writable() || !is_regular(&open)? {
        return Err(Errno::EINVAL);
    }
    check_size(open.file.stat()?.size, length)?;
    open.file.truncate(length)?;
    Ok(0)
}

fn fallocate(args: &Args) -> Result<u64> {
    const KNOWN: u32 = 0xff;
    let open = usable(args[0])?;
    let (offset, length) = (checked_offset(args[2])?, checked_offset(args[3])?);
    if length == 0 {
        return Err(Errno::EINVAL);
    }
    let mode = only(args[1], KNOWN).map_err(|_| Errno::EOPNOTSUPP)?;
    if !open.writable() {
        return Err(Errno::EBADF);
    }
    if PipeEnd::of(&*open.file).is_some() {
        return Err(Errno::ESPIPE);
    }
    if !is_regular(&open)? {
        return Err(Errno::ENODEV);
    }
    let end = offset.checked_add(length).filter(|end| *end <= i64::MAX as u64).ok_or(Errno::EFBIG)?;
    let keeps_size = mode & (linux::FALLOC_FL_KEEP_SIZE | linux::FALLOC_FL_PUNCH_HOLE) != 0;
    if !keeps_size {
        check_size(open.file.stat()?.size, end)?;
    }
    let place = location(&open).ok_or(Errno::ENODEV)?;
    place.inode().allocate(mode, offset, length)?;
    Ok(0)
}

/// Whether a file lives in a file system, rather than being only named by it.
fn is_stored(open: &OpenFile) -> bool {
    open.place.is_none() && location(open).is_some()
}

fn fsync(args: &Args) -> Result<u64> {
    if is_stored(&*usable(args[0])?) { Ok(0) } else { Err(Errno::EINVAL) }
}

fn sync_file_range(args: &Args) -> Result<u64> {
    only(args[3], 7)?;
    let (offset, length) = (checked_offset(args[1])?, checked_offset(args[2])?);
    if offset.checked_add(length).is_none_or(|end| end > i64::MAX as u64) {
        return Err(Errno::EINVAL);
    }
    let open = usable(args[0])?;
    let kind = FileType::from_mode(open.file.stat()?.mode);
    match kind {
        Some(FileType::Regular | FileType::BlockDevice | FileType::Directory | FileType::Symlink) => Ok(0),
        _ => Err(Errno::ESPIPE),
    }
}

fn fadvise(args: &Args) -> Result<u64> {
    let open = usable(args[0])?;
    if PipeEnd::of(&*open.file).is_some() {
        return Err(Errno::ESPIPE);
    }
    let known = args[3] as u32 <= linux::POSIX_FADV_NOREUSE;
    if (args[2] as i64) < 0 || !known { Err(Errno::EINVAL) } else { Ok(0) }
}

fn readahead(args: &Args) -> Result<u64> {
    let open = file(args[0])?;
    if !open.readable() {
        return Err(Errno::EBADF);
    }
    if is_regular(&open)? { Ok(0) } else { Err(Errno::EINVAL) }
}

fn memfd_create(args: &Args) -> Result<u64> {
    use linux_raw_sys::general::{MFD_ALLOW_SEALING, MFD_CLOEXEC, MFD_EXEC, MFD_NOEXEC_SEAL};
    /// The longest name, its final zero byte not counted.
    const NAME_MAX: usize = 249;
    let flags = only(args[1], MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC | MFD_NOEXEC_SEAL)?;
    if flags & (MFD_EXEC | MFD_NOEXEC_SEAL) == MFD_EXEC | MFD_NOEXEC_SEAL {
        return Err(Errno::EINVAL);
    }
    let name = user::read_string(args[0], NAME_MAX + 1).map_err(|error| match error {
        Errno::ENAMETOOLONG => Errno::EINVAL,
        error => error,
    })?;
    let sealed_executable = flags & MFD_NOEXEC_SEAL != 0;
    let open = volume::memfd(&name, flags & MFD_ALLOW_SEALING != 0 || sealed_executable)?;
    if sealed_executable {
        let place = location(&open).ok_or(Errno::EINVAL)?;
        place.chmod(0o666)?;
        place.inode().add_seals(linux::F_SEAL_EXEC)?;
    }
    add_file(open, flags & MFD_CLOEXEC != 0)
}
