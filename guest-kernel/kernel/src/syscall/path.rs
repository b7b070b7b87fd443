//! Opening files by path.

use super::fdops::check_room;
use super::handle::{self, PathArgument};
use super::{Args, Call, add_file, call, file};
use crate::mm::user;
use crate::task::sched;
use alloc::sync::Arc;
use ampoule_kbase::{Errno, FileType, OpenFile, Result};
use ampoule_kfs::{Context, Location, Opening, location};
use linux_raw_sys::general as linux;
use linux_raw_sys::general::{
    AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, O_CLOEXEC, O_CREAT, O_NOFOLLOW, O_PATH, O_RDONLY, O_TRUNC,
    O_WRONLY,
};

/// The calls of this family.
pub const CALLS: &[Call] = &[
    call(linux::__NR_open, "open", "sxo", |args| {
        open_at(AT_FDCWD as u64, args[0], args[1] as u32, args[2] as u32)
    }),
    call(linux::__NR_openat, "openat", "dsxo", |args| {
        open_at(args[0], args[1], args[2] as u32, args[3] as u32)
    }),
    call(linux::__NR_openat2, "openat2", "dsxu", openat2),
    call(linux::__NR_creat, "creat", "so", |args| {
        open_at(AT_FDCWD as u64, args[0], O_CREAT | O_WRONLY | O_TRUNC, args[1] as u32)
    }),
];

/// `O_*` bits that mean something; `open` and `openat` ignore all others.
const OPEN_FLAGS: u32 = 0o37_777_703;

fn open_at(directory: u64, path: u64, flags: u32, mode: u32) -> Result<u64> {
    let place = PathArgument::at(directory, path)?;
    open(&place.context, &place.base, &place.path, flags & OPEN_FLAGS, mode & 0o7777)
}

fn open(context: &Context, base: &Location, path: &[u8], flags: u32, mode: u32) -> Result<u64> {
    check_room()?;
    let opening = context.open(base, path, flags, mode)?;
    add_file(completed(opening)?, flags & O_CLOEXEC != 0)
}

/// Waits until the other side of a FIFO is there.
fn completed(opening: Opening) -> Result<Arc<OpenFile>> {
    let Opening { file: open, complete } = opening;
    if let Some(complete) = complete {
        let attempt = || if complete() { Ok(()) } else { Err(Errno::EAGAIN) };
        sched::retry(open.file.wait_queue(), None, Errno::EAGAIN, attempt)?;
    }
    Ok(open)
}

/// The `RESOLVE_*` bits of Linux.
const RESOLUTIONS: u32 = 0x3f;

/// `struct open_how`: flags, mode, resolve.
fn openat2(args: &Args) -> Result<u64> {
    const SIZE: u64 = 24;
    const PAGE: u64 = 4096;
    let size = args[3];
    if size < SIZE {
        return Err(Errno::EINVAL);
    }
    if size > PAGE {
        return Err(Errno::E2BIG);
    }
    let [flags, mode, resolve] = user::read::<[u64; 3]>(args[2])?;
    let mut further = alloc::vec![0; (size - SIZE) as usize];
    user::read_bytes(args[2] + SIZE, &mut further)?;
    if further.iter().any(|byte| *byte != 0) {
        return Err(Errno::E2BIG);
    }
    let creates = flags as u32 & (O_CREAT | linux::__O_TMPFILE) != 0;
    let unknown = flags & !u64::from(OPEN_FLAGS) != 0 || mode & !0o7777 != 0 || (mode != 0 && !creates);
    if unknown || resolve & !u64::from(RESOLUTIONS) != 0 {
        return Err(Errno::EINVAL);
    }
    // Resolution can be confined to a directory that is taken for the root, but not be made to stop at mounts or links:
    // programs then do without this call.
    match resolve as u32 {
        0 | linux::RESOLVE_IN_ROOT => {}
        resolve if resolve & linux::RESOLVE_CACHED != 0 => return Err(Errno::EAGAIN),
        _ => return Err(Errno::ENOSYS),
    }
    let path = user::read_path(args[1])?;
    let mut context = handle::context();
    let base = if resolve != 0 {
        let base = handle::base(&context, args[0], b"")?;
        context.root = base.clone();
        base
    } else {
        handle::base(&context, args[0], &path)?
    };
    open(&context, &base, &path, flags as u32, mode as u32)
}

/// Opens a file for `execve`: a regular one that the caller may execute, readable by the kernel whatever its mode.
pub fn open_program(path: &[u8]) -> Result<Arc<OpenFile>> {
    let context = handle::context();
    open_executable(&context, &context.cwd, path, O_PATH)
}

/// The same for `execveat`, with its `AT_EMPTY_PATH` and `AT_SYMLINK_NOFOLLOW`.
pub fn open_program_at(directory: u64, path: &[u8], flags: u32) -> Result<Arc<OpenFile>> {
    if path.is_empty() && flags & AT_EMPTY_PATH != 0 && directory as i32 != AT_FDCWD {
        let open = file(directory)?;
        return executable(&open);
    }
    let context = handle::context();
    let base = handle::base(&context, directory, path)?;
    let follow = if flags & AT_SYMLINK_NOFOLLOW != 0 { O_NOFOLLOW } else { 0 };
    open_executable(&context, &base, path, O_PATH | follow)
}

fn open_executable(context: &Context, base: &Location, path: &[u8], flags: u32) -> Result<Arc<OpenFile>> {
    executable(&context.open(base, path, flags, 0)?.file)
}

/// A description of the same file for reading, if it may be executed.
fn executable(open: &OpenFile) -> Result<Arc<OpenFile>> {
    let place = location(open).ok_or(Errno::EACCES)?;
    if place.attributes().file_type() == FileType::Symlink {
        return Err(Errno::ELOOP);
    }
    place.check_execute()?;
    Ok(OpenFile::new(open.file.clone(), O_RDONLY))
}
