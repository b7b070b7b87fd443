//! Descriptors: closing, duplicating, flags, pipes, `ioctl`.

use super::handle::{only, usable};
use super::locks::descriptor_closed;
use super::{Args, Call, add_file, call, file};
use crate::mm::user::{self, CurrentMemory};
use crate::task::current;
use crate::task::files::Descriptor;
use crate::task::limits::resource;
use alloc::sync::Arc;
use ampoule_kbase::{Errno, FileType, OpenFile, Result, UserMemory};
use ampoule_kfs::location;
use ampoule_kio::pipe;
use linux_raw_sys::general as linux;
use linux_raw_sys::general::{O_CLOEXEC, O_DIRECT, O_NONBLOCK, O_RDONLY, O_WRONLY};
use linux_raw_sys::ioctl as ioctls;

/// The calls of this family.
pub const CALLS: &[Call] = &[
    call(linux::__NR_close, "close", "d", close),
    call(linux::__NR_close_range, "close_range", "uux", close_range),
    call(linux::__NR_dup, "dup", "d", dup),
    call(linux::__NR_dup2, "dup2", "dd", dup2),
    call(linux::__NR_dup3, "dup3", "ddx", dup3),
    call(linux::__NR_ioctl, "ioctl", "dxx", ioctl),
    call(linux::__NR_pipe, "pipe", "x", |args| make_pipe(args[0], 0)),
    call(linux::__NR_pipe2, "pipe2", "xx", |args| make_pipe(args[0], args[1])),
];

/// The soft limit of descriptor numbers.
pub fn descriptor_limit() -> u64 {
    current().process.limits.lock().soft(resource::NOFILE)
}

/// `EMFILE` if there is no number for a further descriptor: for calls whose work could not be undone then.
pub fn check_room() -> Result<()> {
    let limit = descriptor_limit();
    if current().process.files.lock().lock().has_room(limit) { Ok(()) } else { Err(Errno::EMFILE) }
}

fn close(args: &Args) -> Result<u64> {
    let removed = current().process.files.lock().lock().remove(args[0] as i32)?;
    descriptor_closed(&removed.open);
    Ok(0)
}

fn close_range(args: &Args) -> Result<u64> {
    const UNSHARE: u32 = 1 << 1;
    const CLOEXEC: u32 = 1 << 2;
    let flags = only(args[2], UNSHARE | CLOEXEC)?;
    let (first, last) = (args[0] as u32, args[1] as u32);
    if first > last {
        return Err(Errno::EINVAL);
    }
    let process = &current().process;
    if flags & UNSHARE != 0 {
        let own = process.files().lock().copy()?;
        let shared = core::mem::replace(&mut *process.files.lock(), Arc::new(ampoule_kbase::Mutex::new(own)));
        drop(shared);
    }
    let files = process.files();
    let inside = |fd: i32| (first..=last).contains(&(fd as u32));
    if flags & CLOEXEC != 0 {
        let mut table = files.lock();
        for fd in table.numbers().into_iter().filter(|fd| inside(*fd)) {
            table.get_mut(fd)?.close_on_exec = true;
        }
        return Ok(0);
    }
    let end = files.lock().capacity() as u64;
    for fd in u64::from(first)..end.min(u64::from(last) + 1) {
        let removed = files.lock().remove(fd as i32);
        if let Ok(descriptor) = removed {
            descriptor_closed(&descriptor.open);
        }
    }
    Ok(0)
}

fn dup(args: &Args) -> Result<u64> {
    add_file(file(args[0])?, false)
}

/// Makes `new` name what `old` does; what it named before is closed.
fn replace(old: u64, new: u64, close_on_exec: bool) -> Result<u64> {
    let limit = descriptor_limit();
    if u64::from(new as u32) >= limit {
        return Err(Errno::EBADF);
    }
    let open = file(old)?;
    let files = current().process.files();
    let before = files.lock().set(new as i32, Descriptor { open, close_on_exec }, limit)?;
    if let Some(before) = before {
        descriptor_closed(&before.open);
    }
    Ok(u64::from(new as u32))
}

