//! Advisory locks: `flock(2)`, and the lock commands of `fcntl(2)`.

use super::handle::usable;
use super::{Args, Call, call};
use crate::mm::user;
use crate::task::files::{Descriptor, FileTable};
use crate::task::{current, sched};
use alloc::collections::BTreeMap;
use ampoule_kbase::{Errno, Mutex, OpenFile, Result};
use ampoule_kfs::locks::{self, Owner, RecordKind, RecordLock};
use core::sync::atomic::{AtomicBool, Ordering};
use linux_raw_sys::general as linux;
use linux_raw_sys::general::{LOCK_MAND, LOCK_NB, SEEK_CUR, SEEK_END, SEEK_SET};

/// The calls of this family.
pub const CALLS: &[Call] = &[call(linux::__NR_flock, "flock", "dx", flock)];

/// What `F_GETLK` shows as the holder of a lock that belongs to an open file description.
const NO_PROCESS: u32 = u32::MAX;
/// Whether there ever was a record lock. Most programs have none, and need not look for them at each close.
static IN_USE: AtomicBool = AtomicBool::new(false);

fn flock(args: &Args) -> Result<u64> {
    let open = usable(args[0])?;
    let operation = args[1] as u32;
    if operation & LOCK_MAND != 0 {
        // As Linux, which has given up mandatory locks.
        return Ok(0);
    }
    let attempt = || locks::flock(&open, operation);
    match attempt() {
        Err(Errno::EAGAIN) if operation & LOCK_NB == 0 => {
            let waiting = locks::queue(&open)?;
            sched::retry(Some(&waiting.queue), None, Errno::EAGAIN, attempt)?;
        }
        result => result?,
    }
    Ok(0)
}

/// `struct flock`: type and whence in the first word, then start, length, and the process in the last.
type RawLock = [u64; 4];

fn owner(open: &OpenFile, command: u32) -> Result<Owner> {
    match command {
        linux::F_OFD_GETLK | linux::F_OFD_SETLK | linux::F_OFD_SETLKW => locks::owner_of_open(open),
        _ => Ok(Owner::Process(current().process.pid.into())),
    }
}

/// What a `struct flock` asks for: the rules of `flock_to_posix_lock` in Linux.
fn parse(open: &OpenFile, raw: &RawLock, owner: Owner) -> Result<RecordLock> {
    let kind = match (raw[0] & 0xffff) as u32 {
        linux::F_RDLCK => RecordKind::Read,
        linux::F_WRLCK => RecordKind::Write,
        linux::F_UNLCK => RecordKind::Unlock,
        _ => return Err(Errno::EINVAL),
    };
    let (offset, length) = (raw[1] as i64, raw[2] as i64);
    let origin = match (raw[0] >> 16 & 0xffff) as u32 {
        SEEK_SET => 0,
        SEEK_CUR => *open.offset.lock() as i64,
        SEEK_END => open.file.stat()?.size as i64,
        _ => return Err(Errno::EINVAL),
    };
    let at = origin.checked_add(offset).ok_or(Errno::EOVERFLOW)?;
    let (start, last) = match length {
        0 => (at, i64::MAX),
        1.. => (at, at.checked_add(length - 1).ok_or(Errno::EOVERFLOW)?),
        _ => (at.checked_add(length).ok_or(Errno::EINVAL)?, at - 1),
    };
    if at < 0 || start < 0 {
        return Err(Errno::EINVAL);
    }
    let pid = match owner {
        Owner::Process(_) => current().process.pid,
        Owner::Open(_) if raw[3] as u32 != 0 => return Err(Errno::EINVAL),
        Owner::Open(_) => NO_PROCESS,
    };
    Ok(RecordLock { kind, start: start as u64, last: last as u64, pid })
}

