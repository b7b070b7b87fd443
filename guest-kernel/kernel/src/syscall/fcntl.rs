//! `fcntl(2)`.

use super::fdops::descriptor_limit;
use super::{Args, Call, call, file, locks};
use crate::mm::{Backing, user};
use crate::task::{current, process};
use alloc::sync::Arc;
use ampoule_kbase::{Errno, OpenFile, Result};
use ampoule_kfs::{location, vfs::Credentials};
use ampoule_kio::pipe::PipeEnd;
use linux_raw_sys::general as linux;
use linux_raw_sys::general::{O_APPEND, O_DIRECT, O_NOATIME, O_NONBLOCK};

/// The calls of this family.
pub const CALLS: &[Call] = &[call(linux::__NR_fcntl, "fcntl", "dix", fcntl)];

const FD_CLOEXEC: u64 = 1;
/// `O_ASYNC`: accepted, although nobody is ever told of readiness by a signal.
const O_ASYNC: u32 = 0o20_000;

fn fcntl(args: &Args) -> Result<u64> {
    let [fd, command, argument, ..] = *args;
    let open = file(fd)?;
    match command as u32 {
        linux::F_DUPFD => duplicate(open, argument, false),
        linux::F_DUPFD_CLOEXEC => duplicate(open, argument, true),
        linux::F_GETFD => Ok(u64::from(current().process.files.lock().lock().get(fd as i32)?.close_on_exec)),
        linux::F_SETFD => {
            current().process.files.lock().lock().get_mut(fd as i32)?.close_on_exec =
                argument & FD_CLOEXEC != 0;
            Ok(0)
        }
        linux::F_GETFL => Ok(open.flags().into()),
        linux::F_DUPFD_QUERY => Ok(Arc::ptr_eq(&open, &file(argument)?).into()),
        _ if open.path_only() => Err(Errno::EBADF),
        command => on_file(&open, command, argument),
    }
}

/// The commands that are about what the descriptor names.
fn on_file(open: &Arc<OpenFile>, command: u32, argument: u64) -> Result<u64> {
    match command {
        linux::F_SETFL => set_status(open, argument as u32),
        linux::F_GETLK | linux::F_OFD_GETLK => locks::get(open, command, argument),
        linux::F_SETLK | linux::F_SETLKW | linux::F_OFD_SETLK | linux::F_OFD_SETLKW => {
            locks::set(open, command, argument)
        }
        linux::F_SETPIPE_SZ => {
            let bytes = u32::try_from(argument).map_err(|_| Errno::EINVAL)?;
            Ok(pipe_of(open)?.set_capacity(bytes as usize)? as u64)
        }
        linux::F_GETPIPE_SZ => Ok(pipe_of(open)?.capacity() as u64),
        linux::F_GET_SEALS => Ok(place(open)?.inode().seals()?.into()),
        linux::F_ADD_SEALS => {
            add_seals(open, argument as u32)?;
            Ok(0)
        }
        // Owners matter only for signals about readiness, which are never sent.
        linux::F_GETOWN | linux::F_GETSIG => Ok(0),
        linux::F_SETOWN => Ok(0),
        linux::F_SETSIG => {
            if argument > 64 {
                Err(Errno::EINVAL)
            } else {
                Ok(0)
            }
        }
        linux::F_GETOWN_EX => {
            user::write(argument, [0i32, 0])?;
            Ok(0)
        }
        linux::F_SETOWN_EX => {
            let [kind, _] = user::read::<[i32; 2]>(argument)?;
            if (0..=2).contains(&kind) { Ok(0) } else { Err(Errno::EINVAL) }
        }
        linux::F_GETLEASE => Ok(linux::F_UNLCK.into()),
        _ => Err(Errno::EINVAL),
    }
}

fn duplicate(open: Arc<OpenFile>, least: u64, close_on_exec: bool) -> Result<u64> {
    let limit = descriptor_limit();
    let least = u64::from(least as u32);
    if least >= limit {
        return Err(Errno::EINVAL);
    }
    let files = current().process.files();
    let fd = files.lock().add(open, close_on_exec, least as usize, limit)?;
    Ok(fd as u64)
}

fn set_status(open: &OpenFile, wanted: u32) -> Result<u64> {
    const SETTABLE: u32 = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | O_ASYNC;
    let before = open.flags();
    if wanted & O_NOATIME & !before != 0
        && let Some(place) = location(open)
        && !Credentials::current().owns(&place.attributes())
    {
        return Err(Errno::EPERM);
    }
    open.set_flags(before & !SETTABLE | wanted & SETTABLE);
    Ok(0)
}

fn add_seals(open: &OpenFile, seals: u32) -> Result<()> {
    let inode = place(open)?.inode();
    let had = inode.seals()?;
    if !open.writable() {
        return Err(Errno::EPERM);
    }
    if seals & !had & linux::F_SEAL_WRITE != 0
        && had & linux::F_SEAL_SEAL == 0
        && is_mapped_for_writing(open)?
    {
        return Err(Errno::EBUSY);
    }
    inode.add_seals(seals)
}

/// Whether a shared mapping of a file, in any program, writes to it or may come to.
fn is_mapped_for_writing(open: &OpenFile) -> Result<bool> {
    let wanted = open.file.stat()?;
    Ok(process::with_all(|mut all| {
        all.any(|process| {
            let memory = process.memory.lock().clone();
            let space = memory.lock();
            space.areas().filter(|area| area.shared && area.may_write).any(|area| match &area.backing {
                Backing::Anonymous => false,
                Backing::File { file, .. } => {
                    file.stat().is_ok_and(|stat| (stat.dev, stat.ino) == (wanted.dev, wanted.ino))
                }
            })
        })
    }))
}

/// Whether a seal keeps new shared mappings from writing to a file.
pub fn is_sealed_for_writing(open: &OpenFile) -> bool {
    let seals = location(open).and_then(|place| place.inode().seals().ok()).unwrap_or(0);
    seals & (linux::F_SEAL_WRITE | linux::F_SEAL_FUTURE_WRITE) != 0
}

fn pipe_of(open: &OpenFile) -> Result<&PipeEnd> {
    PipeEnd::of(&*open.file).ok_or(Errno::EBADF)
}

fn place(open: &OpenFile) -> Result<&ampoule_kfs::Location> {
    location(open).ok_or(Errno::EINVAL)
}