fn dup2(args: &Args) -> Result<u64> {
    if args[0] as u32 == args[1] as u32 {
        file(args[0])?;
        return Ok(u64::from(args[0] as u32));
    }
    replace(args[0], args[1], false)
}

fn dup3(args: &Args) -> Result<u64> {
    let flags = only(args[2], O_CLOEXEC)?;
    if args[0] as u32 == args[1] as u32 {
        return Err(Errno::EINVAL);
    }
    replace(args[0], args[1], flags & O_CLOEXEC != 0)
}

fn make_pipe(address: u64, flags: u64) -> Result<u64> {
    let flags = only(flags, O_CLOEXEC | O_NONBLOCK | O_DIRECT)?;
    let (reader, writer) = pipe::pipe();
    let status = flags & (O_NONBLOCK | O_DIRECT);
    writer.set_status_flags(status);
    let reader = OpenFile::new(reader, O_RDONLY | (status & O_NONBLOCK));
    let writer = OpenFile::new(writer, O_WRONLY | status);
    add_pair(reader, writer, flags & O_CLOEXEC != 0, address)
}

/// Enters two descriptions and tells the program their numbers: both or none.
pub fn add_pair(
    first: Arc<OpenFile>,
    second: Arc<OpenFile>,
    close_on_exec: bool,
    address: u64,
) -> Result<u64> {
    let files = current().process.files();
    let forget = |fd: u64| drop(files.lock().remove(fd as i32));
    let first = add_file(first, close_on_exec)?;
    let second = add_file(second, close_on_exec).inspect_err(|_| forget(first))?;
    user::write(address, [first as i32, second as i32]).inspect_err(|_| {
        forget(first);
        forget(second);
    })?;
    Ok(0)
}

fn ioctl(args: &Args) -> Result<u64> {
    let open = usable(args[0])?;
    let (command, argument) = (args[1] as u32, args[2]);
    match command {
        ioctls::FIOCLEX | ioctls::FIONCLEX => {
            current().process.files.lock().lock().get_mut(args[0] as i32)?.close_on_exec =
                command == ioctls::FIOCLEX;
            Ok(0)
        }
        ioctls::FIONBIO => {
            let set = user::read::<u32>(argument)? != 0;
            let others = open.flags() & !O_NONBLOCK;
            open.set_flags(if set { others | O_NONBLOCK } else { others });
            Ok(0)
        }
        // Nobody is ever told of readiness by a signal; to ask for none is fine.
        ioctls::FIOASYNC if user::read::<u32>(argument)? == 0 => Ok(0),
        ioctls::TIOCGPTPEER => open_terminal_peer(&open, argument as u32),
        _ => match file_system_ioctl(&open, command, argument) {
            Some(result) => result,
            None => open.file.ioctl(command, argument, &CurrentMemory),
        },
    }
}

fn open_terminal_peer(master: &OpenFile, flags: u32) -> Result<u64> {
    let peer = ampoule_kio::tty::open_peer(&*master.file, flags)?;
    let kept = flags & (linux::O_ACCMODE | O_NONBLOCK | linux::O_APPEND) | linux::O_LARGEFILE;
    add_file(OpenFile::new(peer, kept), flags & O_CLOEXEC != 0)
}

/// What Linux answers for every regular file (and directory, where it makes sense).
fn file_system_ioctl(open: &OpenFile, command: u32, argument: u64) -> Option<Result<u64>> {
    if open.place.is_some() {
        return None;
    }
    let stat = location(open)?.stat();
    let file_type = FileType::from_mode(stat.mode)?;
    let write_u32 = |value: u32| CurrentMemory.write_bytes(argument, &value.to_ne_bytes()).map(|()| 0);
    match (command, file_type) {
        (ioctls::FIGETBSZ, FileType::Regular | FileType::Directory) => Some(write_u32(stat.blksize)),
        (ioctls::FIONREAD, FileType::Regular) => {
            let left = stat.size as i64 - *open.offset.lock() as i64;
            Some(write_u32(left as u32))
        }
        (ioctls::FIOQSIZE, FileType::Regular | FileType::Directory | FileType::Symlink) => {
            Some(user::write(argument, stat.size).map(|()| 0))
        }
        _ => None,
    }
}