/// `F_GETLK`, `F_OFD_GETLK`.
pub fn get(open: &OpenFile, command: u32, address: u64) -> Result<u64> {
    let mut raw = user::read::<RawLock>(address)?;
    let owner = owner(open, command)?;
    let lock = parse(open, &raw, owner)?;
    if lock.kind == RecordKind::Unlock {
        return Err(Errno::EINVAL);
    }
    match locks::conflicting_record(open, owner, &lock)? {
        None => raw[0] = raw[0] & !0xffff | u64::from(linux::F_UNLCK),
        Some(other) => {
            let kind = if other.kind == RecordKind::Write { linux::F_WRLCK } else { linux::F_RDLCK };
            let length = if other.last == i64::MAX as u64 { 0 } else { other.last - other.start + 1 };
            // SEEK_SET is 0.
            raw = [
                raw[0] & !0xffff_ffff | u64::from(kind),
                other.start,
                length,
                raw[3] >> 32 << 32 | u64::from(other.pid),
            ];
        }
    }
    user::write(address, raw)?;
    Ok(0)
}

/// `F_SETLK`, `F_SETLKW` and their variants for open file descriptions.
pub fn set(open: &OpenFile, command: u32, address: u64) -> Result<u64> {
    let raw = user::read::<RawLock>(address)?;
    let owner = owner(open, command)?;
    let lock = parse(open, &raw, owner)?;
    let allowed = match lock.kind {
        RecordKind::Read => open.readable(),
        RecordKind::Write => open.writable(),
        RecordKind::Unlock => true,
    };
    if !allowed {
        return Err(Errno::EBADF);
    }
    IN_USE.store(true, Ordering::Relaxed);
    let attempt = || locks::set_record(open, owner, lock);
    match attempt() {
        Err(Errno::EAGAIN) if matches!(command, linux::F_SETLKW | linux::F_OFD_SETLKW) => {
            wait_for_lock(open, owner, &lock)?;
        }
        result => result?,
    }
    Ok(0)
}

/// Processes that wait for a record lock, and whose.
static WAITING: Mutex<BTreeMap<u64, u64>> = Mutex::new(BTreeMap::new());

fn wait_for_lock(open: &OpenFile, owner: Owner, lock: &RecordLock) -> Result<()> {
    let waiting = locks::queue(open)?;
    let result = sched::retry(Some(&waiting.queue), None, Errno::EAGAIN, || {
        let result = locks::set_record(open, owner, *lock);
        if let (Err(Errno::EAGAIN), Owner::Process(pid)) = (result, owner) {
            note_waiting(open, owner, pid, lock)?;
        }
        result
    });
    if let Owner::Process(pid) = owner {
        WAITING.lock().remove(&pid);
    }
    result
}

/// `EDEADLK` if the holder of the lock waits, directly or not, for the one that wants it.
fn note_waiting(open: &OpenFile, owner: Owner, pid: u64, lock: &RecordLock) -> Result<()> {
    let Some(conflict) = locks::conflicting_record(open, owner, lock)? else { return Ok(()) };
    if conflict.pid == NO_PROCESS {
        return Ok(());
    }
    let mut waiting = WAITING.lock();
    let mut holder = u64::from(conflict.pid);
    // A chain never has a circle: the wait that would close it is refused here.
    for _ in 0..waiting.len() {
        match waiting.get(&holder) {
            Some(next) if *next == pid => return Err(Errno::EDEADLK),
            Some(next) => holder = *next,
            None => break,
        }
    }
    waiting.insert(pid, u64::from(conflict.pid));
    Ok(())
}

/// What comes after a descriptor is closed: the process's record locks on that file end.
#[inline]
pub fn descriptor_closed(open: &OpenFile) {
    if IN_USE.load(Ordering::Relaxed) {
        locks::release_records(open, Owner::Process(current().process.pid.into()));
    }
}

/// The record locks of a process end with it.
pub fn process_ended(pid: u32, files: &Mutex<FileTable>) {
    release_all(pid, files, |_| true);
}

/// The same for what `execve` closes.
pub fn closed_on_exec(pid: u32, files: &Mutex<FileTable>) {
    release_all(pid, files, |descriptor| descriptor.close_on_exec);
}

fn release_all(pid: u32, files: &Mutex<FileTable>, closes: impl Fn(&Descriptor) -> bool) {
    if !IN_USE.load(Ordering::Relaxed) {
        return;
    }
    let end = i32::try_from(files.lock().capacity()).unwrap_or(i32::MAX);
    for fd in 0..end {
        let open =
            files.lock().get(fd).ok().filter(|descriptor| closes(descriptor)).map(|found| found.open.clone());
        if let Some(open) = open {
            locks::release_records(&open, Owner::Process(pid.into()));
        }
    }
}
